"""Which code this is: the version that it calls itself, and a fingerprint of what runs.

The version changes with a release. The build tells code apart that was changed since, or that was
pulled and not built: it is the same wherever the same code runs, in an image and out of it.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

VERSION = "0.1.0"

PACKAGES = (
    "broadcast", "chassis", "chat", "ingestor", "orderer",
    "publisher", "relay", "simulator", "viewer", "wisdom",
)  # fmt: skip
"""What an image is made of."""


@functools.cache
def build() -> str:
    """Compute the fingerprint of the code, 12 hexadecimal digits; takes some milliseconds."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*")):
            if file.is_file() and file.suffix not in (".pyc", ".md"):
                digest.update(f"{file.relative_to(root).as_posix()}\n".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def version() -> str:
    """Say it in one line."""
    return f"Seriatim {VERSION} (build {build()})"
