"""The verb `try`: connect to a feed for ten seconds, and say what each frame is taken for.

It needs no Redis and writes nothing anywhere. It says to the feed what the ingestor would say, so
a feed that allows one connection only is taken away from an ingestor at work.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from relay import trying
from relay.feedfile import load
from relay.talking import Talk
from relay.trial import Trial
from relay.trying import Trying, pick

NAMES = {"feed": "name of the feed; may be left out if one"}


def main(arguments: Sequence[str]) -> int:
    """Try a feed; returns the exit status: 0 a message came, 1 none did, 2 misuse."""
    return trying.main("ingestor", __doc__, NAMES, arguments, _choose)


def _choose(file: str, feed: str) -> Trying:
    words = pick(feed, load(file, os.environ, endpoints=False), f"which feed? {file} has:")
    talk = Talk(words)
    return Trying(talk, Trial(words, talk.hide))
