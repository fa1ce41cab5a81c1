// Acting in the workspace: who acts, used buttons and menus, slash commands, modals.

import { h } from "./dom.js";
import { plainText } from "./mrkdwn.js";

const element = (id) => document.getElementById(id);
const state = { userId: null, people: [], channel: null, shownView: null };
const DELIVERIES = {
  not_configured: "This app is not configured to handle interactive responses.",
  operation_timeout: "The app did not respond in time (operation_timeout).",
  http_error: "The app did not handle the request.",
};

/** Return whether somebody is chosen to act as. */
export function canAct() {
  return state.userId !== null;
}

/** Draw the bar below the messages for this channel: who acts, and the command field. */
export function drawActing(channel, people) {
  state.channel = channel;
  state.people = people.filter((person) => !person.is_bot && !person.deleted);
  const members = state.people.filter((person) => channel?.members.includes(person.id));
  const choices = members.length ? members : state.people;
  if (!choices.some((person) => person.id === state.userId)) state.userId = choices[0]?.id ?? null;
  const select = element("acting");
  select.replaceChildren(...choices.map((person) => h("option", { value: person.id, selected: person.id === state.userId }, person.label)));
  element("command").disabled = !channel || channel.is_archived || !canAct();
}

/** Send the use of a message's button or menu to the app. */
export async function use(ts, actionId, blockId, option = null) {
  if (!state.channel) return;
  const body = { user_id: state.userId, channel_id: state.channel.id, ts, action_id: actionId, block_id: blockId, option };
  report(await post("/sandbox/actions", body));
  await showView();
}

async function post(path, body) {
  const response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const answer = response.status === 204 ? {} : await response.json();
  return response.ok ? answer : { delivery: "http_error", detail: answer.detail };
}

function report(answer) {
  element("delivery").textContent = answer.detail ?? DELIVERIES[answer.delivery] ?? "";
}

/** Fetch the modal of whoever acts, and show it or close it. */
export async function showView() {
  if (!canAct()) return;
  const response = await fetch(`/sandbox/views?user_id=${encodeURIComponent(state.userId)}`);
  const views = await response.json();
  const view = views.at(-1) ?? null;
  if (view?.hash === state.shownView) return;
  state.shownView = view?.hash ?? null;
  const dialog = element("modal");
  if (!view) {
    if (dialog.open) dialog.close();
    return;
  }
  dialog.replaceChildren(form(view));
  if (!dialog.open) dialog.showModal();
}

function form(view) {
  const fields = view.blocks.map(field);
  const submit = view.submit ? h("button", { type: "submit", class: "button button-primary" }, plainText(view.submit)) : null;
  const cancel = h("button", { type: "button", class: "button", onclick: () => close(view) }, view.close ? plainText(view.close) : "Cancel");
  return h("form", { method: "dialog", onsubmit: (event) => submitView(event, view) },
    h("h2", {}, plainText(view.title)), fields, h("div", { class: "modal-buttons" }, cancel, submit));
}

function field(block) {
  if (block.type !== "input") return h("p", {}, block.text ? plainText(block.text) : block.type);
  const id = `input-${block.block_id}`;
  const optional = block.optional ? h("small", {}, " (optional)") : null;
  return h("div", { class: "modal-field" },
    h("label", { for: id }, plainText(block.label), optional),
    control(block, id),
    block.hint ? h("small", {}, plainText(block.hint)) : null,
    h("p", { class: "modal-error", id: `${id}-error`, role: "alert" }));
}

function control(block, id) {
  const { element: shown } = block;
  const attributes = { id, name: block.block_id, required: !block.optional };
  if (shown.type === "plain_text_input") {
    return shown.multiline
      ? h("textarea", { ...attributes, rows: 4 }, shown.initial_value ?? "")
      : h("input", { ...attributes, value: shown.initial_value ?? "" });
  }
  const initial = shown.initial_option?.value;
  const options = (shown.options ?? []).map((option) =>
    h("option", { value: option.value, selected: option.value === initial }, plainText(option.text)));
  return h("select", attributes, block.optional ? h("option", { value: "" }, "") : null, options);
}

async function submitView(event, view) {
  event.preventDefault();
  const values = Object.fromEntries([...new FormData(event.target)].map(([name, value]) => [name, String(value)]));
  const answer = await post(`/sandbox/views/${view.id}/submit`, { user_id: state.userId, values });
  report(answer);
  for (const [name, text] of Object.entries(answer.errors ?? {})) {
    const slot = element(`input-${name}-error`);
    if (slot) slot.textContent = text;
  }
  await showView();
}

async function close(view) {
  await post(`/sandbox/views/${view.id}/close`, {});
  await showView();
}

/** Connect the bar's controls; called once. */
export function startActing(redraw) {
  element("acting").addEventListener("change", (event) => {
    state.userId = event.target.value;
    redraw();
  });
  element("modal").addEventListener("cancel", (event) => event.preventDefault());
  element("command-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const input = element("command");
    const [command, ...words] = input.value.trim().split(/\s+/);
    if (!command?.startsWith("/") || !state.channel) return;
    input.value = "";
    const body = { user_id: state.userId, channel_id: state.channel.id, command, text: words.join(" ") };
    report(await post("/sandbox/commands", body));
    await showView();
  });
}

/** Return the messages that only whoever acts can see. */
export function ephemerals(channel) {
  return channel.ephemerals.filter((note) => note.user === state.userId);
}
