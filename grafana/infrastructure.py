"""What all services stand on: Redis, the gateway, the processes and who scrapes them."""

from __future__ import annotations

from .board import Board, Row, Variable
from .flow import leases
from .panels import COUNT, MESSAGES, Panel, Words, bars, course, figure, state, timeline, top
from .queries import Query, count, counts, present, quantiles, rate, rates, ten

HERE = '{job=~"$job", instance=~"$instance"}'
UP: Words = {"0": ("does not answer", "red"), "1": ("answers", "green")}
CALLS = "suffix: calls/s"


def board() -> Board:
    """Put the infrastructure's dashboard together."""
    return Board(
        "infrastructure", "Infrastructure", "Redis, the gateway, and the processes.",
        [
            Row(now()), Row([timeline(
                "Who answers", "Whether the processes answer Prometheus; one that is gone leaves "
                "a gap, and a new one is another line.",
                Query(f"max by (job, instance) (up{HERE})", "{{job}} {{instance}}"),
                words=UP, alert="TargetDown", height=10, width=12,
            ), leases("", 10)]),
            Row(redis(), "Redis"), Row(processes(), "Processes"), Row(gateway(), "Gateway"),
            Row(simulator(), "Test feed and checking endpoint", closed=True),
        ],
        [
            Variable("job", "Service", "label_values(up, job)"),
            Variable("instance", "Replica", 'label_values(up{job=~"$job"}, instance)'),
        ],
        feeds=False, leases="",
    )  # fmt: skip


def now() -> list[Panel]:
    """Show the present, and what is wrong with the machinery."""
    return [
        state("Redis", "Whether Redis answers everybody who asks it.",
              Query(present('min(redis_up{job!="simulator"})')), UP, alert="RedisDown",
              none="nobody asks", width=4),
        figure("Memory of Redis", "percentunit", "Memory in use, of maxmemory. Full, Redis refuses "
               "writes and the feeds pause.", Query(present("max(redis_memory:ratio)")),
               alert="RedisMemoryHigh", none="no limit", width=4),
        figure("Failed commands", COUNT, "Commands that failed within five minutes and were "
               "tried again.", Query(present("sum(increase(redis_failures_total[5m]))")),
               none="nobody asks", width=4),
        figure("Processes that answer", COUNT, "Processes that answer Prometheus.",
               Query(present("sum(up)")), none="none", width=4),
        figure("Busiest process", "percentunit", "Share of a core that the busiest process takes; "
               "a service has one at most.",
               Query(present("max(rate(process_cpu_seconds_total[$__rate_interval]))")),
               none="none", width=4),
        figure("Clients at the gateway", COUNT, "Sessions that are open at the gateway.",
               Query(present("sum(haproxy_frontend_current_sessions)")), none="no gateway",
               width=4),
    ]  # fmt: skip


def redis() -> list[Panel]:
    """Show the Redis server, and how the services fare with it."""
    calls = "sum by (cmd) (rate(redis_commands_total[$__rate_interval]))"
    seconds = "sum by (cmd) (rate(redis_commands_duration_seconds_total[$__rate_interval]))"
    return [
        course("Redis memory", "bytes", "Memory in use, and its limit.",
               Query("max(redis_memory_used_bytes)", "in use", "light-blue"),
               Query("max(redis_memory_max_bytes) > 0", "limit", "text"), width=8),
        top("Redis commands", CALLS, "The ten commands most called.",
            Query(ten(calls, "cmd"), "{{cmd}}"), width=8),
        top("Redis duration", "s", "Mean time of the ten slowest commands, waiting excluded.",
            Query(ten(f"{seconds} / ({calls} > 0)", "cmd"), "{{cmd}}"), log=True, width=8),
        bars("Redis faults", "Commands that failed and were tried again, by service and reason, "
             "and connections that Redis turned away.",
             counts("redis_failures_total", "job, reason", "{{job}}: {{reason}}"),
             count("redis_rejected_connections_total", "turned away"), width=12),
        course("Redis clients", "short", "Connections to Redis, and commands of them that wait.",
               Query("max(redis_connected_clients)", "connected", "light-blue"),
               Query("max(redis_blocked_clients)", "waiting", "yellow"), width=12),
    ]  # fmt: skip


def processes() -> list[Panel]:
    """Show the processes."""
    ours = 'job=~"$job", instance=~"$instance"'
    return [
        top("CPU", "percentunit", "Share of a core: the ten busiest processes. A single-threaded "
            "service has one core at most.",
            Query(ten(f"rate(process_cpu_seconds_total{{{ours}}}[$__rate_interval])",
                      "job, instance"), "{{job}} {{instance}}")),
        top("Memory", "bytes", "Resident memory: the ten largest processes.",
            Query(ten(f"process_resident_memory_bytes{{{ours}}}", "job, instance"),
                  "{{job}} {{instance}}")),
    ]  # fmt: skip


def gateway() -> list[Panel]:
    """Show the gateway, through which browsers come to chat, wisdom and the page."""
    codes = '{code=~"4xx|5xx"}'
    return [
        course("Sessions", "short", "Sessions that are open, by what they came for.",
               Query("sum by (proxy) (haproxy_frontend_current_sessions)", "{{proxy}}"), width=8),
        bars("Gateway faults", "Requests that were answered with an error or denied as too many, "
             "and replicas that could not be reached.",
             counts("haproxy_frontend_http_responses_total", "proxy, code", "{{proxy}}: {{code}}",
                    codes),
             counts("haproxy_frontend_requests_denied_total", "proxy", "{{proxy}}: denied"),
             counts("haproxy_backend_connection_errors_total", "proxy", "{{proxy}}: unreachable"),
             width=8),
        course("Replicas behind the gateway", "short", "Replicas that clients are sent to.",
               Query("sum by (proxy) (haproxy_backend_active_servers)", "{{proxy}}"), width=8),
    ]  # fmt: skip


def simulator() -> list[Panel]:
    """Show the test feed and the checking endpoint, and who looks at the page."""
    faults = {
        "out of order": "out_of_order", "repeated": "repeated", "corrupted": "corrupted",
        "not known": "unknown", "connection refused": "refusals",
    }  # fmt: skip
    return [
        course("Test messages", MESSAGES, "Messages of the test feed, by what became of them, and "
               "messages that the checking endpoint received.",
               rates("simulator_feed_messages_total", "kind", "feed: {{kind}}"),
               rate("simulator_endpoint_received_total", "endpoint: received"), width=6),
        bars("What the endpoint found", "What the checking endpoint found wrong. Repeats after a "
             "reconnect are right; anything out of order is not.",
             *(count(f"simulator_endpoint_{name}_total", words)
               for words, name in faults.items()), width=6),
        course("Delay of test messages", "s", "From the test feed's sending to the checking "
               "endpoint's receipt.", *quantiles("simulator_endpoint_delay_seconds"), log=True,
               width=6),
        course("Looks at the page", "suffix: looks/s", "How often somebody asks for a picture of "
               "the relay at work.", rates("viewer_looks_total", "picture", "{{picture}}"),
               width=6),
    ]  # fmt: skip
