"""The chat's page for people who are in a hurry, listen, use a phone, or have many tabs."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.support.browser import PHONE
from tests.support.chat_page import Chat, Open, online, say, shows
from tests.support.waiting import until

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


def test_one_can_write_at_once(visit: Open) -> None:
    """People would have to click before they can write, or a phone's keyboard hide the room."""
    expect(visit().locator("#text")).to_be_focused()
    expect(visit(**PHONE).locator("#text")).not_to_be_focused()


def test_a_long_message_is_folded(visit: Open) -> None:
    """One message would push all others out of reach."""
    anna, boris = visit(), visit()
    long = ("x" + "\n" * 3_900 + "y", "word " * 1_500, "sixteen\n" * 15 + "lines")
    say(anna, *long)
    shows(boris, *long)
    texts_of = boris.locator("#messages .text")
    heights = [texts_of.nth(at).evaluate("(made) => made.clientHeight") for at in range(3)]
    assert max(heights[:2]) <= 320
    buttons = boris.get_by_role("button", name="Show all of it")
    expect(buttons).to_have_count(2)
    buttons.first.click()
    assert texts_of.first.evaluate("(made) => made.clientHeight") > 80_000
    boris.get_by_role("button", name="Show less").click()
    assert texts_of.first.evaluate("(made) => made.clientHeight") == heights[0]


def test_every_message_tells_its_author(visit: Open) -> None:
    """Who listens to the page instead of looking at it would not know who says what."""
    anna, boris = visit(), visit()
    say(anna, "one", "two", "three")
    shows(boris, "one", "two", "three")
    name = re.search(r"Client_\d+", anna.locator("#self").inner_text())
    assert name is not None
    snapshot = boris.locator("#log").aria_snapshot()
    assert snapshot.count(name.group()) == 3, snapshot
    tops = [box["height"] for made in boris.locator("#messages .joined").all()
            if (box := made.bounding_box())]  # fmt: skip
    assert len(tops) == 2
    assert max(tops) < 60  # for who looks the name stands there once
    assert boris.evaluate("document.documentElement.scrollHeight <= innerHeight")


def test_the_list_on_a_phone_is_a_dialog(visit: Open) -> None:
    """The focus would go on below what covers the page."""
    phone = visit(**PHONE)
    phone.click("#people")
    dialog = phone.get_by_role("dialog", name="People here")
    expect(dialog).to_be_visible()
    expect(phone.locator("#who-close")).to_be_focused()
    for key in ("Tab", "Tab", "Shift+Tab"):
        phone.keyboard.press(key)
        assert phone.evaluate("document.getElementById('who').contains(document.activeElement)")
    expect(phone.locator("[inert] #text")).to_have_count(1)  # nobody reaches what is below
    phone.keyboard.press("Escape")
    expect(phone.locator("#people")).to_be_focused()
    phone.fill("#text", "still here")
    wide = visit()
    expect(wide.locator("#who")).to_be_visible()
    expect(wide.get_by_role("dialog")).to_have_count(0)
    wide.set_viewport_size({"width": 400, "height": 700})
    expect(wide.get_by_role("dialog")).to_be_visible()
    wide.set_viewport_size({"width": 1280, "height": 700})
    expect(wide.locator("[inert]")).to_have_count(0)


def test_a_duplicated_tab_is_somebody_else(visit: Open, chat: Chat) -> None:
    """One would be counted twice and listed once, and two tabs take each other's messages."""
    anna = visit()
    say(anna, "one")
    until(
        lambda: "token" in str(anna.evaluate("sessionStorage.getItem('chat')")),
        "the tab has stored its state",
    )
    copied = json.dumps(anna.evaluate("sessionStorage.getItem('chat')"))
    twin = visit(
        anna.context, f"sessionStorage.getItem('chat') || sessionStorage.setItem('chat', {copied})"
    )
    for page in (anna, twin):
        expect(page.locator("#online")).to_have_text("2")
        expect(page.locator("#who-list li")).to_have_count(2)
    assert anna.locator("#self").inner_text() != twin.locator("#self").inner_text()
    say(twin, "two")
    shows(anna, "one", "two")
    shows(twin, "one", "two")
    expect(anna.locator("#messages .mine .text")).to_have_text(["one"])
    expect(twin.locator("#messages .mine .text")).to_have_text(["two"])
    own = anna.locator("#self").inner_text()
    anna.reload()
    online(anna)
    assert anna.locator("#self").inner_text() == own


@pytest.mark.parametrize(
    ("locale", "greeting"),
    [
        ("en-GB", "Welcome to the chat!"),
        ("uk-UA", "Ласкаво просимо до чату!"),
        ("ru-RU", "Добро пожаловать в чат!"),
    ],
)
def test_the_greeting_is_in_the_reader_s_language(
    visit: Open, chat: Chat, locale: str, greeting: str
) -> None:
    """People would be greeted in a language that they do not read."""
    expect(visit(locale=locale).locator("#messages .notice").first).to_have_text(greeting)
    chat.service.terminate()
    chat.start(CHAT_WELCOME="Hi!")
    expect(visit(locale=locale).locator("#messages .notice").first).to_have_text("Hi!")


def test_a_token_stands_in_no_address(visit: Open) -> None:
    """Whoever may read a proxy's log could speak in everybody's name."""
    anna = visit()
    say(anna, "one")
    own = anna.locator("#self").inner_text()
    addresses: list[str] = []
    anna.on("websocket", lambda socket: addresses.append(socket.url))
    until(
        lambda: "token" in str(anna.evaluate("sessionStorage.getItem('chat')")),
        "the tab has stored its state",
    )
    anna.reload()
    online(anna)
    assert anna.locator("#self").inner_text() == own
    assert addresses
    assert all("epoch=" in address and "token" not in address for address in addresses)
