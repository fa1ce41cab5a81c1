// Open and recent incidents, drawn into an element and kept up to date.
//
// Everything that comes from the server is set as text, never as markup: titles are written by whoever sends alerts.

const REFRESH_MS = 4000;
const ROOT = new URL("../..", import.meta.url);
const API = new URL("../api/incidents", import.meta.url);
const STYLE = new URL("incidents.css", import.meta.url);

const VERDICTS = [["fail", "failing"], ["warn", "warning"], ["unknown", "unknown"], ["skipped", "not checked"], ["ok", "fine"]];
const NO_ROOM = { room: "no room", thread: "a thread in the triage channel", record: "no room: kept as a record" };
const STATES = { open: "open", recovered: "recovered", resolved: "resolved", archived: "archived", not_followed: "not followed" };

/** Draw the incidents into `host` until the returned function is called. */
export function showIncidents(host) {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const style = element("link");
  style.rel = "stylesheet";
  style.href = STYLE;
  const status = element("p", "status", "Loading");
  status.setAttribute("role", "status");
  const list = element("div", "list");
  root.replaceChildren(style, element("div", "page", element("header", "", element("h1", "", "Incidents"), status), list));

  const view = { list, status, shown: null, offset: 0 };
  const refresh = () => document.hidden || update(view);
  const timer = setInterval(refresh, REFRESH_MS);
  document.addEventListener("visibilitychange", refresh);
  update(view);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", refresh);
  };
}

async function update(view) {
  try {
    const response = await fetch(API, { headers: { Accept: "application/json" }, cache: "no-store" });
    if (response.status === 401) return refuse(view, signIn());
    if (response.status === 403) return refuse(view, noRight(await response.json()));
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    draw(view, await response.json());
    view.status.textContent = `Updated ${clock(new Date())}; updates itself`;
    view.status.classList.remove("stale");
  } catch (error) {
    view.status.textContent = `Not up to date: ${error.message}. Trying again.`;
    view.status.classList.add("stale");
  }
}

function refuse(view, notice) {
  view.shown = null;
  view.status.textContent = "";
  view.list.replaceChildren(notice);
}

function draw(view, { incidents, now, dag_ids: dagIds, routing_problem: routingProblem, unreadable = [] }) {
  view.offset = Date.parse(now) - Date.now();
  const shown = JSON.stringify([incidents, dagIds, routingProblem, unreadable]);
  // What has not changed stays as it is: a person may be reading it, or about to click.
  if (shown !== view.shown) {
    view.shown = shown;
    const notices = routingProblem ? [element("p", "notice", `Routing table: ${routingProblem}`)] : [];
    if (unreadable.length) notices.push(rejected(view, unreadable));
    view.list.replaceChildren(...notices, ...(incidents.length ? groups(incidents) : [empty(dagIds)]));
  }
  for (const age of view.list.querySelectorAll("time[data-since]")) {
    age.textContent = duration(Date.now() + view.offset - Number(age.dataset.since));
  }
}

function rejected(view, items) {
  const heading = element("h2", "", "Could not be read ", element("span", "count", String(items.length)));
  return element("section", "rejected", heading, element("ul", "", ...items.map((item) => rejection(view, item))));
}

function rejection(view, item) {
  const button = element("button", "", "Dismiss");
  button.type = "button";
  button.setAttribute("aria-label", `Dismiss ${item.title}`);
  button.addEventListener("click", async () => {
    const address = new URL(`../api/rejections/${encodeURIComponent(item.id)}/dismiss`, import.meta.url);
    await fetch(address, { method: "POST", headers: { "X-Requested-With": "incidents" } });
    update(view);
  });
  return element(
    "li",
    "card over",
    element("h3", "", item.title),
    element("p", "facts", `${item.reason} (${item.source})`),
    element("p", "links", button),
  );
}

function groups(incidents) {
  const open = incidents.filter((incident) => incident.is_open);
  const recent = incidents.filter((incident) => !incident.is_open);
  return [
    group("Open", open, "Nothing is open."),
    ...(recent.length ? [group("Recent", recent, "")] : []),
  ];
}

function group(title, incidents, none) {
  const heading = element("h2", "", title, " ", element("span", "count", String(incidents.length)));
  const body = incidents.length ? element("ul", "", ...incidents.map(card)) : element("p", "none", none);
  return element("section", "", heading, body);
}

function card(incident) {
  const severity = incident.severity ?? "unknown";
  const item = element("li", `card severity-${severity}${incident.is_open ? "" : " over"}`);
  item.append(
    element("div", "top", element("span", "severity", severity), stateOf(incident), ...where(incident)),
    element("h3", "", incident.title),
    ...(incident.known ? [element("p", "known", incident.known)] : []),
    findings(incident),
    element("p", "facts", ...joined(facts(incident))),
    element("p", "links", ...links(incident)),
  );
  return item;
}

function stateOf(incident) {
  const state = element("span", `state state-${incident.state}`, STATES[incident.state] ?? incident.state);
  if (!incident.followed) state.title = "Not reported through the webhook: nobody tells here when it is over.";
  return state;
}

function where(incident) {
  const places = [...incident.services, ...(incident.env ? [incident.env] : [])];
  return places.length ? [element("span", "where", places.join(" · "))] : [];
}

function findings(incident) {
  const chips = VERDICTS.filter(([verdict]) => incident.findings[verdict]).map(([verdict, word]) =>
    element("span", `chip ${verdict}`, `${incident.findings[verdict]} ${word}`),
  );
  if (incident.storm) chips.push(element("span", "chip storm", "storm"));
  const running = ["queued", "running"].includes(incident.run_state);
  if (running) chips.push(element("span", "chip running", "under way"));
  if (incident.run_state === "failed") chips.push(element("span", "chip failed", "the run failed"));
  return element("p", "findings", ...(chips.length ? chips : [element("span", "none", "no findings")]));
}

function facts(incident) {
  const age = element("time");
  age.dateTime = incident.opened_at;
  age.title = new Date(incident.opened_at).toLocaleString();
  age.dataset.since = String(Date.parse(incident.opened_at));
  const told = [[`since ${utc(incident.opened_at)}, `, age, " ago"]];
  if (incident.ended_at) told.push([`over since ${utc(incident.ended_at)}`]);
  if (incident.time_to_room_ms !== null) told.push([`room after ${duration(incident.time_to_room_ms)}`]);
  if (incident.times > 1) told.push([`${incident.times} times`]);
  if (incident.alerts > 1) told.push([`${incident.alerts} alerts`]);
  if (incident.reopened) told.push([`opened again ${incident.reopened === 1 ? "once" : `${incident.reopened} times`}`]);
  if (incident.commander) told.push([`commander ${incident.commander}`]);
  return told;
}

function links(incident) {
  const found = [];
  const room = webAddress(incident.room_url);
  if (room) found.push(link(room, `#${incident.room_name ?? "room"}`, "room"));
  else if (incident.room_name) found.push(element("span", "none", `#${incident.room_name} (nothing was posted)`));
  else found.push(element("span", "none", NO_ROOM[incident.presence] ?? NO_ROOM.room));
  if (incident.run_url) found.push(link(new URL(incident.run_url, location.origin).href, "Airflow run", "run"));
  return found;
}

function empty(dagIds) {
  if (!dagIds.length) {
    return notice("No incident DAG yet", [
      element("p", "", "This page shows the runs of DAGs with the tag ", code("incident"), "."),
      element("p", "", "Put ", code("dags/incident_response.py"), " of this provider into your DAGs folder; it has the tag."),
    ]);
  }
  const dagId = dagIds.includes("incident_response") ? "incident_response" : dagIds[0];
  const conf = `{"title": "Checkout is down", "severity": "high"}`;
  return notice("No incidents yet", [
    element("p", "", "To make a first one, open ", link(new URL(`dags/${encodeURIComponent(dagId)}`, ROOT).href, dagId, ""), " and press Trigger, or run"),
    element("pre", "", `airflow dags trigger ${dagId} --conf '${conf}'`),
    element("p", "", "Without a Slack connection nothing is posted: the run shows what it would post."),
  ]);
}

function signIn() {
  const login = new URL("api/v2/auth/login", ROOT);
  login.searchParams.set("next", location.href);
  return notice("You are not signed in", [element("p", "", link(login.href, "Sign in to Airflow", ""), " to see incidents.")]);
}

function noRight(answer) {
  return notice("You may not see incidents", [
    element("p", "", `${answer.error ?? "Airflow refuses it."}`),
    element("p", "", "Whoever manages this Airflow can give you that right."),
  ]);
}

function notice(title, body) {
  return element("section", "notice", element("h2", "", title), ...body);
}

function joined(parts) {
  return parts.flatMap((part, index) => (index ? [" · ", ...part] : part));
}

/** Return an address only if it is one of the web: an incident must not bring a script. */
function webAddress(address) {
  try {
    const url = new URL(address);
    return ["https:", "http:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function link(href, text, kind) {
  const anchor = element("a", kind, text);
  anchor.href = href;
  if (kind === "room") {
    anchor.target = "_blank";
    anchor.rel = "noopener noreferrer";
  }
  return anchor;
}

function code(text) {
  return element("code", "", text);
}

function element(name, className = "", ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function duration(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} days`;
}

function utc(moment) {
  const at = new Date(moment);
  const day = at.toISOString().slice(0, 10) === new Date().toISOString().slice(0, 10) ? "" : `${at.toISOString().slice(0, 10)} `;
  return `${day}${at.toISOString().slice(11, 16)} UTC`;
}

function clock(at) {
  return at.toLocaleTimeString([], { hour12: false });
}
