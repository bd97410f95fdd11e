"""The client's bookkeeping: where to resume, what to send again, what has been seen."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chat.client.room import BREAKS, PAUSE_CAP, Outbox, Room
from chat.client.stats import Stats


def record(seq: int, client: str = "Client_9") -> dict[str, Any]:
    return {"seq": seq, "client_id": client, "message": str(seq), "sender": "client"}


def enter(
    room: Room, records: list[dict[str, Any]], epoch: int = 1, **welcome: Any
) -> tuple[list[Any], bool]:
    room.connecting()
    latest = max((entry["seq"] for entry in records), default=0)
    room.welcome({"client_id": "Client_1", "epoch": epoch, "seq": latest, **welcome})
    fresh, gap = room.history(records)
    return list(fresh), gap


def test_a_newcomer_asks_for_nothing_and_then_resumes() -> None:
    """A client would miss, or get twice, what was said while it was away."""
    room = Room()
    assert room.query == ""
    _, gap = enter(room, [record(4), record(5)], epoch=7, recovered=None)
    assert room.query == "?epoch=7&seq=5"
    assert not gap


def test_an_empty_room_can_be_resumed() -> None:
    """What was said while the first visitor was away would be lost to it."""
    room = Room()
    enter(room, [], epoch=3, seq=0)
    assert room.query == "?epoch=3&seq=0"


def test_the_position_waits_for_the_history() -> None:
    """A connection that breaks after the greeting would skip all that the greeting counted."""
    room = Room()
    enter(room, [record(1)])
    room.connecting()
    room.welcome({"client_id": "Client_2", "epoch": 1, "seq": 50, "recovered": True})
    assert not room.ready
    assert room.query == "?epoch=1&seq=1"


def test_what_comes_twice_is_dropped() -> None:
    """A message would be shown twice after a reconnect."""
    room = Room()
    enter(room, [record(1), record(2)])
    fresh, gap = enter(room, [record(2), record(3)], recovered=True)
    assert [entry["seq"] for entry in fresh] == [3]
    assert not gap
    assert not room.accept(record(3))
    assert room.accept(record(4))


def test_a_gap_is_told() -> None:
    """Messages would be missing silently."""
    room = Room()
    enter(room, [record(1)])
    assert enter(room, [record(90)], recovered=False)[1]
    assert enter(room, [record(91)], recovered=None)[1]


def test_a_new_epoch_begins_anew() -> None:
    """After Redis lost its data new messages would be taken for old ones, or for ours."""
    room = Room()
    enter(room, [record(1, "Client_1"), record(2)])
    assert room.own(record(1, "Client_1"))
    room.connecting()
    room.welcome({"client_id": "Client_5", "epoch": 2, "seq": 1, "recovered": False})
    fresh, _ = room.history([record(1, "Client_1")])
    assert len(fresh) == 1
    assert not room.own(fresh[0])
    assert room.query == "?epoch=2&seq=1"


def test_messages_go_out_one_by_one() -> None:
    """A refused message would be overtaken by the next."""
    outbox = Outbox()
    outbox.add("a", "k1")
    outbox.add("b", "k2")
    first = outbox.due(0.0)
    assert first is not None
    first.sent_at = 1.0
    assert outbox.due(1.0) is None
    assert outbox.acknowledged("k2", 1.5) is None
    assert outbox.acknowledged("k1", 1.5) == 0.5
    second = outbox.due(2.0)
    assert second is not None
    assert second.text == "b"


def test_a_refusal_waits_or_ends_it() -> None:
    """A message refused for the moment would be lost, or one refused for good sent for ever."""
    outbox = Outbox()
    outbox.add("a", "k")
    now = 0.0
    for pause, wait in ((None, 1.0), (None, 2.0), (5.0, 5.0), (None, 8.0), (None, PAUSE_CAP)):
        now += 100
        outgoing = outbox.due(now)
        assert outgoing is not None
        outgoing.sent_at = now
        assert outbox.refused("k", True, now, pause) is None
        assert outbox.due(now + wait - 0.1) is None
        assert outbox.due(now + wait) is outgoing
    last = outbox.items[0]
    last.sent_at = now
    assert outbox.refused("other", False, now) is None
    assert outbox.refused(None, False, now) is last
    assert not outbox


def test_a_message_that_breaks_connections_is_given_up() -> None:
    """One message that the server cannot bear would keep the client from ever coming back."""
    outbox = Outbox()
    outbox.add("bad", "k1")
    outbox.add("good", "k2")
    given_up = None
    for _ in range(BREAKS):
        assert given_up is None
        outgoing = outbox.due(0.0)
        assert outgoing is not None
        outgoing.sent_at = 0.0
        given_up = outbox.disconnected()
    assert given_up is not None
    assert given_up.text == "bad"
    assert len(outbox) == 1
    assert outbox.disconnected() is None


@given(st.lists(st.lists(st.booleans(), max_size=4), max_size=12))
def test_every_record_is_shown_once_in_order(visits: list[list[bool]]) -> None:
    """Whenever the connection breaks, a message would be missing or doubled.

    Each visit: does the history arrive, and how many live records before it breaks.
    """
    room = Room()
    log: list[dict[str, Any]] = []
    shown: list[int] = []
    for visit in visits:
        log.append(record(len(log) + 1))
        room.connecting()
        resumed = room.seq
        room.welcome({"client_id": "Client_1", "epoch": 1, "seq": len(log), "recovered": True})
        if not (visit and visit[0]):
            continue
        fresh, gap = room.history(log[resumed or 0 :])
        assert not gap
        shown += [entry["seq"] for entry in fresh]
        for _ in visit[1:]:
            log.append(record(len(log) + 1))
            assert room.accept(log[-1])
            shown.append(log[-1]["seq"])
    assert shown == list(range(1, len(shown) + 1))


def test_percentiles_are_of_the_round_trips() -> None:
    """`/stats` would tell wrong figures."""
    stats = Stats()
    assert "no acknowledgement yet" in "\n".join(stats.lines(0.0, 0))
    stats.connected(100.0)
    for milliseconds in range(1, 101):
        stats.acknowledged(milliseconds / 1000)
    told = "\n".join(stats.lines(167.0, 2))
    assert "connected for 1 min 07 s" in told
    assert "out: 100, waiting: 2" in told
    assert "50.0 ms (median), 99.0 ms (p99)" in told


def test_a_history_may_come_in_parts() -> None:
    """After a long absence all but the first part would be taken for the end of it."""
    room = Room()
    enter(room, [record(1)])
    room.connecting()
    room.welcome({"client_id": "Client_1", "epoch": 1, "seq": 5, "recovered": False})
    assert room.history([record(2), record(3)], more=True)[1]
    assert not room.ready
    assert room.query == "?epoch=1&seq=3"
    fresh, gap = room.history([record(4)])
    assert [entry["seq"] for entry in fresh] == [4]
    assert not gap
    assert room.ready


def test_a_client_proves_that_it_is_the_same() -> None:
    """After a reconnect a message sent again would be taken for another one's."""
    room = Room()
    assert room.protocols == []
    enter(room, [record(1)], token="Client_1.a0")
    assert room.query == "?epoch=1&seq=1"  # which proxies log
    assert room.protocols == ["chat", "token.Client_1.a0"]
    enter(room, [record(1)], token="a b&c")
    assert room.protocols == []
