"""Block Kit limits, compared with another library where it validates them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from incident_sandbox.slack.block_kit import complaints, total_length


def mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def section(text: str = "x", **members: Any) -> dict[str, Any]:
    return {"type": "section", "text": mrkdwn(text), **members}


def fields(*texts: str) -> dict[str, Any]:
    return {"type": "section", "fields": [mrkdwn(text) for text in texts]}


def actions(*elements: Any) -> dict[str, Any]:
    return {"type": "actions", "elements": list(elements)}


def button(text: str = "x", **members: Any) -> dict[str, Any]:
    return {"type": "button", "text": plain(text), **members}


def image(**members: Any) -> dict[str, Any]:
    return {"type": "image", "image_url": "https://x.example/y.png", "alt_text": "x", **members}


def context(count: int) -> dict[str, Any]:
    return {"type": "context", "elements": [mrkdwn("x")] * count}


# For each limit: blocks that are just valid, and blocks that are just invalid.
LIMITS: list[tuple[str, list[Any], list[Any]]] = [
    ("blocks", [{"type": "divider"}] * 50, [{"type": "divider"}] * 51),
    ("section text", [section("x" * 3000)], [section("x" * 3001)]),
    ("section text empty", [section("x")], [section("")]),
    ("fields", [fields(*"x" * 10)], [fields(*"x" * 11)]),
    ("field text", [fields("x" * 2000)], [fields("x" * 2001)]),
    ("field empty", [fields("x")], [fields("")]),
    ("header", [{"type": "header", "text": plain("x" * 150)}], [{"type": "header", "text": plain("x" * 151)}]),
    ("header mrkdwn", [{"type": "header", "text": plain("x")}], [{"type": "header", "text": mrkdwn("x")}]),
    ("context", [context(10)], [context(11)]),
    ("context empty", [context(1)], [context(0)]),
    ("actions", [actions(*[button()] * 25)], [actions(*[button()] * 26)]),
    ("button text", [actions(button("x" * 75))], [actions(button("x" * 76))]),
    ("button value", [actions(button(value="x" * 2000))], [actions(button(value="x" * 2001))]),
    (
        "button url",
        [actions(button(url="https://x/".ljust(3000, "y")))],
        [actions(button(url="https://x/".ljust(3001, "y")))],
    ),
    ("button style", [actions(button(style="danger"))], [actions(button(style="green"))]),
    ("action id", [actions(button(action_id="x" * 255))], [actions(button(action_id="x" * 256))]),
    (
        "duplicate action ids",
        [actions(button(action_id="a"), button(action_id="b"))],
        [actions(button(action_id="a"), button(action_id="a"))],
    ),
    ("block id", [section(block_id="x" * 255)], [section(block_id="x" * 256)]),
    ("duplicate block ids", [section(block_id="a"), section()], [section(block_id="a"), section(block_id="a")]),
    ("alt text", [image(alt_text="x" * 2000)], [image(alt_text="x" * 2001)]),
    ("alt text empty", [image()], [image(alt_text="")]),
    ("image scheme", [image()], [image(image_url="file:///etc/passwd")]),
    ("image url", [image(image_url="http://x/".ljust(3000, "y"))], [image(image_url="http://x/".ljust(3001, "y"))]),
    ("accessory", [section(accessory=image())], [section(accessory={"type": "divider"})]),
    ("section without text", [section()], [{"type": "section"}]),
    ("unknown type", [section()], [{"type": "carousel"}]),
    ("unknown member", [section()], [section(colour="red")]),
    ("text object", [section()], [{"type": "section", "text": "x"}]),
    ("mrkdwn emoji", [section()], [{"type": "section", "text": {**mrkdwn("x"), "emoji": True}}]),
    ("not an object", [section()], ["x"]),
]


@pytest.mark.parametrize(("valid", "invalid"), [case[1:] for case in LIMITS], ids=[case[0] for case in LIMITS])
def test_limits_are_exact(valid: list[Any], invalid: list[Any]) -> None:
    assert complaints(valid) == []
    assert complaints(invalid) != []


def test_error_contains_a_json_pointer() -> None:
    errors = complaints([section(), fields("x", "y" * 2001), {"type": "header", "text": plain("")}])

    assert errors == [
        "must be less than 2001 characters [json-pointer:/blocks/1/fields/1/text]",
        "must be more than 0 characters [json-pointer:/blocks/2/text/text]",
    ]


def test_total_length_counts_all_texts() -> None:
    assert total_length([section("abc"), fields("de", "f"), actions(button("gh"))]) == 8


def test_limits_agree_with_slackblocks() -> None:
    import slackblocks as sb

    refused_by_library: dict[str, Callable[[], Any]] = {
        "section text": lambda: sb.SectionBlock(sb.Text("x" * 3001)),
        "field text": lambda: sb.SectionBlock(fields=[sb.Text("x" * 2001)]),
        "fields": lambda: sb.SectionBlock(fields=[sb.Text("x")] * 11),
        "header": lambda: sb.HeaderBlock("x" * 151),
        "button text": lambda: sb.Button("x" * 76, action_id="a"),
        "blocks": lambda: sb.Message(channel="C1", blocks=[sb.DividerBlock()] * 51),
    }
    for build in refused_by_library.values():
        with pytest.raises(sb.errors.InvalidUsageError):
            build()
    by_name = {name: invalid for name, _, invalid in LIMITS}
    assert all(complaints(by_name[name]) for name in refused_by_library)


def test_blocks_built_by_slack_sdk_are_valid() -> None:
    from slack_sdk.models import blocks as b

    blocks = [
        b.HeaderBlock(text="Checkout"),
        b.SectionBlock(text="*x*", fields=["a", "b"], accessory=b.ButtonElement(text="Go", action_id="go")),
        b.ContextBlock(
            elements=[b.MarkdownTextObject(text="c"), b.ImageElement(image_url="https://x/y", alt_text="z")]
        ),
        b.ActionsBlock(elements=[b.ButtonElement(text="Open", url="https://x", action_id="open", style="primary")]),
        b.ImageBlock(image_url="https://x/y.png", alt_text="graph", title="Graph"),
        b.DividerBlock(),
    ]

    assert complaints([block.to_dict() for block in blocks]) == []
