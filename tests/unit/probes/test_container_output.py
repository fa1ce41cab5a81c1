"""What a container printed is taken apart, made plain and kept small."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.probes import evidence_text
from airflow_incident_provider.probes.output import bounded, plain_text, split_output


def test_facts_and_evidence_are_told_apart() -> None:
    facts, evidence = split_output(b"@status=503\n| HTTP/1.1 503\n| @status=200\nnoise\n@reason=a=b\n")
    assert facts == {"status": "503", "reason": "a=b"}
    assert evidence == "HTTP/1.1 503\n@status=200"


def test_first_of_two_facts_counts() -> None:
    assert split_output(b"@status=503\n@status=200\n")[0] == {"status": "503"}


@given(st.binary(max_size=300))
def test_marked_output_never_becomes_a_fact(hostile: bytes) -> None:
    """As ``sed 's/^/| /'`` marks it: before the text, and after each newline."""
    marked = b"| " + hostile.replace(b"\n", b"\n| ") + b"\n@real=1\n"
    assert split_output(marked)[0] == {"real": "1"}


def test_other_line_separators_begin_no_line() -> None:
    for separator in ("\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"):
        assert split_output(f"| a{separator}@status=200\n".encode())[0] == {}


@given(st.text(), st.integers(min_value=20, max_value=200))
def test_evidence_is_within_its_bound_and_plain(text: str, limit: int) -> None:
    evidence = evidence_text(text.encode("utf-8", "surrogatepass"), limit)
    assert len(evidence.encode()) <= limit
    assert all(character.isprintable() or character in "\n" or ord(character) >= 0xA0 for character in evidence)


def test_cut_falls_on_a_line_border_and_between_characters() -> None:
    assert bounded("one\ntwo\nthree", 12) == "one\n[cut]"
    assert bounded("é" * 20, 11) == "éé\n[cut]"
    assert bounded("short", 5) == "short"


def test_secret_is_removed_before_the_cut() -> None:
    text = "x" * 60 + " password=" + "hunter2" * 20
    assert "hunter" not in evidence_text(text.encode(), 90)


def test_terminal_sequences_are_removed_whole() -> None:
    hostile = (
        b"\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ \xc2\x9b2Jx\x1bcreset\x08\x00"
    )
    assert plain_text(hostile) == "red link xreset"


def test_bytes_that_are_no_utf8_are_shown_as_such() -> None:
    assert plain_text(b"a\xff\xfeb") == "a\ufffd\ufffdb"
