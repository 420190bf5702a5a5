"""The world of the end-to-end tests, around the control plane that all tests share (tests/conftest.py).

Each test has a namespace, an AWS account and operators of its own.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.e2e.controlplane import ControlPlane
from tests.e2e.support import IDENTITY, Operator, User, commands_told, environment, ok, token_of, write_kubeconfig
from tests.fakes import aws as fake_aws
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def installed(control_plane: ControlPlane) -> ControlPlane:
    """Return the control plane after the README's install, literally."""
    commands = commands_told("README.md", "## Install", "## The object")
    assert commands == [f"kubectl apply -f {file}.yaml" for file in ("rbac", "crd", "deployment")]
    for command in commands:
        ok(control_plane.kubectl(*command.split()[1:]))
    wait_for(lambda: control_plane.kubectl("get", "fp").returncode == 0, 20, "FargateProfiles are served")
    return control_plane


@pytest.fixture(scope="session")
def token(installed: ControlPlane) -> str:
    """Return a token of rbac.yaml's ServiceAccount."""
    return token_of(installed, IDENTITY)


@pytest.fixture
def user(installed: ControlPlane) -> Iterator[User]:
    """Return a user with a namespace; what they left is gone after the test."""
    made = User(installed, f"e2e-{secrets.token_hex(4)}")
    made.new_namespace()
    yield made
    made.clean()


@pytest.fixture
def aws() -> Iterator[fake_aws.World]:
    """Serve an AWS account over HTTP: the sample's subnets and role, a profile takes half a second."""
    manners = fake_aws.Manners(creating_seconds=0.5, deleting_seconds=0.5)
    subnets, role = fake_aws.SAMPLE_SUBNETS, fake_aws.SAMPLE_ROLE
    with fake_aws.over_http(manners, subnet_ids=subnets, role_name=role) as world:
        yield world


class NewOperator(Protocol):
    """Makes an operator that is not yet started; without a token as rbac.yaml's ServiceAccount.

    `runner` takes tests/e2e/runner.py in the place of controller.py; the variables are for its environment.
    """

    def __call__(self, *, token: str = "", server: str = "", runner: bool = False, **variables: str) -> Operator: ...


@pytest.fixture
def new_operator(user: User, token: str, aws: fake_aws.World, tmp_path: Path) -> Iterator[NewOperator]:
    """Return a maker of operators; they are killed after the test, and none of them may have met a bug."""
    made: list[Operator] = []

    def make(*, token: str = token, server: str = "", runner: bool = False, **variables: str) -> Operator:
        name = f"operator-{len(made)}"
        config = write_kubeconfig(tmp_path / f"{name}.kubeconfig", user.control_plane, token, server)
        environ = environment(aws, **{"KUBECONFIG": str(config)} | variables)
        command = ("-m", "tests.e2e.runner") if runner else ("controller.py",)
        made.append(Operator(environ, tmp_path / f"{name}.log", command))
        return made[-1]

    yield make
    died = [operator.died for operator in made]
    for operator in made:
        operator.kill()
        print(operator.said())  # pytest shows it if the test fails
    assert all(code is None for code in died), f"an operator ended by itself: {died}"
    assert not any("Traceback" in operator.said() for operator in made), "an operator met a bug"


@pytest.fixture
def operator(new_operator: NewOperator) -> Operator:
    """Return the operator, started, as the README's install has it but for shorter polls."""
    made = new_operator()
    made.start()
    return made
