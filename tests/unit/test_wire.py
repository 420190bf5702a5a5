"""What is sent as a change is that change, and no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import example, given

from tests.fakes.apiserver import merge
from tests.unit.test_kube import OBJECTS
from wire import difference, event_name, micro_time

Obj = dict[str, Any]


@given(old=OBJECTS, new=OBJECTS)
@example(old={"a": {"b": 1, "c": 2}}, new={"a": {"c": 2}})
@example(old={"a": {"b": 1}}, new={"a": {}})
@example(old={"a": 1}, new={"a": {"b": {}}})
@example(old={"a": {"b": 1}}, new={"a": [1]})
def test_the_difference_merged_into_the_old_is_the_new(old: Obj, new: Obj) -> None:
    assert merge(old, difference(old, new)) == new


@given(old=OBJECTS)
def test_there_is_no_difference_to_itself(old: Obj) -> None:
    assert difference(old, old) == {}


def test_a_time_has_six_decimals_in_utc_whatever_its_zone() -> None:
    noon = datetime(2026, 11, 26, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    assert micro_time(noon) == "2026-11-26T10:00:00.000000Z"


def test_the_names_of_events_are_in_the_order_of_their_times_and_no_name_is_cut_where_it_would_be_refused() -> None:
    first = datetime(2026, 11, 26, tzinfo=UTC)
    names = [event_name("web", first + timedelta(microseconds=step)) for step in (0, 1, 16, 10**6)]
    assert names == sorted(names)
    assert event_name(f"{'a' * 39}-b", first).startswith(f"{'a' * 39}.")
