"""What the stack consists of: the table of services, and how they are wired to each other.

Everything listens on 127.0.0.1. What the user's environment says about a service (any variable
that starts with its name) wins over the wiring below.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chassis.settings import IN_FILE

HOST = "127.0.0.1"

UNWANTED = ("PYTHONDONTWRITEBYTECODE", "PYTHONSAFEPATH")
"""Variables that services do not inherit: the one slows every start, the other hides them."""


@dataclass(frozen=True)
class Service:
    """One line of the table.

    `{simulator}` and the like in `settings` and `shows` stand for the port that the service of
    that name listens on.
    """

    name: str
    ops: int
    """Port of /metrics, /healthz and /readyz that it gets if it is free."""
    listens: int | None = None
    """Port of its own that it gets if it is free; None if it is only a client."""
    settings: Mapping[str, str] = field(default_factory=dict)
    shows: Mapping[str, str] = field(default_factory=dict)
    """What a user may open or connect to, with a label each."""


RELAY = (
    Service(
        "simulator",
        ops=9101,
        listens=9000,
        shows={
            "unordered feed": "ws://127.0.0.1:{simulator}/raw-messages",
            "ordered endpoint": "ws://127.0.0.1:{simulator}/ordered-messages/NAME",
            "its report": "http://127.0.0.1:{simulator}/report",
        },
    ),
    Service(
        "publisher",
        ops=9102,
        settings={"PUBLISHER_URL": "ws://127.0.0.1:{simulator}/ordered-messages/demo"},
    ),
    Service("orderer", ops=9103),
    Service(
        "ingestor",
        ops=9104,
        settings={"INGESTOR_URL": "ws://127.0.0.1:{simulator}/raw-messages"},
    ),
)
"""In the order in which they are started: who talks first comes last."""

SERVICES = (
    *RELAY,
    Service(
        "chat",
        ops=9105,
        listens=4000,
        shows={
            "chat": "http://127.0.0.1:{chat}/",
            "testers' rooms": "ws://127.0.0.1:{chat}/playground and /echo",
        },
    ),
    Service("wisdom", ops=9106, listens=8000, shows={"wisdom": "http://127.0.0.1:{wisdom}/"}),
    Service(
        "viewer", ops=9107, listens=8080, shows={"relay at work": "http://127.0.0.1:{viewer}/"}
    ),
)
"""All that `up` runs."""


@dataclass(frozen=True)
class Wired:
    """A service that is ready to be started."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    ops: str
    """URL that /metrics, /healthz and /readyz hang below."""
    shows: Mapping[str, str]
    taken: int | None = None
    """The port that it would have listened on, had it been free."""


def wire(
    environ: Mapping[str, str],
    redis_url: str,
    settings: Mapping[str, str] | None = None,
    services: Sequence[Service] = SERVICES,
    *,
    usual_ports: bool,
) -> list[Wired]:
    """Give every service its ports and its environment.

    `environ` wins over the table's settings, and `settings` win over both. With
    `usual_ports` services get the ports of the table where these are free, else any.
    """
    with Ports() as ports:
        chosen = {
            service.name: _own_port(environ, service.name)
            or str(ports.take(service.listens if usual_ports else 0))
            for service in services
            if service.listens is not None
        }
        ops = {service.name: ports.take(service.ops if usual_ports else 0) for service in services}
    wired = []
    for service in services:
        wiring = {
            name: value.format(**chosen)
            for name, value in service.settings.items()
            if not environ.get(name + IN_FILE, "").strip()
        }
        taken = None
        if usual_ports and service.listens and not _own_port(environ, service.name):
            taken = None if chosen[service.name] == str(service.listens) else service.listens
        fixed = {"REDIS_URL": redis_url, "OPS_HOST": HOST, "OPS_PORT": str(ops[service.name])}
        if service.name in chosen:
            wiring[f"{service.name.upper()}_HOST"] = HOST
            fixed[f"{service.name.upper()}_PORT"] = chosen[service.name]
        given = {
            name: value for name, value in environ.items() if value.strip() and name not in UNWANTED
        }
        wired.append(
            Wired(
                name=service.name,
                command=[sys.executable, "-m", service.name],
                environ={"LOG_FORMAT": "json", **wiring, **given, **(settings or {}), **fixed},
                ops=f"http://{HOST}:{ops[service.name]}",
                shows={label: shown.format(**chosen) for label, shown in service.shows.items()},
                taken=taken,
            )
        )
    return wired


def _own_port(environ: Mapping[str, str], service: str) -> str:
    """Look up the port that the user wants for a service; empty if any will do."""
    port = environ.get(f"{service.upper()}_PORT", "").strip()
    return "" if port == "0" else port


class Ports:
    """Hands out free ports, no port twice: they are held until the end of the `with` block."""

    def __init__(self) -> None:
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Ports:
        return self

    def __exit__(self, *_error: object) -> None:
        self._held.close()

    def take(self, preferred: int) -> int:
        """Choose `preferred` if it is free, any free port if it is taken or 0."""
        for port in (preferred, 0):
            holder = self._held.enter_context(socket.socket())
            # As servers do it: a port whose last connections are just closing counts as free.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                holder.bind((HOST, port))
                bound: int = holder.getsockname()[1]
                return bound
        raise OSError(f"no free port on {HOST}")
