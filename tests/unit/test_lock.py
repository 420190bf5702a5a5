"""What requirements.lock promises: all that runs in production stands in it, by version and hash, and nothing else."""

from __future__ import annotations

import re
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
MADE = "make lock"


def entries(name: str) -> dict[str, list[str]]:
    """Return a file's entries by package, each as its words: the requirement first, then its options."""
    text = re.sub(r"\s*\\\n\s*", " ", (ROOT / name).read_text())
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return {canonicalize_name(Requirement(line.partition(" --")[0]).name): line.split() for line in lines}


PINS, LOCK = entries("requirements.txt"), entries("requirements.lock")


def pinned(words: list[str]) -> str:
    (specifier,) = Requirement(" ".join(word for word in words if not word.startswith("--"))).specifier
    assert specifier.operator == "=="
    return specifier.version


@pytest.mark.parametrize("package", PINS)
def test_a_pin_stands_in_the_lock_with_the_same_version(package: str) -> None:
    assert package in LOCK, f"{package} is not locked: {MADE}"
    assert pinned(LOCK[package]) == pinned(PINS[package]), f"the lock is older than the pin: {MADE}"


def test_each_entry_is_one_version_with_its_hashes_and_nothing_says_where_it_comes_from() -> None:
    for package, words in LOCK.items():
        options = [word for word in words if word.startswith("-")]
        assert pinned(words), package
        assert options, f"{package} has no hash"
        assert [word for word in options if not HASH.fullmatch(word)] == [], package


def test_nothing_that_a_package_asks_for_is_left_to_the_day_of_the_installation() -> None:
    """Else `pip install --require-hashes` would refuse the lock."""
    for package in LOCK:
        for text in requires(package) or []:
            asked = Requirement(text)
            if asked.marker is None or asked.marker.evaluate({"extra": ""}):
                assert canonicalize_name(asked.name) in LOCK, f"{package} asks for {asked.name}: {MADE}"


def brings(package: str, found: set[str]) -> None:
    """Add a package and all that it asks for, of what the lock has."""
    if package in LOCK and package not in found:
        found.add(package)
        for text in requires(package) or []:
            brings(canonicalize_name(Requirement(text).name), found)


def test_nothing_stands_in_the_lock_that_no_pin_brings() -> None:
    brought: set[str] = set()
    for package in PINS:
        brings(package, brought)
    assert LOCK.keys() == brought


def test_what_is_tested_here_is_what_runs_in_production() -> None:
    other = {package: version(package) for package, words in LOCK.items() if version(package) != pinned(words)}
    assert other == {}, "the environment of the tests is not that of the lock: remove .venv and run make test"
