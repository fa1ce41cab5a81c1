"""
The calls of the Docker Engine API that an investigation needs, with the query of each.

Whatever is not in ``ENDPOINTS`` is refused. ``WHY_NOT`` only words the refusal for the well-known rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from incident_docker_proxy.checks import Check, matching, text
from incident_docker_proxy.decision import Answer


class Rewrite(Enum):
    """What has to be done to a call besides checking its query."""

    NOTHING = auto()
    ONLY_INVESTIGATIONS = auto()
    """Narrow a list of containers to those with the label."""
    CONTAINER_SPEC = auto()
    """Check the body of a create."""
    IMAGE_FILTERS = auto()
    """Check the filters of a list of images."""
    IMAGE_NAME = auto()
    """Look at which image is asked for."""
    PULL = auto()
    """Look at which image is pulled, and whether pulling is allowed at all."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One call: its method, its path (a pattern for the whole of it), and a check for each query name."""

    method: str
    path: re.Pattern[str]
    query: Mapping[str, Check] = field(default_factory=dict)
    answer: Answer = Answer.RELAY
    rewrite: Rewrite = Rewrite.NOTHING


# No re.IGNORECASE: it takes a long s (U+017F) for an s, and "false" spelt so is off to Python and on to the engine.
_FLAG = matching("|0|1|true|false|True|False", "a flag")
_OFF = matching("|0|false|False", "off")
_SECONDS = matching(r"[0-9]{1,3}", "a number of seconds")
_TIME = matching(r"[0-9]{0,12}(?:\.[0-9]{1,9})?", "a time in seconds")
_NAME = matching(r"/?[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", "a container's name")
_SIGNAL = matching(r"(?:SIG)?(?:TERM|KILL|INT|QUIT|HUP)|1|2|3|9|15", "a signal that ends a process")
_CONDITION = matching("not-running|next-exit|removed", "a condition to wait for")
_LIMIT = matching("-1|[0-9]{1,6}", "a number")
_TAIL = matching("|all|[0-9]{1,9}", "all or a number of lines")

_CONTAINER = "/containers/(?P<container>[A-Za-z0-9][A-Za-z0-9_.-]{0,127})"


def _endpoint(method: str, path: str, query: Mapping[str, Check] | None = None, **more: object) -> Endpoint:
    return Endpoint(method, re.compile(path), query or {}, **more)  # type: ignore[arg-type]


ENDPOINTS = (
    _endpoint("GET", "/_ping"),
    _endpoint("HEAD", "/_ping"),
    _endpoint("GET", "/version"),
    _endpoint("GET", "/info"),
    _endpoint(
        "GET",
        "/containers/json",
        {
            "all": _FLAG,
            "size": _FLAG,
            "trunc_cmd": _FLAG,
            "limit": matching("-1|[0-9]{1,6}", "a number"),
            "filters": text,
        },
        rewrite=Rewrite.ONLY_INVESTIGATIONS,
    ),
    _endpoint("POST", "/containers/create", {"name": _NAME}, rewrite=Rewrite.CONTAINER_SPEC),
    _endpoint("GET", f"{_CONTAINER}/json", {"size": _FLAG}),
    _endpoint("POST", f"{_CONTAINER}/start"),
    _endpoint("POST", f"{_CONTAINER}/stop", {"t": _SECONDS}),
    _endpoint("POST", f"{_CONTAINER}/kill", {"signal": _SIGNAL}),
    _endpoint("POST", f"{_CONTAINER}/wait", {"condition": _CONDITION}),
    _endpoint("DELETE", _CONTAINER, {"v": _FLAG, "force": _FLAG, "link": _OFF}),
    _endpoint(
        "POST",
        f"{_CONTAINER}/attach",
        {"stream": _FLAG, "stdout": _FLAG, "stderr": _FLAG, "logs": _FLAG, "stdin": _OFF},
        answer=Answer.OUTPUT_STREAM,
    ),
    _endpoint(
        "GET",
        f"{_CONTAINER}/logs",
        {
            "stdout": _FLAG,
            "stderr": _FLAG,
            "follow": _FLAG,
            "timestamps": _FLAG,
            "since": _TIME,
            "until": _TIME,
            "tail": _TAIL,
        },
    ),
    _endpoint(
        "GET",
        "/images/json",
        {"all": _FLAG, "only_ids": _FLAG, "digests": _FLAG, "filters": text},
        answer=Answer.ALLOWED_IMAGES,
        rewrite=Rewrite.IMAGE_FILTERS,
    ),
    _endpoint("GET", "/images/(?P<image>.+)/json", answer=Answer.ALLOWED_IMAGE, rewrite=Rewrite.IMAGE_NAME),
    _endpoint("POST", "/images/create", {"fromImage": text, "tag": text}, rewrite=Rewrite.PULL),
)

WHY_NOT = (
    (re.compile(r"/build.*|/session|/grpc"), "no image is built"),
    (re.compile(r"/exec.*|/containers/[^/]+/exec"), "nothing is run in a container that is already there"),
    (re.compile(r"/commit|/images/.*"), "images are only looked at, and pulled where that is allowed"),
    (re.compile(r"/containers/[^/]+/(?:archive|export|copy)"), "no file is moved in or out of a container"),
    (re.compile(r"/containers/[^/]+/attach/ws"), "output is read by attach or logs"),
    (
        re.compile(r"/containers/[^/]+/(?:update|rename|restart|pause|unpause|resize)"),
        "a container stays as made",
    ),
    (re.compile(r"/containers/prune"), "containers are removed one by one"),
    (re.compile(r"/volumes.*"), "volumes are out of reach"),
    (re.compile(r"/networks.*"), "networks are out of reach"),
    (re.compile(r"/plugins.*"), "plugins are out of reach"),
    (re.compile(r"/(?:swarm|nodes|services|tasks|secrets|configs).*"), "the swarm is out of reach"),
    (re.compile(r"/(?:events|system.*|auth|distribution.*)"), "the engine's own affairs are out of reach"),
)


def why_not(path: str) -> str:
    """Return why a call that is not on the list is refused."""
    reasons = (reason for pattern, reason in WHY_NOT if pattern.fullmatch(path))
    return next(reasons, "this call is not one that an investigation needs")
