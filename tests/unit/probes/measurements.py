"""Build the output of the built-in probe."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from airflow_incident_provider.probes import ContainerOutput

AT = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)
ADDRESS = "192.0.2.1"
VANTAGE = {
    "clock": str(int(AT.timestamp())),
    "addresses": "172.18.0.2/16",
    "routes4": "default via 172.18.0.1 dev eth0",
    "resolvers": "10.0.0.2",
    "load": "0.50 0.40 0.30 1/200 1\n2\nMemTotal: 1000 kB\nMemAvailable: 900 kB",
}


def curl_report(**fields: Any) -> str:
    """Return curl's report of a successful transfer."""
    report = {
        "exitcode": 0,
        "num_connects": 1,
        "http_code": 200,
        "http_version": "1.1",
        "time_connect": 0.003,
        "time_appconnect": 0,
        "time_starttransfer": 0.2,
        "time_total": 0.21,
        "ssl_verify_result": 0,
        "certs": "",
        "redirect_url": None,
        "errormsg": None,
    }
    return json.dumps(report | fields)


def web_measurements(**fields: Any) -> dict[str, str]:
    """Return the measurements of a web target with one address."""
    return {
        **VANTAGE,
        "lookup4": "100.00 100.01",
        "lookup6": "100.00 100.01",
        "judged": f"{ADDRESS} yes reserved 172.18.0.2",
        "address-1": ADDRESS,
        "result-1": curl_report(**fields),
        "headers-1": "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n",
        "body-1": "ok",
    }


def output(measurements: dict[str, str], **fields: Any) -> ContainerOutput:
    """Return the output of a container with these measurements."""
    lines = [
        f"{name} {b64encode(gzip.compress(value.encode('latin-1'))).decode()}"
        for name, value in measurements.items()
    ]
    printed = "\n".join([*lines, "complete", ""]).encode()
    return ContainerOutput(**({"started_at": AT, "exit_code": 0, "stdout": printed, "duration_ms": 300} | fields))
