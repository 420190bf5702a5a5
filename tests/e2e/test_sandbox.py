"""`make sandbox`: what it prints is typed into a shell, line by line."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import boto3
import pytest

from tests.e2e.sandbox import sandbox
from tests.e2e.support import ROOT
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return what a running sandbox tells."""
    with sandbox(tmp_path_factory.mktemp("sandbox"), seconds=1) as text:
        yield text


def environ(told: str) -> dict[str, str]:
    """Return the environment of a terminal after the printed export lines."""
    exports = "\n".join(re.findall(r"^export .*$", told, re.MULTILINE))
    command = ["bash", "-c", f"{exports}\nenv -0"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SOON).stdout
    return dict(pair.split("=", 1) for pair in shown.split("\0") if pair)


def typed(told: str, command: str, seconds: float = 30) -> str:
    """Return what a command shows within its time; all is well if it goes on for longer."""
    done = subprocess.run(
        ["timeout", str(seconds), *shlex.split(command)],
        cwd=ROOT,
        env=environ(told) | {"NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=seconds + SOON,  # if `timeout` does not end it
        check=False,
    )
    assert done.returncode in {0, 124}, done.stderr
    return done.stdout


def test_the_suggested_commands_show_a_profiles_life(told: str) -> None:
    apply, watch, describe, aws, delete = re.findall(r"^\d\. (.*)$", told, re.MULTILINE)
    assert "fargateprofile.jicomusic.com/new-profile-7 created" in typed(told, apply)
    wait_for(lambda: " True " in typed(told, watch, 2), SOON, "new-profile-7 is seen to get Ready")
    told_of = re.compile(r"Normal +Created +.*Profile new-profile-7 is ACTIVE")
    wait_for(lambda: told_of.search(typed(told, describe)), SOON, "an event tells of it")
    assert aws.startswith("aws eks list-fargate-profiles --cluster-name ")
    assert "new-profile-7" in listed_by_the_sdk(told, aws.rpartition(" ")[2])
    assert 'new-profile-7" deleted' in typed(told, delete)
    assert "new-profile-7" not in listed_by_the_sdk(told, aws.rpartition(" ")[2])


def listed_by_the_sdk(told: str, cluster: str) -> list[str]:
    """Return what `aws eks list-fargate-profiles` shows with these variables: the CLI and boto3 read the same ones."""
    printed = {name: value for name, value in environ(told).items() if name.startswith("AWS_")}
    eks = boto3.client(
        "eks",
        region_name=printed.get("AWS_REGION") or printed["AWS_DEFAULT_REGION"],
        endpoint_url=printed["AWS_ENDPOINT_URL"],
        aws_access_key_id=printed["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=printed["AWS_SECRET_ACCESS_KEY"],
    )
    names: list[str] = eks.list_fargate_profiles(clusterName=cluster)["fargateProfileNames"]
    return names
