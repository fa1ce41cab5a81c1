// Acting on an incident: the commands of /incident, under Airflow's permissions.

import { API, element, with_ } from "./dom.js";

const COMMANDS = {
  lead: ["Take command", null],
  update: ["Post an update", "What is new?"],
  severity: ["Change severity", "critical, high, medium or low"],
  recheck: ["Run checks again", null],
  invite: ["Invite", "@person or @group"],
  item: ["Add an action item", "What is to be done afterwards?"],
  snooze: ["Snooze reminders", "30m"],
  resolve: ["Resolve", null],
  reopen: ["Reopen", null],
};

/** Return a form that acts on the incident with this key; `refresh` is called after an action. */
export function actionForm(key, refresh) {
  const choice = with_(element("select", "", ...Object.entries(COMMANDS).map(([name, [label]]) =>
    with_(element("option", "", label), { value: name }))), { "aria-label": "Action" });
  const text = with_(element("input"), { "aria-label": "Details", autocomplete: "off" });
  const reply = with_(element("span", "soft"), { role: "status" });
  const form = element("form", "actions", choice, text, with_(element("button", "", "Act"), { type: "submit" }), reply);
  const adapt = () => {
    const hint = COMMANDS[choice.value][1];
    text.hidden = hint === null;
    text.placeholder = hint ?? "";
    text.value = "";
  };
  choice.addEventListener("change", adapt);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    reply.textContent = "…";
    reply.textContent = await act(key, `${choice.value} ${text.value}`.trim());
    adapt();
    refresh();
  });
  adapt();
  return form;
}

async function act(key, command) {
  try {
    const response = await fetch(new URL(`incidents/${encodeURIComponent(key)}/actions`, API), {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Requested-With": "incidents" },
      body: JSON.stringify({ command, request_id: crypto.randomUUID?.() ?? String(performance.now()) }),
    });
    const answer = await response.json();
    return response.ok ? answer.reply : `${answer.error} ${answer.fix ?? ""}`.trim();
  } catch (error) {
    return `Not confirmed: ${error.message}. Look at the incident before you try again.`;
  }
}
