// Times in the reader's own zone.

const MILLISECONDS = 1000;

/** Return the Date of a message's timestamp. */
export function dateOf(ts) {
  return new Date(Number.parseFloat(ts) * MILLISECONDS);
}

function format(date, options) {
  return new Intl.DateTimeFormat(undefined, options).format(date);
}

/** Return hours and minutes. */
export function clock(date) {
  return format(date, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

/** Return the day in words, "Today" for this one. */
export function day(date) {
  if (date.toDateString() === new Date().toDateString()) return "Today";
  return format(date, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}

const TOKENS = {
  date_num: (date) => format(date, { year: "numeric", month: "2-digit", day: "2-digit" }),
  date_slash: (date) => format(date, { year: "numeric", month: "2-digit", day: "2-digit" }),
  date: (date) => format(date, { year: "numeric", month: "long", day: "numeric" }),
  date_short: (date) => format(date, { year: "numeric", month: "short", day: "numeric" }),
  date_long: (date) => format(date, { weekday: "long", year: "numeric", month: "long", day: "numeric" }),
  time: clock,
  time_secs: (date) => format(date, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }),
  ago: ago,
};
for (const name of ["date", "date_short", "date_long"]) {
  TOKENS[`${name}_pretty`] = (date) => (day(date) === "Today" ? "today" : TOKENS[name](date));
}

function ago(date) {
  const minutes = Math.round((date.getTime() - Date.now()) / (60 * MILLISECONDS));
  const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  return Math.abs(minutes) < 60 ? relative.format(minutes, "minute") : relative.format(Math.round(minutes / 60), "hour");
}

/** Return the text of a `<!date^seconds^format>` in the reader's zone, or its fallback. */
export function dateText(seconds, pattern, fallback) {
  const date = dateOf(seconds);
  if (Number.isNaN(date.getTime())) return fallback;
  return pattern.replace(/\{(\w+)\}/g, (whole, name) => (TOKENS[name] ? TOKENS[name](date) : whole));
}
