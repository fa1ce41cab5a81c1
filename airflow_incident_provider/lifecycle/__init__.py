"""
An incident's life: what an alert is, given the incidents that there are, and what follows from it.

Pure functions and values: nothing here reads a file, a clock, a database or a connection. Whoever keeps the
records and starts the runs asks :func:`~airflow_incident_provider.lifecycle.decision.decide`.
"""
