"""What `make` promises to who has just cloned this: little is installed, a failure is seen, and an image is built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

from config import VERSION
from tests.waiting import SOON

ROOT = Path(__file__).resolve().parents[2]
# Stands for Python: -m venv puts it in its place, and all that it is asked for is written down.
PYTHON = """#!/bin/sh
echo "$*" >> asked
case "$*" in
  "-m venv"*) rm -rf .venv && mkdir -p .venv/bin && cp python .venv/bin/python ;;
  *pip*) if [ -e broken ]; then echo "ERROR: no such package" >&2; exit 1; fi ;;
esac
"""
COPIES = 'mkdir -p "$4/bin" && cp "$0" "$4/bin/python"'
LOCK, DEMO = "requirements.lock", "tests/requirements-demo.txt"
KOPF = "tests/bench/kopf-requirements.txt"
LOADED = "import sys, tests.demo as demo\nwith demo.sandbox(): print(*sys.modules)"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder with the Makefile and the pins, and a Python and image builders that only say what they do."""
    (tmp_path / "tests" / "bench").mkdir(parents=True)
    for name in ("Makefile", "config.py", "requirements.txt", LOCK, "tests/requirements.txt", DEMO, KOPF):
        shutil.copy(ROOT / name, tmp_path / name)
    program(tmp_path / "python", PYTHON)
    return tmp_path


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def make(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "PYTHON=./python", *arguments],
        cwd=clone,
        env={"PATH": f"{clone / 'programs'}{os.pathsep}{os.defpath}"},
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )


def installed(clone: Path) -> list[str]:
    """Return the files of pins that were installed since the last look."""
    asked = clone / "asked"
    text = asked.read_text() if asked.exists() else ""
    asked.unlink(missing_ok=True)
    return re.findall(r"--requirement (\S+)", text)


def test_the_demo_installs_what_it_needs_and_no_test_tools_and_only_once(clone: Path) -> None:
    done = make(clone, "demo")
    assert done.returncode == 0, done.stderr
    assert "\n" not in done.stdout.partition(".venv/bin/python -m tests.demo")[0].rstrip("\n")  # one line of progress
    assert installed(clone) == [LOCK, DEMO]
    make(clone, "demo")
    assert installed(clone) == []
    make(clone, "soak")
    assert installed(clone) == [LOCK, "tests/requirements.txt"]
    make(clone, "demo", "soak")
    assert installed(clone) == []


@pytest.mark.parametrize(
    ("pins", "anew"),
    [
        ("requirements.txt", {"demo", "soak"}),
        (LOCK, {"demo", "soak"}),
        (DEMO, {"demo", "soak"}),
        ("tests/requirements.txt", {"soak"}),
    ],
)
@pytest.mark.parametrize("target", ["demo", "soak"])
def test_a_pin_that_changed_makes_the_environment_anew_for_those_who_need_it(
    clone: Path, target: str, pins: str, anew: set[str]
) -> None:
    make(clone, "soak")
    old = clone / ".venv" / "old"
    old.touch()
    installed(clone)
    later = (clone / ".venv" / ".installed").stat().st_mtime + 5
    os.utime(clone / pins, (later, later))
    make(clone, target)
    assert bool(installed(clone)) == (target in anew)
    assert old.exists() == (target not in anew)


@pytest.mark.parametrize("target", ["demo", "soak"])
def test_an_installation_that_fails_is_seen_and_tried_again(clone: Path, target: str) -> None:
    (clone / "broken").touch()
    done = make(clone, target)
    assert done.returncode != 0
    assert "ERROR: no such package" in done.stderr
    assert "-m tests.demo" not in (clone / "asked").read_text()
    (clone / "broken").unlink()
    installed(clone)
    assert make(clone, target).returncode == 0
    assert len(installed(clone)) == 2


def test_what_runs_in_production_is_installed_by_its_hashes_before_what_only_tests_need(clone: Path) -> None:
    assert make(clone, "soak").returncode == 0
    first, second = [line for line in (clone / "asked").read_text().splitlines() if " pip " in line]
    assert first.endswith(f"--require-hashes --requirement {LOCK}")
    assert "--require-hashes" not in second


def test_the_demo_s_pins_bring_every_package_that_it_loads() -> None:
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SOON, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    known = packages_distributions()
    needed = {plain(package) for name in loaded for package in known.get(name, [])}
    files = [ROOT / "requirements.txt", ROOT / "tests" / "requirements-demo.txt"]
    pins = [pin for file in files for pin in re.findall(r"^([\w-]+)==", file.read_text(), re.MULTILINE)]
    brought: set[str] = {"pip", "setuptools"}
    for pin in pins:
        with_what_it_asks_for(pin, brought)
    assert needed <= brought


def with_what_it_asks_for(package: str, found: set[str]) -> set[str]:
    """Add a package and all that it asks for by itself, without extras."""
    if plain(package) not in found:
        found.add(plain(package))
        for asked in requires(package) or []:
            if "extra ==" not in asked and "python_version <" not in asked:
                with_what_it_asks_for(re.split(r"[^\w.-]", asked)[0], found)
    return found


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_fast_tests_run_on_every_python_that_is_there_and_a_failure_on_one_is_seen(clone: Path) -> None:
    (clone / "programs").mkdir()
    says = 'case "$*" in *version_info*) echo "(3, {})";; esac\n'
    for number in (11, 13):
        copies = PYTHON.replace("rm -rf .venv && mkdir -p .venv/bin && cp python .venv/bin/python", COPIES)
        copies = copies.replace("*pip*)", '"-m pip"*)')
        program(clone / "programs" / f"ours3.{number}", copies + says.format(number))
    program(clone / "python", PYTHON + says.format(11))
    make(clone, "soak")
    installed(clone)
    which = "PYTHONS=ours3.11 ours3.12 ours3.13"  # by names that no machine has
    done = make(clone, "pythons", which)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert [line for line in said if line.startswith(("ours", "with"))] == [
        "ours3.11 is what make test runs on",
        "ours3.12 is not there",
        "with ours3.13:",
    ]
    assert "-m pytest tests/unit tests/contract tests/simulation" in (clone / "asked").read_text()
    assert installed(clone) == [LOCK, "tests/requirements.txt"]
    (clone / "broken").touch()
    assert make(clone, "pythons", which).returncode != 0


def test_the_bench_has_the_original_s_framework_in_an_environment_of_its_own(clone: Path) -> None:
    copies = PYTHON.replace("rm -rf .venv && mkdir -p .venv/bin && cp python .venv/bin/python", COPIES)
    program(clone / "python", copies.replace('"$4/bin', '"$last/bin').replace("case", "for last; do :; done\ncase", 1))
    done = make(clone, "bench", "BENCH=--only burst")
    assert done.returncode == 0, done.stderr
    asked = (clone / "asked").read_text().splitlines()
    assert asked[-2:] == ["-m tests.e2e.controlplane", "-m tests.bench.compare --only burst"]
    assert [line for line in asked if "venv" in line][-1] == "-m venv --clear .cache/bench"
    assert installed(clone) == [LOCK, "tests/requirements.txt", KOPF]
    make(clone, "bench")
    assert installed(clone) == []
    later = (clone / ".cache" / "bench" / ".installed").stat().st_mtime + 5
    os.utime(clone / KOPF, (later, later))
    make(clone, "bench")
    assert installed(clone) == [KOPF]


@pytest.mark.parametrize("there", [["docker"], ["podman"], ["buildah"], ["docker", "podman"]])
def test_an_image_is_built_by_whichever_builder_works(clone: Path, there: list[str]) -> None:
    (clone / "programs").mkdir()
    for name in there:
        program(clone / "programs" / name, f'#!/bin/sh\n[ "$1" = info ] || echo "{name} $*"')
    if "podman" in there:
        program(clone / "programs" / "docker", "#!/bin/sh\nexit 1")  # installed, but its daemon is not there
    time = "1700000000"
    done = make(clone, "image", "IMAGE=mine:1", f"SOURCE_DATE_EPOCH={time}")
    assert done.returncode == 0, done.stderr
    ours = f"{there[-1]} build --build-arg SOURCE_DATE_EPOCH={time}"
    fixed = "" if there[-1] == "docker" else f" --timestamp {time}"
    assert done.stdout.splitlines()[-1] == f"{ours}{fixed} --tag mine:1 ."
    done = make(clone, "image", f"SOURCE_DATE_EPOCH={time}", "DIGEST=sha256:0123")
    tag = f"--tag fargate-operator:{VERSION} ."
    assert done.stdout.splitlines()[-1] == f"{ours} --build-arg DIGEST=sha256:0123{fixed} {tag}"


def test_without_a_builder_one_sentence_says_so(clone: Path) -> None:
    (clone / "programs").mkdir()
    for name in ("docker", "podman", "buildah"):
        program(clone / "programs" / name, "#!/bin/sh\nexit 1")
    done = make(clone, "image")
    assert done.returncode != 0
    assert "docker, podman or buildah" in done.stderr
