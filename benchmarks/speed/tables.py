"""The results as the tables of ``docs/performance.md``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.burst import SEVERITIES
from benchmarks.speed.collecting import WITH, WITHOUT
from benchmarks.speed.comparing import LABELS, SCRIPT
from benchmarks.speed.figures import Spread
from benchmarks.speed.results import Results

MOMENTS = ("room", "evidence", "summary")
TARGETS = {SCRIPT: (1.5, None, 2.0), "c": (0.5, None, 0.5)}
"""Against which contender this DAG promises at most which ratio, by moment."""

BEGIN, END = "<!-- measured -->", "<!-- end of what was measured -->"
"""The lines of the page that the tables are between."""

SOONER = 3.0
"""How many times sooner than the last low room the last critical one is promised in a burst."""


def report(results: Results) -> str:
    """Return all tables that there are results for."""
    parts = [
        *_machine(results),
        *_headed("One incident", _contenders(results)),
        *_headed("With evidence from Datadog", _collecting(results)),
        *_headed("Many at once", _bursts(results)),
        *_headed("People", [*_resolutions(results), *_matches(results)]),
    ]
    return "\n\n".join(parts)


def write_into(page: Path, tables: str) -> None:
    """Put the tables into a page, in place of those that it holds."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no lines {BEGIN!r} and {END!r}")
    page.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}", encoding="utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are figures, to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _headed(heading: str, parts: list[str]) -> list[str]:
    return [f"### {heading}", *parts] if parts else []


def _machine(results: Results) -> list[str]:
    descriptions = [
        f"{each['description']}; {each['latency_ms']} ms a Slack call." for each in results.of("machine")
    ]
    return list(dict.fromkeys(descriptions))


def _collecting(results: Results) -> list[str]:
    found = {label: results.of("collecting", datadog=label) for label in (WITHOUT, WITH)}
    if not all(found.values()):
        return []
    moments = {label: spreads(incidents) for label, incidents in found.items()}
    rows = [
        [
            f"{label} Datadog",
            *(f"{moments[label][moment].median:.2f}" for moment in MOMENTS),
            str(len(incidents)),
            f"{Spread.of(each['load'] for each in incidents).median:.1f}",
        ]
        for label, incidents in found.items()
    ]
    later = (moments[WITH][moment].median - moments[WITHOUT][moment].median for moment in MOMENTS)
    rows.append(["later", *(f"{seconds:+.2f}" for seconds in later), "", ""])
    delay = found[WITH][-1]["delay_ms"]
    return [
        f"Seconds, medians, without a connection of Datadog and with one whose every call takes {delay} ms. "
        "Wanted: at most 0.3 s later for the room, 1.0 s for the summary.",
        table(["", "room", "first evidence", "summary", "n", "load"], rows),
    ]


# --- one incident after another ---------------------------------------------------------------------


def _contenders(results: Results) -> list[str]:
    found = {letter: spreads(results.of("incident", contender=letter)) for letter in LABELS}
    found = {letter: moments for letter, moments in found.items() if moments["room"].values}
    if not found:
        return []
    parts = ["Seconds from the call that reports the incident:", _times(results, found)]
    if "a" in found and len(found) > 1:
        parts += ["Ratios of the medians:", _ratios(found)]
    parts += [*_drift(results), *_calls(results)]
    return parts


def spreads(incidents: Sequence[dict[str, Any]]) -> dict[str, Spread]:
    """Return the spread of each moment."""
    return {moment: Spread.of(each[moment] for each in incidents) for moment in MOMENTS}


def _times(results: Results, found: dict[str, dict[str, Spread]]) -> str:
    head = ["", "room: median", "p95", "first evidence: median", "p95", "summary: median", "p95", "n", "load"]
    rows = []
    for letter, moments in found.items():
        figures = [figure for each in moments.values() for figure in (f"{each.median:.2f}", f"{each.p95:.2f}")]
        incidents = results.of("incident", contender=letter)
        load = Spread.of(each["load"] for each in incidents).median
        rows.append([LABELS[letter], *figures, str(len(incidents)), f"{load:.1f}"])
    return table(head, rows)


def _ratios(found: dict[str, dict[str, Spread]]) -> str:
    rows = []
    for letter in found:
        if letter == "a":
            continue
        wanted = TARGETS.get(letter, (None,) * len(MOMENTS))
        ratios = [found["a"][m].median / found[letter][m].median for m in MOMENTS]
        rows.append(
            [
                f"a : {LABELS[letter].partition(':')[0]}",
                *(
                    f"{ratio:.2f}" + (f" (at most {most:g} wanted)" if most is not None else "")
                    for ratio, most in zip(ratios, wanted, strict=True)
                ),
            ]
        )
    return table(["", "room", "first evidence", "summary"], rows)


def _drift(results: Results) -> list[str]:
    """Return what the script took each time, between the others: a machine that drifts shows here."""
    incidents = results.of("incident", contender=SCRIPT)
    shares = list(dict.fromkeys(each["share"] for each in incidents))
    if not shares:
        return []
    taken = [Spread.of(each["summary"] for each in incidents if each["share"] == share) for share in shares]
    medians = ", ".join(f"{each.median:.2f}" for each in taken)
    loaded = Spread.of(each["seconds"] for each in results.of("loaded")).median
    return [
        f"The plain script's summary, each time between the others: {medians} s. "
        f"Of its times, interpreter and imports are {loaded:.2f} s."
    ]


def _calls(results: Results) -> list[str]:
    """Return how many calls each made until its summary was there."""
    last = {letter: each for letter in LABELS for each in results.of("incident", contender=letter)}
    rows = [[LABELS[letter], str(each["calls"]), each["called"]] for letter, each in last.items()]
    head = "| | calls | of which |\n| --- | --: | --- |\n"
    return ["Calls to Slack until the summary:", head + "\n".join("| " + " | ".join(row) + " |" for row in rows)]


# --- many at once -----------------------------------------------------------------------------------


def _bursts(results: Results) -> list[str]:
    counts = sorted({each["count"] for each in results.of("burst")})
    if not counts:
        return []
    head = ["at once", "severity", "n", "room: median", "last", "summary: median", "last"]
    rows = [row for count in counts for row in _burst(results.of("burst", count=count), count)]
    return [
        "Seconds from the first of the calls, on this DAG with recommended settings:",
        table(head, rows),
        *_sooner(results, counts),
    ]


def _burst(incidents: Sequence[dict[str, Any]], count: int) -> list[list[str]]:
    rows = []
    for severity in SEVERITIES:
        ours = [each for each in incidents if each["severity"] == severity]
        if not ours:
            continue
        room, summary = Spread.of(each["room"] for each in ours), Spread.of(each["summary"] for each in ours)
        figures = [f"{each:.1f}" for each in (room.median, room.last, summary.median, summary.last)]
        rows.append([str(count), severity, str(len(ours)), *figures])
    return rows


def _sooner(results: Results, counts: Sequence[int]) -> list[str]:
    said = []
    for count in counts:
        last = {
            severity: Spread.of(each["room"] for each in results.of("burst", count=count, severity=severity)).last
            for severity in ("critical", "low")
        }
        ratio = last["low"] / last["critical"]
        if not math.isnan(ratio):  # one of them is not among so few
            said.append(f"with {count} at once {ratio:.1f} times")
    if not said:
        return []
    times = "; ".join(said)
    return [f"The last critical room stood sooner than the last low one: {times} ({SOONER:g} wanted at 50)."]


# --- people -----------------------------------------------------------------------------------------


def _resolutions(results: Results) -> list[str]:
    found = results.of("resolution")
    if not found:
        return []
    rows = [
        [
            each["case"],
            f"{Spread.of(each['seconds']).median:.2f}",
            f"{max(each['seconds']):.2f}",
            str(len(each["seconds"])),
            f"{each['mebibytes']:.0f}",
            each["calls"],
            each["outcome"],
        ]
        for each in found
    ]
    head = ["people", "seconds: median", "most", "n", "MiB", "calls", "outcome"]
    refreshed = [
        f"Refreshing the directory, which nobody waits for: {each['members']} members, {each['seconds']:.1f} s, "
        f"{each['calls']}."
        for each in results.of("refresh")
    ]
    return [*refreshed, table(head, rows)]


def _matches(results: Results) -> list[str]:
    found = results.of("match")
    if not found:
        return []
    rows = [
        [
            each["query"],
            f"{Spread.of(each['ms']).median:.1f}",
            f"{Spread.of(each['ms']).p95:.1f}",
            f"{max(each['ms']):.1f}",
            str(len(each["ms"])),
            each["outcome"],
        ]
        for each in found
    ]
    head = ["name", "milliseconds: median", "p95", "most", "n", "outcome"]
    return [f"Matching a name against {found[0]['members']} members:", table(head, rows)]
