"""Prometheus' configuration, the rules, and the rules' own tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.alerts import COLOURS, Alert, alerts, rules
from tests.support.processes import ROOT

FOLDER = ROOT / "grafana" / "prometheus"
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
ALERTS = alerts()


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool; skips the test if it is not installed, unless CI is true."""
    if shutil.which("promtool") is None:
        reason = "promtool is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def cases() -> list[dict[str, Any]]:
    """List what the rules' tests ask, each as `{expr, eval_time, exp_samples}`."""
    files = [yaml.safe_load(path.read_text()) for path in TESTS]
    return [case for file in files for test in file["tests"] for case in test["promql_expr_test"]]


def asked(case: dict[str, Any]) -> list[str]:
    """List the alerts that a case asks for, by the matcher in its expression."""
    found = re.match(r'ALERTS\{alertname=~?"([\w.*]+)", alertstate="firing"\}$', case["expr"])
    return [name for name in ALERTS if found and re.fullmatch(found[1], name)]


def test_the_configuration_is_valid() -> None:
    """Prometheus would not start."""
    # With it, promtool checks the rule files that it names.
    checked = promtool("check", "config", FOLDER / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_rules_pass_their_tests(path: Path) -> None:
    """An alert would stay silent in the trouble it is for, or fire without any."""
    tested = promtool("test", "rules", path)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_is_seen_firing_and_silent(name: str) -> None:
    """An alert would be in use that nobody has ever seen work."""
    about = [case["exp_samples"] for case in cases() if name in asked(case)]
    assert any(any(f'"{name}"' in sample["labels"] for sample in samples) for samples in about)
    assert [] in about


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_every_alert_says_what_to_do(alert: Alert) -> None:
    """Somebody woken at night would know that something is wrong, and no more."""
    assert alert.severity in COLOURS
    assert set(alert.annotations) == {"summary", "description", "action"}
    assert all(text.strip() for text in alert.annotations.values())
    assert "$value" in alert.annotations["description"]


def test_the_texts_are_complete_when_they_are_shown(tmp_path: Path) -> None:
    """An alert's text would have a hole where a label or its value should be."""
    shown: dict[str, str] = {}
    for path in TESTS:
        # An alert that is expected to have no instances is printed as it is, texts filled in.
        file = yaml.safe_load(path.read_text())
        file["rule_files"] = [str((path.parent / name).resolve()) for name in file["rule_files"]]
        for test in file["tests"]:
            firing = [case for case in test.pop("promql_expr_test") if case["exp_samples"]]
            test["alert_rule_test"] = [
                {"eval_time": case["eval_time"], "alertname": name}
                for case in firing
                for name in asked(case)
            ]
        copy = tmp_path / path.name
        copy.write_text(yaml.safe_dump(file))
        printed = promtool("test", "rules", copy)
        shown |= dict(
            re.findall(
                r'Labels:\{alertname="(\w+)".*\n\s*Annotations:(.*)',
                printed.stdout + printed.stderr,
            )
        )
    assert shown.keys() == ALERTS.keys()
    for name, text in shown.items():
        assert not re.search("<no value>|<error|template:", text), text
        assert re.search(r'description="[^"]*\d', text), name


def test_recordings_are_used() -> None:
    """A recording would be computed every five seconds for nobody."""
    texts = [rule["expr"] for rule in rules()]
    texts += [path.read_text() for path in (ROOT / "grafana" / "dashboards").glob("*.json")]
    for rule in rules():
        if "record" in rule:
            assert any(rule["record"] in text for text in texts), rule["record"]
