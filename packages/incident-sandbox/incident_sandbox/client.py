"""A client for the sandbox's control API, for tests and tools in another process."""

from __future__ import annotations

from typing import Any

import requests

from incident_sandbox.faults import Fault

TIMEOUT = 30.0


class SandboxClient:
    """Calls the control API of a running sandbox.

    :param url: the server's root.
    """

    def __init__(self, url: str) -> None:
        self._root = f"{url.rstrip('/')}/sandbox"

    def _call(self, verb: str, path: str, **kwargs: Any) -> Any:
        response = requests.request(verb, f"{self._root}/{path}", timeout=TIMEOUT, **kwargs)
        response.raise_for_status()
        return response.json() if response.content else None

    def state(self, *, everybody: bool = False) -> dict[str, Any]:
        """Return the whole workspace."""
        state: dict[str, Any] = self._call("GET", "state", params={"everybody": everybody})
        return state

    def channel(self, id_or_name: str) -> dict[str, Any]:
        """Return one channel with its messages."""
        channel: dict[str, Any] = self._call("GET", f"channels/{id_or_name}")
        return channel

    def calls(self, method: str | None = None, *, after: int = 0) -> list[dict[str, Any]]:
        """Return the logged calls in the order they arrived."""
        calls: list[dict[str, Any]] = self._call("GET", "calls", params={"method": method, "after": after})
        return calls

    def reset(self) -> None:
        """Go back to the seeded workspace."""
        self._call("POST", "reset")

    def add_fault(self, fault: Fault) -> int:
        """Order a fault and return its id."""
        return int(self._call("POST", "faults", json=fault.model_dump(mode="json"))["id"])

    def faults(self) -> list[dict[str, Any]]:
        """Return the ordered faults with their counts."""
        faults: list[dict[str, Any]] = self._call("GET", "faults")
        return faults

    def clear_faults(self) -> None:
        """Cancel every fault."""
        self._call("DELETE", "faults")

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Change settings and return all of them."""
        settings: dict[str, Any] = self._call("PUT", "settings", json=changes)
        return settings

    def add_members(self, *, count: int = 0, people: list[dict[str, Any]] | None = None) -> int:
        """Add people, generated or given, and return how many members there are."""
        answer = self._call("POST", "members", json={"count": count, "people": people or []})
        return int(answer["member_count"])

    def add_channel(self, name: str, **channel: Any) -> dict[str, Any]:
        """Make a channel as it is described."""
        made: dict[str, Any] = self._call("POST", "channels", json={"name": name, **channel})
        return made

    def add_token(self, name: str, *, scopes: list[str], **token: Any) -> str:
        """Hand out a token and return its value."""
        return str(self._call("POST", "tokens", json={"name": name, "scopes": scopes, **token})["value"])

    def add_usergroup(self, **group: Any) -> None:
        """Add a user group."""
        self._call("POST", "usergroups", json=group)
