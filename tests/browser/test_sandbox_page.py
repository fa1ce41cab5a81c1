"""The sandbox's page in a browser: a room with its brief and thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from incident_sandbox import SandboxServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from slack_sdk import WebClient

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="document.title=1"> <!channel> <javascript:alert(1)|click>'
PHONE_WIDTH = 390


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def slack(server: SandboxServer) -> WebClient:
    from slack_sdk import WebClient

    return WebClient(token=server.token, base_url=server.slack_base_url)


@pytest.fixture
def room(slack: WebClient) -> tuple[str, str]:
    """A room with a pinned brief and two replies: the channel's ID and the brief's timestamp."""
    channel = slack.conversations_create(name="inc-20261123-checkout-148275309")["channel"]["id"]
    slack.conversations_invite(channel=channel, users="U0ALICENG01,U0JOSEGARC1,U0ZOEMS0001")
    slack.conversations_setTopic(channel=channel, topic="critical · checkout prod & more")
    slack.bookmarks_add(channel_id=channel, title="Runbook", type="link", link="https://runbooks.example/rb-117")
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": "Checkout <b>5xx</b>"}},
        {
            "type": "section",
            "text": {
                "type": "mrkdwn",
                "text": "*Critical* `checkout` <@U0ALICENG01> <!subteam^S0SREONCALL> "
                "<https://dd.example/1|Monitor> <!date^1795426500^{time_secs}|09:35:00 UTC> "
                ":warning: _since_ 5 &gt; 2",
            },
        },
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Where* web-03"}]},
        {"type": "divider"},
        {"type": "image", "image_url": "https://graphs.example/1.png", "alt_text": "Ratio over one hour"},
        {
            "type": "actions",
            "elements": [
                {
                    "type": "button",
                    "text": {"type": "plain_text", "text": "Open"},
                    "url": "https://runbooks.example/",
                }
            ],
        },
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "times 2"}]},
    ]
    brief = slack.chat_postMessage(channel=channel, text="brief", blocks=blocks)["ts"]
    slack.pins_add(channel=channel, timestamp=brief)
    slack.chat_postMessage(channel=channel, text="*FAIL* http\n```exit 22```", thread_ts=brief)
    button = {"type": "button", "text": {"type": "plain_text", "text": "Unsafe link"}, "url": "javascript:alert(1)"}
    section = {"type": "section", "text": {"type": "mrkdwn", "text": HOSTILE}}
    slack.chat_postMessage(
        channel=channel, text="x", blocks=[section, {"type": "actions", "elements": [button]}], thread_ts=brief
    )
    return channel, brief


@pytest.fixture
def browser_errors() -> list[str]:
    """Collects the errors of the browser and the requests to other servers."""
    return []


@pytest.fixture
def page(browser: Browser, server: SandboxServer, browser_errors: list[str]) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.set_default_timeout(10_000)
    page.on("console", lambda message: browser_errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: browser_errors.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(server.url) else browser_errors.append(r.url))
    yield page
    page.close()


def test_room_with_brief_and_thread(
    page: Page, server: SandboxServer, room: tuple[str, str], browser_errors: list[str]
) -> None:
    channel, brief = room
    page.goto(f"{server.url}/#{channel}/{brief}")
    message = page.locator(".messages .message-pinned")
    message.wait_for()

    assert page.locator("h1").inner_text() == "#inc-20261123-checkout-148275309"
    assert page.locator(".topic").inner_text() == "critical · checkout prod & more"
    assert (
        page.locator(".bookmarks").get_by_text("Runbook").get_attribute("href") == "https://runbooks.example/rb-117"
    )
    assert message.locator("h3").inner_text() == "Checkout <b>5xx</b>"
    assert message.locator("strong").first.inner_text() == "Critical"
    assert message.locator("code").inner_text() == "checkout"
    assert message.locator(".mention").all_inner_texts() == ["@Alice Ng", "@sre-oncall"]
    assert "5 > 2" in message.inner_text()
    assert "⚠️" in message.inner_text()
    assert message.locator("time[title^='2026']").count() == 1
    assert message.get_by_role("img", name="Ratio over one hour").is_visible()
    assert message.get_by_role("link", name="Open").is_visible()
    assert message.locator(".byline .tag").inner_text() == "App"
    assert "2 replies" in message.inner_text()
    thread = page.locator("#panel")
    assert "FAIL" in thread.inner_text()
    assert thread.locator("pre").inner_text() == "exit 22"
    assert browser_errors == []


def test_hostile_text_is_escaped_and_mass_mention_is_shown(
    page: Page, server: SandboxServer, room: tuple[str, str], browser_errors: list[str]
) -> None:
    channel, brief = room
    page.goto(f"{server.url}/#{channel}/{brief}")
    hostile = page.locator("#panel .message").last
    hostile.wait_for()

    assert '<img src=x onerror="document.title=1">' in hostile.inner_text()
    assert page.locator("#panel img").count() == 0
    assert hostile.get_by_text("Unsafe link").is_visible()
    assert hostile.locator("a").count() == 0
    assert "would have notified @channel" in hostile.locator(".alarm").inner_text()
    assert browser_errors == []


def test_page_updates_without_reload(
    page: Page, server: SandboxServer, room: tuple[str, str], slack: WebClient
) -> None:
    channel, brief = room
    page.goto(f"{server.url}/#{channel}")
    page.locator(".message-pinned").wait_for()

    slack.chat_update(channel=channel, ts=brief, text="the brief has *changed*")
    slack.conversations_create(name="inc-second")

    page.get_by_text("the brief has changed").first.wait_for()
    page.get_by_role("navigation").get_by_text("inc-second").wait_for()


def test_thread_and_members_panels(page: Page, server: SandboxServer, room: tuple[str, str]) -> None:
    channel, _ = room
    page.goto(f"{server.url}/#{channel}")
    page.get_by_role("button", name="2 replies").click()
    page.get_by_role("heading", name="Thread").wait_for()
    page.get_by_role("button", name="4 members").click()
    page.get_by_role("heading", name="Members").wait_for()

    assert page.locator(".people li").count() == 4
    page.get_by_role("button", name="Close", exact=True).click()
    page.locator("#panel").wait_for(state="hidden")


def test_page_is_marked_as_sandbox(page: Page, server: SandboxServer) -> None:
    page.goto(server.url)
    page.locator(".message").first.wait_for()

    assert "Nothing you see here reaches Slack" in page.locator(".foot").inner_text()
    assert page.locator(".team").get_by_text("Sandbox").is_visible()


def test_phone_layout_does_not_scroll_horizontally(
    page: Page, server: SandboxServer, room: tuple[str, str]
) -> None:
    channel, _ = room
    page.set_viewport_size({"width": PHONE_WIDTH, "height": 844})
    page.goto(f"{server.url}/#{channel}")
    page.locator(".message-pinned").wait_for()

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_WIDTH
    page.get_by_role("button", name="Channels", exact=True).click()
    page.get_by_role("navigation").get_by_text("general").click()
    page.get_by_role("heading", name="general").wait_for()
    page.get_by_role("navigation").wait_for(state="hidden")
