"""Reduce findings to templates for a language model: words that anybody could have put there are masked.

Log messages, titles, names of monitors, tags and server replies are written by others and may hold instructions.
Of them only words that the check itself uses remain, with tokens that hold a digit, and names known otherwise.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from airflow_incident_provider.models import Finding

MASK = "[*]"
"""The placeholder of masked words."""

_GENERATED = frozenset({"metric", "groups", "traffic", "versions", "dependencies", "signals"})
"""The checks whose summaries hold no text of others but single names: services, hosts, versions."""

_OF_CHECKS: Mapping[str, str] = {
    "changes": (
        "deployment feature flag configuration change by at utc min h before after the onset of still rolling "
        "out in same minute as no or last hours version"
    ),
    "errors": ("first seen came back utc in version times no new error errors known window the"),
    "logs": (
        "times before no error log logs message became more frequent in window only newest of each span were "
        "read the connection refused timeout timed out certificate expired pool exhausted memory dns"
    ),
    "monitors": (
        "also alerting since utc fired first min h before after this alert no other monitor of services "
        "around it alerts the"
    ),
    "downtime": ("a planned downtime covers since until utc no this alert with end set"),
    "catalog": ("owner no named runbook the catalog has entry of"),
}
_OF_PROBES = (
    "a accepts address addresses ago an and another answer answered answers any are as asks at "
    "authorities authority before body broke by certificate chain check checked client clients clock "
    "close closed code connect connected connection could days day did does dns down each end ended error "
    "expected expires expired failed family first for found from grpc handshake has have health host "
    "hosts http https in incomplete invalid is issuer it its known less limit lookup match matches ms "
    "name names no none not of off on only open or other ours port protocol proxy question reached "
    "redirects refused reject rejected rejects request reset resolve resolver resolvers resolves "
    "reach route same self-signed server server's serving showed shown shows signed slow status tcp than "
    "that the there this through time timed timeout tls to unknown unreachable until up usual utc valid "
    "verdict verdicts was were which with within without yet"
)
_VOCABULARIES = {check: frozenset(words.split()) for check, words in _OF_CHECKS.items()}
_PROBE_VOCABULARY = frozenset(_OF_PROBES.split())

_EDGES = ".,:;!?()[]{}<>“”\"'`*_~|"
_OPENING, _CLOSING = "(“", ",;:.)”"
_ERROR_TYPE = re.compile(r"(?:[A-Z][a-z0-9]+){1,4}(?:Exception|Error)")
_NAME_PARTS = 4
_LONGEST = 80
_LIMIT = 400


def normalized(text: str) -> str:
    """Return text in one form of Unicode and on one line, with a percent sign next to its number."""
    flat = " ".join(unicodedata.normalize("NFKC", text).split())
    return re.sub(r"(?<=\d)\s%", "%", flat)


def masked_summary(finding: Finding, names: frozenset[str] = frozenset()) -> str:
    """Return what a finding says as a template.

    :param names: names of services that are known from elsewhere, in lower case.
    """
    generated = bool(finding.calls) and finding.probe in _GENERATED
    words = _VOCABULARIES.get(finding.probe, _PROBE_VOCABULARY) if finding.calls else _PROBE_VOCABULARY
    known = words | names | {finding.target.casefold()}
    summary = re.sub(r"<\w+>", MASK, normalized(finding.summary))
    text = " ".join(_masked(word, known, generated=generated) for word in summary.split())
    mask = re.escape(MASK)
    text = re.sub(rf"{mask}[^\w\s;]*(?: {mask}:?)+", MASK, text)
    # What is cut off a statement could be its "not": only whole ones are given.
    return text if len(text) <= _LIMIT else text[:_LIMIT].rpartition(";")[0]


def _masked(word: str, known: frozenset[str], *, generated: bool) -> str:
    if word.strip(_OPENING + _CLOSING) in {"", MASK}:
        return word
    bare = word.strip(_EDGES)
    if bare.casefold() in known or _is_shown(bare, generated=generated):
        return word
    before, after = (word, "") if not bare else word.split(bare, 1)
    opening, closing = (char for char in before if char in _OPENING), (char for char in after if char in _CLOSING)
    return f"{''.join(opening)}{MASK}{''.join(closing)}"


def _is_shown(word: str, *, generated: bool) -> bool:
    return _is_name(word) and (generated or _has_digit(word) or _ERROR_TYPE.fullmatch(word) is not None)


def _has_digit(word: str) -> bool:
    return any(char in "0123456789" for char in word)


def _is_name(word: str) -> bool:
    """Return whether a token is a name or number: short, in ASCII, and no sentence with other separators."""
    parts = [part for part in re.split(r"[^A-Za-z]+", word) if len(part) > 1]
    return word.isascii() and len(word) <= _LONGEST and len(parts) < _NAME_PARTS
