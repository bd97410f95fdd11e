"""Real Lua 5.1 for the stand-in's scripts, with Redis' conversions and error texts.

There is one runtime and each script is compiled once for the whole process; which server a script
talks to is said anew at each run. Scripts are atomic, so one runs at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha1
from itertools import count
from typing import Any

from lupa.lua51 import LuaError, LuaRuntime, LuaSyntaxError
from redis.exceptions import ResponseError

from .wire import Status, encode, error, line

Call = Callable[[list[bytes]], Any]
"""Runs one command for a script: its words in, its reply out, ResponseError raised."""

_NO_WORDS = "ERR Please specify at least one argument for this redis.call() call"
_NOT_WORDS = "ERR Command arguments must be strings or integers"

_PRELUDE = b"""
local python_call = ...
local error, pcall, type, tostring = error, pcall, type, tostring
local setmetatable, getinfo, rawget = setmetatable, debug.getinfo, rawget

-- The kinds of a reply are those that `_Runtime.call` gives.
local function given(kind, ...)
  if kind == 0 then return (...) end
  if kind == 1 then return {...} end
  if kind == 2 then return {ok = (...)} end
  return {err = (...)}
end

local function place()
  for level = 2, 20 do
    local info = getinfo(level, 'Sl')
    if not info then break end
    if info.source == '@user_script' then return info.currentline end
  end
  return 0
end

redis = {
  call = function(...)
    local reply = given(python_call(...))
    if type(reply) == 'table' and reply.err then
      reply.line = place()
      error(reply)
    end
    return reply
  end,
  pcall = function(...)
    local reply = given(python_call(...))
    return reply
  end,
  error_reply = function(text)
    if text:sub(1, 1) == '-' then return {err = text:sub(2)} end
    if not text:find(' ') then text = 'ERR ' .. text end
    return {err = text}
  end,
  status_reply = function(text) return {ok = text} end,
}

for _, name in ipairs({'io', 'os', 'package', 'python', 'require', 'module', 'dofile',
                       'loadfile', 'print', 'newproxy', 'lupa'}) do
  _G[name] = nil
end
debug = {traceback = debug.traceback}  -- lupa looks it up at each call
setmetatable(_G, {
  __index = function(_, name)
    error('Script attempted to access nonexistent global variable ' .. "'" .. tostring(name) .. "'",
          2)
  end,
  __newindex = function() error('Attempt to modify a readonly table', 2) end,
})

-- Run a script: true and what it returns, or false, its error and the line of it.
return function(script, keys, argv)
  local done, reply = pcall(script, keys, argv)
  if done then
    if type(reply) == 'table' then
      if rawget(reply, 'err') then return true, 1, reply.err end
      if rawget(reply, 'ok') then return true, 2, reply.ok end
    end
    return true, 0, reply
  end
  if type(reply) == 'table' then return false, reply.err, reply.line or 0 end
  if type(reply) ~= 'string' then error(reply, 0) end
  return false, 'ERR ' .. reply, tonumber(reply:match('^user_script:(%d+)')) or 0
end
"""


class _Runtime:
    """Hold the Lua runtime, the scripts it has compiled, and who is being talked to."""

    def __init__(self) -> None:
        lua = LuaRuntime(
            encoding=None,
            source_encoding="latin-1",
            unpack_returned_tuples=True,
            register_eval=False,
            register_builtins=False,
        )
        self._lua = lua
        self._compiled: dict[str, Any] = {}
        self._call: Call | None = None
        self._failure: BaseException | None = None
        self._run = lua.compile(_PRELUDE, name=b"@redis")(self.call)

    def compile(self, source: bytes) -> str:
        """Compile a script unless it has been, and give its SHA-1."""
        sha = sha1(source, usedforsecurity=False).hexdigest()
        if sha not in self._compiled:
            # A first line `#!lua flags=…` is for the server.
            lines = b"--" + source[2:] if source.startswith(b"#!") else source
            try:
                chunk = self._lua.compile(
                    b"return function(KEYS, ARGV) " + lines + b"\nend", name=b"@user_script"
                )
            except LuaSyntaxError as refusal:
                text = refusal.args[0].decode()
                raise error(f"ERR Error compiling script (new function): {text}") from None
            self._compiled[sha] = chunk()
        return sha

    def run(self, sha: str, keys: Sequence[bytes], argv: Sequence[bytes], call: Call) -> Any:
        """Run a compiled script against whoever `call` reaches and give its reply."""
        lua = self._lua
        self._call, self._failure = call, None
        try:
            done, *rest = self._run(self._compiled[sha], lua.table_from(keys), lua.table_from(argv))
        except LuaError:
            if self._failure is None:
                raise
        finally:
            self._call = None
        if self._failure is not None:
            raise self._failure
        if done:
            kind, value = rest
            if kind == 0:
                return _reply(value)
            if kind == 1:
                raise error(value.decode())
            return Status(value)
        text, at = rest
        raise error(f"{text.decode()} script: {sha}, on @user_script:{at}.")

    def call(self, *words: Any) -> tuple[Any, ...]:
        """Run `redis.call`'s words; give a kind and a value, or the values of a list.

        A bug in the stand-in is no error that a script may catch: it is kept for `run` to raise.
        """
        assert self._call is not None
        try:
            try:
                if not words:
                    raise error(_NO_WORDS)
                return self._converted(
                    self._call([w if type(w) is bytes else _word(w) for w in words])
                )
            except ResponseError as refusal:
                return 3, line(refusal).encode()
        except BaseException as bug:
            self._failure = bug
            raise

    def _converted(self, reply: Any) -> tuple[Any, ...]:
        if reply is None:
            return 0, False
        if isinstance(reply, list):
            return 1, *[self._item(item) for item in reply]
        if type(reply) is Status:
            return 2, bytes(reply)
        return 0, reply

    def _item(self, item: Any) -> Any:
        if item is None:
            return False
        if isinstance(item, list):
            return self._lua.table_from([self._item(each) for each in item])
        return item


def _word(word: object) -> bytes:
    if isinstance(word, float):
        return b"%d" % int(word) if word.is_integer() else b"%.17g" % word
    if isinstance(word, bool) or not isinstance(word, bytes | int):
        raise error(_NOT_WORDS)
    return encode(word)


def _reply(value: Any) -> Any:
    """Convert what a script returns: numbers lose their fraction, lists end at the first nil."""
    if type(value) is bytes or value is None:
        return value
    if value is True:
        return 1
    if value is False:
        return None
    if isinstance(value, int | float):
        return int(value)
    items: list[Any] = []
    for at in count(1):
        item = value[at]
        if item is None:
            return items
        items.append(_reply(item))
    raise AssertionError("unreachable")


@cache
def runtime() -> _Runtime:
    """Give the process's runtime, made when it is first wanted."""
    return _Runtime()
