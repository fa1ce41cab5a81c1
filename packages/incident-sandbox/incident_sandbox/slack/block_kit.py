"""Block Kit's rules for the blocks of a message, as a table of limits and a walk over the blocks.

Every complaint reads as Slack writes it, with a JSON pointer to the culprit.
Source: https://docs.slack.dev/reference/block-kit
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

Json = dict[str, Any]
Complaints = Iterator[str]
Check = Callable[[Json, str], Complaints]

MAX_BLOCKS = 50
MAX_TOTAL = 13_200
MAX_FIELDS, MAX_CONTEXT, MAX_ACTIONS, MAX_OPTIONS = 10, 10, 25, 100
SECTION, FIELD, HEADER, BUTTON, TITLE, MARKDOWN = 3000, 2000, 150, 75, 2000, 12_000
VIEW_TITLE, PRIVATE_METADATA, MAX_VIEW_BLOCKS = 24, 3000, 100
ID, URL, VALUE, ALT, PLACEHOLDER = 255, 3000, 2000, 2000, 150
STYLES = ("primary", "danger")
SELECT_NAMES = (
    "static_select external_select users_select conversations_select channels_select multi_static_select "
    "multi_external_select multi_users_select multi_conversations_select multi_channels_select overflow "
    "datepicker timepicker datetimepicker checkboxes radio_buttons plain_text_input workflow_button"
)
SELECTS = frozenset(SELECT_NAMES.split())


def complaints(blocks: list[Any]) -> list[str]:
    """Return what is wrong with a message's blocks; nothing when Slack would take them."""
    found = []
    if len(blocks) > MAX_BLOCKS:
        found.append(f"no more than {MAX_BLOCKS} items allowed [json-pointer:/blocks]")
    for index, block in enumerate(blocks):
        found += _block(block, f"/blocks/{index}")
    return found + list(_repeated(blocks))


def view_complaints(view: Json) -> list[str]:
    """Return the problems of a modal's view; nothing if Slack accepts it."""
    found = []
    if view.get("type") != "modal":
        found.append(_complaint("must be modal", "/view/type"))
    for name, required in (("title", True), ("submit", False), ("close", False)):
        if required or name in view:
            found += _text_object(view.get(name), VIEW_TITLE, f"/view/{name}", plain=True)
    found += _text_member(view, "private_metadata", PRIVATE_METADATA, "/view", required=False)
    found += _text_member(view, "callback_id", ID, "/view", required=False)
    blocks = view.get("blocks")
    if not isinstance(blocks, list):
        return [*found, _complaint("missing required field: blocks", "/view")]
    if len(blocks) > MAX_VIEW_BLOCKS:
        found.append(_complaint(f"no more than {MAX_VIEW_BLOCKS} items allowed", "/view/blocks"))
    for index, block in enumerate(blocks):
        at = f"/view/blocks/{index}"
        is_input = isinstance(block, dict) and block.get("type") == "input"
        found += _input(block, at) if is_input else _block(block, at)
    if any(isinstance(block, dict) and block.get("type") == "input" for block in blocks) and "submit" not in view:
        found.append(_complaint("missing required field: submit", "/view"))
    return found + list(_repeated(blocks))


def total_length(blocks: list[Any]) -> int:
    """Return the number of characters of all texts in the blocks."""
    return sum(len(text) for text in strings_named(blocks, ("text",)))


def strings_named(value: Any, names: Collection[str]) -> Iterator[str]:
    """Yield every string that has one of the names, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in names and isinstance(inner, str):
                yield inner
            else:
                yield from strings_named(inner, names)
    elif isinstance(value, list):
        for inner in value:
            yield from strings_named(inner, names)


def _complaint(message: str, pointer: str) -> str:
    return f"{message} [json-pointer:{pointer}]"


def _block(block: Any, at: str) -> Complaints:
    if not isinstance(block, dict):
        yield _complaint("must be an object", at)
        return
    rule = BLOCKS.get(str(block.get("type")))
    if rule is None:
        yield _complaint(f"unsupported type: {block.get('type')}", f"{at}/type")
        return
    allowed, check = rule
    yield from _unknown(block, allowed | {"type", "block_id"}, at)
    yield from _text_member(block, "block_id", ID, at, required=False)
    yield from check(block, at)


def _unknown(value: Json, allowed: frozenset[str] | set[str], at: str) -> Complaints:
    for name in value.keys() - allowed:
        yield _complaint(f"invalid additional property: {name}", at)


def _text_member(value: Json, name: str, limit: int, at: str, *, required: bool = True) -> Complaints:
    """Check a member that is a plain string."""
    text = value.get(name)
    if text is None:
        if required:
            yield _complaint(f"missing required field: {name}", at)
    elif not isinstance(text, str):
        yield _complaint("must be a string", f"{at}/{name}")
    elif required and not text:
        yield _complaint("must be more than 0 characters", f"{at}/{name}")
    elif len(text) > limit:
        yield _complaint(f"must be less than {limit + 1} characters", f"{at}/{name}")


def _text_object(value: Any, limit: int, at: str, *, plain: bool = False) -> Complaints:
    """Check a text object: plain_text, or mrkdwn where that is allowed."""
    if not isinstance(value, dict):
        yield _complaint("must be a valid text object", at)
        return
    kind = value.get("type")
    if kind != "plain_text" and (plain or kind != "mrkdwn"):
        yield _complaint(f"unsupported type: {kind}", f"{at}/type")
        return
    yield from _unknown(value, {"type", "text", "emoji" if kind == "plain_text" else "verbatim"}, at)
    yield from _text_member(value, "text", limit, at)


def _items(value: Any, most: int, at: str, check: Callable[[Any, str], Complaints]) -> Complaints:
    """Check a list of one to ``most`` items."""
    if not isinstance(value, list) or not value:
        yield _complaint("must contain at least 1 item", at)
        return
    if len(value) > most:
        yield _complaint(f"no more than {most} items allowed", at)
    for index, item in enumerate(value):
        yield from check(item, f"{at}/{index}")


def _section(block: Json, at: str) -> Complaints:
    if "text" not in block and "fields" not in block:
        yield _complaint("missing required field: text or fields", at)
    if "text" in block:
        yield from _text_object(block["text"], SECTION, f"{at}/text")
    if "fields" in block:
        yield from _items(
            block["fields"], MAX_FIELDS, f"{at}/fields", lambda item, where: _text_object(item, FIELD, where)
        )
    if "accessory" in block:
        yield from _element(block["accessory"], f"{at}/accessory")


def _header(block: Json, at: str) -> Complaints:
    yield from _text_object(block.get("text"), HEADER, f"{at}/text", plain=True)


def _context(block: Json, at: str) -> Complaints:
    def element(item: Any, where: str) -> Complaints:
        is_image = isinstance(item, dict) and item.get("type") == "image"
        return _element(item, where) if is_image else _text_object(item, SECTION, where)

    yield from _items(block.get("elements"), MAX_CONTEXT, f"{at}/elements", element)


def _actions(block: Json, at: str) -> Complaints:
    yield from _items(block.get("elements"), MAX_ACTIONS, f"{at}/elements", _interactive)


def _interactive(element: Any, at: str) -> Complaints:
    if isinstance(element, dict) and element.get("type") == "image":
        yield _complaint("unsupported type: image", f"{at}/type")
        return
    yield from _element(element, at)


def _image(block: Json, at: str) -> Complaints:
    yield from _text_member(block, "alt_text", ALT, at)
    if "slack_file" not in block:
        yield from _text_member(block, "image_url", URL, at)
        yield from _web_address(block, "image_url", at)
    if "title" in block:
        yield from _text_object(block["title"], TITLE, f"{at}/title", plain=True)


def _web_address(value: Json, name: str, at: str) -> Complaints:
    address = value.get(name)
    if isinstance(address, str) and address and not address.startswith(("http://", "https://")):
        yield _complaint("must be a valid URL", f"{at}/{name}")


def _element(element: Any, at: str) -> Complaints:
    kind = element.get("type") if isinstance(element, dict) else None
    if kind == "image":
        yield from _unknown(element, {"type", "image_url", "alt_text", "slack_file"}, at)
        yield from _image(element, at)
    elif kind == "button":
        yield from _button(element, at)
    elif kind in SELECTS:
        yield from _select(element, at)
    else:
        yield _complaint(f"unsupported type: {kind}", f"{at}/type")


def _button(element: Json, at: str) -> Complaints:
    yield from _unknown(element, BUTTON_MEMBERS, at)
    yield from _text_object(element.get("text"), BUTTON, f"{at}/text", plain=True)
    for name, limit in (("action_id", ID), ("url", URL), ("value", VALUE), ("accessibility_label", BUTTON)):
        yield from _text_member(element, name, limit, at, required=False)
    if element.get("style", "primary") not in STYLES:
        yield _complaint("must be one of: primary, danger", f"{at}/style")


def _select(element: Json, at: str) -> Complaints:
    yield from _text_member(element, "action_id", ID, at, required=False)
    if "placeholder" in element:
        yield from _text_object(element["placeholder"], PLACEHOLDER, f"{at}/placeholder", plain=True)
    if "options" in element:
        yield from _items(element["options"], MAX_OPTIONS, f"{at}/options", _option)


def _option(option: Any, at: str) -> Complaints:
    if not isinstance(option, dict):
        yield _complaint("must be an object", at)
        return
    yield from _text_object(option.get("text"), BUTTON, f"{at}/text")
    yield from _text_member(option, "value", ID, at)


def _rich_text(block: Json, at: str) -> Complaints:
    if not isinstance(block.get("elements"), list):
        yield _complaint("missing required field: elements", at)


def _markdown(block: Json, at: str) -> Complaints:
    yield from _text_member(block, "text", MARKDOWN, at)


def _anything(block: Json, at: str) -> Complaints:  # noqa: ARG001 - the signature of every check
    yield from ()


def _input(block: Json, at: str) -> Complaints:
    yield from _unknown(block, INPUT_MEMBERS, at)
    yield from _text_object(block.get("label"), TITLE, f"{at}/label", plain=True)
    if "hint" in block:
        yield from _text_object(block["hint"], TITLE, f"{at}/hint", plain=True)
    element = block.get("element")
    kind = element.get("type") if isinstance(element, dict) else None
    if not isinstance(element, dict) or (kind != "plain_text_input" and kind not in SELECTS):
        yield _complaint(f"unsupported type: {kind}", f"{at}/element/type")
        return
    yield from _select(element, f"{at}/element")


def _repeated(blocks: list[Any]) -> Complaints:
    """Complain of ids that are used twice: block ids in a message, action ids in a block."""
    dicts = [block for block in blocks if isinstance(block, dict)]
    yield from _twice(dicts, "block_id", "/blocks")
    for index, block in enumerate(dicts):
        elements = block.get("elements")
        if block.get("type") == "actions" and isinstance(elements, list):
            yield from _twice(
                [e for e in elements if isinstance(e, dict)], "action_id", f"/blocks/{index}/elements"
            )


def _twice(values: list[Json], name: str, at: str) -> Complaints:
    seen: set[str] = set()
    for value in values:
        identity = value.get(name)
        if isinstance(identity, str) and identity in seen:
            yield _complaint(f"`{name}` already exists: {identity}", at)
        elif isinstance(identity, str):
            seen.add(identity)


INPUT_MEMBERS = frozenset({"type", "block_id", "label", "element", "hint", "optional", "dispatch_action"})
BUTTON_MEMBERS = frozenset({"type", "text", "action_id", "url", "value", "style", "confirm", "accessibility_label"})

# Type -> the fields it may have besides `type` and `block_id`, and the check of their values.
BLOCKS: dict[str, tuple[frozenset[str], Check]] = {
    "section": (frozenset({"text", "fields", "accessory", "expand"}), _section),
    "header": (frozenset({"text"}), _header),
    "divider": (frozenset(), _anything),
    "context": (frozenset({"elements"}), _context),
    "actions": (frozenset({"elements"}), _actions),
    "image": (frozenset({"image_url", "slack_file", "alt_text", "title"}), _image),
    "rich_text": (frozenset({"elements"}), _rich_text),
    "markdown": (frozenset({"text"}), _markdown),
}
