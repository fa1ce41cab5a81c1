"""The bodies of ``airflow incident ...``, one command a module."""
