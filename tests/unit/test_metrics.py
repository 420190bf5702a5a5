"""What /metrics shows, read as Prometheus reads it, and that the alerts stand on what is there."""

from __future__ import annotations

import re
import time
import urllib.request
from dataclasses import replace
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

import answers
import aws
import kube
import leader
from clusters import Reading
from controller import Census, Health, serve
from credentials import Credentials
from informer import Store
from kube import Command
from limits import Settings
from metrics import Metrics
from spec import CONTROLLER_KEY, OWNER_KEY
from surroundings import LONG_DELETING
from tests.docs import DOCUMENTS, ROOT, section, table
from tests.fakes.aws import DROP, Manners, error, in_process
from tests.harness import Bench, Clock
from tests.unit.test_manifests import DEPLOYMENT, POD
from workqueue import WorkQueue

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(registry: CollectorRegistry) -> Samples:
    """Return every sample as Prometheus gets it over HTTP."""
    server = Health(time.monotonic).listen("127.0.0.1", 0, registry)
    serve(server)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_address[1]}/metrics", timeout=5) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation for family in families)
    samples = [sample for family in families for sample in family.samples]
    return {(each.name, frozenset(each.labels.items())): each.value for each in samples}


def value(samples: Samples, name: str, /, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def names(samples: Samples) -> set[str]:
    """Return the families of the samples, a histogram under its own name."""
    return {re.sub("_(bucket|count|sum)$", "", name) for name, _ in samples}


OURS = {"controller": "fargateprofile"}
QUEUE = {"name": "fargateprofile"}


def test_every_family_is_there_from_the_start_and_counts_from_zero() -> None:
    metrics, store = Metrics(), Store()
    WorkQueue(Clock().monotonic, metrics)
    metrics.registry.register(Census(store, dict, Clock().now))
    samples = scrape(metrics.registry)
    assert {*samples.values()} == {0.0}
    for result in ("success", "requeue", "requeue_after", "error"):
        assert value(samples, "controller_runtime_reconcile_total", result=result, **OURS) == 0
    for phase in ("Ready", "Reconciling", "Stalled", "Idle"):
        assert value(samples, "fargate_objects", phase=phase) == 0


def test_a_life_of_an_object_is_counted(b: Bench) -> None:
    b.apply()
    b.run(30)
    samples = scrape(b.metrics.registry)
    assert value(samples, "fargate_profiles", cluster="demo", status="CREATING") == 1
    assert value(samples, "fargate_profiles", cluster="demo", status="ACTIVE") == 0
    assert value(samples, "fargate_objects", phase="Reconciling") == 1
    assert 25 <= value(samples, "fargate_longest_wait_seconds") <= 30
    b.run(100)
    samples = scrape(b.metrics.registry)
    assert value(samples, "fargate_profiles", cluster="demo", status="ACTIVE") == 1
    assert value(samples, "fargate_objects", phase="Ready") == 1
    assert value(samples, "fargate_longest_wait_seconds") == 0
    assert value(samples, "fargate_profile_time_to_ready_seconds_count") == 1
    assert 60 <= value(samples, "fargate_profile_time_to_ready_seconds_sum") <= 75
    assert value(samples, "controller_runtime_reconcile_total", result="requeue_after", **OURS) > 3
    assert value(samples, "controller_runtime_reconcile_errors_total", **OURS) == 0
    passes = value(samples, "controller_runtime_reconcile_time_seconds_count", **OURS)
    assert passes == value(samples, "workqueue_work_duration_seconds_count", **QUEUE)
    assert passes == value(samples, "workqueue_queue_duration_seconds_count", **QUEUE)
    assert value(samples, "workqueue_adds_total", **QUEUE) >= passes
    assert value(samples, "kube_api_requests_total", method="PATCH", code="200") >= 3
    b.delete()
    b.run(200)
    samples = scrape(b.metrics.registry)
    assert value(samples, "fargate_profiles", cluster="demo", status="ACTIVE") == 0
    assert value(samples, "fargate_objects", phase="Ready") == 0


def test_a_profile_that_is_made_again_counts_for_the_time_it_was_missing_not_for_the_age_of_its_object(
    b: Bench,
) -> None:
    b.apply()
    b.run(86400)
    b.world.delete_profile("demo", "web")
    b.run(1500)
    samples = scrape(b.metrics.registry)
    assert value(samples, "fargate_profile_time_to_ready_seconds_count") == 2
    assert value(samples, "fargate_profile_time_to_ready_seconds_sum") < 200


def test_what_nobody_has_looked_at_yet_waits_from_its_creation_on(b: Bench) -> None:
    b.apply()
    b.informer.run_once()
    b.clock.elapsed += 500
    samples = scrape(b.metrics.registry)
    assert value(samples, "fargate_longest_wait_seconds") == 500
    assert value(samples, "workqueue_depth", **QUEUE) == 1
    b.run(0)
    samples = scrape(b.metrics.registry)
    assert value(samples, "workqueue_depth", **QUEUE) == 0
    assert value(samples, "workqueue_queue_duration_seconds_sum", **QUEUE) == 500


def test_a_stalled_object_and_a_suspended_one_are_told_apart(b: Bench) -> None:
    b.apply("bad", podExecutionRoleArn=b.world.roles["no-trust"])
    b.apply("idle", suspend=True)
    b.run(5)
    samples = scrape(b.metrics.registry)
    assert value(samples, "fargate_objects", phase="Stalled") == 1
    assert value(samples, "fargate_objects", phase="Idle") == 1


def test_a_pass_that_fails_is_an_error_and_is_tried_again(b: Bench) -> None:
    b.apply()
    b.manners.fail("ListFargateProfiles", error("ServerException", 500), times=3)
    b.run(20)
    samples = scrape(b.metrics.registry)
    assert value(samples, "controller_runtime_reconcile_errors_total", **OURS) == 3
    assert value(samples, "controller_runtime_reconcile_total", result="error", **OURS) == 3
    assert value(samples, "workqueue_retries_total", **QUEUE) == 3


def test_orphans_are_counted(b: Bench) -> None:
    uid = (b.api.get("namespaces", "", "kube-system") or {})["metadata"]["uid"]
    tags = {OWNER_KEY: "default/nobody", CONTROLLER_KEY: uid}
    b.world.add_profile("demo", "nobody", b.world.roles["good"], [{"namespace": "x"}], tags=tags)
    b.apply()
    b.run(5)
    assert value(scrape(b.metrics.registry), "fargate_profiles_orphaned", cluster="demo") == 1


def test_profiles_that_were_kept_are_counted_until_somebody_has_them_again(b: Bench) -> None:
    b.settle(deletionPolicy="Retain")
    retained = ("fargate_profiles_retained",)
    assert value(scrape(b.metrics.registry), *retained, cluster="demo") == 0
    b.delete()
    b.run(30)
    assert value(scrape(b.metrics.registry), *retained, cluster="demo") == 1
    b.settings = replace(b.settings, adoption_in=frozenset({"*"}))
    b.start()
    b.apply(adoptionPolicy="Adopt")
    b.run(30)
    assert value(scrape(b.metrics.registry), *retained, cluster="demo") == 0


def test_clusters_that_objects_only_name_make_no_series(b: Bench) -> None:
    for number in range(20):
        b.apply(f"web-{number}", clusterName=f"no-such-{number}")
    b.run(60)
    labels = {dict(labels).get("cluster") for _, labels in scrape(b.metrics.registry)}
    assert labels <= {None, "demo"}


def test_requests_to_aws_are_counted_by_operation_and_answer_each_page_of_a_list_too() -> None:
    metrics = Metrics()
    with in_process(Manners(max_profiles=200)) as world:
        credentials = Credentials(lambda: aws.fetch(world.region, Command))
        credentials.step()
        clients = aws.connect(world.region, 2, metrics.watch_aws)
        edge = aws.Aws(clients, world.region, credentials)
        for number in range(101):  # a page holds 100
            world.add_profile("demo", f"p{number}", world.roles["good"], [{"namespace": "x"}])
        Reading(0.0).go_on(edge, "demo", set())
        world.manners.fail("DescribeFargateProfile", error("ThrottlingException", 429))
        world.manners.fail("DescribeFargateProfile", DROP)
        for _ in range(2):
            with pytest.raises(answers.Retryable):
                edge.describe("demo", "p1")
        assert edge.describe("demo", "none") is None
    samples = scrape(metrics.registry)

    def count(operation: str, code: str) -> float:
        return value(samples, "aws_api_requests_total", service="eks", operation=operation, code=code)

    assert count("ListFargateProfiles", "OK") == 2
    assert count("DescribeFargateProfile", "OK") == 101
    assert count("DescribeFargateProfile", "ThrottlingException") == 1
    assert count("DescribeFargateProfile", "ConnectionClosedError") == 1
    assert count("DescribeFargateProfile", "ResourceNotFoundException") == 1
    labels = {"service": "eks", "operation": "DescribeFargateProfile"}
    assert value(samples, "aws_api_request_duration_seconds_count", **labels) == 104


def test_requests_to_the_api_server_are_counted_also_those_without_an_answer(b: Bench) -> None:
    b.apply()
    b.api.fail("PATCH", "fargateprofiles", "drop")
    b.run(5)
    assert value(scrape(b.metrics.registry), "kube_api_requests_total", method="PATCH", code="<error>") == 1


# Alerts

MONITOR, RULE = yaml.safe_load_all((ROOT / "monitoring.yaml").read_text())
ALERTS: list[dict[str, Any]] = RULE["spec"]["groups"][0]["rules"]


def test_every_metric_of_an_alert_is_there(b: Bench) -> None:
    b.apply()
    b.run(100)
    known = names(scrape(b.metrics.registry)) | {"aws_api_requests_total", "fargate_watch_heard_timestamp_seconds"}
    known |= {"fargate_pods"}  # there once pods were looked at, which needs a permission
    for alert in ALERTS:
        expression = re.sub(r'"[^"]*"|\[\w+\]|\{[^}]*\}', "", alert["expr"])
        used = set(re.findall(r"\b[a-z_]{8,}\b(?!\()", expression))
        assert used, alert["alert"]
        assert used <= known, alert["alert"]


def test_an_object_that_fails_again_and_again_is_alerted_on(b: Bench) -> None:
    """Though it is Stalled for 10 minutes at most, between two tries."""
    window, lasting = (int(each[:-1]) for each in (*re.findall(r"\[(\d+m)\]", ALERTS[0]["expr"]), ALERTS[0]["for"]))
    b.manners.fail_create("web", {"code": "AccessDenied", "message": "no", "resourceIds": []}, times=99)
    b.apply()
    stalled = []
    for _ in range(120):
        b.run(60)
        stalled.append(value(scrape(b.metrics.registry), "fargate_objects", phase="Stalled"))
    assert 0 in stalled[60:]
    assert all(any(stalled[minute - window : minute]) for minute in range(120 - lasting, 120))


def test_ten_alerts_say_what_is_wrong_and_what_mends_it() -> None:
    assert [alert["alert"] for alert in ALERTS] == [
        "FargateProfileStalled",
        "FargateProfileWaitsTooLong",
        "FargateProfileOrphaned",
        "FargatePodsStranded",
        "FargatePodsBlocked",
        "FargateOperatorThrottled",
        "FargateOperatorHasNoLeader",
        "FargateOperatorWatchIsStale",
        "FargateRoleUnknown",
        "FargateClustersFileRefused",
    ]
    for alert in ALERTS:
        assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert re.search(r"Run `|Raise |Read ", alert["annotations"]["description"])
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert alert["for"]


def test_the_runbook_of_an_alert_is_its_paragraph_below_the_one_address_that_is_to_be_set() -> None:
    base = "https://example.com/fargate-operator"
    for alert in ALERTS:
        address, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert (address, anchor) == (f"{base}/docs/operate.md", alert["alert"].lower())
        paragraph = section("docs/operate.md", f"\n### {alert['alert']}\n", "\n##")
        assert len(paragraph.split()) > 40, alert["alert"]
    told = re.findall(r"sed 's#(.+?)#", DOCUMENTS["docs/operate.md"])
    assert told == [base]
    assert (ROOT / "monitoring.yaml").read_text().count(base) == len(ALERTS) + 1, "the comment at its top names it too"


def test_the_alert_on_orphans_bridges_the_time_after_a_start_in_which_a_cluster_is_not_looked_at_yet() -> None:
    (expr,) = (alert["expr"] for alert in ALERTS if alert["alert"] == "FargateProfileOrphaned")
    (looks_back,) = re.findall(r"max_over_time\(fargate_profiles_orphaned\[(\w+)\]\)", expr)
    assert seconds(looks_back) == 2 * Settings("demo").resync_seconds


def seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def test_an_alert_waits_for_what_passes_by_itself_and_no_longer() -> None:
    lasting = {alert["alert"]: seconds(alert["for"]) for alert in ALERTS}
    for alert in ALERTS:
        most = 300 if alert["labels"]["severity"] == "critical" else 3600
        assert 60 <= lasting[alert["alert"]] <= most, alert["alert"]
        for window in re.findall(r"\[(\w+)\]", alert["expr"]):
            assert seconds(window) >= 240, "four scrapes a minute apart: rate() of one sample is nothing"
    assert lasting["FargateOperatorHasNoLeader"] > 2 * leader.LEASE_SECONDS, "a handover is no fault"
    limits = {alert["alert"]: float(re.findall(r"> ([\d.]+)", alert["expr"])[-1]) for alert in ALERTS[:2] + ALERTS[7:8]}
    assert limits["FargateOperatorWatchIsStale"] > kube.SILENCE_SECONDS, "before that the watch is made anew by itself"
    assert LONG_DELETING.total_seconds() < limits["FargateProfileWaitsTooLong"] <= 2 * LONG_DELETING.total_seconds()


def test_the_alert_on_throttling_knows_every_code_that_means_it() -> None:
    (pattern,) = re.findall(r'code=~"([^"]+)"', ALERTS[5]["expr"])
    codes = ["ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException"]
    for code in [*codes, "RequestLimitExceeded", "SlowDown"]:
        assert any(rule.reason == "Throttled" and re.search(rule.code, code) for rule in answers.ERRORS), code
        assert re.fullmatch(pattern, code), code


def test_prometheus_scrapes_the_pods_of_the_deployment_where_they_serve() -> None:
    assert MONITOR["spec"]["selector"]["matchLabels"] == POD["metadata"]["labels"]
    (endpoint,) = MONITOR["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": POD["spec"]["containers"][0]["ports"][0]["name"], "path": "/metrics"}
    assert MONITOR["metadata"]["namespace"] == DEPLOYMENT["metadata"]["namespace"]


def test_the_documents_list_every_metric_and_no_other(b: Bench) -> None:
    listed = {row[0] for row in table("docs/operate.md", "metric")}
    known = names(scrape(b.metrics.registry))
    labelled = {"aws_api_requests_total", "aws_api_request_duration_seconds", "kube_api_requests_total"}
    dynamic = {
        "fargate_build_info",
        "fargate_events_total",
        "fargate_pods",
        "fargate_pods_memory_gib",
        "fargate_pods_vcpu",
        "fargate_profiles",
        "fargate_profiles_orphaned",
        "fargate_profiles_retained",
        "fargate_watch_heard_timestamp_seconds",
    }
    assert listed == known | labelled | dynamic
    assert all(alert["alert"] in DOCUMENTS["docs/operate.md"] for alert in ALERTS)
