"""What a set-up would do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Action(StrEnum):
    """What is to become of a thing; ``BY_HAND`` needs a person."""

    CREATE = "create"
    UPDATE = "update"
    KEEP = "keep"
    BY_HAND = "by hand"


@dataclass(frozen=True)
class Item:
    """A thing, what is to become of it, and how.

    :param detail: why, or what a person has to do; never a secret.
    """

    what: str
    action: Action
    detail: str
    do: Callable[[], object] | None = field(default=None, repr=False)

    def carry_out(self) -> None:
        """Do it, if there is anything to do."""
        if self.do is not None:
            self.do()

    def row(self, *, done: bool) -> dict[str, object]:
        """Return it as a line of the report.

        :param done: whether it was carried out.
        """
        is_done = done and self.action in (Action.CREATE, Action.UPDATE)
        return {"what": self.what, "action": f"{self.action}{' (done)' if is_done else ''}", "detail": self.detail}
