"""Run the simulation: all cases of all stories, random worlds, random specs; fail on a broken promise or a blind spot.

    python -m tests.simulation --seeds 2000          everything, as `make sim` does
    python -m tests.simulation --seed 17             one random world again, with its history
    python -m tests.simulation --seed 17 --only 3,9  the same with nothing happening but at these points
    python -m tests.simulation --case "delete:40:2"  one story with one thing going wrong
    python -m tests.simulation --spec 5              one sequence of specs

A blind spot is a row of the plan that no world has reached, or a call that a fault which fits it has never met.
The words of the simulation are explained in `tests/simulation/__init__.py`.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.pool import IMapIterator
from typing import Any

import plan
from actions import Action
from case import Case as Seen
from tests.fakes.eks import SERVICE_OF, operation
from tests.simulation import specs
from tests.simulation.checker import EXCEPTIONS, Violation
from tests.simulation.deeds import FATES, FAULTS, SLEEPS
from tests.simulation.scenarios import STORIES, Case, begin, cases, play
from tests.simulation.world import CALM, Call, World, listen_for_bugs
from tests.simulation.worlds import live, shorten

KUBE = (
    "List",
    "Watch",
    "WatchEvent",
    "Get",
    "GetNamespace",
    "GetLease",
    "UpdateLease",
    "GetPods",
    "CreateAccessReview",
    "GetReplicaSet",
    "GetWebhook",
    "CreateEviction",
)
KUBE_CALLS = (*KUBE, "PatchStatus", "PatchFinalizers", "CreateEvent")
CHUNK = 25
WORLD_SECONDS = 600  # of one world: minutes where a broken promise is shortened
UNIT_SECONDS = 900.0  # within which some unit is done: 3 s as a rule
LOOK_SECONDS = 0.5  # how often it is seen whether who started this process is still there
TOLD_EACH_SECONDS = 30
SHOWN_AFTER_CALM = 30  # lines of a history: what comes later repeats itself

rows: Counter[str] = Counter()


@dataclass
class Report:
    """What some worlds have come to."""

    worlds: int = 0
    effects: int = 0
    crashes: int = 0
    cells: Counter[tuple[str, str]] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    excuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def take(self, world: World) -> None:
        """Count what a world has come to, and end it: most of it is free then without the collector's long search."""
        self.worlds += 1
        self.effects += world.calls.total()
        self.crashes += world.crashes
        self.cells += world.cells
        self.excuses += world.excuses
        vars(world).clear()

    def merge(self, other: Report) -> None:
        self.worlds, self.effects = self.worlds + other.worlds, self.effects + other.effects
        self.crashes += other.crashes
        self.cells, self.rows, self.excuses = (
            self.cells + other.cells,
            self.rows + other.rows,
            self.excuses + other.excuses,
        )
        self.failures += other.failures


class Hangs(BaseException):
    """A world has not come to its end in time; no Exception, so that nothing in it takes this for its own."""


# One unit of work, in a process of its own


def run(unit: tuple[str, Any]) -> Report:
    """Live some worlds; a failure comes with its history and the command that replays it."""
    kind, what = unit
    report, before = Report(), rows.copy()
    lives: dict[str, Callable[[Report, Any], None]] = {"case": _run_case, "seed": _run_seed, "spec": _run_spec}
    for each in what:
        signal.alarm(WORLD_SECONDS)
        try:
            lives[kind](report, each)
        except Hangs:
            named = f'--case "{each.story}:{each.point}:{each.number}"' if kind == "case" else f"--{kind} {each}"
            report.failures.append(f"{traceback.format_exc()}replay: python -m tests.simulation {named}\n")
        finally:
            signal.alarm(0)
    report.rows = rows - before
    gc.collect()
    return report


def _run_case(report: Report, case: Case) -> None:
    world = begin(case.script)
    try:
        play(world, case.story)
    except Violation as violation:
        report.failures.append(_told(world, violation, f'--case "{case.story}:{case.point}:{case.number}"'))
    report.take(world)


def _run_seed(report: Report, seed: int) -> None:
    outcome = live(seed)
    if outcome.violation:
        short = shorten(seed, outcome)
        points = ",".join(map(str, short.done))
        report.failures.append(_told(short.world, short.violation, f"--seed {seed} --only {points}"))
    report.take(outcome.world)


def _run_spec(report: Report, seed: int) -> None:
    world = specs.begin(seed)
    try:
        specs.check(world, seed)
    except Violation as violation:
        report.failures.append(_told(world, violation, f"--spec {seed}"))
    report.take(world)


def _told(world: World, violation: Violation | None, command: str) -> str:
    lines = [f"{moment:9.3f}  {who:<8}  {str(what)[:300]}" for moment, who, what in world.history]
    told = [what for _, _, what in world.history]
    calm = told.index(CALM) if CALM in told else len(lines)
    shown = lines[: calm + SHOWN_AFTER_CALM]
    if len(lines) > len(shown):
        shown.append(f"           ... and {len(lines) - len(shown)} lines more")
    return "\n".join([*shown, f"{violation}", f"replay: python -m tests.simulation {command}", ""])


def count_rows() -> None:
    """Have every row of the plan count how often it is the one that fits."""

    def counting(row: plan.Row[Any]) -> plan.Row[Any]:
        def then(case: Seen, found: Any) -> Action:
            rows[row.seen] += 1
            return row.then(case, found)

        return row._replace(then=then)

    plan.PLAN = tuple(counting(row) for row in plan.PLAN)


def prepare() -> None:
    if parent := multiprocessing.parent_process():
        end_after(parent.join)
    signal.signal(signal.SIGALRM, hangs)
    listen_for_bugs()
    count_rows()
    gc.freeze()
    gc.disable()  # worlds are many and short: what they leave is collected after each unit


def hangs(*_: object) -> None:
    raise Hangs(f"a world has not ended within {WORLD_SECONDS} s")


def end_after(gone: Callable[[], object]) -> None:
    """End this process at once when a call has returned, whatever it is doing: a killed suite leaves nothing behind."""

    def watch() -> None:
        gone()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def until_orphaned(parent: int) -> None:
    """Return when this process has another parent than the one that is named, which has died then."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)


# All of it


def units(options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    if options.case:
        name, point, number = options.case.split(":")
        yield "case", [Case(name, int(point), int(number))]
        return
    met = set[tuple[str, str]]()
    for name in STORIES if options.every else ():
        chosen = [
            each for number, each in enumerate(cases(name)) if number % options.every == 0 or each.cell not in met
        ]
        met |= {each.cell for each in chosen}
        yield from (("case", chosen[start : start + CHUNK]) for start in range(0, len(chosen), CHUNK))
    first = options.first_seed
    for kind, count in (("seed", options.seeds), ("spec", options.specs)):
        yield from (
            (kind, range(start, min(start + CHUNK, first + count))) for start in range(first, first + count, CHUNK)
        )


def cells_to_reach() -> set[tuple[str, str]]:
    """Return each call with each fault and fate that can meet it."""
    calls = [Call(service, operation(method), "", {}, lambda: None) for method, service in SERVICE_OF.items()]
    calls += [Call("kube", name, "", {}, lambda: None) for name in KUBE_CALLS]
    return {(call.operation, each.name) for call in calls for each in (*FAULTS, *FATES, *SLEEPS) if each.meets(call)}


# Rows that no world makes yet, and where they are tried alone: no profile here is full of tags.
TRIED_ELSEWHERE = {"owned, no room for a tag missing": "tests/unit/test_terms.py"}


def blind_spots(report: Report) -> list[str]:
    missed = [row.seen for row in plan.PLAN if not report.rows[row.seen] and row.seen not in TRIED_ELSEWHERE]
    unreached = [f"row of the plan: {seen}" for seen in missed]
    return unreached + [f"{fault} at {call}" for call, fault in sorted(cells_to_reach() - report.cells.keys())]


def summary(report: Report, seconds: float) -> str:
    faults = {(call, name): times for (call, name), times in report.cells.items() if call != "Idle"}
    reached = sum(report.rows[row.seen] > 0 for row in plan.PLAN)
    met = len(cells_to_reach() & report.cells.keys())
    excused = "\n".join(f"  {times:>7} times: {EXCEPTIONS[name]}" for name, times in sorted(report.excuses.items()))
    return (
        f"{report.worlds} worlds, {report.effects} effects, {report.crashes} crashes, {sum(faults.values())} faults and"
        f" other deeds in {seconds:.0f} s;\n"
        f"{reached} of {len(plan.PLAN)} rows of the plan and {met} of {len(cells_to_reach())} cells of call and"
        f" fault were reached.\n"
        f"Rows that no world here has to reach, as unit tests alone try them: {len(TRIED_ELSEWHERE)}.\n"
        f"Exceptions that the architecture names, and how often a promise rested on one:\n{excused or '  none'}\n"
    )


def each_done(parts: IMapIterator[Report]) -> Iterator[Report]:
    """Yield the units' reports; a worker that was killed takes its unit with it, and a world may hang."""
    while True:
        try:
            yield parts.next(UNIT_SECONDS)
        except StopIteration:
            return
        except multiprocessing.TimeoutError:
            raise SystemExit(
                f"no unit was done within {UNIT_SECONDS:.0f} s: a world hangs, or its worker was killed"
            ) from None


def everything(options: argparse.Namespace) -> int:
    started, report = time.monotonic(), Report()
    told = started
    listen_for_bugs()
    with multiprocessing.Pool(options.processes, prepare) as pool:
        if options.parent:  # after the workers were made: a process with threads is no good one to fork
            end_after(partial(until_orphaned, options.parent))
        print(f"{options.processes} processes at work", flush=True)
        for part in each_done(pool.imap_unordered(run, units(options))):
            report.merge(part)
            if time.monotonic() - told > TOLD_EACH_SECONDS:
                told = time.monotonic()
                print(f"{report.worlds} worlds so far, {len(report.failures)} broke a promise", flush=True)
            if part.failures and options.first:
                break
    print("\n".join(report.failures[: options.show]))
    print(summary(report, time.monotonic() - started))
    blind = [] if options.partial or options.case else blind_spots(report)
    for each in blind:
        print(f"never reached: {each}")
    if report.failures:
        print(f"{len(report.failures)} worlds broke a promise")
    return 1 if report.failures or blind else 0


def one(options: argparse.Namespace) -> int:
    """Live one random world again, and show it."""
    prepare()
    only = [int(number) for number in options.only.split(",") if number] if options.only is not None else None
    outcome = live(options.seed, only)
    print(_told(outcome.world, outcome.violation, f"--seed {options.seed}"))
    return 1 if outcome.violation else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", allow_abbrev=False)
    parser.add_argument("--seeds", type=int, default=2000, help="random worlds")
    parser.add_argument("--specs", type=int, default=1000, help="sequences of specs")
    parser.add_argument("--every", type=int, default=1, help="of the stories' cases take each n-th, 0 for none")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--parent", type=int, help="end at once when this process, which started us, has ended")
    parser.add_argument("--partial", action="store_true", help="leave blind spots alone")
    parser.add_argument("--first", action="store_true", help="stop at the first broken promise")
    parser.add_argument("--show", type=int, default=3, help="failures that are told in full")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only")
    parser.add_argument("--case")
    parser.add_argument("--spec", type=int)
    options = parser.parse_args(arguments)
    # Whoever started this may have them blocked, and the pool ends its workers by one of them.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    if options.seed is not None:
        return one(options)
    if options.spec is not None:
        options.every, options.seeds, options.first_seed, options.specs = 0, 0, options.spec, 1
        options.partial = True
    return everything(options)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of a world
        again = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {"PYTHONHASHSEED": "0"})
    sys.exit(main(sys.argv[1:]))
