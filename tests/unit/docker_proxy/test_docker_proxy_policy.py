"""Decide which calls pass, and how they are forwarded."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from incident_docker_proxy.decision import Allow, Answer, RefusedError
from incident_docker_proxy.parsing import parse_target
from incident_docker_proxy.policy import Policy, Request
from incident_docker_proxy.settings import Settings

ENGINE_API = """
GET /_ping, HEAD /_ping, GET /version, GET /info, GET /events, GET /system/df, POST /auth
GET /containers/json, POST /containers/create, POST /containers/prune, GET /containers/abc/json
GET /containers/abc/top, GET /containers/abc/logs, GET /containers/abc/changes, GET /containers/abc/export
GET /containers/abc/stats, GET /containers/abc/attach/ws, GET /containers/abc/archive
HEAD /containers/abc/archive, PUT /containers/abc/archive, POST /containers/abc/resize
POST /containers/abc/start, POST /containers/abc/stop, POST /containers/abc/restart, POST /containers/abc/kill
POST /containers/abc/update, POST /containers/abc/rename, POST /containers/abc/pause
POST /containers/abc/unpause, POST /containers/abc/attach, POST /containers/abc/wait, POST /containers/abc/exec
POST /containers/abc/copy, DELETE /containers/abc, POST /exec/abc/start, POST /exec/abc/resize
GET /exec/abc/json, GET /images/json, POST /build, POST /build/prune, POST /build/cancel, POST /images/create
GET /images/alpine:3.23/json, GET /images/alpine:3.23/history, GET /images/alpine:3.23/get, GET /images/get
POST /images/alpine:3.23/push, POST /images/alpine:3.23/tag, DELETE /images/alpine:3.23, GET /images/search
POST /images/prune, POST /images/load, POST /commit, GET /distribution/alpine:3.23/json, POST /session
POST /grpc, GET /networks, GET /networks/bridge, POST /networks/create, POST /networks/bridge/connect
POST /networks/bridge/disconnect, DELETE /networks/bridge, POST /networks/prune, GET /volumes
POST /volumes/create, GET /volumes/v, DELETE /volumes/v, POST /volumes/prune, GET /swarm, POST /swarm/init
POST /swarm/join, POST /swarm/leave, POST /swarm/update, GET /swarm/unlockkey, POST /swarm/unlock, GET /nodes
GET /services, POST /services/create, GET /tasks, GET /secrets, POST /secrets/create, GET /configs
POST /configs/create, GET /plugins, POST /plugins/pull, POST /plugins/create, POST /plugins/p/enable
"""
ALLOWED = """
GET /_ping, HEAD /_ping, GET /version, GET /info, GET /containers/json, GET /containers/abc/json
GET /containers/abc/logs, POST /containers/abc/start, POST /containers/abc/stop, POST /containers/abc/kill
POST /containers/abc/attach, POST /containers/abc/wait, DELETE /containers/abc, GET /images/json
GET /images/alpine:3.23/json
"""


def calls(listing: str) -> list[str]:
    return re.split(r",\s*|\n", listing.strip())


def allow_call(policy: Policy, call: str, *headers: tuple[str, str], body: bytes = b"") -> Allow:
    method, target = call.split(" ", 1)
    return policy.allow(Request(method, target, headers, body))


@pytest.mark.parametrize("version", ["", "/v1.41", "/v1.51"])
@pytest.mark.parametrize("call", calls(ALLOWED))
def test_required_calls_pass(call: str, version: str, policy: Policy) -> None:
    method, path = call.split(" ")
    allow = allow_call(policy, f"{method} {version}{path}")
    assert (allow.method, allow.engine_target("abc").partition("?")[0]) == (method, version + path)


@pytest.mark.parametrize("call", sorted({*calls(ENGINE_API)} - {*calls(ALLOWED), "POST /containers/create"}))
def test_every_other_engine_call_is_refused(call: str, policy: Policy) -> None:
    with pytest.raises(RefusedError):
        allow_call(policy, call)


@given(method=st.from_regex(r"[A-Za-z-]{1,8}", fullmatch=True), path=st.sampled_from(calls(ALLOWED)))
def test_other_methods_are_refused(method: str, path: str, policy: Policy) -> None:
    if method not in {"GET", "HEAD", "POST", "DELETE"}:
        with pytest.raises(RefusedError):
            allow_call(policy, f"{method} {path.split(' ')[1]}")


AMBIGUOUS_CALLS = [
    "GET http://docker/containers/json",
    "GET //containers/json",
    "GET /containers//json",
    "GET /containers/../volumes",
    "GET /containers/abc/./json",
    "GET /containers/abc/json/",
    "GET /containers/abc%2Fjson",
    "GET /containers/%2e%2e/volumes",
    "GET /containers/..%2f..%2fvolumes/json",
    "GET /containers/abc%00/json",
    "GET /containers/abc;x/json",
    "GET /containers/abc\\json",
    "GET /containers/json#x",
    "GET *",
    "GET /CONTAINERS/json",
    "GET /v1.41/v1.41/containers/json",
    "GET /v1.23/containers/json",
    "GET /v0.99/containers/json",
    "GET /v01.41/containers/json",
    "GET /v1.041/containers/json",
    "GET /v1.41",
    "GET /images/../containers/abc/json",
    "GET /images/%2e%2e/containers/json",
    "GET /images/x/../../containers/abc/json",
    "GET /images/@sha256/json",
    "DELETE /containers/abc?force=1&force=0",
    "DELETE /containers/abc?link=1",
    "DELETE /containers/abc?%66orce=1",
    "DELETE /containers/abc?force=1;link=1",
    "DELETE /containers/abc?force",
    "POST /containers/abc/start?checkpoint=x&checkpoint-dir=/etc",
    "POST /containers/abc/start?detachKeys=ctrl-a",
    "POST /containers/abc/attach?stdin=1",
    "POST /containers/abc/attach?stream=1&stdin=True",
    "POST /containers/abc/attach?stdin=fal%C5%BFe",
    "POST /containers/abc/kill?signal=STOP",
    "POST /containers/abc/wait?condition=x",
    "GET /containers/abc/logs?tail=1%0d%0aX:",
    "GET /containers/abc/logs?tail=%ff",
    "GET /containers/json?filters={",
    "GET /containers/json?filters=%7B%22label%22%3A%5B%5D%2C%22label%22%3A%5B%5D%7D",
    "GET /containers/json?filters=%7B%22Label%22%3A%5B%5D%7D",
    "GET /containers/json?filters=%7B%22label%22%3A%7B%22a%22%3Atrue%7D%7D",
    "GET /images/json?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D",
]


@pytest.mark.parametrize("call", AMBIGUOUS_CALLS)
def test_ambiguous_target_is_refused(call: str, policy: Policy) -> None:
    with pytest.raises(RefusedError):
        allow_call(policy, call)


SEGMENTS = st.sampled_from(["", ".", "..", "%2e%2e", "..%2f", "...", "v1.41", "a:1", "a%40b", "a%3Ab", "A;b"])


@given(st.lists(SEGMENTS | st.text(alphabet="/.%25aA:@?&=~ \\;#*", max_size=4), max_size=6).map("/".join))
def test_accepted_path_is_canonical(text: str) -> None:
    try:
        target = parse_target("/" + text)
    except RefusedError:
        return
    assert re.fullmatch(r"(/[A-Za-z0-9._:@-]+)+", target.path)
    assert not {".", ".."} & set(target.path.split("/"))


@pytest.mark.parametrize("name", ["transfer-encoding", "content-encoding", "expect", "upgrade"])
def test_headers_that_change_message_parsing_are_refused(name: str, policy: Policy) -> None:
    with pytest.raises(RefusedError, match=r"header|upgrade"):
        allow_call(policy, "GET /version", (name, "x"))


def test_unexpected_body_is_refused(policy: Policy) -> None:
    with pytest.raises(RefusedError, match="no body"):
        allow_call(policy, "POST /containers/abc/start", body=b'{"Privileged": true}')


def test_attach_may_upgrade_the_connection(policy: Policy) -> None:
    allow = allow_call(policy, "POST /containers/abc/attach?stream=1&stdout=1&stdin=0", ("upgrade", "tcp"))
    assert (allow.answer, allow.container) == (Answer.OUTPUT_STREAM, "abc")


@pytest.mark.parametrize("given_filters", [None, {"label": ["a=b"], "status": ["running"]}, {"label": []}])
def test_container_list_is_filtered_to_investigations(given_filters: Any, policy: Policy) -> None:
    query = f"&filters={quote(json.dumps(given_filters))}" if given_filters is not None else ""
    allow = allow_call(policy, f"GET /containers/json?all=1{query}")
    filters = json.loads(parse_qs(allow.query)["filters"][0])
    expected = [*(given_filters or {}).get("label", []), "airflow_incident_provider=investigation"]
    assert filters == {**(given_filters or {}), "label": expected}


def test_container_without_the_label_is_refused(policy: Policy) -> None:
    labels = {"airflow_incident_provider": "investigation"}
    assert policy.investigation_id({"Id": "f00", "Config": {"Labels": labels}}) == "f00"
    for config in ({"Labels": {"airflow_incident_provider": "x"}}, {"Labels": None}, {}, None):
        with pytest.raises(RefusedError, match="not an investigation's"):
            policy.investigation_id({"Id": "f00", "Config": config})


def test_image_is_shown_if_any_of_its_names_is_allowed(policy: Policy) -> None:
    assert policy.shows_image({"RepoTags": ["other:1", "alpine:3.23"]})
    assert not policy.shows_image({"RepoTags": ["other:1"], "RepoDigests": None})
    assert not policy.shows_image({"RepoTags": None})


@pytest.mark.parametrize("reference", ["alpine:3.23", "alpine%3A3.23", "registry.example/probes/dns@sha256:00"])
def test_allowed_image_is_relayed(reference: str, policy: Policy) -> None:
    assert allow_call(policy, f"GET /images/{reference}/json").answer is Answer.RELAY


@pytest.mark.parametrize("reference", ["sha256:00", "evil", "registry.example/probes/deep/dns"])
def test_other_image_is_checked_by_its_names(reference: str, policy: Policy) -> None:
    assert allow_call(policy, f"GET /images/{reference}/json").answer is Answer.ALLOWED_IMAGE


class TestPull:
    policy = Policy(Settings(images=("alpine:3.*", "alpine@sha256:*"), pull=True))

    def test_is_refused_unless_configured(self, policy: Policy) -> None:
        with pytest.raises(RefusedError, match="not allowed here"):
            allow_call(policy, "POST /images/create?fromImage=alpine&tag=3.23")

    @pytest.mark.parametrize("tag", ["3.23", "sha256%3A00"])
    def test_accepts_an_allowed_image_with_its_credentials(self, tag: str) -> None:
        call = f"POST /images/create?fromImage=alpine&tag={tag}"
        assert allow_call(self.policy, call, ("x-registry-auth", "e30=")).registry_auth == "e30="

    @pytest.mark.parametrize(
        "query",
        [
            "fromImage=alpine",
            "fromImage=alpine&tag=",
            "fromImage=evil&tag=3.23",
            "fromImage=evil:1&tag=3.23",
            "fromImage=alpine:3.23&tag=latest",
            "fromImage=alpine@sha256:00&tag=3.23",
            "fromSrc=-&repo=alpine&tag=3.23",
            "fromImage=alpine&tag=3.23&fromSrc=-",
            "fromImage=alpine&tag=3.23&platform=linux/arm64",
            "fromImage=alpine&tag=3.23%20x",
        ],
    )
    def test_any_other_query_is_refused(self, query: str) -> None:
        with pytest.raises(RefusedError):
            allow_call(self.policy, f"POST /images/create?{query}")


@pytest.mark.parametrize("network", ["host", "container:db", "", "a b"])
def test_network_without_isolation_cannot_be_configured(network: str) -> None:
    with pytest.raises(ValueError, match="cannot be allowed"):
        Settings(images=("alpine:3.23",), networks=(network,))


def test_proxy_without_images_cannot_be_configured() -> None:
    with pytest.raises(ValueError, match="no image"):
        Settings(images=())
