// The page as a component of Airflow's UI, which looks for a function of the entry's name and brings React.
import { showIncidents } from "./incidents.js";

const { createElement, useEffect, useRef } = globalThis.React;

globalThis.Incidents = function Incidents() {
  const place = useRef(null);
  useEffect(() => showIncidents(place.current), []);
  return createElement("div", { ref: place });
};
