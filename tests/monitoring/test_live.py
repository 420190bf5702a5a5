"""dashboard.json and monitoring.yaml on a real Prometheus that scrapes the real controller.py at work in the sandbox.

ApiServer <- HTTP -> controller.py <- HTTP -> moto with EKS's manners
                          ^ /metrics
                      prometheus <- the queries of the dashboard, and the alerts as rules
"""

from __future__ import annotations

import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spec import CONTROLLER_KEY, OWNER_KEY
from tests.e2e.controlplane import Server
from tests.fakes.aws import Manners, error
from tests.monitoring.test_alerts import ALERTS, RULE
from tests.sandbox import Sandbox, sandbox
from tests.unit.test_dashboard import QUERIES, VARIABLES
from tests.unit.test_process import free_port
from tests.waiting import SOON, wait_for

Object = dict[str, Any]

JOB = "default/fargate-operator"  # as the Prometheus operator names the PodMonitor's
SCRAPE = "1s"
# What Grafana puts in, of a dashboard that shows five minutes.
GRAFANA = {"$job": re.escape(JOB).replace("\\", "\\\\"), "$__rate_interval": "1m", "$__range": "5m"}
SLOW_SECONDS = 3600.0  # a profile that stays CREATING
AFTER_A_WHILE = 60.0  # the Lease of the one that was killed has to end


@dataclass
class Prometheus:
    """A running Prometheus, and what it answers."""

    url: str

    def ask(self, path: str, **query: str) -> Any:
        """Return the data of an answer of its API."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with self._opener().open(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def values(self, expression: str) -> list[float]:
        """Return the value of each series that a query gives; what is no number is none."""
        found = self.ask("query", query=expression)["result"]
        return [value for each in found if math.isfinite(value := float(each["value"][1]))]

    def alerts(self) -> set[str]:
        """Return the names of the alerts that would fire if it lasted, and of those that fire."""
        return {each["labels"]["alertname"] for each in self.ask("alerts")["alerts"]}

    def ready(self) -> bool:
        try:
            with self._opener().open(f"{self.url}/-/ready", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def _opener(self) -> urllib.request.OpenerDirector:
        return urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def prometheus(programs: Path, folder: Path, target: int) -> Iterator[Prometheus]:
    """Run Prometheus with the alerts as its rules; it scrapes the port."""
    folder.mkdir()
    (folder / "rules.yaml").write_text(json.dumps(RULE["spec"]))
    scrape = {"job_name": JOB, "static_configs": [{"targets": [f"127.0.0.1:{target}"], "labels": {"pod": "one"}}]}
    config = {
        "global": {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [scrape],
    }
    (folder / "prometheus.yaml").write_text(json.dumps(config))
    running = Prometheus(f"http://127.0.0.1:{(port := free_port())}")
    command = [
        str(programs / "prometheus"),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    server = Server(command, folder / "prometheus.log")
    try:
        server.start(running.ready)
        yield running
    finally:
        server.stop()


@dataclass
class World:
    """The sandbox, and the Prometheus that watches its controller."""

    box: Sandbox
    prometheus: Prometheus

    def apply(self, name: str, role: str = "good", **spec: object) -> None:
        fields = {"podExecutionRoleArn": self.box.world.roles[role], "selectors": [{"namespace": name}], **spec}
        head = {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": {"name": name}}
        self.box.apply({**head, "spec": fields})


@contextmanager
def lived(programs: Path, folder: Path) -> Iterator[World]:
    """Start both; objects and faults come after the first scrapes, so that they count as an increase."""
    port = free_port()
    settings = {"POLL_SECONDS": 0.3, "RESYNC_SECONDS": 2, "NO_LEADER_ELECT": "false", "HEALTH_PORT": port}
    with sandbox(Manners(), **settings) as box:
        uid = (box.api.get("namespaces", "", "kube-system") or {})["metadata"]["uid"]
        tags = {OWNER_KEY: "default/nobody", CONTROLLER_KEY: uid}
        box.world.add_profile(box.world.cluster, "nobody", box.world.roles["good"], [{"namespace": "x"}], tags=tags)
        box.start()
        with prometheus(programs, folder / "prometheus", port) as watching:
            scraped = 'sum_over_time(leader_election_master_status{name="fargateprofile"}[1m]) > 1'
            wait_for(lambda: watching.values(scraped), SOON, "Prometheus has scraped a leader twice")
            yield World(box, watching)


@pytest.fixture(scope="module")
def world(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Let there be all that a dashboard can show: objects in each phase, an orphan, refusals and throttling of AWS."""
    with lived(programs, tmp_path_factory.mktemp("live")) as it:
        box = it.box
        it.apply("web")
        it.apply("bad", role="no-trust")
        it.apply("idle", suspend=True)
        box.wait_for(
            lambda: box.ready("web") and box.condition("bad", kind="Stalled"), SOON, "web is Ready, bad Stalled"
        )
        box.world.manners.creating_seconds = SLOW_SECONDS
        it.apply("slow")
        box.wait_for(lambda: "slow" in box.profiles(), SOON, "slow is being made")
        box.world.manners.fail("ListFargateProfiles", error("ThrottlingException", 429), times=3)
        yield it


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_of_the_dashboard_has_something_to_show(world: World, query: str) -> None:
    for variable, value in GRAFANA.items():
        query = query.replace(variable, value)
    assert "$" not in query
    wait_for(lambda: world.prometheus.values(query), SOON, f"series of {query}")


def test_the_dashboard_finds_the_operator_to_choose(world: World) -> None:
    (metric,) = re.fullmatch(r"label_values\((\w+), job\)", VARIABLES["job"]["definition"]).groups()  # type: ignore[union-attr]
    assert world.prometheus.ask("label/job/values", **{"match[]": metric}) == [JOB]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ('max by (phase) (fargate_objects) == 1', {"Ready", "Reconciling", "Stalled", "Idle"}),
        ('max by (status) (fargate_profiles) > 0', {"ACTIVE", "CREATING"}),
    ],
)  # fmt: skip
def test_what_there_is_is_shown_as_what_it_is(world: World, query: str, shown: set[str]) -> None:
    def found() -> set[str]:
        return {
            name for each in world.prometheus.ask("query", query=query)["result"] for name in each["metric"].values()
        }

    wait_for(lambda: found() == shown, SOON, f"{query} shows {shown}")


@pytest.mark.parametrize("alert", [name for name in ALERTS if "Pods" not in name])  # of pods nothing is known here
def test_every_series_that_an_alert_asks_for_is_there(world: World, alert: str) -> None:
    """Also those that are only there once something goes wrong, such as a code of throttling."""
    expression = re.sub(r"\[\w+\]", "", ALERTS[alert]["expr"])
    asked = re.findall(r"\b(?:fargate|aws|leader)_\w+(?:\{[^}]*\})?", expression)
    assert asked
    wait_for(lambda: all(map(world.prometheus.values, asked)), SOON, f"each of these has series: {asked}")


def test_the_alerts_are_evaluated_and_what_is_wrong_is_on_its_way_to_be_told(world: World) -> None:
    wrong = {"FargateProfileStalled", "FargateProfileOrphaned"}
    throttled = {"FargateOperatorThrottled"}  # for as long as what was planned is in its window
    wait_for(lambda: world.prometheus.alerts() - throttled == wrong, SOON, f"{wrong} are pending, and no others")
    (group,) = world.prometheus.ask("rules")["groups"]
    assert {rule["name"]: (rule["health"], rule.get("lastError")) for rule in group["rules"]} == dict.fromkeys(
        ALERTS, ("ok", None)
    )


def test_an_operator_that_is_gone_has_no_leader_until_it_is_there_again(world: World) -> None:
    alert = "FargateOperatorHasNoLeader"
    wait_for(lambda: alert not in world.prometheus.alerts(), SOON, "a leader is there")
    world.box.controller.kill()
    wait_for(lambda: alert in world.prometheus.alerts(), SOON, "the missing leader is noticed")
    world.box.start()
    wait_for(lambda: alert not in world.prometheus.alerts(), AFTER_A_WHILE, "a leader is there again")
