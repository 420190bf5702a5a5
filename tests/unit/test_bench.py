"""What `make bench` does with what it has measured; and that its AWS answers botocore as the in-memory one does.

What it measures is measured, and no test: `make bench` runs it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.bench.compare.__main__ import Record, command_line, report
from tests.bench.compare.candidates import OURS, Died, Running
from tests.bench.compare.cloud import REGION, Cloud, served, understand
from tests.bench.compare.many import unevenness, until_quiet
from tests.bench.compare.table import Row, Values, as_json, as_text, median, met, rows
from tests.sandbox import ROOT, ControllerProcess
from tests.waiting import SOON

ABSOLUTE = Row("writes", "writes", "", 5)
RATIO = Row("create", "create", "ms", 2.5, times_floor=True)
NO_GOAL = Row("burst", "burst", "s")


@pytest.mark.parametrize(
    ("row", "values", "verdict"),
    [
        (ABSOLUTE, {"ours": [4, 5, 6]}, True),
        (ABSOLUTE, {"ours": [4, 6, 6]}, False),
        (ABSOLUTE, {"floor": [0]}, None),
        (RATIO, {"ours": [20], "floor": [8]}, True),
        (RATIO, {"ours": [21], "floor": [8]}, False),
        (RATIO, {"ours": [21], "kopf": [100]}, None),
        (NO_GOAL, {"ours": [1], "floor": [1]}, None),
    ],
)
def test_a_goal_is_met_by_the_median_alone_or_beside_the_floor_s(
    row: Row, values: dict[str, list[float]], verdict: bool | None
) -> None:
    assert met(row, {row.name: values}) is verdict


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert median({"create": {"ours": [9, 1, 2]}}, "create", "ours") == 2
    assert median({"create": {"ours": []}}, "create", "ours") is None
    assert median({}, "create", "ours") is None


def test_the_table_has_what_was_measured_with_its_goal_and_whether_it_is_met() -> None:
    values: Values = {
        "create": {"floor": [8.04], "kopf": [168.4], "ours": [24.86]},
        "burst": {"ours": [5.6]},
        "writes": {"ours": [6]},
        "start": {"kopf": [1723.6]},
    }
    assert as_text(rows({}), values).splitlines() == [
        "| figure | kopf | floor | ours | goal | |",
        "|---|---|---|---|---|---|",
        "| object -> CreateFargateProfile request, p50, AWS at 20 ms | 168 ms | 8.04 ms | 24.9 ms | <= 2.5 x floor |"
        " missed |",
        "| burst of objects over clusters, all requests sent |  |  | 5.60 s |  |  |",
        "| start -> first create | 1,724 ms |  |  | <= 1.5 x floor |  |",
        "| Kubernetes writes until Ready |  |  | 6.00 | <= 5 | missed |",
    ]
    assert [row["name"] for row in as_json(rows({}), values)] == ["create", "burst", "start", "writes"]
    assert as_json([RATIO], values)[0]["medians"] == {"floor": 8.04, "kopf": 168.4, "ours": 24.86}


def test_every_world_with_many_objects_has_rows_of_its_own() -> None:
    names = [row.name for row in rows({1000: 100, 5000: 500})]
    assert len(names) == len(set(names))
    assert {"drain-p50-1000", "drain-p50-5000", "resync-1000", "restart-waits-5000"} <= set(names)


def test_what_fails_is_said_and_the_others_are_measured(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def fails() -> dict[str, float]:
        raise AssertionError("not within 60 s: a create is sent")

    record = Record()
    record.take("round 1", "kopf", fails)
    record.take("round 1", "ours", lambda: {"burst": 5.6})
    assert record.failed == 1
    assert "kopf: NOT MEASURED: not within 60 s: a create is sent" in capsys.readouterr().err
    report(rows({}), record, tmp_path / "figures.json", ["--only", "burst"])
    assert "| 5.60 s |" in capsys.readouterr().out
    said = json.loads((tmp_path / "figures.json").read_text())
    assert (said["arguments"], said["failed"], said["rows"][0]["values"]) == (
        ["--only", "burst"],
        1,
        {"ours": [5.6]},
    )


def test_a_candidate_that_ends_by_itself_is_not_waited_for_and_its_last_words_are_told(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import sys; sys.exit('no way to the API server')")
    process = ControllerProcess({}, tmp_path / "log", command)
    process.start()
    try:
        with pytest.raises(Died, match=r"ours ended with exit code 1: no way to the API server"):
            Running(OURS, process, 0.0).wait(lambda: False, SOON, "it watches the objects")
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("moments", "last"),
    [([], 0.0), ([1.0, 2.0, 4.9, 9.0], 4.9), ([1.0, 5.0], 1.0), ([1.0, 3.0], 3.0)],
)
def test_a_restart_is_over_at_the_first_pause(moments: list[float], last: float) -> None:
    assert until_quiet(moments, 3.0) == last


@pytest.mark.parametrize(
    ("moments", "times"),
    [([], 0.0), ([0.5 + number for number in range(10)], 1.0), ([3.1] * 10, 10.0), ([-1.0, 10.0], 0.0)],
)
def test_a_resync_is_as_uneven_as_its_busiest_tenth(moments: list[float], times: float) -> None:
    assert unevenness(moments, 10.0) == times


@pytest.mark.parametrize("arguments", [["--only", "paced,all"], ["--candidates", "ack"]])
def test_who_asks_for_what_there_is_not_hears_what_there_is(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command_line().parse_args(arguments)
    assert re.search(r"(all|ack): none of (paced|floor), ", capsys.readouterr().err)


def test_the_original_runs_with_the_boto3_of_the_controller_so_that_only_the_framework_differs() -> None:
    pins = [(ROOT / file).read_text() for file in ("requirements.txt", "tests/bench/kopf-requirements.txt")]
    ours, theirs = (re.search(r"^boto3==\S+$", text, re.MULTILINE) for text in pins)
    assert ours and theirs
    assert ours[0] == theirs[0]
    assert "kopf==1.45.2\n" in pins[1]


# The AWS of the bench


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with served(Cloud()) as made:
        made.add_clusters("shop")
        yield made


def client(cloud: Cloud, service: str) -> Any:
    once = Config(retries={"total_max_attempts": 1})
    session = boto3.session.Session("testing", "testing", region_name=REGION)
    return session.client(service, endpoint_url=cloud.endpoint, config=once)


def test_a_profile_comes_gets_tags_and_goes_over_the_wire(cloud: Cloud) -> None:
    eks, named = client(cloud, "eks"), {"clusterName": "shop", "fargateProfileName": "web"}
    role, subnets = cloud.memory.roles["good"], [*cloud.memory.private_subnets]
    made = eks.create_fargate_profile(
        **named, podExecutionRoleArn=role, subnets=subnets, selectors=[{"namespace": "web"}], tags={"team": "shop"}
    )["fargateProfile"]
    arn = made["fargateProfileArn"]
    eks.tag_resource(resourceArn=arn, tags={"tier": "web", "zone": "a"})
    eks.untag_resource(resourceArn=arn, tagKeys=["team", "zone"])
    seen = eks.describe_fargate_profile(**named)["fargateProfile"]
    assert (made["status"], seen["status"], seen["tags"]) == ("CREATING", "ACTIVE", {"tier": "web"})
    assert made["createdAt"].tzinfo
    assert eks.list_fargate_profiles(clusterName="shop", maxResults=10)["fargateProfileNames"] == ["web"]
    assert eks.delete_fargate_profile(**named)["fargateProfile"]["status"] == "DELETING"
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        eks.describe_fargate_profile(**named)
    assert [call.profile for call in cloud.asked("CreateFargateProfile", "shop")] == ["web"]
    assert all(call.arrived <= call.answered for call in cloud.calls)


def test_what_a_create_is_checked_against_is_answered_as_in_memory(cloud: Cloud) -> None:
    memory, role = cloud.memory, cloud.memory.roles["good"].rpartition("/")[2]
    by_subnet = {"Filters": [{"Name": "subnet-id", "Values": [*memory.private_subnets]}]}
    by_vpc = {"Filters": [{"Name": "vpc-id", "Values": [memory.vpc]}]}
    requests: dict[tuple[str, str], dict[str, Any]] = {
        ("eks", "describe_cluster"): {"name": "shop"},
        ("ec2", "describe_subnets"): by_subnet,
        ("ec2", "describe_route_tables"): by_vpc,
        ("iam", "get_role"): {"RoleName": role},
        ("iam", "list_attached_role_policies"): {"RoleName": role},
        ("iam", "list_role_policies"): {"RoleName": role},
        ("sts", "get_caller_identity"): {},
    }
    for (service, method), request in requests.items():
        answer = getattr(client(cloud, service), method)(**request)
        known = memory.ask(method, request)
        assert plain(answer) == plain(known), method


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


def test_a_role_that_is_not_there_is_refused_over_the_wire(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="NoSuchEntity"):
        client(cloud, "iam").get_role(RoleName="none")


def test_a_call_that_nobody_makes_is_no_answer() -> None:
    with pytest.raises(LookupError, match="GET /clusters"):
        understand("GET", "/clusters", b"")
