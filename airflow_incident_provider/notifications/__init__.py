"""Notifiers: what Airflow calls when something happens to a DAG or a task that is not ours."""
