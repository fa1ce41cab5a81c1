// Elements and texts. Everything that comes from the server is set as text, never as markup: it is untrusted.

export const API = new URL("../api/", import.meta.url);
export const AIRFLOW = new URL("../..", import.meta.url);

export const SEVERITIES = { critical: "●", high: "▲", medium: "■", low: "○" };
export const VERDICTS = {
  fail: ["✖", "failing"],
  warn: ["▲", "warning"],
  unknown: ["?", "unknown"],
  ok: ["✓", "passing"],
  skipped: ["◻", "not checked"],
};

export function element(name, className = "", ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function with_(made, attributes) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** Return a symbol that screen readers skip, because a word stands next to it. */
export function symbol(text, className = "symbol") {
  return with_(element("span", className, text), { "aria-hidden": "true" });
}

/** Return a URL only if it is http or https: an incident must not contain a script. */
export function webUrl(address) {
  try {
    const url = new URL(address);
    return ["https:", "http:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

export function link(href, text, label = null) {
  const anchor = element("a", "", text);
  anchor.href = href;
  if (label) anchor.setAttribute("aria-label", label);
  return anchor;
}

/** Return a link to another site, in a new tab. */
export function externalLink(href, text, label = null) {
  return with_(link(href, text, label), { target: "_blank", rel: "noopener noreferrer" });
}

/** Return a link into Airflow's UI, from a path that the server returned; `null` if it leads elsewhere. */
export function airflowLink(path, text, label = null) {
  const url = new URL(path, location.origin);
  return url.origin === location.origin ? link(url.href, text, label) : null;
}

/** Return an element whose text is the time since `moment`; `updateAges` keeps it current. */
export function age(moment) {
  const made = element("time", "age");
  made.dateTime = moment;
  made.title = utc(moment, true);
  made.dataset.since = String(Date.parse(moment));
  return made;
}

export function updateAges(root, now) {
  for (const made of root.querySelectorAll("time[data-since]")) {
    made.textContent = duration(now - Number(made.dataset.since));
  }
}

export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** Return a UTC time, with its date if that is not today. */
export function utc(moment, seconds = false) {
  const iso = new Date(moment).toISOString();
  const day = iso.slice(0, 10) === new Date().toISOString().slice(0, 10) ? "" : `${iso.slice(0, 10)} `;
  return `${day}${iso.slice(11, seconds ? 19 : 16)} UTC`;
}

/** Replace the children of `parent` that differ, so that the others keep focus and selection. */
export function patch(parent, children) {
  const current = [...parent.childNodes];
  children.forEach((child, index) => {
    if (index >= current.length) parent.append(child);
    else if (!current[index].isEqualNode(child)) current[index].replaceWith(child);
  });
  current.slice(children.length).forEach((extra) => extra.remove());
}

/** Show `items` as children of `parent`, one element per key: unchanged ones stay, a moved one keeps its focus. */
export function patchKeyed(parent, items, keyOf, render) {
  const existing = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const focused = parent.getRootNode().activeElement;
  items.forEach((item, index) => {
    const key = keyOf(item);
    const fresh = render(item);
    fresh.dataset.key = key;
    let shown = existing.get(key);
    if (shown === undefined) shown = fresh;
    else {
      if (shown.className !== fresh.className) shown.className = fresh.className;
      patch(shown, [...fresh.childNodes]);
    }
    existing.delete(key);
    // If an element moves down, it is moved, and not all those that it passes.
    if (parent.children[index + 1] === shown) parent.append(parent.children[index]);
    if (parent.children[index] !== shown) parent.insertBefore(shown, parent.children[index] ?? null);
  });
  for (const gone of existing.values()) gone.remove();
  if (focused?.isConnected && parent.getRootNode().activeElement !== focused) focused.focus({ preventScroll: true });
}
