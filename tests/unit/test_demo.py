"""The demo's pure pieces; the demo as a whole is run by .ci/run."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import yaml

from tests import demo
from tests.sandbox import ROOT

NOW = datetime(2026, 11, 22, 8, 0, 30, tzinfo=UTC)
WEB = {
    "metadata": {"namespace": "shop", "name": "web", "creationTimestamp": "2026-11-22T08:00:18Z"},
    "status": {
        "clusterName": "demo",
        "profileName": "web",
        "profileStatus": "CREATING",
        "conditions": [{"type": "Ready", "status": "False", "reason": "Creating"}],
    },
}
ROW = ("shop", "web", "demo", "web", "CREATING", "False", "Creating", "12s")
ORIGINAL = """
apiVersion: jicomusic.com/v1
kind: FargateProfile
metadata:
  name: new-profile-7
spec:
  subnets: [subnet-075aa287882d71709, subnet-0b36ca4d53f742857]
  podExecutionRoleArn: arn:aws:iam::123456789012:role/eksctl-cluster-workshop-cl-FargatePodExecutionRole-ZBZNZ6OBYOHE
  selectors:
  - namespace: default
    labels:
      foo: bar
      red: black
      green: blue
      orange: red
      purple: yellow
      green: white
  - namespace: system
    labels:
      foo: bar
  - namespace: hello
    labels:
      foo: bar
  - namespace: world
    labels:
      foo: bar
  tags:
    red: black
    green: blue
"""


def test_a_row_is_what_kubectl_prints_of_an_object_from_its_first_second_on() -> None:
    assert demo.cells(WEB, NOW) == ROW
    new = {"metadata": WEB["metadata"], "status": {"observedGeneration": -1}}
    assert demo.cells(new, NOW) == ("shop", "web", "", "", "", "", "", "12s")


def test_the_columns_are_the_printer_columns_of_the_crd_but_for_what_a_demo_has_no_time_for() -> None:
    crd = yaml.safe_load((ROOT / "crd.yaml").read_text())
    columns = crd["spec"]["versions"][0]["additionalPrinterColumns"]
    usual = [column["name"].upper() for column in columns if not column.get("priority")]
    usual.remove("DELETED")  # for a controller that is down
    usual.remove("PODS")  # counted a minute after ACTIVE
    assert ["NAMESPACE", "NAME", *usual] == list(demo.HEADER)


def test_a_table_is_aligned_and_fits_a_terminal_of_eighty_columns() -> None:
    for width in (79, 120):
        header, row = demo.table([ROW], width)
        assert max(map(len, (header, row))) <= width
        assert row.endswith("12s")
        assert header.index("STATUS") == row.index("CREATING")


def test_long_messages_are_wrapped_between_words_only() -> None:
    arn = "arn:aws:iam::123456789012:role/" + "x" * 50
    lines = demo.wrapped(f"the role {arn} can't be assumed by Fargate", 40, "> ", "  ")
    assert lines == ["> the role", f"  {arn}", "  can't be assumed by Fargate"]


def test_without_a_terminal_each_change_is_one_line_and_nothing_is_redrawn() -> None:
    out = io.StringIO()
    screen = demo.screen_for(out, {})
    screen.show([ROW])
    screen.show([(*ROW[:-1], "13s")])
    screen.show([])
    assert [line.split() for line in out.getvalue().splitlines()] == [
        list(demo.HEADER),
        list(ROW),
        ["shop/web", "is", "gone"],
    ]
    assert "\033" not in out.getvalue()


def test_on_a_terminal_the_table_is_redrawn_below_the_lines_that_stay() -> None:
    out = io.StringIO()
    screen = demo.LiveScreen(out, colours=False)
    screen.show([ROW])
    shown = out.getvalue()
    screen.show([ROW])
    assert out.getvalue() == shown
    screen.say(["an event"])
    assert out.getvalue() == f"{shown}\033[3F\033[Jan event\n{shown}"


def test_the_sample_is_the_originals_object_as_a_reader_that_keeps_the_last_of_two_keys_sees_it() -> None:
    assert demo.sample() == yaml.safe_load(ORIGINAL)
