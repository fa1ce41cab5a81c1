"""
The bodies of ``airflow incident ...``, each loaded when it is run.

What they share: :mod:`.running` makes a function a command (exit codes, errors in words), :mod:`.output` shows
results, :mod:`.access` is the Airflow that a command talks to, by its REST API or in its database.
"""
