"""The chat's page in a real browser, on a real server."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, WebSocketRoute, expect
from websockets.sync.client import connect

from tests.support.browser import AGED, PHONE
from tests.support.chat_page import Chat, Open, online, say, shows, texts
from tests.support.stack import Stack
from tests.support.waiting import until

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


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
        question = {"expression": expression, "returnByValue": True}
        # What is asked while the tab changes its dead process for a new one may get no answer.
        with suppress(Error):
            return tab.send("Runtime.evaluate", question, timeout=2000)["result"].get("value")
        return None

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


SHAPES = ("'", "]", "[", "']", "[]", "a'", "a]", "'a", "(])", "…»")
"""What is repeated within an address to make the search for its end long."""

READS = """
    async ([shape, times]) => {
        const { end } = await import("./links.js");
        const characters = ["https://a.example/", shape.repeat(times)].join("");
        let reads = 0;
        const counting = { get: (of, name) => ((reads += 1), of[name]) };
        end(new Proxy({ ...characters, length: characters.length }, counting));
        return reads / characters.length;
    }
"""


def test_the_end_of_an_address_is_found_in_one_go(visit: Open) -> None:
    """One message would freeze every open page, and each that is opened later, for minutes."""
    anna = visit()
    for shape in SHAPES:
        short, long = (anna.evaluate(READS, [shape, times]) for times in (500, 50_000))
        assert long <= 1.1 * short <= 10, shape
    say(
        anna,
        "https://a.example/" + "'" * 3000 + "a" + "]" * 1500,
        "https://b.example/" + "b" * 2100,
    )
    say(anna, "https://c.example/(" + ")'" * 100)
    expect(anna.locator("#messages a")).to_have_text(["https://c.example/()"])


ODD: tuple[Any, ...] = (
    None, 7, "x", [], {}, {"seq": None}, {"seq": "1"}, {"seq": 1e300}, {"seq": [1]},
    {"seq": -1, "sender": "client"},
    {"seq": -2, "sender": "client", "client_id": {}, "message": {}, "time": {}},
    {"seq": -3, "sender": "client", "client_id": None, "message": None, "time": None},
    {"seq": -4, "sender": "client", "client_id": "9" * 10**6 + "x", "message": 1, "time": -1e99},
    {"seq": -5, "sender": "server", "message": [], "time": "-271821-04-20T00:00:00Z"},
    {"seq": -6, "sender": 7, "client_id": 7, "message": True, "time": "275760-09-13T00:00:00Z"},
)  # fmt: skip

DEEP = '{"seq": -7, "sender": "client", "message": ' + "[" * 9999 + "]" * 9999 + "}"


def test_a_bad_record_harms_only_itself(visit: Open, browser: Browser, chat: Chat) -> None:
    """One record that is none would empty the page of everybody, and again at each reload."""
    anna = visit()
    say(anna, "one")
    with browser.new_context(locale="en-GB") as context:
        boris = context.new_page()

        def infect(route: WebSocketRoute) -> None:
            server = route.connect_to_server()

            def forward(message: str | bytes) -> None:
                frame = json.loads(message)
                if frame["type"] == "history":
                    odd = ", ".join([*map(json.dumps, ODD), DEEP])
                    message = str(message).replace('"records":[', f'"records":[{odd},', 1)
                route.send(message)
                for record in ODD:
                    route.send(json.dumps(record))

            server.on_message(forward)

        boris.route_web_socket(re.compile(""), infect)
        boris.goto(chat.url)
        online(boris)
        for text in ("two", "three"):
            say(boris, text)
            shows(anna, text)
        assert texts(boris)[-3:] == ["one", "two", "three"]
        assert len(texts(boris)) == len(texts(anna)) + 4
        boris.reload()
        online(boris)
        assert texts(boris)[-3:] == ["one", "two", "three"]


def test_a_state_that_was_not_stored_well_is_forgotten(visit: Open) -> None:
    """A tab would stay blank at each reload until somebody closes it."""
    anna = visit()
    say(anna, "one")
    for state in ('{"room": {"records": 7, "mine": 7}, "outbox": 7}', "7", "{", '{"room": null}'):
        # The page stores its own when it goes, so what is stored is changed before it looks.
        anna.add_init_script(f"sessionStorage.setItem('chat', {json.dumps(state)})")
        anna.reload()
        online(anna)
        shows(anna, "one")


def test_a_browser_of_2021_is_enough(visit: Open) -> None:
    """Whose phone is some years old would see an empty page."""
    anna, boris = visit(script=AGED), visit()
    say(boris, "see https://example.org/a.")
    shows(anna, "see https://example.org/a.")
    expect(anna.locator("#messages a")).to_have_text(["https://example.org/a"])
    say(anna, "thanks")
    shows(boris, "thanks")
    expect(anna.locator("#who-list li")).to_have_count(2)
    anna.reload()
    online(anna)
    shows(anna, "see https://example.org/a.", "thanks")


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
            WebSocket.prototype.send = function (frame) {
                const said = JSON.parse(frame).type === "message"; // it also asks who is here
                send.call(this, said ? '{"type":"goodbye"}' : frame);
                if (said) WebSocket.prototype.send = send;
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
