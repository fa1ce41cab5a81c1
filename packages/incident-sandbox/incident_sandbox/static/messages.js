// Messages: a row each, system notices in one line, the thread's footer under its parent.

import { block } from "./blocks.js";
import { avatar, counted, h } from "./dom.js";
import { emoji } from "./emoji.js";
import { canAct, use } from "./interaction.js";
import { mrkdwn } from "./mrkdwn.js";
import { clock, dateOf, day } from "./time.js";

const GROUP_SECONDS = 300;
const SHOWN_JOINERS = 4;

/** Return the rows of a channel: days, notices and messages. */
export function timeline(channel, directory, openThread) {
  const rows = [];
  let previous = null;
  for (const item of mergeJoins(channel.messages)) {
    const date = dateOf(item.ts);
    if (!previous || day(dateOf(previous.ts)) !== day(date)) {
      rows.push(h("div", { class: "day" }, h("span", {}, day(date))));
      previous = null;
    }
    rows.push(item.joined ? joins(item, directory) : row(item, channel, directory, openThread, previous));
    previous = item;
  }
  return rows;
}

/** Return consecutive joins as one item, so that an invited crowd takes one line. */
function mergeJoins(messages) {
  const items = [];
  for (const message of messages) {
    if (message.subtype !== "channel_join") items.push(message);
    else if (items.at(-1)?.joined) items.at(-1).joined.push(message);
    else items.push({ ts: message.ts, joined: [message] });
  }
  return items;
}

function joins(item, directory) {
  const invited = item.joined.filter((message) => message.inviter);
  const names = item.joined.map((message) => directory.nameOf(message.user));
  const shown = names.slice(0, SHOWN_JOINERS);
  const rest = names.length - shown.length;
  const last = rest > 0 ? counted(rest, "other", "others") : shown.length > 1 ? shown.pop() : null;
  const who = last ? `${shown.join(", ")} and ${last}` : shown.join(", ");
  const by = invited.length ? `, invited by ${directory.nameOf(invited[0].inviter)}` : "";
  return notice("→", [h("strong", {}, who), ` joined${by}`], item.ts);
}

function notice(sign, content, ts) {
  return h(
    "div",
    { class: "notice" },
    h("span", { class: "notice-sign", "aria-hidden": "true" }, sign),
    h("span", { class: "notice-text" }, content),
    stamp(ts),
  );
}

const SIGNS = { channel_topic: "✎", channel_purpose: "✎", channel_name: "✎", pinned_item: "⚲", channel_archive: "▣", channel_unarchive: "▢" };

function stamp(ts) {
  const date = dateOf(ts);
  return h("time", { class: "stamp", datetime: date.toISOString(), title: date.toLocaleString() }, clock(date));
}

/** Return one message's row; `previous` decides whether its author is shown again. */
export function row(message, channel, directory, openThread, previous = null) {
  if (SIGNS[message.subtype]) {
    const deed = mrkdwn(message.text.replace(/^<@\w+>/, ""), directory.names);
    return notice(SIGNS[message.subtype], [h("strong", {}, directory.nameOf(message.user)), deed], message.ts);
  }
  const follows = previous && !previous.joined && !SIGNS[previous.subtype] && previous.user === message.user
    && Number(message.ts) - Number(previous.ts) < GROUP_SECONDS && !previous.replies.length;
  const pinned = channel.pins.includes(message.ts);
  const author = directory.person(message.user);
  return h(
    "article",
    { class: `message ${pinned ? "message-pinned" : ""} ${follows && !pinned ? "message-follows" : ""}`, id: `m${message.ts}` },
    pinned ? h("div", { class: "pin-flag" }, "Pinned") : null,
    h("div", { class: "gutter" }, follows && !pinned ? stamp(message.ts) : avatar(author)),
    h("div", { class: "content" }, follows && !pinned ? null : byline(message, author), body(message, directory), footer(message, directory, openThread)),
  );
}

function byline(message, author) {
  return h(
    "div",
    { class: "byline" },
    h("span", { class: "author" }, author.label),
    author.is_bot ? h("span", { class: "tag" }, "App") : null,
    author.is_guest ? h("span", { class: "tag" }, "Guest") : null,
    stamp(message.ts),
    message.edits ? h("span", { class: "edited", title: `changed ${counted(message.edits, "time", "times")}` }, "edited") : null,
  );
}

function body(message, directory) {
  const drawn = message.blocks?.length
    ? message.blocks.map((value, index) => block(value, directory.names, acting(message, value.block_id ?? `b${index}`)))
    : [h("div", { class: "section-text" }, mrkdwn(message.text, directory.names))];
  const files = (message.files ?? []).map((file) =>
    h("div", { class: "file" }, h("span", { class: "file-sign", "aria-hidden": "true" }, "▤"),
      h("span", {}, h("strong", {}, file.title), h("small", {}, `${file.name} · ${counted(file.size, "byte", "bytes")}`))));
  return h("div", { class: "blocks" }, drawn, files);
}

function acting(message, blockId) {
  return canAct() ? (actionId, option = null) => use(message.ts, actionId, blockId, option) : null;
}

/** Return the row of a message that only one person can see. */
export function ephemeral(note, directory) {
  return h("article", { class: "message message-ephemeral" },
    h("div", { class: "gutter" }, stamp(note.ts)),
    h("div", { class: "content" }, h("small", {}, "Only visible to you"),
      note.blocks?.length ? note.blocks.map((value) => block(value, directory.names, null)) : h("div", { class: "section-text" }, mrkdwn(note.text, directory.names))));
}

function footer(message, directory, openThread) {
  const mass = message.notifies.mass.map((name) => `@${name}`).join(" ");
  return [
    mass ? h("div", { class: "alarm" }, `On Slack this would have notified ${mass}`) : null,
    message.reactions ? h("div", { class: "reactions" }, message.reactions.map(reaction)) : null,
    message.replies.length && openThread ? threadButton(message, directory, openThread) : null,
  ];
}

function reaction(value) {
  return h("span", { class: "reaction" }, `${emoji(value.name) ?? `:${value.name}:`} ${value.count}`);
}

function threadButton(message, directory, openThread) {
  const repliers = [...new Set(message.replies.map((reply) => reply.user))].slice(0, 3);
  return h(
    "button",
    { class: "thread-button", type: "button", onclick: () => openThread(message.ts) },
    h("span", { class: "faces" }, repliers.map((id) => avatar(directory.person(id), "avatar-small"))),
    h("strong", {}, counted(message.replies.length, "reply", "replies")),
    h("span", { class: "thread-last" }, `last at ${clock(dateOf(message.replies.at(-1).ts))}`),
  );
}
