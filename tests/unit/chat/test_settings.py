"""What the settings make of a text."""

from __future__ import annotations

import pytest

from chassis.settings import SettingsError, load
from chat.settings import Settings


def test_settings_are_checked() -> None:
    """A mistake in the settings would show when somebody is refused for it."""
    wrong = {"CHAT_ORIGINS": "chat.example", "CHAT_PROXIES": "10.0.0.0/99", "CHAT_COLOUR": "red"}
    with pytest.raises(SettingsError) as error:
        load(Settings, "chat", wrong)
    assert len(error.value.mistakes) == 3
    chosen = load(Settings, "chat", {"CHAT_ORIGINS": "same https://Page.example"})
    assert chosen.origins == ("same", "https://page.example")
