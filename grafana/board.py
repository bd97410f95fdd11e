"""A dashboard: its rows of panels, its variables, its links to the others, and its annotations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from .panels import SOURCE, Panel
from .queries import RATE

TAG = "seriatim"


@dataclass(frozen=True)
class Row:
    """Panels from left to right and downwards; with a title, that can be closed."""

    panels: Sequence[Panel]
    title: str = ""
    closed: bool = False
    """Closed to begin with, and then not asked for either."""


@dataclass(frozen=True)
class Variable:
    """A choice among the values of a label, of which one, several or all may be taken."""

    name: str
    label: str
    query: str
    all: str = ".*"
    hidden: bool = False


@dataclass(frozen=True)
class Board:
    """A dashboard, named by its file."""

    name: str
    title: str
    about: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = field(default_factory=tuple)
    feeds: bool = True
    """Whether the feed can be chosen here; where it cannot, the choice is kept for the others."""
    leases: str = '{feed=~"$feed"}'
    """Whose failovers are marked."""


def address(name: str) -> str:
    """Tell the identifier of a dashboard."""
    return f"{TAG}-{name}"


def link(name: str, variable: str) -> str:
    """Make a link from a table's cell to a dashboard, with the cell's value chosen there."""
    # The time is the one that is shown; nothing says where Grafana itself is.
    return f"/d/{address(name)}?${{__url_time_range}}&var-{variable}=${{__value.raw}}"


def build(board: Board) -> dict[str, object]:
    """Lay a dashboard out as Grafana reads it."""
    made = dashboard.Dashboard(f"Seriatim: {board.title}").uid(address(board.name)).tags([TAG])
    made.description(board.about).time("now-15m", "now").refresh("5s").timezone("browser")
    made.readonly().tooltip(model.DashboardCursorSync.CROSSHAIR)
    others = dashboard.DashboardLink("Dashboards").type(model.DashboardLinkType.DASHBOARDS)
    made.link(others.tags([TAG]).keep_time(True).include_vars(True).icon("external link"))
    feed = Variable(
        "feed", "Feed", "label_values(lease_active{job!~'chat|wisdom'}, feed)",
        hidden=not board.feeds,
    )  # fmt: skip
    for variable in (feed, *board.variables):
        made.with_variable(_choice(variable))
    for annotation in _annotations(board):
        made.annotation(annotation)
    number = 0
    for row in board.rows:
        head = dashboard.Row(row.title).collapsed(row.closed)
        if row.title:
            number += 1
            head.id(number)
        for panel in row.panels:
            number += 1
            panel.id(number)
            if row.closed:
                head.with_panel(panel)
        if row.title:
            made.with_row(head)
        if not row.closed:
            for panel in row.panels:
                made.with_panel(panel)
    laid: dict[str, object] = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    return trimmed(laid)


def trimmed(laid: dict[str, object]) -> dict[str, object]:
    """Take out where links and annotations are placed: the SDK would hide them in a menu."""
    links, annotations = laid["links"], laid["annotations"]
    assert isinstance(links, list)
    assert isinstance(annotations, dict)
    for placed in (*links, *annotations["list"]):
        placed.pop("placement", None)
    return laid


def _choice(variable: Variable) -> dashboard.QueryVariable:
    made = dashboard.QueryVariable(variable.name).label(variable.label).datasource(SOURCE)
    made.query({"query": variable.query, "refId": variable.name})
    made.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    made.sort(model.VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True)
    made.all_value(variable.all).current(model.VariableOption(text="All", value="$__all"))
    return made.hide(model.VariableHide.HIDE_VARIABLE) if variable.hidden else made


def _annotations(board: Board) -> list[dashboard.AnnotationQuery]:
    """Mark what may be the cause of a dent: alerts, starts, failovers, new numberings."""
    fires = 'max by (alertname, severity, feed, sink, line, room) (ALERTS{alertstate="firing"'
    started = "1000 * max by (job, instance) ({0})"
    redis = 'label_replace(redis_start_time_seconds, "job", "redis", "", "")'
    taken = f"job_feed_role:lease_taken_over:fence{board.leases}"
    taken = f"max by (job, feed, role) (last_over_time({taken}[$__interval]))"
    begun = f'sum by (feed) (increase(orderer_epochs_total{{feed=~"$feed"}}{RATE})) > 0'
    return [
        _annotation("Alerts", "orange", fires + ', feed=~"$feed|main|playground|wisdom|"})',
                    "{{alertname}}", "{{severity}} {{feed}} {{line}}{{sink}}{{room}}"),
        _annotation("Starts", "blue",
                    started.format(f"process_start_time_seconds or {redis}"),
                    "{{job}} started", "{{instance}}", timestamps=True),
        _annotation("Failovers", "purple", taken, "{{feed}}: {{role}} taken over", "{{job}}"),
        _annotation("Epochs", "yellow", begun, "{{feed}} began to number anew", "a new epoch"),
    ]  # fmt: skip


def _annotation(
    name: str, colour: str, expr: str, title: str, text: str, *, timestamps: bool = False
) -> dashboard.AnnotationQuery:
    """Mark each instant, or span, in which the query gives something above 0.

    With `timestamps` the values are the instants, in milliseconds.
    """
    made = dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).hide(False)
    made.icon_color(colour).title_format(title).text_format(text).use_value_for_time(timestamps)
    return made.target(Dataquery().ref_id("Anno").datasource(SOURCE).expr(expr).range())
