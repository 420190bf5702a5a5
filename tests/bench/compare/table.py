"""The table: its rows, their goals, medians, and how it is printed, for people and as JSON. Pure.

A goal is the most that this controller may take, as such or as a multiple of what the floor takes.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

OURS, FLOOR = "ours", "floor"
COLUMNS = ("kopf", FLOOR, OURS)
DIGITS = 3  # that a figure is shown with, where it has no more before the point

Values = Mapping[str, Mapping[str, Sequence[float]]]  # by row and candidate, one a round


class Row(NamedTuple):
    """A figure: its name among the measured ones, what it is, its unit; `goal` of this controller, None for none."""

    name: str
    what: str
    unit: str
    goal: float | None = None
    times_floor: bool = False


def rows_of_many(objects: int, clusters: int, p50: float, longest: float) -> tuple[Row, ...]:
    """Return the rows of so many objects over so many clusters."""
    world = f"{objects:,} objects over {clusters}"
    return (
        Row(f"drain-p50-{objects}", f"{world}: profile ACTIVE -> Ready said, p50", "s", p50),
        Row(f"drain-max-{objects}", f"{world}: the same, longest", "s", longest),
        Row(f"restart-calls-{objects}", f"{world}: restart, AWS calls until quiet", ""),
        Row(f"restart-minute-{objects}", f"{world}: restart, AWS calls a cluster in the first minute", "", 1),
        Row(f"restart-waits-{objects}", f"{world}: restart, a new object waits for its create", "s", 0.5),
        Row(f"resync-{objects}", f"{world}: resync, busiest tenth / mean", "", 2),
        Row(f"object-{objects}", f"{world}: resident memory an object", "KiB", 8),
    )


def rows(worlds: Mapping[int, int]) -> tuple[Row, ...]:
    """Return all rows; `worlds` has the numbers of objects and clusters of those with many."""
    goals = {1000: (1.0, 3.0), 5000: (2.0, 6.0)}
    many = [
        row for count, clusters in worlds.items() for row in rows_of_many(count, clusters, *goals.get(count, (1, 3)))
    ]
    return (
        Row("create", "object -> CreateFargateProfile request, p50, AWS at 20 ms", "ms", 2.5, times_floor=True),
        Row("create-near", "the same, AWS at 0 ms", "ms", 2.5, times_floor=True),
        Row("burst", "burst of objects over clusters, all requests sent", "s"),
        Row("burst-cpu", "CPU an object in a burst", "ms"),
        Row("start", "start -> first create", "ms", 1.5, times_floor=True),
        Row("idle", "resident memory, idle", "MiB", 55),
        Row("writes", "Kubernetes writes until Ready", "", 5),
        Row("delete", "delete -> DeleteFargateProfile request, p50", "ms"),
        Row("gone", "the look that finds the profile gone -> object gone, p50", "ms", 100),
        *many,
        Row("fleet-memory", "200 clusters in 10 accounts and 5 regions, resident memory more than with one", "MiB", 40),
        Row("fleet-create", "the same, object -> request, p50, as many times as with one", "", 1.5),
        Row("pass", "CPU of a settled pass with 100 profiles in the cluster", "ms", 0.3),
    )


def median(values: Values, row: str, candidate: str) -> float | None:
    """Return the median of the rounds; None where nothing was measured."""
    found = values.get(row, {}).get(candidate)
    return statistics.median(found) if found else None


def most(row: Row, values: Values) -> float | None:
    """Return what this controller may take; None where there is no goal, or no floor to hold it to."""
    if row.goal is None or not row.times_floor:
        return row.goal
    floor = median(values, row.name, FLOOR)
    return None if floor is None else row.goal * floor


def met(row: Row, values: Values) -> bool | None:
    """Say whether the goal is met; None where that can't be said."""
    ours, bound = median(values, row.name, OURS), most(row, values)
    return None if ours is None or bound is None else ours <= bound


def measured(every: Sequence[Row], values: Values) -> list[Row]:
    return [row for row in every if values.get(row.name)]


def as_text(every: Sequence[Row], values: Values) -> str:
    """Return the table in Markdown, the rows that were measured."""
    lines = [f"| figure | {' | '.join(COLUMNS)} | goal | |", f"|---|{'---|' * (len(COLUMNS) + 2)}"]
    for row in measured(every, values):
        cells = [row.what, *(_shown(median(values, row.name, each), row.unit) for each in COLUMNS)]
        lines.append(f"| {' | '.join([*cells, _goal(row), VERDICTS[met(row, values)]])} |")
    return "\n".join(lines)


VERDICTS = {True: "met", False: "missed", None: ""}


def _goal(row: Row) -> str:
    if row.goal is None:
        return ""
    return f"<= {row.goal:g} x floor" if row.times_floor else f"<= {row.goal:g} {row.unit}".rstrip()


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    before = len(f"{abs(value):.0f}")
    return f"{value:,.{max(0, DIGITS - before)}f} {unit}".rstrip()


def as_json(every: Sequence[Row], values: Values) -> list[dict[str, Any]]:
    """Return a dictionary for each row that was measured, with the value of each round."""
    return [
        {
            "name": row.name,
            "what": row.what,
            "unit": row.unit,
            "values": {candidate: list(found) for candidate, found in values[row.name].items()},
            "medians": {candidate: median(values, row.name, candidate) for candidate in values[row.name]},
            "goal": _goal(row),
            "met": met(row, values),
        }
        for row in measured(every, values)
    ]
