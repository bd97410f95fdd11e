"""The chat's page in a real browser, on a real server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect
from websockets.sync.client import connect

from tests.support.browser import PHONE
from tests.support.processes import Service
from tests.support.servers import free_port
from tests.support.stack import Stack
from tests.support.waiting import until

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


class Chat:
    """A chat server that can be started again on its port."""

    def __init__(self, start: Stack, directory: Path) -> None:
        self._stack = start
        self._settings: dict[str, object] = {
            "CHAT_HOST": "127.0.0.1",
            "CHAT_PORT": free_port(),
            "CHAT_LOG_FILE": directory / "messages.json",
        }
        self.url = f"http://127.0.0.1:{self._settings['CHAT_PORT']}/"
        self.start()

    def start(self, **settings: object) -> None:
        self.service: Service = self._stack.service("chat", **self._settings, **settings)
        self.service.wait_ready()


@pytest.fixture
def chat(start: Stack, tmp_path: Path) -> Chat:
    return Chat(start, tmp_path)


Open = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, chat: Chat) -> Iterator[Open]:
    """Opens the page as somebody new; fails if a page's console tells of trouble."""
    contexts: list[BrowserContext] = []
    trouble: list[str] = []

    def visit(context: BrowserContext | None = None, **options: Any) -> Page:
        if context is None:
            context = browser.new_context(**{"locale": "en-GB", **options})
            context.set_default_timeout(15_000)
            contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda message: trouble.append(message.text))
        page.goto(chat.url)
        online(page)
        return page

    yield visit
    for context in contexts:
        context.close()
    # What the network does to a page is not the page's fault.
    assert not [
        line for line in trouble if "ERR_CONNECTION" not in line and "WebSocket" not in line
    ]


def online(page: Page) -> None:
    expect(page.locator("#state")).to_have_attribute("data-state", "online", timeout=15_000)


def texts(page: Page) -> list[str]:
    return page.locator("#messages .text").all_text_contents()


def say(page: Page, *messages: str) -> None:
    """Send messages and wait until they are in the room."""
    for message in messages:
        page.fill("#text", message)
        page.press("#text", "Enter")
    expect(page.locator(".outgoing")).to_have_count(0, timeout=15_000)


def shows(page: Page, *messages: str) -> None:
    until(lambda: texts(page)[-len(messages) :] == list(messages), f"the page shows {messages}")


def test_a_killed_page_comes_back_without_a_gap(visit: Open, chat: Chat) -> None:
    """People would miss what was said while their browser's tab was dead, or see it twice."""
    anna, boris = visit(), visit()
    say(anna, "one")
    say(boris, "two")
    for page in (anna, boris):
        shows(page, "one", "two")
    expect(anna.locator("#messages .mine .text")).to_have_text(["one"])
    expect(boris.locator("#messages .mine .text")).to_have_text(["two"])
    boris.fill("#text", "a draft")
    # The tab writes its state down within a moment; it gets no say in when it dies.
    until(
        lambda: "a draft" in str(boris.evaluate("sessionStorage.getItem('chat')")),
        "the tab has stored its state",
    )
    tab = boris.context.new_cdp_session(boris)
    with suppress(Error):
        boris.goto("chrome://crash")
    say(anna, "three", "four")
    tab.send("Page.navigate", {"url": chat.url})  # a Page object does not outlive a crash

    def there(selector: str, what: str = "textContent") -> Any:
        expression = f"[...document.querySelectorAll('{selector}')].map((made) => made.{what})"
        answer = tab.send("Runtime.evaluate", {"expression": expression, "returnByValue": True})
        return answer["result"].get("value")

    until(
        lambda: there("#messages .text") == ["one", "two", "three", "four"],
        "the tab shows everything once, in order",
    )
    assert there("#messages .mine .text") == ["two"]
    assert there("#messages .gap") == []
    assert there("#text", "value") == ["a draft"]
    newcomer = visit()
    shows(newcomer, "one", "two", "three", "four")


HOSTILE = (
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    "\u202egnp.exe \u2067abc",
    "𝒳 🧑\u200d🚀 👋🏽 𐍈",
    "{{7*7}} ${7*7} &lt;b&gt; <!-- \" ' `",
)


def test_hostile_texts_show_as_text(visit: Open) -> None:
    """A message would run as a program in everybody's browser, or turn the page around."""
    anna, boris = visit(), visit()
    say(anna, *HOSTILE)
    for page in (anna, boris):
        shows(page, *HOSTILE)
        expect(page.locator("#messages :is(script, img, b)")).to_have_count(0)
        assert "owned" not in page.title()
    # An override that reached past its message would put the time before the text.
    bubble = boris.locator("#messages .bubble").nth(2)
    text, time = bubble.locator(".text").bounding_box(), bubble.locator("time").bounding_box()
    assert text is not None
    assert time is not None
    assert time["x"] >= text["x"] + text["width"] - 1
    assert re.fullmatch(r"\d\d:\d\d", bubble.locator("time").inner_text())


LINKS = {
    "https://example.org": ["https://example.org"],
    "see https://example.org/a?b=1#c, or (http://example.org/x_(y)).": [
        "https://example.org/a?b=1#c",
        "http://example.org/x_(y)",
    ],
    "«https://пример.рф/путь»": ["https://пример.рф/путь"],
    "javascript:alert(1) data:text/html,x file:///etc/passwd": [],
    "https://bank.example@evil.example/ https://": [],
    "xhttps://example.org and HTTPS://EXAMPLE.ORG/<b>": ["HTTPS://EXAMPLE.ORG/"],
    "https://example.org/\u202egnp.exe": ["https://example.org/"],
}


def test_addresses_are_links_and_nothing_else_is(visit: Open) -> None:
    """Nobody could follow an address, or a message would run as a program when it is clicked."""
    anna = visit()
    say(anna, *LINKS)
    shows(anna, *LINKS)
    for at, expected in enumerate(LINKS.values()):
        links = anna.locator("#messages .bubble").nth(at).locator("a")
        assert links.all_text_contents() == expected
        for link in links.all():
            assert re.match(r"https?://", link.get_attribute("href") or "")
            assert link.get_attribute("target") == "_blank"
            assert "noopener" in (link.get_attribute("rel") or "")


def test_a_page_outlives_the_server(visit: Open, chat: Chat) -> None:
    """After a restart of the server pages would stay dead, or lose or double what was typed."""
    anna, boris = visit(), visit()
    say(anna, "before")
    chat.service.kill()
    expect(anna.locator("#state-text")).to_have_text(re.compile(r"reconnecting in \d+ s"))
    for message in ("typed while away", "and another"):
        anna.fill("#text", message)
        anna.press("#text", "Enter")
    expect(anna.locator(".outgoing")).to_have_count(2)
    chat.start()
    for page in (anna, boris):
        if page.locator("#now").is_visible():
            with suppress(Error):
                page.click("#now", timeout=1_000)
        online(page)
        shows(page, "before", "typed while away", "and another")
    expect(anna.locator(".outgoing")).to_have_count(0)
    expect(boris.locator(".gap")).to_have_count(0)


def test_what_is_lost_is_told(visit: Open, chat: Chat, start: Stack) -> None:
    """Messages that the server no longer has would be missing without a word."""
    anna = visit()
    say(anna, "long ago")
    chat.service.kill()
    start.redis.client.flushall()
    chat.start()
    expect(anna.locator("#messages .gap")).to_have_text("Some messages could not be restored")
    say(anna, "anew")
    shows(anna, "long ago", "anew")


def test_unread_messages_are_counted(visit: Open) -> None:
    """Who reads further up would not learn that something new has been said."""
    anna, boris = visit(), visit(viewport={"width": 700, "height": 420})
    say(anna, *(f"line {number}" for number in range(20)))
    shows(boris, "line 18", "line 19")
    boris.evaluate("document.getElementById('log').scrollTop = 0")
    expect(boris.locator("#jump")).to_be_visible()
    say(anna, "psst")
    expect(boris.locator("#jump")).to_have_text("1 new message")
    expect(boris).to_have_title("(1) Chat")
    boris.click("#jump")
    expect(boris).to_have_title("Chat")
    expect(boris.locator("#jump")).to_be_hidden()
    expect(boris.get_by_text("psst")).to_be_in_viewport()


def test_a_refused_message_is_marked(visit: Open) -> None:
    """People would think that something was said which the server has refused."""
    anna = visit()
    anna.fill("#text", "x" * 9_000)
    anna.press("#text", "Enter")
    failed = anna.locator(".outgoing.failed")
    expect(failed.locator(".status")).to_contain_text("This message is too long.")
    say_after = "the next one goes out"
    anna.fill("#text", say_after)
    anna.press("#text", "Enter")
    shows(anna, say_after)
    failed.get_by_text("Try again").click()
    expect(failed.locator(".status")).to_contain_text("This message is too long.")
    failed.get_by_text("Remove").click()
    expect(anna.locator(".outgoing")).to_have_count(0)


def test_too_many_messages_at_once_wait(visit: Open) -> None:
    """What was sent faster than the server takes it would be lost, or come out of order."""
    anna = visit()
    lines = [f"line {number}" for number in range(55)]
    for line in lines:
        anna.fill("#text", line)
        anna.press("#text", "Enter")
    until(lambda: texts(anna) == lines, "every message is there, in order")
    expect(anna.locator(".outgoing")).to_have_count(0)


def test_old_messages_make_room(visit: Open, chat: Chat) -> None:
    """A page that is open all day would take more and more memory."""
    anna = visit()
    chat.service.kill()
    chat.start(CHAT_RATE=1e6)
    online(anna)
    with connect(chat.url.replace("http", "ws"), max_queue=None) as busy:
        for number in range(1_100):
            busy.send(f"line {number}")
        shows(anna, "line 1098", "line 1099")
    count = anna.locator("#messages > *").count()
    assert 900 < count <= 1_000


def test_a_session_that_has_ended_is_not_resumed_by_itself(visit: Open) -> None:
    """A page would come back at once where the server had said goodbye for good."""
    anna = visit()
    # What the page itself never says; the server answers it with an ordinary goodbye.
    anna.evaluate(
        """() => {
            const send = WebSocket.prototype.send;
            WebSocket.prototype.send = function () {
                send.call(this, '{"type":"goodbye"}');
                WebSocket.prototype.send = send;
            };
        }"""
    )
    anna.fill("#text", "still here")
    anna.press("#text", "Enter")
    expect(anna.locator("#state-text")).to_have_text("disconnected")
    expect(anna.locator("#alert")).to_have_text("The session has ended. Goodbye!")
    anna.get_by_role("button", name="Connect").click()
    online(anna)
    shows(anna, "still here")


def test_who_is_here(visit: Open) -> None:
    """People would not know whom they are talking to."""
    anna, boris = visit(), visit(locale="ru-RU", **PHONE)
    expect(anna.locator("#online")).to_have_text("2")
    expect(boris.locator("#online")).to_have_text("2")
    boris.click("#people")
    expect(boris.locator("#who-title")).to_have_text("2 человека здесь")
    expect(boris.locator("#who-list li")).to_have_count(2)
    own = re.search(r"Client_\d+", boris.locator("#self").inner_text())
    assert own is not None
    mine = boris.locator("#who-list li", has_text="это вы")
    expect(mine.locator("bdi")).to_have_text(own.group())


@pytest.mark.parametrize(("locale", "lang"), [("en-US", "en"), ("ru-RU", "ru"), ("uk-UA", "uk")])
def test_a_phone_shows_all_of_it(visit: Open, locale: str, lang: str) -> None:
    """On a phone the page would have to be pushed sideways, or its buttons be missed."""
    phone = visit(locale=locale, **PHONE)
    say(phone, "w" * 300, "https://example.org/" + "a" * 200, "short")
    assert phone.evaluate("document.documentElement.lang") == lang
    for part in ("document.documentElement", "document.getElementById('log')"):
        assert phone.evaluate(f"{part}.scrollWidth <= {part}.clientWidth")
    for name in ("#people", "#send", "#text"):
        box = phone.locator(name).bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["width"] >= 44
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
