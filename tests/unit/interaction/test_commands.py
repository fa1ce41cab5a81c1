"""Parse the /incident command."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.interaction.commands import USAGES, help_text, parse_command, parse_minutes
from airflow_incident_provider.lifecycle.coordination import ActionKind, Person, Role
from airflow_incident_provider.models import Severity

DANA = Person(name="dana", slack_id="U0DANAREYES")


@pytest.mark.parametrize(
    ("text", "kind", "arguments"),
    [
        ("lead", ActionKind.LEAD, {}),
        ("LEAD", ActionKind.LEAD, {}),
        ("lead <@U0DANAREYES|dana>", ActionKind.LEAD, {"person": DANA}),
        ("lead @dana", ActionKind.LEAD, {"person": Person(name="@dana")}),
        ("role scribe", ActionKind.ROLE, {"role": Role.SCRIBE}),
        ("role communications <@U0DANAREYES|dana>", ActionKind.ROLE, {"role": Role.COMMUNICATIONS, "person": DANA}),
        ("severity critical", ActionKind.SEVERITY, {"severity": Severity.CRITICAL}),
        ("severity P1", ActionKind.SEVERITY, {"severity": Severity.CRITICAL}),
        ("update We roll back", ActionKind.UPDATE, {"text": "We roll back"}),
        ("update We roll back next 15m", ActionKind.UPDATE, {"text": "We roll back", "minutes": 15}),
        ("update We roll back next in 2h", ActionKind.UPDATE, {"text": "We roll back", "minutes": 120}),
        ("update What comes next", ActionKind.UPDATE, {"text": "What comes next"}),
        ("update", ActionKind.UPDATE, {"text": ""}),
        ("invite <@U0DANAREYES|dana>, @sre-oncall", ActionKind.INVITE, {"names": ("U0DANAREYES", "@sre-oncall")}),
        ("invite <!subteam^S0SRE|@sre>", ActionKind.INVITE, {"names": ("S0SRE",)}),
        ("invite Dana Reyes", ActionKind.INVITE, {"names": ("Dana Reyes",)}),
        ("invite Reyes, Dana", ActionKind.INVITE, {"names": ("Reyes, Dana",)}),
        ("invite Dana Reyes, Priya Iyer", ActionKind.INVITE, {"names": ("Dana Reyes", "Priya Iyer")}),
        ("invite @dana @sre-oncall", ActionKind.INVITE, {"names": ("@dana", "@sre-oncall")}),
        ("invite a@x.example b@x.example", ActionKind.INVITE, {"names": ("a@x.example", "b@x.example")}),
        (
            "invite <@U0DANAREYES|Dana Reyes><@U0PRIYA> and Jan van der Berg",
            ActionKind.INVITE,
            {"names": ("U0DANAREYES", "U0PRIYA", "Jan van der Berg")},
        ),
        ("lead Dana Reyes", ActionKind.LEAD, {"person": Person(name="Dana Reyes")}),
        ("role scribe Reyes, Dana", ActionKind.ROLE, {"role": Role.SCRIBE, "person": Person(name="Reyes, Dana")}),
        ("snooze 30m", ActionKind.SNOOZE, {"minutes": 30}),
        ("snooze", ActionKind.SNOOZE, {}),
        ("item Alert on queue length", ActionKind.ITEM, {"text": "Alert on queue length"}),
        ("resolve", ActionKind.RESOLVE, {}),
    ],
)
def test_commands(text: str, kind: ActionKind, arguments: dict[str, Any]) -> None:
    parsed = parse_command(text)
    assert parsed is not None
    assert (parsed.kind, parsed.arguments) == (kind, arguments)


@pytest.mark.parametrize("text", ["", "  ", "help", "HELP"])
def test_help_is_not_a_command(text: str) -> None:
    assert parse_command(text) is None


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        ("lede", "lede"),
        ("role captain", "captain"),
        ("severity awful", "awful"),
        ("severity", "severity"),
        ("resolve now", "now"),
        ("snooze soon", "soon"),
        ("snooze 25h", "25h"),
        ("lead @a @b", "one person"),
        ("invite", "Nobody"),
    ],
)
def test_invalid_command_error_names_the_mistake_and_a_fix(text: str, mention: str) -> None:
    with pytest.raises(InvalidPayloadError) as caught:
        parse_command(text)
    assert mention in caught.value.message
    assert caught.value.fix


@given(st.text(max_size=200))
def test_any_text_is_a_command_or_an_invalid_payload(text: str) -> None:
    with suppress(InvalidPayloadError):
        parse_command(text)


@given(st.integers(1, 1440))
def test_minutes_round_trip(minutes: int) -> None:
    assert parse_minutes(f"{minutes}m") == parse_minutes(str(minutes)) == minutes


def test_help_lists_every_command() -> None:
    assert all(f"/incident {usage.kind}" in help_text() for usage in USAGES)
    assert {usage.kind for usage in USAGES} == set(ActionKind) - {ActionKind.FEEDBACK}


@pytest.mark.parametrize("text", ["lead <!subteam^S0SREONCALL|@sre-oncall>", "role scribe <!subteam^S0SREONCALL>"])
def test_user_group_cannot_have_a_role(text: str) -> None:
    with pytest.raises(InvalidPayloadError, match="user group"):
        parse_command(text)


def test_command_with_too_many_people_is_rejected() -> None:
    people = [f"p{number}@acme.example" for number in range(21)]
    with pytest.raises(InvalidPayloadError, match="21 are named"):
        parse_command(f"invite {', '.join(people)}")
    parsed = parse_command(f"invite {', '.join(people[:20])}")
    assert parsed is not None
    assert parsed.arguments["names"] == tuple(people[:20])


@pytest.mark.parametrize("text", ["lead me", "lead Myself"])
def test_user_can_name_themselves(text: str) -> None:
    parsed = parse_command(text)
    assert parsed is not None
    assert (parsed.kind, parsed.arguments) == (ActionKind.LEAD, {})


@pytest.mark.parametrize(
    ("sent", "typed"),
    [
        ("latency &gt; 2 s &amp; rising", "latency > 2 s & rising"),
        ("literally &amp;lt;", "literally &lt;"),
        ("<@U0DANAREYES|dana.reyes> rolls back", "@dana.reyes rolls back"),
        ("<@U0DANAREYES> rolls back", "@U0DANAREYES rolls back"),
        ("see <#C0123ABCD|checkout> and <!subteam^S0SRE|@sre>, <!here>", "see #checkout and @sre, @here"),
        ("<https://status.acme.example/|status.acme.example>", "https://status.acme.example/"),
        ("<https://evil.example|https://good.example>", "https://good.example (https://evil.example)"),
        ("a <b> c", "a <b> c"),
    ],
)
@pytest.mark.parametrize("kind", [ActionKind.UPDATE, ActionKind.ITEM])
def test_text_is_unescaped(kind: ActionKind, sent: str, typed: str) -> None:
    """Slack escapes the text and sends mentions and links as tokens."""
    parsed = parse_command(f"{kind} {sent}")
    assert parsed is not None
    assert parsed.arguments["text"] == typed


def test_duration_within_a_sentence_does_not_set_the_next_update() -> None:
    parsed = parse_command("update The rollout ends within the next 2 hours")
    assert parsed is not None
    assert parsed.arguments == {"text": "The rollout ends within the next 2 hours"}
