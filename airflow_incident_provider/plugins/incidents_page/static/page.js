// The page on its own, at /incidents/.
import { showIncidents } from "./incidents.js";

showIncidents(document.getElementById("incidents"));
