// Incidents, shown in an element and kept up to date. The address selects the incident and the filters.

import { API, AIRFLOW, duration, element, link, updateAges, utc, with_ } from "./dom.js";
import { incidentPage } from "./incident.js";
import { incidentList, newIncidents, rowKey } from "./list.js";

const REFRESH_MS = 4000;
const STALE_MS = 15000;
const TICK_MS = 1000;
const STYLE = new URL("incidents.css", import.meta.url);
const FILTERS = ["view", "severity", "service", "team", "since", "q"];

/** Show the incidents in `host` until the returned function is called. */
export function showIncidents(host) {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const style = with_(element("link"), { rel: "stylesheet", href: STYLE.href });
  const asOf = element("p", "as-of", "Loading…");
  const announcement = with_(element("p", "hidden"), { role: "status" });
  const place = element("div", "place", element("p", "none", "Loading incidents…"));
  const page = element("div", "page", element("header", "top", element("h1", "", "Incidents"), asOf), announcement, place);
  root.replaceChildren(style, page);

  const title = document.title;
  const view = { place, asOf, announcement, root, shown: null, content: null, before: null, offset: 0, readAt: null, error: null };
  view.refresh = () => document.hidden || update(view);
  view.navigate = () => { view.content = null; update(view); };
  const timers = [setInterval(view.refresh, REFRESH_MS), setInterval(() => tick(view), TICK_MS)];
  document.addEventListener("visibilitychange", view.refresh);
  addEventListener("popstate", view.navigate);
  update(view);
  return () => {
    timers.forEach(clearInterval);
    document.removeEventListener("visibilitychange", view.refresh);
    removeEventListener("popstate", view.navigate);
    document.title = title;
  };
}

async function update(view) {
  const key = parameter("incident");
  try {
    const url = new URL(key ? `incidents/${encodeURIComponent(key)}` : "incidents", API);
    const response = await fetch(url, { headers: { Accept: "application/json" }, cache: "no-store" });
    if (key !== parameter("incident")) return;
    if (response.status === 401) return refuse(view, signIn());
    if (response.status === 403) return refuse(view, noPermission(await response.json()));
    if (response.status === 404) return refuse(view, notFound(view));
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    const answer = await response.json();
    view.offset = Date.parse(answer.now) - Date.now();
    view.readAt = Date.now();
    view.error = null;
    content(view, key).show(answer);
    document.title = key ? `${answer.incident.title} · Incidents` : `(${answer.incidents.filter((i) => i.is_open && !i.drill).length}) Incidents`;
    if (!key) announce(view, answer.incidents);
  } catch (error) {
    view.error = error.message;
  }
  tick(view);
}

/** Return what shows the answer: the list, or the page of the incident. */
function content(view, key) {
  const name = key ?? "";
  if (view.content?.name !== name) {
    const made = key ? incidentPage({ back: backLink(view), key, refresh: view.refresh }) : incidentList(listOptions(view));
    view.content = { name, show: made.show };
    view.last = null;
    view.place.replaceChildren(made.node);
    const show = made.show;
    view.content.show = (answer) => { view.last = answer; show(answer); };
    view.content.again = () => view.last && show(view.last);
  }
  return view.content;
}

function listOptions(view) {
  return {
    filters: () => Object.fromEntries(FILTERS.map((name) => [name, parameter(name) ?? ""])),
    onFilter: (changes) => {
      history.replaceState(history.state, "", address(changes));
      view.content?.again();
      tick(view);
    },
    href: (key) => address({ incident: key }),
    onOpen: (event, key) => go(event, view, address({ incident: key })),
    refresh: view.refresh,
  };
}

function backLink(view) {
  const href = address({ incident: "" });
  const anchor = link(href, "← All incidents");
  anchor.addEventListener("click", (event) => go(event, view, href));
  return element("p", "back", anchor);
}

/** Open an address in place; a click with a modifier key is left to the browser. */
function go(event, view, href) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  history.pushState(history.state, "", href);
  view.navigate();
}

function parameter(name) {
  return new URLSearchParams(location.search).get(name);
}

/** Return the address of this page with changed parameters. */
function address(changes) {
  const parameters = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value) parameters.set(name, value);
    else parameters.delete(name);
  }
  const query = parameters.toString();
  return `${location.pathname}${query ? `?${query}` : ""}`;
}

/** Tell screen readers about new incidents, and about nothing else. */
function announce(view, incidents) {
  const added = newIncidents(incidents, view.before);
  view.before = new Set(incidents.map(rowKey));
  if (added.length) {
    const names = added.slice(0, 3).map((each) => `${each.severity ?? ""} ${each.title}`.trim());
    view.announcement.textContent = `${added.length} new: ${names.join("; ")}`;
  }
}

/** Update the ages, and say how old the list is. */
function tick(view) {
  updateAges(view.place, Date.now() + view.offset);
  if (view.readAt === null) {
    if (view.error) view.asOf.textContent = `Not loaded: ${view.error}. Retrying.`;
    return;
  }
  const old = Date.now() - view.readAt;
  const stale = view.error !== null || old > STALE_MS;
  const since = `as of ${utc(view.readAt + view.offset, true)}`;
  view.asOf.textContent = stale ? `${since}, ${duration(old)} old${view.error ? `: ${view.error}. Retrying.` : ""}` : since;
  view.asOf.classList.toggle("stale", stale);
}

function refuse(view, notice) {
  view.content = null;
  view.readAt = null;
  view.error = null;
  view.asOf.textContent = "";
  view.place.replaceChildren(notice);
}

function signIn() {
  const login = new URL("api/v2/auth/login", AIRFLOW);
  login.searchParams.set("next", location.href);
  return notice("You are not signed in", link(login.href, "Sign in to Airflow"), " to see incidents.");
}

function noPermission(answer) {
  return notice("No permission", `${answer.error ?? "Airflow denies access."} Ask your Airflow administrator.`);
}

function notFound(view) {
  return element("div", "", backLink(view), notice("No such incident", "It may have been deleted, or belong to another DAG."));
}

function notice(title, ...body) {
  return element("section", "notice", element("h2", "", title), element("p", "", ...body));
}
