"""Kinds of panels, each made with one call. What they show, the dashboards say.

A threshold is an alert's number in the colour of its severity, so that a panel turns red exactly
when the alert may fire; and nothing is red that is no fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import common as shared
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from .alerts import Alert, alerts
from .queries import Query

SOURCE = shared.DataSourceRef(type_val="prometheus", uid="prometheus")
ALERTS = alerts()

COUNT = "locale"
MESSAGES = "suffix: messages/s"
QUOTES = "suffix: quotes/s"

Panel: TypeAlias = stat.Panel | timeseries.Panel | heatmap.Panel | table.Panel | statetimeline.Panel
P = TypeVar("P", stat.Panel, timeseries.Panel, heatmap.Panel, table.Panel, statetimeline.Panel)
Words: TypeAlias = "dict[str, tuple[str, str]]"
"""For each value its word and its colour."""
Property = model.DynamicConfigValue

CONNECTION: Words = {"0": ("disconnected", "red"), "1": ("connected", "green")}


# Figures of the present ---------------------------------------------------------------------


def figure(
    title: str, unit: str, about: str, query: Query, alert: str = "", none: str = "none",
    width: int = 3,
) -> stat.Panel:  # fmt: skip
    """Make a panel of one large figure with its recent course; `none` if there is none now."""
    fine = "green" if alert else "text"
    panel = dress(stat.Panel(), title, unit, about, [query], [alert] if alert else [], fine=fine)
    mode = shared.BigValueColorMode
    panel.color_mode(mode.VALUE if alert else mode.NONE).span(width).height(3)
    panel.graph_mode(shared.BigValueGraphMode.AREA).text_mode(shared.BigValueTextMode.VALUE)
    if unit == COUNT:
        panel.decimals(0)
    # Else a word behind it, or the curve below, would make the figure small.
    panel.text(common.VizTextDisplayOptions().value_size(8 * width))
    # The last value, not the last that was a number: that one may be of long ago.
    panel.reduce_options(common.ReduceDataOptions().calcs(["last"]))
    return panel.no_value(none).mappings([_nothing(none)])


def state(
    title: str, about: str, query: Query, words: Words, alert: str = "", none: str = "none",
    width: int = 3,
) -> stat.Panel:  # fmt: skip
    """Make a panel that shows a number as a word in its colour."""
    panel = figure(title, "none", about, query, alert=alert, none=none, width=width)
    panel.mappings([worded(words), _nothing(none)]).decimals(0)
    panel.graph_mode(shared.BigValueGraphMode.NONE)
    return panel.color_mode(shared.BigValueColorMode.BACKGROUND)


# Courses over time --------------------------------------------------------------------------


def course(
    title: str, unit: str, about: str, *queries: Query, alert: str = "", log: bool = False,
    none: str = "none", width: int = 12,
) -> timeseries.Panel:  # fmt: skip
    """Make a panel of curves; the alert's number is a dashed line, and nothing hides a curve."""
    panel = dress(timeseries.Panel(), title, unit, about, queries, [alert] if alert else [])
    panel.span(width).height(8).no_value(none)
    panel.line_width(1).fill_opacity(0).show_points(shared.VisibilityMode.NEVER)
    panel.tooltip(common.VizTooltipOptions().mode(shared.TooltipDisplayMode.MULTI))
    legend = common.VizLegendOptions().show_legend(True)
    legend.display_mode(shared.LegendDisplayMode.LIST).placement(shared.LegendPlacement.BOTTOM)
    panel.legend(legend)
    scale = common.ScaleDistributionConfig()
    if log:
        panel.scale_distribution(scale.type(shared.ScaleDistribution.LOG).log(10))
    else:
        panel.min(0)
    style = shared.GraphThresholdsStyleMode
    panel.thresholds_style(
        common.GraphThresholdsStyleConfig().mode(style.DASHED if alert else style.OFF)
    )
    # Of the palette that is Grafana's own, every fifth curve would be red.
    colour = dashboard.FieldColor().mode(model.FieldColorModeId.CONTINUOUS_YL_BL)
    panel.color_scheme(colour.series_by(model.FieldColorSeriesByMode.MAX))
    for at, query in enumerate(queries):
        if query.colour:
            panel.override_by_query(_letter(at), [_fixed(query.colour)])
    return panel


def top(
    title: str, unit: str, about: str, query: Query, alert: str = "", log: bool = False,
    none: str = "none", width: int = 12,
) -> timeseries.Panel:  # fmt: skip
    """Make a panel of the ten highest curves, highest first in its legend.

    With an alert, what is beyond its number has the colour of its severity.
    """
    panel = course(title, unit, about, query, alert=alert, log=log, none=none, width=width)
    legend = common.VizLegendOptions().show_legend(True).calcs(["last", "max"])
    legend.display_mode(shared.LegendDisplayMode.TABLE).placement(shared.LegendPlacement.RIGHT)
    panel.legend(legend.sort_by("Max").sort_desc(True))
    if alert:
        panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    return panel


def bars(title: str, about: str, *queries: Query, width: int = 12) -> timeseries.Panel:
    """Make a panel of stacked bars that count, a minute each, what has happened at all."""
    panel = course(title, COUNT, about, *queries, width=width).interval("1m").decimals(0)
    panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    panel.draw_style(shared.GraphDrawStyle.BARS).fill_opacity(80).line_width(0)
    panel.stacking(common.StackingConfig().mode(shared.StackingMode.NORMAL))
    legend = common.VizLegendOptions().show_legend(True).calcs(["sum"])
    legend.display_mode(shared.LegendDisplayMode.TABLE).placement(shared.LegendPlacement.RIGHT)
    return panel.legend(legend.sort_by("Total").sort_desc(True))


def spread(title: str, about: str, query: Query, width: int = 12) -> heatmap.Panel:
    """Make a heatmap of a histogram of seconds."""
    form = PromQueryFormat.HEATMAP
    panel = dress(heatmap.Panel(), title, "s", about, [query], [], form)
    panel.span(width).height(8).calculate(False).y_axis(heatmap.YAxisConfig().unit("s"))
    panel.cell_values(heatmap.CellValues().unit("short"))
    panel.filter_values(heatmap.FilterValueRange().le(1e-9))
    colours = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME)
    return panel.color(colours.scheme("Viridis").steps(64))


def timeline(
    title: str, about: str, *queries: Query, words: Words, alert: str = "", height: int = 6,
    width: int = 12,
) -> statetimeline.Panel:  # fmt: skip
    """Make a panel of what is on and off; where nobody tells, there is a gap."""
    panel = dress(statetimeline.Panel(), title, "none", about, queries, [alert] if alert else [])
    return _stripes(panel.mappings([worded(words)]), width, height)


def holders(title: str, about: str, query: Query, height: int, width: int) -> statetimeline.Panel:
    """Make a panel of who holds what: `query` has a `lease` and, while it is held, an `instance`.

    Each holder has a colour of its own, so that a failover is a change of colour, with its gap.
    """
    panel = dress(
        statetimeline.Panel(), title, "none", about, [query], [], PromQueryFormat.TABLE,
        instant=False,
    )  # fmt: skip
    sort = {"fields": {}, "sort": [{"field": "Time"}]}
    matrix = {
        "columnField": "lease", "rowField": "Time", "valueField": "instance", "emptyValue": "null",
    }  # fmt: skip
    transform(panel, ("sortBy", sort), ("groupingToMatrix", matrix))
    colours = ("blue", "purple", "yellow", "dark-blue", "light-purple")
    mappings: list[model.ValueMapping] = [
        model.RegexMap(
            model.DashboardRegexMapOptions(
                f"^.*[{at}{at + 5}](:[0-9]+)?$", model.ValueMappingResult(color=colour, index=at)
            )
        )
        for at, colour in enumerate(colours)
    ]
    return _stripes(panel.mappings(mappings), width, height)


def _stripes(panel: statetimeline.Panel, width: int, height: int) -> statetimeline.Panel:
    panel.span(width).height(height).no_value("none").merge_values(True)
    panel.show_value(shared.VisibilityMode.AUTO).row_height(0.85).line_width(0).fill_opacity(80)
    panel.insert_nulls(30_000)
    legend = common.VizLegendOptions().show_legend(False)
    return panel.legend(legend.display_mode(shared.LegendDisplayMode.LIST))


# What every panel has -----------------------------------------------------------------------


def dress(
    panel: P,
    title: str,
    unit: str,
    about: str,
    queries: Sequence[Query],
    names: Sequence[str],
    form: PromQueryFormat = PromQueryFormat.TIME_SERIES,
    *,
    instant: bool | None = None,
    fine: str = "green",
) -> P:
    """Give a panel its title, unit, text, queries, and the thresholds of the alerts `names`.

    Tables ask for the present only, unless told otherwise. Below the thresholds it is `fine`.
    """
    chosen: list[Alert] = [ALERTS[name] for name in names]
    panel.title(title).unit(unit).datasource(SOURCE)
    panel.thresholds(dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(
        steps(chosen, fine)
    ))  # fmt: skip
    panel.description("\n\n".join([about, *map(_sentence, chosen)]))
    now = form == PromQueryFormat.TABLE if instant is None else instant
    for at, query in enumerate(queries):
        target = Dataquery().ref_id(_letter(at)).datasource(SOURCE).expr(query.promql)
        target.format(form).legend_format(query.legend)
        panel.with_target(target.instant() if now else target.range())
    return panel


def steps(chosen: Sequence[Alert], fine: str) -> list[model.Threshold]:
    """Lay the alerts' numbers out as thresholds."""
    found = [model.Threshold(None, fine)]
    for alert in chosen:
        if alert.below:
            found = [model.Threshold(None, alert.colour), model.Threshold(alert.number, fine)]
        else:
            found.append(model.Threshold(alert.number, alert.colour))
    return found


def transform(panel: P, *transformations: tuple[str, Mapping[str, object]]) -> P:
    """Have a panel's frames go through these, in this order."""
    for name, options in transformations:
        panel.with_transformation(model.DataTransformerConfig(name, options=dict(options)))
    return panel


def worded(words: Words) -> model.ValueMap:
    """Map values to their words and colours."""
    return model.ValueMap(
        {
            number: model.ValueMappingResult(text=text, color=colour, index=at)
            for at, (number, (text, colour)) in enumerate(words.items())
        }
    )


def _nothing(text: str) -> model.SpecialValueMap:
    """Map what is no number to a word of no colour."""
    result = model.ValueMappingResult(text=text, color="text", index=99)
    match = model.SpecialValueMatch.NULL_AND_NAN
    return model.SpecialValueMap(model.DashboardSpecialValueMapOptions(match, result))


def _sentence(alert: Alert) -> str:
    bound = f"below {alert.number:g}" if alert.below else f"from {alert.number:g} on"
    return f"Alert {alert.name} ({alert.severity}): {bound}."


def _fixed(colour: str) -> Property:
    return Property("color", {"mode": "fixed", "fixedColor": colour})


def _letter(at: int) -> str:
    return chr(ord("A") + at)
