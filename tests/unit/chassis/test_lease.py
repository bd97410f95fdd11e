"""Leases, against a real server."""

from __future__ import annotations

from prometheus_client import REGISTRY

from chassis.lease import Lease, instance_name, lease_key
from chassis.redis import Link
from tests.support.waiting import eventually


async def gone(link: Link, key: str) -> None:
    """Wait until a key has expired."""

    async def expired() -> bool:
        return not await link.send("EXISTS", key)

    await eventually(expired, f"{key} has expired")


def lease(link: Link, instance: str, ttl: float = 30.0) -> Lease:
    return Lease(link, "default", "orderer", instance, ttl)


def shown(role: str) -> float | None:
    return REGISTRY.get_sample_value("lease_active", {"feed": "default", "role": role})


async def test_taken_when_free(link: Link) -> None:
    """Nobody would do the work, or nobody could tell who does."""
    first = lease(link, "a")
    assert (first.held, shown("orderer")) == (False, 0)
    assert await first.acquire()
    assert (first.held, shown("orderer")) == (True, 1)
    assert first.value == "1:a"
    assert await link.send("GET", lease_key("default", "orderer")) == b"1:a"
    assert 29_000 < await link.send("PTTL", lease_key("default", "orderer")) <= 30_000


async def test_refused_while_another_holds_it(link: Link) -> None:
    """Two instances would do the same work at the same time."""
    first, second = lease(link, "a"), lease(link, "b")
    assert await first.acquire()
    assert not await second.acquire()
    assert not second.held
    assert second.value == ""
    assert await first.acquire()
    assert first.value == "1:a"


async def test_the_fence_shows_who_held_it_last(link: Link) -> None:
    """A failover could not be told from a holder that has always been there."""
    first, second = lease(link, "a"), lease(link, "b")

    def fence() -> float | None:
        return REGISTRY.get_sample_value("lease_fence", {"feed": "default", "role": "orderer"})

    assert await first.acquire()
    assert fence() == 1
    await first.release()
    assert fence() == 1
    assert await second.acquire()
    assert fence() == 2


async def test_renewed(link: Link) -> None:
    """The holder would lose the lease although it is alive, or be fenced by itself."""
    first = lease(link, "a")
    await first.acquire()
    await link.send("PEXPIRE", first.key, 1000)
    assert await first.acquire()
    assert first.value == "1:a"
    assert await link.send("PTTL", first.key) > 29_000


async def test_runs_out_by_the_holders_own_clock(link: Link) -> None:
    """A holder that Redis does not answer would go on while another takes over."""
    first = lease(link, "a", ttl=0.05)
    await first.acquire()
    await eventually(lambda: not first.held, "the lease has run out")
    assert shown("orderer") == 0


async def test_taken_over_when_it_has_run_out(link: Link) -> None:
    """Nobody would take over from an instance that has died, or with a fence that is not newer."""
    first, second = lease(link, "a", ttl=0.05), lease(link, "b")
    await first.acquire()
    await gone(link, first.key)
    assert await second.acquire()
    assert second.value == "2:b"
    assert not await first.acquire()
    assert not first.held
    assert second.held


async def test_taken_again_after_it_had_run_out(link: Link) -> None:
    """Who was away for too long could not tell that others may have worked meanwhile."""
    first = lease(link, "a", ttl=0.05)
    await first.acquire()
    await gone(link, first.key)
    assert await first.acquire()
    assert first.value == "2:a"


async def test_released(link: Link) -> None:
    """A standby would wait for a lease that its holder has given back to run out."""
    first, second = lease(link, "a"), lease(link, "b")
    await first.acquire()
    await first.release()
    assert not first.held
    assert await second.acquire()
    assert second.value == "2:b"


async def test_releases_only_its_own(link: Link) -> None:
    """Who lost the lease would take it from its new holder."""
    first, second = lease(link, "a", ttl=0.05), lease(link, "b")
    await first.acquire()
    await gone(link, first.key)
    await second.acquire()
    await first.release()
    assert await link.send("GET", second.key) == b"2:b"
    await first.release()


async def test_an_earlier_self_is_another(link: Link) -> None:
    """An instance with the name of one that died would act with its fence."""
    first = lease(link, "a")
    await first.acquire()
    assert not await lease(link, "a").acquire()


async def test_seized(link: Link) -> None:
    """An operator would have to wait for a holder that hangs; or that one could go on."""
    first, operator = lease(link, "a"), lease(link, "operator")
    await first.acquire()
    await operator.seize()
    assert operator.held
    assert operator.value == "2:operator"
    assert not await first.acquire()
    assert not first.held
    other = lease(link, "other")
    await other.seize()
    assert other.value == "3:other"


async def test_leases_are_independent(link: Link) -> None:
    """The orderer of one feed would keep that of another from working."""
    leases = [
        Lease(link, feed, role, "a", 30.0) for feed in ("x", "y") for role in ("orderer", "line:1")
    ]
    for each in leases:
        assert await each.acquire()
        assert each.value == "1:a"


def test_instance_names_differ() -> None:
    """A restarted container, with the same host and pid, would be taken for its former self."""
    assert instance_name() != instance_name()
