"""Test other workspaces: Enterprise Grid, plans, policies, rate-limited apps, proxies and private CAs."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from incident_sandbox import Fault, SandboxClient

from airflow_incident_provider.exceptions import SlackConfigurationError, SlackRequestError, SlackUnavailableError
from airflow_incident_provider.messages.blocks import Message
from airflow_incident_provider.slack.access import SCOPES

ALICE, PRIYA, JOSE, SAM = "U0ALICENG01", "U0PRIYAIYER", "U0JOSEGARC1", "U0SAMWONG01"


@pytest.fixture
def make_client(connect: Callable[..., Any]) -> Callable[..., Any]:
    """Return a factory of clients; its keyword arguments become extra of the connection."""

    def make_client(token: str | None = None, **extra: Any) -> Any:
        from airflow_incident_provider.slack.client import LiveSlackClient
        from airflow_incident_provider.slack.hook import IncidentSlackHook

        connect(token, **extra)
        return LiveSlackClient(IncidentSlackHook())

    return make_client


@pytest.fixture
def make_organisation_client(make_client: Callable[..., Any], control: SandboxClient) -> Callable[..., Any]:
    """Return a factory of clients of an app that is installed organisation-wide."""
    token = control.add_token("organisation", scopes=list(SCOPES), organisation_wide=True)
    return lambda **extra: make_client(token, **extra)


def message(text: str) -> Message:
    return Message(text, ({"type": "section", "text": {"type": "mrkdwn", "text": text}},))


# --- Enterprise Grid --------------------------------------------------------------------------------


def test_missing_team_id_error_lists_the_workspaces(make_organisation_client: Callable[..., Any]) -> None:
    with pytest.raises(SlackConfigurationError, match=r"T0ACME \(Acme Retail\)") as exc_info:
        _ = make_organisation_client().workspace
    assert "team_id into the extra of the connection" in (exc_info.value.fix or "")


def test_team_id_selects_the_workspace(
    make_organisation_client: Callable[..., Any], control: SandboxClient
) -> None:
    client = make_organisation_client(team_id="T0ACME")
    assert client.workspace.team_id == "T0ACME"
    room = client.create_channel("inc-room", private=False)
    assert client.find_channel("inc-room") == client.channel(room.id)
    assert client.invite(room.id, [ALICE]) == {}


def test_wrong_team_id_raises_configuration_error(make_organisation_client: Callable[..., Any]) -> None:
    with pytest.raises(SlackConfigurationError, match="team_access_not_granted"):
        make_organisation_client(team_id="T0OTHER").create_channel("inc-room", private=False)


@pytest.mark.parametrize("query", ["W0HERE00001", "Hera Here", "here@acme.example"])
def test_member_of_several_workspaces_is_resolved(
    make_organisation_client: Callable[..., Any], control: SandboxClient, tmp_path: Path, query: str
) -> None:
    result = resolve_in_organisation(make_organisation_client, control, tmp_path, query)
    assert [user.id for user in result.users] == ["W0HERE00001"]


@pytest.mark.parametrize("query", ["W0THERE0001", "Theo There"])
def test_member_of_another_workspace_is_reported(
    make_organisation_client: Callable[..., Any], control: SandboxClient, tmp_path: Path, query: str
) -> None:
    result = resolve_in_organisation(make_organisation_client, control, tmp_path, query)
    assert (result.users, result.reason) == ((), "Theo There is from another workspace")


def resolve_in_organisation(
    make_organisation_client: Callable[..., Any], control: SandboxClient, tmp_path: Path, query: str
) -> Any:
    from airflow_incident_provider.people.resolver import resolve
    from airflow_incident_provider.slack.directory_cache import DirectoryCache
    from airflow_incident_provider.slack.people import SlackPeople

    member = {"id": "W0HERE00001", "username": "hera", "real_name": "Hera Here", "email": "here@acme.example"}
    outsider = {"id": "W0THERE0001", "username": "theo", "real_name": "Theo There"}
    control.add_members(people=[{**member, "teams": ["T0LAB", "T0ACME"]}, {**outsider, "teams": ["T0LAB"]}])
    with SlackPeople(make_organisation_client(team_id="T0ACME"), DirectoryCache(tmp_path)) as people:
        [result] = resolve([query], people, private=False).resolutions
    return result


# --- invitations ------------------------------------------------------------------------------------


@pytest.fixture
def invite(make_client: Callable[..., Any]) -> Callable[..., dict[str, str]]:
    """Return a function that invites users into a new channel."""

    def invite(user_ids: list[str]) -> dict[str, str]:
        client = make_client()
        failures: dict[str, str] = client.invite(client.create_channel("inc-room", private=False).id, user_ids)
        return failures

    return invite


PEOPLE = [ALICE, PRIYA, JOSE, SAM, "U0DANAREYES", "U0LUKASZN01", "U0YUKI00001"]


@pytest.mark.parametrize("code", ["user_removed", "user_is_ultra_restricted", "some_undocumented_code"])
@pytest.mark.parametrize("response_options", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("refused", [[PRIYA], [ALICE, "U0YUKI00001"], PEOPLE])
def test_refused_users_do_not_block_other_invitations(
    invite: Callable[..., dict[str, str]],
    control: SandboxClient,
    code: str,
    refused: list[str],
    response_options: tuple[bool, bool],
) -> None:
    listed, forced_ok = response_options
    control.settings(invite_errors_listed=listed, forced_invite_ok=forced_ok)
    control.add_members(people=[{"id": one, "username": one.lower(), "invite_error": code} for one in refused])
    failures = invite(PEOPLE)
    assert set(PEOPLE) - set(refused) <= set(control.channel("inc-room")["members"])
    if listed or not forced_ok:
        assert failures == dict.fromkeys(refused, code)


def test_refusal_of_the_whole_invitation_is_not_retried_per_user(
    make_client: Callable[..., Any], control: SandboxClient
) -> None:
    client = make_client()
    room = client.create_channel("inc-room", private=False)
    control.add_fault(Fault(method="conversations.invite", error="some_new_policy", times=None))
    user_ids = [f"U{number:08}" for number in range(100)]
    assert set(client.invite(room.id, user_ids).values()) == {"some_new_policy"}
    assert len(control.calls("conversations.invite")) < 40
    control.clear_faults()
    control.add_fault(Fault(method="conversations.invite", error="channel_not_found", times=None))
    with pytest.raises(SlackRequestError, match="channel_not_found"):
        client.invite(room.id, user_ids)


# --- rate-limited history ---------------------------------------------------------------------------


def test_find_message_searches_a_long_thread(make_client: Callable[..., Any], control: SandboxClient) -> None:
    client = make_client()
    room = client.create_channel("inc-room", private=False)
    parent = client.post(room.id, message("brief"), key="brief")
    posted = [client.post(room.id, message(str(n)), key=f"k/{n}", thread_ts=parent) for n in range(75)]
    control.settings(history_limit=15)
    assert client.find_message(room.id, "k/74", thread_ts=parent) == posted[-1]
    assert client.find_message(room.id, "k/0", thread_ts=parent) == posted[0]
    assert client.find_message(room.id, "k/75", thread_ts=parent) is None


def test_find_message_respects_history_rate_limit(make_client: Callable[..., Any], control: SandboxClient) -> None:
    client = make_client()
    room = client.create_channel("inc-room", private=False)
    parent = client.post(room.id, message("brief"), key="brief")
    for number in range(20):
        client.post(room.id, message(str(number)), key=f"k/{number}", thread_ts=parent)
    control.settings(history_calls_per_minute=1, history_limit=15)
    assert client.find_message(room.id, "k/19", thread_ts=parent) is None
    with pytest.raises(SlackUnavailableError) as exc_info:
        client.find_message(room.id, "k/1", thread_ts=parent)
    assert (exc_info.value.retry_after or 0) > 50


# --- time budget ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="usergroups.list", status=404, body="<html>", times=None),
        Fault(method="usergroups.list", status=503, times=None),
        Fault(method="usergroups.list", status=429, headers={"Retry-After": "3"}, times=None),
        Fault(method="usergroups.list", delay_ms=60_000, times=None),
    ],
    ids=["404", "503", "429", "timeout"],
)
def test_failing_calls_end_within_the_time_budget(
    make_client: Callable[..., Any], control: SandboxClient, fault: Fault
) -> None:
    control.add_fault(fault)
    client = make_client().within(0.8)
    started = time.monotonic()
    with pytest.raises(SlackUnavailableError):
        client.hook.read("usergroups.list")
    assert time.monotonic() - started < 8, "the margin is for a loaded machine"
    with pytest.raises(SlackUnavailableError, match="time for it was used up"):
        make_client().within(0.0).hook.read("auth.test")
    assert make_client().hook.read("auth.test")["ok"], "other clients have no budget"


def test_nested_time_budget_is_the_smaller_one(make_client: Callable[..., Any], control: SandboxClient) -> None:
    with pytest.raises(SlackUnavailableError, match="used up"):
        make_client().within(0.0).within(60.0).hook.read("auth.test")


# --- proxies and certificate authorities ------------------------------------------------------------


class Gateway(BaseHTTPRequestHandler):
    """Answer every API call, and refuse ``CONNECT``."""

    def do_POST(self) -> None:
        body = json.dumps({"ok": True, "team_id": "T1", "user_id": "U1", "url": "https://a.slack.com/"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self) -> None:
        self.send_error(407)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def gateway(ca: trustme.CA) -> Iterator[str]:
    """Run a gateway with a certificate of a private CA; yield its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    yield from _serve(server, "https")


@pytest.fixture
def proxy() -> Iterator[str]:
    yield from _serve(ThreadingHTTPServer(("127.0.0.1", 0), Gateway), "http")


def _serve(server: ThreadingHTTPServer, scheme: str) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"{scheme}://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def test_untrusted_certificate_error_names_the_setting(make_client: Callable[..., Any], gateway: str) -> None:
    with pytest.raises(SlackConfigurationError, match="not trusted") as exc_info:
        _ = make_client(base_url=f"{gateway}api/").workspace
    assert "ca_bundle" in (exc_info.value.fix or "")
    assert "SSL_CERT_FILE" in (exc_info.value.fix or "")


def test_ca_bundle_is_trusted(
    make_client: Callable[..., Any], gateway: str, ca: trustme.CA, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(bundle)
    assert make_client(base_url=f"{gateway}api", ca_bundle=str(bundle)).workspace.team_id == "T1"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_unreadable_ca_bundle_raises_configuration_error(
    make_client: Callable[..., Any], tmp_path: Path, content: str | None
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(SlackConfigurationError, match="ca_bundle"):
        _ = make_client(ca_bundle=str(bundle)).workspace


def test_proxy_refusal_raises_configuration_error(
    make_client: Callable[..., Any], gateway: str, proxy: str
) -> None:
    with pytest.raises(SlackConfigurationError, match=r"proxy refused auth\.test: HTTP 407") as exc_info:
        _ = make_client(base_url=f"{gateway}api/", proxy=proxy).workspace
    assert "HTTPS_PROXY" in (exc_info.value.fix or "")


def test_no_proxy_is_respected(make_client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        closed_url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, closed_url)
        monkeypatch.setattr(urllib.request, "_opener", None)
        with pytest.raises(SlackUnavailableError):
            _ = make_client().workspace
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert make_client().workspace.team_id == "T0ACME"


@pytest.mark.parametrize("base_url", ["slack-gov.com/api/", "ftp://slack.com/", "http://[::1"])
def test_invalid_base_url_raises_configuration_error(make_client: Callable[..., Any], base_url: str) -> None:
    with pytest.raises(SlackConfigurationError, match="not valid") as exc_info:
        _ = make_client(base_url=base_url).workspace
    assert "https://slack-gov.com/api/" in (exc_info.value.fix or "")


def test_workspace_policy_errors_have_fixes(make_client: Callable[..., Any], control: SandboxClient) -> None:
    control.settings(channel_creation_restricted=True, free_plan=True)
    with pytest.raises(SlackConfigurationError, match="restricted_action") as exc_info:
        make_client().create_channel("inc-room", private=False)
    assert "administrator" in (exc_info.value.fix or "")
    with pytest.raises(SlackConfigurationError, match="plan_upgrade_required") as exc_info:
        make_client().hook.read("usergroups.list")
    assert "e-mail addresses" in (exc_info.value.fix or "")


# --- incomplete responses ---------------------------------------------------------------------------


QUERIES = {
    "users.lookupByEmail": "alice.ng@acme.example",
    "users.info": "U0ALICENG01",
    "users.list": "Alice Ng",
    "usergroups.list": "@sre-oncall",
}


@pytest.mark.parametrize("method", QUERIES)
@pytest.mark.parametrize("body", [{"ok": True}, {"ok": True, "user": [], "members": [7], "usergroups": [{}]}])
def test_response_without_content_affects_only_dependent_queries(
    make_client: Callable[..., Any], control: SandboxClient, tmp_path: Path, method: str, body: Any
) -> None:
    query = QUERIES[method]
    if method == "users.info":
        # The directory is a fallback for users.info.
        control.add_fault(Fault(method="users.list", status=500, times=None))
    outcomes = resolve_all(
        make_client(), control, tmp_path, Fault(method=method, status=200, body=body, times=None), query
    )
    assert outcomes[query] == "not_found"
    assert outcomes["priya@acme.example" if method != "users.lookupByEmail" else "U0PRIYAIYER"] == "resolved"


def resolve_all(client: Any, control: SandboxClient, tmp_path: Path, fault: Fault, query: str) -> dict[str, str]:
    from airflow_incident_provider.people.resolver import resolve
    from airflow_incident_provider.slack.directory_cache import DirectoryCache
    from airflow_incident_provider.slack.people import SlackPeople

    control.add_fault(fault)
    queries = [query, "priya@acme.example", "U0PRIYAIYER"]
    with SlackPeople(client, DirectoryCache(tmp_path)) as people:
        people.prefetch(queries)
        return {result.query: str(result.outcome) for result in resolve(queries, people, private=False).resolutions}


def test_members_are_resolved_without_team_id(
    make_client: Callable[..., Any], control: SandboxClient, tmp_path: Path
) -> None:
    identity = {"ok": True, "url": "https://a.slack.com/", "user_id": "U0WARROOM01"}
    fault = Fault(method="auth.test", status=200, body=identity, times=None)
    outcomes = resolve_all(make_client(), control, tmp_path, fault, "José García")
    assert set(outcomes.values()) == {"resolved"}


@pytest.mark.parametrize(
    "field", [{}, {"channel": None, "ts": 5}, {"channel": "C1", "ts": ""}, {"channel": {"id": 1}}]
)
@pytest.mark.parametrize("method", ["conversations.create", "chat.postMessage"])
def test_essential_response_without_content_raises(
    make_client: Callable[..., Any], control: SandboxClient, method: str, field: dict[str, Any]
) -> None:
    client = make_client()
    existing = client.create_channel("inc-there", private=False)
    control.add_fault(Fault(method=method, status=200, body={"ok": True, **field}, times=None))
    with pytest.raises(SlackUnavailableError, match="has no") as exc_info:
        client.post(existing.id, message("x"), key="k") if method != "conversations.create" else (
            client.create_channel("inc-room", private=False)
        )
    assert "base_url" in (exc_info.value.fix or "")
