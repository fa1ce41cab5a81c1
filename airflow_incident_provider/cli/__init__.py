"""``airflow incident ...``: the commands.

Airflow imports :mod:`airflow_incident_provider.cli.commands` at every start of its command line; the other modules
are imported when a command runs.
"""
