"""
The body of a create: which settings a container may have, and with which values.

The engine matches names without regard to case (Go's ``encoding/json`` does), so ``{"hostconfig":
{"privileged": true}}`` is a privileged container. A name passes only in the spelling listed here; whatever
else is in the body is refused, and the engine gets a body written from what was listed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from typing import Any

from incident_docker_proxy.checks import (
    Check,
    boolean,
    exactly,
    integer,
    list_of,
    matching,
    size_up_to,
    text,
)
from incident_docker_proxy.decision import RefusedError
from incident_docker_proxy.settings import LABEL_NAME, LABEL_VALUE, MIB, Settings

MOST_SHARED_MEMORY = 64 * MIB
MOST_TMPFS = 64 * MIB
MOST_LOG = 10 * MIB
LONGEST_STOP_SECONDS = 60

UNUSED = {
    "Volumes": "a volume would outlive the container",
    "ExposedPorts": "no port is opened",
    "Healthcheck": "a health check runs commands in addition to the probe",
    "OpenStdin": "nothing is typed into a container",
    "StdinOnce": "nothing is typed into a container",
    "AttachStdin": "nothing is typed into a container",
    "MacAddress": "network addresses are the engine's to give",
    "Runtime": "another runtime may not isolate",
    "Hostname": "a container is known by its id",
    "Domainname": "a container is known by its id",
    "StopSignal": "a container is ended by the usual signals",
}
"""Settings of a container that clients send at their zero value; any other value is refused, for this reason."""

UNUSED_HOST = {
    "Privileged": "a privileged container owns the host",
    "Binds": "no path of the host is mounted",
    "Mounts": "nothing is mounted",
    "VolumesFrom": "no other container's volumes are mounted",
    "VolumeDriver": "nothing is mounted",
    "Devices": "no device of the host is given",
    "DeviceRequests": "no device of the host is given",
    "DeviceCgroupRules": "no device of the host is given",
    "CapAdd": "no capability is added",
    "PidMode": "no process namespace is shared",
    "UTSMode": "no host name namespace is shared",
    "UsernsMode": "the engine's user namespace is kept",
    "Sysctls": "no kernel setting is changed",
    "Runtime": "another runtime may not isolate",
    "CgroupParent": "the engine chooses the control group",
    "Cgroup": "the engine chooses the control group",
    "ExtraHosts": "names are resolved by name servers",
    "Links": "no other container is linked",
    "PublishAllPorts": "no port is opened",
    "PortBindings": "no port is opened",
    "RestartPolicy": "a probe runs once",
    "GroupAdd": "no further group is joined",
    "OomScoreAdj": "a probe is not spared when memory is short",
    "OomKillDisable": "a probe is not spared when memory is short",
    "MaskedPaths": "the engine's masked paths are kept",
    "ReadonlyPaths": "the engine's read-only paths are kept",
    "Ulimits": "the engine's limits are kept",
    "StorageOpt": "the root is read-only",
    "ContainerIDFile": "no file of the host is written",
}
"""The same for the settings of the host's side of a container."""

REQUIRED = ("Image", "User", "Labels", "HostConfig")
REQUIRED_HOST = (
    "ReadonlyRootfs",
    "CapDrop",
    "SecurityOpt",
    "Memory",
    "MemorySwap",
    "PidsLimit",
    "NanoCpus",
    "LogConfig",
)

_ID = r"[1-9][0-9]{0,8}"
_ARGUMENTS = list_of(text, most=256)
_ENVIRONMENT = list_of(matching(r"(?s:[A-Za-z_][A-Za-z0-9_]*=[^\0]{0,65536})", "NAME=value"), most=256)
_LABEL = re.compile(r"airflow[A-Za-z0-9_./-]{0,100}")
_TMPFS_FLAGS = {"rw", "noexec", "nosuid", "nodev"}
_LOG_OPTIONS: dict[str, Check] = {
    "max-size": size_up_to(MOST_LOG),
    "max-file": matching("[1-5]", "from 1 to 5"),
}


def checked_container(document: object, settings: Settings) -> dict[str, Any]:
    """Return the body of a create with nothing in it but what was understood and allowed.

    :param document: the parsed body that the client sent.
    :raises RefusedError: if a setting is missing, is not on the list, or has a value that is not allowed.
    """
    body = _checked_fields(document, "", _container_checks(settings), UNUSED, REQUIRED)
    host = _checked_fields(body["HostConfig"], "HostConfig.", _host_checks(settings), UNUSED_HOST, REQUIRED_HOST)
    if host["MemorySwap"] != host["Memory"]:
        raise RefusedError("HostConfig.MemorySwap must equal Memory, so that nothing is swapped")
    body["HostConfig"] = host
    if "NetworkingConfig" in body:
        _check_endpoints(body["NetworkingConfig"], host.get("NetworkMode", "default"))
    return body


def _container_checks(settings: Settings) -> dict[str, Check]:
    return {
        "Image": lambda value: _image_problem(value, settings),
        "User": matching(f"{_ID}:{_ID}", "numbers, user:group, and neither of them root's"),
        "Labels": _labels_problem,
        "HostConfig": _object_problem,
        "NetworkingConfig": _object_problem,
        "Entrypoint": _ARGUMENTS,
        "Cmd": _ARGUMENTS,
        "Env": _ENVIRONMENT,
        # A working directory under /proc/self/fd has led out of containers (CVE-2024-21626).
        "WorkingDir": matching("(?:/|/tmp)?", "/ or /tmp"),
        "Tty": boolean,
        "AttachStdout": boolean,
        "AttachStderr": boolean,
        "NetworkDisabled": boolean,
        "StopTimeout": integer(0, LONGEST_STOP_SECONDS),
    }


def _host_checks(settings: Settings) -> dict[str, Check]:
    return {
        "ReadonlyRootfs": exactly(True, "true"),
        "CapDrop": exactly(["ALL"], '["ALL"]'),
        "SecurityOpt": _security_problem,
        "Memory": integer(1, settings.memory),
        "MemorySwap": integer(1, settings.memory),
        "PidsLimit": integer(1, settings.pids),
        "NanoCpus": integer(1, settings.nano_cpus),
        "CpuShares": integer(0, 1024),
        "ShmSize": integer(0, MOST_SHARED_MEMORY),
        "LogConfig": _log_problem,
        "Tmpfs": _tmpfs_problem,
        "NetworkMode": lambda value: _network_problem(value, settings),
        "IpcMode": matching("(?:private|none)?", "private or none"),
        "CgroupnsMode": matching("(?:private)?", "private"),
        "Dns": list_of(_name_server_problem, most=3),
        "Init": boolean,
        "AutoRemove": boolean,
    }


def _checked_fields(
    document: object, where: str, checks: Mapping[str, Check], unused: Mapping[str, str], required: Collection[str]
) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise RefusedError(f"{where or 'the body'} must be an object")
    kept = {}
    for name, value in document.items():
        if name in checks and value is not None:
            if problem := checks[name](value):
                raise RefusedError(f"{where}{name} {problem}")
            kept[name] = value
        elif name in unused and not _is_zero(value):
            raise RefusedError(f"{where}{name} is refused: {unused[name]}")
        elif name not in checks and name not in unused:
            raise RefusedError(f"{where}{name[:40]!a} is not a setting that an investigation needs")
    missing = [name for name in required if name not in kept]
    if missing:
        raise RefusedError(f"{where}{missing[0]} is required")
    return kept


def _is_zero(value: object) -> bool:
    """Return whether a value is Go's zero value of a setting that was not given."""
    return value is None or value is False or value in ("", [], {}) or (type(value) is int and value == 0)


def _image_problem(value: object, settings: Settings) -> str | None:
    allowed = isinstance(value, str) and settings.allows_image(value)
    return None if allowed else "is not an allowed image"


def _labels_problem(value: object) -> str | None:
    if not isinstance(value, dict) or value.get(LABEL_NAME) != LABEL_VALUE:
        return f"must have {LABEL_NAME}={LABEL_VALUE}"
    # Labels steer other software on the host: a reverse proxy's routes, a backup's commands.
    if not all(_LABEL.fullmatch(name) for name in value):
        return "must have no names but those that begin with airflow"
    return next((problem for problem in map(text, value.values()) if problem), None)


def _object_problem(value: object) -> str | None:
    return None if isinstance(value, dict) else "must be an object"


def _security_problem(value: object) -> str | None:
    allowed = (["no-new-privileges"], ["no-new-privileges:true"])
    return None if value in allowed else "must be no-new-privileges and nothing else"


def _log_problem(value: object) -> str | None:
    if not isinstance(value, dict) or set(value) != {"Type", "Config"} or value["Type"] != "json-file":
        return "must have the Type json-file and a Config"
    config = value["Config"]
    if not isinstance(config, dict) or "max-size" not in config or set(config) - set(_LOG_OPTIONS):
        return "must bound max-size, and may bound max-file"
    return next((f"{name} {found}" for name in config if (found := _LOG_OPTIONS[name](config[name]))), None)


def _tmpfs_problem(value: object) -> str | None:
    if not isinstance(value, dict) or set(value) - {"/tmp"}:  # noqa: S108 - the path in the container
        return "may be at /tmp only"
    return next((problem for problem in map(_tmpfs_options_problem, value.values()) if problem), None)


def _tmpfs_options_problem(value: object) -> str | None:
    options = value.split(",") if isinstance(value, str) else []
    sizes = [option.removeprefix("size=") for option in options if option.startswith("size=")]
    flags = {option for option in options if not option.startswith("size=")}
    if not {"noexec", "nosuid"} <= flags <= _TMPFS_FLAGS or len(sizes) != 1:
        return "must have noexec, nosuid and one size, and no other options but rw and nodev"
    problem = size_up_to(MOST_TMPFS)(sizes[0])
    return problem and f"size {problem}"


def _network_problem(value: object, settings: Settings) -> str | None:
    allowed = isinstance(value, str) and settings.allows_network(value or "default")
    return None if allowed else "is not an allowed network"


def _name_server_problem(value: object) -> str | None:
    try:
        address = ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        address = None
    usable = address is not None and not (address.is_link_local or address.is_multicast or address.is_unspecified)
    return None if usable else "must be an IP address, and not a link-local one"


def _check_endpoints(networking: Mapping[str, Any], mode: str) -> None:
    """Refuse networks other than the one the container joins, and any endpoint settings in it."""
    endpoints = networking.get("EndpointsConfig") or {}
    if set(networking) - {"EndpointsConfig"} or not isinstance(endpoints, dict):
        raise RefusedError("NetworkingConfig may have EndpointsConfig only")
    if set(endpoints) - {mode} or not all(_is_zero(endpoint) for endpoint in endpoints.values()):
        raise RefusedError("NetworkingConfig may name the container's own network only, without settings")
