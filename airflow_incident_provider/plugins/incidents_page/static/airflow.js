// The page as a component of Airflow's UI, which calls a function with the name of the menu entry and provides React.
import { showIncidents } from "./incidents.js";

const { createElement, useEffect, useRef } = globalThis.React;

globalThis.Incidents = function Incidents() {
  const place = useRef(null);
  useEffect(() => showIncidents(place.current), []);
  return createElement("div", { ref: place });
};
