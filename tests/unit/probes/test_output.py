"""Parse, sanitize and limit container output."""

from __future__ import annotations

import gzip
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.probes import ContainerOutput, evidence_text
from airflow_incident_provider.probes.output import bounded, plain_text, read_measurements

AT = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)


def measured(**values: bytes) -> bytes:
    """Return measurements in the output format of the probe."""
    lines = [f"{name} {b64encode(gzip.compress(value)).decode()}" for name, value in values.items()]
    return "\n".join([*lines, "complete", ""]).encode()


def test_measurements_are_read_unchanged() -> None:
    result = read_measurements(measured(clock=b"1795880653\n", body=bytes(range(256))))
    assert result.complete
    assert result.text("clock") == "1795880653"
    assert result.values["body"] == bytes(range(256))


@given(st.binary(max_size=2000))
def test_response_body_cannot_inject_a_measurement(hostile: bytes) -> None:
    result = read_measurements(measured(body=hostile, status=b"503"))
    assert (result.values["body"], result.values["status"], len(result.values)) == (hostile, b"503", 2)


@given(st.binary(max_size=2000))
def test_output_is_complete_only_with_its_end_marker(output: bytes) -> None:
    assert read_measurements(output).complete is (output.rstrip().rpartition(b"\n")[2] == b"complete")


def test_first_of_duplicate_measurements_wins() -> None:
    assert read_measurements(measured(a=b"1") + measured(a=b"2")).text("a") == "1"


def test_decompressed_size_is_limited() -> None:
    assert len(read_measurements(measured(body=bytes(50_000_000))).values["body"]) <= 262_144


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"error": "no engine"}, "could not run: no engine"),
        ({"exit_code": 0, "oom_killed": True}, "out of memory"),
        ({"timed_out": True}, "did not end in time"),
        ({"exit_code": 0, "truncated": True}, "more than is read"),
        ({"exit_code": 137}, "was killed"),
        ({"exit_code": 143}, "was killed"),
        ({}, "was killed"),
    ],
)
def test_incomplete_container_has_a_failure(output: dict[str, Any], words: str) -> None:
    assert words in str(ContainerOutput(started_at=AT, **output).failure)


@pytest.mark.parametrize("code", [0, 1, 3, 127, 128, 255])
def test_exited_container_has_no_failure(code: int) -> None:
    assert ContainerOutput(started_at=AT, exit_code=code).failure is None


@given(st.text(), st.integers(min_value=20, max_value=200))
def test_evidence_is_limited_and_printable(text: str, limit: int) -> None:
    evidence = evidence_text(text.encode("utf-8", "surrogatepass"), limit)
    assert len(evidence.encode()) <= limit
    assert all(character.isprintable() or character in "\n" or ord(character) >= 0xA0 for character in evidence)


def test_text_is_cut_between_lines_and_characters() -> None:
    assert bounded("one\ntwo\nthree", 12) == "one\n[cut]"
    assert bounded("é" * 20, 11) == "éé\n[cut]"
    assert bounded("short", 5) == "short"


def test_secret_is_redacted_before_the_cut() -> None:
    text = "x" * 60 + " password=" + "hunter2" * 20
    assert "hunter" not in evidence_text(text.encode(), 90)


def test_terminal_sequences_are_removed() -> None:
    hostile = (
        b"\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ \xc2\x9b2Jx\x1bcreset\x08\x00"
    )
    assert plain_text(hostile) == "red link xreset"


def test_invalid_utf8_is_replaced() -> None:
    assert plain_text(b"a\xff\xfeb") == "a\ufffd\ufffdb"
