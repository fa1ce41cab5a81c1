// The page of one incident.

import { actionForm } from "./actions.js";
import { age, airflowLink, element, patch, symbol, utc, VERDICTS, webUrl, with_ } from "./dom.js";
import { checks, marks, room, severity, status } from "./list.js";

/** Return the page as an element, and a function that shows an answer of the server in it. */
export function incidentPage({ back, key, refresh }) {
  const body = element("div", "incident-body");
  const node = element("div", "incident", back, actionForm(key, refresh), body);

  function show(detail) {
    const open = new Set([...body.querySelectorAll("details[open]")].map((each) => each.dataset.key));
    patch(body, sections(detail));
    for (const each of body.querySelectorAll("details")) {
      if (open.has(each.dataset.key)) each.open = true;
    }
  }
  return { node, show };
}

function sections(detail) {
  const { incident } = detail;
  return [
    heading(incident),
    attention(incident),
    facts(detail),
    list("What we know", detail.known),
    list("Possible causes (hypotheses, not facts)", detail.hypotheses),
    list("Not known", detail.unknown),
    findings(detail.findings),
    timeline(detail.timeline),
    people(detail),
    written("Updates", detail.updates),
    written("Action items", detail.items),
    list("Problems", detail.problems),
  ].filter(Boolean);
}

function heading(incident) {
  return element("header", `severity-${incident.severity ?? "none"}`,
    element("h2", "", element("span", "severity", ...severity(incident)), " ", incident.title, ...marks(incident)),
    element("p", "links", webUrl(incident.room_url) ? room(incident) : null,
      incident.run_url ? airflowLink(incident.run_url, "Airflow run", `Airflow run of ${incident.title}`) : null));
}

function attention(incident) {
  if (!incident.attention.length) return null;
  return element("p", "warning", symbol("▲"), ` ${incident.attention.map((each) => each.text).join(" · ")}`);
}

function facts({ incident, roles }) {
  const ended = incident.ended_at ? Date.parse(incident.ended_at) : null;
  const rows = [
    ["Status", status(incident)],
    ["Began", [utc(incident.began_at), " (", age(incident.began_at), " ago)"]],
    ["Reported", [utc(incident.opened_at, true)]],
    ended ? ["Ended", [utc(incident.ended_at, true)]] : null,
    incident.services.length ? ["Service", [incident.services.join(", ")]] : null,
    incident.env ? ["Environment", [incident.env]] : null,
    incident.teams.length ? ["Team", [incident.teams.join(", ")]] : null,
    ["Lead", [incident.lead ?? "nobody"]],
    ...Object.entries(roles).filter(([role]) => role !== "commander").map(([role, name]) => [capital(role), [name]]),
    ["Checks", checks(incident)],
    ["Alerts", [`${incident.alerts} ${incident.alerts === 1 ? "alert" : "alerts"}, fired ${incident.fired} ${incident.fired === 1 ? "time" : "times"}`]],
    incident.room_name ? ["Room", [`#${incident.room_name}`]] : null,
    incident.key ? ["Key", [element("code", "", incident.key)]] : null,
  ].filter(Boolean);
  return element("dl", "facts", ...rows.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", ...value)]));
}

function list(title, items) {
  if (!items.length) return null;
  return section(title, element("ul", "plain", ...items.map((item) => element("li", "", item))));
}

function findings(found) {
  if (!found.length) return null;
  const rows = found.map((finding, index) => {
    const [sign, word] = VERDICTS[finding.verdict];
    const item = element("li", `finding ${finding.verdict}`,
      element("p", "", symbol(sign, `symbol ${finding.verdict}`), element("span", "hidden", `${word}: `),
        element("strong", "", finding.summary), ` ${finding.probe}`, finding.target ? " " : null,
        finding.target ? element("code", "", finding.target) : null, element("span", "soft", ` ${utc(finding.at, true)}`)));
    if (finding.evidence.trim()) {
      const evidence = element("details", "", element("summary", "", `Evidence of ${finding.probe} ${finding.target}`));
      evidence.dataset.key = `${finding.probe}/${finding.target}/${index}`;
      const command = finding.command.length ? `$ ${finding.command.map(quoted).join(" ")}\n` : "";
      evidence.append(with_(element("pre", "", `${command}${finding.evidence}`), { tabindex: "0" }));
      item.append(evidence);
    }
    return item;
  });
  return section("Findings", element("ul", "plain", ...rows));
}

function timeline(events) {
  if (!events.length) return null;
  const items = events.map((event) =>
    element("li", "", with_(element("time", "", utc(event.at, true)), { datetime: event.at }), " ", event.what,
      event.by ? ` (by ${event.by})` : null));
  return section("Timeline", element("ol", "timeline", ...items));
}

function people({ invited, missing }) {
  if (!invited.length && !missing.length) return null;
  const here = invited.map((person) => element("li", "", person.name, person.group ? element("span", "soft", ` (${person.group})`) : null));
  const gone = missing.map((person) =>
    element("li", "", element("strong", "", `Missing: ${person.query}`), `: ${person.reason}`,
      person.suggestion ? `. Did you mean ${person.suggestion}?` : null));
  return section("People", element("ul", "plain", ...here, ...gone));
}

function written(title, entries) {
  if (!entries.length) return null;
  return section(title, element("ul", "plain", ...entries.map((entry) =>
    element("li", "", with_(element("time", "", utc(entry.at)), { datetime: entry.at }), ` ${entry.by}: ${entry.text}`))));
}

function section(title, ...content) {
  return element("section", "", element("h3", "", title), ...content);
}

function capital(word) {
  return word[0].toUpperCase() + word.slice(1);
}

function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}


