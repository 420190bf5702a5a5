"""One operator, three accounts and two regions: which clusters objects reach, and what a change of the file does.

    hub (the operator's own, us-east-1) --sts:AssumeRole--> spoke (eu-west-1 and us-east-1), far (us-east-1)

In each place there is an EKS cluster of the same name, so that whoever mixes them up is seen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.e2e.support import AFTER_A_WHILE, ROLE, SUBNETS, User, ok, profiles, refusals
from tests.fakes.aws import SILENT
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import NewOperator
    from tests.e2e.controlplane import ControlPlane
    from tests.e2e.support import Operator
    from tests.fakes.aws import World

SPOKE, FAR = "111122223333", "444455556666"
OWNER = "fargateprofiles.jicomusic.com/owner"
REQUESTED_AT = "fargateprofiles.jicomusic.com/reconcile-requested-at"
YES = [{"tags": {"fargate": "yes"}}]
RESYNC_SECONDS, TERM_SECONDS = "1", "2"  # so that two looks at a cluster's subnets come soon


@dataclass
class Fleet:
    """The places, and the clusters file, mounted as a ConfigMap is: each version a folder, a link leads to one."""

    hub: World
    eu: World  # spoke's in eu-west-1
    us: World  # spoke's in us-east-1
    far: World
    folder: Path
    versions: int = 0
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.folder / "clusters.yaml"

    def usual(self, namespace: str) -> None:
        """List eu and far for a namespace."""
        self.entries = {
            "eu": self.entry(self.eu, externalId="42", namespaces=[namespace, "others-*"]),
            "far": self.entry(self.far, namespaces=["*"]),
        }
        self.eu.let_in(external_id="42")
        self.far.let_in()

    def entry(self, world: World, **more: Any) -> dict[str, Any]:
        role = f"arn:aws:iam::{world.account}:role/fargate-operator"
        return {"cluster": world.cluster, "region": world.region, "roleArn": role, **more}

    def write(self, text: str | None = None) -> None:
        """Have a new version of the file, as the kubelet does it."""
        self.versions += 1
        listed = [{"name": name, **entry} for name, entry in self.entries.items()]
        version = self.folder / f"..version-{self.versions}"
        version.mkdir()
        (version / "clusters.yaml").write_text(text or yaml.safe_dump({"clusters": listed}))
        (self.folder / "..new").symlink_to(version.name)
        (self.folder / "..new").replace(self.folder / "..data")
        if not self.file.is_symlink():
            self.file.symlink_to("..data/clusters.yaml")


@pytest.fixture(autouse=True)
def nothing_is_forbidden(control_plane: ControlPlane) -> Iterator[None]:
    before = control_plane.audited()
    yield
    assert refusals(control_plane, before) == []


@pytest.fixture
def fleet(aws: World, user: User, tmp_path: Path) -> Fleet:
    folder = tmp_path / "mounted"
    folder.mkdir()
    places = aws.beside(SPOKE, "eu-west-1"), aws.beside(SPOKE, "us-east-1"), aws.beside(FAR)
    made = Fleet(aws, *places, folder)
    made.usual(user.namespace)
    made.write()
    return made


@pytest.fixture
def operator(new_operator: NewOperator, user: User, fleet: Fleet) -> Operator:
    """Return an operator that is told of the file, started; it serves nobody else's namespaces' Retain."""
    flags = {"CLUSTERS_FILE": str(fleet.file), "ALLOW_RETAIN_IN": user.namespace}
    made = new_operator(runner=True, E2E_FILE_SECONDS="0.5", **flags)
    made.start()
    return made


def spec(world: World, cluster: str, **more: Any) -> dict[str, Any]:
    """Return what an object says that has a profile in a place; the same name and selectors everywhere."""
    role, subnets = world.roles["good"], list(world.private_subnets)
    same = {"profileName": "same", "selectors": [{"namespace": "shop"}]}
    return {"clusterName": cluster, "podExecutionRoleArn": role, "subnets": subnets} | same | more


def message(user: User, name: str = "web", namespace: str = "") -> str:
    return str(user.condition(name, namespace=namespace).get("message", ""))


def says(user: User, name: str, *words: str) -> bool:
    return all(each in message(user, name) for each in words)


def test_one_operator_makes_profiles_of_the_same_name_in_each_account_and_region(
    user: User, fleet: Fleet, operator: Operator
) -> None:
    fleet.entries["us"] = fleet.entry(fleet.us, externalId="42")
    fleet.write()
    places = {"demo": fleet.hub, "eu": fleet.eu, "us": fleet.us, "far": fleet.far}
    for name, world in places.items():
        user.apply(name, **spec(world, name))
    user.wait_ready(*places, seconds=AFTER_A_WHILE)
    for name, world in places.items():
        (profile,) = world.profiles(world.cluster)
        assert profile["tags"][OWNER] == f"{user.namespace}/{name}"
        assert profile["fargateProfileArn"].startswith(f"arn:aws:eks:{world.region}:{world.account}:")
        assert profile["podExecutionRoleArn"] == world.roles["good"]
        assert (user.get(name) or {})["status"]["clusterName"] == name
        assert not user.condition(name, "Overlapping"), "what is in another cluster takes no pods of this one"
        assert {call.account for call in world.manners.calls if call.service != "sts"} == {world.account}
        assert len([call for call in world.manners.writes() if not call.code]) == 1
    user.delete(*places)
    user.wait_gone(*places, seconds=AFTER_A_WHILE)
    assert [world.profiles(world.cluster) for world in places.values()] == [[], [], [], []]


def test_a_role_that_lets_nobody_in_holds_up_its_own_cluster_only_and_says_what_mends_it(
    user: User, fleet: Fleet, operator: Operator
) -> None:
    role = fleet.eu.let_in(external_id="43")
    operator.restart()
    user.apply("eu", **spec(fleet.eu, "eu"))
    user.apply("far", **spec(fleet.far, "far"))
    user.apply("web")
    user.wait_ready("web", "far")
    wait_for(lambda: says(user, "eu", role, "sts:AssumeRole", "trust"), SOON, "it is told what mends it")
    assert user.condition("eu")["status"] == "False"
    assert not fleet.eu.manners.calls, "nobody comes in without the role"
    assert sorted(profiles(fleet.hub)) == ["web"], "and it is not done with the operator's own credentials instead"
    fleet.eu.let_in(external_id="42")
    user.wait_ready("eu", seconds=2 * AFTER_A_WHILE)


def test_a_tenant_reaches_no_account_that_its_namespace_is_not_listed_for(
    user: User, fleet: Fleet, operator: Operator
) -> None:
    fleet.entries["theirs"] = fleet.entry(fleet.us, externalId="42", namespaces=["theirs"])
    fleet.write()
    role = f"arn:aws:iam::{SPOKE}:role/fargate-operator"
    arn = f"arn:aws:eks:us-east-1:{SPOKE}:cluster/demo"
    notes = {"services.k8s.aws/owner-account-id": SPOKE, "services.k8s.aws/region": "us-east-1", "roleArn": role}
    names = ("theirs", "us", "THEIRS", f"{SPOKE}-us-east-1-demo")
    for number, name in enumerate(names):
        made = user.manifest(f"t{number}", **spec(fleet.us, name))
        made["metadata"]["annotations"] = notes
        ok(user.kubectl("apply", "-f", "-", stdin=json.dumps(made)))
    refused = user.kubectl("apply", "-f", "-", stdin=json.dumps(user.manifest("arn", **spec(fleet.us, arn))))
    assert refused.returncode == 1, "no ARN is a name"
    user.apply("home", **spec(fleet.us, "demo"), namespace=user.namespace)  # their role and subnets, in our own cluster
    told = set()
    for number, name in enumerate(names):
        user.wait_reason("ClusterNotAllowed", f"t{number}")
        told.add(message(user, f"t{number}").replace(f" {name} ", " NAME "))
        lie = {"status": {"clusterArn": arn, "profileArn": f"{arn.replace(':cluster', ':fargateprofile')}/same/1"}}
        ok(user.kubectl("patch", "fp", f"t{number}", "--subresource=status", "--type=merge", "-p", json.dumps(lie)))
        ok(user.kubectl("annotate", "fp", f"t{number}", f"{REQUESTED_AT}=now"))
    assert len(told) == 1, f"nobody learns by it what there is for others: {told}"
    assert not any(word in text for text in told for word in (SPOKE, "fargate-operator", "eu-west-1"))
    user.apply("mine", **spec(fleet.far, "far"))
    user.wait_ready("mine")
    user.delete(*(f"t{number}" for number in range(len(names))))
    wait_for(lambda: user.reason("home") not in {"", "Creating"}, SOON, "the one at home is told")
    assert not fleet.us.manners.writes()
    assert fleet.us.profiles("demo") == fleet.eu.profiles("demo") == []
    assert profiles(fleet.hub) == {}


def test_an_entry_that_goes_takes_nothing_along_and_its_objects_wait_for_it(
    user: User, fleet: Fleet, operator: Operator
) -> None:
    user.apply("eu", **spec(fleet.eu, "eu"))
    user.apply("kept", **spec(fleet.eu, "eu", profileName="kept", deletionPolicy="Retain"))
    user.wait_ready("eu", "kept")
    gone = fleet.entries.pop("eu")
    fleet.write()
    for name in ("eu", "kept"):
        user.wait_reason("ClusterNotAllowed", name, seconds=AFTER_A_WHILE)
    before = len(fleet.eu.manners.calls)
    user.delete("eu", "kept")
    user.wait_gone("kept")
    wait_for(lambda: says(user, "eu", "Retain"), SOON, "it says how it can go")
    assert len(fleet.eu.manners.calls) == before, "nothing is read or changed"
    assert sorted(profiles(fleet.eu)) == ["kept", "same"]
    fleet.entries["eu"] = gone
    fleet.write()
    user.wait_gone("eu", seconds=AFTER_A_WHILE)
    assert sorted(profiles(fleet.eu)) == ["kept"]


def test_an_entry_that_is_moved_to_another_region_deletes_nothing(user: User, fleet: Fleet, operator: Operator) -> None:
    user.apply("eu", **spec(fleet.eu, "eu"))
    user.wait_ready("eu")
    fleet.entries["eu"]["region"] = "us-east-1"
    fleet.write()
    user.wait_reason("WrongHome", "eu", seconds=AFTER_A_WHILE)
    user.edit("eu", tags={"team": "a"})
    user.delete("eu")
    user.wait_reason("WrongHome", "eu")
    assert fleet.us.manners.writes() == []
    assert len(fleet.eu.manners.writes()) == 1
    fleet.entries["eu"]["region"] = "eu-west-1"
    fleet.write()
    user.wait_gone("eu", seconds=AFTER_A_WHILE)
    assert profiles(fleet.eu) == {}


def test_a_wrong_new_version_of_the_file_changes_nothing_and_the_next_right_one_counts(
    user: User, fleet: Fleet, operator: Operator
) -> None:
    user.apply("eu", **spec(fleet.eu, "eu"))
    user.wait_ready("eu")
    fleet.write("clusters:\n- name: eu\n  region: nowhere\n  rolearn: x\n")
    wait_for(lambda: "clusters.yaml:3" in operator.said(), AFTER_A_WHILE, "the log names the line")
    user.apply("far", **spec(fleet.far, "far"))
    user.edit("eu", tags={"team": "a"})
    user.wait_ready("eu", "far")
    assert fleet.eu.profiles("demo")[0]["tags"]["team"] == "a"
    fleet.entries["us"] = fleet.entry(fleet.us, externalId="42")
    fleet.write()
    user.apply("us", **spec(fleet.us, "us"))
    user.wait_ready("us", seconds=AFTER_A_WHILE)


def test_a_region_that_is_dead_holds_up_its_own_objects_only(user: User, fleet: Fleet, operator: Operator) -> None:
    user.apply("eu", **spec(fleet.eu, "eu"))
    user.wait_ready("eu")
    fleet.eu.manners.down = SILENT
    user.apply("late", **spec(fleet.eu, "eu", profileName="late"))
    user.apply("far", **spec(fleet.far, "far"))
    user.apply("web")
    user.wait_ready("web", "far")
    user.wait_reason("AwsUnreachable", "late", seconds=AFTER_A_WHILE)
    fleet.eu.manners.down = None
    user.wait_ready("late", seconds=AFTER_A_WHILE)


def test_a_subnet_that_gets_the_tag_moves_nothing_and_one_that_loses_it_is_one_replace(
    user: User, fleet: Fleet, new_operator: NewOperator
) -> None:
    new_operator(
        runner=True, CLUSTERS_FILE=str(fleet.file), RESYNC_SECONDS=RESYNC_SECONDS, E2E_TERM_SECONDS=TERM_SECONDS
    ).start()
    first = fleet.far.add_subnet(fargate="yes")
    user.apply("far", **spec(fleet.far, "far", subnets=None, subnetSelectorTerms=YES, updatePolicy="Replace"))
    user.wait_ready("far")
    assert (user.get("far") or {})["status"]["subnets"] == [first]
    second, looks = fleet.far.add_subnet(fargate="yes"), fleet.far.manners.count("DescribeSubnets")
    wait_for(lambda: fleet.far.manners.count("DescribeSubnets") > looks + 3, AFTER_A_WHILE, "the subnets are read")
    assert len(fleet.far.manners.writes()) == 1
    fleet.far.tag_subnet(first, fargate="")
    wait_for(lambda: len(fleet.far.manners.writes()) == 3, AFTER_A_WHILE, "it is replaced")
    user.wait_ready("far")
    looks = fleet.far.manners.count("DescribeSubnets")
    wait_for(lambda: fleet.far.manners.count("DescribeSubnets") > looks + 3, AFTER_A_WHILE, "the subnets are read")
    assert [call.operation for call in fleet.far.manners.writes()] == [
        "CreateFargateProfile",
        "CreateFargateProfile",
        "DeleteFargateProfile",
    ]
    (profile,) = fleet.far.profiles("demo")
    assert profile["subnets"] == [second]


def test_an_object_with_selectors_alone_lives_by_the_defaults_of_its_cluster(
    user: User, fleet: Fleet, operator: Operator
) -> None:
    subnet = fleet.far.add_subnet(fargate="yes")
    tags = {"cost-center": "4711"}
    fleet.entries["far"]["defaults"] = {
        "podExecutionRoleName": "fargate-pods",
        "subnetSelectorTerms": YES,
        "tags": tags,
    }
    fleet.write()
    only: dict[str, Any] = {"clusterName": "far", "selectors": [{"namespace": "shop"}]}
    user.apply("far", podExecutionRoleArn=None, subnets=None, **only)
    user.wait_ready("far", seconds=AFTER_A_WHILE)
    (profile,) = fleet.far.profiles("demo")
    assert (profile["podExecutionRoleArn"], profile["subnets"]) == (fleet.far.roles["good"], [subnet])
    assert tags.items() <= profile["tags"].items()
    said = (user.get("far") or {})["spec"]
    assert only.items() <= said.items()
    unsaid = {"podExecutionRoleArn", "podExecutionRoleName", "subnets", "subnetSelectorTerms", "tags"}
    assert not unsaid & said.keys(), "what is a default is not written into the object"
    user.apply("bare", podExecutionRoleArn=None, subnets=None, clusterName="eu", selectors=[{"namespace": "x"}])
    user.wait_reason("InvalidSpec", "bare")
    fleet.entries["far"]["defaults"]["podExecutionRoleName"] = "fargate-other-policy"
    fleet.entries["far"]["defaults"]["tags"] = {"cost-center": "4712"}
    fleet.write()
    wait_for(lambda: profiles(fleet.far)["far"]["tags"]["cost-center"] == "4712", AFTER_A_WHILE, "tags are followed")
    wait_for(lambda: user.condition("far", "DefaultsChanged"), SOON, "it is told that the default is another now")
    assert user.ready("far")
    assert [call.operation for call in fleet.far.manners.writes()] == ["CreateFargateProfile", "TagResource"]


def test_the_original_s_object_is_the_same_with_and_without_a_file(
    user: User, fleet: Fleet, new_operator: NewOperator
) -> None:
    without = new_operator()
    without.start()
    seed = user.manifest("web", podExecutionRoleArn=ROLE, subnets=SUBNETS, tags={"red": "black"})
    ok(user.kubectl("apply", "-f", "-", stdin=json.dumps(seed)))
    user.wait_ready()
    without.stop()
    before, status = len(fleet.hub.manners.writes()), (user.get() or {})["status"]
    within = new_operator(CLUSTERS_FILE=str(fleet.file))
    within.start()
    user.apply("second", selectors=[{"namespace": "second"}])
    user.wait_ready("web", "second")
    after = (user.get() or {})["status"]
    assert {key: after[key] for key in ("profileArn", "clusterName")} == {
        key: status[key] for key in ("profileArn", "clusterName")
    }
    assert len(fleet.hub.manners.writes()) == before + 1
    within.stop()
    again = new_operator()
    again.start()
    user.delete("web", "second")
    user.wait_gone("web", "second")
    assert profiles(fleet.hub) == {}
    assert not fleet.eu.manners.writes() + fleet.far.manners.writes()
