"""What holds for any conf at all."""

from __future__ import annotations

import json
import re

from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from airflow_incident_provider.exceptions import InvalidPayloadError, NotAnIncidentError
from airflow_incident_provider.intake.size import MAX_BYTES, encoded_size
from airflow_incident_provider.models import Incident

RUN_ID = re.compile(r"[A-Za-z0-9_.~:+-]{1,200}")

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60)
interesting = st.sampled_from(
    [
        "null",
        "$ALERT_ID",
        "P1",
        "Triggered",
        "https://a.example/x",
        "a:b,c:d",
        "1795430100000",
        "[P1] [Warn on {a:b}] x",
    ]
)
anything = st.recursive(
    scalars | interesting,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
alerts = st.fixed_dictionaries(
    {},
    optional={
        name: anything
        for name in (
            "id",
            "cycle_key",
            "title",
            "transition",
            "type",
            "priority",
            "metric",
            "query",
            "scope",
            "status",
        )
    },
)
incidents = st.fixed_dictionaries(
    {},
    optional={
        name: anything
        for name in (
            "public_id",
            "uuid",
            "title",
            "severity",
            "status",
            "url",
            "commander",
            "fields",
            "integrations",
        )
    },
)
payloads = st.fixed_dictionaries(
    {},
    optional={
        "alert": alerts | anything,
        "incident": incidents | anything,
        **{
            name: anything
            for name in ("id", "title", "body", "text", "date", "link", "snapshot", "hostname", "tags")
        },
    },
)
manual = st.fixed_dictionaries(
    {},
    optional={
        name: anything
        for name in (
            "id", "title", "severity", "users", "services", "hosts", "description", "links", "env", "teams", "tags",
            "targets", "private", "started_at",
        )
    },
)  # fmt: skip
objects = st.dictionaries(st.text(max_size=10), anything, max_size=5)
confs = (
    objects
    | payloads
    | manual
    | st.builds(dict, datadog=payloads | anything)
    | st.builds(lambda told, fields: {"datadog": told, **fields}, payloads.map(json.dumps), manual)
)


@given(conf=confs)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_object_is_an_incident_or_refused_in_few_words(conf, read):
    try:
        incident = read(conf)
    except (InvalidPayloadError, NotAnIncidentError) as refused:
        assert 0 < len(str(refused)) < 1000
        return
    assert RUN_ID.fullmatch(incident.key)
    assert ".." not in incident.key
    assert incident.title == " ".join(incident.title.split()) != ""
    assert encoded_size(incident) <= MAX_BYTES
    assert Incident.model_validate(incident.to_xcom()) == incident
    json.dumps(incident.to_xcom(), allow_nan=False).encode("utf-8")


@given(text=st.text(min_size=1, max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_title_is_one_visible_line(text, read):
    try:
        title = read({"title": text}).title
    except InvalidPayloadError as refused:
        assert "title: missing" in str(refused) or not text.strip()
        return
    assert title.isprintable() or all(not c.isspace() or c == " " for c in title)
    assert len(title) <= 300


tags = st.lists(
    st.from_regex(r"(env|service|host|team):[a-z0-9-]{1,10}", fullmatch=True), min_size=1, max_size=8, unique=True
)


@given(data=st.data(), scope=tags)
@settings(max_examples=200, deadline=None)
def test_the_key_does_not_depend_on_an_order(data, scope, alert, read):
    shuffled = data.draw(st.permutations(scope))
    one = read(alert({"tags": ",".join(scope)}, scope=",".join(scope)))
    other = read(alert({"tags": ", ".join(shuffled)}, scope=" , ".join(shuffled)))
    assert one.key == other.key


@given(one=tags, other=tags)
@settings(max_examples=200, deadline=None)
def test_different_groups_have_different_keys(one, other, alert, read):
    same = set(one) == set(other)
    assert (read(alert(scope=",".join(one))).key == read(alert(scope=",".join(other))).key) is same


@given(values=st.lists(st.text(min_size=1, max_size=100), min_size=2, max_size=2, unique=True))
@settings(max_examples=200, deadline=None)
def test_different_cycles_have_different_keys(values, alert, read):
    one, other = (value.strip() for value in values)
    if one == other or any(value in {"", "null"} or value.startswith("$") for value in (one, other)):
        reject()
    assert read(alert(cycle_key=one)).key != read(alert(cycle_key=other)).key
