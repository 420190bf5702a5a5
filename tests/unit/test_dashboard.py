"""dashboard.json by Grafana's schema, as far as it can be read off; its queries are asked in tests/monitoring."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest

from metrics import FAMILIES
from tests.docs import ROOT
from tests.harness import bench
from tests.unit.test_metrics import names, scrape

Object = dict[str, Any]

DASHBOARD: Object = json.loads((ROOT / "dashboard.json").read_text())
PANELS: list[Object] = DASHBOARD["panels"]
SHOWN = [panel for panel in PANELS if panel["type"] != "row"]
QUERIES: list[str] = [target["expr"] for panel in SHOWN for target in panel["targets"]]
VARIABLES: dict[str, Object] = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
OF_PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
# Grafana's ids of units; it shows a word that it does not know behind the number.
UNITS = {"short", "s", "ops", "reqps"}
KINDS = {"stat", "timeseries", "bargauge"}
GIVEN_BY_GRAFANA = {"__rate_interval", "__range"}


def metrics_of(expression: str) -> set[str]:
    """Return the metrics of a query, a histogram under its own name."""
    found = re.findall(r"\b([a-z][a-z_]+)\{", expression)
    assert found, expression
    return {name.removesuffix("_bucket") for name in found}


def cells(panel: Object) -> set[tuple[int, int]]:
    at = panel["gridPos"]
    return {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}


def test_it_is_a_dashboard_that_grafana_imports_under_a_name_of_its_own() -> None:
    assert DASHBOARD["title"] == DASHBOARD["uid"] == "fargate-operator"
    assert DASHBOARD["schemaVersion"] >= 36, "datasources are objects from there on"
    assert "id" not in DASHBOARD, "it is the importing Grafana's"
    assert "__inputs" not in DASHBOARD, "nothing has to be asked for: the data source is a variable"


def test_data_source_and_operator_are_chosen_above() -> None:
    assert list(VARIABLES) == ["datasource", "job"]
    assert (VARIABLES["datasource"]["type"], VARIABLES["datasource"]["query"]) == ("datasource", "prometheus")
    job = VARIABLES["job"]
    assert (job["type"], job["datasource"], job["allValue"], job["includeAll"]) == ("query", OF_PROMETHEUS, ".*", True)
    assert job["query"]["query"] == job["definition"] == "label_values(fargate_objects, job)"
    for panel in SHOWN:
        assert panel["datasource"] == OF_PROMETHEUS, panel["title"]
        assert all(target["datasource"] == OF_PROMETHEUS for target in panel["targets"]), panel["title"]


def test_no_panel_has_another_s_id_or_place() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for one, other in combinations(PANELS, 2):
        assert not cells(one) & cells(other), f"{one['title']} lies upon {other['title']}"
    for panel in PANELS:
        at = panel["gridPos"]
        assert at["x"] >= 0 and at["w"] > 0 and at["x"] + at["w"] <= COLUMNS, panel["title"]


@pytest.mark.parametrize("panel", SHOWN, ids=lambda panel: str(panel["title"]))
def test_a_panel_says_what_it_shows_in_which_unit_and_what_to_look_at(panel: Object) -> None:
    assert panel["type"] in KINDS
    assert re.match(r"[A-Z]", panel["title"])
    assert len(panel["title"]) <= 50
    assert re.fullmatch(r"[A-Z].{40,}\.", panel["description"])
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    references = [target["refId"] for target in panel["targets"]]
    assert references == [*"ABC"[: len(references)]]
    assert all(target["expr"] and target["legendFormat"] for target in panel["targets"])


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Return the families of /metrics."""
    with bench() as b:
        b.apply()
        b.run(100)
        return {name for _, name, _, _ in FAMILIES} | names(scrape(b.metrics.registry))


@pytest.mark.parametrize("expression", QUERIES)
def test_a_query_asks_for_metrics_of_the_chosen_operator_only(known: set[str], expression: str) -> None:
    assert metrics_of(expression) <= known
    selectors = re.findall(r"\{([^}]*)\}", expression)
    assert all(each.startswith('job=~"$job"') for each in selectors)
    assert set(re.findall(r"\$(\w+)", expression)) <= {*VARIABLES, *GIVEN_BY_GRAFANA}
    shared = re.findall(r"(?:workqueue|leader_election|controller_runtime)_\w+\{([^}]*)\}", expression)
    assert all("fargateprofile" in each for each in shared), "each controller has a metric of this name"


def test_what_operators_look_for_is_there() -> None:
    asked = set().union(*map(metrics_of, QUERIES))
    assert asked >= {
        "fargate_objects",
        "fargate_longest_wait_seconds",
        "fargate_profile_time_to_ready_seconds",
        "fargate_profiles",
        "fargate_profiles_orphaned",
        "aws_api_requests_total",
        "aws_api_request_duration_seconds",
        "workqueue_depth",
        "leader_election_master_status",
    }
