"""What plan foretells of the pods that are there, and to which end it comes; it changes nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

import forecast
import kube
from actions import Phase, TagProfile, UntagProfile
from aws import Selector
from case import Case
from clusters import View
from memory import foresee
from pods import COMPUTE_TYPE, PROFILE_LABEL
from spec import Defaults, Memory
from surroundings import Network
from tests.fakes.aws import SILENT
from tests.fakes.eks_rules import issuer
from tests.harness import Bench
from tests.unit.conftest import SPOKE, clusters_file
from tests.unit.test_plan import GOOD as GOOD_FACTS
from tests.unit.test_plan import NOW, case, cases, profile, who

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fakes.aws import World

Object = dict[str, Any]


# What it means for the pods that are there


def shop(b: Bench, *named: tuple[str, Object]) -> None:
    """Make pods of namespace shop with label tier=web, each with what is said of it besides."""
    b.api.may_list_pods = True
    b.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    for name, more in named:
        meta = {"name": name, "namespace": "shop", "labels": {"tier": "web"} | more.get("labels", {})}
        meta |= {key: more[key] for key in ("annotations", "ownerReferences") if key in more}
        there = {"spec": {"containers": []} | more.get("spec", {}), "status": {"phase": more.get("phase", "Running")}}
        b.api.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, **there})


ON_EC2: Object = {"spec": {"nodeName": "ip-1"}}
WAITS: Object = {"phase": "Pending"}
WEB: Object = {"selectors": [{"namespace": "shop", "labels": {"tier": "web"}}]}


def on_fargate(profile: str, **more: Any) -> Object:
    return {"spec": {"schedulerName": "fargate-scheduler", "nodeName": "f"}, "labels": {PROFILE_LABEL: profile}} | more


def meant(out: str, subject: str = "web") -> str:
    """Return what the first row says of the pods that a profile takes."""
    found = re.search(rf" {subject} takes (.*)\.$", out.splitlines()[0])
    return found[1] if found else ""


def test_a_new_profile_s_row_says_which_pods_move_and_which_are_stranded_until_they_are_made_anew(
    b: Bench, plan: Any
) -> None:
    shop(b, *((f"ec2-{number}", ON_EC2) for number in range(9)), ("waits-1", WAITS), ("waits-2", WAITS))
    shop(b, ("done", ON_EC2 | {"phase": "Succeeded"}), ("failed", ON_EC2 | {"phase": "Failed"}))
    said = "11 pods: 9 on EC2 move at their next restart, 2 stranded are taken only when they are made anew"
    assert meant(plan(b.manifest(**WEB))[1]) == said
    b.api.delete("pods", "shop", "waits-2")
    assert meant(plan(b.manifest(**WEB))[1]).endswith(", 1 stranded is taken only when it is made anew")


DAEMON_SET = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "1"}
LEFT: dict[str, Object] = {
    "of another tier": ON_EC2 | {"labels": {"tier": "db"}},
    "opted out": ON_EC2 | {"annotations": {COMPUTE_TYPE: "ec2"}},
    "a DaemonSet's": ON_EC2 | {"ownerReferences": [DAEMON_SET]},
    "with a scheduler of its own": {"spec": {"nodeName": "ip-1", "schedulerName": "mine"}},
}


@pytest.mark.parametrize("kind", LEFT)
def test_pods_that_eks_leaves_alone_are_not_taken(b: Bench, plan: Any, kind: str) -> None:
    shop(b, ("one", ON_EC2), ("other", LEFT[kind]))
    assert meant(plan(b.manifest(**WEB))[1]) == "1 pod: 1 on EC2 moves at its next restart"


def test_a_pod_that_another_profile_takes_first_is_its_and_one_of_which_that_is_not_known_is_told_apart(
    b: Bench, plan: Any
) -> None:
    b.settle("api", selectors=[{"namespace": "shop", "labels": {"part": "api"}}])
    b.settle("web-10", selectors=[{"namespace": "shop", "labels": {"part": "odd"}}])
    shop(b, ("one", ON_EC2), *((part, ON_EC2 | {"labels": {"part": part}}) for part in ("api", "odd")))
    assert meant(plan(b.manifest("web-9", **WEB))[1], "web-9") == (
        "1 pod: 1 on EC2 moves at its next restart; of 1 more it can't be said"
    )


def test_a_replacement_s_row_tells_the_pods_that_go_with_the_old_profile_from_those_of_others(
    b: Bench, plan: Any
) -> None:
    b.settle(**WEB)
    b.settle("zoo", selectors=[{"namespace": "shop"}])
    shop(b, ("its", on_fargate("web")), ("zoo-s", on_fargate("zoo")), ("gone-s", on_fargate("gone", phase="Pending")))
    both = [{"namespace": "shop", "labels": {"tier": "web"}}, {"namespace": "shop", "labels": {"t*r": "w?b"}}]
    for policy in ("Replace", "Recreate"):
        out = plan(b.manifest(selectors=both, updatePolicy=policy))[1]
        assert meant(out, r"web\S*") == (
            "3 pods: 1 of another profile moves at its next restart, 1 stranded is taken only when it is made anew, "
            "1 goes with the old one and is taken when it is made anew"
        )


def test_a_deletion_s_row_says_which_profiles_take_the_pods_once_they_are_made_anew(b: Bench, plan: Any) -> None:
    b.settle(**WEB)
    b.settle("api", selectors=[{"namespace": "shop", "labels": {"part": "api"}}])
    shop(b, ("one", on_fargate("web")), ("two", on_fargate("web")))
    shop(b, ("three", on_fargate("web", labels={PROFILE_LABEL: "web", "part": "api"})))
    out = plan(b.manifest(), flags=("--delete",))[1]
    assert out.splitlines()[0].endswith(
        "it goes, with 3 running pods. Where they go once made anew: 1 to api, 2 to no profile."
    )


@pytest.mark.parametrize(
    ("most", "said"), [(3, "at least 3 pods: 3 on EC2"), (4, "at least 4 pods"), (5, "4 pods: 4 on")]
)
def test_in_a_big_cluster_it_stops_and_says_at_least(
    b: Bench, plan: Any, monkeypatch: pytest.MonkeyPatch, most: int, said: str
) -> None:
    monkeypatch.setattr(forecast, "MOST_PODS", most)
    monkeypatch.setattr(kube, "FIRST_PAGE", 1)
    monkeypatch.setattr(kube, "PAGE_SIZE", 1)
    shop(b, *((f"ec2-{number}", ON_EC2) for number in range(4)))
    assert meant(plan(b.manifest(**WEB))[1]).startswith(said)


def test_a_slow_cluster_is_not_waited_for(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    shop(b, *((f"ec2-{number}", ON_EC2) for number in range(4)))
    monkeypatch.setattr(kube, "FIRST_PAGE", 1)
    monkeypatch.setattr(kube, "PAGE_SIZE", 1)
    times = iter(NOW + timedelta(seconds=each) for each in (0, 0, 10, 20, 31, 32, 33, 34, 35, 36))
    there = forecast.PodsThere(b.kube, lambda: next(times))
    view = View(True, {"web": profile("web", selectors=frozenset({Selector("shop", (("tier", "web"),))}))}, 0.0)
    takes = there.taken_by(view.profiles["web"], view, "")
    assert takes.more
    assert takes.sum < 4


def test_pods_are_listed_as_metadata_of_the_selected_namespaces_and_labels_and_each_list_once(
    b: Bench, plan: Any
) -> None:
    shop(b, ("one", ON_EC2))
    several = [
        {"namespace": "shop", "labels": {"tier": "web", "a": "b*"}},
        {"namespace": "shop", "labels": {"tier": "web", "c*": "d"}},
    ]
    plan(b.manifest(**WEB), b.manifest("more", selectors=several))
    lists = [each for each in b.api.log if each.path.endswith("/pods")]
    assert {each.path for each in lists} == {"/api/v1/namespaces/shop/pods"}
    assert {each.query["labelSelector"] for each in lists} == {"tier=web", "a,tier=web"}
    assert len(lists) == 3 * 2, "the second selector is listed as the first object's is"
    plan(b.manifest(selectors=[{"namespace": "sh*"}]))
    assert {each.path for each in b.api.log if each.path.endswith("/pods")} == {"/api/v1/pods"}


def test_without_the_right_to_list_pods_rows_say_nothing_of_them_and_one_line_says_why(b: Bench, plan: Any) -> None:
    b.api.forbid("list", "pods")
    code, out, err = plan(b.manifest(**WEB), b.manifest("api", selectors=[{"namespace": "other"}]))
    assert (code, out.splitlines()[0]) == (0, "create    default/web  profile web.")
    assert len(err.splitlines()) == 1
    assert err.startswith("What this means for the pods that are there is not said: ")
    assert "403" in err


def test_a_list_that_breaks_off_is_unknown(b: Bench, plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "FIRST_PAGE", 1)
    shop(b, *((f"ec2-{number}", ON_EC2) for number in range(4)))
    b.api.fail("GET", "/pods", 500, times=1)
    _, out, err = plan(b.manifest(**WEB))
    assert out.splitlines()[0].endswith("profile web.")
    assert "500" in err


@pytest.mark.parametrize("proof", ["tokens of another cluster", "no certificate"])
def test_the_pods_of_another_cluster_of_the_name_are_not_looked_at(
    b: Bench, plan: Any, monkeypatch: pytest.MonkeyPatch, proof: str
) -> None:
    if proof == "no certificate":
        monkeypatch.setattr(kube.Kube, "verified", False)
    b.world.set_issuer("demo", issuer("other"))
    b.settle(**WEB)
    shop(b, ("one", ON_EC2), ("two", on_fargate("web")))
    moved = b.manifest(**WEB | {"updatePolicy": "Recreate"}, subnets=[b.world.private_subnets[0]])
    _, out, err = plan(moved)
    assert out.splitlines()[0].endswith("web -> web: the old one goes first, with its pods.")
    assert not any(each.path.endswith("/pods") for each in b.api.log)
    (line,) = err.splitlines()
    assert "whether EKS cluster demo is the one that the kubeconfig reaches is unknown: " in line


# To which end it comes


def test_a_forecast_remembers_from_step_to_step_what_the_controller_would_write_into_status() -> None:
    going = who(deleted_at=NOW, retain=True)
    changes, end, _ = foresee(case(profile(), who=going, memory=Memory()), lambda _: GOOD_FACTS, lambda: Network(None))
    assert ([type(each) for each in changes], end.reason) == ([TagProfile, UntagProfile], "Retained")


@given(cases)
@settings(max_examples=1000, deadline=None)
def test_whatever_is_seen_a_forecast_comes_to_an_end_at_which_the_controller_changes_nothing(seen: Case) -> None:
    changes, end, last = foresee(seen, lambda _: GOOD_FACTS, lambda: Network(None))
    assert len(changes) <= 2 * len(seen.view.profiles) + 3
    if end.phase is Phase.READY:
        assert any(each.active for each in last.view.profiles.values())


# Where a file lists the clusters


@pytest.fixture
def there(b: Bench, spoke: World) -> Callable[..., Object]:
    """Return a maker of objects that are valid in the account of the spoke."""

    def make(name: str, cluster: str = "prod-eu", namespace: str = "default", **spec: Any) -> Object:
        where = {"podExecutionRoleArn": spoke.roles["good"], "subnets": list(spoke.private_subnets)}
        return b.manifest(name, namespace, clusterName=cluster, **where, **spec)

    return make


def test_each_object_is_planned_in_its_own_cluster_with_the_credentials_of_its_account(
    plan: Any, b: Bench, spoke: World, there: Any, tmp_path: Path
) -> None:
    spoke.add_profile("prod", "web", spoke.roles["good"], [{"namespace": "x"}])
    objects = b.manifest("web"), there("web", namespace="team-a"), there("api")
    code, out, _ = plan(*objects, flags=("--clusters-file", str(clusters_file(tmp_path))))
    assert code == 1
    here, taken, made, total = out.splitlines()
    assert here.startswith("create    default/web")
    assert taken.startswith("refuse    team-a/web   NameTaken")
    assert made.startswith("create    default/api")
    assert total == "Plan: 2 create, 1 refuse."
    calls = [call for call in b.world.everywhere() if call.service in {"eks", "ec2"}]
    assert {(call.account, call.region) for call in calls} == {(b.world.account, "us-east-1"), (SPOKE, "eu-west-1")}
    assert {call.account for call in calls if call.params.get("cluster") == "prod"} == {SPOKE}


def test_a_cluster_that_an_object_may_not_name_is_refused_in_the_words_for_one_that_is_not_there(
    plan: Any, there: Any, tmp_path: Path
) -> None:
    flags = "--clusters-file", str(clusters_file(tmp_path))
    listed, missing = there("a", namespace="elsewhere"), there("b", "no-such", namespace="elsewhere")
    code, out, _ = plan(listed, missing, flags=flags)
    one, other = (line.partition("ClusterNotAllowed: ")[2] for line in out.splitlines()[:2])
    assert code == 1
    assert one
    assert one.replace("prod-eu", "no-such") == other


def test_a_role_that_can_t_be_assumed_refuses_the_rows_of_its_own_cluster_and_is_asked_for_once(
    plan: Any, b: Bench, spoke: World, there: Any, tmp_path: Path
) -> None:
    spoke.let_in(external_id="another")
    objects = there("a"), b.manifest("web"), there("b")
    code, out, _ = plan(*objects, flags=("--clusters-file", str(clusters_file(tmp_path))))
    first, ours, second, total = out.splitlines()
    assert code == 1
    assert first.startswith(
        "refuse    default/a    CredentialsRefused: arn:aws:iam::222222222222:role/fargate-operator"
    )
    assert first.split("  ")[-1] == second.split("  ")[-1]
    assert ours.startswith("create    default/web")
    assert total == "Plan: 1 create, 2 refuse."
    assert sum(call.operation == "AssumeRole" for call in b.world.everywhere()) == 1


def test_a_region_that_is_down_refuses_the_rows_of_its_own_clusters_and_is_asked_once(
    plan: Any, b: Bench, spoke: World, there: Any, tmp_path: Path
) -> None:
    spoke.manners.down = SILENT
    objects = there("a"), b.manifest("web"), there("b")
    code, out, _ = plan(*objects, flags=("--clusters-file", str(clusters_file(tmp_path))))
    first, ours, second, _ = out.splitlines()
    assert code == 1
    assert first.startswith("refuse    default/a    AwsUnreachable: ")
    assert second.startswith("refuse    default/b    AwsUnreachable: ")
    assert ours.startswith("create    default/web")
    assert spoke.manners.count("ListFargateProfiles") == 1


def test_two_names_for_one_cluster_are_one_cluster(plan: Any, there: Any, tmp_path: Path) -> None:
    objects = there("a", profileName="web"), there("b", "prod-alias", profileName="web")
    _, out, _ = plan(*objects, flags=("--clusters-file", str(clusters_file(tmp_path))))
    first, second, _ = out.splitlines()
    assert first.startswith("create    default/a")
    assert second.startswith("refuse    default/b  NameTaken")


def test_an_object_without_a_cluster_keeps_its_profile_and_goes_blindly_with_retain_alone(
    plan: Any, b: Bench, tmp_path: Path
) -> None:
    b.apply("web", clusterName="demo")
    b.apply("kept", clusterName="demo", deletionPolicy="Retain")
    b.run(200)
    file = clusters_file(tmp_path)
    flags = "--clusters-file", str(file), "--cluster-name", "other", "--delete"
    code, out, _ = plan(b.manifest("web"), b.manifest("kept"), flags=flags)
    stays, goes, _ = out.splitlines()
    assert code == 1
    assert stays.startswith("refuse    default/web   ClusterNotAllowed")
    assert "The deletion waits: " in stays
    assert goes.startswith("nothing   default/kept  Retained")


def test_of_pods_of_a_cluster_that_is_not_proven_to_be_this_one_nothing_is_said(
    plan: Any, there: Any, tmp_path: Path
) -> None:
    _, out, err = plan(there("a"), flags=("--clusters-file", str(clusters_file(tmp_path))))
    assert " takes " not in out
    assert "whether EKS cluster prod is the one that the kubeconfig reaches is unknown" in err


# Role names, subnets by tags, and defaults


BY_TAGS: Object = {"subnets": [], "subnetSelectorTerms": [{"tags": {"fargate": "yes"}}]}


def test_the_row_of_a_new_profile_says_which_subnets_its_terms_choose(plan: Any, b: Bench) -> None:
    one, other = sorted(b.world.add_subnet(fargate="yes") for _ in "ab")
    b.world.tag_subnet(b.world.public_subnet, fargate="yes")
    code, out, _ = plan(b.manifest(**BY_TAGS))
    assert code == 0
    assert f"profile web in {one}, {other}, which spec.subnetSelectorTerms match." in out


def test_where_no_subnet_can_be_chosen_the_row_has_what_each_term_found(plan: Any, b: Bench) -> None:
    b.world.tag_subnet(b.world.public_subnet, fargate="yes")
    code, out, _ = plan(b.manifest(**BY_TAGS))
    assert code == 1
    assert out.startswith("refuse    default/web  NoSubnetMatches: ")
    assert f"{b.world.public_subnet} (public)" in out


def test_a_subnet_that_has_lost_its_tag_is_foretold_as_the_edit_that_it_will_be(plan: Any, b: Bench) -> None:
    one, other = (b.world.add_subnet(fargate="yes") for _ in "ab")
    b.settle(**BY_TAGS, updatePolicy="Replace")
    b.world.tag_subnet(one, fargate="")
    code, out, _ = plan(b.manifest(**BY_TAGS, updatePolicy="Replace"))
    assert code == 0
    assert out.startswith("replace   default/web  web -> web-")
    assert f" in {other}, which spec.subnetSelectorTerms match: the new one first" in out


def selectors_alone(b: Bench) -> Object:
    made = b.manifest()
    del made["spec"]["podExecutionRoleArn"], made["spec"]["subnets"]
    return made


def test_by_the_flags_defaults_an_object_with_selectors_alone_is_planned_in_full(plan: Any, b: Bench) -> None:
    subnet = b.world.add_subnet(fargate="yes")
    role = b.world.roles["good"].rpartition("/")[2]
    flags = "--default-pod-execution-role", role, "--default-subnet-tags", "fargate=yes"
    assert plan(selectors_alone(b))[1].startswith("refuse    default/web  InvalidSpec: ")
    code, out, _ = plan(selectors_alone(b), flags=flags)
    assert code == 0
    given = f"with {b.world.roles['good']} (the default role) in {subnet}, which the default subnetSelectorTerms match."
    assert out.startswith(f"create    default/web  profile web {given}")


def test_a_role_s_name_is_told_as_the_arn_that_it_stands_for_in_the_account_of_the_cluster(
    plan: Any, there: Any, tmp_path: Path
) -> None:
    obj = there("web", podExecutionRoleName="pods")
    del obj["spec"]["podExecutionRoleArn"]
    code, out, _ = plan(obj, flags=("--clusters-file", str(clusters_file(tmp_path))))
    assert code == 1
    assert f"RoleNotFound: spec.podExecutionRoleName: arn:aws:iam::{SPOKE}:role/pods" in out


def test_a_default_that_has_changed_is_told_and_changes_nothing(plan: Any, b: Bench) -> None:
    b.sites.entries = replace(b.sites.entries, defaults=Defaults(b.world.roles["good"]))
    b.entries = b.sites.entries
    b.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
    b.api.apply(selectors_alone(b))
    b.run(200)
    assert b.ready()
    code, out, _ = plan(selectors_alone(b), flags=("--default-pod-execution-role", "another"))
    assert code == 0
    assert "nothing   default/web  DefaultsChanged: The default role is arn:aws:iam::123456789012:role/another" in out
    assert out.splitlines()[-1] == "Plan: 1 nothing."


def test_an_entry_s_defaults_are_those_of_its_own_account(plan: Any, b: Bench, spoke: World, tmp_path: Path) -> None:
    subnet = spoke.add_subnet(fargate="yes")
    role = spoke.roles["good"].rpartition("/")[2]
    terms = [{"tags": {"fargate": "yes"}}]
    file = clusters_file(tmp_path, {"podExecutionRoleName": role, "subnetSelectorTerms": terms, "tags": {"a": "b"}})
    obj = selectors_alone(b)
    obj["spec"]["clusterName"] = "prod-eu"
    code, out, _ = plan(obj, flags=("--clusters-file", str(file)))
    assert code == 0
    assert f"profile web with {spoke.roles['good']} (the default role) in {subnet}, which the default " in out
    assert [each.account for each in b.world.everywhere() if each.operation == "GetRole"] == [SPOKE]
