"""Run Airflow in this environment until the end of standard input; print its URL and credentials."""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    home, dags_folder, environment, sandbox = sys.argv[1:]
    # The sandbox is not installed yet at this point of the page.
    sys.path.append(sandbox)
    from incident_sandbox.demo.local_airflow import LocalAirflow

    with LocalAirflow(Path(home), Path(dags_folder), environment=json.loads(environment)) as airflow:
        access = {"url": airflow.url, "environment": airflow.environment, "credentials": airflow.credentials}
        print(json.dumps(access), flush=True)
        sys.stdin.read()
