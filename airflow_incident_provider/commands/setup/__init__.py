"""``airflow incident setup``: what is done once to connect Slack, Datadog and Airflow."""
