// Building the page without ever parsing text as HTML.

/** Return an element; text children become text nodes, absent ones are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Return a link that opens elsewhere, or plain text when the address is not one of the web. */
export function link(url, attributes, ...children) {
  const address = webAddress(url);
  if (address === null) return h("span", attributes, ...children);
  const inside = address.startsWith("#");
  return h("a", { href: address, ...(inside ? {} : { target: "_blank", rel: "noopener noreferrer" }), ...attributes }, ...children);
}

const PERMALINK = /^https:\/\/acme-retail\.slack\.com\/archives\/([A-Z0-9]+)(?:\/p(\d+)(\d{6}))?/;

/** Return an http(s) or mailto address, or null. A permalink of the workspace leads to this page. */
export function webAddress(url) {
  const permalink = PERMALINK.exec(url);
  if (permalink) return permalink[2] ? `#${permalink[1]}/${permalink[2]}.${permalink[3]}` : `#${permalink[1]}`;
  return /^(https?:\/\/|mailto:)/i.test(url) ? url : null;
}

const TINTS = 9;

/** Return a picture of a person: initials on a colour that always stays theirs. */
export function avatar(person, size = "") {
  const sum = [...person.id].reduce((total, char) => (total * 31 + char.codePointAt(0)) % 9973, 7);
  const kind = person.is_bot ? "avatar-bot" : `tint-${sum % TINTS}`;
  return h("span", { class: `avatar ${kind} ${size}`, "aria-hidden": "true" }, person.is_bot ? "⚙" : initials(person.label));
}

function initials(name) {
  const words = name.replace(/[^\p{L}\p{N}\s]/gu, " ").trim().split(/\s+/);
  const first = [...(words[0] ?? "?")][0] ?? "?";
  const last = words.length > 1 ? [...words.at(-1)][0] : "";
  return (first + last).toUpperCase();
}

/** Return "1 reply" or "2 replies". */
export function counted(number, one, many) {
  return `${number} ${number === 1 ? one : many}`;
}
