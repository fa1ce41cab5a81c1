"""Validate create bodies, in any spelling: the engine compares names case-insensitively."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from incident_docker_proxy.container_spec import UNUSED, UNUSED_HOST, checked_container
from incident_docker_proxy.decision import RefusedError
from incident_docker_proxy.policy import Policy, Request
from incident_docker_proxy.settings import MIB, Settings

NewBody = Callable[[], dict[str, Any]]


def engine_body(policy: Policy, body: bytes) -> dict[str, Any]:
    """Return the body that the engine receives."""
    allow = policy.allow(Request("POST", "/v1.41/containers/create", (), body))
    document: dict[str, Any] = json.loads(allow.body)
    return document


def test_investigation_body_passes_without_unset_fields(policy: Policy, new_body: NewBody) -> None:
    expected = new_body()
    del expected["Volumes"], expected["HostConfig"]["Mounts"], expected["OpenStdin"], expected["AttachStdin"]
    assert engine_body(policy, json.dumps(new_body()).encode()) == expected


REFUSED_HOST = {
    "privileged": {"Privileged": True},
    "bind": {"Binds": ["/:/host"]},
    "docker socket": {"Binds": ["/var/run/docker.sock:/s:ro"]},
    "mount": {"Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}]},
    "volumes from": {"VolumesFrom": ["other"]},
    "device": {"Devices": [{"PathOnHost": "/dev/sda"}]},
    "device cgroup rule": {"DeviceCgroupRules": ["a *:* rwm"]},
    "gpu": {"DeviceRequests": [{"Count": -1}]},
    "added capability": {"CapAdd": ["SYS_ADMIN"]},
    "old capability list": {"Capabilities": ["SYS_ADMIN"]},
    "some capabilities dropped": {"CapDrop": ["NET_RAW"]},
    "no capability dropped": {"CapDrop": []},
    "host network": {"NetworkMode": "host"},
    "other container's network": {"NetworkMode": "container:db"},
    "unknown network": {"NetworkMode": "backend"},
    "host processes": {"PidMode": "host"},
    "other container's processes": {"PidMode": "container:db"},
    "host ipc": {"IpcMode": "host"},
    "shareable ipc": {"IpcMode": "shareable"},
    "host uts": {"UTSMode": "host"},
    "host users": {"UsernsMode": "host"},
    "host cgroups": {"CgroupnsMode": "host"},
    "sysctl": {"Sysctls": {"net.ipv4.ip_forward": "1"}},
    "runtime": {"Runtime": "other"},
    "cgroup parent": {"CgroupParent": "/"},
    "alias of the metadata address": {"ExtraHosts": ["x:169.254.169.254"]},
    "published ports": {"PublishAllPorts": True},
    "port binding": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}},
    "restart": {"RestartPolicy": {"Name": "always"}},
    "group": {"GroupAdd": ["docker"]},
    "oom score": {"OomScoreAdj": -1000},
    "oom killer off": {"OomKillDisable": True},
    "masked paths replaced": {"MaskedPaths": ["/proc/none"]},
    "read-only paths replaced": {"ReadonlyPaths": ["/proc/none"]},
    "writable root": {"ReadonlyRootfs": False},
    "read-only root as a number": {"ReadonlyRootfs": 1},
    "seccomp off": {"SecurityOpt": ["no-new-privileges:true", "seccomp=unconfined"]},
    "new privileges": {"SecurityOpt": ["no-new-privileges:false"]},
    "no security option": {"SecurityOpt": None},
    "too much memory": {"Memory": 512 * MIB, "MemorySwap": 512 * MIB},
    "unlimited memory": {"Memory": 0},
    "unlimited swap": {"MemorySwap": -1},
    "swap": {"MemorySwap": 128 * MIB},
    "unlimited pids": {"PidsLimit": -1},
    "pids as a boolean": {"PidsLimit": True},
    "too many pids": {"PidsLimit": 4096},
    "too many cpus": {"NanoCpus": 64_000_000_000},
    "cpus with a fraction": {"NanoCpus": 0.5},
    "log to a network": {"LogConfig": {"Type": "syslog", "Config": {"syslog-address": "tcp://192.0.2.1"}}},
    "unlimited log": {"LogConfig": {"Type": "json-file", "Config": {}}},
    "log to a path": {"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "path": "/etc"}}},
    "tmpfs at another path": {"Tmpfs": {"/proc": "noexec,nosuid,size=8m"}},
    "unlimited tmpfs": {"Tmpfs": {"/tmp": "noexec,nosuid"}},
    "executable tmpfs": {"Tmpfs": {"/tmp": "noexec,nosuid,exec,size=8m"}},
    "tmpfs with two sizes": {"Tmpfs": {"/tmp": "noexec,nosuid,size=8m,size=9g"}},
    "tmpfs of half the memory": {"Tmpfs": {"/tmp": "noexec,nosuid,size=50%"}},
    "link-local name server": {"Dns": ["169.254.169.254"]},
    "name server by name": {"Dns": ["ns.example.com"]},
    "unknown setting": {"Annotations": {"a": "b"}},
}

REFUSED = {
    "root": {"User": "0:0"},
    "root's group": {"User": "65534:0"},
    "missing group": {"User": "65534"},
    "root by name": {"User": "root"},
    "root with zeros": {"User": "00:00"},
    "empty user": {"User": ""},
    "image": {"Image": "evil:3.23"},
    "image in another path": {"Image": "alpine:3.1/evil"},
    "image with a line break": {"Image": "alpine:3.23\n"},
    "no label": {"Labels": {}},
    "other label": {"Labels": {"airflow_incident_provider": "Investigation"}},
    "routing label": {"Labels": {"airflow_incident_provider": "investigation", "traefik.enable": "true"}},
    "volume": {"Volumes": {"/data": {}}},
    "standard input": {"OpenStdin": True},
    "health check": {"Healthcheck": {"Test": ["CMD", "id"]}},
    "working directory in proc": {"WorkingDir": "/proc/self/fd/8"},
    "network address": {"MacAddress": "02:42:ac:11:00:02"},
    "command as text": {"Cmd": "sh -c id"},
    "environment without a value": {"Env": ["HOME"]},
    "more networks": {"NetworkingConfig": {"EndpointsConfig": {"demo": {}}}},
    "endpoint settings": {
        "NetworkingConfig": {"EndpointsConfig": {"bridge": {"IPAMConfig": {"IPv4Address": "1.1.1.1"}}}}
    },
    "other networking": {"NetworkingConfig": {"endpointsconfig": {"host": {}}}},
    "host configuration as text": {"HostConfig": "x"},
    "old host settings": {"Memory": 1},
    "unknown setting": {"ArgsEscaped": True},
}


@pytest.mark.parametrize("change", REFUSED_HOST.values(), ids=REFUSED_HOST)
def test_forbidden_host_setting_is_refused(change: dict[str, Any], settings: Settings, new_body: NewBody) -> None:
    body = new_body()
    body["HostConfig"] |= change
    with pytest.raises(RefusedError, match=next(iter(change))):
        checked_container(body, settings)


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_forbidden_setting_is_refused(change: dict[str, Any], settings: Settings, new_body: NewBody) -> None:
    with pytest.raises(RefusedError, match=next(iter(change))):
        checked_container(new_body() | change, settings)


@pytest.mark.parametrize("body", [[], None, "x", 1, {}, {"HostConfig": None}])
def test_invalid_body_is_refused(body: object, settings: Settings) -> None:
    with pytest.raises(RefusedError):
        checked_container(body, settings)


@pytest.mark.parametrize("change", [{"NetworkMode": "none"}, {"NetworkMode": "demo"}, {"NetworkMode": "default"}])
def test_allowed_network_passes(change: dict[str, Any], settings: Settings, new_body: NewBody) -> None:
    body = new_body()
    body["HostConfig"] |= change
    body["NetworkingConfig"] = {"EndpointsConfig": {change["NetworkMode"]: None}}
    assert checked_container(body, settings)["HostConfig"]["NetworkMode"] == change["NetworkMode"]


def test_refusal_does_not_repeat_values(policy: Policy, new_body: NewBody) -> None:
    body = new_body() | {"Env": ["TOKEN=hunter2", "hunter2"]}
    with pytest.raises(RefusedError) as refused:
        engine_body(policy, json.dumps(body).encode())
    assert "hunter2" not in refused.value.reason


# --- spellings --------------------------------------------------------------------------------------

FOLDED = {"s": "sS\u017f", "k": "kK\u212a"}  # accepted by Go's decoder as s and k


def spellings(name: str) -> st.SearchStrategy[str]:
    """Generate spellings that Go's decoder accepts for a name."""
    letters = [st.sampled_from(FOLDED.get(letter.lower(), letter.lower() + letter.upper())) for letter in name]
    return st.tuples(*letters).map("".join)


def fold_case(name: str) -> str:
    """Fold the case of a name like Go's decoder."""
    return name.replace("\u017f", "s").replace("\u212a", "k").casefold()


DANGEROUS: list[tuple[str, Any]] = [
    (name, value) for change in REFUSED_HOST.values() for name, value in change.items()
]
NAMES = ["HostConfig", "User", "Image", "Labels", *UNUSED, *UNUSED_HOST, *(name for name, _ in DANGEROUS)]
VALUES = st.one_of(
    st.sampled_from([value for _, value in DANGEROUS]),
    st.sampled_from(DANGEROUS).map(lambda setting: {setting[0].lower(): setting[1]}),
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
)
INSERTION = st.tuples(st.booleans(), st.sampled_from(NAMES).flatmap(spellings), VALUES)


FORBIDDEN = {
    "privileged",
    "binds",
    "mounts",
    "volumesfrom",
    "devices",
    "devicerequests",
    "devicecgrouprules",
    "capadd",
    "capabilities",
    "pidmode",
    "utsmode",
    "usernsmode",
    "sysctls",
    "runtime",
    "cgroupparent",
    "extrahosts",
    "publishallports",
    "portbindings",
    "restartpolicy",
    "groupadd",
    "oomscoreadj",
    "oomkilldisable",
    "maskedpaths",
    "readonlypaths",
    "links",
}


def serialize(pairs: list[tuple[str, Any]]) -> str:
    """Serialize an object that may contain duplicate names."""
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in pairs) + "}"


def with_insertions(body: dict[str, Any], insertions: list[tuple[bool, str, Any]]) -> bytes:
    """Serialize the body with additional pairs in the container or host configuration."""
    host = [(name, json.dumps(value)) for name, value in body.pop("HostConfig").items()]
    host += [(name, json.dumps(value)) for on_host, name, value in insertions if on_host]
    pairs = [(name, json.dumps(value)) for name, value in body.items()]
    pairs += [(name, json.dumps(value)) for on_host, name, value in insertions if not on_host]
    return serialize([*pairs, ("HostConfig", serialize(host))]).encode()


def assert_is_isolated(body: dict[str, Any]) -> None:
    """Assert, independently of the product's lists, that a body describes an isolated container."""
    assert len({fold_case(name) for name in body}) == len(body)
    host = {fold_case(name): value for name, value in body["HostConfig"].items()}
    assert len(host) == len(body["HostConfig"])
    assert not FORBIDDEN & set(host)
    assert host["readonlyrootfs"] is True
    assert host["capdrop"] == ["ALL"]
    assert host["securityopt"] in (["no-new-privileges:true"], ["no-new-privileges"])
    assert host["networkmode"] in ("bridge", "default", "none", "demo", "")
    assert host.get("ipcmode", "") in ("", "private", "none")
    assert 0 < host["memory"] == host["memoryswap"] <= 256 * MIB
    assert 0 < host["pidslimit"] <= 256
    assert 0 < host["nanocpus"] <= 1_000_000_000
    assert body["Image"].startswith("alpine:3.")
    assert body["Labels"]["airflow_incident_provider"] == "investigation"
    assert all(int(part) > 0 for part in body["User"].split(":"))
    assert not {"volumes", "exposedports", "openstdin", "healthcheck", "runtime"} & {
        fold_case(name) for name in body
    }


@given(insertions=st.lists(INSERTION, min_size=1, max_size=4))
def test_accepted_body_contains_no_forbidden_setting(
    insertions: list[tuple[bool, str, Any]], policy: Policy, new_body: NewBody
) -> None:
    try:
        body = engine_body(policy, with_insertions(new_body(), insertions))
    except RefusedError:
        return
    assert_is_isolated(body)


@given(data=st.data())
def test_every_spelling_of_a_dangerous_setting_is_refused(
    data: st.DataObject, policy: Policy, new_body: NewBody
) -> None:
    name, value = data.draw(st.sampled_from(DANGEROUS))
    insertion = (True, data.draw(spellings(name)), value)
    with pytest.raises(RefusedError):
        engine_body(policy, with_insertions(new_body(), [insertion]))


@given(spelling=spellings("HostConfig"))
def test_second_host_configuration_is_refused(spelling: str, policy: Policy, new_body: NewBody) -> None:
    with pytest.raises(RefusedError):
        engine_body(policy, with_insertions(new_body(), [(False, spelling, {"Privileged": True})]))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 60_000,
        b'{"Memory":' + b"9" * 5000 + b"}",
        b'{"Memory":NaN}',
        b"{}{}",
        b'{"a":1,"a":1}',
    ],
)
def test_ambiguous_body_is_refused(text: bytes, policy: Policy) -> None:
    with pytest.raises(RefusedError):
        engine_body(policy, text)
