"""The chat's page in a browser: its server, and what tests do with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from .processes import Service
from .servers import free_port
from .stack import Stack
from .waiting import until

Open = Callable[..., Page]
"""Opens the page as somebody new."""


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
        """Start it, with these settings besides."""
        self.service: Service = self._stack.service("chat", **self._settings, **settings)
        self.service.wait_ready()


def online(page: Page) -> None:
    """Wait until a page is connected."""
    expect(page.locator("#state")).to_have_attribute("data-state", "online", timeout=15_000)


def texts(page: Page) -> list[str]:
    """List the messages that a page shows."""
    return page.locator("#messages .text").all_text_contents()


def say(page: Page, *messages: str) -> None:
    """Send messages and wait until they are in the room."""
    for message in messages:
        page.fill("#text", message)
        page.press("#text", "Enter")
    expect(page.locator(".outgoing")).to_have_count(0, timeout=15_000)


def shows(page: Page, *messages: str) -> None:
    """Wait until these are the last messages that a page shows."""
    until(lambda: texts(page)[-len(messages) :] == list(messages), f"the page shows {messages}")
