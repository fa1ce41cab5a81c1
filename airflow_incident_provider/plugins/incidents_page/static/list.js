// The list: what needs attention, then the open incidents, worst first, with filters that are part of the address.

import {
  age, airflowLink, API, AIRFLOW, element, externalLink, link, patch, patchKeyed, SEVERITIES, symbol, utc, VERDICTS,
  webUrl, with_,
} from "./dom.js";
import { chart } from "./chart.js";

const VIEWS = {
  open: ["Open", (incident) => incident.is_open && !incident.drill],
  recovered: ["Recovered", (incident) => incident.state === "recovered" && !incident.drill && !incident.dry_run],
  ended: ["Resolved", (incident) => !incident.is_open && !incident.drill && !incident.dry_run],
  drills: ["Drills and dry runs", (incident) => incident.drill || incident.dry_run],
  all: ["All", () => true],
};
const PERIODS = { "": "any time", 1: "last hour", 24: "last 24 hours", 168: "last 7 days" };
const COLUMNS = ["Severity", "Incident", "Service", "Status", "Began", "Lead", "Checks", "Latest", "Room"];
const NO_ROOM = { room: "no room", thread: "thread in the triage channel", record: "recorded only" };

/** Return the list as an element, and a function that shows an answer of the server in it. */
export function incidentList({ filters, onFilter, href, onOpen, refresh }) {
  const counts = element("p", "counts");
  const attention = element("ul", "attention");
  const installation = element("p", "warning");
  const attentionSection = element("section", "", element("h2", "", "Needs attention"), installation, attention);
  const body = element("tbody");
  const caption = element("caption", "hidden", "Incidents, worst first");
  const head = element("tr", "", ...COLUMNS.map((name) => with_(element("th", "", name), { scope: "col" })));
  const table = element("table", "", caption, element("thead", "", head), body);
  for (const [node, role] of [[table, "table"], [body, "rowgroup"]]) node.setAttribute("role", role);
  const none = element("p", "none");
  const controls = filterControls(filters, onFilter);
  const times = element("section", "times", element("h2", "", "Response times"));
  const place = element("div", "list", counts, controls.node, attentionSection, element("section", "", table, none), times);

  function show({ incidents, reports, response_times: responseTimes, dag_ids: dagIds, routing_problem: routingProblem, update_problem: updateProblem }) {
    const open = incidents.filter(VIEWS.open[1]);
    counts.replaceChildren(...severityCounts(open));
    controls.update(incidents);
    const urgent = open.filter((incident) => incident.attention.length);
    const problem = [
      routingProblem && `Routing table: ${routingProblem}`,
      updateProblem && `Updates and recoveries wait: ${updateProblem}`,
    ].filter(Boolean).join(" ");
    attentionSection.hidden = !urgent.length && !reports.length && !problem;
    installation.textContent = problem;
    installation.hidden = !problem;
    const entries = [...urgent.map((incident) => ({ incident })), ...reports.map((report) => ({ report }))];
    patchKeyed(attention, entries, ({ incident, report }) => (incident ? rowKey(incident) : `report/${report.id}`), (each) =>
      each.incident ? attentionItem(each.incident, href, onOpen) : reportItem(each.report, refresh),
    );
    const shown = incidents.filter((incident) => matches(incident, filters()));
    patchKeyed(body, shown, rowKey, (incident) => row(incident, href, onOpen));
    table.hidden = !shown.length;
    times.hidden = !responseTimes.some((time) => time.count);
    if (!times.hidden) patch(times, [times.firstChild.cloneNode(true), chart(responseTimes)]);
    none.replaceChildren(...(shown.length ? [] : emptyText(incidents, dagIds, filters())));
  }
  return { node: place, show };
}

export function rowKey(incident) {
  return incident.key ?? `run/${incident.run_id}`;
}

/** Return the open incidents that a list before did not have. */
export function newIncidents(incidents, before) {
  return before === null ? [] : incidents.filter((each) => each.is_open && !before.has(rowKey(each)));
}

function severityCounts(open) {
  const parts = Object.entries(SEVERITIES).map(([severity, sign]) => {
    const count = open.filter((incident) => incident.severity === severity).length;
    return element("span", `severity-${severity}${count ? "" : " zero"}`, symbol(sign), ` ${count} ${severity}`);
  });
  return [element("strong", "", `${open.length} open`), ...parts];
}

function matches(incident, filters) {
  const since = Number(filters.since || 0) * 3600 * 1000;
  return (
    (VIEWS[filters.view] ?? VIEWS.open)[1](incident) &&
    (!filters.severity || incident.severity === filters.severity) &&
    (!filters.service || incident.services.includes(filters.service)) &&
    (!filters.team || incident.teams.includes(filters.team)) &&
    (!since || Date.now() - Date.parse(incident.updated_at) < since) &&
    (!filters.q || text(incident).includes(filters.q.toLowerCase()))
  );
}

function text(incident) {
  const parts = [incident.title, incident.key, incident.room_name, incident.env, incident.lead, ...incident.services];
  return parts.filter(Boolean).join(" ").toLowerCase();
}

function filterControls(filters, onFilter) {
  const search = with_(element("input"), { type: "search", placeholder: "Search", "aria-label": "Search incidents" });
  search.value = filters().q ?? "";
  search.addEventListener("input", () => onFilter({ q: search.value }));
  const views = Object.entries(VIEWS).map(([name, [label]]) => {
    const button = with_(element("button", "view", label), { type: "button" });
    button.addEventListener("click", () => onFilter({ view: name }));
    return [name, button];
  });
  const select = (name, label) => {
    const box = with_(element("select"), { "aria-label": label });
    box.addEventListener("change", () => onFilter({ [name]: box.value }));
    return [name, label, box];
  };
  const selects = [
    select("severity", "Severity"), select("service", "Service"), select("team", "Team"), select("since", "Updated"),
  ];
  const node = element("div", "filters",
    with_(element("div", "views", ...views.map(([, button]) => button)), { role: "group", "aria-label": "Status" }),
    ...selects.map(([, , box]) => box), search);

  function update(incidents) {
    const current = filters();
    for (const [name, button] of views) {
      button.setAttribute("aria-pressed", String((current.view || "open") === name));
      const count = incidents.filter(VIEWS[name][1]).length;
      button.textContent = `${VIEWS[name][0]} ${count}`;
    }
    const options = {
      severity: Object.keys(SEVERITIES),
      service: sorted(incidents.flatMap((incident) => incident.services)),
      team: sorted(incidents.flatMap((incident) => incident.teams)),
    };
    for (const [name, label, box] of selects) {
      const wanted = name === "since"
        ? Object.entries(PERIODS)
        : [["", `${label}: any`], ...[...new Set([...options[name], ...(current[name] ? [current[name]] : [])])].map((o) => [o, o])];
      const shown = JSON.stringify(wanted);
      if (box.dataset.options !== shown) {
        box.dataset.options = shown;
        box.replaceChildren(...wanted.map(([value, words]) => Object.assign(element("option", "", words), { value })));
      }
      box.value = current[name] ?? "";
    }
  }
  return { node, update };
}

function sorted(values) {
  return [...new Set(values)].sort((a, b) => a.localeCompare(b));
}

function row(incident, href, onOpen) {
  const made = element("tr", `severity-${incident.severity ?? "none"}${incident.is_open ? "" : " ended"}`);
  const title = with_(element("th", "title", titleLink(incident, href, onOpen), ...marks(incident)), { scope: "row" });
  made.append(
    element("td", "severity", ...severity(incident)),
    title,
    element("td", "service", [...incident.services, incident.env].filter(Boolean).join(" · ") || "–"),
    element("td", "status", ...status(incident)),
    element("td", "began", utc(incident.began_at), " ", element("span", "soft", age(incident.began_at))),
    element("td", "lead", incident.lead ?? "–"),
    element("td", "checks", ...checks(incident)),
    element("td", "latest", age(incident.updated_at)),
    element("td", "room", room(incident)),
  );
  made.setAttribute("role", "row");
  [...made.children].forEach((cell, index) => {
    cell.setAttribute("role", cell.localName === "th" ? "rowheader" : "cell");
    cell.dataset.label = COLUMNS[index];
  });
  return made;
}

export function severity(incident) {
  const name = incident.severity ?? "unknown";
  return [symbol(SEVERITIES[name] ?? "?"), ` ${name}`];
}

function titleLink(incident, href, onOpen) {
  if (incident.key === null) return incident.title;
  const anchor = link(href(incident.key), incident.title);
  anchor.addEventListener("click", (event) => onOpen(event, incident.key));
  return anchor;
}

export function marks(incident) {
  const found = [];
  if (incident.private) found.push("🔒 private");
  if (incident.drill) found.push("drill");
  if (incident.dry_run) found.push("dry run");
  if (incident.storm) found.push("storm");
  return found.map((mark) => element("span", "mark", mark));
}

/** Return the lifecycle state and, separately, the outcome of the run. */
export function status(incident) {
  const state = element("span", `state state-${incident.state}`, incident.state);
  if (incident.reopened) state.append(incident.reopened === 1 ? " (reopened)" : ` (reopened ${incident.reopened} times)`);
  const run = { queued: "run queued", running: "run in progress", failed: "run failed" }[incident.run_state];
  const outcome = run ?? (incident.outcome === "degraded" ? "some steps failed" : null);
  return outcome ? [state, element("span", `outcome${run === "run failed" ? " failed" : ""}`, outcome)] : [state];
}

export function checks(incident) {
  const counted = Object.entries(VERDICTS).filter(([verdict]) => verdict !== "skipped" && incident.findings[verdict]);
  if (!counted.length) return [element("span", "soft", ["queued", "running"].includes(incident.run_state) ? "checking" : "not checked")];
  const parts = counted.map(([verdict, [sign, word]]) =>
    element("span", `verdict ${verdict}`, symbol(sign), ` ${incident.findings[verdict]}`, element("span", "word", ` ${word}`)),
  );
  return incident.checked_at ? [...parts, element("span", "soft", `at ${utc(incident.checked_at).slice(-9, -4)}`)] : parts;
}

export function room(incident) {
  const url = webUrl(incident.room_url);
  if (url) return externalLink(url, "Open room", `Open the room of ${incident.title}`);
  return element("span", "soft", incident.dry_run ? "dry run" : NO_ROOM[incident.visibility] ?? NO_ROOM.room);
}

function attentionItem(incident, href, onOpen) {
  return element("li", `severity-${incident.severity ?? "none"}`,
    element("span", "severity", ...severity(incident)),
    element("span", "title", titleLink(incident, href, onOpen)),
    element("span", "why", incident.attention.map((each) => each.text).join(" · ")),
    element("span", "actions", webUrl(incident.room_url) ? room(incident) : null,
      incident.run_url ? airflowLink(incident.run_url, "Airflow run", `Airflow run of ${incident.title}`) : null));
}

function reportItem(report, refresh) {
  const button = with_(element("button", "", "Dismiss"), { type: "button", "aria-label": `Dismiss ${report.title}` });
  button.addEventListener("click", () => putAway(report, refresh));
  const url = webUrl(report.url);
  return element("li", "report",
    element("span", "severity", symbol("?"), " unreadable"),
    element("span", "title", report.title),
    element("span", "why", `${report.reason} (${report.source}, ${utc(report.at)})`),
    element("span", "actions", url ? externalLink(url, "Monitor", `Monitor of ${report.title}`) : null,
      report.run_url ? airflowLink(report.run_url, "Airflow run", `Airflow run of ${report.title}`) : null, button));
}

async function putAway(report, refresh) {
  const url = new URL(`rejections/${encodeURIComponent(report.id)}/dismiss`, API);
  await fetch(url, { method: "POST", headers: { "X-Requested-With": "incidents" } });
  refresh();
}

function emptyText(incidents, dagIds, filters) {
  const filtered = Object.entries(filters).some(([name, value]) => value && !(name === "view" && value === "open"));
  if (!dagIds.length) {
    return ["No incident DAG. This page shows the runs of DAGs with the tag ", code("incident"), ". Install the DAG files with ",
      code("airflow incident setup files --yes"), "."];
  }
  if (filtered) return ["No incident matches the filters."];
  if (incidents.length) return ["No open incidents."];
  const dagId = dagIds.includes("incident_response") ? "incident_response" : dagIds[0];
  return ["No incidents yet. Report one with the ", link(new URL(`dags/${encodeURIComponent(dagId)}`, AIRFLOW).href, "trigger form"),
    " or with ", code(`airflow incident trigger --title "Checkout is down" --severity high`), "."];
}

function code(words) {
  return element("code", "", words);
}


