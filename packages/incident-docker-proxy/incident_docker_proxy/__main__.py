"""``python -m incident_docker_proxy``."""

from incident_docker_proxy.command_line import main

main()
