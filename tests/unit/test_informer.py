"""What may be relied on between the watch and the work queue: the store of objects, and the informer that fills it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kube
from informer import Informer, Store
from kube import Key
from tests.fakes.apiserver import ApiServer, Expired, Obj
from tests.harness import Clock
from workqueue import WorkQueue

WEB, DB = ("default", "web"), ("default", "db")


def seen(name: str = "web", version: int = 1, **more: Any) -> Obj:
    """Return an object as a watch hands it over; `more` goes to its metadata, but for spec and status."""
    parts: Obj = {part: more.pop(part) for part in ("spec", "status") if part in more}
    meta: Obj = {"namespace": "default", "name": name, "uid": f"uid of {name}", "resourceVersion": str(version)}
    meta["finalizers"] = ["ours"]
    return {"metadata": meta | more, **parts}


def version(obj: Obj | None) -> str | None:
    return obj["metadata"]["resourceVersion"] if obj else None


# Store


def test_the_store_never_goes_back_to_an_older_version() -> None:
    store = Store()
    store.put(seen(version=10))
    assert not store.put(seen(version=9, spec={"old": True}))
    store.replace([seen(version=8)])
    assert version(store.get(WEB)) == "10"


def test_versions_are_compared_as_numbers() -> None:
    store = Store()
    store.put(seen(version=99))
    assert store.put(seen(version=100, spec={}))
    assert version(store.get(WEB)) == "100"


@given(st.lists(st.integers(1, 9), min_size=1))
def test_in_whatever_order_versions_arrive_the_newest_is_kept(versions: list[int]) -> None:
    store = Store()
    for number in versions:
        store.put(seen(version=number))
    assert version(store.get(WEB)) == str(max(versions))


def test_what_a_new_list_does_not_name_has_vanished_and_is_told() -> None:
    store = Store()
    store.put(seen("web"))
    store.put(seen("db"))
    assert store.replace([seen("db", 2), seen("new", 3)]) == {WEB, DB, ("default", "new")}
    assert store.get(WEB) is None
    assert version(store.get(DB)) == "2"


def test_an_object_of_the_same_name_in_another_namespace_is_another_object() -> None:
    store = Store()
    store.put(seen("web", 1))
    store.put(seen("web", 2, namespace="other"))
    store.remove(seen("web", 3, namespace="other"))
    assert version(store.get(WEB)) == "1"


def test_an_object_is_gone_once_it_is_deleting_and_free_of_finalizers() -> None:
    store = Store()
    store.put(seen(version=1))
    assert store.put(seen(version=2, deletionTimestamp="now", finalizers=[]))
    assert store.get(WEB) is None


def test_a_deleting_object_is_there_as_long_as_it_has_a_finalizer() -> None:
    store = Store()
    store.put(seen(version=2, deletionTimestamp="now", finalizers=["another's"]))
    assert version(store.get(WEB)) == "2"


def test_an_object_that_is_gone_does_not_come_back_by_an_older_word_of_the_watch() -> None:
    """The answer that takes the last finalizer carries the version before: kubernetes-client.md A9."""
    store = Store()
    store.put(seen(version=10, deletionTimestamp="now"))
    store.put(seen(version=11, deletionTimestamp="now", finalizers=[]))
    for late in (10, 11):
        assert not store.put(seen(version=late, deletionTimestamp="now"))
        assert store.get(WEB) is None


def test_an_object_of_the_same_name_may_be_made_again() -> None:
    store = Store()
    store.put(seen(version=11, deletionTimestamp="now", finalizers=[]))
    assert store.put(seen(version=12, uid="another"))
    assert version(store.get(WEB)) == "12"


def test_an_answer_that_comes_after_the_deletion_was_told_brings_nothing_back() -> None:
    store = Store()
    store.put(seen(version=10))
    store.remove(seen(version=12, deletionTimestamp="now"))
    assert not store.put(seen(version=11))
    assert store.get(WEB) is None


def test_the_late_answer_to_the_release_of_an_object_does_not_hide_the_one_made_again() -> None:
    """Nothing would be done for it until it is edited, or listed anew."""
    store = Store()
    store.put(seen(version=10))
    store.remove(seen(version=12, deletionTimestamp="now"))
    assert store.put(seen(version=13, uid="another"))
    assert not store.put(seen(version=10, deletionTimestamp="now", finalizers=[]))
    assert version(store.get(WEB)) == "13"


def test_what_was_deleted_may_be_made_again_even_in_a_restored_past() -> None:
    store = Store()
    store.put(seen(version=11, deletionTimestamp="now", finalizers=[]))
    store.remove(seen(version=12))
    assert store.put(seen(version=3, uid="another"))
    store.put(seen(version=11, deletionTimestamp="now", finalizers=[]))
    store.replace([seen(version=4)])
    assert version(store.get(WEB)) == "4"


def test_a_report_of_our_own_is_stored_and_wakes_nobody() -> None:
    store = Store()
    store.put(seen(version=1, spec={"a": 1}))
    assert not store.put(seen(version=2, spec={"a": 1}, status={"ready": True}))
    assert version(store.get(WEB)) == "2"


@pytest.mark.parametrize(
    "change",
    [{"spec": {"a": 2}}, {"labels": {"a": "b"}}, {"finalizers": []}, {"deletionTimestamp": "now"}, {"uid": "another"}],
    ids=lambda change: next(iter(change)),
)
def test_whatever_else_has_changed_is_told(change: Obj) -> None:
    store = Store()
    store.put(seen(version=1, spec={"a": 1}))
    after: Obj = {"spec": {"a": 1}} | change
    assert store.put(seen(version=2, **after))


# Informer


@dataclass
class Source:
    """The fake API server without a wire; a watch hands over what has happened so far and ends."""

    api: ApiServer
    lists: int = 0
    down: bool = False

    def list(self) -> tuple[list[Obj], str]:
        self.lists += 1
        if self.down:
            raise kube.KubeError("down")
        return self.api.objects("fargateprofiles"), self.api.resource_version

    def watch(self, version: str) -> Iterator[tuple[str, Obj]]:
        try:
            events = self.api.events_since("fargateprofiles", version)
        except Expired as error:
            raise kube.Gone(str(error)) from error
        for event in events:
            yield event["type"], event["object"]
        yield bookmark(int(self.api.resource_version))


@dataclass
class Worlds:
    """The fake API server, and an informer on it."""

    api: ApiServer = field(default_factory=ApiServer)
    store: Store = field(default_factory=Store)
    clock: Clock = field(default_factory=Clock)
    beats: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queue = WorkQueue(self.clock.monotonic)
        self.source = Source(self.api)
        self.informer = Informer(self.source, self.store, self.queue, self.beat)

    def beat(self) -> None:
        self.beats.append(self.clock.monotonic())

    def run(self) -> None:
        """Run until a watch has told all: 410 is answered by a new list."""
        try:
            self.informer.run_once()
        except kube.Gone:
            self.informer.run_once()

    def apply(self, name: str = "web", **spec: Any) -> None:
        meta = {"name": name, "namespace": "default", "finalizers": ["example.com/f"]}
        self.api.apply(
            {
                "apiVersion": "jicomusic.com/v1",
                "kind": "FargateProfile",
                "metadata": meta,
                "spec": spec or {"subnets": []},
            }
        )

    def queued(self) -> set[Key]:
        keys = set()
        for key in islice(iter(self.queue.get, None), 1000):
            keys.add(key)
            self.queue.done(key)
        assert self.queue.get() is None, "it hands out the same keys for ever"
        return keys


@pytest.fixture
def worlds() -> Worlds:
    return Worlds()


@dataclass
class Scripted:
    """A source whose sessions are written down; an exception in a session ends it."""

    sessions: list[list[tuple[str, Obj] | Exception]]
    listed: list[Obj] = field(default_factory=list)
    lists: int = 0
    resumed: list[str] = field(default_factory=list)

    def list(self) -> tuple[list[Obj], str]:
        self.lists += 1
        return copy.deepcopy(self.listed), "100"

    def watch(self, version: str) -> Iterator[tuple[str, Obj]]:
        self.resumed.append(version)
        for each in self.sessions.pop(0):
            if isinstance(each, Exception):
                raise each
            yield each


def scripted(*sessions: list[tuple[str, Obj] | Exception]) -> tuple[Scripted, Informer, WorkQueue]:
    source, queue = Scripted(list(sessions)), WorkQueue(Clock().monotonic)
    return source, Informer(source, Store(), queue, lambda: None), queue


def bookmark(version: int) -> tuple[str, Obj]:
    return "BOOKMARK", {"metadata": {"resourceVersion": str(version)}}


def test_what_exists_at_the_start_is_stored_and_queued(worlds: Worlds) -> None:
    worlds.apply("web")
    worlds.apply("db")
    worlds.run()
    assert worlds.queued() == {WEB, DB}
    assert worlds.store.get(WEB) == worlds.api.get("fargateprofiles", *WEB)


def test_the_list_is_read_once_and_changes_come_by_the_watch(worlds: Worlds) -> None:
    worlds.run()
    worlds.apply("web")
    worlds.run()
    assert worlds.queued() == {WEB}
    worlds.api.edit("fargateprofiles", *WEB, {"spec": {"profileName": "a"}})
    worlds.run()
    assert worlds.queued() == {WEB}
    stored = worlds.store.get(WEB)
    assert stored is not None
    assert stored["spec"]["profileName"] == "a"
    assert worlds.source.lists == 1


def test_a_deletion_is_stored_before_its_key_is_queued(worlds: Worlds) -> None:
    worlds.apply()
    worlds.run()
    worlds.queued()
    worlds.api.edit("fargateprofiles", *WEB, {"metadata": {"finalizers": []}})
    worlds.api.delete("fargateprofiles", *WEB)
    worlds.run()
    assert worlds.store.get(WEB) is None
    assert worlds.queued() == {WEB}


def test_our_own_report_coming_back_by_the_watch_does_not_wake_the_object(worlds: Worlds) -> None:
    worlds.apply()
    worlds.run()
    worlds.queued()
    worlds.api.edit("fargateprofiles", *WEB, {"status": {"profileStatus": "ACTIVE"}})
    worlds.run()
    assert worlds.queued() == set()
    stored = worlds.store.get(WEB)
    assert stored is not None
    assert stored["status"]["profileStatus"] == "ACTIVE"


def test_a_session_that_ends_cleanly_is_resumed_after_its_last_event() -> None:
    source, informer, _ = scripted([("ADDED", seen(version=105))], [("MODIFIED", seen(version=107))], [bookmark(108)])
    for _session in range(3):
        informer.run_once()
    assert source.resumed == ["100", "105", "107"]
    assert source.lists == 1


def test_bookmarks_advance_the_version_and_queue_nothing() -> None:
    source, informer, queue = scripted([bookmark(500)], [bookmark(501)])
    informer.run_once()
    informer.run_once()
    assert source.resumed == ["100", "500"]
    assert queue.next_due() is None


def test_a_session_that_breaks_is_resumed_after_its_last_event_without_a_new_list() -> None:
    source, informer, queue = scripted([("ADDED", seen(version=105)), kube.KubeError("reset")], [bookmark(106)])
    with pytest.raises(kube.KubeError, match="reset"):
        informer.run_once()
    informer.run_once()
    assert source.resumed == ["100", "105"]
    assert source.lists == 1
    assert queue.get() == WEB


def test_a_new_list_is_read_after_410_and_the_error_is_told_so_that_the_loop_rests() -> None:
    source, informer, _ = scripted([kube.Gone("too old")], [bookmark(101)])
    with pytest.raises(kube.Gone):
        informer.run_once()
    informer.run_once()
    assert source.lists == 2
    assert source.resumed == ["100", "100"]


def test_what_vanished_while_nobody_watched_is_queued_after_410() -> None:
    source, informer, queue = scripted([kube.Gone("too old")], [bookmark(101)])
    source.listed = [seen("web"), seen("db")]
    with pytest.raises(kube.Gone):
        informer.run_once()
    assert {queue.get(), queue.get()} == {WEB, DB}
    queue.done(WEB)
    queue.done(DB)
    source.listed = [seen("db")]
    informer.run_once()
    assert {queue.get(), queue.get(), queue.get()} == {WEB, DB, None}


def test_a_list_that_fails_is_read_again_and_not_skipped(worlds: Worlds) -> None:
    worlds.apply()
    worlds.source.down = True
    with pytest.raises(kube.KubeError):
        worlds.run()
    worlds.source.down = False
    worlds.run()
    assert worlds.queued() == {WEB}


def test_a_session_without_any_event_is_an_error_so_that_it_is_no_hot_loop() -> None:
    source, informer, _ = scripted([], [bookmark(101)])
    with pytest.raises(kube.KubeError, match="without an event"):
        informer.run_once()
    informer.run_once()
    assert source.lists == 1


def test_the_informer_beats_with_each_event_because_a_session_may_last_ten_minutes(worlds: Worlds) -> None:
    worlds.run()
    quiet = len(worlds.beats)
    for number in range(3):
        worlds.apply(profileName=f"web-{number}")
    worlds.run()
    assert len(worlds.beats) == quiet + 4  # three events and the bookmark


def test_the_informer_is_synced_once_it_has_listed_and_stays_so() -> None:
    _, informer, _ = scripted([], [])
    assert not informer.synced
    with pytest.raises(kube.KubeError, match="without an event"):
        informer.run_once()
    assert informer.synced


@settings(suppress_health_check=[HealthCheck.too_slow])  # a machine that is busy for a second is no fault
@given(data=st.data())
def test_whatever_happens_the_store_ends_as_the_server_has_it_and_every_key_that_moved_is_queued(
    data: st.DataObject,
) -> None:
    worlds = Worlds()
    known: dict[str, Obj] = {}
    for _ in range(data.draw(st.integers(1, 12))):
        name = data.draw(st.sampled_from(["web", "db"]))
        match data.draw(st.sampled_from(["apply", "delete", "release", "report", "look", "compact"])):
            case "apply":
                worlds.apply(name, profileName=f"web-{data.draw(st.integers(0, 2))}")
            case "delete" if worlds.api.get("fargateprofiles", "default", name):
                worlds.api.delete("fargateprofiles", "default", name)
            case "release" if worlds.api.get("fargateprofiles", "default", name):
                worlds.api.edit("fargateprofiles", "default", name, {"metadata": {"finalizers": []}})
            case "report" if worlds.api.get("fargateprofiles", "default", name):
                worlds.api.edit("fargateprofiles", "default", name, {"status": {"profileName": data.draw(st.text())}})
            case "compact":
                worlds.api.compact()
            case "look":
                worlds.run()
                now = {obj["metadata"]["name"]: obj for obj in worlds.api.objects("fargateprofiles")}
                for each in ("web", "db"):
                    assert worlds.store.get(("default", each)) == now.get(each)
                moved = {each for each in now.keys() | known.keys() if told(known.get(each)) != told(now.get(each))}
                assert {name for _, name in worlds.queued()} >= moved
                known = now


def told(obj: Obj | None) -> tuple[object, ...]:
    return (obj["metadata"]["uid"], obj["metadata"]["generation"], obj.get("spec")) if obj else ()
