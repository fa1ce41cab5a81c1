"""``airflow incident setup``: install the files, and connect Slack, Datadog and Airflow."""
