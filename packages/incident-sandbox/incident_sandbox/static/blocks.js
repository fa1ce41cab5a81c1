// Block Kit's blocks as elements. What the sandbox does not draw is named, not hidden.

import { h, link } from "./dom.js";
import { emoji } from "./emoji.js";
import { mrkdwn, plainText } from "./mrkdwn.js";

/** Return the element of one block; `act` receives the use of its buttons and menus. */
export function block(value, names, act) {
  const draw = BLOCKS[value.type];
  return draw ? draw(value, names, act) : h("p", { class: "undrawn" }, `(${value.type} block)`);
}

function text(object, names) {
  return object.type === "mrkdwn" ? mrkdwn(object.text, names) : plainText(object);
}

function header(value) {
  return h("h3", { class: "block-header" }, plainText(value.text));
}

function section(value, names, act) {
  const body = h("div", { class: "section-body" });
  if (value.text) body.append(h("div", { class: "section-text" }, text(value.text, names)));
  if (value.fields) {
    body.append(h("div", { class: "fields" }, value.fields.map((field) => h("div", { class: "field" }, text(field, names)))));
  }
  return h("div", { class: "section" }, body, value.accessory ? element(value.accessory, act) : null);
}

function context(value, names) {
  const draw = (item) => (item.type === "image" ? picture(item, "small") : h("span", {}, text(item, names)));
  return h("div", { class: "context" }, value.elements.map(draw));
}

function actions(value, names, act) {
  return h("div", { class: "actions" }, value.elements.map((item) => element(item, act)));
}

function image(value) {
  return h(
    "figure",
    { class: "figure" },
    value.title ? h("figcaption", {}, plainText(value.title)) : null,
    picture(value, "large"),
  );
}

/** Return a stand-in for an image: nothing is loaded from outside, the alternative text is shown. */
function picture(value, size) {
  return h(
    "span",
    { class: `picture picture-${size}`, role: "img", "aria-label": value.alt_text, title: value.image_url },
    h("span", { class: "picture-sign", "aria-hidden": "true" }, "▧"),
    size === "small" ? null : h("span", {}, h("span", { class: "picture-alt" }, value.alt_text), h("small", {}, "Image, not loaded in the sandbox")),
  );
}

function element(value, act) {
  if (value.type === "image") return picture(value, "medium");
  if (value.type !== "button") return menu(value, act);
  const attributes = { class: `button ${value.style ? `button-${value.style}` : ""}`, title: value.url };
  return value.url
    ? link(value.url, attributes, plainText(value.text))
    : h("button", { ...attributes, type: "button", disabled: !act, onclick: () => confirmed(value) && act(value.action_id) }, plainText(value.text));
}

/** Ask for confirmation where the element wants one. */
function confirmed(value) {
  return !value.confirm || window.confirm(`${value.confirm.title.text}\n\n${value.confirm.text.text}`);
}

/** Return a menu: an overflow or a static select. */
function menu(value, act) {
  const label = value.placeholder?.text ?? (value.type === "overflow" ? "More actions" : value.type);
  const options = (value.options ?? []).map((option) => h("option", { value: option.value }, option.text.text));
  const choose = (event) => {
    const { value: chosen } = event.target;
    event.target.value = "";
    if (chosen && confirmed(value)) act(value.action_id, chosen);
  };
  return h("select", { class: "button", "aria-label": label, disabled: !act || !options.length, onchange: choose },
    h("option", { value: "" }, value.type === "overflow" ? "⋯" : label), options);
}

function richText(value, names) {
  return h("div", { class: "rich" }, value.elements.map((part) => richPart(part, names)));
}

function richPart(part, names) {
  const inner = (part.elements ?? []).map((item) => richElement(item, names));
  if (part.type === "rich_text_preformatted") return h("pre", { class: "code", tabindex: "0" }, inner);
  if (part.type === "rich_text_quote") return h("blockquote", {}, inner);
  if (part.type === "rich_text_list") {
    const items = part.elements.map((item) => h("li", {}, richPart(item, names)));
    return h(part.style === "ordered" ? "ol" : "ul", {}, items);
  }
  return h("div", { class: "lines" }, inner);
}

function richElement(item, names) {
  const draw = RICH[item.type];
  let node = draw ? draw(item, names) : `(${item.type})`;
  for (const [style, tag] of [["code", "code"], ["bold", "strong"], ["italic", "em"], ["strike", "s"]]) {
    if (item.style?.[style]) node = h(tag, {}, node);
  }
  return node;
}

const RICH = {
  text: (item) => item.text,
  emoji: (item) => emoji(item.name) ?? `:${item.name}:`,
  link: (item) => link(item.url, { class: "link" }, item.text ?? item.url),
  user: (item, names) => h("span", { class: "mention" }, `@${names.person(item.user_id) ?? item.user_id}`),
  usergroup: (item, names) => h("span", { class: "mention" }, `@${names.group(item.usergroup_id) ?? "group"}`),
  channel: (item, names) => h("span", { class: "mention" }, `#${names.channel(item.channel_id) ?? "channel"}`),
  broadcast: (item) => h("span", { class: "mention mention-mass" }, `@${item.range}`),
};

const BLOCKS = {
  header,
  section,
  context,
  actions,
  image,
  divider: () => h("hr", { class: "divider" }),
  rich_text: richText,
  markdown: (value, names) => h("div", { class: "lines" }, mrkdwn(value.text, names)),
};
