"""
Messages in the thread under the brief: incident updates, notes of a DAG author, and failures of other DAGs.

An update says what happened since the last one, most important first. Repeated notifications of a noisy monitor are
one line with counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from airflow_incident_provider.lifecycle.records import UpdateItem, UpdateKind
from airflow_incident_provider.messages.blocks import (
    Message,
    TruncatedList,
    fallback_text,
    first_few,
    sections,
    split_into_messages,
)
from airflow_incident_provider.messages.brief import invited_entries, mention_names, not_invited_entries
from airflow_incident_provider.messages.mrkdwn import Mrkdwn, bold, clock, code_span, inline, join, link
from airflow_incident_provider.messages.plain import decode_mrkdwn
from airflow_incident_provider.models import Invitation, Model, NotInvited, UtcDatetime

_TITLE = 150
_TITLES_SHOWN = 3
_FALLBACK_LINES = 5
_AGAIN = {
    "Triggered": "Triggered again",
    "Re-Triggered": "Re-triggered",
    "Warn": "Warned again",
    "Re-Warn": "Warned again",
    "No Data": "No data again",
    "Re-No Data": "No data again",
    "Renotify": "Still firing, says the monitor",
    "incident updated": "Changed in Datadog",
    "manual": "Reported again",
}
_BESIDE_WHICH_A_REPEAT_SAYS_NOTHING = frozenset(
    {UpdateKind.SEVERITY, UpdateKind.STATUS, UpdateKind.COMMANDER, UpdateKind.TITLE, UpdateKind.RESPONDERS}
)


class IncidentUpdate(Model):
    """
    What one update tells.

    :param dropped: how many notifications are in none of the items.
    :param since: a moment whose date the reader knows: when the incident began.
    :param alerts: how many alerts the incident has; of a single one the title says nothing new.
    :param firing: how many of them fire.
    :param invited: who was asked into the room for this.
    """

    items: tuple[UpdateItem, ...] = ()
    dropped: int = 0
    since: UtcDatetime
    alerts: int = 1
    firing: int = 1
    invited: tuple[Invitation, ...] = ()
    not_invited: tuple[NotInvited, ...] = ()

    def of(self, kind: UpdateKind) -> tuple[UpdateItem, ...]:
        """Return the items of a kind."""
        return tuple(item for item in self.items if item.kind is kind)


def update_messages(news: IncidentUpdate) -> list[Message]:
    """Return the update as a message, or more if it is long; none when there is nothing to tell."""
    lines = [line for tell in _PARTS for line in tell(news)]
    told = mention_names(news.invited)
    words = "\n".join(decode_mrkdwn(line, told).replace("*", "") for line in lines[:_FALLBACK_LINES])
    return split_into_messages(words, sections(lines), told)


def _severity(news: IncidentUpdate) -> list[Mrkdwn]:
    return [
        Mrkdwn(f"*Severity {inline(item.before or '', 40)} → {inline(item.after or '', 40)}*")
        for item in news.of(UpdateKind.SEVERITY)
    ]


def _people(news: IncidentUpdate) -> list[Mrkdwn]:
    lists = (
        TruncatedList(Mrkdwn("*Invited now*"), tuple(invited_entries(news.invited)), 12, 900, ", "),
        TruncatedList(Mrkdwn("not invited:"), tuple(not_invited_entries(news.not_invited)), 5, 1_100),
    )
    return [line for listing in lists if (line := listing.short())]


def _changes(news: IncidentUpdate) -> list[Mrkdwn]:
    """Return what the Datadog incident says of itself."""
    words = {UpdateKind.STATUS: "Status in Datadog", UpdateKind.COMMANDER: "Commander", UpdateKind.TITLE: "Title"}
    return [
        Mrkdwn(f"{words[kind]}: {inline(item.before or 'nobody yet', _TITLE)} → {bold(item.after or 'none')}")
        for kind in words
        for item in news.of(kind)
    ]


def _joined(news: IncidentUpdate) -> list[Mrkdwn]:
    return _about_alerts(
        news, UpdateKind.JOINED, lambda count: "*Another alert*" if count == 1 else f"*{count} more alerts*"
    )


def _firing_again(news: IncidentUpdate) -> list[Mrkdwn]:
    return _about_alerts(
        news,
        UpdateKind.FIRING_AGAIN,
        lambda count: "*Fires again*" if count == 1 else f"*{count} alerts fire again*",
    )


def _alerts_recovered(news: IncidentUpdate) -> list[Mrkdwn]:
    left = f" · {news.firing} still firing" if news.firing else ""
    found = _about_alerts(
        news, UpdateKind.ALERT_RECOVERED, lambda count: "Recovered" if count == 1 else f"{count} alerts recovered"
    )
    return [Mrkdwn(f"{line}{left}") for line in found]


def _about_alerts(news: IncidentUpdate, kind: UpdateKind, head: Callable[[int], str]) -> list[Mrkdwn]:
    """Return one line for all alerts of which the same is told."""
    items = news.of(kind)
    if not items:
        return []
    titles = first_few([inline(item.title or "(no title)", _TITLE) for item in items], _TITLES_SHOWN)
    return [Mrkdwn(f"{head(len(items))}: {titles}")]


def _repeats(news: IncidentUpdate) -> list[Mrkdwn]:
    """Return that alerts were told of again: how often, since when, and which, where there are several."""
    items = news.of(UpdateKind.REPEATED)
    said = {item.kind for item in news.items}
    if not items or (said & _BESIDE_WHICH_A_REPEAT_SAYS_NOTHING and all(_is_of_datadog(item) for item in items)):
        return []
    verbs = {_AGAIN.get(item.after or "", "Told of again") for item in items}
    verb = verbs.pop() if len(verbs) == 1 else "Told of again"
    line = f"{verb} {_how_often(items, news)}"
    if news.alerts > 1:
        line += f": {first_few([_of_alert(item) for item in _most_first(items)], _TITLES_SHOWN)}"
    return [Mrkdwn(line)]


def _is_of_datadog(item: UpdateItem) -> bool:
    """Return whether this only says that a Datadog incident changed, beside what changed."""
    return item.after == "incident updated"


def _how_often(items: Sequence[UpdateItem], news: IncidentUpdate) -> str:
    """Return ``7 times since 09:41, last 09:47 UTC``, or ``at 09:41 UTC`` for once."""
    count = sum(item.count for item in items)
    first = min(item.first_at or item.at for item in items)
    last = max(item.at for item in items)
    begin, end = (clock(at, seconds=False, seen_from=news.since) for at in (first, last))
    if count == 1:
        return f"at {end} UTC"
    return f"{count} times, all at {end} UTC" if begin == end else f"{count} times since {begin}, last {end} UTC"


def _most_first(items: Sequence[UpdateItem]) -> list[UpdateItem]:
    return sorted(items, key=lambda item: item.count, reverse=True)


def _of_alert(item: UpdateItem) -> Mrkdwn:
    times = f" ({item.count} times)" if item.count > 1 else ""
    return Mrkdwn(f"{inline(item.title or '(no title)', _TITLE)}{times}")


def _dropped(news: IncidentUpdate) -> list[Mrkdwn]:
    if not news.dropped:
        return []
    return [Mrkdwn(f"and {news.dropped} more notifications that are counted, but not listed")]


_PARTS: tuple[Callable[[IncidentUpdate], list[Mrkdwn]], ...] = (
    _severity,
    _people,
    _changes,
    _joined,
    _firing_again,
    _alerts_recovered,
    _repeats,
    _dropped,
)


def note_messages(text: str) -> list[Message]:
    """Return the text as one message, or more if it is long; nothing when it is empty."""
    lines = [inline(line) for line in text.splitlines() if line.strip()]
    return split_into_messages(text, sections(lines))


def task_failure(task: str, *, try_number: int, error: str | None, log_url: str | None) -> Message:
    """Return that a task failed for good.

    :param error: what is known of the error, in words that may be shown.
    """
    facts = [
        Mrkdwn(f"{bold('Task')} {code_span(task)} {bold('failed')}"),
        Mrkdwn(f"try {try_number}" if try_number > 1 else ""),
        inline(error or ""),
        link(log_url, "Log") if log_url else Mrkdwn(""),
    ]
    return Message(fallback_text(f"Task {task} failed"), tuple(sections([join(facts)])))


def run_failure(reason: str | None) -> Message:
    """Return that the run as a whole failed.

    :param reason: Airflow's word for it.
    """
    facts = [bold("The run failed"), inline((reason or "").replace("_", " "))]
    return Message(fallback_text("The run failed"), tuple(sections([join(facts)])))
