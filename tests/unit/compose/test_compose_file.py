"""Check ``docker-compose.yaml`` as resolved by Docker Compose."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from incident_sandbox.demo.airflow_home import RECOMMENDED_SETTINGS
from incident_sandbox.interactivity import SIGNING_SECRET
from incident_sandbox.seed import APP_LEVEL_TOKEN

from airflow_incident_provider.get_provider_info import get_provider_info
from airflow_incident_provider.intake.routing_table import load_routing_table
from airflow_incident_provider.probes import catalogue

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = ROOT / ".tests" / "bin" / "docker-compose"
REQUIRED = {
    "AIRFLOW_FERNET_KEY",
    "AIRFLOW_JWT_SECRET",
    "AIRFLOW_SECRET_KEY",
    "AIRFLOW_ADMIN_PASSWORD",
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
}
ONE_SHOT = {"airflow-init", "sandbox-connections"}
WORKER_ONLY = "AIRFLOW__CORE__LAZY_LOAD_PLUGINS"
AIRFLOW = {"api-server", "scheduler", "dag-processor", "triggerer", "worker"}


def compose(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Compose with these values as its .env file."""
    if not COMPOSE.exists():
        subprocess.run([ROOT / "tests" / "compose" / "fetch_compose.sh", sys.executable, COMPOSE], check=True)
    env_file = folder / "env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in environment.items()))
    command = [COMPOSE, "--env-file", env_file, "-f", ROOT / "docker-compose.yaml", "--profile", "*", *arguments]
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return subprocess.run(command, env=clean, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def secrets() -> dict[str, str]:
    return {name: f"{name.lower().replace('_', '')}0123456789" for name in REQUIRED}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, secrets: dict[str, str]) -> dict[str, Any]:
    result = compose(tmp_path_factory.mktemp("compose"), secrets, "config", "--format", "json")
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout)["services"])


@pytest.fixture(scope="module")
def airflow_services(services: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if name.removeprefix("airflow-") in AIRFLOW}


@pytest.mark.parametrize("missing", sorted(REQUIRED))
def test_missing_secret_is_named(tmp_path: Path, secrets: dict[str, str], missing: str) -> None:
    result = compose(tmp_path, {name: value for name, value in secrets.items() if name != missing}, "config", "-q")
    assert result.returncode != 0
    assert f"required variable {missing} is missing" in result.stderr
    assert "openssl rand" in result.stderr or "make-env.sh" in result.stderr


def test_only_one_port_is_published_on_loopback(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert published.keys() == {"airflow-api-server"}
    [port] = published["airflow-api-server"]
    assert (port["host_ip"], port["target"]) == ("127.0.0.1", 8080)


def test_every_service_has_limits_restart_and_health_check(services: dict[str, Any]) -> None:
    for name, service in services.items():
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= limits.keys(), name
        assert {"max-size", "max-file"} <= service["logging"]["options"].keys(), name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name
        if name in ONE_SHOT:
            assert service["restart"] == "on-failure:3"
        else:
            assert service["restart"] == "unless-stopped"
            assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name


def test_only_the_proxy_mounts_the_docker_socket(services: dict[str, Any]) -> None:
    mounted = {
        name
        for name, service in services.items()
        for volume in service.get("volumes", [])
        if "docker.sock" in volume["target"] or "docker.sock" in volume["source"]
    }
    assert mounted == {"docker-proxy"}
    assert services["docker-proxy"]["cap_drop"] == ["ALL"]
    assert services["docker-proxy"]["read_only"] is True
    assert services["docker-proxy"]["networks"].keys() == {"docker-api"}
    attached = {name for name, service in services.items() if "docker-api" in service["networks"]}
    assert attached == {"docker-proxy", "airflow-scheduler", "airflow-worker"}


def test_socket_mode_service_needs_no_public_address(services: dict[str, Any]) -> None:
    service = services["airflow-socket"]
    assert service["profiles"] == ["socket", "sandbox"]
    ready_file = service["command"][service["command"].index("--ready-file") + 1]
    assert service["healthcheck"]["test"] == ["CMD", "test", "-f", ready_file]
    assert not service.get("ports")
    assert service["networks"].keys() == {"default"}
    sandbox = services["sandbox-connections"]["environment"]
    assert (sandbox["SLACK_APP_TOKEN"], sandbox["SLACK_SIGNING_SECRET"]) == (APP_LEVEL_TOKEN, SIGNING_SECRET)


def test_proxy_allows_the_probe_images(services: dict[str, Any]) -> None:
    allowed = services["docker-proxy"]["environment"]["INCIDENT_DOCKER_PROXY_ALLOW_IMAGES"].split(",")
    assert {probe.image for probe in catalogue()} <= set(allowed)


def test_recommended_settings_are_set(airflow_services: dict[str, Any]) -> None:
    assert len(airflow_services) == len(AIRFLOW)
    for service in airflow_services.values():
        assert RECOMMENDED_SETTINGS.items() <= service["environment"].items()


def test_secrets_and_settings_are_identical_in_all_services(
    airflow_services: dict[str, Any], secrets: dict[str, str]
) -> None:
    settings = [
        {
            name: value
            for name, value in service["environment"].items()
            if name.startswith("AIRFLOW__") and name != WORKER_ONLY
        }
        for service in airflow_services.values()
    ]
    assert all(each == settings[0] for each in settings)
    assert settings[0]["AIRFLOW__API_AUTH__JWT_SECRET"] == secrets["AIRFLOW_JWT_SECRET"]
    assert settings[0]["AIRFLOW__CORE__FERNET_KEY"] == secrets["AIRFLOW_FERNET_KEY"]


def test_incident_settings_exist(airflow_services: dict[str, Any]) -> None:
    options = get_provider_info()["config"]["incident"]["options"]
    configured = {
        name.removeprefix("AIRFLOW__INCIDENT__").lower()
        for name in airflow_services["airflow-worker"]["environment"]
        if name.startswith("AIRFLOW__INCIDENT__")
    }
    assert configured <= options.keys()


def test_airflow_settings_exist(airflow_services: dict[str, Any]) -> None:
    from airflow.configuration import retrieve_configuration_description

    described = retrieve_configuration_description(include_providers=True)
    for name in airflow_services["airflow-worker"]["environment"]:
        if match := re.fullmatch(r"AIRFLOW__([A-Z0-9_]+?)__([A-Z0-9_]+)", name):
            section, option = match[1].lower(), match[2].lower()
            # The celery section is described by its provider, which is not needed here.
            assert section == "celery" or option in described[section]["options"], f"[{section}] {option}"


def test_env_example_names_the_variables_of_the_compose_file() -> None:
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", (ROOT / "docker-compose.yaml").read_text()))
    example = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE))
    assert named - {"COMPOSE_PROFILES"} <= used
    assert used >= REQUIRED
    assert named >= REQUIRED


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "compose").mkdir()
    for name in (".env.example", "compose/make-env.sh"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    return tmp_path


def test_secrets_are_generated_once(checkout: Path) -> None:
    command = ["sh", "compose/make-env.sh"]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True)
    created = (checkout / ".env").read_text()
    values = dict(re.findall(r"^([A-Z_]+)=(.+)$", created, re.MULTILINE))
    assert values.keys() >= REQUIRED
    assert len({values[name] for name in REQUIRED}) == len(REQUIRED)
    from cryptography.fernet import Fernet

    Fernet(values["AIRFLOW_FERNET_KEY"])
    assert (checkout / ".env").stat().st_mode & 0o077 == 0

    subprocess.run(command, cwd=checkout, check=True, capture_output=True)
    assert (checkout / ".env").read_text() == created
    result = compose(checkout, values, "config", "-q")
    assert result.returncode == 0, result.stderr


def test_mounted_routing_table_is_valid() -> None:
    load_routing_table((ROOT / "compose" / "routing.yaml").read_text())


def test_image_contains_the_files_of_the_services() -> None:
    ignored = yaml.safe_dump((ROOT / ".dockerignore").read_text())
    for copied in ("pyproject.toml", "airflow_incident_provider", "dags/*.py", "component_alive.py"):
        assert copied in ignored
        assert copied in (ROOT / "Dockerfile").read_text()
