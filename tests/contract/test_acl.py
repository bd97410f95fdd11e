"""The users of Redis in docker-compose.yml: each may do what its service does, and no more."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from websockets.sync.client import connect

from tests.support import http, servers, streams, wisdom
from tests.support.processes import Service, command
from tests.support.programs import needed
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("ingestor", "orderer", "publisher", "chat", "wisdom", "viewer")
PASSWORDS = {f"REDIS_PASSWORD_{name.upper()}": f"{name}-password" for name in (*SERVICES, "admin")}


def users() -> str:
    """Read the users' rules, with our passwords in them."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    text: str = compose["services"]["redis"]["environment"]["USERS"]

    def value(match: re.Match[str]) -> str:
        name, how, other = match.groups()
        password = PASSWORDS.get(name)
        if how == ":+":
            return other if password else ""
        return password or other

    return re.sub(r"\$\{([A-Z_]+)(:[-+])([^}]*)\}", value, text)


class Guarded(Server):
    """A server with those users, which keeps its data; the tests' own client is `admin`."""

    def __init__(self, program: str, directory: Path) -> None:
        rules = directory / "users.acl"
        rules.write_text(users())
        super().__init__(program, directory, {"aclfile": str(rules), "appendonly": "yes"})

    @property
    def url(self) -> str:
        """Where the server is, for `admin`."""
        return self.url_of("admin")

    @url.setter
    def url(self, url: str) -> None:
        self._url = url

    def url_of(self, user: str) -> str:
        """Tell where the server is, for `user`."""
        return self._url.replace("//", f"//{user}:{user}-password@")

    def refused(self) -> list[str]:
        """List what was refused since the start, as `user: object (reason)`.

        But for the library's wish to tell its name, which Redis 7.0 does not know.
        """
        entries: Any = self.client.acl_log()
        return [
            f"{entry['username']}: {entry['object']} ({entry['reason']})"
            for entry in entries
            if entry["object"] != "client|setinfo"
        ]


@pytest.fixture(
    params=[pytest.param(servers.KINDS[0], marks=pytest.mark.redis_server), *servers.KINDS[1:]]
)
def redis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Guarded]:
    """A server of each kind."""
    running = Guarded(needed(servers.binary(request.param), request.param), tmp_path)
    try:
        yield running
    finally:
        running.close()


def talk(port: int) -> None:
    """Make a chat do all it can: greet, write down, answer, repeat, resume."""
    url = f"ws://127.0.0.1:{port}/"
    with connect(url) as client, connect(f"{url}playground") as tester:
        welcome = json.loads(client.recv(timeout=10))
        for said in ('{"type":"message","message":"hi","key":"1"}', '{"type":"who"}'):
            client.send(said)
            client.send(said)
        awaited = {"ack": 2, "who": 2}
        while any(awaited.values()):
            kind = json.loads(client.recv(timeout=10))["type"]
            if kind in awaited:
                awaited[kind] -= 1
        client.send('{"type":"goodbye"}')
        tester.send("hello")
        assert tester.recv(timeout=10)
    token = welcome["token"]
    with connect(f"{url}?epoch={welcome['epoch']}&seq={welcome['seq']}&token={token}") as client:
        assert json.loads(client.recv(timeout=10))["recovered"] is True


def listen(port: int) -> None:
    """Make a wisdom service do all that a client can ask of it."""
    with connect(f"ws://127.0.0.1:{port}/") as client:
        own = json.loads(client.recv(timeout=10))["payload"]["id"]
        for event in ("connect", "subscribe", "ping"):
            client.send(json.dumps({"type": event, "payload": {"id": own}}))
        kinds = [json.loads(client.recv(timeout=10))["type"] for _ in range(3)]
        assert kinds == ["subscribe_confirmation", "wisdom_distribution", "wisdom_distribution"]


def wait_for_quotes(replicas: Sequence[Service], what: str) -> None:
    """Wait until more quotes have been published."""

    def published() -> float:
        return sum(replica.metric("wisdom_quotes_total") for replica in replicas)

    before = published()
    until(lambda: published() > before, what)


@pytest.mark.slow
def test_services_may_do_all_that_they_do(redis: Guarded, start: Stack, tmp_path: Path) -> None:
    """In containers a service would fail at a command, perhaps at one that is seldom needed."""
    simulator = start.simulator(
        RATE=2000, REORDER=0.2, LOSSES=0.005, REPEATS=0.01, GARBAGE=0.01, RESTART_EVERY=2500
    )
    oversized = start.feed([b"x" * (1024 * 1024 + 1)])
    endpoint = start.endpoint()

    def run(service: str, **settings: object) -> None:
        start.service(service, REDIS_URL=redis.url_of(service), **settings)

    run("publisher", PUBLISHER_URL=f"{simulator.endpoint_url} {endpoint.url}", PUBLISHER_RETAIN=500)
    for _ in range(2):
        run("orderer", ORDERER_GAP_TIMEOUT=0.2)
    run("ingestor", INGESTOR_URL=f"{simulator.feed_url} {oversized.url}")
    run("chat", CHAT_HOST="127.0.0.1", CHAT_PORT=0, CHAT_LOG_FILE=tmp_path / "messages.json")
    chat = start.services[-1]
    chat.wait_ready()
    talk(chat.wait_for("chat listens")["port"])
    sages = [wisdom.replica(start, REDIS_URL=redis.url_of("wisdom")) for _ in range(2)]
    for sage in sages:
        listen(wisdom.port(sage))

    client = redis.client
    until(lambda: streams.gaps(client), "a gap is given up")
    until(lambda: int(streams.order(client).get("epoch", 0)) > 1, "a new numbering is recognised")
    run("viewer", VIEWER_HOST="127.0.0.1", VIEWER_PORT=0)
    port = start.services[-1].wait_for("viewer listens")["port"]
    until(lambda: http.get(port, "/feeds/default").status == 200, "the relay can be looked at")
    assert http.get(port, "/feeds").status == 200
    reasons = {"oversized", "json"}
    until(lambda: {kept.reason for kept in streams.rejected(client)} >= reasons, "frames are kept")
    client.script_flush()
    simulator.wait_for_more(1000, "messages flow without the scripts")
    wait_for_quotes(sages, "quotes come without the scripts")
    for verb in ("status", "skip", "reset", "status"):
        ended = command("orderer", verb, REDIS_URL=redis.url_of("orderer"))
        assert "permission" not in ended.stderr
    simulator.wait_for_more(1000, "messages flow after the operator")
    assert redis.refused() == []

    redis.restart()
    simulator.wait_for_more(1000, "messages flow after a restart")
    wait_for_quotes(sages, "quotes come after a restart")
    client.flushall()
    simulator.wait_for_more(1000, "messages flow after a loss of data")
    wait_for_quotes(sages, "quotes come after a loss of data")
    for service in start.services:
        service.terminate()
    assert redis.refused() == []


def test_feeds_may_share_a_lane(redis: Guarded, start: Stack) -> None:
    """In containers the seventeenth feed would stand still: its keys are called otherwise."""
    client, endpoint, feed = redis.client, start.endpoint(), start.feed([b"{", b'{"id":1}'])
    large = start.feed([b"x" * (1024 * 1024 + 1)])
    urls = {"INGESTOR_URL": f"a={feed.url} b={large.url}", "PUBLISHER_URL": f"a={endpoint.url}"}
    for service in ("ingestor", "orderer", "publisher"):
        start.service(service, REDIS_URL=redis.url_of(service), INGESTOR_OWN_LANES=0,
                      ORDERER_FIRST_ID=1, **urls)  # fmt: skip
    until(lambda: list(endpoint.messages) == [b'{"id":1}'], "a message has gone out")
    until(lambda: client.hget("confirmed:{+0}", "a") == b"1", "its position is saved")
    until(lambda: client.exists("rejected:{+0}:a", "rejected:{+1}:b") == 2, "bad frames are kept")
    start.service(
        "viewer", REDIS_URL=redis.url_of("viewer"), VIEWER_HOST="127.0.0.1", VIEWER_PORT=0
    )
    port = start.services[-1].wait_for("viewer listens")["port"]
    assert http.get(port, "/feeds/a").status == 200
    assert redis.refused() == []


def test_a_feed_may_be_forgotten(redis: Guarded, start: Stack) -> None:
    """In containers the verb would stop in the middle, or publishers where feeds share a lane."""
    client, endpoint = redis.client, start.endpoint()
    for feed, lane in (("own", "own"), ("a", "+0"), ("b", "+0")):
        client.hset("feeds", feed, lane)
        part: list[str | int | bytes] = [] if feed == lane else ["feed", feed]
        part += ["t", 9, "line", "x", "conn", "y", "up", 0, "0", b'{"id":1}', "1", b"{"]
        client.execute_command("XADD", f"raw:{{{lane}}}", "*", *part)
    start.service("orderer", REDIS_URL=redis.url_of("orderer"), ORDERER_FIRST_ID=1)
    until(lambda: client.xlen("ordered:{+0}") == 2 and client.xlen("ordered:{own}"), "it is out")
    urls = " ".join(f"{feed}={endpoint.url}" for feed in ("own", "a", "b"))
    publisher = start.service(
        "publisher", REDIS_URL=redis.url_of("publisher"), PUBLISHER_URL=urls
    )  # fmt: skip
    until(lambda: len(client.hgetall("confirmed:{+0}")) == 2, "positions are saved")
    client.hset("confirmed:{+0}", ":aside", "9 a")
    client.hset("sink:{+0}:a:x", "serial", 1)
    client.xadd("aside:{+0}:a:x", {"t": 1})
    client.incr("fence:{own}:lines:0")
    assert publisher.terminate() == 0
    for feed in ("own", "a", "b"):
        ended = command("orderer", "forget", feed, "--force", REDIS_URL=redis.url_of("orderer"))
        assert ended.returncode == 0, ended.stderr
    assert client.hgetall("feeds") == {}
    assert not client.keys("*:a*")
    assert not client.hget("confirmed:{+0}", ":aside")
    assert redis.refused() == []


FOREIGN = {
    "ingestor": [
        "XADD ordered:{default} 9-9 t 1",
        "HSET order:{default} next 1",
        "DEL raw:{default}",
        "XTRIM raw:{default} MAXLEN 0",
        "DEL lease:{default}:orderer",
        "HSET confirmed:{default} default 9",
        "HGETALL sink:{default}:x",
    ],
    "orderer": [
        "XADD raw:{default} * a b",
        "HSET feeds default other",
        "DEL feeds",
        "UNLINK lease:{default}:publisher",
        "UNLINK fence:{default}:publisher",
        "HSET sink:{default}:x position 9-9",
        "DEL lease:{default}:lines:0",
        "INCR fence:{default}:publisher",
    ],
    "publisher": [
        "XADD ordered:{default} 9-9 t 1",
        "DEL ordered:{default}",
        "XRANGE raw:{default} - +",
        "HSET order:{default} next 1",
        "DEL lease:{default}:orderer",
        "HSET feeds default other",
    ],
}
FOREIGN["chat"] = [
    "XADD ordered:{default} 9-9 t 1",
    "HGETALL feeds",
    "DEL chat:{main}:log",
    "XTRIM ordered:{default} MAXLEN 0",
    "PUBLISH elsewhere x",
    "DEL lease:{default}:orderer",
]
FOREIGN["wisdom"] = [
    "XADD ordered:{default} 9-9 t 1",
    "HGETALL feeds",
    "DEL quotes:{wisdom}",
    "XTRIM quotes:{wisdom} MAXLEN 0",
    "XRANGE chat:{main}:log - +",
    "DEL lease:{playground}:tick",
    "ZINCRBY replicas:chat 1 x",
]
FOREIGN["viewer"] = [
    "XADD raw:{default} * a b",
    "XTRIM ordered:{default} MAXLEN 0",
    "HSET order:{default} next 1",
    "HSET sink:{default}:x position 9-9",
    "HSET confirmed:{default} default 9",
    "DEL lease:{default}:orderer",
    "HSET feeds x x",
    "XRANGE chat:{main}:log - +",
]
for _service in ("ingestor", "orderer", "publisher", "wisdom", "viewer"):
    FOREIGN[_service] += ["PUBLISH chat:{main} x", "SUBSCRIBE chat:{main}"]
for _service in ("ingestor", "orderer", "publisher", "chat", "viewer"):
    FOREIGN[_service] += ["PUBLISH wisdom x", "SUBSCRIBE wisdom", "XADD quotes:{wisdom} * m x"]
DANGEROUS = [
    "FLUSHALL",
    "FLUSHDB",
    "CONFIG GET *",
    "CONFIG SET maxmemory 1",
    "KEYS *",
    "SCAN 0",
    "ACL LIST",
    "SCRIPT FLUSH",
    "EVAL return(1) 0",
    "CLIENT LIST",
    "SHUTDOWN",
    "REPLICAOF 127.0.0.1 1",
    "GET anything",
]


PERMITTED = {"viewer": {"SCAN 0"}, "orderer": {"SCAN 0"}}
"""What else would be dangerous: no list names the sinks, so who shows them, or forgets a feed,
looks for their keys."""


@pytest.mark.parametrize("service", SERVICES)
def test_services_may_do_nothing_else(redis: Guarded, service: str) -> None:
    """A service that was taken over could destroy or forge what the others rely on."""
    client = streams.connect(redis.url_of(service))
    assert client.ping()
    dangerous = [attempt for attempt in DANGEROUS if attempt not in PERMITTED.get(service, ())]
    for attempt in [*FOREIGN[service], *dangerous]:
        with pytest.raises(NoPermissionError):
            client.execute_command(*attempt.split())
    client.close()


def test_a_removed_feed_may_be_drained(redis: Guarded, start: Stack, tmp_path: Path) -> None:
    """In containers its endpoint would be held on to for ever."""
    endpoint, file = start.endpoint(), tmp_path / "feeds.toml"
    other = "[feed.other]\nurl = 'ws://f/'\n"
    gone = f"[feed.gone]\nurl = 'ws://f/'\n[feed.gone.endpoint.shop]\nurl = '{endpoint.url}'\n"
    file.write_text(other + gone)
    publisher = start.service(
        "publisher", FEEDS_FILE=file, REDIS_URL=redis.url_of("publisher"), PUBLISHER_DRAIN_TIMEOUT=1
    )
    streams.write_raw(redis.client, [], feed="gone")
    redis.client.hset("order:{gone}", "seen", "9999999999999-0")
    streams.write_run(redis.client, streams.frames([1]), feed="gone")
    until(lambda: list(endpoint.messages) == streams.frames([1]), "it is sent")
    file.write_text(other)
    os.kill(publisher.pid, signal.SIGHUP)
    publisher.wait_for("drained", feed="gone")
    assert redis.refused() == []


def test_a_script_may_not_do_more_than_its_user(redis: Guarded) -> None:
    """A service could do through a script what it may not do itself."""
    client = streams.connect(redis.url_of("ingestor"))
    script = client.script_load("return redis.call('XADD', 'ordered:{default}', '9-9', 't', '1')")
    with pytest.raises(ResponseError, match=r"permission|can't access"):
        client.evalsha(str(script), 0)
    client.close()


def test_nobody_comes_in_without_a_password(redis: Guarded) -> None:
    """Whoever reaches the port could read and write everything."""
    client = streams.connect(redis.url_of("").replace(":-password@", ""))
    with pytest.raises(AuthenticationError):
        client.execute_command("PING")
    client.close()


def test_a_restart_loads_all_that_was_written(redis: Guarded) -> None:
    """Transactions would be skipped at loading, as the default user may not make them."""
    pipeline = redis.client.pipeline(transaction=True)
    pipeline.set("fence:{default}:orderer", 7)
    pipeline.xadd("ordered:{default}", {"t": 1}, id="1-1")
    pipeline.execute()
    redis.restart()
    assert redis.client.get("fence:{default}:orderer") == b"7"
    assert redis.client.xlen("ordered:{default}") == 1
