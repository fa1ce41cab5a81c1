// Response times as a chart: a bar up to the median, a mark at the 90th percentile, on a logarithmic scale.

import { duration, with_ } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const LABELS = {
  room: "Room", first_evidence: "First evidence", command: "Command", mitigation: "Mitigation", resolution: "Resolution",
};
const WIDTH = 640, LABEL = 120, PLOT = 250, ROW = 24;

/** Return the chart; its texts say the same as its bars. */
export function chart(times) {
  const longest = Math.max(1, ...times.map((time) => time.p90_s ?? 0));
  const place = (seconds) => (PLOT * Math.log1p(seconds)) / Math.log1p(longest);
  const picture = node("svg", {
    viewBox: `0 0 ${WIDTH} ${ROW * times.length}`, role: "img",
    "aria-label": times.map((time) => `${LABELS[time.milestone]}: ${figures(time)}`).join("; "),
  });
  times.forEach((time, index) => {
    const y = ROW * index;
    picture.append(node("text", { x: 0, y: y + 16 }, LABELS[time.milestone]));
    if (time.count) {
      picture.append(
        node("rect", { x: LABEL, y: y + 6, width: Math.max(1, place(time.median_s)), height: 12 }),
        node("path", { d: `M ${LABEL + place(time.p90_s)} ${y + 3} v 18` }),
      );
    }
    picture.append(node("text", { x: LABEL + PLOT + 12, y: y + 16, class: "figures" }, figures(time)));
  });
  return picture;
}

function figures(time) {
  if (!time.count) return "not recorded";
  return `median ${duration(time.median_s * 1000)}, p90 ${duration(time.p90_s * 1000)} (n ${time.count})`;
}

function node(name, attributes, text = "") {
  const made = with_(document.createElementNS(SVG, name), attributes);
  made.textContent = text;
  return made;
}
