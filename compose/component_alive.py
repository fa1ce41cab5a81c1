"""
Exit with 0 if a component of Airflow in this container reported recently that it is alive, else with 1.

It asks the database what ``airflow jobs check`` asks, without importing Airflow: that takes seconds of a core,
at every check of every component.

    python component_alive.py SchedulerJob
"""

from __future__ import annotations

import os
import socket
import sys

import psycopg2

LONGEST_SILENCE_S = 30
"""The components report every 5 s."""
CONNECT_TIMEOUT_S = 5

QUERY = """
    SELECT count(*) FROM job
    WHERE job_type = %s AND hostname = %s AND state = 'running'
    AND latest_heartbeat > now() - %s * interval '1 second'
"""


def is_alive(job_type: str) -> bool:
    """Return whether a job of this type on this host is running and has reported lately."""
    url = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "", 1)
    connection = psycopg2.connect(url, connect_timeout=CONNECT_TIMEOUT_S)
    try:
        with connection.cursor() as cursor:
            cursor.execute(QUERY, (job_type, socket.gethostname(), LONGEST_SILENCE_S))
            [alive] = cursor.fetchone()
            return bool(alive)
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not is_alive(sys.argv[1]))
