"""``airflow incident export``: the workflow as JSON, and as a picture."""
