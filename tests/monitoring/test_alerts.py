"""The alerts of monitoring.yaml, judged by promtool: on which series each fires, and that it is silent otherwise."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs import ROOT

Object = dict[str, Any]
_, RULE = yaml.safe_load_all((ROOT / "monitoring.yaml").read_text())
ALERTS: dict[str, Object] = {each["alert"]: each for each in RULE["spec"]["groups"][0]["rules"]}

LEADER = 'leader_election_master_status{job="ops",name="fargateprofile",pod="a"}'
STANDBY = 'leader_election_master_status{job="ops",name="fargateprofile",pod="b"}'
HEARD = 'fargate_watch_heard_timestamp_seconds{job="ops",pod="a"}'
STALLED = 'fargate_objects{job="ops",phase="Stalled",pod="%s"}'
WAITS = 'fargate_longest_wait_seconds{job="ops",pod="%s"}'
ORPHANS = 'fargate_profiles_orphaned{cluster="%s",job="ops",pod="a"}'
STRANDED = 'fargate_pods{cluster="shop",job="ops",pod="a",profile="%s",state="stranded"}'
NOTED = 'fargate_objects_noted{condition="%s",job="ops",pod="a"}'
REFUSED = 'fargate_clusters_file_refused{job="ops",pod="%s"}'
ASKED = 'aws_api_requests_total{code="%s",job="ops",operation="DescribeFargateProfile",service="eks"}'
HEALTHY = {LEADER: "1x180", STANDBY: "0x180"}  # a value a minute, as promtool writes it
FOREIGN = {
    'leader_election_master_status{job="cert-manager",name="cert-manager-controller"}': "1x180",
    'leader_election_master_status{job="autoscaler",name="cluster-autoscaler"}': "0x180",
}


@dataclass(frozen=True)
class Case:
    """What is scraped, each minute, and what users read at `minute`: labels and summary of each alert that fires."""

    alert: str
    what: str
    series: dict[str, str]
    minute: int
    fires: tuple[tuple[dict[str, str], str], ...] = field(default=())


OPS = {"job": "ops"}
NO_LEADER = "No replica of fargate-operator acts: profiles are neither made nor deleted."
STALLED_TWO = "2 FargateProfile objects wait for somebody to mend something."
STALLED_ONE = "1 FargateProfile objects wait for somebody to mend something."
CASES = [
    *(Case(alert, "nothing is scraped", {}, 180) for alert in ALERTS if alert != "FargateOperatorHasNoLeader"),
    Case("FargateProfileStalled", "two objects stall", {STALLED % "a": "2x30", STALLED % "b": "2x30"}, 16,
         ((OPS, STALLED_TWO),)),
    Case("FargateProfileStalled", "it is too early", {STALLED % "a": "2x30"}, 14),
    Case("FargateProfileStalled", "one fails again and again", {STALLED % "a": "1 0x8 1 0x8 1 0x8 1 0x8"}, 30,
         ((OPS, STALLED_ONE),)),
    Case("FargateProfileStalled", "it was mended a while ago", {STALLED % "a": "2x20 0x30"}, 32),
    Case("FargateProfileStalled", "objects are Ready and on their way",
         {'fargate_objects{job="ops",phase="Ready"}': "9x60", 'fargate_objects{job="ops",phase="Reconciling"}': "3x60",
          STALLED % "a": "0x60"}, 60),
    Case("FargateProfileWaitsTooLong", "one is on its way for 100 minutes",
         {WAITS % "a": "0+60x180", WAITS % "b": "0x180"}, 100,
         ((OPS, "A FargateProfile object has been on its way for 1h 40m 0s."),)),
    Case("FargateProfileWaitsTooLong", "ten profiles in line", {WAITS % "a": "0+60x45 0+60x45"}, 90),
    Case("FargateRoleUnknown", "two objects have lost their role", {NOTED % "RoleUnknownToCluster": "2x30"}, 6,
         ((OPS, "The clusters do not know the roles of 2 FargateProfile objects: no pod can start there."),)),
    Case("FargateRoleUnknown", "it is mended", {NOTED % "RoleUnknownToCluster": "2x10 0x30"}, 20),
    Case("FargateRoleUnknown", "others are noted", {NOTED % "Overlapping": "2x30"}, 30),
    Case("FargateClustersFileRefused", "one of two pods refuses it", {REFUSED % "a": "1x30", REFUSED % "b": "0x30"}, 6,
         (({**OPS, "pod": "a"}, "a refuses the clusters file as it is now, and goes by an older version."),)),
    Case("FargateClustersFileRefused", "it is mended within minutes", {REFUSED % "a": "1x3 0x30"}, 6),
    Case("FargateClustersFileRefused", "it is taken", {REFUSED % "a": "0x30"}, 30),
    Case("FargateProfileOrphaned", "one cluster has three", {ORPHANS % "shop": "3x90", ORPHANS % "web": "0x90"}, 61,
         (({**OPS, "cluster": "shop"}, "3 Fargate profiles of shop have the operator's tags and no object."),)),
    Case("FargateProfileOrphaned", "a restart, and the cluster is not looked at for ten minutes",
         {ORPHANS % "shop": "3x30 _x10 3x60"}, 61,
         (({**OPS, "cluster": "shop"}, "3 Fargate profiles of shop have the operator's tags and no object."),)),
    Case("FargateProfileOrphaned", "it went half an hour ago", {ORPHANS % "shop": "3x35 0x60"}, 62),
    Case("FargateProfileOrphaned", "it goes within the hour", {ORPHANS % "shop": "3x50 0x60"}, 50),
    Case("FargateProfileOrphaned", "there are none", {ORPHANS % "shop": "0x180"}, 180),
    Case("FargatePodsStranded", "of two profiles", {STRANDED % "a": "2x60", STRANDED % "b": "1x60"}, 16,
         (({**OPS, "cluster": "shop"}, "3 pods of shop wait in vain for Fargate."),)),
    Case("FargatePodsStranded", "it is too early", {STRANDED % "a": "2x60"}, 14),
    Case("FargatePodsStranded", "they were made anew", {STRANDED % "a": "2x10 0x50"}, 40),
    Case("FargatePodsBlocked", "two of a profile", {STRANDED.replace("stranded", "blocked") % "a": "2x60"}, 16,
         (({**OPS, "cluster": "shop"}, "2 pods of shop do not start on Fargate."),)),
    Case("FargatePodsBlocked", "others are stranded", {STRANDED % "a": "2x60"}, 30),
    Case("FargateOperatorThrottled", "one in ten seconds", {ASKED % "ThrottlingException": "0+6x60"}, 40,
         ((OPS, "AWS refuses 100m requests of fargate-operator a second because they are too many."),)),
    Case("FargateOperatorThrottled", "two codes add up",
         {ASKED % "TooManyRequestsException": "0+2x60", ASKED % "RequestLimitExceeded": "0+2x60"}, 40,
         ((OPS, "AWS refuses 66.67m requests of fargate-operator a second because they are too many."),)),
    Case("FargateOperatorThrottled", "a request now and then", {ASKED % "ThrottlingException": "0+2x60"}, 40),
    Case("FargateOperatorThrottled", "other answers",
         {ASKED % "OK": "0+600x60", ASKED % "AccessDeniedException": "0+600x60"}, 40),
    Case("FargateOperatorHasNoLeader", "one acts, one stands by", {**HEALTHY, **FOREIGN}, 180),
    Case("FargateOperatorHasNoLeader", "a handover takes a minute", {LEADER: "1x10 0x21", STANDBY: "0x11 1x20"}, 12),
    Case("FargateOperatorHasNoLeader", "both stand by", {LEADER: "0x30", STANDBY: "0x30", **FOREIGN}, 3,
         ((OPS, NO_LEADER),)),
    Case("FargateOperatorHasNoLeader", "one of two operators", {
        **HEALTHY, 'leader_election_master_status{job="team-b",name="fargateprofile"}': "0x30"}, 3,
         (({"job": "team-b"}, NO_LEADER),)),
    Case("FargateOperatorHasNoLeader", "nothing is scraped", {}, 3, (({"name": "fargateprofile"}, NO_LEADER),)),
    Case("FargateOperatorHasNoLeader", "only other controllers are scraped", FOREIGN, 3,
         (({"name": "fargateprofile"}, NO_LEADER),)),
    Case("FargateOperatorHasNoLeader", "it is too early", {LEADER: "0x30"}, 1),
    Case("FargateOperatorWatchIsStale", "a replica heard something at the start and then nothing",
         {HEARD: "0x60", 'fargate_watch_heard_timestamp_seconds{job="ops",pod="b"}': "0+60x60"}, 12,
         (({**OPS, "pod": "a"}, "a has not heard from the API server for 12m 0s."),)),
    Case("FargateOperatorWatchIsStale", "it hears something each minute", {HEARD: "0+60x60"}, 60),
    Case("FargateOperatorWatchIsStale", "it was last heard four minutes ago, all the time", {HEARD: "-240+60x60"}, 60),
]  # fmt: skip


def as_promtool_wants(case: Case) -> Object:
    """Return the case as promtool wants it: whatever fires besides is a failure."""
    rule = ALERTS[case.alert]
    plain = {name: rule["annotations"][name] for name in ("description", "runbook_url")}
    expected = [
        {"exp_labels": rule["labels"] | labels, "exp_annotations": plain | {"summary": summary}}
        for labels, summary in case.fires
    ]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [{"eval_time": f"{case.minute}m", "alertname": case.alert, "exp_alerts": expected}],
    }


def promtool(programs: Path, *args: str) -> str:
    """Run promtool; return what it found, nothing if all was well."""
    command = [str(programs / "promtool"), *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return monitoring.yaml's groups as a rule file."""
    path = tmp_path_factory.mktemp("rules") / "rules.json"  # which is YAML
    path.write_text(json.dumps(RULE["spec"]))
    return path


def test_prometheus_takes_the_rules(programs: Path, rules: Path) -> None:
    assert promtool(programs, "check", "rules", "--lint-fatal", str(rules)) == ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.what}")
def test_an_alert_fires_on_what_it_is_for_and_is_silent_otherwise(
    programs: Path, rules: Path, tmp_path: Path, case: Case
) -> None:
    path = tmp_path / "test.json"
    path.write_text(
        json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [as_promtool_wants(case)]})
    )
    assert promtool(programs, "test", "rules", str(path)) == ""


def test_each_alert_is_seen_to_fire_to_be_silent_and_what_it_does_where_nothing_is_scraped() -> None:
    for alert in ALERTS:
        of_it = [case for case in CASES if case.alert == alert]
        assert {bool(case.fires) for case in of_it} == {True, False}, alert
        assert any(not case.series for case in of_it), alert
