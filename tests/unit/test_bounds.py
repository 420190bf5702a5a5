"""No test goes on for ever on a product that is broken: what can be read off the loops and waits in tests/.

A `while` is bounded if its condition, an assert in it or an `if` that leaves it compares a clock. Each other one stands
in `ENDS_OTHERWISE`, with what ends it; so does a wait without a time. A test as a whole is ended by pytest-timeout.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import pytest

TESTS = Path(__file__).resolve().parents[1]
ENDS_OTHERWISE = {
    ("e2e/sandbox.py", "main"): "people use it, until Ctrl-C",
    ("e2e/support.py", "Proxy._accept"): "in a daemon thread; it ends with the listener",
    ("e2e/support.py", "Proxy._pump"): "in a daemon thread; it ends with either connection",
    ("fakes/apiserver.py", "ApiServer._follow"): "a watch lasts until its client, its time or a test ends it",
    ("fakes/apiserver.py", "ApiServer._next_events"): "the same; it looks whether the client is alive",
    ("fakes/aws.py", "_serving"): "the server of the thread has been shut down",
    ("fakes/fargate.py", "_go_on"): "in a daemon thread; it ends with the event",
    ("fakes/replicas.py", "_go_on"): "the same",
    ("mutants.py", "main"): "only what as_completed says is done is asked for its result",
    ("simulation/__main__.py", "each_done"): "each turn waits for one unit of those that there are, and not for long",
    ("simulation/__main__.py", "until_orphaned"): "in a daemon thread; it ends with the process or with its parent",
    ("simulation/worlds.py", "shorten"): "each turn halves the step or leaves something out",
    ("unit/test_kube.py", "Raw.__enter__.Connection.handle"): "in a daemon thread; it ends with the connection",
}
CLOCKS = {"monotonic", "elapsed"}
ENDLESS = {"count", "cycle", "repeat", "iter"}
RUNS = {"run", "call", "check_call", "check_output"}  # of subprocess
TIMED_BY_NAME = {"urlopen", "communicate"}
WAITS = {"wait", "join", "result", "acquire"}  # of an object; an argument of theirs is the time


def unbounded(source: str) -> Iterator[tuple[str, int]]:
    """Yield where each loop or wait without a bound is: its function with the scopes around it, and its line."""
    for node, inside in _nodes(ast.parse(source), ()):
        if found := _endless(node):
            yield ".".join(inside), found.lineno


def _endless(node: ast.AST) -> ast.While | ast.Call | None:
    match node:
        case ast.While() if not _bounded(node):
            return node
        case ast.For(iter=ast.Call() as looped) | ast.comprehension(iter=ast.Call() as looped):
            return looped if ast.unparse(looped.func).rpartition(".")[2] in ENDLESS else None
        case ast.Call() if not _timed(node):
            return node
    return None


def _nodes(node: ast.AST, inside: tuple[str, ...]) -> Iterator[tuple[ast.AST, tuple[str, ...]]]:
    scope = isinstance(node, ast.FunctionDef | ast.ClassDef)
    within = (*inside, node.name) if scope else inside  # type: ignore[attr-defined]
    for child in ast.iter_child_nodes(node):
        yield child, within
        yield from _nodes(child, within)


def _bounded(loop: ast.While) -> bool:
    return _looks_at_a_clock(loop.test, ast.And) or any(_ends(each) for each in loop.body)


def _ends(statement: ast.stmt) -> bool:
    """Say whether a statement of a loop leaves it when it is late."""
    match statement:
        case ast.Assert(test=test):
            return _looks_at_a_clock(test, ast.And)
        case ast.If(test=test, body=[*_, ast.Raise() | ast.Return() | ast.Break()]):
            return _looks_at_a_clock(test, ast.Or)
    return False


def _looks_at_a_clock(test: ast.expr, joint: type[ast.boolop]) -> bool:
    """Say whether a comparison with a clock decides, alone or joined with others so that it is enough by itself."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, joint):
        return any(_looks_at_a_clock(each, joint) for each in test.values)
    names = {each.attr for each in ast.walk(test) if isinstance(each, ast.Attribute)}
    return isinstance(test, ast.Compare) and bool(names & CLOCKS)


def _timed(call: ast.Call) -> bool:
    """Say whether a call has a time, if it is one that may wait for ever."""
    owner, _, name = ast.unparse(call.func).rpartition(".")
    timed = any(each.arg in {"timeout", None} for each in call.keywords)
    if name in TIMED_BY_NAME or (owner == "subprocess" and name in RUNS):
        return timed
    return timed or bool(call.args) or not (owner and name in WAITS)


def test_every_loop_and_every_wait_of_the_tests_has_a_bound() -> None:
    found = {
        (str(path.relative_to(TESTS)), where): f"{path}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        for where, line in unbounded(path.read_text())
    }
    assert [place for key, place in found.items() if key not in ENDS_OTHERWISE] == []
    assert ENDS_OTHERWISE.keys() - found.keys() == set(), "these need no excuse any more"


@pytest.mark.parametrize(
    "body",
    [
        "while True: pass",
        "while count() < 2: run(1)",
        "while not happened() or time.monotonic() < deadline: pass",
        "while not happened():\n    if happened() and time.monotonic() > deadline: break",
        "while not happened():\n    if time.monotonic() > deadline: print('late')",
        "while not happened():\n    assert asked or time.monotonic() < deadline",
        "for number in itertools.count(): pass",
        "taken = [key for key in iter(queue.get, None)]",
        "subprocess.run(['kubectl'], check=True)",
        "urllib.request.urlopen(url)",
        "child.wait()",
        "thread.join()",
        "child.communicate(b'')",
    ],
)
def test_a_loop_or_wait_that_may_never_end_is_found(body: str) -> None:
    assert list(unbounded(f"class Test:\n  def case():\n{indent(body, ' ' * 4)}")) == [("Test.case", 3)]


@pytest.mark.parametrize(
    "body",
    [
        "while not happened() and time.monotonic() < deadline: pass",
        "while (now := time.monotonic()) < deadline: pass",
        "while not happened():\n    assert clock.elapsed < end, 'it never happened'",
        "while not happened():\n    if died() or time.monotonic() > deadline:\n        raise Missed",
        "for number in range(3): pass",
        "taken = [key for key in islice(iter(queue.get, None), 1000)]",
        "subprocess.run(['kubectl'], timeout=60)",
        "child.wait(10)",
        "', '.join(names)",
    ],
)
def test_a_loop_or_wait_with_a_bound_is_left_alone(body: str) -> None:
    assert list(unbounded(body)) == []


HANGS = """
import threading

def test_hangs():
    threading.Event().wait(60)

def test_is_well():
    pass
"""


def test_a_test_that_hangs_is_ended_with_its_stack_and_the_others_go_on(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    assert 0 < float(pytestconfig.getini("timeout")) <= 600
    (tmp_path / "test_hangs.py").write_text(HANGS)
    ours = ("-c", str(TESTS.parent / "pyproject.toml"), "-n", "1", "-p", "no:cacheprovider", "--timeout", "0.5")
    command = [sys.executable, "-m", "pytest", *ours, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    assert "1 failed, 1 passed" in said
    assert "threading.Event().wait(60)" in said
