"""How the log file is kept whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chat.log_file import Locked, LogFile
from chat.records import Position


def record(seq: int, epoch: int = 1) -> bytes:
    return json.dumps({"message": f"«{seq}»]\n", "seq": seq, "epoch": epoch}).encode()


def written(path: Path) -> list[int]:
    return [entry["seq"] for entry in json.loads(path.read_text())]


def test_a_log_grows_and_is_taken_up_again(tmp_path: Path) -> None:
    """Records would be lost or doubled when another process goes on writing."""
    path = tmp_path / "below" / "messages.json"
    seq = 0
    for _ in range(3):
        log = LogFile(path)
        assert log.open() == (Position(1, seq) if seq else None)
        for size in (1, 3, 2):
            log.append([record(seq + at + 1) for at in range(size)])
            seq += size
            assert written(path) == list(range(1, seq + 1))
        log.append([])
        log.close()
    assert [file.name for file in path.parent.iterdir() if file != path] == [".messages.json.lock"]


def test_what_is_shown_is_not_written_to(tmp_path: Path) -> None:
    """A reader who comes by at the wrong moment would find half a record."""
    path = tmp_path / "messages.json"
    log = LogFile(path)
    log.open()
    log.append([record(1)])
    for seq in range(2, 6):
        with path.open("rb") as reader:
            half = reader.read(5)
            log.append([record(seq)])
            assert [entry["seq"] for entry in json.loads(half + reader.read())] == list(
                range(1, seq)
            )
    log.close()


def test_only_one_writes(tmp_path: Path) -> None:
    """Two processes would write over each other."""
    first, second = (LogFile(tmp_path / "messages.json") for _ in range(2))
    first.open()
    with pytest.raises(Locked):
        second.open()
    first.close()
    assert second.open() is None
    second.close()


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        (b"[\n%s,\n%s\n" % (record(1), record(2)), [1, 2]),
        (b'[\n%s,\n%s,\n{"mess' % (record(1), record(2)), [1, 2]),
        (b"[\n%s,\n%s" % (record(1), record(2)[:-3]), [1]),
        (b"[\n%s,\n%s\n]" % (record(1), record(2)), [1, 2]),
        (b"[\n%s\n]\n\0\0\0" % record(1), [1]),
        (b"[]", []),
        (b"", []),
        (b" [\n]\n", []),
    ],
)
def test_a_log_that_was_cut_is_mended(tmp_path: Path, left: bytes, kept: list[int]) -> None:
    """After a power failure the log would be unreadable for ever."""
    path = tmp_path / "messages.json"
    path.write_bytes(left)
    log = LogFile(path)
    assert log.open() == (Position(1, kept[-1]) if kept else None)
    log.append([record(9)])
    assert written(path) == [*kept, 9]
    log.append([record(10)])
    assert written(path) == [*kept, 9, 10]
    log.close()


def test_a_file_that_is_no_log_is_put_aside(tmp_path: Path) -> None:
    """Somebody's file would be overwritten, or no log be written at all."""
    path = tmp_path / "messages.json"
    path.write_text("my notes\n")
    log = LogFile(path)
    assert log.open() is None
    assert log.broken is not None
    assert log.broken.read_text() == "my notes\n"
    log.append([record(1)])
    assert written(path) == [1]
    log.close()


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        (b"", []),
        (b"[]", []),
        (b"[\n%s\n]\n" % record(7), [7]),
        (b"[\n%s,\n%s" % (record(7), record(8)[:5]), [7]),
    ],
)
@pytest.mark.parametrize("replaced", [False, True])
def test_other_hands_may_touch_the_log(
    tmp_path: Path, left: bytes, kept: list[int], replaced: bool
) -> None:
    """A log that somebody cut or replaced while it is written would be unreadable from then on."""
    path = tmp_path / "messages.json"
    log = LogFile(path)
    log.open()
    for seq in (1, 2, 3):
        log.append([record(seq)])
    if replaced:
        path.unlink()
    path.write_bytes(left)
    for seq in (10, 11, 12):
        log.append([record(seq)])
        assert written(path) == [*kept, *range(10, seq + 1)]
    log.close()


def test_a_log_that_was_taken_away_begins_anew(tmp_path: Path) -> None:
    """Who removes the log to begin a new one would get it back, or get none."""
    path = tmp_path / "messages.json"
    log = LogFile(path)
    log.open()
    for seq in (1, 2, 3):
        log.append([record(seq)])
    path.unlink()
    for seq in (4, 5, 6):
        log.append([record(seq)])
    assert written(path) == [4, 5, 6]
    log.close()


@pytest.mark.parametrize("restarted", [False, True])
def test_a_log_that_would_be_too_long(tmp_path: Path, *, restarted: bool) -> None:
    """A log would fill the disk, or lose records where one file ends and the next begins."""
    path, former = tmp_path / "messages.json", tmp_path / "messages.json.1"
    log = LogFile(path, most=200)
    log.open()
    seen: list[int] = []
    for seq in range(1, 31):
        log.append([record(seq)])
        if former.exists():
            kept = written(former)
            assert kept[-1] + 1 == written(path)[0]
            seen += [old for old in kept if old not in seen]
        assert path.stat().st_size <= 200
        if restarted:
            log.close()
            log = LogFile(path, most=200)
            assert log.open() == Position(1, seq)
    assert seen + written(path) == list(range(1, 31))
    log.close()


def test_a_crash_between_two_logs(tmp_path: Path) -> None:
    """All that Redis still has would be written a second time."""
    path = tmp_path / "messages.json"
    log = LogFile(path)
    log.open()
    log.append([record(1), record(2)])
    log.close()
    path.rename(tmp_path / "messages.json.1")
    assert LogFile(path).open() == Position(1, 2)


def test_a_record_that_is_too_long_by_itself(tmp_path: Path) -> None:
    """It would never be written, and nothing after it."""
    path = tmp_path / "messages.json"
    log = LogFile(path, most=10)
    log.open()
    for seq in (1, 2, 3):
        log.append([record(seq)])
        assert written(path) == [seq]
    log.close()
