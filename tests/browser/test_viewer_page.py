"""The viewer's page in a real browser, on a real relay."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser import AGED, PHONE
from tests.support.processes import Service
from tests.support.servers import Server, free_port
from tests.support.stack import Stack
from tests.support.streams import frames
from tests.support.waiting import settled, until

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)

Open = Callable[..., Page]

HURRY = """{
    const wait = setTimeout;
    globalThis.setTimeout = (act, ms) => wait(act, ms / 10);
}"""
"""Makes the page look, and its picture go on, ten times as fast."""


class Viewer:
    """A viewer of the test's relay."""

    def __init__(self, start: Stack) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/"
        self.service: Service = start.service("viewer", VIEWER_HOST="127.0.0.1", VIEWER_PORT=port)
        self.service.wait_ready()


@pytest.fixture
def viewer(start: Stack) -> Viewer:
    return Viewer(start)


@pytest.fixture
def visit(browser: Browser, viewer: Viewer) -> Iterator[Open]:
    """Opens the page; fails if its console tells of trouble."""
    contexts: list[BrowserContext] = []
    trouble: list[str] = []

    def visit(feed: str = "", script: str = HURRY, **options: Any) -> Page:
        context = browser.new_context(**options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        context.add_init_script(script)
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda message: trouble.append(message.text))
        page.goto(f"{viewer.url}#{feed}" if feed else viewer.url)
        return page

    yield visit
    for context in contexts:
        context.close()
    # That Redis is away, or a feed unknown, is what a test wanted.
    assert not [line for line in trouble if not line.startswith("Failed to load resource")]


def tiles(page: Page, lane: str) -> list[str]:
    """What a lane of the picture shows, from left to right."""
    return page.locator(f"#{lane} .tile").all_text_contents()


def test_the_picture_of_the_main_job(
    redis: Server, start: Stack, visit: Open, viewer: Viewer
) -> None:
    """Nobody would see what the relay does: what came, what is held and for which id, what went."""
    feed, endpoint = start.feed(frames([1, 2, *range(4, 10)])), start.endpoint()
    start.relay(feed.url, endpoint.url, ORDERER_GAP_TIMEOUT="never", ORDERER_FIRST_ID=1)
    page = visit(script=HURRY + AGED)
    expect(page.locator("#state")).to_have_text("waits for a missing id", timeout=15_000)
    expect(page.locator("#feed")).to_have_text("default")
    until(
        lambda: tiles(page, "in") == ["1", "2", *map(str, range(4, 10))], "all that came is shown"
    )
    expect(page.locator("#saying")).to_have_text(re.compile("Nothing has come for"))
    assert tiles(page, "held") == [str(id) for id in range(3, 10)]
    assert page.locator("#held .missing").all_text_contents() == ["3"]
    assert tiles(page, "out") == ["1", "2"]
    expect(page.locator("#waits-for")).to_have_text("for 3")
    expect(page.locator("#gaps")).to_contain_text("3open for")
    expect(page.locator("#lines")).to_contain_text("read by 1:", timeout=15_000)
    expect(page.locator("#sinks")).to_contain_text("2 messages confirmed", timeout=15_000)

    phone = visit(**PHONE)
    expect(phone.locator("#held .missing")).to_be_in_viewport(ratio=1)
    expect(phone.locator("#held .rest")).to_have_text(re.compile(r"\+\d"))
    phone.close()

    feed.send(*frames([3]), b"<b>no message</b>")
    expect(page.locator("#state")).to_have_text("in order")
    until(
        lambda: tiles(page, "out") == [str(id) for id in range(1, 10)], "all have gone out in order"
    )
    assert tiles(page, "held") == []
    expect(page.locator("#out .freed")).to_have_text([str(id) for id in range(4, 10)])
    expect(page.locator("#sinks")).to_contain_text("all confirmed")
    expect(page.locator("#delay-text")).to_contain_text(re.compile(r"\d messages"))
    expect(page.locator("#rejects .frame")).to_have_text("<b>no message</b>")

    page.click("#pause")
    feed.send(*frames([10]))
    expect(page.locator("#next")).to_have_text("11")
    assert tiles(page, "out")[-1] == "9", "the picture stands still when it is told to"
    page.click("#pause")
    until(lambda: tiles(page, "out")[-1] == "10", "the picture goes on")

    page.close()
    settled(lambda: viewer.service.metric("viewer_looks_total"), "nobody looks, nothing is asked")


def test_a_gap_that_is_given_up_and_redis_away(redis: Server, start: Stack, visit: Open) -> None:
    """What was lost would pass without a word, or the page show the past as the present."""
    feed, endpoint = start.feed(frames([1, 3])), start.endpoint()
    start.relay(feed.url, endpoint.url, ORDERER_GAP_TIMEOUT=0.3, ORDERER_FIRST_ID=1)
    page = visit()
    expect(page.locator("#ledger")).to_contain_text("1 id, its time was up", timeout=15_000)
    expect(page.locator("#out .lost")).to_have_text("2")
    redis.freeze()
    expect(page.locator("#news")).to_have_text("Redis does not answer.")
    redis.thaw()
    expect(page.locator("#news")).to_have_text("live")


UNSEEN = """async () => {
    const { holes, steps } = await import("./sequence.js");
    const told = (gaps) => ({
        out: [["1", 10]], in: [["9", 20], ["12", 30]], next: "2", whole: false, ledger: [],
        told: { gaps },
    });
    return [[], [{ first: "2", last: "4" }, { first: "11", last: "11" }]].map((gaps) => {
        const done = steps(told(gaps));
        return [...holes(done[done.length - 1])].map(([id, { missing, whole }]) =>
            `${id} ${missing && missing.join("-")} ${whole}`);
    });
}"""


def test_what_is_not_seen_is_not_said_to_be_missing(visit: Open) -> None:
    """While many are held, those that the page has no room for would pass for lost."""
    page = visit()
    expect(page.locator("#nothing")).to_have_text("No feed has been connected yet.")
    assert page.evaluate(UNSEEN) == [
        ["9 2-2 false", "12 null false"],
        ["9 2-4 false", "12 11-11 false"],
    ]


HOSTILE = (
    b"<script>document.title = 'owned'</script>",
    b"<img src=x onerror=\"document.title = 'owned'\">",
    "\u202egnp.exe \u2067abc".encode(),
    b"w" * 4000,
    b"\xff\xfe\x00",
)


def test_hostile_text_is_text_on_a_phone(redis: Server, visit: Open) -> None:
    """A frame or a name would run as a program, or push the page out of a phone's screen."""
    client, name = redis.client, "f" * 64
    client.hset("feeds", name, name)
    for frame in HOSTILE:
        client.xadd(
            f"rejected:{{{name}}}",
            {
                "reason": "json",
                "line": "<i>line</i>" + "l" * 500,
                "size": len(frame),
                "frame": frame,
            },
        )
    client.set(f"lease:{{{name}}}:lines:<s>" + "x" * 300, "1:<u>" + "y" * 300)
    page = visit(name, **PHONE)
    shown = page.locator("#rejects .frame")
    expect(shown).to_have_count(len(HOSTILE))
    assert shown.first.inner_text() == "\ufffd\ufffd\x00"
    assert shown.last.inner_text() == HOSTILE[0].decode()
    expect(page.locator("#state")).to_have_text("nobody orders it")
    expect(page.locator("main :is(script, img, b, s, u)")).to_have_count(0)
    assert "owned" not in page.title()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_thousand_feeds_are_listed_and_filtered(redis: Server, visit: Open) -> None:
    """The page would be drowned by many feeds, or the one that is sought not be found."""
    redis.client.hset("feeds", mapping={f"feed-{at:03}": f"feed-{at:03}" for at in range(1000)})
    redis.client.set("next:{feed-177}", "somebody else's")
    page = visit("feed-001")
    expect(page.locator("#rows a")).to_have_count(100)
    expect(page.locator("#more")).to_have_text("900 more; filter to find them.")
    page.locator("#filter").press_sequentially("CANNOT 77")
    expect(page.locator("#more")).to_have_text("")
    page.locator("#filter").press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#feed")).to_have_text("feed-177")
    expect(page.locator("[aria-current=true]")).to_have_text("feed-177its keys cannot be read")
    expect(page.locator("#news")).to_have_text("What is in Redis cannot be read.")
    page.go_back()
    expect(page.locator("#feed")).to_have_text("feed-001")
    expect(page.locator("#news")).to_have_text("live")
    page.goto(page.url.partition("#")[0] + "#elsewhere")
    expect(page.locator("#nothing")).to_have_text("There is no feed called elsewhere.")
