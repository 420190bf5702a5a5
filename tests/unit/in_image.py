"""What tests ask of the models of the image, in a process that has no others: no test stands here.

    python -m tests.unit.in_image calls|credentials|endpoints WORDS

WORDS and the answer are JSON. Needs no package but those of the image. The credentials are those that `aws.fetch`
finds for each of many environments; of a way that finds none the answer has the error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import botocore.session
from botocore.exceptions import BotoCoreError

import answers
import aws
from credentials import Credentials
from kube import Command

Words = Mapping[str, Any]
CLUSTER, NAME = "demo", "image"


def edge(region: str, called: set[tuple[str, str]]) -> aws.Aws:
    """Return an edge that notes each call that it sends, by service and operation."""

    def watch(service: str, client: Any) -> None:
        client.meta.events.register("before-call", lambda model, **_: called.add((service, str(model.name))))

    credentials = Credentials(lambda: aws.fetch(region, Command))
    credentials.step()
    clients = aws.connect(region, 2, watch)
    return aws.Aws(clients, region, credentials)


def questions(asked: aws.Aws, words: Words) -> dict[str, Callable[[], object]]:
    """Return every question and change of the edge, in an order in which each has an answer."""
    selectors = frozenset({aws.selector("web", {"app": "shop"}), aws.selector("api", {})})
    spec = aws.ProfileSpec(words["role"], selectors, frozenset(words["private"]))
    arn: list[str] = []

    def create() -> object:
        made = asked.create(CLUSTER, NAME, spec, {"team": "a", "kept": "b"})
        arn.append(made.arn)
        return made

    return {
        "ready": asked.ready,
        "account": asked.account,
        "cluster": lambda: asked.cluster(CLUSTER),
        "subnets": lambda: asked.subnets([*words["private"], words["public"], "subnet-0none"]),
        "subnets_of": lambda: asked.subnets_of(words["vpc"]),
        "assume": lambda: asked.assume(words["spoke"], "agreed"),
        "role": lambda: asked.role(spec.role),
        "attached_policies": lambda: asked.attached_policies(spec.role),
        "inline_policies": lambda: asked.inline_policies(spec.role),
        "create": create,
        "access_entry": lambda: asked.access_entry(CLUSTER, spec.role),  # of the create
        "tag": lambda: asked.tag(arn[0], {"crew": "c"}),
        "untag": lambda: asked.untag(arn[0], ["team"]),
        "names": lambda: asked.names(CLUSTER),
        "describe": lambda: asked.describe(CLUSTER, NAME),
        "delete": lambda: asked.delete(CLUSTER, NAME),
        "ask": lambda: [more(asked, *each) for each in by_doctor(words)],
    }


def by_doctor(words: Words) -> list[tuple[str, str, dict[str, str]]]:
    """Return what doctor asks beside: service, method, request."""
    policy = "arn:aws:iam::aws:policy/AmazonEKSFargatePodExecutionRolePolicy"
    quota = {"ServiceCode": "eks", "QuotaCode": "L-33415657"}
    return [
        ("ec2", "describe_vpc_attribute", {"VpcId": words["vpc"], "Attribute": "enableDnsSupport"}),
        ("iam", "get_policy", {"PolicyArn": policy}),
        ("iam", "get_policy_version", {"PolicyArn": policy, "VersionId": "v1"}),
        ("iam", "get_role_policy", {"RoleName": words["role"].rpartition("/")[2], "PolicyName": "none"}),
        (aws.QUOTAS, "get_service_quota", quota),
        (aws.QUOTAS, "get_aws_default_service_quota", quota),
    ]


def more(asked: aws.Aws, service: str, method: str, request: dict[str, str]) -> object:
    answer = asked.ask(service, method, **request) or {}
    return {name: each for name, each in answer.items() if name != "ResponseMetadata"}


def told(answer: object) -> str:
    """Return an answer as text, but for what differs from time to time, and the order of sets."""
    if isinstance(answer, aws.Keys):
        return f"keys for {answer.frozen.access_key[:4]} that end" if answer.ends else "keys"
    if isinstance(answer, aws.Profile):
        at = datetime(2030, 1, 1, tzinfo=UTC)
        words = (sorted(answer.selectors), sorted(answer.subnets), sorted(answer.tags.items()))
        kept = (answer.name, answer.arn.rpartition("/")[0], answer.status, answer.role, answer.health)
        return repr((*kept, *words, answer.created_at < at))
    return repr(answer)


def calls(words: Words) -> object:
    called: set[tuple[str, str]] = set()
    with patch("aws.cut_file", lambda _path, read: read) if words["uncut"] else nullcontext():
        asked = questions(edge(words["region"], called), words)  # which reads the model of EKS
        return {"answers": {name: told(ask()) for name, ask in asked.items()}, "called": sorted(called)}


def credentials(words: Words) -> object:
    return {name: key(environ, words["region"]) for name, environ in words["ways"].items()}


def key(environ: Mapping[str, str], region: str) -> str:
    """Return the access key that is found in an environment, or why there is none."""
    with patch.dict(os.environ, environ):
        try:
            return str(aws.fetch(region, Command).frozen.access_key)
        except answers.AwsError as error:
            return f"{error.reason}: {error}"


def endpoints(words: Words) -> object:
    """Return where each service is asked in every region, as such and by FIPS and by IPv6."""
    session, found = botocore.session.Session(), {}
    if words["ours"]:
        session.register_component("data_loader", aws._models())
    variants: tuple[Words, ...] = ({}, {"use_fips_endpoint": True}, {"use_dualstack_endpoint": True})
    for service, operation in words["services"].items():
        for region in sorted(aws.known_regions()):
            for variant in variants:
                found[f"{service} {region} {variant}"] = endpoint(session, service, operation, region, variant)
    return found


def endpoint(session: Any, service: str, operation: str, region: str, variant: Words) -> list[str]:
    """Return a client's endpoint, and what its first request is sent to and signed for."""
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    try:
        client = session.create_client(service, region_name=region, config=aws._config(**variant), **keys)
        signing: dict[str, str] = {}
        context = {"client_region": region, "signing": signing, "is_presign_request": False}
        model = client.meta.service_model.operation_model(operation)
        url, *_ = client._resolve_endpoint_ruleset(model, {}, context)
    except BotoCoreError as error:
        return [str(error)]
    return [client.meta.endpoint_url, url, str(sorted(signing.items()))]


ASKED = {"calls": calls, "credentials": credentials, "endpoints": endpoints}

if __name__ == "__main__":
    print(Path(botocore.__file__).parents[1])
    print(json.dumps(ASKED[sys.argv[1]](json.loads(sys.argv[2]))))
