"""Where the end-to-end tests take their control plane from: the first source that has it, or an error that helps."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from tests.e2e import controlplane
from tests.e2e.controlplane import (
    MANAGER,
    PACKAGES,
    Unavailable,
    Versions,
    cache_folder,
    find_binaries,
    find_manager,
    versions,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PINNED = versions()


def programs(folder: Path, *names: str) -> Path:
    """Put programs of these names into a folder, all three without any."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or PACKAGES:
        (folder / name).write_text(f"{name} of {folder.name}")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a machine that has nothing: an empty cache, no downloads, no Go."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("KUBERNETES_DOWNLOADS", "ETCD_DOWNLOADS"):
        monkeypatch.setattr(controlplane, name, "http://127.0.0.1:9")
    return tmp_path


def test_go_mod_names_a_version_of_each_program_and_of_the_language() -> None:
    assert all(len(version.split(".")) == 3 for version in PINNED), PINNED


def test_the_programs_of_kubebuilder_assets_come_first(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(cache_folder(PINNED))
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(programs(machine / "assets")))
    assert find_binaries() == machine / "assets"


def test_assets_that_lack_a_program_are_named_and_passed_over(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs(cache_folder(PINNED))
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(programs(machine / "assets", "etcd", "kubectl")))
    assert find_binaries() == cache_folder(PINNED)
    assert "KUBEBUILDER_ASSETS has no kube-apiserver" in capsys.readouterr().err


def test_what_was_had_once_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    def build(folder: Path, pinned: Versions) -> None:
        built.append(programs(folder))

    monkeypatch.setattr(controlplane, "build", build)
    assert find_binaries() == find_binaries() == cache_folder(PINNED)
    assert sorted(path.name for path in cache_folder(PINNED).iterdir()) == sorted(PACKAGES)
    assert len(built) == 1


def test_a_source_that_has_only_a_part_leaves_nothing_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(folder: Path, pinned: Versions) -> None:
        programs(folder, "etcd")
        raise Unavailable("no more than that")

    monkeypatch.setattr(controlplane, "build", half)
    with pytest.raises(Unavailable, match="no more than that"):
        find_binaries()
    assert not cache_folder(PINNED).exists()


def test_without_any_source_it_ends_with_an_error_that_says_what_to_install(machine: Path) -> None:
    environ = {"PATH": str(machine), "XDG_CACHE_HOME": str(machine), "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "tests.e2e.controlplane"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    said = done.stderr.splitlines()[-1]
    assert f"install Go {PINNED.go} or newer, or set KUBEBUILDER_ASSETS" in said
    assert all(why in said for why in ("the official downloads cannot be had", "Go is not installed"))


def test_the_controller_manager_is_made_only_for_who_asks_for_it_and_kept_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = []

    def build(target: Path, package: str, *_: object) -> None:
        built.append(package)
        programs(target.parent, target.name)

    monkeypatch.setattr(controlplane, "_build_one", build)
    assert find_manager(make=False) is None
    assert find_manager() == find_manager() == find_manager(make=False) == cache_folder(PINNED) / MANAGER
    assert built == ["k8s.io/kubernetes/cmd/kube-controller-manager"]


def test_the_controller_manager_of_kubebuilder_assets_comes_first(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(cache_folder(PINNED), MANAGER)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(programs(machine / "assets", MANAGER)))
    assert find_manager() == machine / "assets" / MANAGER


def test_without_any_source_of_the_controller_manager_it_is_said() -> None:
    with pytest.raises(Unavailable, match="Go is not installed"):
        find_manager()


# The official downloads


@pytest.fixture
def releases(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """Serve what a test puts here, by path, in the place of the official releases."""
    files: dict[str, bytes] = {}

    class Release(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in files else 404)
            self.end_headers()
            self.wfile.write(files.get(self.path, b""))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Release)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(controlplane, "KUBERNETES_DOWNLOADS", f"http://127.0.0.1:{server.server_port}")
    yield files
    server.shutdown()
    server.server_close()


def test_a_download_without_its_published_checksum_is_not_taken(
    machine: Path, releases: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    path = f"/v{PINNED.kubernetes}/bin/linux/amd64/kube-apiserver"
    releases[path], releases[f"{path}.sha256"] = b"forged", hashlib.sha256(b"published").hexdigest().encode()
    with pytest.raises(Unavailable, match=r"kube-apiserver does not have its published checksum"):
        controlplane.download(programs(machine / "bin", "kubectl"), PINNED)
    assert [file.name for file in (machine / "bin").iterdir()] == ["kubectl"]


# What CI makes of it


@pytest.fixture
def ci(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with .ci/run, where make only says what it was asked for; the test puts .venv's Python there."""
    monkeypatch.setenv("PATH", f"{machine / 'tools'}:{os.defpath}")
    for folder in (".ci", "tools", ".venv/bin"):
        (machine / folder).mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", machine / ".ci")
    script(machine / "tools" / "make", 'echo "made $1"')
    return machine


def script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def run_ci(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(folder / ".ci" / "run")], capture_output=True, text=True, timeout=30, check=False
    )


def test_ci_fails_and_says_so_if_no_control_plane_can_be_had(ci: Path) -> None:
    script(ci / ".venv/bin/python", "echo install Go >&2; exit 1")
    done = run_ci(ci)
    assert done.returncode == 1
    assert "No control plane could be had" in done.stderr
    assert "install Go" in done.stderr
    assert "made test" in done.stdout
    assert "made e2e" not in done.stdout
    assert "passed." not in done.stdout


def test_ci_gets_the_control_plane_while_the_fast_tests_run(ci: Path) -> None:
    script(ci / ".venv/bin/python", "sleep 0.5; echo got it > control-plane")
    script(ci / "tools" / "make", 'echo "made $1 $(cat control-plane 2>&1)"')
    done = run_ci(ci)
    assert (done.returncode, done.stderr) == (0, "")
    made = [line for line in done.stdout.splitlines() if line.startswith("made ")]
    assert [line.split()[1] for line in made] == [
        "check",
        "test",
        "demo",
        "soak",
        "sim",
        "monitoring",
        "e2e",
    ]
    assert "got it" in made[-1]
    assert "got it" not in made[0]
    assert done.stdout.endswith("All of it passed.\n")
