"""The service graph: calls between services, from the catalog, a file or the routing table.

Cycles and unknown services are normal: every walk visits a service once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ServiceGraph:
    """Directed calls between services: ``calls[caller]`` are its callees, in a stable order."""

    calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, edges: Iterable[tuple[str, str]]) -> ServiceGraph:
        """Return the graph of these (caller, callee) pairs; a service that calls itself is no edge."""
        calls: dict[str, dict[str, None]] = {}
        for caller, callee in edges:
            if caller != callee:
                calls.setdefault(caller, {})[callee] = None
        return cls({caller: tuple(sorted(callees)) for caller, callees in sorted(calls.items())})

    def merged(self, other: ServiceGraph) -> ServiceGraph:
        """Return the graph with the edges of both."""
        return ServiceGraph.of((*self.edges(), *other.edges()))

    def edges(self) -> Iterable[tuple[str, str]]:
        """Yield every (caller, callee) pair."""
        return ((caller, callee) for caller, callees in self.calls.items() for callee in callees)

    def callees(self, service: str) -> tuple[str, ...]:
        """Return the services that this one calls."""
        return self.calls.get(service, ())

    def callers(self, service: str) -> tuple[str, ...]:
        """Return the services that call this one."""
        return tuple(caller for caller, callees in self.calls.items() if service in callees)

    def paths(self, start: str, follow: Callable[[str], bool]) -> dict[str, tuple[str, ...]]:
        """Return the shortest path to every service that is reached over services that ``follow`` accepts.

        :returns: by service, the path from ``start`` to it, both included; ``start`` itself is among them.
        """
        found: dict[str, tuple[str, ...]] = {start: (start,)}
        queue = deque([start])
        while queue:
            service = queue.popleft()
            for callee in self.callees(service):
                if callee not in found and follow(callee):
                    found[callee] = (*found[service], callee)
                    queue.append(callee)
        return found

    def within(self, start: str, hops: int) -> tuple[str, ...]:
        """Return the services at most this many calls away, the nearest first, without ``start``."""
        paths = self.paths(start, lambda _: True)
        near = sorted((len(path), service) for service, path in paths.items() if 1 < len(path) <= hops + 1)
        return tuple(service for _, service in near)
