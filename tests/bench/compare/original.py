"""The original, in our words: what it did with kopf, step by step and no better, so that it can be measured.

    kopf run --standalone --all-namespaces tests/bench/compare/original.py

Not its code, nor all of it: it found its cluster by asking the EC2 instance, here CLUSTER_NAME says it, or the object,
as one cluster alone would let nothing be compared; and it refused every version of Kubernetes that is in use today.
What it does with an answer is what it did: an error is logged and kopf is told that all went well.
It runs in an environment of its own (tests/bench/kopf-requirements.txt) and imports nothing of this project.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import boto3
import kopf
from botocore.exceptions import ClientError

RESOURCE = ("jicomusic.com", "v1", "fargateprofiles")
POLICY = "AmazonEKSFargatePodExecutionRolePolicy"
LOOK_SECONDS, MOST_LOOKS = 5, 120  # at a profile that is to be deleted; the original looked for ever

eks = boto3.client("eks")
ec2, iam = boto3.resource("ec2"), boto3.resource("iam")
log = logging.getLogger("original")

Spec = Any  # kopf's view of a mapping


@kopf.on.resume(*RESOURCE)
@kopf.on.create(*RESOURCE, retries=3, backoff=5)
def create_profile(name: str, spec: Spec, **_: object) -> None:
    """Check the input with AWS, then create; what is wrong is logged and never tried again."""
    cluster = cluster_of(spec)
    vpc = eks.describe_cluster(name=cluster)["cluster"]["resourcesVpcConfig"]["vpcId"]
    subnets = [subnet for subnet in spec["subnets"] if ec2.Subnet(subnet).vpc_id == vpc]
    if not has_policy(spec["podExecutionRoleArn"]):
        log.error("the role of %s has not the policy that it needs", name)
        return
    try:
        eks.create_fargate_profile(
            clusterName=cluster,
            fargateProfileName=name,
            podExecutionRoleArn=spec["podExecutionRoleArn"],
            subnets=subnets,
            selectors=[dict(selector) for selector in spec["selectors"]],
            tags=dict(spec["tags"]),
        )
    except ClientError:
        log.exception("%s could not be created", name)


@kopf.on.delete(*RESOURCE)
def delete_profile(name: str, spec: Spec, **_: object) -> None:
    """Wait until the profile can be deleted, ask for it, and let the object go."""
    names = {"clusterName": cluster_of(spec), "fargateProfileName": name}
    for _look in range(MOST_LOOKS):
        if eks.describe_fargate_profile(**names)["fargateProfile"]["status"] == "ACTIVE":
            break
        time.sleep(LOOK_SECONDS)
    try:
        eks.delete_fargate_profile(**names)
    except ClientError:
        log.exception("%s could not be deleted", name)


def cluster_of(spec: Spec) -> str:
    return str(spec.get("clusterName") or os.environ["CLUSTER_NAME"])


def has_policy(role: str) -> bool:
    attached = iam.Role(role.rpartition("/")[2]).attached_policies.all()
    return POLICY in {policy.arn.rpartition("/")[2] for policy in attached}
