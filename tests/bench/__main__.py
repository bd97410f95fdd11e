"""Run the benchmarks: `python -m tests.bench [throughput] [latency] [reorder] [--messages N]`."""

from __future__ import annotations

import argparse
import asyncio
import os
from statistics import median

from . import reorder
from .contest import Result, contest

BENCHES = ("throughput", "latency", "reorder")


async def throughput(messages: int, repeats: int) -> None:
    """Alternate the relay with the direct scripts at full speed."""
    print(f"\nThroughput: {messages} messages at full speed, {repeats} rounds, alternating")
    rounds: dict[str, list[Result]] = {"relay": [], "tuned": [], "plain": []}
    for at in range(repeats):
        for name, results in rounds.items():
            result = await contest(name, messages, 0)
            results.append(result)
            exact = "all in order" if result.exact else f"FAULTS: {result.report}"
            print(
                f"  round {at + 1}  {name:<6} {result.rate:>9,.0f} messages/s  {exact}", flush=True
            )
    rates = {name: median(result.rate for result in results) for name, results in rounds.items()}
    for name in ("tuned", "plain"):
        both = zip(rounds["relay"], rounds[name], strict=True)
        pairs = [ours.rate / other.rate for ours, other in both]
        print(f"  relay / {name}: {median(pairs):.2f} (median of {repeats} pairs)")
    print(f"  relay: {rates['relay']:,.0f} messages/s (median)")
    middle = sorted(rounds["relay"], key=lambda result: result.rate)[repeats // 2]
    shares = ", ".join(f"{name} {cpu / messages * 1e6:.1f}" for name, cpu in middle.cpu.items())
    print(f"  relay, CPU µs per message: {shares}")


async def latency(seconds: int, repeats: int) -> None:
    """Measure delays of an orderly load: depth 5, every tenth message displaced."""
    print(f"\nDelay from the feed's send to the endpoint's receive, {seconds} s each, depth 5")
    for rate in (1000, 10_000):
        for at in range(repeats):
            result = await contest(
                "relay", rate * seconds, rate, SIMULATOR_REORDER="0.1", SIMULATOR_DEPTH="5"
            )
            total, added = result.report["delay_ms"], result.report["added_ms"]
            print(
                f"  {rate:>6}/s  round {at + 1}  min {total['min']:.2f}"
                f"  median {total['median']:.2f}  p99 {total['p99']:.2f} ms;"
                f" beyond what order demands: median {added['median']:.2f}"
                f"  p99 {added['p99']:.2f} ms"
                + ("" if result.exact else f"  FAULTS: {result.report}"),
                flush=True,
            )


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("bench", nargs="*", default=[], help=f"of {', '.join(BENCHES)}; all")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    unknown = set(options.bench) - set(BENCHES)
    if unknown:
        parser.error(f"there is no such bench: {', '.join(sorted(unknown))}")
    chosen = options.bench or BENCHES
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.2f}")
    if "reorder" in chosen:
        print("\nReorder buffer alone")
        for line in reorder.lines(options.repeats):
            print(f"  {line}", flush=True)
    if "throughput" in chosen:
        asyncio.run(throughput(options.messages, options.repeats))
    if "latency" in chosen:
        asyncio.run(latency(options.seconds, options.repeats))


if __name__ == "__main__":
    main()
