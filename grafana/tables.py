"""The tables: a row for each feed, a row for each alert that fires."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, table
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from . import runbook
from .alerts import COLOURS
from .panels import ALERTS, COUNT, Property, Words, dress, steps, transform, worded
from .queries import Query

LEVELS: Words = {
    "0": ("in order", "transparent"), "1": ("warning", "orange"), "2": ("critical", "red"),
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of figures: its name, and by whose alert's number its cells are coloured."""

    name: str
    query: Query
    unit: str = COUNT
    alert: str = ""
    decimals: int | None = None
    words: Words | None = None


def rows(
    title: str, about: str, key: str, name: str, columns: Sequence[Column], link: str, height: int
) -> table.Panel:
    """Make a table of figures with a row for each value of the label `key`, a link each.

    What is worst by the first column comes first.
    """
    alerts = [column.alert for column in columns if column.alert]
    queries = [column.query for column in columns]
    panel = dress(table.Panel(), title, COUNT, about, queries, alerts, PromQueryFormat.TABLE)
    panel.thresholds(_plain())
    values = {f"Value #{chr(ord('A') + at)}": each for at, each in enumerate(columns)}
    transform(
        panel,
        ("joinByField", {"byField": key, "mode": "outer"}),
        ("filterFieldsByName", {"include": {"names": [key, *values]}}),
        ("organize", {
            "indexByName": {field: at for at, field in enumerate([key, *values])},
            "renameByName": {key: name, **{f: each.name for f, each in values.items()}},
        }),
    )  # fmt: skip
    for column in columns:
        panel.override_by_name(column.name, _cells(column))
    panel.override_by_name(name, [
        Property("links", [{"title": f"Show {name.lower()} ${{__value.text}}", "url": link}]),
        Property("custom.minWidth", 120),
    ])  # fmt: skip
    worst = common.TableSortByFieldState().display_name(columns[0].name).desc(True)
    return panel.sort_by([worst]).span(24).height(height)


def _cells(column: Column) -> list[Property]:
    cells = [Property("unit", column.unit)]
    if column.decimals is not None:
        cells.append(Property("decimals", column.decimals))
    if column.words:
        cells += [Property("mappings", [worded(column.words)]), Property("custom.align", "left")]
    if column.alert:
        numbers = {"mode": "absolute", "steps": steps([ALERTS[column.alert]], "transparent")}
        cells.append(Property("thresholds", numbers))
    if column.alert or column.words:
        cells.append(Property("custom.cellOptions", {"type": "color-background", "mode": "basic"}))
    return cells


def firing(title: str, about: str, matchers: str, height: int) -> table.Panel:
    """Make a table of the alerts that fire and match; the worst come first.

    What to do at first is the beginning of what the alert itself says about it.
    """
    fires = f'ALERTS{{alertstate="firing"{matchers}}}'
    where = ", ".join(f'"{label}"' for label in ("job", "instance", "feed", "line", "sink", "room"))
    since = f"1000 * ALERTS_FOR_STATE and ignoring (alertstate) {fires}"
    named = f'label_join({since}, "where", " ", {where})'
    query = Query(f'label_join({named}, "step", "", "alertname")')
    panel = dress(table.Panel(), title, "none", about, [query], [], PromQueryFormat.TABLE)
    panel.thresholds(_plain()).no_value("None")
    columns = {
        "severity": "Severity", "alertname": "Alert", "where": "Where", "Value": "Since",
        "step": "First step",
    }  # fmt: skip
    transform(
        panel,
        ("filterFieldsByName", {"include": {"names": list(columns)}}),
        ("organize", {
            "indexByName": {field: at for at, field in enumerate(columns)},
            "renameByName": columns,
        }),
    )  # fmt: skip
    severities: Words = {name: (name, colour) for name, colour in COLOURS.items()}
    panel.override_by_name("Severity", [
        Property("mappings", [worded(severities)]),
        Property("custom.cellOptions", {"type": "color-background", "mode": "basic"}),
        Property("custom.width", 110),
    ])  # fmt: skip
    panel.override_by_name("Alert", [
        Property("links", [{
            "title": "What it means, how to see more, what to do",
            "url": f"{runbook.ADDRESS}#${{__value.raw}}", "targetBlank": True,
        }]),
        Property("custom.width", 180),
    ])  # fmt: skip
    panel.override_by_name("Where", [Property("custom.width", 380)])
    panel.override_by_name(
        "Since", [Property("unit", "dateTimeAsIsoNoDateIfToday"), Property("custom.width", 100)]
    )
    panel.override_by_name("First step", [
        Property("mappings", [model.ValueMap({
            name: model.ValueMappingResult(text=first_step(alert.annotations["action"]), index=at)
            for at, (name, alert) in enumerate(ALERTS.items())
        })]),
        Property("custom.cellOptions", {"type": "auto", "wrapText": True}),
    ])  # fmt: skip
    worst = common.TableSortByFieldState().display_name("Severity").desc(False)
    return panel.sort_by([worst]).span(24).height(height)


def first_step(action: str) -> str:
    """Take the first sentence of what to do, with labels in capitals where they would stand."""
    sentence = re.split(r"(?<=[.?!])\s", action.replace("`", ""), maxsplit=1)[0]
    sentence = re.sub(r'\{\{ printf "(.*?)%s(.*?)" (.*?) \}\}', r"\1{{ \3 }}\2", sentence)
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: found[1].upper(), sentence)


def _plain() -> dashboard.ThresholdsConfig:
    config = dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE)
    return config.steps([model.Threshold(None, "transparent")])
