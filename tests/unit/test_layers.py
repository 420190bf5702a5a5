"""The architecture's rules that can be read off the source: who imports whom, and what nobody may do where."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# From the ground up: a module imports from the floors below its own only.
FLOORS = (
    {"facts", "answers", "awscalls", "lean", "wire"},
    {"aws", "kube", "metrics", "patterns"},
    {"spec", "workqueue", "leader", "surroundings", "fluentbit", "credentials"},
    {"actions", "lookups", "entries", "manifests", "wanted"},
    {"limits", "clusters", "clustersfile"},
    {"case", "informer", "sites"},
    {"plan"},
    {"status", "memory", "overlaps", "pods"},
    {"passes"},
    {"surveys", "telling", "checks"},
    {"reconcile"},
    {"config", "explain", "doctor", "podlooks"},
    {"forecast", "export"},
    {"commands", "evictable"},
    {"evictions"},
    {"controller"},
)
FLOOR = {name: number for number, floor in enumerate(FLOORS) for name in floor}
PURE = (
    "spec", "plan", "patterns", "overlaps", "pods", "status", "memory", "surroundings", "facts", "fluentbit", "checks",
    "evictable", "answers", "actions", "limits", "entries", "manifests", "case", "wanted", "awscalls", "wire",
)  # fmt: skip
IMPURE = {"time", "random", "logging", "threading", "socket", "os", "sys"}
# Packages that only some may import; a package that stands nowhere here is a new dependency.
OWNERS = {
    "kubernetes": {"kube"},
    "urllib3": {"kube"},
    "yaml": {"kube", "manifests", "overlaps", "surroundings"},
    "boto3": {"aws"},
    "botocore": {"aws"},
    "pydantic": {"spec", "clustersfile", "overlaps"},
    "prometheus_client": {"metrics", "controller"},
}
THREADS = {"_thread", "concurrent", "multiprocessing", "asyncio", "queue", "subprocess", "signal"}
COMMANDS = {"kube": {"subprocess"}}  # of others, that make credentials; they are ended when they take too long
LOCKS = {
    "threading.Lock",
    "threading.RLock",
    "threading.Condition",
    "threading.local",
    "threading.Event",
    "threading.get_ident",
}
STARTERS = {"aws": {("threading.Thread", "Pool")}}  # whom it may be started by, beside the engine
GRAMMAR = {"GROUP", "VERSION", "KIND", "SUBDOMAIN", "NAME", "NAMESPACE", "LABEL", "LABEL_KEY"}  # what names may be
REFUSALS = {"Conflict", "TooLarge", "WriteRefused"}  # that a pass answers, or raises as the edge does
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
MODULES = sorted(path.stem for path in ROOT.glob("*.py"))
EDGES_AND_RULES = [name for name in MODULES if name != "controller"]


@dataclass(frozen=True)
class Place:
    """A node of a module, and the functions and classes that it stands in, outermost first."""

    node: ast.AST
    inside: tuple[str, ...]
    default: bool  # the default of a parameter


@cache
def places(module: str) -> tuple[Place, ...]:
    return tuple(_places(ast.parse((ROOT / f"{module}.py").read_text()), (), default=False))


def _places(node: ast.AST, inside: tuple[str, ...], *, default: bool) -> Iterator[Place]:
    yield Place(node, inside, default)
    scope = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    within = (*inside, node.name) if scope else inside  # type: ignore[attr-defined]
    defaults = {*node.defaults, *node.kw_defaults} if isinstance(node, ast.arguments) else set[object]()
    for child in ast.iter_child_nodes(node):
        yield from _places(child, within, default=default or child in defaults)


def imports(module: str) -> dict[str, set[str]]:
    """Return the top-level names of the packages that a module imports, anywhere in it, with what it takes of each."""
    found: dict[str, set[str]] = {}
    for place in places(module):
        if isinstance(place.node, ast.Import):
            for alias in place.node.names:
                found.setdefault(alias.name.partition(".")[0], set()).add("")
        elif isinstance(place.node, ast.ImportFrom):
            assert place.node.level == 0, "flat modules have no relative imports"
            taken = found.setdefault((place.node.module or "").partition(".")[0], set())
            taken.update(alias.name for alias in place.node.names)
    return found


def calls(module: str) -> Iterator[tuple[Place, str]]:
    """Yield every use of a dotted name in a module, called or not: handing a clock over is reading it elsewhere."""
    for place in places(module):
        if isinstance(place.node, ast.Attribute | ast.Name):
            yield place, ast.unparse(place.node)


def at(module: str, place: Place) -> str:
    return f"{module}.py:{getattr(place.node, 'lineno', '?')}"


def test_the_program_is_the_modules_of_the_architecture_and_no_others() -> None:
    assert set(MODULES) == FLOOR.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_the_floors_only(module: str) -> None:
    ours = imports(module).keys() & FLOOR.keys()
    assert {other for other in ours if FLOOR[other] >= FLOOR[module]} == set()


@pytest.mark.parametrize("module", PURE)
def test_what_decides_has_no_clock_no_call_and_no_log(module: str) -> None:
    assert imports(module).keys() & IMPURE == set()


@pytest.mark.parametrize("module", [*PURE, "passes", "reconcile"])
def test_the_rules_know_kubernetes_by_its_types_and_names_only(module: str) -> None:
    assert imports(module).get("kube", set()) <= {"Key", "Object", *REFUSALS} | GRAMMAR


@pytest.mark.parametrize("module", MODULES)
def test_each_foreign_package_has_its_owners_and_nobody_else_touches_it(module: str) -> None:
    foreign = imports(module).keys() - FLOOR.keys() - sys.stdlib_module_names
    assert {name for name in foreign if module not in OWNERS.get(name, set())} == set()


def test_the_edges_do_what_their_layer_is_for() -> None:
    assert {"boto3", "botocore"} <= imports("aws").keys()
    assert {"kubernetes", "urllib3"} <= imports("kube").keys()


def test_the_engine_knows_aws_only_where_the_parts_are_wired() -> None:
    assert imports("controller")["aws"] == {""}, "import aws, so that each use can be seen"
    users = {(place.inside or ("the module",))[0] for place, name in calls("controller") if name == "aws"}
    assert users == {"reaching"}


@pytest.mark.parametrize("module", EDGES_AND_RULES)
def test_only_the_engine_and_the_pool_of_aws_start_threads_and_only_the_engine_hears_signals(module: str) -> None:
    assert imports(module).keys() & THREADS <= COMMANDS.get(module, set())
    used = {(name, (place.inside or (module,))[0]) for place, name in calls(module) if name.startswith("threading.")}
    assert {(name, owner) for name, owner in used if name not in LOCKS} <= STARTERS.get(module, set())


def test_a_thread_of_the_pool_ends_with_the_process() -> None:
    (started,) = [place.node for place in places("aws") if _starts_a_thread(place.node)]
    assert isinstance(started, ast.Call)
    assert [ast.unparse(each.value) for each in started.keywords if each.arg == "daemon"] == ["True"]


def _starts_a_thread(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "threading.Thread"


@pytest.mark.parametrize("module", MODULES)
def test_nothing_catches_everything_but_the_loop_and_the_pass(module: str) -> None:
    allowed = {("Controller", "run_once"), ("loop",)} if module == "controller" else set()
    broad = {"Exception", "BaseException"}
    for place in places(module):
        if isinstance(place.node, ast.ExceptHandler):
            caught = {ast.unparse(each) for each in ast.walk(place.node.type)} if place.node.type else {"Exception"}
            assert not caught & broad or place.inside in allowed, at(module, place)
        elif isinstance(place.node, ast.Call) and ast.unparse(place.node.func).endswith("suppress"):
            assert not {ast.unparse(each) for each in place.node.args} & broad, at(module, place)


def test_the_loop_and_the_pass_do_survive_a_bug() -> None:
    caught = [
        place.inside
        for place in places("controller")
        if isinstance(place.node, ast.ExceptHandler) and place.node.type and ast.unparse(place.node.type) == "Exception"
    ]
    assert caught == [("Controller", "run_once"), ("loop",)]


@pytest.mark.parametrize("module", MODULES)
def test_nobody_sleeps(module: str) -> None:
    assert "sleep" not in imports(module).get("time", set())
    assert [at(module, place) for place, name in calls(module) if name.rpartition(".")[2] == "sleep"] == []


@pytest.mark.parametrize("module", EDGES_AND_RULES)
def test_time_and_chance_are_handed_in(module: str) -> None:
    taken = imports(module)
    assert not (taken.get("time", set()) | taken.get("random", set())) - {""}, "from time, from random"
    assert "uuid" not in taken
    assert "secrets" not in taken
    read = []
    for place, name in calls(module):
        owner, _, attribute = name.rpartition(".")
        clock = owner.rpartition(".")[2] in {"datetime", "date", "time"} and attribute in CLOCKS
        if (clock or owner == "random") and not place.default:
            read.append(f"{at(module, place)} {name}")
    assert read == []


@pytest.mark.parametrize("module", MODULES)
def test_no_function_is_longer_than_forty_lines(module: str) -> None:
    functions = [place for place in places(module) if isinstance(place.node, ast.FunctionDef)]
    long = {
        f"{at(module, place)} {place.node.name}": lines  # type: ignore[attr-defined]
        for place in functions
        if (lines := place.node.end_lineno - place.node.lineno + 1) > 40  # type: ignore[attr-defined]
    }
    assert long == {}


@pytest.mark.parametrize("module", MODULES)
def test_each_module_says_in_its_first_lines_what_it_is_and_what_it_is_not(module: str) -> None:
    said = ast.get_docstring(ast.parse((ROOT / f"{module}.py").read_text())) or ""
    assert "is not:" in said
    assert len(said.splitlines()) <= 15


def test_each_module_has_the_file_of_its_tests() -> None:
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / "unit").glob("test_*.py")}
    assert set(MODULES) - tested == set()
