"""
Keeps the directory of Slack members at hand, so that no incident waits for it.

Names are looked up in it; e-mail addresses, ids and user groups need no directory. Unpause it where a routing table
or a report gives names, and the workspace has more than 3,000 members; in a smaller one it saves a second. A
directory of up to a day counts as fresh, and an older one is used rather than waited for.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_incident_provider.operators import RefreshSlackDirectoryOperator

with DAG(
    dag_id="slack_directory_refresh",
    description="Keeps the directory of Slack members at hand",
    doc_md=__doc__,
    # Four times a day, at a minute at which little else begins.
    schedule="17 */6 * * *",
    catchup=False,
    max_active_runs=1,
    tags=["slack"],
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5), "execution_timeout": timedelta(minutes=30)},
) as dag:
    # A team with a workspace of its own adds a task with its own slack_conn_id.
    RefreshSlackDirectoryOperator(task_id="refresh_directory")
