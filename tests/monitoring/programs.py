"""Where prometheus and promtool come from for the tests of monitoring.yaml and dashboard.json.

`find` returns the folder that holds both, from the first source that has them: PROMETHEUS_FOLDER, PATH, the cache,
Debian's package. That is unpacked into the cache and not installed, or its service would start.

`python -m tests.monitoring.programs` fills the cache and prints the folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAMS = ("prometheus", "promtool")
APT_SECONDS = 600  # of one command


class Unavailable(Exception):
    """The programs can't be had; the text says in one sentence what to install."""


def find() -> Path:
    """Return the folder with prometheus and promtool; fill the cache first if nobody has them."""
    found = shutil.which("prometheus")
    named = os.environ.get("PROMETHEUS_FOLDER")
    for folder in (Path(named) if named else None, Path(found).parent if found else None, cache_folder()):
        if folder and all(os.access(folder / name, os.X_OK) for name in PROGRAMS):
            return folder
    try:
        _unpack_the_package(cache_folder())
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(
            "no Prometheus for the tests of monitoring.yaml and dashboard.json: install it (Debian and Ubuntu: "
            "`apt-get install prometheus`), or set PROMETHEUS_FOLDER to a folder with prometheus and promtool "
            f"({_why(error)})"
        ) from error
    return cache_folder()


def cache_folder() -> Path:
    """Return where the programs are kept between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "fargate-operator" / "prometheus"


def _unpack_the_package(cache: Path) -> None:
    """Put both programs of Debian's package into the cache, or nothing."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="filling-", dir=cache.parent) as temporary:
        folder = Path(temporary)
        if os.geteuid() == 0:  # nobody else may; without it the lists may be there all the same
            _run("apt-get", "update", folder=folder)
        _run("apt-get", "download", "prometheus", folder=folder)
        (package,) = folder.glob("prometheus_*.deb")
        _run("dpkg-deb", "--extract", str(package), "unpacked", folder=folder)
        shutil.rmtree(cache, ignore_errors=True)
        (folder / "unpacked" / "usr" / "bin").rename(cache)


def _run(*command: str, folder: Path) -> None:
    print(f"monitoring: {' '.join(command)}", file=sys.stderr, flush=True)
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=APT_SECONDS)


def _why(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = (error.stderr or "").strip().splitlines() or [f"exit code {error.returncode}"]
        return f"{' '.join(error.cmd)}: {lines[-1]}"
    return str(error)


if __name__ == "__main__":
    try:
        print(find())
    except Unavailable as unavailable:
        sys.exit(str(unavailable))
