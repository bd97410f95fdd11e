"""Wisdom's page in a real browser, on a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Route,
    WebSocket,
    WebSocketRoute,
    expect,
)

from tests.support.browser import AGED, PHONE
from tests.support.devtools import Hidden
from tests.support.processes import Service
from tests.support.servers import free_port
from tests.support.stack import Stack
from tests.support.waiting import until

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)

PERIOD = 0.3
"""Seconds from quote to quote here."""


class Wisdom:
    """A server that can be started again on its port."""

    def __init__(self, start: Stack) -> None:
        self._stack = start
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/"
        self.start()

    def start(self, **settings: object) -> None:
        chosen = {"WISDOM_PERIOD": PERIOD, **settings}
        self.service: Service = self._stack.service(
            "wisdom", WISDOM_HOST="127.0.0.1", WISDOM_PORT=self._port, **chosen
        )
        self.service.wait_ready()

    def restart(self, **settings: object) -> None:
        self.service.terminate()
        self.start(**settings)


@pytest.fixture
def wisdom(start: Stack) -> Wisdom:
    return Wisdom(start)


class Tab:
    """Somebody's page. `ids` are those that the server has told it, the latest last."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.ids: list[str] = []
        page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._read)

    def _read(self, text: str | bytes) -> None:
        event = json.loads(text)
        if event["type"] == "initial":
            self.ids.append(event["payload"]["id"])

    def press(self, *actions: str) -> None:
        """Press buttons one after the other, each as soon as it is enabled."""
        for action in actions:
            self.page.click(f"[data-action={action}]")

    def reaches(self, state: str) -> None:
        expect(self.page.locator("body")).to_have_attribute("data-state", state, timeout=15_000)

    @property
    def enabled(self) -> list[str]:
        return [
            action
            for action in ("connect", "subscribe", "unsubscribe", "disconnect")
            if self.page.locator(f"[data-action={action}]").is_enabled()
        ]

    @property
    def id(self) -> str:
        return self.page.locator("#id").inner_text()

    @property
    def quotes(self) -> list[str]:
        """What it shows, the oldest first."""
        return self.page.locator("#quotes .text").all_text_contents()[::-1]

    def hears(self, more: int) -> None:
        """Wait until so many more quotes have come."""
        so_far = len(self.quotes)
        until(lambda: len(self.quotes) >= so_far + more, f"{more} more quotes come")

    @property
    def journal(self) -> list[str]:
        """What went over the connection but quotes and pings, the oldest first."""
        lines = self.page.locator(
            ".line:not([data-type=wisdom_distribution], [data-type=ping]) :is(.way, .type)"
        ).all_text_contents()
        return [f"{way} {what}" for way, what in zip(lines[::2], lines[1::2], strict=True)][::-1]


Open = Callable[..., Tab]


@pytest.fixture
def visit(browser: Browser, wisdom: Wisdom) -> Iterator[Open]:
    """Opens the page as somebody new; fails if a page's console tells of trouble."""
    contexts: list[BrowserContext] = []
    trouble: list[str] = []

    def visit(script: str = "", **options: Any) -> Tab:
        context = browser.new_context(**{"locale": "ru-RU", **options})
        context.set_default_timeout(15_000)
        contexts.append(context)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda message: trouble.append(message.text))
        tab = Tab(page)
        page.goto(wisdom.url)
        tab.reaches("idle")
        return tab

    yield visit
    for context in contexts:
        context.close()
    # What the network does to a page is not the page's fault.
    assert not [line for line in trouble if "ERR_" not in line and "WebSocket" not in line]


def contains(whole: Sequence[str], part: Sequence[str]) -> bool:
    """Tell whether `part` stands in `whole` without a hole."""
    return any(list(whole[first : first + len(part)]) == list(part) for first in range(len(whole)))


def test_three_pages_walk_through_the_scenario(visit: Open, wisdom: Wisdom) -> None:
    """People would get quotes that they had not asked for, miss some, or disturb each other."""
    tabs = anna, boris, vera = visit(), visit(), visit()
    for tab in tabs:
        assert tab.enabled == ["connect"]
    assert wisdom.service.metric("wisdom_joins_total") == 0, "it connects when it is told to"

    for tab in tabs:
        tab.press("connect")
        tab.reaches("connected")
        assert tab.enabled == ["subscribe", "disconnect"]
        assert tab.journal == ["← initial", "→ connect"]
        assert [tab.id] == tab.ids
    assert len({tab.id for tab in tabs}) == 3

    for tab in (anna, boris):
        tab.press("subscribe")
        tab.reaches("subscribed")
        assert tab.enabled == ["unsubscribe", "disconnect"]
        assert tab.journal[2:] == ["→ subscribe", "← subscribe_confirmation"]
    boris.hears(3)
    boris.press("unsubscribe")
    boris.reaches("connected")
    assert boris.enabled == ["subscribe", "disconnect"]
    heard = boris.quotes
    anna.hears(3)
    assert boris.quotes == heard
    assert contains(anna.quotes, heard)
    assert vera.quotes == []

    for tab in (vera, boris):
        tab.press("subscribe")
    boris.hears(3)
    assert boris.quotes[: len(heard)] == heard
    assert contains(anna.quotes, boris.quotes[len(heard) :])
    heard = vera.quotes
    assert len(heard) >= 3
    assert contains(anna.quotes, heard)

    anna.press("disconnect")
    anna.reaches("idle")
    assert anna.enabled == ["connect"]
    assert anna.id == "—"
    assert anna.journal[-2:] == ["→ disconnect", "• соединение закрыто: 1000, сеанс завершён"]
    heard = anna.quotes
    vera.hears(3)
    assert anna.quotes == heard
    assert wisdom.service.metric("wisdom_closes_total", reason="disconnect") == 1

    anna.press("connect")
    anna.reaches("connected")
    assert len(anna.ids) == 2
    assert anna.ids[0] != anna.id == anna.ids[1]


def test_pages_outlive_the_server(visit: Open, wisdom: Wisdom) -> None:
    """After a restart pages would stay dead, forget the subscription, or come back unasked."""
    anna, boris, vera = visit(), visit(), visit()
    for tab in (anna, boris, vera):
        tab.press("connect", "subscribe")
        tab.reaches("subscribed")
    boris.press("unsubscribe")
    vera.press("disconnect")
    vera.reaches("idle")

    wisdom.service.terminate()
    for tab in (anna, boris):
        tab.reaches("waiting")
        assert tab.enabled == ["connect", "disconnect"]
        expect(tab.page.locator("#reason")).to_have_text(re.compile(r"попытка через \d+ с"))
        assert "• соединение закрыто: 1012, сервер перезапускается" in tab.journal
    wisdom.start()
    anna.reaches("subscribed")
    boris.reaches("connected")
    anna.hears(2)
    for tab in (anna, boris):
        assert len(tab.ids) == 2
        assert tab.ids[0] != tab.id == tab.ids[1]
    assert len(vera.ids) == 1

    wisdom.service.kill()
    boris.reaches("waiting")
    boris.press("disconnect")
    boris.reaches("idle")
    wisdom.start()
    anna.reaches("subscribed")
    anna.hears(1)
    for tab in (boris, vera):
        tab.reaches("idle")
    assert wisdom.service.metric("wisdom_joins_total") == 1


HURRY = """{
    const wait = setTimeout;
    globalThis.setTimeout = (act, ms) => wait(act, ms / 20);
}"""
"""Makes the page's patience, but not the beat of its pings, 20 times as short."""


def test_a_server_that_has_gone_silent_is_left(visit: Open, wisdom: Wisdom) -> None:
    """A page would listen for ever to a connection whose other side has vanished."""
    anna = visit(HURRY)
    anna.press("connect", "subscribe")
    anna.hears(1)
    asked = anna.journal.count("→ subscribe")
    wisdom.service.freeze()
    anna.reaches("waiting")
    assert anna.journal.count("→ subscribe") > asked, "it asks before it goes"
    wisdom.service.thaw()
    anna.reaches("subscribed")
    anna.hears(1)
    assert anna.ids[0] != anna.id


def test_errors_stand_in_the_journal(visit: Open) -> None:
    """Who tests the protocol would not see what the server refuses."""
    anna = visit()
    anna.press("connect")
    # What the page itself never says.
    anna.page.evaluate(
        """() => {
            const send = WebSocket.prototype.send;
            WebSocket.prototype.send = function (text) {
                WebSocket.prototype.send = send;
                send.call(this, '{"type":"dance","payload":{}}');
                send.call(this, text);
            };
        }"""
    )
    anna.press("subscribe")
    anna.reaches("subscribed")
    expect(anna.page.locator(".badge.bad")).to_have_text("ошибок: 1")
    line = anna.page.locator("[data-type=error]")
    expect(line).to_be_hidden()
    anna.page.click("#journal summary")
    expect(line).to_be_visible()
    expect(line.locator(".payload")).to_contain_text('"code":"unknown_type"')


HOSTILE = (
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    "\u202egnp.exe \u2067abc",
    "{{7*7}} ${7*7} &lt;b&gt; <!-- \" ' `",
    "w" * 500 + " https://example.org/" + "a" * 400,
)


def test_hostile_quotes_show_as_text_on_a_phone(
    visit: Open, wisdom: Wisdom, tmp_path: Path
) -> None:
    """A quote would run as a program, or push the page out of a phone's screen."""
    file = tmp_path / "quotes.txt"
    file.write_text("\n".join(HOSTILE))
    wisdom.restart(WISDOM_QUOTES=file, WISDOM_PERIOD=0.1)
    phone = visit(**PHONE)
    phone.press("connect", "subscribe")
    until(lambda: set(phone.quotes) == set(HOSTILE), "every quote is shown as it is")
    phone.press("unsubscribe")
    phone.page.click("#journal summary")
    expect(phone.page.locator("#lines")).to_be_visible()
    markup = phone.page.locator(":is(#quotes, #lines) :is(script, img, i, s, a)")
    expect(markup).to_have_count(0)
    assert phone.page.title() == "Волчья мудрость"
    for part in ("document.documentElement", "document.getElementById('lines')"):
        assert phone.page.evaluate(f"{part}.scrollWidth <= {part}.clientWidth")
    for button in (*phone.page.locator("[data-action]").all(), phone.page.locator("summary")):
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360


ASKED = (
    "performance.getEntriesByType('resource')"
    ".filter((entry) => entry.name.endsWith('/listening')).map((entry) => entry.startTime)"
)


def test_how_many_are_listening(visit: Open) -> None:
    """People would not know how many hear what they hear, or ask the server too often."""
    anna, boris, vera = visit(), visit(AGED), visit()
    for tab in (anna, boris):
        tab.press("connect", "subscribe")
    vera.press("connect")
    listening = [tab.page.locator("#listening") for tab in (anna, boris, vera)]
    for shown in listening:
        expect(shown).to_have_text("2 слушателя", timeout=15_000)
    vera.press("subscribe")
    for shown in listening:
        expect(shown).to_have_text("3 слушателя", timeout=15_000)
    times = anna.page.evaluate(ASKED)
    assert len(times) >= 2
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert min(pauses) > 1_400
    # Once it has asked sooner, to show that its own subscription counts.
    assert sum(pause < 4_900 for pause in pauses) <= 1
    vera.press("disconnect")
    expect(listening[2]).to_have_text("—")


def test_a_subscriber_counts_at_once(visit: Open) -> None:
    """Who has subscribed would read for five seconds that nobody listens."""
    anna = visit()
    anna.press("connect")
    expect(anna.page.locator("#listening")).to_have_text("0 слушателей")
    anna.press("subscribe")
    expect(anna.page.locator("#listening")).to_have_text("1 слушатель", timeout=15_000)
    first, second = anna.page.evaluate(ASKED)[:2]
    assert second - first < 4_900  # the machine may be slow; the page does not wait


@pytest.mark.parametrize(
    ("locale", "lang", "words"),
    [
        ("en-GB", "en", ["The wolf’s wisdom", "Connect", "Not connected", "1 listener"]),
        ("uk-UA", "uk", ["Вовча мудрість", "Підключитися", "Не підключено", "1 слухач"]),
        ("ru-RU", "ru", ["Волчья мудрость", "Подключиться", "Не подключено", "1 слушатель"]),
    ],
)
def test_the_page_speaks_the_reader_s_language(
    visit: Open, locale: str, lang: str, words: list[str]
) -> None:
    """People could not read the page; or on a small phone the buttons would stick out."""
    small = {**PHONE, "viewport": {"width": 320, "height": 640}}
    tab = visit(locale=locale, **small)
    page, (title, connect, idle, listeners) = tab.page, words
    assert page.evaluate("document.documentElement.lang") == lang
    expect(page).to_have_title(title)
    expect(page.locator("h1")).to_have_text(title)
    expect(page.locator("[data-action=connect]")).to_have_text(connect)
    expect(page.locator("#status")).to_have_text(idle)
    card = page.locator("section.card").first.bounding_box()
    assert card is not None
    for button in page.locator("[data-action]").all():
        box = button.bounding_box()
        assert box is not None
        assert card["x"] < box["x"]
        assert box["x"] + box["width"] < card["x"] + card["width"]
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    tab.press("connect", "subscribe")
    expect(page.locator("#listening")).to_have_text(listeners)
    told = "".join(page.locator(".side, .silence").all_inner_texts())
    assert lang == "ru" or not re.search("[ыэъё]", told)


def test_a_page_behind_a_gateway(browser: Browser, wisdom: Wisdom) -> None:
    """With TLS and a path it would look for its server elsewhere; open for days it would grow.

    The gateway passes the page's files on, and speaks the server's part itself.
    """
    outside = "https://wolf.example/den/"

    def pass_on(route: Route) -> None:
        inside = route.request.url.replace(outside, wisdom.url)
        route.fulfill(response=route.fetch(url=inside))

    def serve(socket: WebSocketRoute) -> None:
        def send(kind: str, **payload: str) -> None:
            socket.send(json.dumps({"type": kind, "payload": payload}))

        def answer(text: str | bytes) -> None:
            if json.loads(text)["type"] == "subscribe":
                send("subscribe_confirmation", status="ok")
                for number in range(300):
                    send("wisdom_distribution", message=f"quote {number}")

        socket.on_message(answer)
        send("initial", id="0e3b2a0c-8d53-4a5e-9a40-1f0c9d1f7b26")

    context = browser.new_context(locale="ru-RU")
    context.route(f"{outside}**", pass_on)
    context.route_web_socket("wss://wolf.example/den/", serve)
    tab = Tab(context.new_page())
    tab.page.goto(outside)
    tab.press("connect", "subscribe")
    until(lambda: tab.quotes[-1:] == ["quote 299"], "the last quote has come")
    assert len(tab.quotes) == 50
    assert tab.page.locator(".line").count() == 200
    expect(tab.page.locator("#seen")).to_have_text("304")
    expect(tab.page.locator("#listening")).to_have_text("0 слушателей")
    context.close()


@pytest.fixture
def hidden(chromium: str, tmp_path: Path) -> Iterator[Hidden]:
    with Hidden.run(chromium, tmp_path / "profile") as browser:
        yield browser


TIRED = """{
    const every = setInterval;
    globalThis.ticks = 0;
    every(() => (ticks += 1), 200);
    const wait = (again) => (act, ms) => {
        let due = performance.now() + ms;
        const timer = every(() => {
            if (performance.now() < due) return;
            if (again) due += ms;
            else clearInterval(timer);
            act();
        }, 200);
        return timer;
    };
    globalThis.setInterval = wait(true);
    globalThis.setTimeout = wait(false);
}"""
"""Makes a page's timers fit for throttling at once, and not after five rounds: a timer of five
seconds would hold out for as long as the test lasts. `ticks` shows what has become of them."""


def test_a_hidden_page_lives_and_a_frozen_one_comes_back(hidden: Hidden, wisdom: Wisdom) -> None:
    """Who looks at another tab would be taken for dead; who comes back would see a dead page."""
    anna, boris = hidden.open(wisdom.url, TIRED), hidden.open(wisdom.url)
    for tab in (anna, boris):
        tab.press("connect")
        tab.press("subscribe")
        tab.reaches("subscribed")
    hidden.open("about:blank")
    until(lambda: anna.hidden and boris.hidden, "both are hidden")
    ids = anna.id, boris.id
    polls = "performance.getEntriesByType('resource').filter((e) => e.name.endsWith('/listening'))"
    polled = anna.evaluate(f"{polls}.length")
    boris.freeze()

    def closed() -> float:
        return wisdom.service.metric("wisdom_closes_total", reason="silent")

    def pings(count: int) -> None:
        """Wait until the hidden page has sent so many, one every 5 s."""
        until(lambda: anna.count("[data-type=ping]") >= count, f"{count} pings are sent")

    pings(2)
    ticks = anna.evaluate("ticks")
    pings(4)
    # The control: a timer of the page itself, which would tick 50 times, has all but stopped.
    assert anna.evaluate("ticks") - ticks <= 2
    until(closed, "the frozen page is taken for dead")
    assert closed() == 1
    assert anna.id == ids[0]
    assert anna.hidden
    # One may have been under way.
    assert anna.evaluate(f"{polls}.length") <= polled + 1, "a hidden page asks who listens"

    boris.show()
    until(lambda: boris.id not in (ids[1], "—"), "the frozen page has a new session")
    boris.reaches("subscribed")
