"""Slack's text markup: escaping, the people that a text notifies, and its links.

A control sequence stands between angle brackets: ``<!channel>``, ``<@U...>``, ``<!subteam^S...>``,
``<#C...>``, ``<!date^...>``, ``<https://...|label>``. It works inside code too.
Source: https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import re
from collections.abc import Collection

from incident_sandbox.entities import Notifications

MASS_MENTIONS = ("channel", "here", "everyone")
SEQUENCE = re.compile(
    r"<(?:!(?P<mass>channel|here|everyone|group)(?:\|[^<>]*)?"
    r"|!subteam\^(?P<group>[A-Z0-9]+)(?:\|[^<>]*)?"
    r"|!date\^[^<>]+"
    r"|@(?P<user>[UWB][A-Z0-9]+)(?:\|[^<>]*)?"
    r"|\#(?P<channel>[CG][A-Z0-9]+)(?:\|[^<>]*)?"
    r"|(?P<url>(?:https?://|mailto:|tel:|slack://)[^<>|\s]+)(?:\|(?P<label>[^<>]*))?)>"
)
LONE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt);)")
BARE_URL = re.compile(r"https?://[^\s<>|]+")
BARE_MENTION = re.compile(r"(?<![\w<!@])@([\w.\-]+)")


def escape(text: str) -> str:
    """Encode the three characters of markup, without encoding what is encoded already."""
    return LONE_AMPERSAND.sub("&amp;", text).replace("<", "&lt;").replace(">", "&gt;")


def as_stored(text: str) -> str:
    """Return a mrkdwn text as Slack gives it back: all escaped but the control sequences."""
    parts, end = [], 0
    for match in SEQUENCE.finditer(text):
        parts += [escape(text[end : match.start()]), match.group()]
        end = match.end()
    return "".join([*parts, escape(text[end:])])


def notifications(text: str) -> Notifications:
    """Return the people that the markup of a text notifies, and its links."""
    found = Notifications()
    for match in SEQUENCE.finditer(text):
        groups = match.groupdict()
        if groups["mass"]:
            found.mass.append("channel" if groups["mass"] == "group" else groups["mass"])
        elif groups["group"]:
            found.usergroups.append(groups["group"])
        elif groups["user"]:
            found.users.append(groups["user"])
        elif groups["channel"]:
            found.channels.append(groups["channel"])
        elif groups["url"]:
            found.links.append({"url": groups["url"], "label": groups["label"]})
    found.links += [{"url": url, "label": None} for url in BARE_URL.findall(SEQUENCE.sub(" ", text))]
    unique = Notifications()
    unique.extend(found)
    return unique


def bare_mentions(text: str, handles: Collection[str]) -> Notifications:
    """Return the people that plain ``@names`` notify if ``link_names`` is set.

    :param handles: the handles of the user groups that such a name can mean.
    """
    found = Notifications()
    for name in BARE_MENTION.findall(SEQUENCE.sub(" ", text)):
        handle = name.rstrip(".")
        if handle in MASS_MENTIONS and handle not in found.mass:
            found.mass.append(handle)
        elif handle in handles and handle not in found.usergroups:
            found.usergroups.append(handle)
    return found
