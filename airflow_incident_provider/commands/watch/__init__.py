"""``airflow incident watch``: a run's steps as they happen, then its summary."""
