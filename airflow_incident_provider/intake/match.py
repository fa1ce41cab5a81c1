"""Which incidents a rule of the routing table is for."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable

from airflow_incident_provider.intake.table_fields import AtLeast, Names, Sources, Strict
from airflow_incident_provider.models import Incident, Severity

_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Match(Strict):
    """Which incidents a rule is for: all that is given must hold, of a list any one.

    Case does not matter. ``severity`` means at least this bad; ``host`` is a pattern with ``*`` and ``?``.
    """

    service: Names = ()
    team: Names = ()
    env: Names = ()
    severity: AtLeast = None
    tag: Names = ()
    host: Names = ()
    source: Sources = ()

    def matches(self, incident: Incident) -> bool:
        """Return whether a rule with this match is for ``incident``."""
        return (
            _any_equal(self.service, incident.services)
            and _any_equal(self.team, incident.teams)
            and _any_equal(self.env, (incident.env,) if incident.env else ())
            and _any_equal(self.tag, incident.tags)
            and _any_like(self.host, incident.hosts)
            and (not self.source or incident.source in self.source)
            and (self.severity is None or _RANKS[incident.severity] <= _RANKS[self.severity])
        )


def _any_equal(wanted: Collection[str], found: Iterable[str]) -> bool:
    return not wanted or not {name.casefold() for name in wanted}.isdisjoint(name.casefold() for name in found)


def _any_like(patterns: Collection[str], found: Collection[str]) -> bool:
    return not patterns or any(
        fnmatch.fnmatchcase(name.casefold(), pattern.casefold()) for name in found for pattern in patterns
    )
