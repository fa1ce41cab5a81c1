"""
The probes themselves: for each a declaration ``NAME.py`` and a script ``NAME.sh``.

To add one, add the two files; nothing else has to know. The module must bind ``PROBE``.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from airflow_incident_provider.probes.declaration import Probe


@cache
def catalogue() -> tuple[Probe, ...]:
    """Return every probe, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(import_module(f"{__name__}.{name}").PROBE for name in names)


def get_probe(name: str) -> Probe:
    """Return the probe of this name.

    :raises LookupError: the catalogue has no such probe; the message lists those it has.
    """
    for probe in catalogue():
        if probe.name == name:
            return probe
    known = ", ".join(probe.name for probe in catalogue())
    raise LookupError(f"There is no probe {name!r}: the catalogue has {known}.")
