"""The log file in places that are not quite a file in a directory."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chat.log_file import Locked, LogFile
from chat.records import Position
from tests.support.processes import ROOT


def record(seq: int) -> bytes:
    return b'{"message":"%d","seq":%d,"epoch":1}' % (seq, seq)


def written(path: Path) -> list[int]:
    return [entry["seq"] for entry in json.loads(path.read_text())]


WRITES = """
import sys
from pathlib import Path
from chat.log_file import LogFile

def record(seq):
    return b'{"message":"%d","seq":%d,"epoch":1}' % (seq, seq)

log = LogFile(Path(sys.argv[1]), float(sys.argv[2]))
print(log.open())
for seq in map(int, sys.argv[3:]):
    try:
        log.append([record(seq)])
    except OSError as error:
        print(error.errno)
log.close()
"""


def in_mounts(mounts: str, path: Path, *arguments: object) -> list[str]:
    """Write records in a process that has these mounts to itself; returns what it prints."""
    script = f'{mounts} && exec "$@"'
    inside = ["sh", "-ec", script, "sh", sys.executable, "-c", WRITES, str(path)]
    alone = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mounts of one's own here")
    command = [*alone, *inside, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("begun", [False, True])
def test_a_link_stays_a_link(tmp_path: Path, *, begun: bool) -> None:
    """The log would be written beside the disk that it was meant for, and the link be gone."""
    target = tmp_path / "disk" / "chat.json"
    target.parent.mkdir()
    if begun:
        target.write_bytes(b"[\n%s\n]\n" % record(1))
    link = tmp_path / "messages.json"
    link.symlink_to(target)
    log = LogFile(link, most=150)
    assert log.open() == (Position(1, 1) if begun else None)
    for seq in range(2, 9):
        log.append([record(seq)])
        assert link.is_symlink()
        assert written(target)[-1] == seq
    log.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["disk", "messages.json"]
    assert target.with_name("chat.json.1").exists()


@pytest.mark.parametrize("left", [b"", b"[]\n", b"[\n%s\n]\n" % record(1)])
def test_a_mounted_file_is_written_to_in_its_place(tmp_path: Path, left: bytes) -> None:
    """With Docker's `-v file:file` nothing at all would be written."""
    outside, inside = tmp_path / "outside.json", tmp_path / "messages.json"
    outside.write_bytes(left)
    inside.touch()
    mounts = f"mount --bind {outside} {inside}"
    begun = bool(left.strip(b"[]\n"))
    said = in_mounts(mounts, inside, 1e9, 2, 3, 4)
    assert said == [str(Position(1, 1) if begun else None)]
    assert written(outside) == [*([1] if begun else []), 2, 3, 4]
    # What a crash, or other hands, left there is mended in its place, too.
    outside.write_bytes(outside.read_bytes()[:-6])
    assert in_mounts(mounts, inside, 1e9, 5) == [str(Position(1, 3))]
    assert written(outside)[-2:] == [3, 5]
    assert in_mounts(mounts, inside, 150, 6, 7, 8) == [str(Position(1, 5))]
    kept = written(tmp_path / "messages.json.1") + written(outside)
    assert kept[-3:] == [6, 7, 8]
    assert outside.stat().st_size <= 150


def test_a_full_disk_is_left_to_others(tmp_path: Path) -> None:
    """Half a copy of the log would take the last bytes of a disk that others need, too."""
    outside = tmp_path / "then"
    path = tmp_path / "disk" / "messages.json"
    path.parent.mkdir()
    outside.write_bytes(b"[\n%s\n]\n" % b",\n".join(record(seq) for seq in range(1, 4_000)))
    size = outside.stat().st_size
    mounts = (
        f"mount -t tmpfs -o size={size * 3 // 2} tmpfs {path.parent} && cp {outside} {path} && "
        f'trap \'ls -A {path.parent}; cp {path} {outside}\' EXIT && set -- env "$@" && "$@"; exit'
    )
    said = in_mounts(mounts, path, 1e9, 4_000, 4_001)
    assert said[0] == str(Position(1, 3_999))
    assert said[1:3] == ["28", "28"]
    assert sorted(said[3:]) == [".messages.json.lock", "messages.json"]
    assert written(outside)[-1] == 3_999


def test_a_log_that_somebody_else_has_begun_anew(tmp_path: Path) -> None:
    """All that Redis still has would be written a second time after logrotate and a restart."""
    path = tmp_path / "messages.json"
    (tmp_path / "messages.json.1").write_bytes(b"[\n%s\n]\n" % record(7))
    path.touch()
    log = LogFile(path)
    assert log.open() == Position(1, 7)
    log.append([record(8)])
    assert written(path) == [8]
    log.close()


def test_whose_log_it_is(tmp_path: Path) -> None:
    """Somebody who may only read could keep the log from being written; or anybody read it."""
    path = tmp_path / "messages.json"
    lock = tmp_path / ".messages.json.lock"
    lock.touch(0o644)
    log = LogFile(path)
    log.open()
    log.append([record(1)])
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    path.chmod(0o640)
    for seq in (2, 3, 4):
        log.append([record(seq)])
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    log.close()
    other = os.open(lock, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with pytest.raises(Locked):
        log.open()
    os.close(other)
    assert json.loads(path.read_text())
