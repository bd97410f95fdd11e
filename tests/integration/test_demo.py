"""The demo for real: every service a process, and a verdict that can be trusted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from standalone.demo import Options, feed_settings
from standalone.stack import ROOT

SERVICES = ("INGESTOR_", "ORDERER_", "PUBLISHER_", "SIMULATOR_", "REDIS_URL")


def demo(home: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the demo from a directory that is not the checkout."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(SERVICES)}
    return subprocess.run(
        [sys.executable, "-m", "standalone", "demo", "--home", str(home), *arguments],
        cwd=home.parent,
        env={**environ, "PYTHONPATH": str(ROOT), **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_good_relay_passes(tmp_path: Path) -> None:
    """`make demo` would not work, or would fail a relay that did everything right."""
    report = tmp_path / "report.html"
    done = demo(tmp_path / "home", "--messages", "3000", "--rate", "3000", "--report", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Messages received  3 000: ALL came out sorted and complete" in done.stdout
    assert "Receive → send     min" in done.stdout
    assert "Gaps given up      none" in done.stdout
    bars = re.findall(r"(?m)^  up to +\S+ m?s    \S* ([\d ]+)$", done.stdout)
    assert sum(int(count.replace(" ", "")) for count in bars) == 3000
    page = report.read_text()
    assert page.count("<svg") == 3, "each plot has something to show"
    assert "Nothing was noted" not in page


def test_a_lossy_relay_fails(tmp_path: Path) -> None:
    """A demo that lost messages would exit 0, hide the cause, or wait for them in vain."""
    done = demo(
        tmp_path / "home",
        *("--messages", "3000", "--rate", "3000", "--patience", "50"),
        ORDERER_GAP_TIMEOUT="0.01",
        SIMULATOR_DELAYED="0.01",
        SIMULATOR_DELAY="0.2",
        PYTHONIOENCODING="ascii",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "sorted, but NOT complete" in done.stdout
    assert "Receive ? send" in done.stdout, "what an old terminal cannot show does no harm"
    assert "by timeout" in done.stdout


def test_the_user_decides_about_the_feed(tmp_path: Path) -> None:
    """The demo would overrule the disorder that a user asked for, or start from a wrong id."""
    options = Options(home=tmp_path, messages=7, rate=0.5, patience=30)
    assert feed_settings(options, {}) == {
        "SIMULATOR_MESSAGES": "7",
        "SIMULATOR_RATE": "0.500000",
        "SIMULATOR_DELAYED": "0",
        "SIMULATOR_FIRST_ID": "1",
        "ORDERER_FIRST_ID": "1",
    }
    asked = {
        "SIMULATOR_DELAYED": "0.5",
        "SIMULATOR_FIRST_ID": "1000",
        "SIMULATOR_RATE": "9",
    }
    assert feed_settings(options, asked) == {
        "SIMULATOR_MESSAGES": "7",
        "SIMULATOR_RATE": "0.500000",
        "ORDERER_FIRST_ID": "1000",
    }


def test_every_mistake_is_told(tmp_path: Path) -> None:
    """A user would mend one mistake in the settings, start again, and find the next."""
    mistakes = {"ORDERER_CAPACITY": "x", "PUBLISHER_RETAIN": "y", "SIMULATOR_DEPTH": "z"}
    done = demo(tmp_path / "home", "--messages", "10", **mistakes)
    assert done.returncode == 1
    for variable, value in mistakes.items():
        assert f"{variable}: '{value}' is not a whole number" in done.stderr
    assert "Traceback" not in done.stderr
