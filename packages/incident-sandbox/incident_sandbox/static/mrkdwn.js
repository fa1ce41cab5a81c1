// Slack's markup as elements: bold, italic, struck, code, quotes, links, mentions, dates and emoji.

import { h, link } from "./dom.js";
import { emoji } from "./emoji.js";
import { dateOf, dateText } from "./time.js";

const FENCE = /```\n?([\s\S]*?)\n?```/g;
const INLINE = new RegExp(
  [
    "<([^<>]+)>",
    "`([^`\\n]+)`",
    "(?<![\\w*])\\*(?!\\s)([^*\\n]*[^*\\s])\\*(?![\\w*])",
    "(?<![\\w_])_(?!\\s)([^_\\n]*[^_\\s])_(?![\\w_])",
    "(?<![\\w~])~(?!\\s)([^~\\n]*[^~\\s])~(?![\\w~])",
    ":([a-z0-9_+-]+):",
    "(https?://[^\\s<>|]+)",
  ].join("|"),
  "g",
);
const QUOTE = /^(?:&gt;|>) ?/;

/** Return the characters behind the three entities of the markup. */
export function decoded(text) {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

/** Return the nodes of a mrkdwn text. `names` looks up people, groups and channels. */
export function mrkdwn(text, names) {
  const nodes = [];
  let end = 0;
  for (const fence of text.matchAll(FENCE)) {
    nodes.push(...paragraphs(text.slice(end, fence.index).replace(/\n$/, ""), names));
    nodes.push(h("pre", { class: "code", tabindex: "0" }, plain(fence[1], names)));
    end = fence.index + fence[0].length;
  }
  nodes.push(...paragraphs(text.slice(end).replace(end ? /^\n/ : /^$/, ""), names));
  return nodes;
}

/** Return the nodes of a plain_text object: nothing in it is markup but emoji. */
export function plainText(object) {
  if (object.emoji === false) return [object.text];
  return object.text.split(/(:[a-z0-9_+-]+:)/).map((part) => emoji(part.slice(1, -1)) ?? part);
}

function paragraphs(text, names) {
  if (!text) return [];
  const nodes = [];
  let quoted = [];
  const closeQuote = () => {
    if (quoted.length) nodes.push(h("blockquote", {}, lines(quoted, names)));
    quoted = [];
  };
  let open = [];
  const closeOpen = () => {
    if (open.length) nodes.push(h("span", { class: "lines" }, lines(open, names)));
    open = [];
  };
  for (const line of text.split("\n")) {
    if (QUOTE.test(line)) {
      closeOpen();
      quoted.push(line.replace(QUOTE, ""));
    } else {
      closeQuote();
      open.push(line);
    }
  }
  closeQuote();
  closeOpen();
  return nodes;
}

function lines(texts, names) {
  return texts.flatMap((line, index) => (index ? [h("br"), ...inline(line, names)] : inline(line, names)));
}

function inline(text, names) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > end) nodes.push(decoded(text.slice(end, match.index)));
    nodes.push(token(match, names));
    end = match.index + match[0].length;
  }
  if (end < text.length) nodes.push(decoded(text.slice(end)));
  return nodes;
}

function token([whole, control, code, bold, italic, struck, shortcode, address], names) {
  if (control !== undefined) return controlSequence(control, names);
  if (code !== undefined) return h("code", {}, plain(code, names));
  if (bold !== undefined) return h("strong", {}, inline(bold, names));
  if (italic !== undefined) return h("em", {}, inline(italic, names));
  if (struck !== undefined) return h("s", {}, inline(struck, names));
  if (shortcode !== undefined) return emoji(shortcode) ?? whole;
  return link(decoded(address), { class: "link" }, decoded(address));
}

function controlSequence(body, names) {
  const [target, label] = split(body);
  if (target.startsWith("!date^")) return dateElement(target, label);
  const mention = mentionLabel(target, label, names);
  if (mention !== null) {
    const kind = /^!(channel|here|everyone)/.test(target) ? "mention mention-mass" : "mention";
    return h("span", { class: kind }, mention);
  }
  return link(decoded(target), { class: "link", title: decoded(target) }, decoded(label ?? target));
}

function split(body) {
  const bar = body.indexOf("|");
  return bar < 0 ? [body, null] : [body.slice(0, bar), body.slice(bar + 1)];
}

function mentionLabel(target, label, names) {
  if (/^!(channel|here|everyone)$/.test(target)) return `@${target.slice(1)}`;
  if (target.startsWith("!subteam^")) return `@${names.group(target.slice("!subteam^".length)) ?? label ?? "group"}`;
  if (target.startsWith("@")) return `@${names.person(target.slice(1)) ?? label ?? target.slice(1)}`;
  if (target.startsWith("#")) return `#${names.channel(target.slice(1)) ?? label ?? target.slice(1)}`;
  return null;
}

function dateElement(target, fallback) {
  const [, seconds, pattern, address] = target.split("^");
  const text = dateText(seconds, pattern ?? "", decoded(fallback ?? ""));
  const iso = dateOf(seconds).toISOString();
  const time = h("time", { datetime: iso, title: `${iso.replace(".000Z", "Z")} (shown in your own time)` }, text);
  return address ? link(decoded(address), { class: "link" }, time) : time;
}

/** Return the text of code: control sequences show what they stand for, styles do not apply. */
function plain(text, names) {
  const shown = text.replace(/<([^<>]+)>/g, (_, body) => {
    const [target, label] = split(body);
    return mentionLabel(target, label, names) ?? label ?? target;
  });
  return decoded(shown);
}
