"""How fast this controller is, beside the least that is possible and beside the original: make bench.

    python -m tests.bench.compare [--only paced,burst] [--rounds 5] [--large] [--json FILE]

All candidates meet the same kube-apiserver and the same stand-in for AWS, on this machine and in turn, and each figure
is the median of the rounds. Progress goes to stderr, the table to stdout. What could not be measured has an empty cell,
its reason on stderr, and the exit code is 1; a goal that is missed is a figure and no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import fleet
from tests.bench.compare.candidates import CANDIDATES, KOPF, OURS, Candidate, Died, arena
from tests.bench.compare.many import many, one_pass
from tests.bench.compare.measure import ROUNDS, Figures, Sizes, say
from tests.bench.compare.table import Row, as_json, as_text, rows
from tests.e2e.controlplane import Unavailable, find_binaries

CHOICES = (*ROUNDS, "many", "fleet", "pass")
WORLD, LARGE = (1000, 100), (5000, 500)  # objects, clusters
WHAT = {
    "rounds": "rounds of all that is compared",
    "paced": "objects that come and go one after the other, a round",
    "burst": "objects that come at once",
    "burst_clusters": "clusters that these are spread over",
    "minute": "seconds that a restart is watched for",
    "resync_seconds": "seconds of the resync that is watched",
    "creating_seconds": "seconds that a profile takes to be made",
}


@dataclass
class Record:
    """What was measured so far, by row and candidate, and what could not be."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failed: int = 0

    def take(self, what: str, candidate: str, measured: Callable[[], Figures]) -> None:
        """Measure, and go on without the figures where that fails."""
        say(f"{what}: {candidate} ...")
        began = time.monotonic()
        try:
            figures = measured()
        except (AssertionError, Died, OSError) as error:
            self.failed += 1
            say(f"{what}: {candidate}: NOT MEASURED: {error}")
            return
        for name, value in figures.items():
            self.values.setdefault(name, {}).setdefault(candidate, []).append(value)
        shown = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
        say(f"{what}: {candidate}: {shown} (took {time.monotonic() - began:.0f} s)")


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.compare", description=__doc__.splitlines()[0])
    names = [candidate.name for candidate in CANDIDATES]
    parser.add_argument("--only", type=listed(CHOICES), default=list(CHOICES), help=f"of {', '.join(CHOICES)}")
    parser.add_argument("--candidates", type=listed(names), default=names, help=f"of {', '.join(names)}")
    parser.add_argument("--many", type=world, default=WORLD, help="objects/clusters of the row with many [1000/100]")
    parser.add_argument("--large", action="store_true", help="also 5,000 objects over 500 clusters")
    parser.add_argument("--many-rounds", type=int, default=1, help="rounds of these, which take minutes each [1]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    for size in fields(Sizes):
        kind = int if isinstance(size.default, int) else float
        flag, what = f"--{size.name.replace('_', '-')}", f"{WHAT[size.name]} [{size.default:g}]"
        parser.add_argument(flag, type=kind, default=size.default, help=what)
    return parser


def listed(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return what reads a list, separated by commas, of known words."""

    def read(text: str) -> list[str]:
        words = text.split(",")
        if unknown := set(words) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: none of {', '.join(known)}")
        return words

    return read


def world(text: str) -> tuple[int, int]:
    objects, _, clusters = text.partition("/")
    return int(objects), int(clusters)


def compare(only: Sequence[str], candidates: Sequence[Candidate], sizes: Sizes, record: Record) -> None:
    """Measure all candidates in turn, each round begun by another."""
    wanted = [name for name in ROUNDS if name in only]
    if not wanted:
        return
    with arena() as made:
        for number in range(sizes.rounds):
            shift = number % len(candidates)
            for name in wanted:
                for candidate in [*candidates[shift:], *candidates[:shift]]:
                    what = f"round {number + 1} of {sizes.rounds}: {name}"
                    record.take(what, candidate.name, partial(ROUNDS[name], made, candidate, sizes))


def ours_alone(asked: argparse.Namespace, worlds: dict[int, int], sizes: Sizes, record: Record) -> None:
    if "pass" in asked.only:
        for _ in range(sizes.rounds):
            record.take("pass", OURS.name, one_pass)
    if "fleet" in asked.only:
        record.take("fleet", OURS.name, fleet.compared)
    if "many" in asked.only:
        for objects, clusters in worlds.items():
            for _ in range(asked.many_rounds):
                what = f"{objects:,} objects over {clusters} clusters"
                record.take(what, OURS.name, partial(many, objects, clusters, sizes))


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for, print the table, and say by the exit code whether all could be measured."""
    asked = command_line().parse_args(arguments)
    if ready := missing(asked.candidates):
        print(ready, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended
    sizes = Sizes(**{size.name: getattr(asked, size.name) for size in fields(Sizes)})
    worlds = dict([asked.many, *([LARGE] if asked.large else [])])
    record, every = Record(), rows(worlds)
    chosen = [candidate for candidate in CANDIDATES if candidate.name in asked.candidates]
    try:
        compare(asked.only, chosen, sizes, record)
        if OURS in chosen:
            ours_alone(asked, worlds, sizes, record)
    except KeyboardInterrupt:
        record.failed += 1
        say("ended early: the table has what was measured so far")
    report(every, record, asked.json, arguments)
    return 1 if record.failed else 0


def missing(candidates: Sequence[str]) -> str:
    """Return what has to be there and is not, in a sentence; "" for nothing."""
    try:
        find_binaries()
    except Unavailable as error:
        return str(error)
    if "kopf" in candidates and not KOPF.exists():
        return "There is no kopf in .cache/bench: run `make bench`, or leave it out with --candidates floor,ours."
    return ""


def report(every: Sequence[Row], record: Record, file: Path | None, arguments: Sequence[str]) -> None:
    on = machine()
    print(f"\n{on['date']}, {on['cores']} cores, {on['memory_gib']} GiB, Python {on['python']}:\n")
    print(as_text(every, record.values))
    if file:
        said = {**on, "arguments": [*arguments], "failed": record.failed, "rows": as_json(every, record.values)}
        file.write_text(json.dumps(said, indent=2) + "\n")


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
