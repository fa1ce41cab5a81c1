"""Run environments, hold the findings against what is expected, and print the table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from airflow_incident_provider.models import Finding, Verdict
from airflow_incident_provider.probes.conclusions import restate
from benchmarks.probes import (  # noqa: F401 - each adds its environments
    answers,
    certificates,
    chains,
    connections,
    control,
    expectations,
    grpc_servers,
    handshakes,
    healthy,
    http_forms,
    own_images,
    proxies,
    redirects,
    resolvers,
    uncheckable,
)
from benchmarks.probes.entailment import untrue_clauses
from benchmarks.probes.environments import ENVIRONMENTS, Environment, Group
from benchmarks.probes.lab import lab

__all__ = ["ENVIRONMENTS", "Result", "print_table", "run_all"]

_FAULTS = {Verdict.FAIL, Verdict.WARN}


@dataclass(frozen=True)
class Result:
    """What was found in one environment."""

    environment: Environment
    finding: Finding

    @property
    def problems(self) -> list[str]:
        """What is wrong with it."""
        return [*self.environment.problems(self.finding), *(f"not entailed: {each!r}" for each in self.untrue)]

    @property
    def untrue(self) -> list[str]:
        """The claims of its sentence that the finding does not entail."""
        if self.finding.is_control:
            return []
        subject = self.finding.target or self.finding.probe
        claims = restate(self.finding).text.removeprefix(f"{subject}: ")
        return untrue_clauses(self.finding, claims)


def run_all(environments: Sequence[Environment], folder: Path, *, at_once: int = 3) -> list[Result]:
    """Return the results of the environments, several of which are probed at a time."""
    with lab(folder) as made, ThreadPoolExecutor(at_once) as pool:
        checks = [(each, each.make(made)) for each in environments]
        findings = pool.map(lambda pair: pair[1].result(made), checks)
        return [Result(each, found) for (each, _), found in zip(checks, findings, strict=True)]


def print_table(results: Sequence[Result], *, markdown: bool = False) -> int:
    """Print the table and the counts of what matters; return 1 if anything is wrong."""
    if markdown:
        print("| environment | verdict | sentence |\n|---|---|---|")
    for group in Group:
        for result in results:
            if result.environment.group is group:
                print(_row(result, markdown=markdown))
    counts = Counter(result.environment.group for result in results)
    false_alarms = [r for r in results if r.environment.group is Group.HEALTHY and r.finding.verdict in _FAULTS]
    missed = [r for r in results if r.environment.group is Group.BROKEN and r.finding.verdict is Verdict.OK]
    unexpected = [
        r for r in results if any(each.startswith("sentence") for each in r.environment.problems(r.finding))
    ]
    untrue = [result for result in results if result.untrue]
    wrong = [result for result in results if result.problems]
    print()
    print(f"{len(results)} environments: {', '.join(f'{count} {group}' for group, count in counts.items())}")
    print(f"fail or warn of healthy ones: {len(false_alarms)}; ok of broken ones: {len(missed)}")
    print(f"sentences with a claim that the finding does not entail: {len(untrue)}; others: {len(unexpected)}")
    print(f"environments with anything wrong: {len(wrong)}")
    for result in wrong:
        print(f"  {result.environment.group}: {result.environment.name}: {'; '.join(result.problems)}")
    return 1 if wrong else 0


def _row(result: Result, *, markdown: bool) -> str:
    made, found = result.environment, result.finding
    sentence = restate(found).text
    if markdown:
        return f"| {made.group}: {made.name} | {found.verdict} | {_for_docs(sentence)} |"
    mark = "WRONG" if result.problems else "right"
    return f"{mark} {made.group:<13} {made.name:<58} {found.verdict:<8} {sentence}"


def _for_docs(sentence: str) -> str:
    """Return a sentence without what differs from run to run."""
    text = re.sub(r"\b(name|connect|TLS|first byte|in) \d+\b", r"\1 N", sentence)
    text = re.sub(r"\bhost-\d+", "host", text)
    return re.sub(
        r":\d{4,5}\b|\bport \d{4,5}\b", lambda found: "port N" if "port" in found[0] else ":N", text
    ).replace("|", "\\|")
