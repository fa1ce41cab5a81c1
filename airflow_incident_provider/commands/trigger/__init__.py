"""``airflow incident trigger``: from options, a file or answers to a run of the incident DAG."""
