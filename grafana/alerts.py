"""The alerts as the rules define them: the one place where a threshold is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parent / "prometheus" / "rules"
COLOURS = {"warning": "orange", "critical": "red"}


@dataclass(frozen=True)
class Alert:
    """An alert that fires while `symptom` is at least `number`, or, if `below`, less than it."""

    name: str
    symptom: str
    below: bool
    number: float
    severity: str
    annotations: dict[str, str]

    @property
    def colour(self) -> str:
        """What shows it on a dashboard."""
        return COLOURS[self.severity]


def rules() -> list[dict[str, Any]]:
    """List all rules, of recordings and of alerts."""
    files = [yaml.safe_load(path.read_text()) for path in sorted(RULES.glob("*.yml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def alerts() -> dict[str, Alert]:
    """Read the alerts; raises ValueError where an expression does not end in a comparison."""
    return {rule["alert"]: _alert(rule) for rule in rules() if "alert" in rule}


def _alert(rule: dict[str, Any]) -> Alert:
    found = re.fullmatch(r"(?s)(.*\S)\s+(>=|<)\s+([0-9.]+)\s*", rule["expr"])
    if not found:
        raise ValueError(f"{rule['alert']}: the expression ends in no comparison with a number")
    symptom, comparison, number = found.groups()
    severity = rule["labels"]["severity"]
    return Alert(
        rule["alert"], symptom, comparison == "<", float(number), severity, rule["annotations"]
    )
