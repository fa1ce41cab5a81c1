// The page: fetch the workspace, draw it, and draw it again when the server says that it changed.

import { avatar, counted, h, link } from "./dom.js";
import { drawActing, ephemerals, showView, startActing } from "./interaction.js";
import { ephemeral, row, timeline } from "./messages.js";

const element = (id) => document.getElementById(id);
const page = { overview: null, channel: null, threadTs: null, membersOpen: false, seen: new Map() };
const AT_BOTTOM_PIXELS = 80;
const SHOWN_FACES = 4;

// --- fetching -----------------------------------------------------------------------------------------

let refreshing = false;
let again = false;

/** Fetch what is shown and draw it; calls during a fetch are answered by one more at its end. */
async function refresh() {
  if (refreshing) {
    again = true;
    return;
  }
  refreshing = true;
  try {
    page.overview = await fetchJson("/sandbox/overview");
    const { channelId } = place();
    const wanted = channelId ?? firstChannel();
    page.channel = wanted ? await fetchJson(`/sandbox/channels/${encodeURIComponent(wanted)}`) : null;
    draw();
    await showView();
  } catch (error) {
    element("live").textContent = `not connected (${error.message})`;
  } finally {
    refreshing = false;
    if (again) {
      again = false;
      refresh();
    }
  }
}

async function fetchJson(path) {
  const response = await fetch(path);
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return response.json();
}

function listen() {
  const events = new EventSource("/sandbox/events");
  events.onmessage = () => {
    element("live").textContent = "live";
    refresh();
  };
  events.onerror = () => {
    element("live").textContent = "reconnecting…";
  };
}

// --- where we are -------------------------------------------------------------------------------------

/** Return the channel and the thread that the address names. */
function place() {
  const [channelId, ts] = decodeURIComponent(location.hash.slice(1)).split("/");
  return { channelId: channelId || null, ts: ts || null };
}

function firstChannel() {
  const open = page.overview.channels.filter((channel) => !channel.is_archived);
  return rooms(open)[0]?.id ?? open.find((channel) => channel.name === "general")?.id ?? open[0]?.id;
}

function rooms(channels) {
  return channels.filter((channel) => /^inc-/.test(channel.name)).sort((a, b) => b.created - a.created || (a.id < b.id ? 1 : -1));
}

function go(channelId, ts = null) {
  location.hash = ts ? `${channelId}/${ts}` : channelId;
}

const directory = {
  person(id) {
    return this.people.get(id) ?? { id, label: id, is_bot: false, is_guest: false };
  },
  nameOf(id) {
    return this.person(id).label;
  },
  get people() {
    return page.people;
  },
  names: {
    person: (id) => page.people.get(id)?.label,
    group: (id) => page.overview.usergroups.find((group) => group.id === id)?.handle,
    channel: (id) => page.overview.channels.find((channel) => channel.id === id)?.name,
  },
};

// --- drawing ------------------------------------------------------------------------------------------

function draw() {
  page.people = new Map(page.overview.people.map((person) => [person.id, person]));
  page.threadTs = place().ts;
  if (page.channel) page.seen.set(page.channel.id, page.channel.latest);
  drawActing(page.channel, page.overview.people);
  drawSidebar();
  drawHead();
  drawMessages();
  drawPanel();
  document.title = page.channel ? `#${page.channel.name} · ${page.overview.team.name} sandbox` : "Sandbox";
}

function drawSidebar() {
  const all = page.overview.channels;
  const open = all.filter((channel) => !channel.is_archived);
  const roomList = rooms(open);
  const others = open.filter((channel) => !roomList.includes(channel));
  element("sidebar").replaceChildren(
    h("div", { class: "team" },
      h("img", { class: "mark", src: "/static/mark.svg", alt: "" }),
      h("div", {}, h("div", { class: "team-name" }, page.overview.team.name),
        h("div", { class: "team-sub" }, `${page.overview.member_count.toLocaleString()} members`)),
      h("span", { class: "pill" }, "Sandbox")),
    h("div", { class: "channel-groups" },
      channelGroup("Incident rooms", roomList, "No incident yet"),
      channelGroup("Channels", others),
      channelGroup("Archived", all.filter((channel) => channel.is_archived))),
  );
}

function channelGroup(title, channels, whenEmpty = null) {
  if (!channels.length && !whenEmpty) return null;
  return h("section", {}, h("h2", {}, title),
    channels.length ? h("ul", {}, channels.map((channel) => h("li", {}, channelLink(channel)))) : h("p", { class: "none" }, whenEmpty));
}

function channelLink(channel) {
  const current = channel.id === page.channel?.id;
  const fresh = !current && page.seen.has(channel.id) && page.seen.get(channel.id) !== channel.latest;
  if (!page.seen.has(channel.id)) page.seen.set(channel.id, channel.latest);
  return h("a", { href: `#${channel.id}`, class: `channel-link ${fresh ? "channel-fresh" : ""}`, "aria-current": current ? "page" : null, title: `#${channel.name}` },
    h("span", { class: "hash", "aria-hidden": "true" }, channel.is_private ? "◆" : "#"), h("span", { class: "channel-name" }, channel.name));
}

function drawHead() {
  const channel = page.channel;
  const menu = h("button", { class: "menu", type: "button", "aria-label": "Channels", onclick: () => element("app").classList.toggle("menu-open") }, "☰");
  if (!channel) {
    element("head").replaceChildren(h("div", { class: "head-row" }, menu, h("h1", {}, "No such channel")));
    return;
  }
  const faces = channel.members.slice(0, SHOWN_FACES).map((id) => avatar(directory.person(id), "avatar-small"));
  element("head").replaceChildren(
    h("div", { class: "head-row" }, menu,
      h("div", { class: "head-title" },
        h("h1", {}, h("span", { class: "hash", "aria-hidden": "true" }, channel.is_private ? "◆" : "#"), channel.name,
          channel.is_archived ? h("span", { class: "tag" }, "Archived") : null, channel.is_private ? h("span", { class: "tag" }, "Private") : null),
        channel.topic ? h("p", { class: "topic", title: channel.topic }, channel.topic) : null),
      h("button", { class: "members", type: "button", "aria-expanded": page.membersOpen, onclick: toggleMembers },
        h("span", { class: "faces" }, faces), counted(channel.members.length, "member", "members"))),
    bar(channel),
  );
}

function bar(channel) {
  if (!channel.bookmarks.length && !channel.pins.length) return "";
  const pins = channel.pins.length
    ? h("button", { class: "bookmark", type: "button", onclick: () => reveal(channel.pins[0]) }, h("span", { "aria-hidden": "true" }, "⚲"), `${channel.pins.length} pinned`)
    : null;
  const links = channel.bookmarks.map((item) =>
    link(item.link, { class: "bookmark", title: item.link }, h("span", { "aria-hidden": "true" }, "↗"), item.title));
  return h("div", { class: "bookmarks" }, pins, links);
}

function drawMessages() {
  const list = element("messages");
  const stay = list.scrollHeight - list.scrollTop - list.clientHeight < AT_BOTTOM_PIXELS;
  const kept = list.scrollTop;
  const changed = list.dataset.channel !== page.channel?.id;
  const rows = page.channel
    ? [...timeline(page.channel, directory, (ts) => go(page.channel.id, ts)), ...ephemerals(page.channel).map((note) => ephemeral(note, directory))]
    : [];
  list.replaceChildren(...(rows.length ? rows : [h("p", { class: "empty" }, "Nothing was said here yet.")]));
  list.dataset.channel = page.channel?.id ?? "";
  if (changed && page.threadTs) reveal(page.threadTs);
  else if (changed && page.channel?.pins.length) reveal(page.channel.pins[0]);
  else list.scrollTop = stay || changed ? list.scrollHeight : kept;
}

function reveal(ts) {
  document.getElementById(`m${ts}`)?.scrollIntoView({ block: "start" });
}

// --- the side panel: a thread, or the members -----------------------------------------------------------

function toggleMembers() {
  page.membersOpen = !page.membersOpen;
  if (page.membersOpen && place().ts) go(page.channel.id);
  draw();
}

function drawPanel() {
  const panel = element("panel");
  const parent = page.threadTs && page.channel?.messages.find((message) => message.ts === page.threadTs);
  if (parent) page.membersOpen = false;
  const scroll = panel.querySelector(".panel-body")?.scrollTop ?? 0;
  panel.hidden = !parent && !page.membersOpen;
  element("app").classList.toggle("panel-open", !panel.hidden);
  if (panel.hidden) panel.replaceChildren();
  else panel.replaceChildren(...(parent ? thread(parent) : memberList()));
  const body = panel.querySelector(".panel-body");
  if (body) body.scrollTop = scroll;
}

function panelHead(title, subtitle, close) {
  return h("header", { class: "panel-head" },
    h("div", {}, h("h2", {}, title), h("p", {}, subtitle)),
    h("button", { type: "button", class: "close", "aria-label": "Close", onclick: close }, "✕"));
}

function thread(parent) {
  const rows = [];
  let previous = null;
  for (const reply of parent.replies) {
    rows.push(row(reply, page.channel, directory, null, previous));
    previous = reply;
  }
  const openParent = { ...parent, replies: [] };
  return [
    panelHead("Thread", `#${page.channel.name}`, () => go(page.channel.id)),
    h("div", { class: "panel-body", tabindex: "0" },
      h("div", { class: "thread-parent" }, row(openParent, { ...page.channel, pins: [] }, directory, null)),
      h("div", { class: "reply-count" }, h("span", {}, counted(parent.replies.length, "reply", "replies"))),
      rows),
  ];
}

function memberList() {
  const people = page.channel.members.map((id) => directory.person(id)).sort((a, b) => a.label.localeCompare(b.label));
  return [
    panelHead("Members", `#${page.channel.name}`, toggleMembers),
    h("ul", { class: "panel-body people" }, people.map((person) =>
      h("li", {}, avatar(person), h("div", {},
        h("div", { class: "author" }, person.label, person.is_bot ? h("span", { class: "tag" }, "App") : null, person.is_guest ? h("span", { class: "tag" }, "Guest") : null),
        h("div", { class: "person-sub" }, [person.real_name === person.label ? null : person.real_name, person.title].filter(Boolean).join(" · ")))))),
  ];
}

// --- start --------------------------------------------------------------------------------------------

window.addEventListener("hashchange", () => {
  element("app").classList.remove("menu-open");
  refresh();
});
element("scrim").addEventListener("click", () => element("app").classList.remove("menu-open"));
startActing(draw);
refresh();
listen();
