"""Workspaces that differ: organisations, plans, policies, limited apps, proxies and private authorities."""

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
def live(connect: Callable[..., Any]) -> Callable[..., Any]:
    """Return a client; keyword arguments go into the connection's extra."""

    def live(token: str | None = None, **extra: Any) -> Any:
        from airflow_incident_provider.slack.client import LiveSlackClient
        from airflow_incident_provider.slack.hook import IncidentSlackHook

        connect(token, **extra)
        return LiveSlackClient(IncidentSlackHook())

    return live


@pytest.fixture
def organisation(live: Callable[..., Any], control: SandboxClient) -> Callable[..., Any]:
    """Return a client of an app that is installed for a whole organisation."""
    token = control.add_token("organisation", scopes=list(SCOPES), organisation_wide=True)
    return lambda **extra: live(token, **extra)


def message(text: str) -> Message:
    return Message(text, ({"type": "section", "text": {"type": "mrkdwn", "text": text}},))


# --- Enterprise Grid --------------------------------------------------------------------------------


def test_without_a_team_id_the_fix_says_which_workspaces_there_are(organisation: Callable[..., Any]) -> None:
    with pytest.raises(SlackConfigurationError, match=r"T0ACME \(Acme Retail\)") as raised:
        _ = organisation().workspace
    assert "team_id into the extra of the connection" in (raised.value.fix or "")


def test_with_a_team_id_everything_works(organisation: Callable[..., Any], control: SandboxClient) -> None:
    client = organisation(team_id="T0ACME")
    assert client.workspace.team_id == "T0ACME"
    room = client.create_channel("inc-room", private=False)
    assert client.find_channel("inc-room") == client.channel(room.id)
    assert client.invite(room.id, [ALICE]) == {}


def test_a_wrong_team_id_is_a_configuration_error_with_a_fix(organisation: Callable[..., Any]) -> None:
    with pytest.raises(SlackConfigurationError, match="team_access_not_granted"):
        organisation(team_id="T0OTHER").create_channel("inc-room", private=False)


@pytest.mark.parametrize("query", ["W0HERE00001", "Hera Here", "here@acme.example"])
def test_members_of_several_workspaces_are_found(
    organisation: Callable[..., Any], control: SandboxClient, tmp_path: Path, query: str
) -> None:
    result = resolve_in_organisation(organisation, control, tmp_path, query)
    assert [user.id for user in result.users] == ["W0HERE00001"]


@pytest.mark.parametrize("query", ["W0THERE0001", "Theo There"])
def test_members_of_other_workspaces_only_are_reported(
    organisation: Callable[..., Any], control: SandboxClient, tmp_path: Path, query: str
) -> None:
    result = resolve_in_organisation(organisation, control, tmp_path, query)
    assert (result.users, result.reason) == ((), "Theo There is from another workspace")


def resolve_in_organisation(
    organisation: Callable[..., Any], control: SandboxClient, tmp_path: Path, query: str
) -> Any:
    from airflow_incident_provider.people.resolver import resolve
    from airflow_incident_provider.slack.directory_cache import DirectoryCache
    from airflow_incident_provider.slack.people import SlackPeople

    here = {"id": "W0HERE00001", "username": "hera", "real_name": "Hera Here", "email": "here@acme.example"}
    there = {"id": "W0THERE0001", "username": "theo", "real_name": "Theo There"}
    control.add_members(people=[{**here, "teams": ["T0LAB", "T0ACME"]}, {**there, "teams": ["T0LAB"]}])
    with SlackPeople(organisation(team_id="T0ACME"), DirectoryCache(tmp_path)) as people:
        [result] = resolve([query], people, private=False).resolutions
    return result


# --- invitations ------------------------------------------------------------------------------------


@pytest.fixture
def invite(live: Callable[..., Any]) -> Callable[..., dict[str, str]]:
    """Invite people into a new room."""

    def invite(user_ids: list[str]) -> dict[str, str]:
        client = live()
        failures: dict[str, str] = client.invite(client.create_channel("inc-room", private=False).id, user_ids)
        return failures

    return invite


PEOPLE = [ALICE, PRIYA, JOSE, SAM, "U0DANAREYES", "U0LUKASZN01", "U0YUKI00001"]


@pytest.mark.parametrize("code", ["user_removed", "user_is_ultra_restricted", "some_undocumented_code"])
@pytest.mark.parametrize("how", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("refused", [[PRIYA], [ALICE, "U0YUKI00001"], PEOPLE])
def test_whatever_the_code_those_who_are_refused_keep_nobody_else_out(
    invite: Callable[..., dict[str, str]],
    control: SandboxClient,
    code: str,
    refused: list[str],
    how: tuple[bool, bool],
) -> None:
    listed, forced_ok = how
    control.settings(invite_errors_listed=listed, forced_invite_ok=forced_ok)
    control.add_members(people=[{"id": one, "username": one.lower(), "invite_error": code} for one in refused])
    failures = invite(PEOPLE)
    assert set(PEOPLE) - set(refused) <= set(control.channel("inc-room")["members"])
    if listed or not forced_ok:
        assert failures == dict.fromkeys(refused, code)


def test_a_refusal_that_is_not_about_people_is_not_tried_for_each(
    live: Callable[..., Any], control: SandboxClient
) -> None:
    client = live()
    room = client.create_channel("inc-room", private=False)
    control.add_fault(Fault(method="conversations.invite", error="some_new_policy", times=None))
    many = [f"U{number:08}" for number in range(100)]
    assert set(client.invite(room.id, many).values()) == {"some_new_policy"}
    assert len(control.calls("conversations.invite")) < 40
    control.clear_faults()
    control.add_fault(Fault(method="conversations.invite", error="channel_not_found", times=None))
    with pytest.raises(SlackRequestError, match="channel_not_found"):
        client.invite(room.id, many)


# --- apps whose history calls Slack limits ----------------------------------------------------------


def test_the_newest_message_of_a_long_thread_is_found(live: Callable[..., Any], control: SandboxClient) -> None:
    client = live()
    room = client.create_channel("inc-room", private=False)
    parent = client.post(room.id, message("brief"), key="brief")
    posted = [client.post(room.id, message(str(n)), key=f"k/{n}", thread_ts=parent) for n in range(75)]
    control.settings(history_limit=15)
    assert client.find_message(room.id, "k/74", thread_ts=parent) == posted[-1]
    assert client.find_message(room.id, "k/0", thread_ts=parent) == posted[0]
    assert client.find_message(room.id, "k/75", thread_ts=parent) is None


def test_a_limited_app_reads_one_page_and_goes_on(live: Callable[..., Any], control: SandboxClient) -> None:
    client = live()
    room = client.create_channel("inc-room", private=False)
    parent = client.post(room.id, message("brief"), key="brief")
    for number in range(20):
        client.post(room.id, message(str(number)), key=f"k/{number}", thread_ts=parent)
    control.settings(history_calls_per_minute=1, history_limit=15)
    assert client.find_message(room.id, "k/19", thread_ts=parent) is None
    with pytest.raises(SlackUnavailableError) as raised:
        client.find_message(room.id, "k/1", thread_ts=parent)
    assert (raised.value.retry_after or 0) > 50


# --- the time budget --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="usergroups.list", status=404, body="<html>", times=None),
        Fault(method="usergroups.list", status=503, times=None),
        Fault(method="usergroups.list", status=429, headers={"Retry-After": "3"}, times=None),
        Fault(method="usergroups.list", delay_ms=60_000, times=None),
    ],
    ids=["404", "503", "429", "no answer"],
)
def test_calls_end_within_the_budget_however_slack_fails(
    live: Callable[..., Any], control: SandboxClient, fault: Fault
) -> None:
    control.add_fault(fault)
    client = live().within(0.8)
    started = time.monotonic()
    with pytest.raises(SlackUnavailableError):
        client.hook.read("usergroups.list")
    assert time.monotonic() - started < 8, "far more than the budget, even on a loaded machine"
    with pytest.raises(SlackUnavailableError, match="time for it was used up"):
        live().within(0.0).hook.read("auth.test")
    assert live().hook.read("auth.test")["ok"], "the budget is the bounded client's alone"


def test_a_budget_within_a_budget_is_the_smaller_one(live: Callable[..., Any], control: SandboxClient) -> None:
    with pytest.raises(SlackUnavailableError, match="used up"):
        live().within(0.0).within(60.0).hook.read("auth.test")


# --- proxies and certificate authorities ------------------------------------------------------------


class Gateway(BaseHTTPRequestHandler):
    """Answers every API call, and refuses to be a proxy."""

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
        """Nothing."""


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def gateway(authority: trustme.CA) -> Iterator[str]:
    """A gateway before Slack's API, with a certificate of a private authority; its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    yield from _serving(server, "https")


@pytest.fixture
def proxy() -> Iterator[str]:
    yield from _serving(ThreadingHTTPServer(("127.0.0.1", 0), Gateway), "http")


def _serving(server: ThreadingHTTPServer, scheme: str) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"{scheme}://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_private_authority_is_a_configuration_error_that_names_the_setting(
    live: Callable[..., Any], gateway: str
) -> None:
    with pytest.raises(SlackConfigurationError, match="not trusted") as raised:
        _ = live(base_url=f"{gateway}api/").workspace
    assert "ca_bundle" in (raised.value.fix or "")
    assert "SSL_CERT_FILE" in (raised.value.fix or "")


def test_with_its_certificate_it_is_trusted(
    live: Callable[..., Any], gateway: str, authority: trustme.CA, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    assert live(base_url=f"{gateway}api", ca_bundle=str(bundle)).workspace.team_id == "T1"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_cannot_be_read_is_named(
    live: Callable[..., Any], tmp_path: Path, content: str | None
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(SlackConfigurationError, match="ca_bundle"):
        _ = live(ca_bundle=str(bundle)).workspace


def test_a_proxy_that_refuses_is_named(live: Callable[..., Any], gateway: str, proxy: str) -> None:
    with pytest.raises(SlackConfigurationError, match=r"proxy refused auth\.test: HTTP 407") as raised:
        _ = live(base_url=f"{gateway}api/", proxy=proxy).workspace
    assert "HTTPS_PROXY" in (raised.value.fix or "")


def test_no_proxy_is_heeded(live: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, nowhere)
        monkeypatch.setattr(urllib.request, "_opener", None)
        with pytest.raises(SlackUnavailableError):
            _ = live().workspace
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert live().workspace.team_id == "T0ACME"


@pytest.mark.parametrize("base_url", ["slack-gov.com/api/", "ftp://slack.com/", "http://[::1"])
def test_a_base_url_that_is_none_is_a_configuration_error(live: Callable[..., Any], base_url: str) -> None:
    with pytest.raises(SlackConfigurationError, match="not valid") as raised:
        _ = live(base_url=base_url).workspace
    assert "https://slack-gov.com/api/" in (raised.value.fix or "")


def test_restricted_creation_and_a_paid_plan_have_fixes(live: Callable[..., Any], control: SandboxClient) -> None:
    control.settings(channel_creation_restricted=True, free_plan=True)
    with pytest.raises(SlackConfigurationError, match="restricted_action") as raised:
        live().create_channel("inc-room", private=False)
    assert "administrator" in (raised.value.fix or "")
    with pytest.raises(SlackConfigurationError, match="plan_upgrade_required") as raised:
        live().hook.read("usergroups.list")
    assert "e-mail addresses" in (raised.value.fix or "")


# --- gateways that leave out parts of a response ----------------------------------------------------


NEEDED_FOR = {
    "users.lookupByEmail": "alice.ng@acme.example",
    "users.info": "U0ALICENG01",
    "users.list": "Alice Ng",
    "usergroups.list": "@sre-oncall",
}


@pytest.mark.parametrize("method", NEEDED_FOR)
@pytest.mark.parametrize("body", [{"ok": True}, {"ok": True, "user": [], "members": [7], "usergroups": [{}]}])
def test_a_response_without_its_content_costs_only_those_who_need_it(
    live: Callable[..., Any], control: SandboxClient, tmp_path: Path, method: str, body: Any
) -> None:
    query = NEEDED_FOR[method]
    if method == "users.info":
        # The list of members would answer the same question.
        control.add_fault(Fault(method="users.list", status=500, times=None))
    found = resolve_all(live(), control, tmp_path, Fault(method=method, status=200, body=body, times=None), query)
    assert found[query] == "not_found"
    assert found["priya@acme.example" if method != "users.lookupByEmail" else "U0PRIYAIYER"] == "resolved"


def resolve_all(client: Any, control: SandboxClient, tmp_path: Path, fault: Fault, query: str) -> dict[str, str]:
    from airflow_incident_provider.people.resolver import resolve
    from airflow_incident_provider.slack.directory_cache import DirectoryCache
    from airflow_incident_provider.slack.people import SlackPeople

    control.add_fault(fault)
    queries = [query, "priya@acme.example", "U0PRIYAIYER"]
    with SlackPeople(client, DirectoryCache(tmp_path)) as people:
        people.prefetch(queries)
        return {result.query: str(result.outcome) for result in resolve(queries, people, private=False).resolutions}


def test_a_workspace_without_a_team_id_has_members(
    live: Callable[..., Any], control: SandboxClient, tmp_path: Path
) -> None:
    identity = {"ok": True, "url": "https://a.slack.com/", "user_id": "U0WARROOM01"}
    fault = Fault(method="auth.test", status=200, body=identity, times=None)
    found = resolve_all(live(), control, tmp_path, fault, "José García")
    assert set(found.values()) == {"resolved"}


@pytest.mark.parametrize(
    "field", [{}, {"channel": None, "ts": 5}, {"channel": "C1", "ts": ""}, {"channel": {"id": 1}}]
)
@pytest.mark.parametrize("method", ["conversations.create", "chat.postMessage"])
def test_an_essential_response_without_its_content_is_an_error_of_ours(
    live: Callable[..., Any], control: SandboxClient, method: str, field: dict[str, Any]
) -> None:
    client = live()
    there = client.create_channel("inc-there", private=False)
    control.add_fault(Fault(method=method, status=200, body={"ok": True, **field}, times=None))
    with pytest.raises(SlackUnavailableError, match="has no") as raised:
        client.post(there.id, message("x"), key="k") if method != "conversations.create" else (
            client.create_channel("inc-room", private=False)
        )
    assert "base_url" in (raised.value.fix or "")
