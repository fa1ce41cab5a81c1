"""The probes that there are: the built-in ones, and those that installed packages add."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import entry_points

from airflow_incident_provider.probes.builtin import BUILTIN_PROBES
from airflow_incident_provider.probes.probe import CONTROL, Probe

ENTRY_POINT_GROUP = "airflow_incident_provider.probes"
"""The entry point group by which a package adds a probe; each entry point names a :class:`Probe`."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@cache
def catalogue() -> tuple[Probe, ...]:
    """Return every probe: the built-in ones, then those of installed packages, by name.

    :raises TypeError: an entry point does not name a :class:`Probe`.
    :raises ValueError: a probe has a name that is taken or malformed.
    """
    probes = {probe.name: probe for probe in BUILTIN_PROBES}
    for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda each: each.name):
        probe = entry_point.load()
        if not isinstance(probe, Probe):
            raise TypeError(f"The entry point {entry_point.name} ({entry_point.value}) does not name a Probe.")
        if probe.name in probes or not _NAME.fullmatch(probe.name):
            raise ValueError(f"The probe name {probe.name!r} of {entry_point.value} is taken or malformed.")
        probes[probe.name] = probe
    return tuple(probes.values())


def get_probe(name: str) -> Probe:
    """Return the probe of this name; ``host_facts``, the control's name in version 0.1.0, included.

    :raises LookupError: there is no such probe; the message lists those that there are.
    """
    wanted = CONTROL if name == "host_facts" else name
    for probe in BUILTIN_PROBES:
        if probe.name == wanted:
            return probe
    for probe in catalogue():
        if probe.name == wanted:
            return probe
    raise LookupError(f"There is no probe {name!r}: there are {', '.join(probe.name for probe in catalogue())}.")
