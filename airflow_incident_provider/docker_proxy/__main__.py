"""``python -m airflow_incident_provider.docker_proxy``."""

from airflow_incident_provider.docker_proxy.command_line import main

main()
