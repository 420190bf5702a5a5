"""The floor: the least that a process can do that creates a profile for each object and deletes it with the object.

    python -m tests.bench.compare.floor

One list, one watch, and each event sent on to EKS at once. It looks at no answer, retries nothing, writes nothing to
Kubernetes and knows nothing of what was before. Nobody could run it: it says how much of a figure is Python, the two
clients and the wire, so that a goal can be a multiple of it.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config
from kubernetes.client import ApiClient
from kubernetes.config import new_client_from_config

PATH = "/apis/jicomusic.com/v1/fargateprofiles"
THREADS = 16  # as many requests to EKS at once

Object = dict[str, Any]


def main() -> None:
    """List, then follow one watch until the API server ends it."""
    api = new_client_from_config()
    eks = boto3.client("eks", config=Config(max_pool_connections=THREADS))
    with ThreadPoolExecutor(THREADS) as pool:
        listed = json.loads(get(api).data)
        for obj in listed["items"]:
            pool.submit(create, eks, obj)
        follow = [("watch", "true"), ("resourceVersion", listed["metadata"]["resourceVersion"])]
        for line in get(api, *follow):
            event = json.loads(line)
            if event["type"] in DEEDS:
                pool.submit(DEEDS[event["type"]], eks, event["object"])


def get(api: ApiClient, *query: tuple[str, str]) -> Any:
    """Return the answer of the API server, not yet read."""
    return api.call_api(*api.param_serialize("GET", PATH, query_params=query, auth_settings=["BearerToken"])).response


def create(eks: Any, obj: Object) -> None:
    spec = obj["spec"]
    eks.create_fargate_profile(
        clusterName=spec.get("clusterName") or os.environ["CLUSTER_NAME"],
        fargateProfileName=obj["metadata"]["name"],
        podExecutionRoleArn=spec["podExecutionRoleArn"],
        subnets=spec["subnets"],
        selectors=spec["selectors"],
    )


def delete(eks: Any, obj: Object) -> None:
    cluster = obj["spec"].get("clusterName") or os.environ["CLUSTER_NAME"]
    eks.delete_fargate_profile(clusterName=cluster, fargateProfileName=obj["metadata"]["name"])


DEEDS = {"ADDED": create, "DELETED": delete}

if __name__ == "__main__":
    main()
