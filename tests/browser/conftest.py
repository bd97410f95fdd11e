"""The browser that all tests here share, and the chat's page in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.browser import FLAGS, program
from tests.support.chat_page import Chat, Open, online
from tests.support.programs import needed
from tests.support.stack import Stack


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program; skips the test if it is not installed, unless CI is true."""
    return needed(program(), "chromium")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A running browser; each test opens contexts of its own."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def chat(start: Stack, tmp_path: Path) -> Chat:
    return Chat(start, tmp_path)


@pytest.fixture
def visit(browser: Browser, chat: Chat) -> Iterator[Open]:
    """Opens the page as somebody new; fails if a page's console tells of trouble."""
    contexts: list[BrowserContext] = []
    trouble: list[str] = []

    def visit(context: BrowserContext | None = None, script: str = "", **options: Any) -> Page:
        if context is None:
            context = browser.new_context(**{"locale": "en-GB", **options})
            context.set_default_timeout(15_000)
            contexts.append(context)
        if script:
            context.add_init_script(script)
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
