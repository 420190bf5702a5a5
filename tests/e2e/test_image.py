"""The image without Docker: the Dockerfile's own commands in a folder, and the controller run from what they leave.

The folders /packages, /build and /app of the image are folders of the test; `python -S` sees no other packages.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.aws import Manners
from tests.sandbox import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
PRUNE = ROOT / ".ci" / "prune.py"
MODULES = {path.name for path in ROOT.glob("*.py")}
MAX_MEGABYTES = 75
ISOLATED = f"{sys.executable} -S"  # no site-packages: what is not in PYTHONPATH or the standard library isn't there


@dataclass
class Stage:
    """One FROM of the Dockerfile with its instructions, as (name, rest) in order."""

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [rest for each, rest in self.instructions if each == name]

    def only(self, name: str) -> str:
        (rest,) = self.all(name)
        return rest

    @property
    def environ(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for line in self.all("ENV") for pair in line.split())


def read(dockerfile: str) -> list[Stage]:
    stages: list[Stage] = []
    for line in dockerfile.replace("\\\n", " ").splitlines():
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            stages.append(Stage(rest.split()[0]))
        elif name and not name.startswith("#"):
            stages[-1].instructions.append((name, rest))
    return stages


BUILD, FINAL = read((ROOT / "Dockerfile").read_text())


@dataclass
class Image:
    """The image's folders, made by the Dockerfile's commands."""

    folder: Path

    @property
    def packages(self) -> Path:
        return self.folder / "packages"

    @property
    def app(self) -> Path:
        return self.folder / "app"

    def here(self, text: str) -> str:
        """Put the test's folder in place of the image's root."""
        return re.sub(r"(?<![\w.])/(packages|build|app)\b", rf"{self.folder}/\1", text)

    def files(self) -> set[Path]:
        return {path for path in self.folder.rglob("*") if path.is_file()}

    def megabytes(self) -> float:
        return sum(path.stat().st_size for path in self.packages.rglob("*") if path.is_file()) / 1e6


def copy(stage: Stage, target: Path) -> None:
    """Carry out a stage's COPY from the repository into its working folder."""
    target.mkdir()
    for line in stage.all("COPY"):
        if not line.startswith("--from"):
            for pattern in line.split()[:-1]:
                named = sorted(ROOT.glob(pattern))
                assert named, f"{pattern} names no file"
                for path in named:
                    shutil.copy(path, target)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    made = Image(tmp_path_factory.mktemp("image"))
    copy(BUILD, made.folder / "build")
    copy(FINAL, made.app)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    for command in BUILD.all("RUN"):
        here = re.sub(r"(?<!\S)pip ", f"{sys.executable} -m pip ", made.here(command))
        here = re.sub(r"(?<!\S)python ", f"{ISOLATED} ", here)
        done = subprocess.run(
            here,
            shell=True,
            cwd=made.folder / "build",
            env=environ,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{here}\n{done.stdout}{done.stderr}"
    return made


pytestmark = pytest.mark.timeout(900)  # with the image, whose packages are installed anew


def test_the_dockerfile_prunes_and_the_image_takes_nothing_of_the_build_but_the_packages() -> None:
    commands = BUILD.all("RUN")
    install = next(i for i, each in enumerate(commands) if each.startswith("pip install "))
    prune = commands.index("python prune.py /packages")
    assert install < prune
    assert "--target /packages -r requirements.txt" in commands[install]
    assert BUILD.base == FINAL.base
    assert re.fullmatch(r"python:3\.\d+-slim", FINAL.base)
    assert FINAL.all("RUN") == []
    assert [line for line in FINAL.all("COPY") if "--from" in line] == ["--from=build /packages /packages"]
    assert FINAL.environ["PYTHONPATH"] == "/packages"
    assert FINAL.only("USER") == "65532:65532"


def test_the_packages_weigh_at_most_75_megabytes(image: Image, record_property: Callable[[str, object], None]) -> None:
    weight = image.megabytes()
    print(f"site-packages of the image: {weight:.1f} MB")
    record_property("site_packages_megabytes", round(weight, 1))
    assert weight <= MAX_MEGABYTES


def test_what_nobody_uses_is_gone(image: Image) -> None:
    services = {path.name for path in (image.packages / "botocore" / "data").iterdir() if path.is_dir()}
    assert services == {"eks", "ec2", "iam", "sts", "sso", "sso-oidc"}
    assert not (image.packages / "kubernetes" / "aio").exists()
    assert [path.name for path in image.packages.iterdir() if re.match("aio|pip|bin$|multidict|yarl", path.name)] == []
    assert [path for path in image.packages.rglob("*") if path.name in ("tests", "RECORD")] == []


def test_the_image_holds_the_modules_and_no_file_besides(image: Image) -> None:
    assert {path.name for path in image.app.iterdir()} == MODULES


def test_the_controller_starts_without_compiling_anything(image: Image) -> None:
    environ = {name: image.here(value) for name, value in FINAL.environ.items()}
    command = [*ISOLATED.split(), "-v", "controller.py", "--help"]
    done = subprocess.run(command, cwd=image.app, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "--cluster-name" in done.stdout
    matched = re.findall(rf"^# ({image.packages}/\S+\.pyc) matches", done.stderr, re.M)
    compiled = re.findall(rf"^# code object from ({image.packages}/\S+\.py)$", done.stderr, re.M)
    assert len(matched) > 100
    assert compiled == []


def test_the_controller_of_the_image_makes_a_profile_active_and_writes_no_file(image: Image) -> None:
    before = image.files()
    environ = {name: image.here(value) for name, value in FINAL.environ.items()} | {"HOME": "/nonexistent"}
    with sandbox(Manners(creating_seconds=0.5, deleting_seconds=0.5), POLL_SECONDS=0.3, **environ) as box:
        program, *arguments = json.loads(FINAL.only("ENTRYPOINT"))
        assert program == "python"
        box.controller.command, box.controller.folder = (*ISOLATED.split(), *arguments), image.app
        box.start()
        spec = {"podExecutionRoleArn": box.world.roles["good"], "selectors": [{"namespace": "web"}]}
        head = {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": {"name": "web"}}
        box.apply({**head, "spec": spec})
        box.wait_for(lambda: box.ready("web"), 20, "web gets Ready")
        assert box.profiles()["web"]["status"] == "ACTIVE"
        box.delete("web")
        box.wait_for(lambda: not box.objects() and not box.profiles(), 20, "web is gone, here and in EKS")
        assert box.controller.stop() == 0
        log = box.controller.log.read_text()
    assert "Traceback" not in log
    assert image.files() == before


def test_a_package_that_nobody_judged_ends_the_build(tmp_path: Path) -> None:
    (tmp_path / "surprise").mkdir()
    (tmp_path / "aiohttp").mkdir()
    done = subprocess.run(
        [sys.executable, str(PRUNE), str(tmp_path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("neither as needed nor as unused: surprise")
    assert {path.name for path in tmp_path.iterdir()} == {"surprise", "aiohttp"}
    assert os.access(PRUNE, os.R_OK)
