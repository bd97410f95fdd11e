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
from grafana.board import trimmed
from grafana.dashboards import dashboards
from grafana.tables import first_step
from tests.contract.queries import DASHBOARDS, panels, panels_of
from tests.support.processes import ROOT

PROVISIONING = ROOT / "grafana" / "provisioning"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
UNITS = {
    "s", "short", "locale", "percentunit", "bytes", "none", "suffix: messages/s",
    "suffix: quotes/s", "suffix: events/s", "suffix: calls/s", "suffix: looks/s",
}  # fmt: skip
FAULTS = {"red", "orange"}
"""The colours of alerts."""
LEFTOVERS = ("__inputs", "__requires", "__elements", "${DS_", "pluginVersion", "iteration")
SCREEN = 20
"""Rows of the grid that a screen of 1080 lines shows below Grafana's own bars."""

BOARDS: dict[str, dict[str, Any]] = {path.name: json.loads(path.read_text()) for path in DASHBOARDS}
FIVE = {"overview", "relay", "chat", "wisdom", "infrastructure"}
PANELS = {panel["title"]: panel for panel in panels()}
PLACED = {
    f"{name.removesuffix('.json')}: {panel['title']}": panel
    for name, board in BOARDS.items()
    for panel in panels_of(board)
}
TABLES = {"Feeds", "Firing alerts"}
"""Panels whose columns have thresholds of their own."""

each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
each_panel = pytest.mark.parametrize("panel", PLACED.values(), ids=PLACED)


def test_the_committed_dashboards_are_the_generated_ones() -> None:
    """Somebody would have edited the JSON, or forgotten `make dashboards`."""
    assert {path.name: path.read_text() for path in DASHBOARDS} == dashboards()


@each_board
def test_a_dashboard_is_what_the_schema_knows(board: dict[str, Any]) -> None:
    """Grafana would meet a property that is misspelt or of another type."""
    register_default_plugins()
    read = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    assert trimmed(read) == board


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
    rows = [panel for panel in board["panels"] if panel["type"] == "row"]
    identifiers = [panel["id"] for panel in (*rows, *panels_of(board))]
    assert len(set(identifiers)) == len(identifiers)
    defined = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(?!__)(\w+)", text))
    assert used == defined
    # The choice of a feed goes with the links through all of them, also where it is not shown.
    assert "feed" in defined


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
    """A person on call would have to scroll to learn what is wrong, where, and since when."""
    above = [
        panel["title"]
        for panel in BOARDS["overview.json"]["panels"]
        if panel["gridPos"]["y"] + panel["gridPos"]["h"] <= SCREEN
    ]
    assert above[0] == "Is all in order?"
    assert {"Firing alerts", "Feeds", "Connections", "Who does the work"} <= set(above)


@each_board
def test_a_dashboard_ends_after_three_screens(board: dict[str, Any]) -> None:
    """Nobody would scroll down to what is wrong."""
    ends = [place["y"] + place["h"] for place in (panel["gridPos"] for panel in board["panels"])]
    assert max(ends) <= 3 * SCREEN


def test_there_are_five_tied_by_links_that_keep_time_and_feed() -> None:
    """Who has found the feed and the minute would have to choose them again in the next one."""
    assert {name.removesuffix(".json") for name in BOARDS} == FIVE
    for board in BOARDS.values():
        (link,) = board["links"]
        assert (link["type"], link["tags"]) == ("dashboards", board["tags"])
        assert link["keepTime"]
        assert link["includeVars"]


def test_links_lead_to_what_is_there_wherever_grafana_is() -> None:
    """A link would lead to this machine's port, or to a dashboard that has another name."""
    known = {board["uid"] for board in BOARDS.values()}
    for name, board in BOARDS.items():
        text = json.dumps(board)
        assert not re.search(r"https?:|localhost|127\.0\.0\.1", text), name
        for uid in re.findall(r'"/d/([\w-]+)', text):
            assert uid in known
    row = next(
        cell
        for cell in PANELS["Feeds"]["fieldConfig"]["overrides"]
        if cell["matcher"]["options"] == "Feed"
    )
    (link,) = row["properties"][0]["value"]
    assert link["url"] == "/d/seriatim-relay?${__url_time_range}&var-feed=${__value.raw}"


def test_titles_are_unique() -> None:
    """An alert's text that names a panel would lead to the wrong one."""
    assert len(PLACED) == len(panels())
    for panel in PLACED.values():
        # What stands on two dashboards is the same on both.
        assert panel["description"] == PANELS[panel["title"]]["description"]


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
        assert "irate(" not in target["expr"]
        # What changes over time is asked for spans that the zoom gives, or for those of an alert.
        for function, expr in re.findall(r"\b(rate|increase)\((.*?\[[^\]]*\])", target["expr"]):
            span = re.findall(r"\[([^\]]*)\]", expr)[-1]
            known = {"$__rate_interval", "$__range", "$__range:$__interval", "1m", "5m", "10m"}
            assert span in known, (function, expr)


@each_panel
def test_a_panel_draws_no_more_than_can_be_read(panel: dict[str, Any]) -> None:
    """With a thousand feeds a panel would have a thousand lines, and nobody would see anything."""
    if panel["type"] == "table":
        return
    for target in panel["targets"]:
        labels = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        many = labels & {"feed", "peer", "line", "sink", "cmd", "lease"}
        limited = re.search(r"\b(top|bottom)k\(1[02],", target["expr"])
        assert limited or not many, target["expr"]


@each_panel
def test_figures_are_of_the_present(panel: dict[str, Any]) -> None:
    """When nothing flows, the delay of the last message would stand there, in green."""
    if panel["type"] != "stat":
        return
    assert panel["options"]["reduceOptions"]["calcs"] == ["last"]
    (target,) = panel["targets"]
    # Where there is nothing, the last value is one that is no number, or a 0 that is meant.
    assert re.search(r" or vector\((NaN|0)\)$", target["expr"])
    special = [
        each for each in panel["fieldConfig"]["defaults"]["mappings"] if each["type"] == "special"
    ]
    assert [each["options"]["match"] for each in special] == ["null+nan"]
    assert special[0]["options"]["result"]["color"] == "text"


def test_a_quantile_has_its_colour_everywhere() -> None:
    """The median would be mistaken for the 99th percentile on the next panel."""
    found: dict[str, set[str]] = {"p50": set(), "p99": set()}
    for panel in PLACED.values():
        if panel["type"] != "timeseries":
            continue
        fixed = {
            rule["matcher"]["options"]: rule["properties"][0]["value"].get("fixedColor", "")
            for rule in panel["fieldConfig"]["overrides"]
        }
        for target in panel["targets"]:
            if target["legendFormat"] in found:
                found[target["legendFormat"]].add(fixed[target["refId"]])
    assert all(len(colours) == 1 for colours in found.values())
    assert found["p50"] != found["p99"]


def test_delays_are_drawn_on_a_logarithmic_scale() -> None:
    """A second's outlier would press the milliseconds of all others flat."""
    for title, panel in PLACED.items():
        legends = {target["legendFormat"] for target in panel["targets"]}
        if (
            panel["type"] == "timeseries"
            and legends & {"p50", "p99"}
            and panel["fieldConfig"]["defaults"]["unit"] == "s"
        ):
            scale = panel["fieldConfig"]["defaults"]["custom"]["scaleDistribution"]
            assert scale["type"] == "log", title


@each_panel
def test_thresholds_are_those_of_the_alerts(panel: dict[str, Any]) -> None:
    """A panel would be green while an alert fires, or red while none does."""
    known = alerts()
    named = re.findall(r"Alert (\w+) \(", panel["description"])
    defaults = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    if panel["title"] in TABLES:
        found = {
            tuple((step["value"], step["color"]) for step in each["value"]["steps"])
            for rule in panel["fieldConfig"]["overrides"]
            for each in rule["properties"]
            if each["id"] == "thresholds"
        }
        wanted = {
            ((None, "transparent"), (alert.number, alert.colour))
            for alert in map(known.__getitem__, named)
        }
        assert found == wanted
        named = []
    fine = {step["color"] for step in defaults} - FAULTS
    assert len(fine) == 1
    (colour,) = fine
    expected: list[tuple[float | None, str]] = [(None, colour)]
    for alert in map(known.__getitem__, named):
        step = (alert.number, alert.colour)
        expected = [(None, step[1]), (step[0], colour)] if alert.below else [*expected, step]
    assert [(step["value"], step["color"]) for step in defaults] == expected


def test_no_alerts_is_said_in_a_word() -> None:
    """A healthy stack would say "No data", as one does that nobody watches."""
    assert PANELS["Firing alerts"]["fieldConfig"]["defaults"]["noValue"] == "None"


def test_first_steps_are_sentences() -> None:
    """The table would tell half of what to do, or show a template."""
    for alert in alerts().values():
        step = first_step(alert.annotations["action"])
        assert step[-1] in ".?", step
        assert not re.search(r"[{$`]\{|\$|`", step), step


def test_alerts_name_panels_that_exist() -> None:
    """An alert's text would send its reader to a panel that is not there."""
    for alert in alerts().values():
        for title in re.findall(r'"([A-Z][\w ,-]*)"', alert.annotations["action"]):
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
