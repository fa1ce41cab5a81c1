"""Which calls are retried, and when, as seen by a Slack that answers over HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient, SandboxServer

from airflow_incident_provider.exceptions import SlackConfigurationError, SlackRequestError, SlackUnavailableError

HTML = "<html><head><title>502 Bad Gateway</title></head><body>xoxb-echoed</body></html>"
GENERAL = "C0GENERAL01"


@pytest.fixture
def hook(connect: Callable[..., Any]) -> Any:
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    connect()
    return IncidentSlackHook()


@pytest.fixture
def refused_hook(connect: Callable[..., Any], control: SandboxClient) -> Any:
    """A hook whose token may do nothing."""
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    connect(control.add_token("powerless", scopes=["team:read"]))
    return IncidentSlackHook()


class _Elsewhere(BaseHTTPRequestHandler):
    """A gateway's sign-in page, which keeps the headers that it receives."""

    received: list[dict[str, str]]

    def do_GET(self) -> None:
        self.received.append(dict(self.headers))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(HTML.encode())

    def log_message(self, *_: Any) -> None:
        """Stay silent."""


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Another server, and the headers of what it receives."""
    received: list[dict[str, str]] = []
    handler = type("Handler", (_Elsewhere,), {"received": received})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/sign-in", received
        server.shutdown()


def topics(control: SandboxClient) -> int:
    return len(control.calls("conversations.create"))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="auth.test", status=429, headers={"Retry-After": "0"}),
        Fault(method="auth.test", status=429, headers={"Retry-After": "0.2"}),
        Fault(method="auth.test", status=429, body={"ok": False, "error": "ratelimited"}),
        Fault(method="auth.test", error="ratelimited"),
        Fault(method="auth.test", error="rate_limited"),
        Fault(method="auth.test", error="internal_error"),
        Fault(method="auth.test", status=500, body=HTML, times=2),
        Fault(method="auth.test", status=502, body=HTML),
        Fault(method="auth.test", status=200, body=HTML),
        Fault(method="auth.test", drop=True),
        Fault(method="auth.test", drop=True, when="after"),
    ],
    ids=lambda fault: f"{fault.status or fault.error or 'drop'}-{fault.when}-{fault.headers.get('Retry-After')}",
)
def test_read_is_sent_again_when_slack_stumbles(hook: Any, control: SandboxClient, fault: Fault) -> None:
    control.add_fault(fault)
    assert hook.read("auth.test")["team"] == "Acme Retail"
    assert len(control.calls("auth.test")) == 1 + (fault.times or 0)


def test_read_gives_up(hook: Any, control: SandboxClient) -> None:
    control.add_fault(Fault(method="auth.test", status=503, body=HTML, times=None))
    with pytest.raises(SlackUnavailableError, match=r"Slack could not do auth\.test now: HTTP 503"):
        hook.read("auth.test")
    assert len(control.calls("auth.test")) == 4


def test_retry_after_is_waited_for(hook: Any, control: SandboxClient) -> None:
    control.add_fault(Fault(method="auth.test", status=429, headers={"Retry-After": "1"}))
    began = time.monotonic()
    hook.read("auth.test")
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("said", ["3600", "8.5", "inf"])
@pytest.mark.parametrize("answer", [{"status": 429}, {"error": "ratelimited"}, {"error": "rate_limited"}], ids=str)
@pytest.mark.parametrize("send", ["read", "write", "put"])
def test_a_long_retry_after_is_left_to_the_task(
    hook: Any, control: SandboxClient, send: str, answer: dict[str, Any], said: str
) -> None:
    control.add_fault(Fault(method="auth.test", headers={"Retry-After": said}, **answer))
    began = time.monotonic()
    with pytest.raises(SlackUnavailableError) as caught:
        getattr(hook, send)("auth.test")
    assert caught.value.retry_after == float(said)
    assert not caught.value.effect_possible
    assert time.monotonic() - began < 5
    assert len(control.calls("auth.test")) == 1


def test_a_retry_after_that_is_a_date_is_understood(hook: Any, control: SandboxClient) -> None:
    in_an_hour = formatdate(time.time() + 3600, usegmt=True)
    control.add_fault(Fault(method="auth.test", status=429, headers={"Retry-After": in_an_hour}))
    with pytest.raises(SlackUnavailableError) as caught:
        hook.read("auth.test")
    assert caught.value.retry_after == pytest.approx(3600, abs=30)


@pytest.mark.parametrize(
    "said", ["-5", "nan", "soon", "Sun, 06 Nov 1994 08:49:37 GMT", "\N{ARABIC-INDIC DIGIT ONE}"]
)
def test_an_odd_retry_after_delays_little(hook: Any, control: SandboxClient, said: str) -> None:
    headers = {"Retry-After": said.encode().decode("latin-1")}
    control.add_fault(Fault(method="auth.test", status=429, headers=headers))
    began = time.monotonic()
    assert hook.read("auth.test")["ok"]
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        ({"status": 200, "body": HTML}, "HTTP 200, without an error code of Slack"),
        ({"status": 403, "body": HTML}, "HTTP 403, without an error code of Slack"),
        ({"status": 200, "body": '{"ok": true, "chan'}, "HTTP 200, without an error code of Slack"),
        ({"status": 200, "body": {"ok": False}}, "HTTP 200, without an error code of Slack"),
        (
            {"status": 200, "body": {"ok": False, "error": "Access <denied>"}},
            "HTTP 200, without an error code of Slack",
        ),
        ({"status": 200, "body": [{"ok": True}]}, "JSON that is no object"),
    ],
    ids=str,
)
@pytest.mark.parametrize("send", ["read", "write", "put"])
def test_an_answer_that_is_not_slacks_is_named_so(
    hook: Any, control: SandboxClient, send: str, answer: dict[str, Any], what: str
) -> None:
    control.add_fault(Fault(method="conversations.create", times=None, **answer))
    with pytest.raises(SlackUnavailableError) as caught:
        getattr(hook, send)("conversations.create", name="once")
    assert caught.value.message == f"The answer to conversations.create is not Slack's: {what}."
    assert caught.value.effect_possible


@pytest.mark.parametrize("charset", ["nope", "utf-99", "x-unknown"])
@pytest.mark.parametrize("send", ["read", "write", "put"])
def test_an_answer_in_an_unknown_encoding_is_named_so(
    hook: Any, control: SandboxClient, send: str, charset: str
) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    control.add_fault(Fault(method="auth.test", status=200, body='{"ok": true}', headers=headers, times=None))
    with pytest.raises(SlackUnavailableError, match="cannot be decoded"):
        getattr(hook, send)("auth.test")


@pytest.mark.parametrize(
    ("reserved", "message"),
    [
        ({}, "The answer to files.getUploadURLExternal is not Slack's: it has no file_id."),
        ({"file_id": "F1"}, "The answer to files.getUploadURLExternal is not Slack's: it has no upload_url."),
        (
            {"file_id": 5, "upload_url": "x"},
            "The answer to files.getUploadURLExternal is not Slack's: it has no file_id.",
        ),
        (
            {"file_id": "F1", "upload_url": "file:///etc/hostname"},
            "The answer to files.getUploadURLExternal is not Slack's: its upload_url is no web address.",
        ),
        (
            {"file_id": "F1", "upload_url": "{url}/nothing-here"},
            "Slack could not do files.getUploadURLExternal now: HTTP 404.",
        ),
        (
            {"file_id": "F1", "upload_url": "{url}/api/conversations.create"},
            "Slack could not do files.getUploadURLExternal now: HTTP 503.",
        ),
    ],
    ids=str,
)
def test_an_upload_that_fails_says_how(
    hook: Any, control: SandboxClient, slack: SandboxServer, reserved: dict[str, Any], message: str
) -> None:
    body = {"ok": True, **reserved}
    body = {name: value.format(url=slack.url) if isinstance(value, str) else value for name, value in body.items()}
    control.add_fault(Fault(method="files.getUploadURLExternal", status=200, body=body))
    control.add_fault(Fault(method="conversations.create", status=503))
    with pytest.raises(SlackUnavailableError) as caught:
        hook.upload("picture.png", b"...")
    assert caught.value.message == message
    assert caught.value.fix


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_gateway_that_redirects_does_not_receive_the_token(
    hook: Any, control: SandboxClient, elsewhere: tuple[str, list[dict[str, str]]], status: int
) -> None:
    url, received = elsewhere
    control.add_fault(Fault(method="auth.test", status=status, headers={"Location": url}))
    assert hook.read("auth.test")["ok"]
    assert len(received) == 1
    assert not any("xoxb" in value for value in received[0].values())


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers={"Retry-After": "0"}),
        Fault(error="ratelimited", headers={"Retry-After": "0"}),
        Fault(error="rate_limited", headers={"Retry-After": "0"}),
    ],
    ids=["429", "ratelimited", "rate_limited"],
)
def test_write_is_sent_again_after_a_rate_limit(hook: Any, control: SandboxClient, fault: Fault) -> None:
    control.add_fault(fault.model_copy(update={"method": "conversations.create"}))
    assert hook.write("conversations.create", name="once")["channel"]["name"] == "once"
    assert topics(control) == 2


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "trouble",
    [
        {"drop": True},
        {"status": 500, "body": HTML},
        {"status": 502, "body": HTML},
        {"status": 200, "body": HTML},
        {"error": "internal_error"},
        {"error": "fatal_error"},
        {"error": "service_unavailable"},
        {"error": "request_timeout"},
    ],
    ids=lambda trouble: "-".join(str(value)[:20] for value in trouble.values() if value != HTML),
)
def test_write_that_may_have_happened_is_never_sent_again(
    hook: Any, control: SandboxClient, trouble: dict[str, Any], when: str
) -> None:
    control.add_fault(Fault(method="conversations.create", when=when, **trouble))
    with pytest.raises(SlackUnavailableError) as caught:
        hook.write("conversations.create", name="once")
    assert caught.value.effect_possible
    assert topics(control) == 1
    assert "<html" not in str(caught.value)


def test_silent_slack_is_not_waited_for_for_ever(connect: Callable[..., Any], control: SandboxClient) -> None:
    """The connection's ``timeout`` holds; a write that timed out is not sent again."""
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    connect(timeout=1)
    control.add_fault(Fault(method="conversations.create", delay_ms=60_000))
    began = time.monotonic()
    with pytest.raises(SlackUnavailableError) as caught:
        IncidentSlackHook().write("conversations.create", name="late")
    assert caught.value.effect_possible
    assert time.monotonic() - began < 20, "the timeout of 1 s was not kept, even on a loaded machine"


def test_patience_has_a_default(hook: Any) -> None:
    """The client's own 30 s, four times over, would hold up a room for two minutes."""
    assert hook.client.timeout <= 10


def test_nobody_listens(connect: Callable[..., Any]) -> None:
    """A connection that was never made had no effect: the caller may do it again without looking."""
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    connect(base_url="http://127.0.0.1:1/api/")
    with pytest.raises(SlackUnavailableError) as caught:
        IncidentSlackHook().write("conversations.create", name="x")
    assert not caught.value.effect_possible


@pytest.mark.parametrize(
    "code", ["invalid_auth", "token_revoked", "account_inactive", "not_authed", "token_expired"]
)
def test_refused_token_is_fatal_and_names_the_fix(hook: Any, control: SandboxClient, code: str) -> None:
    control.add_fault(Fault(method="auth.test", error=code))
    with pytest.raises(SlackConfigurationError) as caught:
        hook.read("auth.test")
    assert (caught.value.code, len(control.calls("auth.test"))) == (code, 1)
    assert "xoxb-" in (caught.value.fix or "")
    assert hook.client.token not in str(caught.value)


def test_missing_scope_is_named(refused_hook: Any) -> None:
    with pytest.raises(SlackConfigurationError, match=r"lacks channels:manage\. Add the scope"):
        refused_hook.write("conversations.create", name="x")


def test_what_is_sent_wrongly_is_not_sent_again(hook: Any, control: SandboxClient) -> None:
    with pytest.raises(SlackRequestError, match="invalid_name_maxlength"):
        hook.write("conversations.create", name="x" * 81)
    assert topics(control) == 1


@pytest.mark.parametrize("status", [403, 404])
def test_page_of_a_proxy_is_no_answer_of_slack(hook: Any, control: SandboxClient, status: int) -> None:
    """What stands between us and Slack refused: no word of it is Slack's, nor is it repeated in the room."""
    control.add_fault(Fault(method="auth.test", status=status, body=HTML, times=None))
    with pytest.raises(SlackUnavailableError, match=f"HTTP {status}") as caught:
        hook.read("auth.test")
    assert "xoxb-echoed" not in str(caught.value)
