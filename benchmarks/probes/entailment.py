"""
The entailment table: what a finding has to hold for each claim that its sentence may make.

A sentence is taken apart into clauses. A clause that is not in the table, or that the finding's stages and facts do
not entail, is an untrue sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from airflow_incident_provider.models import Finding, Stage, StageName, Verdict

Entails = Callable[[Finding, "re.Match[str]"], bool]


def _stage(finding: Finding, name: StageName) -> Stage | None:
    return next((stage for stage in finding.stages if stage.name is name), None)


def _has(name: StageName, *verdicts: Verdict) -> Entails:
    """Return that a stage came to one of these verdicts."""

    def entails(finding: Finding, _clause: re.Match[str]) -> bool:
        stage = _stage(finding, name)
        return stage is not None and stage.verdict in verdicts

    return entails


def _said_by(name: StageName) -> Entails:
    """Return that a stage's own summary has the clause."""

    def entails(finding: Finding, clause: re.Match[str]) -> bool:
        stage = _stage(finding, name)
        return stage is not None and clause[0] in stage.summary

    return entails


def _stages_skipped(finding: Finding, clause: re.Match[str]) -> bool:
    skipped = [str(stage.name) for stage in finding.stages if stage.verdict is Verdict.SKIPPED]
    return clause[1].split(", ") == skipped


def _stages_in_order(finding: Finding, clause: re.Match[str]) -> bool:
    words = {"name": StageName.NAME, "connection": StageName.CONNECTION, "TLS": StageName.TLS}
    stages = [_stage(finding, words[word]) for word in clause[1].split(", ")]
    return all(stage is not None and stage.verdict is Verdict.OK for stage in stages)


def _status(finding: Finding, clause: re.Match[str]) -> bool:
    if clause["status"] in str(finding.facts.get("status")):
        return True
    # Of several addresses the facts have the first one's status, of several requests the last one's.
    return "addresses (" in finding.summary or (_was_redirected(finding) and _said_by(REQUEST)(finding, clause))


def _was_redirected(finding: Finding) -> bool:
    """Return whether a redirect was followed, so that stages have what two requests showed."""
    return "redirects to " in finding.summary


def _days_left(finding: Finding, clause: re.Match[str]) -> bool:
    left = finding.facts.get("certificate_days_left")
    return (
        "addresses (" in finding.summary
        or _was_redirected(finding)
        or (left is not None and int(clause["days"]) == int(left))
    )


NAME, CONNECTION, TLS, REQUEST = StageName
OK, WARN, FAIL, UNKNOWN = Verdict.OK, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN

ENTAILMENTS: tuple[tuple[str, Entails], ...] = (
    (r"not reached: (.+)", _stages_skipped),
    (r"in order: (.+)", _stages_in_order),
    (
        r"at \d+ of \d+ addresses \(.+\): .+",
        lambda f, _: _was_redirected(f) or int(f.facts["addresses_open"]) > 1,
    ),
    (
        r".+; the same verdict at (\d+) addresses",
        lambda f, clause: int(f.facts["addresses_open"]) == int(clause[1]),
    ),
    (r"the same verdict at (\d+) addresses", lambda f, clause: int(f.facts["addresses_open"]) == int(clause[1])),
    (
        r"exit code (\d+)",
        lambda f, clause: f.exit_code == int(clause[1]) and (f.verdict is OK) is (f.exit_code == 0),
    ),
    (r"the command .+ \(exit code \d+\)", lambda f, _: f.verdict is UNKNOWN),
    (r".+ is no address of a service", _has(NAME, WARN)),
    (r"alias of .+", _has(NAME, FAIL)),
    (r"nothing came through the tunnel of the proxy.*", _has(CONNECTION, UNKNOWN)),
    (
        r"the first 32 KB of the body do not match .+|what came of the body .+",
        _said_by(REQUEST),
    ),
    (
        r"certificate is valid by the (?:engine|worker)'s clock only, .+|the certificate cannot be read",
        _has(TLS, UNKNOWN),
    ),
    (
        r"the authorities that the probe is to trust .+|the client certificate of the connection .+"
        r"|curl (?:could not start|ran out of memory)",
        lambda f, clause: any(clause[0] in stage.summary for stage in f.stages if stage.verdict is UNKNOWN),
    ),
    (r"HTTP (?P<status>\d{3}) was all that came", lambda f, clause: f.facts.get("status") == int(clause["status"])),
    (r"HTTP (?P<status>\d{3}) in \d+ ms .+", _status),
    (
        r"offers several answers, of which none was asked for|redirects without saying where"
        r"|redirects to what is no single URL|the proxy may have answered so itself"
        r"|redirects to .+, which was not followed",
        _has(REQUEST, UNKNOWN, WARN, FAIL),
    ),
    (r"up, .+", _has(REQUEST, OK, WARN)),
    (r"slow: .+|expected .+|the body does not match .+|the answer (?:broke|did not end).+", _said_by(REQUEST)),
    (r"redirects to [^ ]+", lambda finding, _: _was_redirected(finding)),
    (r"port \d+: 1 of 2 attempts failed at .+", _has(CONNECTION, WARN)),
    (r"the health check was answered SERVING .+", _has(REQUEST, OK, WARN)),
    (r"the health check was answered .+", _has(REQUEST, FAIL, WARN)),
    (r"the health service does not know .+", _has(REQUEST, UNKNOWN)),
    (r"no such name \(NXDOMAIN\)|the name has no address.*|queries for the name were .+", _has(NAME, FAIL)),
    (r"no resolver answered .+|the resolver(?:s|'s answer)? .+|the container has no resolver", _has(NAME, UNKNOWN)),
    (r"a host name of the alert that our resolvers have no address for: .+", _has(NAME, UNKNOWN)),
    (r"\d+ address(?:es)?(?: or more)? in \d+ ms", _said_by(NAME)),
    (r"the A{1,4} query was .+, and the name has no A{1,4} record", _has(NAME, FAIL)),
    (r"the A{1,4} query was .+|the name took .+", _has(NAME, WARN)),
    (r"port \d+ open at \d+ of \d+ addresses", _has(CONNECTION, WARN)),
    (r"port \d+ open(?: at \d+ addresses)?", _has(CONNECTION, OK, WARN)),
    (
        r"(?:port \d+: )?"
        r"(?:connection (?:refused|reset)|no (?:connection in time|route to the host)|could not connect) at .+",
        _said_by(CONNECTION),
    ),
    (
        r"(?:not checked: )?IPv[46] not checked: .+|(?:at least )?\d+ more address(?:es were| was) not contacted",
        _said_by(CONNECTION),
    ),
    (r"the proxy .+|no answer came through the proxy.*", _has(CONNECTION, UNKNOWN)),
    (r"certificate valid until .+", _has(TLS, OK, UNKNOWN)),
    (r"certificate expires in (?P<days>\d+) days? .+", _days_left),
    (r"certificate expires in less than a day .+", _has(TLS, WARN)),
    (r"certificate .+|a certificate in its chain .+", _has(TLS, FAIL, WARN)),
    (r"clients with the usual authorities reject .+", _said_by(TLS)),
    (
        r"the server asks for a client certificate, and none is configured",
        lambda f, clause: any(clause[0] in stage.summary for stage in f.stages),
    ),
    (r"no TLS handshake: .+", _has(TLS, FAIL)),
    (r"the TLS handshake .+", lambda finding, _: finding.verdict is FAIL),
    (
        r"no answer .+|the server (?:closed|reset) .+|the connection (?:broke|ended) .+|the answer.+",
        _said_by(REQUEST),
    ),
    (
        r"refused: .+|.+ may not be probed|only .+ URLs are probed|the URL .+",
        lambda f, _: f.verdict in {Verdict.SKIPPED, UNKNOWN},
    ),
    (r"the container .+|the probe .+|the output of the probe .+", lambda f, _: f.verdict is UNKNOWN),
)


def clauses(text: str) -> Iterator[str]:
    """Return the claims of a sentence about a target."""
    for part in text.split("; "):
        redirect, separator, rest = part.partition(": ") if part.startswith("redirects to ") else ("", "", part)
        yield rest if separator else part
        if separator and not redirect:
            yield redirect


def untrue_clauses(finding: Finding, text: str) -> list[str]:
    """Return the clauses of a sentence that are not in the table, or that the finding does not entail."""
    return [clause for clause in clauses(text) if not _is_entailed(finding, clause)]


def _is_entailed(finding: Finding, clause: str) -> bool:
    for pattern, entails in ENTAILMENTS:
        if match := re.fullmatch(pattern, clause, re.DOTALL):
            return entails(finding, match)
    return False
