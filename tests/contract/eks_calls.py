"""The calls that the tests of EKS's stand-ins make, in one line each: what they ask for unless a test says otherwise.

No test stands here. Used by test_eks.py for both stand-ins and by tests/unit/test_fake_aws.py for moto's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.fakes.aws import World
from tests.fakes.eks import Memory

Account = World | Memory
SELECTORS = [{"namespace": "default", "labels": {"app": "web"}}]
ISSUE = {"code": "AccessDenied", "message": "Access denied", "resourceIds": ["role"]}


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def create(account: Account, name: str = "web", **changes: Any) -> dict[str, Any]:
    request = {
        "clusterName": "demo",
        "fargateProfileName": name,
        "podExecutionRoleArn": account.roles["good"],
        "subnets": list(account.private_subnets),
        "selectors": SELECTORS,
        **changes,
    }
    answer = account.client("eks").create_fargate_profile(**request)
    profile: dict[str, Any] = answer["fargateProfile"]
    return profile


def describe(account: Account, name: str = "web") -> dict[str, Any]:
    answer = account.client("eks").describe_fargate_profile(clusterName="demo", fargateProfileName=name)
    profile: dict[str, Any] = answer["fargateProfile"]
    return profile


def delete(account: Account, name: str = "web") -> dict[str, Any]:
    answer = account.client("eks").delete_fargate_profile(clusterName="demo", fargateProfileName=name)
    profile: dict[str, Any] = answer["fargateProfile"]
    return profile


def names(account: Account) -> list[str]:
    pages = account.client("eks").get_paginator("list_fargate_profiles").paginate(clusterName="demo")
    return [name for page in pages for name in page["fargateProfileNames"]]


def existing(account: Account, name: str, **more: Any) -> dict[str, Any]:
    """Let a profile be there without a call."""
    return account.add_profile("demo", name, account.roles["good"], SELECTORS, account.private_subnets, **more)


def refusal(act: Any, *args: Any, **kwargs: Any) -> tuple[str, int, str]:
    """Return the code, HTTP status and text with which a call is refused."""
    with pytest.raises(ClientError) as caught:
        act(*args, **kwargs)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]
