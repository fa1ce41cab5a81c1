"""What was measured: a line of JSON each, written at once, so that a run that breaks off has lost nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


class Results:
    """
    The records of one file.

    :param file: where they are; read if it is there.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._records: list[dict[str, Any]] = []
        if file.exists():
            self._records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    def add(self, kind: str, **fields: Any) -> None:
        """Write one record, with the time."""
        record = {"kind": kind, "at": round(time.time(), 3), **fields}
        self._records.append(record)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")

    def of(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        """Return the records of a kind whose fields have these values, in the order they were made."""
        return [
            record
            for record in self._records
            if record["kind"] == kind and all(record[name] == value for name, value in wanted.items())
        ]

    def forget(self) -> None:
        """Begin afresh."""
        self._records.clear()
        self._file.unlink(missing_ok=True)
