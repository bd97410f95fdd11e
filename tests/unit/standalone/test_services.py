"""How the services are wired to each other, and what the user's environment may change."""

from __future__ import annotations

import socket

from standalone.endpoints import totals
from standalone.services import SERVICES, Ports, Wired, wire

REDIS = "unix:///tmp/valkey.sock"


def wired(environ: dict[str, str] | None = None, **settings: str) -> dict[str, Wired]:
    made = wire(environ or {}, REDIS, settings, usual_ports=False)
    return {service.name: service for service in made}


def test_everything_listens_on_loopback_only() -> None:
    """A demo would open ports to the network, or two services would fight for one."""
    services = wired()
    hosts = {
        service.environ[name]
        for service in services.values()
        for name in service.environ
        if name.endswith("_HOST")
    }
    assert hosts == {"127.0.0.1"}
    ports = [service.environ["OPS_PORT"] for service in services.values()]
    ports.append(services["simulator"].environ["SIMULATOR_PORT"])
    assert len(set(ports)) == len(SERVICES) + 1
    assert "0" not in ports


def test_feed_and_endpoint_are_the_simulators() -> None:
    """The relay would not find the built-in feed or endpoint."""
    services = wired()
    site = f"ws://127.0.0.1:{services['simulator'].environ['SIMULATOR_PORT']}"
    assert services["ingestor"].environ["INGESTOR_URL"] == f"{site}/raw-messages"
    assert services["publisher"].environ["PUBLISHER_URL"] == f"{site}/ordered-messages/demo"


def test_the_users_variables_win() -> None:
    """A user could not point the stack at a real feed, or tune a service."""
    environ = {
        "INGESTOR_URL": "ws://feed.example/raw",
        "ORDERER_GAP_TIMEOUT": "never",
        "SIMULATOR_PORT": "9999",
        "LOG_FORMAT": "text",
        "PUBLISHER_URL": " ",
    }
    services = wired(environ)
    assert services["ingestor"].environ["INGESTOR_URL"] == "ws://feed.example/raw"
    assert services["orderer"].environ["ORDERER_GAP_TIMEOUT"] == "never"
    assert services["orderer"].environ["LOG_FORMAT"] == "text"
    assert services["publisher"].environ["PUBLISHER_URL"].startswith("ws://127.0.0.1:9999/")


def test_what_the_stack_decides() -> None:
    """Services would share one ops port, use another server, or miss the command line's wish."""
    environ = {
        "OPS_PORT": "9100",
        "OPS_HOST": "0.0.0.0",
        "REDIS_URL": "redis://elsewhere",
        "SIMULATOR_PORT": "0",
        "SIMULATOR_RATE": "5",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONSAFEPATH": "1",
    }
    for service in wired(environ, SIMULATOR_RATE="7").values():
        assert service.environ["OPS_PORT"] != "9100"
        assert service.environ["OPS_HOST"] == "127.0.0.1"
        assert service.environ["REDIS_URL"] == REDIS
        assert service.environ.get("SIMULATOR_PORT") != ("0" if service.name == "simulator" else "")
        assert service.environ["SIMULATOR_RATE"] == "7"
        assert not any(name.startswith("PYTHON") for name in service.environ)


def test_ports() -> None:
    """A port that is taken would be handed out, or one port twice."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        preferred = taken.getsockname()[1]
        with Ports() as ports:
            handed = [ports.take(preferred), ports.take(0), ports.take(0)]
    assert preferred not in handed
    assert len(set(handed)) == 3
    with Ports() as ports:
        assert ports.take(handed[0]) == handed[0]


def test_metric_totals() -> None:
    """The demo's live figures would show one label's share, or a histogram's buckets."""
    exposition = (
        "# TYPE orderer_gaps counter\n"
        'orderer_gaps_total{cause="timeout"} 2.0\n'
        'orderer_gaps_total{cause="capacity"} 1.0\n'
        'orderer_gaps_created{cause="capacity"} 1.7e9\n'
        "# TYPE orderer_hold_seconds histogram\n"
        'orderer_hold_seconds_bucket{le="+Inf"} 5.0\n'
        "orderer_hold_seconds_count 5.0\n"
        "orderer_hold_seconds_sum 0.5\n"
    )
    assert totals(exposition) == {
        "orderer_gaps_total": 3.0,
        "orderer_hold_seconds_count": 5.0,
        "orderer_hold_seconds_sum": 0.5,
    }
