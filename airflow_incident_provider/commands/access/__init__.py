"""The Airflow that a command talks to: a remote one by its REST API, or the one that is configured here."""
