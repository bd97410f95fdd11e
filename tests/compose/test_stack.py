"""The stack in containers, as a user has it: up, scaled, killed, down, and up again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.compose.project import ANEW, FEED, IMAGE, LEASES, OURS, Project, docker, faults
from tests.compose.subscriber import Subscriber
from tests.support.waiting import settled, until

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(900)]

HEALTHY_WITHIN = 60.0
"""Seconds from `up` to all healthy, once the image is built."""

TAKEN_OVER_WITHIN = 5.0
"""Seconds from the kill of an active replica until messages arrive again."""

LEASE_TTL = 3
"""Seconds that a killed replica's lease holds, which is the default."""

PERIOD = 2
"""Seconds between two quotes."""

PLACES = 20
"""Connections that one address may have to one replica of wisdom."""

QUOTES = [f"Волк {number}" for number in range(1000)]
"""Not the ones that the image brings."""

VENV_BYTES = 60_000_000
"""What the image may add to Python's."""

REPLICAS = {"ingestor": 2, "orderer": 3, "publisher": 2, "chat": 2, "wisdom": 2}

OTHERS = ("gateway", "grafana", "prometheus", "redis", "redis-exporter")

UNMEASURED = {"grafana", "redis"}
"""Services that Prometheus does not scrape."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project, built and up; its data is removed at the end."""
    if os.environ.get("SERIATIM_COMPOSE") != "1":
        pytest.skip("`make test-compose` runs this")
    if shutil.which("docker") is None or docker("version", check=False).returncode:
        if os.environ.get("CI") == "true":
            pytest.fail("no Docker engine answers")
        pytest.skip("no Docker engine answers")
    users = (set(ANEW) - {"redis"}) | {"exporter", "admin"}
    passwords = {f"REDIS_PASSWORD_{user.upper()}": os.urandom(8).hex() for user in users}
    directory = tmp_path_factory.mktemp("compose")
    quotes = directory / "quotes.txt"
    quotes.write_text("\n".join(QUOTES))
    # What a killed ingestor has lost, this feed sends again when another takes over; until then
    # nothing may be given up.
    project = Project(
        directory,
        WISDOM_PERIOD=PERIOD,
        WISDOM_QUOTES=quotes,
        WISDOM_CONNECTIONS_PER_ADDRESS=PLACES,
        SIMULATOR_SEED=1,
        SIMULATOR_REWIND=5000,
        ORDERER_GAP_TIMEOUT=10,
        **passwords,
    )
    project.down("--volumes")
    project.compose("build")
    try:
        yield project
    finally:
        project.down("--volumes")


@pytest.fixture(scope="module")
def seconds(project: Project) -> float:
    """How long the first `up` took."""
    return project.up()


@pytest.fixture
def stack(project: Project, seconds: float) -> Project:
    """The project with one replica of each service."""
    project.up()
    return project


@pytest.fixture
def scaled(project: Project, seconds: float) -> Project:
    """The project with its replicas, none of them killed."""
    project.up(**REPLICAS)
    return project


def test_all_becomes_healthy(stack: Project, seconds: float) -> None:
    """A user would wait for a stack that never, or hardly, comes up."""
    states = {
        each["Config"]["Labels"]["com.docker.compose.service"]: (
            each["State"]["Status"],
            each["State"].get("Health", {}).get("Status", "unchecked"),
        )
        for each in stack.inspect()
    }
    healthy = dict.fromkeys((*OURS, *OTHERS), ("running", "healthy"))
    assert states == healthy | {"redis-exporter": ("running", "unchecked")}
    assert seconds <= HEALTHY_WITHIN


def test_messages_arrive_in_order(stack: Project) -> None:
    """The stack would be up and not do its work."""
    stack.wait_for_more(3000, "messages arrive")
    assert faults(stack.report()) == {}


def test_prometheus_reaches_all(stack: Project) -> None:
    """A dashboard would be empty, an alert silent."""
    expected = sorted((name, "up") for name in {*OURS, *OTHERS} - UNMEASURED)
    until(lambda: stack.targets() == expected, f"targets are {expected}", 60)


def test_one_replica_is_active_and_the_others_stand_by(scaled: Project) -> None:
    """`--scale` would make two do the same work, or none be ready to take over."""
    names = Counter({**dict.fromkeys({*OURS, *OTHERS} - UNMEASURED, 1), **REPLICAS})
    expected = sorted((name, "up") for name in names.elements())
    until(lambda: scaled.targets() == expected, f"targets are {expected}", 60)
    leases = [(service, role) for service in LEASES for _, role in LEASES[service]]
    active = {f"{service} {role}": 1.0 for service, role in leases}
    found = "sum by (job, role) (lease_active)"
    until(lambda: scaled.query(found) == active, "one each is active", 60)
    standing_by = {f"{service} {role}": REPLICAS[service] - 1.0 for service, role in leases}
    idle = "count by (job, role) (lease_active == 0)"
    until(lambda: scaled.query(idle) == standing_by, "the others stand by", 60)


def test_the_chat_is_one_behind_the_gateway(scaled: Project) -> None:
    """Whoever the gateway sends to another replica would be in another conversation."""
    url = f"ws://127.0.0.1:{scaled.settings['CHAT_PORT']}/"
    until(
        lambda: scaled.query("count by (room) (chat_connections)").get("main") == 2, "two chats", 60
    )
    with contextlib.ExitStack() as everybody:
        clients = [everybody.enter_context(connect(url)) for _ in range(6)]
        for at, client in enumerate(clients):
            client.send(f"hello from {at}")
        heard = [hear(client, len(clients)) for client in clients]
        in_use = "count by (room) (chat_connections > 0)"
        until(lambda: scaled.query(in_use).get("main") == 2, "both are in use", 60)
    assert all(messages == heard[0] for messages in heard)

    def written() -> set[str]:
        log = scaled.run("chat", "cat", "/data/messages.json").stdout
        return {record["message"] for record in json.loads(log)}

    until(lambda: written() >= set(heard[0]), "all is written down")


def hear(client: ClientConnection, number: int) -> list[str]:
    """Receive so many messages, those from before included."""
    found: list[str] = []
    while len(found) < number:
        frame = json.loads(client.recv(timeout=20))
        records = frame["records"] if frame["type"] == "history" else [frame]
        found += [record["message"] for record in records if record["type"] == "message"]
    return found


@contextlib.contextmanager
def listening(project: Project, number: int) -> Iterator[list[Subscriber]]:
    """Have so many clients listen to wisdom through the gateway, and hear something."""
    url = f"ws://127.0.0.1:{project.settings['WISDOM_PORT']}/"
    until(lambda: project.query("count(wisdom_connections)").get("") == 2, "two replicas", 60)
    with contextlib.ExitStack() as everybody:
        clients = [everybody.enter_context(Subscriber(url)) for _ in range(number)]
        until(lambda: all(client.quotes for client in clients), "everybody hears something")
        yield clients


def test_wisdom_is_one_behind_the_gateway(scaled: Project) -> None:
    """Whoever the gateway sends to another replica would hear other quotes, or none."""
    with listening(scaled, 6) as clients:
        in_use = "count(wisdom_subscribers > 0)"
        until(lambda: scaled.query(in_use).get("") == 2, "both replicas are in use", 60)
        counted = {"listening": len(clients)}
        until(lambda: scaled.get("WISDOM_PORT", "/listening") == counted, "all are counted")
        latest = clients[0].quotes[-1][1]

        def heard() -> list[list[str]]:
            return [client.following(latest, 3) for client in clients]

        until(lambda: all(len(quotes) == 3 for quotes in heard()), "quotes come")
        assert all(quotes == heard()[0] for quotes in heard())
        assert set(heard()[0]) <= set(QUOTES)


def test_nobody_takes_others_places_behind_the_gateway(scaled: Project) -> None:
    """A client could have every place by claiming another address for each connection."""
    url = f"ws://127.0.0.1:{scaled.settings['WISDOM_PORT']}/"
    taken = 0
    with contextlib.ExitStack() as everybody, pytest.raises(InvalidStatus, match="429"):
        while taken < 10 * PLACES:
            forged = {"X-Forwarded-For": f"203.0.113.{taken}"}
            everybody.enter_context(connect(url, additional_headers=forged))
            taken += 1
    assert PLACES <= taken <= PLACES * REPLICAS["wisdom"]


REACH = """
import json, socket, sys
found = {}
for host in sys.argv[1:]:
    name, _, port = host.partition(":")
    try:
        socket.create_connection((name, int(port)), 2).close()
        found[host] = True
    except OSError:
        found[host] = False
print(json.dumps(found))
"""


def test_the_gateway_is_the_only_way_in(stack: Project) -> None:
    """Whoever is taken over in the outer network could pass for any address, or reach Redis."""
    inside = ("chat:4000", "wisdom:8000", "chat:9100", "orderer:9100", "redis:6379")
    found = stack.python("simulator", REACH, "gateway:4000", "gateway:8000", *inside)
    assert found == {"gateway:4000": True, "gateway:8000": True, **dict.fromkeys(inside, False)}


def test_a_trusted_proxy_tells_its_clients_apart(scaled: Project) -> None:
    """All who come through a proxy on this machine would be one client, and share its places."""
    url = f"ws://127.0.0.1:{scaled.settings['WISDOM_PORT']}/"
    scaled.set(GATEWAY_TRUSTED_PROXIES="host")
    scaled.up(**REPLICAS)
    most = PLACES * REPLICAS["wisdom"]

    def enter(everybody: contextlib.ExitStack, forwarded: str) -> bool:
        headers = {"X-Forwarded-For": forwarded}
        try:
            everybody.enter_context(connect(url, additional_headers=headers))
        except InvalidStatus as refused:
            if refused.response.status_code != 429:
                raise
            return False
        return True

    def known() -> bool:
        with contextlib.ExitStack() as everybody:
            return all(enter(everybody, f"6.6.6.6, 203.0.113.{n}") for n in range(2 * most))

    try:
        until(known, "the new gateway is known to the services")
        with contextlib.ExitStack() as everybody:
            entered = [enter(everybody, f"203.0.113.{n}, 198.51.100.7") for n in range(2 * most)]
            assert PLACES <= sum(entered) <= most
            assert enter(everybody, "198.51.100.8")
    finally:
        scaled.set(GATEWAY_TRUSTED_PROXIES="")
        scaled.up(**REPLICAS)


def test_a_standby_takes_over_from_a_killed_wisdom(scaled: Project) -> None:
    """The death of the replica that draws the quotes would silence the others, or double them."""
    with listening(scaled, 6) as clients:
        victim = scaled.holder("wisdom")
        assert victim
        began = time.monotonic()
        docker("kill", victim)
        killed = time.monotonic()
        until(lambda: any(client.lost for client in clients), "its clients notice")
        settled(lambda: [client.lost for client in clients], "the clients")
        left = [client for client in clients if not client.lost]
        assert left
        # The first may have been on its way already; the second is another replica's.
        until(lambda: all(len(client.since(killed)) >= 2 for client in left), "quotes come", 30)
        first, second = (at - began for at, _ in left[0].since(killed)[:2])
        assert first <= PERIOD + LEASE_TTL
        assert second - first <= 2 * PERIOD
        for client in left:
            assert not client.lost
            assert len(set(client.texts)) == len(client.texts)
    assert scaled.holder("wisdom") not in ("", victim)


def test_a_standby_takes_over_from_a_killed_orderer(scaled: Project) -> None:
    """The death of a container would stop the stack, or lose or double messages."""
    for _ in range(3):
        assert scaled.kill_active("orderer") <= TAKEN_OVER_WITHIN
        scaled.up(**REPLICAS)
    scaled.wait_for_more(3000, "messages arrive")
    assert faults(scaled.report()) == {}


def test_a_standby_takes_over_from_a_killed_ingestor(scaled: Project) -> None:
    """The death of a container would lose more than the feed had sent to it alone."""
    assert scaled.kill_active("ingestor") <= TAKEN_OVER_WITHIN
    scaled.wait_for_more(3000, "messages arrive")
    assert faults(scaled.report()) == {}


def test_a_standby_takes_over_from_a_killed_publisher(scaled: Project) -> None:
    """The death of a container would lose messages, or send them out of order."""
    assert scaled.kill_active("publisher") <= TAKEN_OVER_WITHIN
    scaled.wait_for_more(3000, "messages arrive")
    # What was sent and not confirmed is sent again: at least once.
    assert not faults(scaled.report()).keys() - {"repeated"}


FORBIDDEN = {
    "ingestor": ["DEL ordered:{default}", "HSET order:{default} next 1"],
    "orderer": ["XADD raw:{default} * a b", "HSET sink:{default}:demo position 9-9"],
    "publisher": ["XADD ordered:{default} 9-9 t 1", "XRANGE raw:{default} - +"],
    "wisdom": ["DEL quotes:{wisdom}", "XRANGE chat:{main}:log - +"],
    "exporter": ["XRANGE raw:{default} - +", "SET any thing"],
}
DANGEROUS = ["FLUSHALL", "CONFIG GET *", "KEYS *", "SHUTDOWN"]


@pytest.mark.parametrize("user", FORBIDDEN)
def test_services_may_not_touch_what_is_not_theirs(stack: Project, user: str) -> None:
    """A service that was taken over could destroy or forge what the others rely on."""
    assert stack.redis(user, "PING") == "PONG"
    for command in [*FORBIDDEN[user], *DANGEROUS]:
        assert stack.redis(user, *command.split()).startswith("NOPERM"), command


def test_nobody_comes_in_without_a_password(stack: Project) -> None:
    """Any container in the network could read and write everything."""
    assert "NOAUTH" in stack.run("redis", "redis-cli", "GET", f"raw:{{{FEED}}}").stdout


INSIDE = """
import importlib.util, json, os, shutil
status = dict(line.rstrip().split(":\\t", 1) for line in open("/proc/self/status"))
def write(path):
    try:
        open(path, "w").close()
    except OSError as error:
        return error.strerror
tools = ("pip", "pip3", "uv", "gcc", "cc", "g++", "make", "ld", "git", "curl", "wget")
modules = ("pip", "ensurepip", "setuptools", "pytest")
print(json.dumps({
    "user": os.getuid(), "group": os.getgid(),
    "capabilities": [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")],
    "no new privileges": status["NoNewPrivs"],
    "writes": [write(path) for path in ("/x", "/venv/x", "/home/x", "/etc/x")],
    "tools": [name for name in tools if shutil.which(name)],
    "modules": [name for name in modules if importlib.util.find_spec(name)],
}))
"""


@pytest.mark.parametrize("service", OURS)
def test_services_run_without_rights_and_tools(stack: Project, service: str) -> None:
    """Whoever breaks into a service would find something to go on with."""
    assert stack.python(service, INSIDE) == {
        "user": 10001,
        "group": 10001,
        "capabilities": [0, 0, 0],
        "no new privileges": "1",
        "writes": ["Read-only file system"] * 4,
        "tools": [],
        "modules": [],
    }


def test_no_container_has_rights(stack: Project) -> None:
    """Whoever breaks into a container would be root there, or could become it."""
    for container in stack.inspect():
        host = container["HostConfig"]
        assert not container["Config"]["User"].startswith(("0", "root")), container["Name"]
        assert container["Config"]["User"], container["Name"]
        assert host["ReadonlyRootfs"], container["Name"]
        assert host["CapDrop"] == ["ALL"], container["Name"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"], container["Name"]


def test_the_image_is_small(stack: Project) -> None:
    """The image would carry what no service needs."""
    sizes = docker("history", "--human=false", "--format={{.Size}} {{.CreatedBy}}", IMAGE)
    copied = [line for line in sizes.stdout.splitlines() if "COPY /venv /venv" in line]
    assert int(copied[0].split()[0]) <= VENV_BYTES


HOLES = """
import json, os, sys, redis
client = redis.Redis.from_url(os.environ["REDIS_URL"], protocol=2)
client.set_response_callback("XRANGE", lambda reply, **_: reply)
runs = client.xrange("ordered:{default}")
ids = [int(field) for _, values in runs for field in values[4::2] if int(field) >= int(sys.argv[1])]
print(json.dumps({
    "first": ids[0],
    "holes": [end for end, following in zip(ids, ids[1:]) if following != end + 1],
}))
"""


def goes_on(stack: Project) -> None:
    """Have a feed go on where it is that waits for its reader and sends nothing twice."""
    stack.wait_for_more(1000, "messages arrive")
    stack.compose("stop", "ingestor")
    _, following = settled(stack.position, "the orderer", still=3)
    stack.set(SIMULATOR_FIRST_ID=following, SIMULATOR_REWIND=0)
    stack.up()


def test_changed_settings_lose_nothing(stack: Project) -> None:
    """`docker compose up` would stop Redis under services that still hold messages."""
    goes_on(stack)
    for megabytes, ttl in ((900, 4), (800, 3)):
        stack.wait_for_more(1000, "messages arrive")
        with stack.endings(*ANEW) as endings:
            stack.set(LEASE_TTL=ttl, REDIS_MAXMEMORY=f"{megabytes}mb")
            stack.up()
        assert endings == dict.fromkeys(ANEW, 0)
        stack.wait_for_more(1000, "messages arrive")
        # What is missing shows when it is given up, after the time-out at the latest.
        stack.wait_for_more(11 * 1000, "a gap would have been given up")
        assert faults(stack.report()) == {}


def test_what_went_down_comes_up_where_it_was(stack: Project) -> None:
    """A restart of everything would begin anew, or leave a hole."""
    stack.wait_for_more(1000, "messages arrive")
    stack.compose("stop", "ingestor")
    before = settled(stack.position, "the orderer", still=3)
    stack.down()
    # A feed that goes on while the stack is away.
    stack.set(SIMULATOR_FIRST_ID=before[1])
    stack.up()
    stack.wait_for_more(2000, "messages arrive")
    report = stack.report()
    assert (report["out_of_order"], report["missing"], report["repeated"]) == (0, 0, 0)
    after = stack.position()
    assert after[0] == before[0]
    assert after[1] > before[1]
    found = stack.python("orderer", HOLES, str(before[1] - 100))
    assert found["first"] < before[1]
    assert found["holes"] == []
