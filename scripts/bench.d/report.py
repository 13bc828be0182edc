"""Results as a compact Markdown table for people and as JSON for programs."""

import json
import sys
from dataclasses import dataclass, field


def say(text):
    """Prints progress to standard error."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def percentile(values, percent):
    """Returns the smallest value that this many percent of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


@dataclass
class Floor:
    """A promise of the project: a minimum or maximum of a value."""

    name: str
    value: float
    limit: float
    at_least: bool = True

    @property
    def kept(self):
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self):
        relation = "≥" if self.at_least else "≤"
        return f"{self.name}: {self.value:g}, promised {relation} {self.limit:g}: {'kept' if self.kept else 'MISSED'}"


@dataclass
class Report:
    title: str
    rows: list = field(default_factory=list)
    floors: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    block: list = field(default_factory=list)
    details: dict = field(default_factory=dict)

    def markdown(self):
        lines = [f"### {self.title}", ""]
        if self.rows:
            columns = list(dict.fromkeys(name for row in self.rows for name in row))
            lines.append("| " + " | ".join(columns) + " |")
            lines.append("|" + " --- |" * len(columns))
            lines += ["| " + " | ".join(cell(row.get(name)) for name in columns) + " |" for row in self.rows]
            lines.append("")
        lines += [f"- {floor}" for floor in self.floors]
        lines += [f"- {note}" for note in self.notes]
        if self.block:
            lines += ["", "```", *self.block, "```"]
        return "\n".join(lines)

    def json(self):
        floors = [vars(floor) | {"kept": floor.kept} for floor in self.floors]
        return json.dumps(
            {"title": self.title, "rows": self.rows, "floors": floors, "notes": self.notes, "details": self.details},
            ensure_ascii=False,
        )

    @property
    def kept(self):
        return all(floor.kept for floor in self.floors)


def cell(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
