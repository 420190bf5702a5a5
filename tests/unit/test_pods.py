"""What Fargate profiles mean for pods, as tables: every figure and text was measured or is documented."""

from __future__ import annotations

import copy
import itertools
import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aws import Profile, Selector, selector
from patterns import matches, quantity
from pods import (
    COMPUTE_TYPE,
    EFS,
    PROFILE_LABEL,
    ROWS,
    Row,
    anew,
    chosen,
    fits,
    goes_first,
    holder,
    row,
    size,
    stranded,
    translated,
    unsupported,
)

Object = dict[str, Any]
MADE = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
GIB = 1 << 30


def profile(name: str, *picks: Selector, status: str = "ACTIVE", created_at: datetime = MADE) -> Profile:
    arn = f"arn:aws:eks:eu-central-1:123456789012:fargateprofile/demo/{name}/1"
    return Profile(name, arn, status, created_at, "role", frozenset(picks), frozenset())


def pod(namespace: str = "shop", labels: Object | None = None, **spec: Any) -> Object:
    return {"metadata": {"namespace": namespace, "name": "p", "labels": labels or {}}, "spec": spec}


def with_meta(**meta: Any) -> Object:
    return {"metadata": {"namespace": "shop", "name": "p", **meta}, "spec": {}}


SHOP = selector("shop", {})
WEB = selector("shop", {"tier": "web"})


# Words and patterns


@pytest.mark.parametrize(
    ("word", "pattern", "fit"),
    [
        ("web", "web", True),
        ("web", "w?b", True),
        ("web", "*", True),
        ("", "*", True),
        ("", "?", False),
        ("team-1-prod", "team-*-pro?", True),
        ("aXbXc", "a*b*c", True),
        ("ab", "a*ba*b", False),
        ("aa", "a*a", True),
        ("a", "a*a", False),
        ("web", "[w]eb", False),
        ("[w]eb", "[w]eb", True),
        ("a.b/c\\d", "a.b/c\\*", True),
        ("k" * 200 + "/name", "k*/name", True),
    ],
)
def test_only_star_and_question_mark_stand_for_other_characters_in_words_of_any_length(
    word: str, pattern: str, fit: bool
) -> None:
    assert matches(word, pattern) is fit


def by_all_ways(word: str, pattern: str) -> bool:
    if not pattern:
        return not word
    if pattern[0] == "*":
        return any(by_all_ways(word[taken:], pattern[1:]) for taken in range(len(word) + 1))
    return bool(word) and pattern[0] in {word[0], "?"} and by_all_ways(word[1:], pattern[1:])


@settings(max_examples=500, deadline=None)
@given(st.text("ab[", max_size=6), st.text("ab[*?", max_size=6))
@example("aab", "*a*ab")
def test_a_word_matches_where_some_way_to_fill_the_stars_gives_it(word: str, pattern: str) -> None:
    assert matches(word, pattern) is by_all_ways(word, pattern)


# Which profile takes a pod


LEFT_ALONE: dict[str, tuple[Object, str]] = {
    "a pod of a DaemonSet": (
        with_meta(ownerReferences=[{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent"}]), "DaemonSet",
    ),
    "a pod with the annotation ec2": (with_meta(annotations={COMPUTE_TYPE: "ec2"}), "annotation"),
    "a pod that names its node": (pod(nodeName="ip-10-0-0-1"), "spec.nodeName"),
    "a pod that names another scheduler": (pod(schedulerName="volcano"), "volcano"),
    "a pod of another namespace": (pod("other"), "no ACTIVE profile fits"),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "why"), LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_what_eks_leaves_alone_is_told_with_the_reason(seen: Object, why: str) -> None:
    choice = chosen(seen, [profile("all", SHOP)])
    assert (choice.taken, choice.profile) == ("no", None)
    assert why in choice.why


TAKEN: dict[str, Object] = {
    "a plain pod": pod(),
    "a pod with the annotation fargate": with_meta(annotations={COMPUTE_TYPE: "fargate"}),
    "a pod that names the usual scheduler": pod(schedulerName="default-scheduler"),
    "a pod with tolerations and affinity": pod(tolerations=[{"operator": "Exists"}], nodeSelector={"disk": "ssd"}),
    "a pod of a ReplicaSet": with_meta(ownerReferences=[{"apiVersion": "apps/v1", "kind": "ReplicaSet"}]),
    "a pod whose label names the profile": pod(labels={PROFILE_LABEL: "all"}),
}


@pytest.mark.parametrize("seen", TAKEN.values(), ids=TAKEN)
def test_what_no_opt_out_speaks_against_is_taken(seen: Object) -> None:
    choice = chosen(seen, [profile("all", SHOP)])
    assert (choice.taken, choice.profile, choice.selector) == ("yes", profile("all", SHOP), SHOP)


NOT_KNOWN: dict[str, tuple[Object, list[Profile]]] = {
    "a pod whose label names a profile that is not there": (pod(labels={PROFILE_LABEL: "gone"}), [profile("a", SHOP)]),
    "a pod whose label names a profile that is not ACTIVE": (
        pod(labels={PROFILE_LABEL: "b"}), [profile("a", SHOP), profile("b", SHOP, status="CREATING")],
    ),
    "a pod whose label names a profile that it does not match": (
        pod(labels={PROFILE_LABEL: "b"}), [profile("a", SHOP), profile("b", WEB)],
    ),
    "a pod with an annotation of another value": (with_meta(annotations={COMPUTE_TYPE: "EC2"}), [profile("a", SHOP)]),
    "a pod of another kind of DaemonSet": (
        with_meta(ownerReferences=[{"apiVersion": "apps.kruise.io/v1alpha1", "kind": "DaemonSet"}]),
        [profile("a", SHOP)],
    ),
    "a pod that asks for the Fargate scheduler itself": (pod(schedulerName="fargate-scheduler"), [profile("a", SHOP)]),
    "a pod of a profile that is being deleted": (pod(), [profile("a", SHOP, status="DELETING")]),
    "a pod before which a profile goes that is being deleted": (
        pod(), [profile("a", SHOP, status="DELETE_FAILED"), profile("b", SHOP)],
    ),
    "a pod of no namespace": (pod(""), [profile("a", SHOP)]),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "profiles"), NOT_KNOWN.values(), ids=NOT_KNOWN)
def test_what_was_neither_documented_nor_seen_is_unknown(seen: Object, profiles: list[Profile]) -> None:
    choice = chosen(seen, profiles)
    assert (choice.taken, choice.profile) == ("unknown", None)
    assert choice.why


def test_a_label_chooses_among_the_profiles_that_match() -> None:
    profiles = [profile("a", SHOP), profile("b", SHOP), profile("c", WEB)]
    choice = chosen(pod(labels={PROFILE_LABEL: "b"}), profiles)
    assert choice.profile == profiles[1]
    assert PROFILE_LABEL in choice.why


@pytest.mark.parametrize("status", ["CREATING", "CREATE_FAILED"])
def test_a_profile_that_is_not_yet_active_takes_nothing_and_is_named(status: str) -> None:
    choice = chosen(pod(), [profile("soon", SHOP, status=status)])
    assert (choice.taken, "soon would, once ACTIVE" in choice.why) == ("no", True)
    assert chosen(pod(), [profile("soon", SHOP, status=status), profile("z", SHOP)]).profile == profile("z", SHOP)


def test_a_profile_that_eks_hides_may_be_the_one_unless_another_goes_before_it_for_sure() -> None:
    assert chosen(pod(), [], ["a"]).taken == "unknown"
    assert chosen(pod(), [profile("b", SHOP)], ["a"]).taken == "unknown"
    assert chosen(pod(), [profile("a", SHOP)], ["b"]).profile == profile("a", SHOP)
    assert chosen(pod(nodeName="n"), [], ["a"]).taken == "no"


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (("beta-workload", "prod-workload"), "beta-workload"),  # AWS's own example
        (("a", "b", "c"), "a"),
        (("web", "web-5dbf820a"), "web"),
        (("web-2", "web-10"), ""),  # as numbers or as letters
        (("Web", "api"), ""),  # capitals first, or not
        (("a-b", "a_a"), ""),
        (("ab", "a-c"), ""),
        (("a-b", "ab"), ""),  # equal once punctuation is ignored
        (("Web", "web"), ""),
        (("a1", "a2"), "a1"),
        (("a-1", "ab", "b"), "a-1"),
    ],
)
def test_of_several_profiles_the_first_by_name_is_told_only_where_all_orders_agree(
    names: tuple[str, ...], first: str
) -> None:
    profiles = [profile(name, SHOP) for name in names]
    for order in itertools.permutations(profiles):
        choice = chosen(pod(), order)
        assert choice.taken == "yes", "one of them takes it in any order"
        assert (choice.profile.name if choice.profile else "") == first
        assert choice.could == tuple(sorted(names))


def test_the_selector_that_fits_is_named_and_the_labels_of_one_must_all_be_there() -> None:
    both = profile("web", selector("other", {}), selector("sh?p", {"t*": "w*b", "app": "*"}))
    assert chosen(pod(labels={"tier": "web", "app": ""}), [both]).selector == selector(
        "sh?p", {"t*": "w*b", "app": "*"}
    )
    assert chosen(pod(labels={"tier": "web"}), [both]).taken == "no"


words = st.sampled_from(["a", "b", "ab", "a*", "*b", "*", "?", "a?"])
plain = st.sampled_from(["a", "b", "ab", "ba", "aab", "c"])
picks = st.builds(selector, words, st.dictionaries(words, words, max_size=2))
statuses = st.sampled_from(["ACTIVE", "ACTIVE", "CREATING", "DELETING"])
found = st.builds(
    lambda name, some, status: profile(name, *some, status=status),
    st.sampled_from(["a", "B", "b", "a-2", "a10", "ab", "_a"]), st.lists(picks, min_size=1, max_size=2), statuses,
)  # fmt: skip
profiles_of_a_cluster = st.lists(found, max_size=4, unique_by=lambda each: each.name)


def by_brute_force(namespace: str, labels: dict[str, str], profiles: list[Profile]) -> set[str | None]:
    """Return every profile that EKS may take: over all it may make of names, and of what is being deleted."""

    def selects(pick: Selector) -> bool:
        pairs = [
            any(by_all_ways(k, key) and by_all_ways(v, value) for k, v in labels.items()) for key, value in pick.labels
        ]
        return by_all_ways(namespace, pick.namespace) and all(pairs)

    fit = [each for each in profiles if any(map(selects, each.selectors))]
    going = [each for each in fit if each.status == "DELETING"]
    answers: set[str | None] = set()
    for more in itertools.product([True, False], repeat=len(going)):
        takers = {each.name for each in fit if each.active}
        takers |= {each.name for each, counts in zip(going, more, strict=True) if counts}
        answers |= {name for name in takers if not any(goes_first(other, [name]) for other in takers - {name})}
        answers |= set() if takers else {None}
    return answers


@settings(max_examples=600, deadline=None)
@given(plain, st.dictionaries(plain, plain, max_size=3), profiles_of_a_cluster)
def test_what_is_told_as_sure_is_what_every_way_to_choose_gives(
    namespace: str, labels: dict[str, str], profiles: list[Profile]
) -> None:
    answers, choice = by_brute_force(namespace, labels, profiles), chosen(pod(namespace, labels), profiles)
    if choice.profile:
        assert answers == {choice.profile.name}
    assert (choice.taken == "no") is (answers == {None})
    assert choice.taken != "yes" or None not in answers
    assert answers - {None} <= {*choice.could}


def test_a_label_that_can_t_be_read_leaves_open_what_depends_on_it_alone() -> None:
    labels = {"tier": None, "app": "x"}
    assert fits(WEB, "shop", labels) is None
    assert fits(selector("shop", {"tier": "*"}), "shop", labels) is True
    assert fits(selector("shop", {"tier": "web", "app": "y"}), "shop", labels) is False
    assert fits(WEB, "other", None) is False
    odd = pod(labels={"tier": 1})
    assert chosen(odd, [profile("a", WEB)]).taken == "unknown"
    assert chosen(odd, [profile("a", SHOP)]).taken == "yes"


# Which pods EKS has missed


def waiting(scheduler: str = "default-scheduler", labels: Object | None = None, **status: Any) -> Object:
    return {**pod(labels=labels, schedulerName=scheduler), "status": {"phase": "Pending", **status}}


MISSED = waiting()
FORSAKEN = waiting("fargate-scheduler", {PROFILE_LABEL: "old", "tier": "web"})


def test_a_pod_that_was_made_before_its_profile_was_active_is_stranded() -> None:
    seen = stranded(MISSED, [profile("web", SHOP)])
    assert (seen.answer, seen.choice and seen.choice.profile) == ("yes", profile("web", SHOP))
    assert "web would take it now" in seen.why
    assert stranded(MISSED, [profile("web-2", SHOP), profile("web-10", SHOP)]).answer == "yes", "one of the two"
    assert stranded(MISSED, []).answer == "no"
    assert stranded(MISSED, [], ["hidden"]).answer == "unknown"
    assert stranded(MISSED, [profile("web", SHOP, status="CREATING")]).answer == "no"


def test_a_pod_whose_profile_is_gone_is_stranded_once_another_would_take_it() -> None:
    assert stranded(FORSAKEN, [profile("new", SHOP)]).answer == "yes"
    assert stranded(FORSAKEN, []).answer == "no"
    assert stranded(FORSAKEN, [profile("new", SHOP)], ["old"]).answer == "unknown", "the old one may be there"
    assert stranded(waiting("fargate-scheduler"), [profile("new", SHOP)]).answer == "unknown", "nobody knows which"


def test_a_pod_whose_profile_was_made_again_after_it_began_to_wait_is_stranded() -> None:
    again = profile("old", SHOP, created_at=MADE + timedelta(minutes=5))
    assert stranded(FORSAKEN, [again], waiting_since=MADE).answer == "yes"
    assert stranded(FORSAKEN, [again], waiting_since=MADE + timedelta(minutes=9)).answer == "no"
    assert stranded(FORSAKEN, [again]).answer == "no", "nobody says since when"


NOT_STRANDED: dict[str, Object] = {
    "one that runs": {**MISSED, "status": {"phase": "Running"}},
    "one that has its node": {**MISSED, "spec": {"nodeName": "fargate-ip-10-0-0-1"}},
    "one that has scheduling gates": {**MISSED, "spec": {"schedulingGates": [{"name": "x"}]}},
    "one that is being deleted": {**MISSED, "metadata": {**MISSED["metadata"], "deletionTimestamp": "2026-01-01"}},
    "one that another pod goes for": waiting(nominatedNodeName="ip-10-0-0-1"),
    "one that Fargate is at": {**FORSAKEN, "status": {"phase": "Pending", "nominatedNodeName": "19bf1ab524"}},
    "one that waits for another scheduler": waiting("volcano"),
    "one of a DaemonSet": {
        **MISSED,
        "metadata": {**MISSED["metadata"], "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet"}]},
    },
}


@pytest.mark.parametrize("seen", NOT_STRANDED.values(), ids=NOT_STRANDED)
def test_what_waits_for_something_else_or_for_nothing_is_not_stranded(seen: Object) -> None:
    known = stranded(seen, [profile("web", SHOP)])
    assert known.answer == "no"
    assert known.why


def test_a_pod_made_anew_has_neither_its_node_nor_what_the_webhook_put_in() -> None:
    there = {**FORSAKEN, "spec": {**FORSAKEN["spec"], "nodeName": "n", "containers": []}}
    before = copy.deepcopy(there)
    fresh = anew(there)
    assert fresh["spec"] == {"containers": []}
    assert fresh["metadata"]["labels"] == {"tier": "web"}
    assert there == before
    own = pod(labels={PROFILE_LABEL: "mine"})
    assert anew(own)["metadata"]["labels"] == {PROFILE_LABEL: "mine"}, "the user's own"


def test_the_label_alone_does_not_prove_that_a_pod_was_taken() -> None:
    assert holder(FORSAKEN) == "old"
    assert holder(waiting(labels={PROFILE_LABEL: "web"})) == ""


# What Fargate can't run


def container(**fields: Any) -> Object:
    return pod(containers=[{"name": "c", **fields}])


def affinity(*terms: Object) -> Object:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return pod(affinity={"nodeAffinity": required})


def wants(key: str, operator: str, *values: str) -> Object:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


ZONE = wants("topology.kubernetes.io/zone", "In", "eu-central-1a")
CAN_T_RUN: dict[str, tuple[Object, str]] = {
    "the network of the host": (pod(hostNetwork=True), "spec.hostNetwork"),
    "the processes of the host": (pod(hostPID=True), "spec.hostPID"),
    "the IPC of the host": (pod(hostIPC=True), "spec.hostIPC"),
    "a privileged container": (
        container(securityContext={"privileged": True}), "spec.containers[0].securityContext.privileged",
    ),
    "a privileged init container": (
        pod(initContainers=[{"securityContext": {"privileged": True}}]),
        "spec.initContainers[0].securityContext.privileged",
    ),
    "an escalation of privileges": (
        container(securityContext={"allowPrivilegeEscalation": True}),
        "spec.containers[0].securityContext.allowPrivilegeEscalation",
    ),
    "a capability that is not allowed": (
        container(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}),
        "spec.containers[0].securityContext.capabilities.add",
    ),
    "a capability that is allowed, spelled with CAP_": (
        container(securityContext={"capabilities": {"add": ["CAP_CHOWN"]}}),
        "spec.containers[0].securityContext.capabilities.add",
    ),
    "a port of the host": (container(ports=[{"hostPort": 80}]), "spec.containers[0].ports[0]"),
    "a port of the host, as YAML is read here": (container(ports=[{"hostPort": 80.0}]), "spec.containers[0].ports[0]"),
    "an address of the host": (container(ports=[{"hostIP": "10.0.0.1"}]), "spec.containers[0].ports[0]"),
    "a folder of the host": (pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), "spec.volumes[0].hostPath"),
    "an inline volume of EBS": (
        pod(volumes=[{"name": "v", "awsElasticBlockStore": {}}]), "spec.volumes[0].awsElasticBlockStore",
    ),
    "a block device": (container(volumeDevices=[{"name": "d"}]), "spec.containers[0].volumeDevices[0]"),
    "a DaemonSet": (with_meta(ownerReferences=[{"kind": "DaemonSet"}]), "metadata.ownerReferences[0]"),
    "a label of nodes of one's own": (pod(nodeSelector={"disk": "ssd"}), "spec.nodeSelector.disk"),
    "nodes of EC2": (pod(nodeSelector={COMPUTE_TYPE: "ec2"}), f"spec.nodeSelector.{COMPUTE_TYPE}"),
    "Arm": (pod(nodeSelector={"kubernetes.io/arch": "arm64"}), "spec.nodeSelector.kubernetes.io/arch"),
    "Windows": (pod(os={"name": "windows"}), "spec.os.name"),
    "no node of Fargate": (affinity(wants(COMPUTE_TYPE, "NotIn", "fargate")), "matchExpressions[0]"),
    "a node pool of Karpenter, in either term": (
        affinity(wants("karpenter.sh/nodepool", "In", "a"), wants("karpenter.sh/nodepool", "Exists")),
        "matchExpressions[0]",
    ),
    "a GPU": (container(resources={"limits": {"nvidia.com/gpu": 1}}), "resources.limits.nvidia.com/gpu"),
    "a claim of devices": (pod(resourceClaims=[{"name": "gpu"}]), "spec.resourceClaims"),
    "more than 16 vCPU": (container(resources={"requests": {"cpu": "17"}}), "spec"),
    "120 GiB, with which there is no room for the kubelet": (
        container(resources={"requests": {"memory": "120Gi"}}), "spec",
    ),
    "more storage than there is": (container(resources={"requests": {"ephemeral-storage": "176Gi"}}), "spec"),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "field"), CAN_T_RUN.values(), ids=CAN_T_RUN)
def test_what_fargate_can_t_run_is_told_by_its_field_with_what_mends_it(seen: Object, field: str) -> None:
    answer, hurdles = unsupported(seen)
    assert answer == "yes"
    assert [each.sure for each in hurdles] == [True]
    assert hurdles[0].field.endswith(field)
    assert hurdles[0].mend


def test_a_capability_with_cap_in_front_is_mended_by_leaving_that_off() -> None:
    add = container(securityContext={"capabilities": {"add": ["CAP_CHOWN"]}})
    assert unsupported(add)[1][0].mend == "write CHOWN"


RUNS: dict[str, Object] = {
    "a plain pod": container(image="nginx", ports=[{"containerPort": 80, "hostPort": 0}]),
    "privileges that are explicitly off": container(
        securityContext={"privileged": False, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    ),
    "a capability that is allowed": container(securityContext={"capabilities": {"add": ["NET_BIND_SERVICE"]}}),
    "the volumes that Fargate has": pod(
        volumes=[{"name": kind, kind: {}} for kind in ("emptyDir", "secret", "configMap", "projected", "nfs")]
    ),
    "a zone": pod(nodeSelector={"topology.kubernetes.io/zone": "eu-central-1a"}),
    "nodes of Fargate": pod(nodeSelector={COMPUTE_TYPE: "fargate"}),
    "a zone in one of two terms": affinity(wants("disk", "In", "ssd"), ZONE),
    "a node that is preferred": pod(
        affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}}
    ),
    "16 vCPU": container(resources={"requests": {"cpu": "16", "memory": "119Gi"}}),
    "no GPU": container(resources={"limits": {"nvidia.com/gpu": "0"}}),
    "spreading that may fail": pod(topologySpreadConstraints=[{"whenUnsatisfiable": "ScheduleAnyway"}]),
    "175 GiB of storage": container(resources={"requests": {"ephemeral-storage": "175Gi"}}),
}


@pytest.mark.parametrize("seen", RUNS.values(), ids=RUNS)
def test_what_fargate_runs_has_nothing_in_its_way(seen: Object) -> None:
    assert unsupported(seen) == ("no", ())


MAY_RUN: dict[str, Object] = {
    "a claim": pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]),
    "a volume made with the pod": pod(volumes=[{"name": "v", "ephemeral": {}}]),
    "a kind of volume that nobody knows": pod(volumes=[{"name": "v", "image": {}}]),
    "a volume of no kind": pod(volumes=[{"name": "v"}]),
    "a capability by a setting of the kubelet": container(securityContext={"capabilities": {"add": ["SYS_PTRACE"]}}),
    "Linux asked for by label": pod(nodeSelector={"kubernetes.io/os": "linux"}),
    "nodes without a label": affinity(wants("disk", "NotIn", "hdd")),
    "nodes without a label in one of two terms": affinity(wants("disk", "In", "ssd"), wants("disk", "NotIn", "hdd")),
    "a node by its name": affinity({"matchFields": [{"key": "metadata.name"}]}),
    "spreading that must be met": pod(topologySpreadConstraints=[{"whenUnsatisfiable": "DoNotSchedule"}]),
    "pods that must be near": pod(
        affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}}
    ),
    "another runtime": pod(runtimeClassName="gvisor"),
    "huge pages": container(resources={"limits": {"hugepages-2Mi": "2Mi"}}),
    "a size that can't be read": container(resources={"requests": {"cpu": "much"}}),
    "a size that may be too large": pod(
        containers=[{"resources": {"requests": {"cpu": 10}}}],
        initContainers=[{"restartPolicy": "Always", "resources": {"requests": {"cpu": 10}}}],
    ),
}


@pytest.mark.parametrize("seen", MAY_RUN.values(), ids=MAY_RUN)
def test_what_nobody_knows_of_is_unknown_and_never_a_no(seen: Object) -> None:
    answer, hurdles = unsupported(seen)
    assert answer == "unknown"
    assert not any(each.sure for each in hurdles)


@pytest.mark.parametrize(
    ("drivers", "answer"),
    [
        ({}, "unknown"),
        ({"c": EFS}, "no"),
        ({"c": "ebs.csi.aws.com"}, "yes"),
        ({"c": ""}, "yes"),
        ({"d": EFS}, "unknown"),
    ],
)
def test_a_claim_is_fine_only_once_it_was_seen_bound_to_a_volume_of_efs(drivers: dict[str, str], answer: str) -> None:
    by_claim = pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])
    assert unsupported(by_claim, drivers)[0] == answer


def test_a_volume_made_with_the_pod_is_bound_by_the_claim_of_both_names() -> None:
    seen = pod(volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}])
    assert unsupported(seen, {"p-v": EFS})[0] == "no"


def test_what_is_sure_outweighs_what_is_not() -> None:
    seen = pod(hostNetwork=True, runtimeClassName="gvisor")
    answer, hurdles = unsupported(seen)
    assert (answer, [each.sure for each in hurdles]) == ("yes", [True, False])


# What is billed


def requests(cpu: object = None, memory: object = None) -> Object:
    given = {"cpu": cpu, "memory": memory}
    return {"resources": {"requests": {key: value for key, value in given.items() if value is not None}}}


@pytest.mark.parametrize(
    ("cpu", "memory", "billed"),
    [
        (None, None, (0.25, 0.5)),
        ("1", "8G", (1, 8)),
        ("1", "8Gi", (2, 9)),  # AWS's own example
        ("250m", "1000Mi", (0.25, 2)),  # measured, as the next four
        ("255m", "1000Mi", (0.5, 2)),
        ("260m", "1750Mi", (0.5, 2)),
        ("255m", "1800Mi", (0.5, 3)),
        ("255m", "10Gi", (2, 11)),
        ("250m", "256Mi", (0.25, 0.5)),
        ("250m", "257Mi", (0.25, 1)),
        (4, None, (4, 8)),
        (0.1, 1024, (0.25, 0.5)),
        ("5", "1Gi", (8, 16)),
        ("5", "17Gi", (8, 20)),
        ("16", "119.75Gi", (16, 120)),
    ],
)
def test_what_is_billed_is_the_next_size_that_has_room_for_the_kubelet_too(
    cpu: object, memory: object, billed: tuple[float, float]
) -> None:
    found = size(pod(containers=[requests(cpu, memory)]))
    assert (found.answer, found.least, found.most) == ("exact", Row(*billed), Row(*billed))


def test_the_largest_init_container_or_all_containers_together_count_whichever_is_more() -> None:
    containers = [requests("250m", "512Mi"), requests("250m", "512Mi")]
    assert size(pod(containers=containers)).least == Row(0.5, 2)
    inits = [requests("1", "128Mi"), requests("250m", "3Gi")]
    assert size(pod(containers=containers, initContainers=inits)).least == Row(1, 4), "each resource by itself"


def test_a_limit_without_a_request_is_a_request_and_one_beside_it_is_not() -> None:
    assert size(pod(containers=[{"resources": {"limits": {"cpu": "2", "memory": "4Gi"}}}])).least == Row(2, 5)
    both = {"resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "250m"}}}
    assert size(pod(containers=[both])).least == Row(0.25, 0.5)


RANGES: dict[str, tuple[Object, Row, Row]] = {
    "a sidecar": (
        pod(containers=[requests("250m")], initContainers=[{"restartPolicy": "Always", **requests("500m")}]),
        Row(0.25, 0.5), Row(1, 2),
    ),
    "resources of the pod as a whole": (
        pod(containers=[requests("250m")], resources={"requests": {"cpu": "2"}}), Row(0.25, 0.5), Row(2, 4),
    ),
    "overhead": (pod(containers=[requests("250m")], overhead={"cpu": "1m"}), Row(0.25, 0.5), Row(0.5, 1)),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "least", "most"), RANGES.values(), ids=RANGES)
def test_what_nobody_knows_how_it_counts_makes_the_size_a_range(seen: Object, least: Row, most: Row) -> None:
    found = size(seen)
    assert (found.answer, found.least, found.most) == ("range", least, most)
    assert "is not known" in found.why


def test_what_does_not_matter_in_the_end_leaves_the_size_exact() -> None:
    small = {"restartPolicy": "Always", **requests("10m", "16Mi")}
    assert size(pod(containers=[requests("100m")], initContainers=[small])).answer == "exact"


@pytest.mark.parametrize("amount", ["", "1x", "-1", "1e999999", "0x10", True, [], "NaN", "1" * 99, float("inf"), "１"])
def test_a_quantity_that_is_none_makes_the_size_unknown(amount: object) -> None:
    assert size(pod(containers=[requests(amount)])).answer == "unknown"


@pytest.mark.parametrize(
    ("amount", "number"),
    [
        ("1", 1), ("100m", Fraction(1, 10)), (".5", Fraction(1, 2)), ("1.", 1), ("1e3", 1000), ("1E3", 1000),
        ("1E", 10**18), ("1k", 1000), ("1Ki", 1024), ("1.5Gi", 3 << 29), ("5e-1", Fraction(1, 2)), (2, 2),
        (0.25, Fraction(1, 4)), ("+1", 1), ("100n", Fraction(1, 10**7)), (None, 0),
    ],
)  # fmt: skip
def test_quantities_are_read_as_kubernetes_reads_them(amount: object, number: object) -> None:
    assert quantity(amount) == number


@settings(max_examples=300, deadline=None)
@given(*[st.fractions(0, 17), st.integers(0, 121 * GIB)] * 2)
def test_who_asks_for_more_never_gets_less(cpu: Fraction, memory: int, more: Fraction, much: int) -> None:
    least, most = row(cpu, Fraction(memory)), row(cpu + more, Fraction(memory + much))
    assert most is None or (least is not None and least.vcpu <= most.vcpu and least.gib <= most.gib)


@settings(max_examples=300, deadline=None)
@given(st.fractions(0, 17), st.integers(0, 121 * GIB))
def test_the_row_is_the_smallest_that_has_room(cpu: Fraction, memory: int) -> None:
    room = [each for each in ROWS if each.vcpu >= cpu and each.gib * GIB >= memory + GIB // 4]
    assert row(cpu, Fraction(memory)) == min(room, default=None)


# What the Fargate scheduler and the kubelet say

ON_FARGATE = "Pod not supported on Fargate: "
BLOCKED = "Misconfigured Fargate Profile: fargate profile web blocked for new launches due to: "
SAID: dict[str, tuple[list[str], bool | None]] = {
    f"{ON_FARGATE}fields not supported: HostNetwork": (["HostNamespace"], False),
    f"Scheduling%!(EXTRA string={ON_FARGATE}invalid SecurityContext fields: Privileged)": (["Privileged"], False),
    f"{ON_FARGATE}invalid SecurityContext fields: AllowPrivilegeEscalation": (["PrivilegeEscalation"], False),
    f"{ON_FARGATE}invalid SecurityContext fields: Capabilities added: CAP_CHOWN": (["CapabilityRefused"], False),
    f"{ON_FARGATE}port contains HostIP or HostPort": (["HostPort"], False),
    f"{ON_FARGATE}volumes not supported: v is of an unsupported volume Type": (["VolumeKind"], False),
    f"{ON_FARGATE}volumes not supported: v not supported because: PVC c not bound": (["ClaimNotBound"], False),
    f'{ON_FARGATE}volumes not supported: v not supported because: persistentvolumeclaim "x" not found': (
        ["ClaimMissing"], False,
    ),
    f"{ON_FARGATE}volumes not supported: storage-volume not supported because: PVC prometheus-server bound to invalid "
    "PV pvc-8d2 with CSI Driver: ebs.csi.aws.com": (["VolumeDriver"], False),
    f"{ON_FARGATE}volumes not supported: v not supported because: PVC c bound to invalid PV p with nil CSI spec": (
        ["VolumeDriver"], False,
    ),
    f"{ON_FARGATE}fields not supported: HostNetwork, port contains HostIP or HostPort": (
        ["HostNamespace", "HostPort"], False,
    ),
    "Pod not supported: SchedulerName is not fargate-scheduler": (["NotMadeForFargate"], False),
    "Pod not supported: DaemonSet not supported": (["DaemonSet"], False),
    "Pod not supported: volumeDevices not supported": (["BlockDevice"], False),
    f"{ON_FARGATE}something new": (["Unsupported"], False),
    "Your pod's cpu/memory requirements exceed the max Fargate configuration": (["TooLarge"], False),
    "MatchNodeSelector failed: Fargate profile apps cannot satisfy pod's node selector/affinity requirements": (
        ["NodeSelector"], False,
    ),
    f"{BLOCKED}Pod execution role is not found in auth config or does not have all required permissions for launching "
    "fargate pods.": (["RoleNotMapped"], None),
    f"{BLOCKED}Failed to assume PodExecutionRole; Please make sure the role exists and trusts the "
    "eks-fargate-pods.amazonaws.com service principal": (["RoleNotAssumable"], None),
    f"{BLOCKED}something new": (["ProfileBlocked"], None),
    "Your AWS account is currently blocked and thus cannot launch any Fargate pods": (["AccountBlocked"], None),
    "Your AWS account has reached the limit on the number of Fargate pods it can run concurrently": (
        ["QuotaReached"], None,
    ),
    "Fargate capacity is unavailable at this time. Please try again later or in a different availability zone.": (
        ["NoCapacity"], None,
    ),
    "Pod provisioning timed out (will retry)": (["ProvisioningTimedOut"], True),
    "failed to write 100000 to cpu.cfs_quota_us: invalid argument": (["CpuLimit"], True),
    "no words of Fargate": ([], None),
    'Disabled logging because aws-logging configmap was not found. configmap "aws-logging" not found': ([], None),
}  # fmt: skip


@pytest.mark.parametrize(("said", "meaning"), SAID.items())
def test_each_text_that_was_seen_has_its_reason_and_what_mends_it(
    said: str, meaning: tuple[list[str], bool | None]
) -> None:
    reasons, again = meaning
    found = translated(said)
    assert [each.reason for each in found] == reasons
    assert all(each.again is again and each.mend.endswith(".") for each in found)


# Whatever comes

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
WHOLE: Object = {
    "metadata": {
        "namespace": "shop", "name": "p", "labels": {"tier": "web", PROFILE_LABEL: "web"}, "deletionTimestamp": None,
        "annotations": {COMPUTE_TYPE: "fargate"}, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet"}],
    },
    "spec": {
        "hostNetwork": False, "nodeName": "", "schedulerName": "fargate-scheduler", "schedulingGates": [],
        "nodeSelector": {"topology.kubernetes.io/zone": "a"}, "os": {"name": "linux"}, "overhead": {"cpu": "1"},
        "affinity": affinity(ZONE)["spec"]["affinity"], "runtimeClassName": "", "resourceClaims": [],
        "topologySpreadConstraints": [{"whenUnsatisfiable": "ScheduleAnyway"}], "resources": {"requests": {"cpu": 1}},
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "w", "emptyDir": {}}],
        "initContainers": [{"restartPolicy": "Always", "resources": {"limits": {"memory": "1Gi"}}}],
        "containers": [{
            "ports": [{"hostPort": 0, "hostIP": ""}], "volumeDevices": [], "resources": {"requests": {"cpu": "1"}},
            "securityContext": {"privileged": False, "capabilities": {"add": ["CHOWN"]}},
        }],
    },
    "status": {"phase": "Pending", "nominatedNodeName": ""},
}  # fmt: skip


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in pairs for place in places(each, (*path, key)))]


def planted(value: Any, path: tuple[str | int, ...], odd: object) -> Any:
    if not path:
        return odd
    inner = copy.copy(value)
    inner[path[0]] = planted(value[path[0]], path[1:], odd)
    return inner


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(places(WHOLE)[1:]), junk)
@example(("metadata", "labels"), [])
@example(("spec", "nodeSelector", "topology.kubernetes.io/zone"), 1)
def test_no_pod_is_too_odd_to_be_judged(path: tuple[str | int, ...], odd: object) -> None:
    seen = planted(WHOLE, path, odd)
    profiles = [profile("web", WEB, selector("s*", {"*": "?"})), profile("all", SHOP)]
    for each in (seen, anew(seen)):
        assert chosen(each, profiles).taken in {"yes", "no", "unknown"}
        assert stranded(each, profiles).answer in {"yes", "no", "unknown"}
        assert unsupported(each)[0] in {"yes", "no", "unknown"}
        assert size(each).answer in {"exact", "range", "unknown"}
        assert isinstance(holder(each), str)
        assert str(size(each))


@pytest.mark.parametrize("path", [path for path in places(WHOLE)[1:] if path[0] != "status"], ids=str)
def test_a_field_of_a_type_that_nobody_sends_never_makes_a_pod_one_that_fargate_runs(
    path: tuple[str | int, ...],
) -> None:
    seen = planted(WHOLE, path, object())
    assert unsupported(seen, {"c": EFS})[0] in {"no", "unknown"}
    if path[:2] == ("spec", "containers"):
        assert unsupported(seen, {"c": EFS})[0] == "unknown"


def test_what_is_judged_stays_as_it_is() -> None:
    before = json.dumps(WHOLE)
    chosen(WHOLE, [])
    stranded(WHOLE, [profile("web", SHOP)])
    unsupported(WHOLE)
    anew(WHOLE)
    assert json.dumps(WHOLE) == before
