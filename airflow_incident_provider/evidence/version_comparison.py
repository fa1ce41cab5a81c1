"""Whether a version is to blame: it fails more, or is slower, than those beside it or before it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from airflow_incident_provider.evidence.model import Cause, Support
from airflow_incident_provider.evidence.observations import (
    LEAST_ERROR_SHARE,
    Change,
    Observations,
    VersionSeen,
    fails_more,
    value_of,
)
from airflow_incident_provider.evidence.series import MINUTE_S
from airflow_incident_provider.evidence.weighing import Draft

_PROVEN_S = 10 * 60
_SLOWER = 1.5


def identified(change: Change, versions: Sequence[VersionSeen]) -> Change:
    """Return a change with the version that its title names, where it has none and one that served is named."""
    if change.version is not None or change.kind is not Cause.DEPLOYMENT:
        return change
    named = [each.version for each in versions if _names(change.title, each.version)]
    return replace(change, version=named[0]) if len(named) == 1 else change


def _names(title: str, version: str) -> bool:
    return re.search(rf"(?<![\w.-])v?{re.escape(version)}(?![\w-]|\.\w)", title) is not None


def weigh_versions(draft: Draft, seen: Observations, change: Change, onset: int) -> None:
    """Weigh a deployment by how the version that it brought compares."""
    versions = value_of(seen.versions)
    if versions is None or change.kind is not Cause.DEPLOYMENT:
        return
    new = next((each for each in versions if each.version == change.version), None)
    if change.version is None:
        arrived = [each for each in versions if each.first_seen is not None and each.first_seen <= onset]
        new = arrived[-1] if arrived else None
    if new is None:
        return
    if _was_replaced(new, change, seen, onset):
        draft.contradict("versions", f"{new.version} was replaced before the onset, and served no request since")
        return
    if new.error_share is None:
        return
    # The onset is a point of a series, which covers the time up to the next one; versions are counted by minutes.
    metric = value_of(seen.metric)
    end = metric.latest_onset if metric else onset + MINUTE_S
    if _came_after(new, end):
        draft.contradict("versions", f"{new.version} served no request before the onset")
        return
    # What came later, such as a correction that fails too, says nothing about the version at the onset.
    others = [each for each in versions if each is not new and not _came_after(each, end)]
    if _ran_well_before(new, onset):
        than = "as well as the version before it" if new.first_seen is not None else "without what it shows since"
        draft.contradict("versions", f"{new.version} served before the onset {than}")
        return
    worse = _worse_than(new, others)
    for kind, text in worse:
        draft.support(kind, "versions", text)
    if not worse and any(_as_bad(each, new) for each in others):
        draft.contradict("versions", "the other versions are as bad")


def _was_replaced(version: VersionSeen, change: Change, seen: Observations, onset: int) -> bool:
    """Return whether a later deployment took the place of a version before the onset.

    One that only stopped to serve may have crashed.
    """
    changes = value_of(seen.changes)
    later = (each for each in (changes.before if changes else ()) if each.at > change.at and each.at <= onset)
    replaced = any(
        each.kind is Cause.DEPLOYMENT and each.service == change.service and each.version != version.version
        for each in later
    )
    return replaced and version.last_seen + MINUTE_S <= onset


def _came_after(version: VersionSeen, end: int) -> bool:
    return version.first_seen is not None and version.first_seen > end


def _worse_than(new: VersionSeen, others: list[VersionSeen]) -> list[tuple[Support, str]]:
    """Return in what a version is worse than those that serve beside it, else than those that served before it."""
    if not others:
        # There is nothing that it could be worse than.
        return []
    found = []
    beside = [each for each in others if each.error_share is not None]
    shares = [each.error_share if beside else each.errors_before for each in beside or others]
    latencies = [each.latency if beside else each.latency_before for each in beside or others]
    than = "the other versions" if beside else "before"
    if fails_more(new.error_share or 0.0, max((each or 0.0 for each in shares), default=0.0)):
        found.append((Support.VERSION_FAILS_MORE, f"{new.version} fails more than {than}"))
    slowest = max((each for each in latencies if each is not None), default=None)
    if new.latency is not None and slowest is not None and new.latency >= _SLOWER * slowest:
        found.append((Support.VERSION_SLOWER, f"{new.version} is slower than {than}"))
    return found


def _as_bad(other: VersionSeen, new: VersionSeen) -> bool:
    """Return whether another version that serves at the same time fails as much, or became as slow."""
    if other.error_share is None:
        return False
    if other.error_share >= LEAST_ERROR_SHARE and other.error_share >= (new.error_share or 0.0) / 2:
        return True
    return _slower_than_before(other) and (other.latency or 0.0) * _SLOWER >= (new.latency or 0.0)


def _slower_than_before(version: VersionSeen) -> bool:
    known = version.latency is not None and version.latency_before is not None
    return known and (version.latency or 0.0) >= _SLOWER * (version.latency_before or 0.0)


def _ran_well_before(version: VersionSeen, onset: int) -> bool:
    """Return whether a version served for a while, and failed less or was faster, before the onset."""
    # One that served from the beginning of the history did so for hours: it was deployed again.
    if version.errors_before is None or (version.first_seen is not None and onset - version.first_seen < _PROVEN_S):
        return False
    return fails_more(version.error_share or 0.0, version.errors_before) or _slower_than_before(version)
