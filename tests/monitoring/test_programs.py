"""Where Prometheus is looked for, and what is said where it is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.monitoring import programs


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a machine that has neither Prometheus nor apt-get, with an empty cache."""
    monkeypatch.delenv("PROMETHEUS_FOLDER", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def script(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", f"PATH={os.defpath}", *lines, ""]))
    path.chmod(0o755)


def both(folder: Path) -> Path:
    for name in programs.PROGRAMS:
        script(folder / name)
    return folder


def test_the_folder_that_the_variable_names_wins_over_path_and_cache(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = both(programs.cache_folder())
    assert programs.find() == cached
    on_path = both(machine / "bin")
    assert programs.find() == on_path
    monkeypatch.setenv("PROMETHEUS_FOLDER", str(both(machine / "named")))
    assert programs.find() == machine / "named"


def test_debians_package_is_unpacked_into_the_cache_once(machine: Path) -> None:
    script(machine / "bin" / "apt-get", f"echo $1 >> {machine / 'asked'}", "touch prometheus_2.deb")
    unpacked = [f"unpacked/usr/bin/{name}" for name in programs.PROGRAMS]
    script(
        machine / "bin" / "dpkg-deb",
        "mkdir -p unpacked/usr/bin",
        f"touch {' '.join(unpacked)}",
        "chmod +x unpacked/usr/bin/*",
    )
    assert [programs.find(), programs.find()] == [programs.cache_folder()] * 2
    assert (machine / "asked").read_text().split().count("download") == 1
    assert list(programs.cache_folder().parent.iterdir()) == [programs.cache_folder()]


@pytest.mark.parametrize(
    ("line", "why"),
    [("", "apt-get"), ("echo 'E: Unable to locate package prometheus' >&2; exit 100", "Unable to locate package")],
)
def test_where_it_can_not_be_had_one_sentence_says_what_to_install(machine: Path, line: str, why: str) -> None:
    if line:
        script(machine / "bin" / "apt-get", line)
    with pytest.raises(programs.Unavailable) as caught:
        programs.find()
    said = str(caught.value)
    assert "`apt-get install prometheus`" in said and "PROMETHEUS_FOLDER" in said and why in said
    assert "\n" not in said
