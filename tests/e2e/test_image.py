"""The image without Docker: the Dockerfile's own commands in a folder, and the controller run from what they leave.

The folders /build, /packages and /app of the image are folders of the test; `python -S` sees no other packages.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from config import VERSION
from tests.fakes.aws import Manners, over_http
from tests.sandbox import sandbox
from tests.unit.test_prune import WAYS, ask, keys_found, words_of

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
PRUNE = ROOT / ".ci" / "prune.py"
MODULES = {path.name for path in ROOT.glob("*.py")}
MAX_MEGABYTES = 75  # on the disk
MAX_MEBIBYTES = 80  # resident, with one object; 60 were measured
BUILT_AT = 1_700_000_000
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
        elif stages and name and not name.startswith("#"):
            stages[-1].instructions.append((name, rest))
    return stages


BUILD, FINAL = read((ROOT / "Dockerfile").read_text())


@dataclass
class Image:
    """The image's folders, made by the Dockerfile's commands."""

    folder: Path

    @property
    def root(self) -> Path:
        """What stands for / in the image; the build stage has it as /image."""
        return self.folder / "image"

    @property
    def packages(self) -> Path:
        return self.root / "packages"

    @property
    def app(self) -> Path:
        return self.root / "app"

    def built(self, text: str) -> str:
        """Put the test's folder in place of the root of the build stage."""
        return re.sub(r"(?<![\w.])/(image|build)\b", rf"{self.folder}/\1", text)

    def run(self, text: str) -> str:
        """Put the test's folder in place of the image's root."""
        return re.sub(r"(?<![\w.])/(packages|app)\b", rf"{self.root}/\1", text)

    def files(self) -> set[Path]:
        return {path for path in self.folder.rglob("*") if path.is_file()}

    def layer(self) -> dict[str, tuple[int, float, bytes]]:
        """Return all that a layer holds of the folder: modes, times and bytes by path."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            at = path.lstat()
            text = path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(self.root))] = (stat.S_IMODE(at.st_mode), at.st_mtime, text)
        return found

    def megabytes(self) -> float:
        return sum(path.stat().st_size for path in self.packages.rglob("*") if path.is_file()) / 1e6


def build(folder: Path, **variables: str) -> Image:
    """Carry out the build stage: its copies from the repository and its commands, in order."""
    made = Image(folder)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | variables
    work = folder / "build"
    work.mkdir(parents=True)
    for name, rest in BUILD.instructions:
        if name == "COPY":
            copy(rest.split(), made, work)
        if name == "RUN":
            command = re.sub(r"(?<!\S)pip ", f"{sys.executable} -m pip ", made.built(rest))
            carry_out(re.sub(r"(?<!\S)python ", f"{ISOLATED} ", command), work, environ)
    return made


def copy(words: list[str], made: Image, work: Path) -> None:
    *patterns, where = words
    target = work / made.built(where)
    target.mkdir(parents=True, exist_ok=True)
    for pattern in patterns:
        named = sorted(ROOT.glob(pattern))
        assert named, f"{pattern} names no file"
        for path in named:
            shutil.copyfile(path, target / path.name)


def carry_out(command: str, work: Path, environ: dict[str, str]) -> None:
    done = subprocess.run(
        command, shell=True, cwd=work, env=environ, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(tmp_path_factory.mktemp("image"), SOURCE_DATE_EPOCH=str(BUILT_AT))


pytestmark = pytest.mark.timeout(900)  # with the image, whose packages are installed anew


def test_the_image_is_made_of_what_the_lock_has_and_takes_nothing_of_the_build_besides() -> None:
    install, *others = BUILD.all("RUN")
    assert " --require-hashes --only-binary :all: " in install
    assert "--target /image/packages -r requirements.lock" in " ".join(install.split())
    assert others == ["python prune.py /image/packages", "python settle.py /image/packages /image/app"]
    assert FINAL.all("RUN") == []
    assert FINAL.all("COPY") == ["--from=build /image /"]
    assert FINAL.environ["PYTHONPATH"] == "/packages"
    assert FINAL.only("WORKDIR") == "/app"
    assert FINAL.only("USER") == "65532:65532"


def test_both_stages_are_of_the_same_base_by_tag_and_by_digest_where_one_is_given() -> None:
    assert re.findall("^ARG (.*)", (ROOT / "Dockerfile").read_text(), re.M)[:2] == ["TAG=3.13-slim", "DIGEST="]
    assert BUILD.base == FINAL.base == "python:${TAG}${DIGEST:+@$DIGEST}"


def test_the_same_commit_gives_the_same_files_to_the_byte_whenever_and_by_whomever_it_is_built(
    image: Image, tmp_path: Path
) -> None:
    before = os.umask(0o077)
    try:
        again = build(tmp_path / "again", SOURCE_DATE_EPOCH=str(BUILT_AT), PYTHONHASHSEED="7", TZ="Asia/Tokyo")
    finally:
        os.umask(before)
    one, other = image.layer(), again.layer()
    assert one.keys() == other.keys()
    assert [path for path in one if one[path] != other[path]] == []
    assert {at for _, at, _ in one.values()} == {BUILT_AT}


def test_the_packages_weigh_at_most_75_megabytes(image: Image, record_property: Callable[[str, object], None]) -> None:
    weight = image.megabytes()
    print(f"site-packages of the image: {weight:.1f} MB")
    record_property("site_packages_megabytes", round(weight, 1))
    assert weight <= MAX_MEGABYTES


def test_what_nobody_uses_is_gone(image: Image) -> None:
    services = {path.name for path in (image.packages / "botocore" / "data").iterdir() if path.is_dir()}
    assert services == {"eks", "ec2", "iam", "sts", "service-quotas", "sso", "sso-oidc"}
    assert not (image.packages / "kubernetes" / "aio").exists()
    assert [path.name for path in image.packages.iterdir() if re.match("aio|pip|bin$|multidict|yarl", path.name)] == []
    assert [path for path in image.packages.rglob("*") if path.name in ("tests", "RECORD")] == []


def test_the_image_holds_the_modules_and_no_file_besides(image: Image) -> None:
    assert {path.name for path in image.app.iterdir()} == MODULES | {"__pycache__"}
    compiled = {path.name.partition(".")[0] for path in (image.app / "__pycache__").iterdir()}
    assert compiled == {name.removesuffix(".py") for name in MODULES}


def test_the_controller_starts_without_compiling_anything(image: Image) -> None:
    environ = {name: image.run(value) for name, value in FINAL.environ.items()}
    command = [*ISOLATED.split(), "-v", "controller.py", "--help"]
    done = subprocess.run(command, cwd=image.app, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "--cluster-name" in done.stdout
    matched = re.findall(rf"^# ({image.root}/\S+\.pyc) matches", done.stderr, re.M)
    compiled = re.findall(rf"^# code object from ({image.root}/\S+\.py)$", done.stderr, re.M)
    assert len(matched) > 100
    assert compiled == []


def test_a_source_that_somebody_changes_is_what_runs(image: Image, tmp_path: Path) -> None:
    shutil.copytree(image.app, tmp_path / "app")
    (tmp_path / "app" / "patterns.py").write_text("raise SystemExit('changed')\n")
    environ = {"PYTHONPATH": str(image.packages)}
    command = [*ISOLATED.split(), "controller.py", "--help"]
    done = subprocess.run(
        command, cwd=tmp_path / "app", env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == "changed\n"


def test_the_controller_of_the_image_makes_a_profile_active_and_writes_no_file(image: Image) -> None:
    before = image.files()
    environ = {name: image.run(value) for name, value in FINAL.environ.items()} | {"HOME": "/nonexistent"}
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
        assert box.controller.child
        status = Path(f"/proc/{box.controller.child.pid}/status")
        if status.exists():  # on Linux
            resident = int(re.findall(r"VmRSS:\s*(\d+) kB", status.read_text())[0]) / 1024
            print(f"resident with one object: {resident:.1f} MiB")
            assert resident <= MAX_MEBIBYTES
        box.delete("web")
        box.wait_for(lambda: not box.objects() and not box.profiles(), 20, "web is gone, here and in EKS")
        assert box.controller.stop() == 0
        log = box.controller.log.read_text()
    assert "Traceback" not in log
    assert image.files() == before


def test_the_image_can_ask_every_question_of_the_controller_and_finds_credentials_in_every_way(
    image: Image, tmp_path: Path
) -> None:
    with over_http(Manners(creating_seconds=0, deleting_seconds=0)) as world:
        asked = ask("calls", words_of(world), tmp_path, image.packages, **world.env)
    assert asked["answers"].keys() >= {"cluster", "create", "delete", "describe", "role", "subnets", "tag", "untag"}
    (tmp_path / "home").mkdir()
    assert keys_found(image.packages, tmp_path / "home") == {way: key for way, (_, _, key) in WAYS.items()}


def test_the_bill_of_materials_lists_what_the_image_holds_by_version_and_licence(image: Image, tmp_path: Path) -> None:
    for name in ("Makefile", "config.py", "awscalls.py", "requirements.txt", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    done = subprocess.run(
        ["make", "sbom", f"PYTHON={sys.executable}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    listed = json.loads((tmp_path / "sbom.json").read_text())
    assert listed["bomFormat"] == "CycloneDX"
    ours = listed["metadata"]["component"]
    assert (ours["name"], ours["version"]) == ("fargate-operator", VERSION)
    held = {path.name.removesuffix(".dist-info").lower() for path in image.packages.glob("*.dist-info")}
    assert {f"{each['name']}-{each['version']}".lower().replace("_", "-") for each in listed["components"]} == {
        name.replace("_", "-") for name in held
    }
    assert [each["name"] for each in listed["components"] if not each.get("licenses")] == []
    (by_us,) = (each["dependsOn"] for each in listed["dependencies"] if each["ref"] == ours["bom-ref"])
    assert len(by_us) == len(re.findall(r"^[^#\n]", (ROOT / "requirements.txt").read_text(), re.M))


def test_a_package_that_nobody_judged_ends_the_build(tmp_path: Path) -> None:
    (tmp_path / "surprise").mkdir()
    (tmp_path / "aiohttp").mkdir()
    command, environ = [sys.executable, str(PRUNE), str(tmp_path)], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("neither as needed nor as unused: surprise")
    assert {path.name for path in tmp_path.iterdir()} == {"surprise", "aiohttp"}
    assert os.access(PRUNE, os.R_OK)
