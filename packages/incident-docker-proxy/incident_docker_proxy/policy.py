"""
The decision about a request: an allow-list; everything else is refused.

The policy does no I/O. Two questions need the engine's answer (does this container belong to an investigation,
is this image allowed): the server queries the engine and passes the result in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from incident_docker_proxy.container_spec import checked_container
from incident_docker_proxy.decision import Allow, Answer, RefusedError
from incident_docker_proxy.endpoints import ENDPOINTS, Endpoint, Rewrite, why_not
from incident_docker_proxy.parsing import Target, parse_json, parse_target
from incident_docker_proxy.settings import LABEL_NAME, LABEL_VALUE, Settings

_CONTAINER_FILTERS = frozenset({"label", "id", "name", "status", "exited"})
_IMAGE_FILTERS = frozenset({"reference"})
_REFERENCE = re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]{0,254}")
_REGISTRY_AUTH = re.compile(r"[A-Za-z0-9+/=_-]{1,8192}")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was read. Header names are in lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return the header's value, or None if there is none."""
        return next((value for key, value in self.headers if key == name), None)


class Policy:
    """What one installation lets through."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def allow(self, request: Request) -> Allow:
        """Return the request as it may be sent to the engine.

        :raises RefusedError: if it breaks a rule.
        """
        target = parse_target(request.target)
        endpoint, place = _endpoint_of(request.method, target.path)
        _check_headers(request, endpoint)
        _check_query(target, endpoint)
        if request.body and endpoint.rewrite is not Rewrite.CONTAINER_SPEC:
            raise RefusedError("this call has no body")
        return self._rewritten(request, target, endpoint, place)

    def investigation_id(self, inspected: Mapping[str, Any]) -> str:
        """Return the full id of the container that the engine described.

        :raises RefusedError: if the container is not an investigation's.
        """
        labels = (inspected.get("Config") or {}).get("Labels") or {}
        if labels.get(LABEL_NAME) != LABEL_VALUE:
            raise RefusedError("this container is not an investigation's")
        return str(inspected["Id"])

    def shows_image(self, image: Mapping[str, Any]) -> bool:
        """Return whether the image that the engine described has a name that is allowed."""
        names = [*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ())]
        return any(self._settings.allows_image(name) for name in names)

    def _rewritten(self, request: Request, target: Target, endpoint: Endpoint, place: Mapping[str, str]) -> Allow:
        path = target.path
        if container := place.get("container"):
            path = path.replace(f"/containers/{container}", "/containers/{container}", 1)
        allow = Allow(
            method=request.method,
            version=target.version,
            path=path,
            query=urlencode(target.query),
            container=container,
            answer=endpoint.answer,
        )
        match endpoint.rewrite:
            case Rewrite.NOTHING:
                return allow
            case Rewrite.ONLY_INVESTIGATIONS:
                return replace(allow, query=_only_investigations(target.query))
            case Rewrite.CONTAINER_SPEC:
                return replace(allow, body=self._container_body(request))
            case Rewrite.IMAGE_FILTERS:
                _parsed_filters(target.query, _IMAGE_FILTERS)
                return allow
            case Rewrite.IMAGE_NAME:
                return self._image(allow, place["image"])
            case Rewrite.PULL:
                return self._pull(allow, target.query, request.header("x-registry-auth"))

    def _container_body(self, request: Request) -> bytes:
        container = checked_container(parse_json(request.body, "the body"), self._settings)
        return json.dumps(container).encode()

    def _image(self, allow: Allow, reference: str) -> Allow:
        if not _REFERENCE.fullmatch(reference):
            raise RefusedError("this is no image reference")
        return replace(allow, answer=Answer.RELAY) if self._settings.allows_image(reference) else allow

    def _pull(self, allow: Allow, query: Mapping[str, str], registry_auth: str | None) -> Allow:
        if not self._settings.pull:
            raise RefusedError("pulling images is not allowed here")
        name, tag = query.get("fromImage", ""), query.get("tag", "")
        if not name or not tag or ":" in name.rpartition("/")[2] or "@" in name:
            raise RefusedError("a pull names one image: fromImage without a tag, and the tag or digest in tag")
        reference = f"{name}@{tag}" if ":" in tag else f"{name}:{tag}"
        if not (_REFERENCE.fullmatch(reference) and self._settings.allows_image(reference)):
            raise RefusedError("this is not an allowed image")
        if registry_auth is not None and not _REGISTRY_AUTH.fullmatch(registry_auth):
            raise RefusedError("X-Registry-Auth is not base64")
        return replace(allow, registry_auth=registry_auth)


def _endpoint_of(method: str, path: str) -> tuple[Endpoint, Mapping[str, str]]:
    for endpoint in ENDPOINTS:
        match = endpoint.path.fullmatch(path)
        if match is not None and endpoint.method == method:
            return endpoint, match.groupdict()
    raise RefusedError(why_not(path))


def _check_headers(request: Request, endpoint: Endpoint) -> None:
    """Refuse headers that would let the message be read in a second way."""
    for name in ("transfer-encoding", "content-encoding", "expect", "trailer"):
        if request.header(name) is not None:
            raise RefusedError(f"the header {name} is not taken")
    if request.header("upgrade") is not None and endpoint.answer is not Answer.OUTPUT_STREAM:
        raise RefusedError("only attach may upgrade the connection")


def _check_query(target: Target, endpoint: Endpoint) -> None:
    for name, value in target.query.items():
        if name not in endpoint.query:
            raise RefusedError(f"the query name {name} is not one that an investigation needs here")
        if problem := endpoint.query[name](value):
            raise RefusedError(f"the query's {name} {problem}")


def _only_investigations(query: Mapping[str, str]) -> str:
    filters = _parsed_filters(query, _CONTAINER_FILTERS)
    # The engine wants every label filter to hold, so adding one can only narrow the list.
    filters["label"] = [*filters.get("label", ()), f"{LABEL_NAME}={LABEL_VALUE}"]
    return urlencode({**query, "filters": json.dumps(filters)})


def _parsed_filters(query: Mapping[str, str], allowed: frozenset[str]) -> dict[str, list[str]]:
    if not query.get("filters"):
        return {}
    filters = parse_json(query["filters"], "the filter")
    if not isinstance(filters, dict) or set(filters) - allowed:
        raise RefusedError(f"the filter may have {', '.join(sorted(allowed))} only")
    for values in filters.values():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise RefusedError("each filter must be a list of text")
    return filters
