"""Which errors of Redis are worth another try."""

from __future__ import annotations

import pytest
import redis.exceptions

from chassis.redis import transient
from chassis.redis.errors import reply_error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (redis.exceptions.TimeoutError("x"), "timeout"),
        (TimeoutError(), "timeout"),
        (redis.exceptions.ConnectionError("x"), "connection"),
        (ConnectionResetError(), "connection"),
        (OSError("x"), "connection"),
        (redis.exceptions.OutOfMemoryError("command not allowed when used memory"), "memory"),
        (redis.exceptions.ResponseError("OOM command not allowed when used memory"), "memory"),
        (
            redis.exceptions.ResponseError("OOM command not allowed ... script: 1f, on @user_"),
            "memory",
        ),
        (redis.exceptions.ResponseError("MISCONF Redis is configured to save"), "refused"),
        (redis.exceptions.ReadOnlyError("You can't write against a replica"), "refused"),
        (redis.exceptions.BusyLoadingError("Redis is loading the dataset"), "refused"),
        (redis.exceptions.ResponseError("NOREPLICAS Not enough good replicas"), "refused"),
        (redis.exceptions.ResponseError("UNBLOCKED force unblock from blocking op"), "refused"),
        (redis.exceptions.ResponseError("NOPERM No permissions to access a key"), "forbidden"),
        (redis.exceptions.ResponseError("ERR ACL failure in script: No permissions"), "forbidden"),
        (redis.exceptions.NoPermissionError("No permissions to access a key"), "forbidden"),
        (reply_error("ERR max number of clients reached"), "connection"),
        (redis.exceptions.ResponseError("WRONGTYPE Operation against a key"), None),
        (redis.exceptions.ResponseError("ERR unknown command 'XADD'"), None),
        (redis.exceptions.NoScriptError("No matching script"), None),
        (RuntimeError("unable to perform operation on <…>; the handler is closed"), "connection"),
        (RuntimeError("x"), None),
        (LookupError("x"), None),
    ],
)
def test_transient(error: Exception, reason: str | None) -> None:
    """A bug would be retried for ever, or an outage end the service."""
    assert transient(error) == reason
