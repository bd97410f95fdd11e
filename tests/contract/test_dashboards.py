"""The dashboards as committed: generated from their source, and free of the usual mistakes."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.alerts import alerts
from grafana.dashboards import dashboards
from tests.contract.queries import DASHBOARDS, panels
from tests.support.processes import ROOT

PROVISIONING = ROOT / "grafana" / "provisioning"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
UNITS = {"s", "cps", "short", "percentunit", "bytes", "none"}
LEFTOVERS = ("__inputs", "__requires", "__elements", "${DS_", "pluginVersion", "iteration")
SCREEN = 20
"""Rows of the grid that a screen of 1080 lines shows below Grafana's own bars."""

BOARDS: dict[str, dict[str, Any]] = {path.name: json.loads(path.read_text()) for path in DASHBOARDS}
PANELS = {panel["title"]: panel for panel in panels()}

each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
each_panel = pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)


def test_the_committed_dashboards_are_the_generated_ones() -> None:
    """Somebody would have edited the JSON, or forgotten `make dashboards`."""
    assert {path.name: path.read_text() for path in DASHBOARDS} == dashboards()


@each_board
def test_a_dashboard_is_what_the_schema_knows(board: dict[str, Any]) -> None:
    """Grafana would meet a property that is misspelt or of another type."""
    register_default_plugins()
    read = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    for link in read["links"]:
        del link["placement"]  # which the generator takes out, too
    assert read == board


@each_board
def test_a_dashboard_can_be_provisioned(board: dict[str, Any]) -> None:
    """It would depend on the Grafana it was exported from, or move with each restart."""
    assert re.fullmatch(r"[a-z-]{1,40}", board["uid"])
    assert board["tags"]
    assert board["description"]
    assert board["links"]
    assert board.get("id") is None
    assert board["editable"] is False
    text = json.dumps(board)
    assert not [leftover for leftover in LEFTOVERS if leftover in text]
    identifiers = [panel["id"] for panel in board["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    defined = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(?!__)(\w+)", text))
    assert used == defined


@each_board
def test_panels_do_not_overlap(board: dict[str, Any]) -> None:
    """Grafana would push panels out of the place they were given."""
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        columns = range(place["x"], place["x"] + place["w"])
        for cell in product(columns, range(place["y"], place["y"] + place["h"])):
            assert taken.setdefault(cell, panel["title"]) == panel["title"]


def test_the_overview_answers_on_one_screen() -> None:
    """A person on call would have to scroll to learn whether anything is wrong."""
    above = [
        panel["title"]
        for panel in BOARDS["overview.json"]["panels"]
        if panel["gridPos"]["y"] + panel["gridPos"]["h"] <= SCREEN
    ]
    flow = ["In", "Held", "Out", "End-to-end delay", "Gaps open", "Given up", "Lag"]
    assert above[:8] == ["Is all in order?", *flow]
    assert "Firing alerts" in above


def test_titles_are_unique() -> None:
    """An alert's text that names a panel would lead to the wrong one."""
    titles = [panel["title"] for panel in panels()]
    assert len(set(titles)) == len(titles)


@each_panel
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    """Somebody who has not built it would not know what it shows, or in what unit."""
    assert panel["title"].strip()
    assert len(panel["description"]) > 20
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["datasource"] == SOURCE


@each_panel
def test_a_panel_asks_properly(panel: dict[str, Any]) -> None:
    """A curve would change with the zoom, miss scrapes, or come from another data source."""
    assert panel["targets"]
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references)
    for target in panel["targets"]:
        assert target["datasource"] == SOURCE
        assert target["expr"].strip()
        ranges = re.findall(r"\[[^\]]*\]", target["expr"])
        assert set(ranges) <= {"[$__rate_interval]"}
        functions = re.findall(r"\b(?:rate|irate|increase|delta)\(", target["expr"])
        assert len(functions) == len(ranges)
        assert "irate(" not in target["expr"]


@each_panel
def test_thresholds_are_those_of_the_alerts(panel: dict[str, Any]) -> None:
    """A panel would be green while an alert fires, or red while none does."""
    known = alerts()
    named = re.findall(r"Alert (\w+) \(", panel["description"])
    expected: list[tuple[float | None, str]] = [(None, "green")]
    for alert in map(known.__getitem__, named):
        step = (alert.number, alert.colour)
        expected = [(None, step[1]), (step[0], "green")] if alert.below else [*expected, step]
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(step["value"], step["color"]) for step in steps] == expected


def test_alerts_name_panels_that_exist() -> None:
    """An alert's text would send its reader to a panel that is not there."""
    for alert in alerts().values():
        for title in re.findall(r'[Pp]anel "([^"]+)"', alert.annotations["action"]):
            assert title in PANELS, (alert.name, title)


def test_the_data_source_is_the_one_that_panels_name() -> None:
    """Every panel would say that its data source was not found."""
    file = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())
    (source,) = file["datasources"]
    assert {"type": source["type"], "uid": source["uid"]} == SOURCE
    config = yaml.safe_load((ROOT / "grafana" / "prometheus" / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]


def test_the_dashboards_are_found() -> None:
    """Grafana would start without any dashboard."""
    file = yaml.safe_load((PROVISIONING / "dashboards" / "seriatim.yml").read_text())
    (provider,) = file["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    assert provider["allowUiUpdates"] is False
