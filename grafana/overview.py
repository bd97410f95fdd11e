"""The first screen: what is wrong, where, since when, is anything lost, and what to do."""

from __future__ import annotations

from .board import Board, Row, link
from .flow import DELAYS, FLOW, STALLED, connections, faults, lags, leases
from .panels import COUNT, MESSAGES, Panel, Words, course, figure, state, top
from .queries import Query, present, quantile, ten
from .tables import LEVELS, Column, firing, rows

_FIRING = 'ALERTS{{alertstate="firing", severity="{0}"{1}}}'


def _worst(by: str, of: str = "") -> str:
    critical, warning = _FIRING.format("critical", of), _FIRING.format("warning", of)
    return f"max{by} (2 * {critical} or {warning})"


def board() -> Board:
    """Put the overview together."""
    return Board(
        "overview", "Overview", "Is all in order, and if not: what, where, since when, what to do.",
        [
            Row(now()), Row([alerts()]), Row([feeds()]),
            Row([connections(6), leases("{feed}", 6)]), Row(courses()),
            Row(others(), "Chat and wisdom"),
        ],
    )  # fmt: skip


def now() -> list[Panel]:
    """Show the present in six figures."""
    verdicts: Words = {
        "0": ("In order", "green"), "1": ("Warning", "orange"), "2": ("Critical", "red"),
    }  # fmt: skip
    into, _, out = FLOW
    lost = "sum(feed:orderer_given_up:increase5m{feed})"
    return [
        state("Is all in order?", "The worst alert that fires now, of whatever feed.",
              Query(f"{_worst('')} or vector(0)"), verdicts, width=4),
        figure("In", MESSAGES, "Frames received from the feeds. A frame that comes on two lines "
               "counts twice.", Query(present(into.expr)), none="no feed", width=4),
        figure("Out", MESSAGES, "Messages confirmed; of each feed what its slowest endpoint has.",
               Query(present(out.expr)), none="no endpoint", width=4),
        figure("Delay, 99 of 100 within", "s", "From receiving a frame to sending it in order, "
               "within the last minute, of the slowest feed.",
               Query(present(DELAYS[1].expr)), alert="RelaySlow", none="no messages", width=4),
        figure("Lag of the slowest endpoint", "s", "Age of the oldest message that an endpoint has "
               "not confirmed.", Query(present("max(feed:publisher_lag_seconds:max{feed})")),
               alert="EndpointLagging", none="no endpoint", width=4),
        figure("Lost within five minutes", COUNT, "Ids given up: the endpoints go without them. "
               "Which ones and why stands in the gap ledger.",
               Query(present(lost)), alert="GapGivenUp", none="no orderer", width=4),
    ]  # fmt: skip


def alerts() -> Panel:
    """Show what fires, of these feeds or of none."""
    return firing(
        "Firing alerts", "What is wrong, where, since when, and what to do first; the alert's name "
        "leads to its paragraph in the runbook.", ', feed=~"$feed|main|playground|wisdom|"', 6,
    )  # fmt: skip


def feeds() -> Panel:
    """Show a row for each feed."""
    of = ', feed=~"$feed"'
    known = "group by (feed) (lease_active{feed, job!~'chat|wisdom'})"
    worst = f"{_worst(' by (feed)', of)} and on (feed) {known}"
    into, out = "feed:ingestor_frames:rate1m{feed}", "feed:publisher_confirmed:min_rate1m{feed}"
    columns = [
        Column("State", Query(f"{worst} or 0 * {known}"), words=LEVELS),
        Column("In", Query(into), MESSAGES, decimals=0),
        Column("Out", Query(out), MESSAGES, decimals=0),
        Column("Held", Query("max by (feed) (orderer_held{feed})"), decimals=0),
        Column("Gaps open", Query("max by (feed) (orderer_open_gaps{feed})"), decimals=0),
        Column("Stands still for", Query(f"{STALLED} > 10 or 0 * {known}"), "s",
               "OrderStalled", decimals=0),
        Column("Lost, 5 min", Query("feed:orderer_given_up:increase5m{feed}"),
               alert="GapGivenUp", decimals=0),
        Column("Rejected", Query("feed:rejected:ratio5m{feed}"), "percentunit", "RejectedFrames",
               decimals=2),
        Column("Delay p99", Query("feed:relay_seconds:p99_1m{feed} >= 0"), "s", "RelaySlow"),
        Column("Lag", Query("feed:publisher_lag_seconds:max{feed}"), "s", "EndpointLagging"),
    ]  # fmt: skip
    return rows(
        "Feeds", "A row for each feed, those in need first; a click on its name shows it alone. "
        "Out and lag are those of its slowest endpoint, and a cell is coloured from its alert's "
        "own number on.", "feed", "Feed", columns, link("relay", "feed"), 5,
    )  # fmt: skip


def courses() -> list[Panel]:
    """Show how it came about."""
    return [
        course("Flow", MESSAGES, "Frames in, messages in order, messages out, all feeds together, "
               "each at its slowest endpoint: in a steady state the three are one line.", *FLOW),
        course("Delay", "s", "From receiving a frame to sending it in order, of the slowest feed.",
               *DELAYS, alert="RelaySlow", log=True, none="no messages"),
        top("Messages by feed", MESSAGES, "Frames received: the ten feeds that send most.",
            Query(ten("feed:ingestor_frames:rate1m{feed}", "feed"), "{{feed}}")),
        lags(),
        top("Held by feed", "short", "Messages held back until those before them come: the ten "
            "feeds that hold most.",
            Query(ten("max by (feed) (orderer_held{feed})", "feed"), "{{feed}}")),
        faults(),
    ]  # fmt: skip


def others() -> list[Panel]:
    """Show in a row each how the chat and wisdom fare."""
    heard = "time() - (max(wisdom_quote_timestamp_seconds) > 0)"
    written: Words = {"0": ("nobody writes", "red"), "1": ("written", "green")}
    main = '{room="main"}'
    return [
        figure("Chat: online", COUNT, "Clients in the main room, on all replicas.",
               Query(present(f"max(chat_online{main})")), none="no chat", width=4),
        figure("Chat: delay p99", "s", "From a message's publishing to its last write to a client.",
               Query(present(quantile(0.99, "chat_broadcast_delay_seconds", main))),
               alert="ChatSlow", none="no messages", width=4),
        state("Chat: log file", "Whether somebody writes down what is said.",
              Query(present("clamp_max(sum(chat_log_writing), 1)")), written,
              alert="ChatLogUnwritten", none="no chat", width=4),
        figure("Wisdom: subscribers", COUNT, "Clients that get quotes, on all replicas.",
               Query(present("max(wisdom_listening)")), none="no wisdom", width=4),
        figure("Wisdom: last quote", "s", "How long ago anybody heard a quote.",
               Query(present(heard)), none="none yet", width=4),
        figure("Wisdom: delay p99", "s", "From a quote's publication to its last write.",
               Query(present(quantile(0.99, "wisdom_delivery_delay_seconds"))),
               alert="WisdomDeliverySlow", none="no quotes", width=4),
    ]  # fmt: skip
