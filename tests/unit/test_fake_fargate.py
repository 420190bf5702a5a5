"""The stand-in for Fargate and pods.py were written apart from the same facts: what one says of a pod the other says.

What the stand-in does on a real API server is in tests/e2e/test_fargate.py.
"""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pods
from aws import Profile
from tests.fakes.fargate_rules import (
    LABEL,
    UNSUPPORTED,
    Obj,
    Unknown,
    capacity,
    choose,
    is_like,
    opts_out,
    patch,
    refusal,
)
from tests.unit.test_pods import by_all_ways, plain, pod, profiles_of_a_cluster, words

APP = {"name": "app"}
ZONES = ["us-east-1a", "us-east-1b"]
ORDERS = (str.encode, str.lower, str.upper, lambda name: re.sub(r"[\W_]", "", name))
WAYS = [Unknown(order, falls_back) for order, falls_back in itertools.product(ORDERS, (True, False))]


def asking(cpu: str, memory: str) -> Obj:
    return {**APP, "resources": {"requests": {"cpu": cpu, "memory": memory}}}


@given(plain, words)
def test_a_text_is_of_a_pattern_where_some_way_to_fill_the_stars_gives_it(text: str, pattern: str) -> None:
    assert is_like(text, pattern) is by_all_ways(text, pattern)


def as_eks_words(profile: Profile) -> Obj:
    selectors = [{"namespace": each.namespace, "labels": dict(each.labels)} for each in profile.selectors]
    return {"fargateProfileName": profile.name, "selectors": selectors}


@settings(max_examples=400)
@given(
    plain,
    st.dictionaries(plain | st.just(LABEL), plain | st.sampled_from(["a", "b"]), max_size=3),
    profiles_of_a_cluster,
)
def test_what_pods_py_is_sure_of_is_what_the_stand_in_does_in_every_way_that_eks_may_have(
    namespace: str, labels: dict[str, str], profiles: list[Profile]
) -> None:
    made = pod(namespace, labels)
    known = [as_eks_words(each) for each in profiles if each.active]
    answers = {choose(made, namespace, known, way) for way in WAYS}
    choice = pods.chosen(made, profiles)
    if choice.profile:
        assert answers == {choice.profile.name}
    if choice.taken != "unknown":
        assert (None in answers) is (choice.taken == "no")
    assert answers - {None} <= {*choice.could}


META: list[Obj] = [
    {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "a", "uid": "1"}]},
    {"annotations": {pods.COMPUTE_TYPE: "ec2"}},
    {"annotations": {pods.COMPUTE_TYPE: "fargate"}},
    {},
]


@pytest.mark.parametrize("meta", META)
@pytest.mark.parametrize("spec", [{"nodeName": "a"}, {"schedulerName": "mine"}, {}])
def test_both_know_the_same_opt_outs(meta: Obj, spec: Obj) -> None:
    made = pod(**spec)
    made["metadata"] |= meta
    assert opts_out(made) is (pods.opted_out(made) is not None)


def test_the_patch_keeps_the_labels_of_the_pod() -> None:
    (labels,) = [each["value"] for each in patch(pod(labels={"run": "nginx"}), "web") if "labels" in each["path"]]
    assert labels == {LABEL: "web", "run": "nginx"}


# Each of these was measured: what was asked for, and CapacityProvisioned.
MEASURED = [
    ("250m", "1000Mi", "0.25vCPU 2GB"),
    ("255m", "1000Mi", "0.5vCPU 2GB"),
    ("260m", "1750Mi", "0.5vCPU 2GB"),
    ("255m", "1800Mi", "0.5vCPU 3GB"),
    ("255m", "10Gi", "2vCPU 11GB"),
    ("1", "8Gi", "2vCPU 9GB"),
    ("0", "0", "0.25vCPU 0.5GB"),
]


@pytest.mark.parametrize(("cpu", "memory", "said"), MEASURED)
def test_a_size_is_the_one_that_was_measured(cpu: str, memory: str, said: str) -> None:
    assert capacity(pod(containers=[asking(cpu, memory)])) == said


amounts = st.integers(0, 20_000)


@given(st.lists(st.tuples(amounts, amounts), min_size=1, max_size=3), st.lists(st.tuples(amounts, amounts), max_size=2))
def test_both_give_a_pod_the_same_size(asked: list[tuple[int, int]], inits: list[tuple[int, int]]) -> None:
    long, once = ([asking(f"{cpu}m", f"{memory * 8}Mi") for cpu, memory in each] for each in (asked, inits))
    made = pod(containers=long, initContainers=once)
    size = pods.size(made)
    assert size.answer == "exact"
    assert capacity(made) == (f"{size.least.vcpu:g}vCPU {size.least.gib:g}GB" if size.least else None)


CONTAINERS: list[Obj] = [
    {"securityContext": {"privileged": True}},
    {"securityContext": {"allowPrivilegeEscalation": True}},
    {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}},
    {"ports": [{"containerPort": 80, "hostPort": 80}]},
    {"resources": {"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}},
    {"resources": {"requests": {"cpu": "17"}}},
    {"volumeDevices": [{"name": "disk", "devicePath": "/dev/disk"}]},
]
SPECS: list[Obj] = [
    *({"containers": [{**APP, **each}]} for each in CONTAINERS),
    {"hostNetwork": True},
    {"hostPID": True, "hostIPC": True},
    {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
    {"nodeSelector": {"karpenter.sh/nodepool": "default"}},
]


@pytest.mark.parametrize("spec", SPECS)
def test_what_the_stand_in_refuses_pods_py_says_cannot_run_and_translates(spec: Obj) -> None:
    made = pod(**{"containers": [APP], **spec})
    refused = refusal(made, "web", ZONES, lambda _: "")
    assert refused
    assert pods.unsupported(made)[0] == "yes"
    if "resources not supported" not in refused.text:  # our words
        assert pods.translated(refused.text), refused.text


@pytest.mark.parametrize(
    "why",
    [
        'persistentvolumeclaim "c" not found',
        "PVC c not bound",
        "PVC c bound to invalid PV pv-1 with CSI Driver: ebs.csi.aws.com",
        "PVC c bound to invalid PV pv-1 with nil CSI spec",
    ],
)
def test_what_is_wrong_with_a_claim_is_told_by_volume_and_translated(why: str) -> None:
    claimed = pod(containers=[APP], volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}])
    refused = refusal(claimed, "web", ZONES, lambda claim: why if claim == "c" else "")
    start = "Pod not supported on Fargate: volumes not supported: data not supported because: "
    assert refused == (UNSUPPORTED, start + why)
    assert pods.translated(start + why)
    assert refusal(claimed, "web", ZONES, lambda _: "") is None


def test_a_wish_for_a_zone_is_met_where_the_profile_has_a_subnet() -> None:
    made = pod(containers=[APP], nodeSelector={"topology.kubernetes.io/zone": "us-east-1b"})
    assert refusal(made, "web", ZONES, lambda _: "") is None
    assert refusal(made, "web", ZONES[:1], lambda _: "") is not None
