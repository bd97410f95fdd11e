"""Kinds of panels and of queries, each made with one call. What they show, `dashboards` says.

A threshold is an alert's number in the colour of its severity, so that a panel turns red exactly
when the alert may fire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from grafana_foundation_sdk.builders import common, dashboard, heatmap, stat, table, timeseries
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import common as shared
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from .alerts import Alert, alerts

SOURCE = shared.DataSourceRef(type_val="prometheus", uid="prometheus")
RATE = "[$__rate_interval]"
ALERTS = alerts()

Panel: TypeAlias = stat.Panel | timeseries.Panel | heatmap.Panel | table.Panel
P = TypeVar("P", stat.Panel, timeseries.Panel, heatmap.Panel, table.Panel)
Words: TypeAlias = "dict[str, tuple[str, str]]"
"""For each value its word and its colour."""


# Queries ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Query:
    """An expression, in which `{feed` stands for the feeds that are chosen, and its legend."""

    expr: str
    legend: str = ""

    @property
    def promql(self) -> str:
        """The expression as Grafana is to send it."""
        return self.expr.replace("{feed", '{feed=~"$feed"')


def rates(metric: str, by: str, legend: str, matcher: str = "{feed}") -> Query:
    """Ask how fast a counter grows, by some of its labels."""
    return Query(f"sum by ({by}) (rate({metric}{matcher}{RATE}))", legend)


def quantile(share: float, metric: str, legend: str, matcher: str = "{feed}") -> Query:
    """Ask for a quantile of a histogram; 1 gives the bound of the highest bucket in use."""
    buckets = f"sum by (le) (rate({metric}_bucket{matcher}{RATE}))"
    return Query(f"histogram_quantile({share:g}, {buckets})", legend)


def quantiles(metric: str, what: str, matcher: str = "{feed}") -> list[Query]:
    """Ask for the median and the 99th percentile of a histogram."""
    shares = {"p50": 0.5, "p99": 0.99}
    return [
        quantile(share, metric, f"{what} {name}".strip(), matcher) for name, share in shares.items()
    ]


# Panels -------------------------------------------------------------------------------------


def value(
    title: str, unit: str, about: str, *queries: Query, alert: str = "", width: int = 3
) -> stat.Panel:
    """Make a panel of large figures with their recent course."""
    panel = _dress(stat.Panel(), title, unit, about, queries, [alert] if alert else [])
    mode = shared.BigValueColorMode
    panel.color_mode(mode.VALUE if alert else mode.NONE).span(width).height(4)
    panel.graph_mode(shared.BigValueGraphMode.AREA)
    if unit in ("short", "cps"):
        panel.decimals(0)
    return panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def state(
    title: str, about: str, query: Query, words: Words, alert: str = "", width: int = 3
) -> stat.Panel:
    """Make a panel that shows numbers as words in colours."""
    panel = value(title, "none", about, query, alert=alert, width=width).mappings([_map(words)])
    panel.graph_mode(shared.BigValueGraphMode.NONE).decimals(0)
    return panel.color_mode(shared.BigValueColorMode.BACKGROUND)


def course(
    title: str, unit: str, about: str, *queries: Query, alert: str = "", width: int = 6
) -> timeseries.Panel:
    """Make a panel of curves over time; the alert's number is a dashed line."""
    panel = _dress(timeseries.Panel(), title, unit, about, queries, [alert] if alert else [])
    panel.span(width).height(8).min(0)
    panel.line_width(1).fill_opacity(8).show_points(shared.VisibilityMode.NEVER)
    panel.tooltip(common.VizTooltipOptions().mode(shared.TooltipDisplayMode.MULTI))
    legend = common.VizLegendOptions().show_legend(True)
    legend.display_mode(shared.LegendDisplayMode.LIST).placement(shared.LegendPlacement.BOTTOM)
    style = shared.GraphThresholdsStyleMode
    lines = common.GraphThresholdsStyleConfig().mode(style.DASHED if alert else style.OFF)
    return panel.legend(legend).thresholds_style(lines)


def spread(title: str, about: str, metric: str, matcher: str = "{feed}") -> heatmap.Panel:
    """Make a heatmap of a histogram of seconds."""
    query = Query(f"sum by (le) (increase({metric}_bucket{matcher}{RATE}))", "{{le}}")
    panel = _dress(
        heatmap.Panel(), title, "s", about, [query], [], format_val=PromQueryFormat.HEATMAP
    )
    panel.span(8).height(8).calculate(False).y_axis(heatmap.YAxisConfig().unit("s"))
    panel.cell_values(heatmap.CellValues().unit("short"))
    panel.filter_values(heatmap.FilterValueRange().le(1e-9))
    colours = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME)
    return panel.color(colours.scheme("Turbo").steps(64))


def listing(
    title: str,
    about: str,
    query: Query,
    columns: Sequence[str],
    words: dict[str, Words],
    width: int,
    height: int,
) -> table.Panel:
    """Make a table of a query's labels; `words` of some columns, of which `Value` is one, too."""
    panel = _dress(
        table.Panel(), title, "none", about, [query], [], format_val=PromQueryFormat.TABLE
    )
    order = {column: at for at, column in enumerate(columns)}
    for transformation, options in (
        ("filterFieldsByName", {"include": {"names": list(columns)}}),
        ("organize", {"indexByName": order, "renameByName": {"Value": "state"}}),
    ):
        panel.with_transformation(model.DataTransformerConfig(transformation, options=options))
    for column, meanings in words.items():
        cells = [
            model.DynamicConfigValue("mappings", [_map(meanings)]),
            model.DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
        ]
        panel.override_by_name("state" if column == "Value" else column, cells)
    return panel.span(width).height(height)


def _dress(
    panel: P,
    title: str,
    unit: str,
    about: str,
    queries: Sequence[Query],
    names: Sequence[str],
    format_val: PromQueryFormat = PromQueryFormat.TIME_SERIES,
) -> P:
    """Give a panel what every panel has."""
    chosen: list[Alert] = [ALERTS[name] for name in names]
    panel.title(title).unit(unit).datasource(SOURCE).thresholds(_thresholds(chosen))
    panel.description("\n\n".join([about, *map(_sentence, chosen)]))
    for at, query in enumerate(queries):
        target = Dataquery().ref_id(chr(ord("A") + at)).datasource(SOURCE).expr(query.promql)
        target.format(format_val).legend_format(query.legend)
        panel.with_target(
            target.instant() if format_val == PromQueryFormat.TABLE else target.range()
        )
    return panel


def _thresholds(chosen: Sequence[Alert]) -> dashboard.ThresholdsConfig:
    steps = [model.Threshold(None, "green")]
    for alert in chosen:
        if alert.below:
            steps = [model.Threshold(None, alert.colour), model.Threshold(alert.number, "green")]
        else:
            steps.append(model.Threshold(alert.number, alert.colour))
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _sentence(alert: Alert) -> str:
    bound = f"below {alert.number:g}" if alert.below else f"from {alert.number:g} on"
    return f"Alert {alert.name} ({alert.severity}): {bound}."


def _map(words: Words) -> model.ValueMap:
    return model.ValueMap(
        {
            number: model.ValueMappingResult(text=text, color=colour, index=at)
            for at, (number, (text, colour)) in enumerate(words.items())
        }
    )
