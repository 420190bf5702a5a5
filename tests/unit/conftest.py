"""What the unit tests share."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import kube
from controller import main
from tests.fakes.apiserver import kubeconfig, serve
from tests.harness import TOKEN, Bench, bench

Object = dict[str, Any]
SPOKE = "222222222222"

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fakes.aws import World


@pytest.fixture
def b() -> Iterator[Bench]:
    """Give a test a whole controller between two worlds in memory, on a clock that it moves."""
    with bench() as made:
        yield made


@pytest.fixture
def a_machine_without_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the kubeconfig and the AWS configuration of whoever runs the tests."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a runner of `controller.py`: its exit code, standard output, standard error."""

    def command(*arguments: object, **environ: str) -> tuple[int, str, str]:
        code = main([str(each) for each in arguments], environ)
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def plan(run: Any, b: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Return a runner of plan for objects: its exit code, standard output, standard error. It must not write.

    The API server takes a token of the issuer of cluster demo, and shows a certificate, as far as anybody can tell.
    """
    monkeypatch.setattr(kube.Kube, "verified", True)
    with serve(b.api) as server:
        known = kubeconfig(server.url, tmp_path / "kubeconfig", token=TOKEN)
        monkeypatch.setenv("KUBECONFIG", str(known))

        def foretell(*objects: Object, flags: tuple[str, ...] = ()) -> tuple[int, str, str]:
            (tmp_path / "objects.yaml").write_text(yaml.safe_dump_all(objects))
            b.manners.clear()
            b.api.clear_log()
            before = b.profiles(), b.api.resource_version
            home = ("--cluster-name", "demo", "--region", b.world.region, "--allow-adoption-in", "default")
            told: tuple[int, str, str] = run("plan", "-f", tmp_path / "objects.yaml", *home, *flags)
            assert [call.operation for call in b.manners.writes()] == []
            asked = [request for request in b.api.writes() if "selfsubjectaccessreviews" not in request.path]
            assert asked == []
            assert (b.profiles(), b.api.resource_version) == before
            return told

        b.settings = replace(b.settings, adoption_in=frozenset({"default"}))
        b.start()
        yield foretell


@pytest.fixture
def spoke(b: Bench, monkeypatch: pytest.MonkeyPatch) -> World:
    """Give the account of a spoke, in another region, which has cluster prod and lets the hub in."""
    monkeypatch.setattr("controller.utc_now", b.now)  # by which its STS ends what it gives
    made = b.world.beside(SPOKE, "eu-west-1", "prod")
    made.let_in(external_id="agreed")
    return made


def clusters_file(folder: Path, defaults: Object | None = None) -> Path:
    """Write a file of clusters: prod-eu in the account of a spoke, by another name too, and one that is nowhere.

    `defaults` are those of prod-eu.
    """
    role = {"roleArn": f"arn:aws:iam::{SPOKE}:role/fargate-operator", "externalId": "agreed"}
    there = {"cluster": "prod", "region": "eu-west-1", **role}
    entries = [
        {"name": "prod-eu", **there, "namespaces": ["default", "team-*"], "defaults": defaults or {}},
        {"name": "prod-alias", **there},
        {"name": "nowhere", "roleArn": "arn:aws:iam::333333333333:role/fargate-operator"},
    ]
    file = folder / "listed.yaml"
    file.write_text(yaml.safe_dump({"clusters": entries}))
    return file
