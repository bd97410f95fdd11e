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

from grafana import runbook
from grafana.alerts import COLOURS, Alert, alerts, rules
from grafana.dashboards import BOARDS
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


def test_what_is_gone_is_forgotten_after_three_scrapes() -> None:
    """After `down` and `up` the containers of before would alarm for five minutes."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    scrape = int(config["global"]["scrape_interval"].removesuffix("s"))
    assert f"--query.lookback-delta={3 * scrape}s" in compose["services"]["prometheus"]["command"]


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
    assert set(alert.annotations) == {"summary", "description", "action", "runbook_url"}
    assert all(text.strip() for text in alert.annotations.values())
    assert "$value" in alert.annotations["description"]


def test_every_alert_has_its_paragraph_and_every_paragraph_its_alert() -> None:
    """An alert would lead to nowhere, or the runbook tell of what can no longer happen."""
    text = runbook.SOURCE.read_text()
    found = re.findall(r"(?m)^### (\S+)$", text)
    assert sorted(found) == sorted(ALERTS)
    for name, alert in ALERTS.items():
        assert alert.annotations["runbook_url"] == f"docs/runbook.md#{name.lower()}"
        paragraph = runbook.paragraphs()[name]
        for part in ("**Means.**", "**See.**", "**Do.**"):
            assert re.search(rf"(?m)^{re.escape(part)} \S", paragraph), (name, part)


def test_the_runbook_names_what_there_is() -> None:
    """Its reader would look for an alert, a panel or a setting that is called otherwise."""
    text = " ".join(runbook.SOURCE.read_text().split())
    boards = {board.title: board for board in (make() for make in BOARDS)}
    titles = {
        title: {panel.build().title for row in board.rows for panel in row.panels}
        for title, board in boards.items()
    }
    named = re.findall(rf'"([^"]+)"\s+\(({"|".join(boards)})\)', text)
    assert len(named) > 50
    for panel, board in named:
        assert panel in titles[board], (panel, board)
    words = set(re.findall(r"(?<![`\w])[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", text))
    assert words <= {*ALERTS}
    readme = (ROOT / "README.md").read_text() + (ROOT / ".env.example").read_text()
    for setting in set(re.findall(r"`([A-Z]+_[A-Z_]+)", text)):
        assert setting in readme, setting


def test_the_page_that_grafana_serves_is_the_runbook() -> None:
    """Who follows an alert's link would read what no longer holds, or find no such place."""
    page = (runbook.FOLDER / "runbook.html").read_text()
    assert page == runbook.page()
    for name in ALERTS:
        assert f'<h3 id="{name}">' in page
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    served = f"/usr/share/grafana{runbook.ADDRESS.removesuffix('/runbook.html')}"
    assert f"./grafana/public:{served}:ro" in compose["services"]["grafana"]["volumes"]


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
