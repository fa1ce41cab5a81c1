"""An incident as a person checks it before it is opened."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_incident_provider.models import Incident


def preview(incident: Incident, *, dry_run: bool, routed: bool) -> str:
    """Return the incident, a line for each thing that is known.

    :param dry_run: whether nothing will be posted.
    :param routed: whether the routing table was at hand, so that everybody who comes is named.
    """
    return "\n".join(f"  {name:<12}{value}" for name, value in _lines(incident, dry_run, routed) if value)


def _lines(incident: Incident, dry_run: bool, routed: bool) -> Iterator[tuple[str, str]]:
    yield "Title", incident.title
    yield "Severity", incident.severity
    yield "Id", incident.id
    yield "Began", f"{incident.occurred_at:%Y-%m-%d %H:%M:%S} UTC"
    yield "Description", incident.description or ""
    yield "Service", ", ".join(incident.services)
    yield "Host", ", ".join(incident.hosts)
    yield "Environment", incident.env or ""
    yield "Team", ", ".join(incident.teams)
    yield "People", ", ".join(incident.responders) + ("" if routed else " (and whom the routing table there adds)")
    yield "Probed", ", ".join(str(target) for target in (*incident.targets, *incident.route.targets))
    yield "Links", ", ".join(link.url for link in incident.links)
    yield "Room", ("private" if incident.route.private else "public") + (" (dry-run: not made)" if dry_run else "")
    for flag in incident.flags:
        yield "Note", f"{flag.field}: {flag.note}"
