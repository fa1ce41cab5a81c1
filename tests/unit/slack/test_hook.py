"""Test retries, rate limits, timeouts and errors of the Slack hook over HTTP."""

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


@pytest.fixture
def hook(connect: Callable[..., Any]) -> Any:
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    connect()
    return IncidentSlackHook()


@pytest.fixture
def unauthorized_hook(connect: Callable[..., Any], control: SandboxClient) -> Any:
    """Return a hook whose token lacks the scopes of the app."""
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    connect(control.add_token("unauthorized", scopes=["team:read"]))
    return IncidentSlackHook()


class _SignInHandler(BaseHTTPRequestHandler):
    """Serve the sign-in page of a gateway and record the request headers."""

    received: list[dict[str, str]]

    def do_GET(self) -> None:
        self.received.append(dict(self.headers))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(HTML.encode())

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def sign_in_server() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Run a sign-in server; yield its URL and the headers it receives."""
    received: list[dict[str, str]] = []
    handler = type("Handler", (_SignInHandler,), {"received": received})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/sign-in", received
        server.shutdown()


def create_calls(control: SandboxClient) -> int:
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
def test_read_is_retried_after_transient_failure(hook: Any, control: SandboxClient, fault: Fault) -> None:
    control.add_fault(fault)
    assert hook.read("auth.test")["team"] == "Acme Retail"
    assert len(control.calls("auth.test")) == 1 + (fault.times or 0)


def test_read_raises_after_four_attempts(hook: Any, control: SandboxClient) -> None:
    control.add_fault(Fault(method="auth.test", status=503, body=HTML, times=None))
    with pytest.raises(SlackUnavailableError, match=r"Slack could not process auth\.test: HTTP 503"):
        hook.read("auth.test")
    assert len(control.calls("auth.test")) == 4


def test_read_waits_for_retry_after(hook: Any, control: SandboxClient) -> None:
    control.add_fault(Fault(method="auth.test", status=429, headers={"Retry-After": "1"}))
    started = time.monotonic()
    hook.read("auth.test")
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("retry_after", ["3600", "8.5", "inf"])
@pytest.mark.parametrize(
    "response", [{"status": 429}, {"error": "ratelimited"}, {"error": "rate_limited"}], ids=str
)
@pytest.mark.parametrize("send", ["read", "write", "put"])
def test_long_retry_after_raises_without_waiting(
    hook: Any, control: SandboxClient, send: str, response: dict[str, Any], retry_after: str
) -> None:
    control.add_fault(Fault(method="auth.test", headers={"Retry-After": retry_after}, **response))
    started = time.monotonic()
    with pytest.raises(SlackUnavailableError) as exc_info:
        getattr(hook, send)("auth.test")
    assert exc_info.value.retry_after == float(retry_after)
    assert not exc_info.value.effect_possible
    assert time.monotonic() - started < 5
    assert len(control.calls("auth.test")) == 1


def test_retry_after_accepts_http_date(hook: Any, control: SandboxClient) -> None:
    in_an_hour = formatdate(time.time() + 3600, usegmt=True)
    control.add_fault(Fault(method="auth.test", status=429, headers={"Retry-After": in_an_hour}))
    with pytest.raises(SlackUnavailableError) as exc_info:
        hook.read("auth.test")
    assert exc_info.value.retry_after == pytest.approx(3600, abs=30)


@pytest.mark.parametrize(
    "retry_after", ["-5", "nan", "soon", "Sun, 06 Nov 1994 08:49:37 GMT", "\N{ARABIC-INDIC DIGIT ONE}"]
)
def test_invalid_retry_after_is_ignored(hook: Any, control: SandboxClient, retry_after: str) -> None:
    headers = {"Retry-After": retry_after.encode().decode("latin-1")}
    control.add_fault(Fault(method="auth.test", status=429, headers=headers))
    started = time.monotonic()
    assert hook.read("auth.test")["ok"]
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("response", "reason"),
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
def test_response_not_from_slack_raises(
    hook: Any, control: SandboxClient, send: str, response: dict[str, Any], reason: str
) -> None:
    control.add_fault(Fault(method="conversations.create", times=None, **response))
    with pytest.raises(SlackUnavailableError) as exc_info:
        getattr(hook, send)("conversations.create", name="once")
    assert exc_info.value.message == f"The answer to conversations.create is not Slack's: {reason}."
    assert exc_info.value.effect_possible


@pytest.mark.parametrize("charset", ["nope", "utf-99", "x-unknown"])
@pytest.mark.parametrize("send", ["read", "write", "put"])
def test_response_with_unknown_charset_raises(hook: Any, control: SandboxClient, send: str, charset: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    control.add_fault(Fault(method="auth.test", status=200, body='{"ok": true}', headers=headers, times=None))
    with pytest.raises(SlackUnavailableError, match="cannot be decoded"):
        getattr(hook, send)("auth.test")


@pytest.mark.parametrize(
    ("upload", "message"),
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
            "Slack could not process files.getUploadURLExternal: HTTP 404.",
        ),
        (
            {"file_id": "F1", "upload_url": "{url}/api/conversations.create"},
            "Slack could not process files.getUploadURLExternal: HTTP 503.",
        ),
    ],
    ids=str,
)
def test_failed_upload_reports_the_reason(
    hook: Any, control: SandboxClient, slack: SandboxServer, upload: dict[str, Any], message: str
) -> None:
    body = {"ok": True, **upload}
    body = {name: value.format(url=slack.url) if isinstance(value, str) else value for name, value in body.items()}
    control.add_fault(Fault(method="files.getUploadURLExternal", status=200, body=body))
    control.add_fault(Fault(method="conversations.create", status=503))
    with pytest.raises(SlackUnavailableError) as exc_info:
        hook.upload("picture.png", b"...")
    assert exc_info.value.message == message
    assert exc_info.value.fix


@pytest.mark.parametrize("status", [301, 302, 303])
def test_redirect_does_not_forward_the_token(
    hook: Any, control: SandboxClient, sign_in_server: tuple[str, list[dict[str, str]]], status: int
) -> None:
    url, received = sign_in_server
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
def test_write_is_retried_after_rate_limit(hook: Any, control: SandboxClient, fault: Fault) -> None:
    control.add_fault(fault.model_copy(update={"method": "conversations.create"}))
    assert hook.write("conversations.create", name="once")["channel"]["name"] == "once"
    assert create_calls(control) == 2


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "failure",
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
    ids=lambda failure: "-".join(str(value)[:20] for value in failure.values() if value != HTML),
)
def test_write_that_may_have_taken_effect_is_not_retried(
    hook: Any, control: SandboxClient, failure: dict[str, Any], when: str
) -> None:
    control.add_fault(Fault(method="conversations.create", when=when, **failure))
    with pytest.raises(SlackUnavailableError) as exc_info:
        hook.write("conversations.create", name="once")
    assert exc_info.value.effect_possible
    assert create_calls(control) == 1
    assert "<html" not in str(exc_info.value)


def test_timed_out_write_is_not_retried(connect: Callable[..., Any], control: SandboxClient) -> None:
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    connect(timeout=1)
    control.add_fault(Fault(method="conversations.create", delay_ms=60_000))
    started = time.monotonic()
    with pytest.raises(SlackUnavailableError) as exc_info:
        IncidentSlackHook().write("conversations.create", name="late")
    assert exc_info.value.effect_possible
    assert time.monotonic() - started < 20, "the timeout is 1 s; the margin is for a loaded machine"


def test_default_timeout_is_at_most_ten_seconds(hook: Any) -> None:
    """Four attempts with the SDK's default of 30 s would delay a room by two minutes."""
    assert hook.client.timeout <= 10


def test_refused_connection_has_no_effect(connect: Callable[..., Any]) -> None:
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    connect(base_url="http://127.0.0.1:1/api/")
    with pytest.raises(SlackUnavailableError) as exc_info:
        IncidentSlackHook().write("conversations.create", name="x")
    assert not exc_info.value.effect_possible


@pytest.mark.parametrize(
    "code", ["invalid_auth", "token_revoked", "account_inactive", "not_authed", "token_expired"]
)
def test_rejected_token_raises_configuration_error_with_fix(hook: Any, control: SandboxClient, code: str) -> None:
    control.add_fault(Fault(method="auth.test", error=code))
    with pytest.raises(SlackConfigurationError) as exc_info:
        hook.read("auth.test")
    assert (exc_info.value.code, len(control.calls("auth.test"))) == (code, 1)
    assert "xoxb-" in (exc_info.value.fix or "")
    assert hook.client.token not in str(exc_info.value)


def test_missing_scope_is_named(unauthorized_hook: Any) -> None:
    with pytest.raises(SlackConfigurationError, match=r"lacks channels:manage\. Add the scope"):
        unauthorized_hook.write("conversations.create", name="x")


def test_invalid_request_is_not_retried(hook: Any, control: SandboxClient) -> None:
    with pytest.raises(SlackRequestError, match="invalid_name_maxlength"):
        hook.write("conversations.create", name="x" * 81)
    assert create_calls(control) == 1


@pytest.mark.parametrize("status", [403, 404])
def test_proxy_error_page_is_not_quoted(hook: Any, control: SandboxClient, status: int) -> None:
    control.add_fault(Fault(method="auth.test", status=status, body=HTML, times=None))
    with pytest.raises(SlackUnavailableError, match=f"HTTP {status}") as exc_info:
        hook.read("auth.test")
    assert "xoxb-echoed" not in str(exc_info.value)
