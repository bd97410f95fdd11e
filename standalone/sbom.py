"""Print what an image is made of, as CycloneDX has it: `python -m standalone.sbom`.

Packages come with the hashes by which they are installed, images as the files name them. Equal
sources print equal text.
"""

from __future__ import annotations

import json
import re
from typing import Any

from chassis.version import VERSION

from .stack import ROOT

_PACKAGE = re.compile(r"(?m)^([a-z0-9._-]+)==([^\s;\\]+)((?:[^\n]*\\\n)*[^\n]*)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_IMAGE = re.compile(r"(?m)^(?:FROM|\s+image:) ([a-z0-9./_-]+):([\w.-]+)$")


def packages(requirements: str) -> list[dict[str, Any]]:
    """List what a locked requirements file names."""
    return [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            "hashes": [{"alg": "SHA-256", "content": each} for each in _HASH.findall(rest)],
        }
        for name, version, rest in _PACKAGE.findall(requirements)
    ]


def images(*texts: str) -> list[dict[str, Any]]:
    """List the images that Dockerfiles and Compose files name."""
    found = sorted({pair for text in texts for pair in _IMAGE.findall(text)})
    return [
        {
            "type": "container",
            "name": name,
            "version": tag,
            "purl": f"pkg:docker/{name}@{tag}",
        }
        for name, tag in found
    ]


def bill() -> dict[str, Any]:
    """Make the whole bill of materials."""
    files = [(ROOT / name).read_text() for name in ("Dockerfile", "docker-compose.yml")]
    runtime = (ROOT / "requirements" / "runtime.txt").read_text()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": "seriatim", "version": VERSION},
        },
        "components": [*packages(runtime), *images(*files)],
    }


if __name__ == "__main__":
    print(json.dumps(bill(), indent=2))
