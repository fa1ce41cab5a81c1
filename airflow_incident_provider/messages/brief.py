"""
The brief: the pinned message that says how bad it is, what fails, who is here, and what to do next.

It is read on a phone, within ten seconds, so the most important comes first and a usual brief has at most twelve
lines. It always fits into one message, because it is updated in place. Lists that are too long for it say how many
entries are left out; :func:`brief_details` returns these lists in full, to be posted in the thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_incident_provider.lifecycle.coordination import Coordination, Role
from airflow_incident_provider.messages.blocks import (
    Block,
    Message,
    TruncatedList,
    context,
    fallback_text,
    first_few,
    header,
    image,
    is_image_url,
    sections,
    split_into_messages,
)
from airflow_incident_provider.messages.controls import controls
from airflow_incident_provider.messages.coordination import roles_line
from airflow_incident_provider.messages.findings import (
    SERIOUS,
    VERDICT_SYMBOLS,
    about_service,
    checked_at,
    finding_line,
    own_network_failure,
    subject,
)
from airflow_incident_provider.messages.mrkdwn import (
    Mrkdwn,
    bold,
    clock,
    code_span,
    inline,
    join,
    link,
    quote,
    truncate,
    utc_and_local,
)
from airflow_incident_provider.messages.people import (
    invited_entries,
    mention_names,
    not_invited_entries,
    suggestion_controls,
)
from airflow_incident_provider.messages.progress import (
    StepProgress,
    StepState,
    missing_scope_line,
    problem_lines,
    step_line,
    warning_line,
)
from airflow_incident_provider.models import (
    Finding,
    Incident,
    Invitation,
    LinkKind,
    Measurement,
    Model,
    NotInvited,
    Problem,
    Severity,
    SlackWorkspace,
    UtcDatetime,
    Verdict,
)
from airflow_incident_provider.text import one_line, url_problem

DESCRIPTION_LIMIT = 240
DESCRIPTION_LINES = 3
FULL_DESCRIPTION_LIMIT = 2_900
FINDINGS_SHOWN = 3
_NAME = 80
_IMAGE_URL_LIMIT = 1_000
_FALLBACK_PART = 300
_FINDING = 160

SEVERITY_SYMBOLS = {
    Severity.CRITICAL: "🔴",
    Severity.HIGH: "🔶",
    Severity.MEDIUM: "🟡",
    Severity.LOW: "🔹",
}
"""Symbols in front of the severity, which is always written out too."""

_LINK_ORDER = (
    LinkKind.MONITOR,
    LinkKind.INCIDENT,
    LinkKind.DASHBOARD,
    LinkKind.EVENT,
    LinkKind.RUNBOOK,
    LinkKind.OTHER,
)


class BriefState(Model):
    """
    The content of the brief, at one moment of the run.

    :param opened_at: when the room was opened; absent before.
    :param pending: people who are about to be invited.
    :param findings: the latest findings; empty while there are none.
    :param investigated: whether the probes have run, so that no findings means that nothing was checked.
    :param status: shown next to the service unless it is ``open``.
    :param recovered_at: when the last alert recovered, while none fires.
    :param repeats: the number of repeated notifications.
    :param interactive: whether the brief has buttons.
    :param closed: whether the incident is resolved.
    :param coordination: roles, and what people did.
    :param with_picture: false if Slack could not fetch the alert's graph; it is linked then.
    """

    incident: Incident
    workspace: SlackWorkspace | None = None
    opened_at: UtcDatetime | None = None
    invited: tuple[Invitation, ...] = ()
    pending: tuple[Invitation, ...] = ()
    not_invited: tuple[NotInvited, ...] = ()
    findings: tuple[Finding, ...] = ()
    investigated: bool = False
    steps: tuple[StepProgress, ...] = ()
    problems: tuple[Problem, ...] = ()
    status: str = "open"
    recovered_at: UtcDatetime | None = None
    commander: str | None = None
    repeats: int = 0
    run_url: str | None = None
    with_picture: bool = True
    interactive: bool = False
    closed: bool = False
    coordination: Coordination = Coordination()


def brief(state: BriefState) -> Message:
    """Return the brief as one message, for posting and for updating it in place."""
    lists = _Lists(state)
    blocks = [header(_title(state.incident)), *sections(_scope_lines(state))]
    blocks += sections(_observed_lines(state, lists), accessory=_picture(state))
    blocks += sections([lists.links.short()])
    if state.interactive:
        blocks.append(controls(state.incident.key, has_commander=state.commander is not None, closed=state.closed))
    blocks += sections(_people_lines(state, lists))
    if state.interactive and not state.closed:
        shown = state.not_invited[: len(lists.not_invited.shown)]
        blocks += suggestion_controls(state.incident.key, shown)[:1]
    blocks += [context(line) for line in _small_print(state, lists) if line]
    return Message(_fallback(state), tuple(blocks), mention_names((*state.invited, *state.pending)))


def brief_details(state: BriefState) -> list[Message]:
    """Return the lists that the brief shortens, in full, for the thread; usually there are none."""
    lists = _Lists(state)
    shortened = [listed for listed in lists.all if listed.hidden]
    lines = [line for listed in shortened for line in listed.full()]
    description = state.incident.description or ""
    short = quote(description, DESCRIPTION_LIMIT, lines=DESCRIPTION_LINES)
    if (full := quote(description, FULL_DESCRIPTION_LIMIT)) != short:
        lines += [Mrkdwn("*Description*"), *full]
    if not lines:
        return []
    blocks = sections([Mrkdwn("*More of the brief*"), *lines])
    if state.interactive and not state.closed and lists.not_invited.hidden:
        blocks += suggestion_controls(state.incident.key, state.not_invited)
    return split_into_messages("More of the brief", blocks, mention_names((*state.invited, *state.pending)))


class _Lists:
    """The lists of the brief, each with a maximum size; together they leave space for the rest."""

    def __init__(self, state: BriefState) -> None:
        incident, scopes = state.incident, state.workspace.scopes_missing if state.workspace else ()
        self.hosts = TruncatedList(Mrkdwn("*Hosts*"), tuple(map(code_span, incident.hosts)), 2, 450, ", ")
        links = Mrkdwn("*Next* 📖" if _runbook(incident) else "*Links*")
        self.links = TruncatedList(links, _links(state), 8, 1_200)
        self.invited = TruncatedList(Mrkdwn("*People*"), tuple(invited_entries(state.invited)), 12, 900, " ")
        self.pending = TruncatedList(Mrkdwn("*Inviting*"), tuple(invited_entries(state.pending)), 12, 900, " ")
        self.not_invited = TruncatedList(
            Mrkdwn("*Missing*"), tuple(not_invited_entries(state.not_invited)), 4, 1_000
        )
        self.passing = TruncatedList(Mrkdwn(VERDICT_SYMBOLS[Verdict.OK]), _passing(state), 5, 400)
        # A reader waits for steps to end, and has to know of those that failed.
        open_steps = (step for step in state.steps if step.state not in {StepState.DONE, StepState.SKIPPED})
        self.steps = TruncatedList(Mrkdwn("⏳"), tuple(map(step_line, open_steps)), 12, 600)
        self.problems = TruncatedList(Mrkdwn("⚠️"), tuple(problem_lines(state.problems)), 4, 1_000)
        self.scopes = TruncatedList(Mrkdwn("⚠️ The Slack app lacks"), tuple(map(missing_scope_line, scopes)), 4, 700)
        self.warnings = TruncatedList(Mrkdwn("Note:"), tuple(map(warning_line, incident.flags)), 3, 700)

    @property
    def all(self) -> tuple[TruncatedList, ...]:
        """Every list, in the order of the brief."""
        return tuple(vars(self).values())


def _title(incident: Incident) -> str:
    """Return the title with its severity; a drill says so instead."""
    if incident.is_drill:
        return f"🟣 DRILL: {incident.title}"
    return f"{SEVERITY_SYMBOLS[incident.severity]} {incident.severity.upper()}: {incident.title}"


def _scope_lines(state: BriefState) -> list[Mrkdwn]:
    """Return the service, environment and team, since when, and the beginning of the description."""
    incident = state.incident
    scope = [
        Mrkdwn(f"*{first_few([inline(service, _NAME) for service in incident.services])}*")
        if incident.services
        else inline(incident.scope or "", _NAME),
        inline(incident.env or "", _NAME),
        first_few([inline(team, _NAME) for team in incident.teams]),
        bold(state.status, 60) if state.status != "open" else Mrkdwn(""),
    ]
    drill = Mrkdwn("*This is a drill. Nothing is wrong.*" if incident.is_drill else "")
    seen_from = state.opened_at or incident.received_at
    by = f", reported by {inline(incident.reporter, _NAME)}" if incident.reporter else ""
    since = Mrkdwn(f"Since {utc_and_local(incident.occurred_at, seen_from=seen_from)}{by}")
    description = quote(incident.description or "", DESCRIPTION_LIMIT, lines=DESCRIPTION_LINES)
    return [drill, join(scope), since, *description]


def _observed_lines(state: BriefState, lists: _Lists) -> list[Mrkdwn]:
    """Return what the checks found and what the monitor measured."""
    lines = _finding_lines(state, lists)
    if state.recovered_at:
        since = clock(state.recovered_at, seconds=False, seen_from=state.incident.occurred_at)
        lines = [Mrkdwn(f"✅ No alert has fired since {since} UTC"), *lines]
    lines += [_measured(state.incident.metrics), lists.hosts.short(), lists.steps.short()]
    at = checked_at(state.findings)
    heading = f"*What we see* (checked {clock(at, seconds=False)} UTC)" if at else "*What we see*"
    return [Mrkdwn(heading), *lines] if any(lines) else []


def _finding_lines(state: BriefState, lists: _Lists) -> list[Mrkdwn]:
    if failure := own_network_failure(state.findings):
        return [finding_line(failure, limit=_FINDING, details=False), Mrkdwn("No check reached the service")]
    found = about_service(state.findings)
    serious = [f for f in found if f.verdict in SERIOUS]
    shown = serious if len(serious) <= FINDINGS_SHOWN + 1 else serious[:FINDINGS_SHOWN]
    lines = [finding_line(finding, limit=_FINDING, details=False) for finding in shown]
    if len(shown) < len(serious):
        lines.append(Mrkdwn(f"and {len(serious) - len(shown)} more, in the thread"))
    lines.append(lists.passing.short())
    if state.investigated and not any(lines):
        lines = [_nothing_checked(state.incident, found)]
    return lines


def _nothing_checked(incident: Incident, found: Sequence[Finding]) -> Mrkdwn:
    """Return that nothing was checked, and why."""
    symbol = VERDICT_SYMBOLS[Verdict.SKIPPED]
    if found:
        reasons = [inline(finding.summary, _FINDING) for finding in found]
        return Mrkdwn(f"{symbol} Nothing was checked: {first_few(reasons, 2)}")
    services = first_few([code_span(service, _NAME) for service in incident.services], 2)
    return Mrkdwn(f"{symbol} Nothing was checked: no target is known{f' for {services}' if services else ''}")


def _passing(state: BriefState) -> tuple[Mrkdwn, ...]:
    findings = () if own_network_failure(state.findings) else about_service(state.findings)
    return tuple(subject(finding) for finding in findings if finding.verdict is Verdict.OK)


def _measured(metrics: tuple[Measurement, ...]) -> Mrkdwn:
    """Return the first measurement, value first, and the number of others."""
    if not metrics:
        return Mrkdwn("")
    first = metrics[0]
    parts = [join([bold(first.value or "", _NAME), code_span(first.metric)], " ")]
    if first.threshold:
        limit = f"{first.comparison or ''} {first.threshold}"
        parts.append(Mrkdwn(f"limit {inline(limit, _NAME)}"))
    if first.window:
        parts.append(inline(first.window, _NAME))
    if len(metrics) > 1:
        parts.append(Mrkdwn(f"and {len(metrics) - 1} more"))
    return join(parts, ", ")


def _runbook(incident: Incident) -> Mrkdwn | None:
    """Return the runbook of the alert or of the routing table, which may name one without a URL."""
    if found := incident.link(LinkKind.RUNBOOK):
        return Mrkdwn(f"*{link(found.url, found.label)}*")
    runbook = incident.route.runbook
    if not runbook:
        return None
    return Mrkdwn(f"Runbook {bold(runbook)}") if url_problem(runbook) else Mrkdwn(f"*{link(runbook, 'Runbook')}*")


def _links(state: BriefState) -> tuple[Mrkdwn, ...]:
    """Return the links, the runbook first, with the run, and with the graph if it is not shown."""
    incident, runbook = state.incident, _runbook(state.incident)
    first = incident.link(LinkKind.RUNBOOK)
    ordered = sorted(incident.links, key=lambda each: _LINK_ORDER.index(each.kind))
    found = [runbook] if runbook else []
    found += [link(each.url, each.label) for each in ordered if each is not first]
    if incident.snapshot_url and not _picture(state):
        found.append(link(incident.snapshot_url, "Graph"))
    if state.run_url:
        found.append(link(state.run_url, "Airflow run"))
    return tuple(found)


def _picture(state: BriefState) -> Block | None:
    """Return the alert's graph, if Slack can be asked to show it."""
    url = state.incident.snapshot_url
    if not state.with_picture or url is None or len(url) > _IMAGE_URL_LIMIT or not is_image_url(url):
        return None
    return image(url, f"Graph of the alert: {state.incident.title}")


def _people_lines(state: BriefState, lists: _Lists) -> list[Mrkdwn]:
    """Return who leads, who was invited, who is being invited, and who is missing."""
    people = [listed.short() for listed in (lists.invited, lists.pending, lists.not_invited)]
    if not (state.invited or state.pending):
        nobody = "nobody could be invited" if state.not_invited else "nobody was invited: no responders are named"
        people.insert(0, Mrkdwn(f"*People* {nobody}"))
    return [_lead(state), _latest_update(state), *people]


def _lead(state: BriefState) -> Mrkdwn:
    """Return who leads, and the other roles that are taken; with buttons also that nobody leads."""
    roles = roles_line(state.coordination)
    if Role.COMMANDER in state.coordination.roles:
        return roles
    commander = state.commander or state.incident.commander
    if commander is None and not (state.interactive and not state.closed):
        return roles
    return join([Mrkdwn(f"*Lead* {inline(commander or 'nobody yet', _NAME)}"), roles])


def _latest_update(state: BriefState) -> Mrkdwn:
    if not state.coordination.updates:
        return Mrkdwn("")
    latest = state.coordination.updates[-1]
    seen_from = state.opened_at or state.incident.received_at
    return Mrkdwn(f"*Update {clock(latest.at, seconds=False, seen_from=seen_from)}* {inline(latest.text, 300)}")


def _small_print(state: BriefState, lists: _Lists) -> list[Mrkdwn]:
    """Return what is of use only to some readers: problems, missing scopes, warnings, repetitions and the id."""
    repeats = f"repeated {state.repeats} time{'' if state.repeats == 1 else 's'}" if state.repeats else ""
    id_ = Mrkdwn(f"ID {inline(state.incident.id, _NAME)}")
    last = join([Mrkdwn(repeats), id_, Mrkdwn("updates itself"), Mrkdwn("details in the thread")])
    return [lists.problems.short(), lists.scopes.short(), lists.warnings.short(), last]


def _fallback(state: BriefState) -> Mrkdwn:
    """Return the brief for a notification or a screen reader: how bad, what, where, what fails, since when."""
    incident = state.incident
    place = " ".join([*incident.services[:3], *([incident.env] if incident.env else [])])
    failing = next((f for f in about_service(state.findings) if f.verdict is Verdict.FAIL), None)
    observed = f"{failing.summary} {failing.target}" if failing and not own_network_failure(state.findings) else ""
    status = "" if state.status == "open" else state.status
    since = f"since {clock(incident.occurred_at, seconds=False)} UTC"
    words = (incident.title, place, status, observed, since)
    line = " · ".join(truncate(word, _FALLBACK_PART) for word in map(one_line, words) if word)
    return fallback_text(f"{'DRILL' if incident.is_drill else incident.severity.upper()}: {line}")
