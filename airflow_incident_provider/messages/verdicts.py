"""How the room counts what the probes concluded."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_incident_provider.models import Verdict

_COUNTED_AS = {
    Verdict.FAIL: "failing",
    Verdict.WARN: "warning",
    Verdict.UNKNOWN: "unknown",
    Verdict.OK: "fine",
}


def counts(verdicts: Mapping[Verdict, int]) -> str:
    """Return ``1 failing, 1 warning, 3 fine``, the worst first; what was not checked is not counted."""
    found = [f"{verdicts[v]} {words}" for v, words in _COUNTED_AS.items() if verdicts.get(v)]
    return ", ".join(found) or "nothing was checked"
