"""Which feeds get a lane of their own."""

from __future__ import annotations

import pytest

from ingestor.settings import own
from relay.lanes import Own


def test_how_many_and_which() -> None:
    """A feed that must not wait for others would have to."""
    assert own("16") == Own(16, ())
    assert own("0") == Own(0, ())
    assert own(" 2  trades quotes trades ") == Own(2, ("trades", "quotes"))


@pytest.mark.parametrize("value", ["trades", "-1", "1.5", "16 a=b", "2 " + "x" * 65, "16,trades"])
def test_a_mistake_is_told(value: str) -> None:
    """A name that no feed can have would be accepted in silence."""
    with pytest.raises(ValueError, match="is not "):
        own(value)
