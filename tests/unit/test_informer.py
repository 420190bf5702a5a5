"""What may be relied on between the watch and the work queue: the store of objects, and the informer that fills it."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kube
from controller import loop
from informer import Informer, Store, is_cut, kept
from kube import Key
from spec import Identity, Memory
from tests.fakes.apiserver import ApiServer, Expired, Obj
from tests.harness import Clock
from tests.unit.test_controller import Stop, backoff
from workqueue import EDIT_SECONDS, WorkQueue

WEB, DB = ("default", "web"), ("default", "db")


def seen(name: str = "web", version: int = 1, **more: Any) -> Obj:
    """Return an object as a watch hands it over; `more` goes to its metadata, but for spec and status."""
    parts: Obj = {part: more.pop(part) for part in ("spec", "status") if part in more}
    meta: Obj = {"namespace": "default", "name": name, "uid": f"uid of {name}", "resourceVersion": str(version)}
    meta["finalizers"] = ["ours"]
    return {"metadata": meta | more, **parts}


def version(obj: Obj | None) -> str | None:
    return obj["metadata"]["resourceVersion"] if obj else None


# What is kept


BIG = {"subnets": ["subnet-12345678"] * 1000, "podExecutionRoleArn": "x"}


def test_of_a_big_spec_only_what_names_and_binds_the_profile_is_kept_and_all_of_status_and_finalizers() -> None:
    names = {"clusterName": "other", "profileName": "shared", "deletionPolicy": "Retain", "suspend": True}
    status = {"health": ["x"] * 10_000}
    obj = kept(seen(spec=BIG | names, status=status, finalizers=["a/b"] * 5000, generation=7))
    assert is_cut(obj) and obj["spec"] == names
    assert obj["status"] == status and obj["metadata"] == seen(finalizers=["a/b"] * 5000, generation=7)["metadata"]
    assert not is_cut(kept(seen(spec={"subnets": BIG["subnets"][:500]})))


@pytest.mark.parametrize("spec", ["x" * 20_000, ["x"] * 20_000, BIG | {"deletionPolicy": "x" * 300}])
def test_a_big_spec_that_can_not_be_read_binds_its_profile_as_a_small_one_does(spec: object) -> None:
    meta: Obj = {"generation": 1, "creationTimestamp": "2026-11-22T08:00:00Z"}
    obj = kept(seen(spec=spec, **meta))
    assert is_cut(obj) and len(str(obj["spec"])) < 100
    assert Identity.parse(obj, Memory(), "demo") == Identity.parse(seen(spec=spec, **meta), Memory(), "demo")
    assert Identity.parse(obj, Memory(), "demo").retain


def test_what_is_the_same_in_many_objects_is_in_memory_once() -> None:
    one, other = (json.loads(json.dumps(seen(spec={"clusterName": "demo", "subnets": ["subnet-1"]}))) for _ in range(2))
    a, b = kept(one), kept(other)
    assert a == one
    assert a["spec"]["clusterName"] is b["spec"]["clusterName"]
    assert a["spec"]["subnets"][0] is b["spec"]["subnets"][0]
    assert all(name is same for name, same in zip(a["spec"], b["spec"], strict=True))
    assert kept(json.loads('{"spec": {}, "metadata": {"name": "%s"}}' % ("x" * 300)))["metadata"]["name"] == "x" * 300


def test_an_edit_of_a_big_spec_is_told_by_the_generation_and_a_report_of_ours_is_not_told() -> None:
    store = Store()
    store.put(seen(spec=BIG, generation=1))
    assert store.put(seen(version=2, spec=BIG, generation=1), store.sending(seen(), {})) == ""
    assert store.put(seen(version=3, spec=BIG | {"tags": {"a": "b"}}, generation=2)) == "object"
    assert relisted(store, seen(version=4, spec=BIG, generation=3), at=4) == {WEB}
    assert relisted(store, seen(version=5, spec={"subnets": []}, generation=4), at=5) == {WEB}
    assert not is_cut(store.get(WEB) or {})


# Store


def relisted(store: Store, *objects: Obj, at: int, namespace: str = "") -> set[Key]:
    """Ask for a list and take it; return the keys that it tells."""
    store.begin(namespace)
    return store.replace([*objects], str(at), namespace)


def test_the_store_never_goes_back_to_an_older_version_but_by_a_list() -> None:
    store = Store()
    store.put(seen(version=10))
    assert not store.put(seen(version=9, spec={"old": True}))
    assert version(store.get(WEB)) == "10"
    assert relisted(store, seen(version=8), at=8) == set()
    assert version(store.get(WEB)) == "8"


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
    assert relisted(store, seen("db", 2, spec={}), seen("new", 3), at=3) == {WEB, DB, ("default", "new")}
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


def test_the_late_answer_of_an_object_that_was_made_again_and_went_again_brings_nothing_back() -> None:
    """A ghost would be written to for ever, and be answered 404 each second."""
    store = Store()
    store.put(seen(version=10))
    store.remove(seen(version=12))
    store.put(seen(version=13, uid="another"))
    store.remove(seen(version=15, uid="another"))
    assert not store.put(seen(version=11), store.epoch)
    assert store.get(WEB) is None
    assert store.put(seen(version=16, uid="a third"))


def test_what_was_deleted_may_be_made_again_even_in_a_restored_past() -> None:
    store = Store()
    store.put(seen(version=11, deletionTimestamp="now", finalizers=[]))
    store.remove(seen(version=12))
    assert relisted(store, seen(version=3, uid="another"), at=3) == {WEB}
    store.put(seen(version=11, deletionTimestamp="now", finalizers=[]))
    relisted(store, seen(version=4), at=4)
    assert version(store.get(WEB)) == "4"


def conditions(*kinds: str, **more: Any) -> Obj:
    return {"conditions": [{"type": kind, **more} for kind in kinds]}


@pytest.mark.parametrize("watch_first", [True, False])
def test_a_report_of_our_own_is_stored_and_wakes_nobody(watch_first: bool) -> None:
    store = Store()
    store.put(seen(version=1, spec={"a": 1}))
    sent = store.sending(seen(), conditions("Ready"))
    told: list[int | None] = [None, sent, None] if watch_first else [sent, None]
    for by in told:
        assert store.put(seen(version=2, spec={"a": 1}, status=conditions("Ready")), by) == ""
    assert version(store.get(WEB)) == "2"


@pytest.mark.parametrize("status", [conditions("Ready", status="False"), {"profileArn": "a"}, {}, None])
def test_a_status_that_this_process_has_not_sent_is_told_apart_and_once(status: Obj | None) -> None:
    store = Store()
    store.put(seen(version=1, status=conditions("Ready")))
    store.put(seen(version=2, status=conditions("Ready", status="True")), store.sending(seen(), conditions("Ready")))
    assert store.put(seen(version=3, status=status)) == "status"
    assert store.put(seen(version=4, status=status)) == "", "it was told"


def test_conditions_of_other_writers_are_none_of_ours() -> None:
    store = Store()
    store.put(seen(version=1, status=conditions("Ready")))
    assert store.put(seen(version=2, status=conditions("Ready", "Theirs"))) == ""
    assert store.put(seen(version=3, status=conditions("Theirs", "Ready"))) == ""
    assert store.put(seen(version=4, status=conditions("Theirs"))) == "status"


def test_what_was_sent_for_an_object_that_is_gone_is_forgotten() -> None:
    store = Store()
    store.put(seen(version=1))
    store.sending(seen(), conditions("Ready"))
    store.remove(seen(version=2))
    store.put(seen(version=3, uid="another"))
    assert store.put(seen(version=4, uid="another", status=conditions("Ready"))) == "status"
    store.sending(seen(), conditions("Stalled"))
    relisted(store, at=9)
    relisted(store, seen(version=10), at=10)
    assert store.put(seen(version=11, status=conditions("Stalled"))) == "status"


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
    cut: bool = False  # the connection has broken since the last session
    told_all: bool = False

    def list(self) -> tuple[list[Obj], str]:
        self.lists += 1
        if self.down:
            raise kube.KubeError("down")
        return self.api.objects("fargateprofiles"), self.api.resource_version

    def watch(self, version: str) -> Iterator[tuple[str, Obj]]:
        if self.cut:
            self.cut = False
            raise kube.KubeError("reset")
        try:
            events = self.api.events_since("fargateprofiles", version)
        except Expired as error:
            raise kube.Gone(str(error)) from error
        for event in events:
            yield event["type"], event["object"]
        if int(version) <= int(self.api.resource_version):  # one from the future is met with silence
            yield bookmark(int(self.api.resource_version))
            self.told_all = True


@dataclass
class Worlds:
    """The fake API server, and an informer on it."""

    api: ApiServer = field(default_factory=ApiServer)
    store: Store = field(default_factory=Store)
    clock: Clock = field(default_factory=Clock)
    beats: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first_version = int(self.api.resource_version)
        self.queue = WorkQueue(self.clock.monotonic)
        self.source = Source(self.api)
        self.informer = Informer(self.source, self.store, self.queue, self.beat)

    def beat(self) -> None:
        self.beats.append(self.clock.monotonic())

    def run(self) -> None:
        """Run until a watch has told all: 410 and silence are answered by a new list."""
        self.source.told_all = False
        for _ in range(3):
            try:
                self.informer.run_once()
            except kube.KubeError:
                if self.source.down:
                    raise
            if self.source.told_all:
                return
        raise AssertionError("three sessions, and the watch has not told all")

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
        """Return what is to be looked at; of one object's edits a second look comes a second later."""
        self.clock.elapsed += EDIT_SECONDS
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
    at: int = 100  # the version of the list
    lists: int = 0
    resumed: list[str] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None  # after the list was asked for

    def list(self) -> tuple[list[Obj], str]:
        self.lists += 1
        self.meanwhile()
        return copy.deepcopy(self.listed), str(self.at)

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


def test_a_session_that_breaks_is_followed_by_a_new_list() -> None:
    """Whoever went away may be back in an older state, and soon be past our version again, with objects unseen."""
    source, informer, queue = scripted([("ADDED", seen(version=105)), kube.KubeError("reset")], [bookmark(108)])
    with pytest.raises(kube.KubeError, match="reset"):
        informer.run_once()
    source.listed, source.at = [seen(version=105), seen("new", version=104)], 107
    informer.run_once()
    assert source.resumed == ["100", "107"]
    assert {queue.get(), queue.get()} == {WEB, ("default", "new")}


def test_a_410_straight_after_a_list_is_told_so_that_the_loop_rests_before_the_next_list() -> None:
    source, informer, _ = scripted([kube.Gone("too old")], [kube.Gone("too old")], [bookmark(101)])
    for _session in range(2):
        with pytest.raises(kube.Gone):
            informer.run_once()
    informer.run_once()
    assert source.lists == 3
    assert source.resumed == ["100", "100", "100"]


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
    assert {queue.get(), queue.get()} == {WEB, None}


def test_a_list_that_fails_is_read_again_and_not_skipped(worlds: Worlds) -> None:
    worlds.apply()
    worlds.source.down = True
    with pytest.raises(kube.KubeError):
        worlds.run()
    worlds.source.down = False
    worlds.run()
    assert worlds.queued() == {WEB}


def test_a_session_without_any_event_is_an_error_so_that_it_is_no_hot_loop() -> None:
    _, informer, _ = scripted([], [bookmark(101)])
    with pytest.raises(kube.KubeError, match="without an event"):
        informer.run_once()
    informer.run_once()


def test_the_informer_beats_with_each_event_because_a_session_may_last_ten_minutes(worlds: Worlds) -> None:
    worlds.run()
    quiet = len(worlds.beats)
    for number in range(3):
        worlds.apply(profileName=f"web-{number}")
    worlds.run()
    assert len(worlds.beats) == quiet + 4  # three events and the bookmark


def test_of_the_first_list_alone_it_is_asked_what_is_looked_at_in_its_time() -> None:
    source, _, queue = scripted([bookmark(101), kube.KubeError("reset")], [bookmark(108)])
    source.listed, asked = [seen("web"), seen("db")], list[Key]()

    def found(key: Key) -> bool:
        asked.append(key)
        return key == WEB

    informer = Informer(source, Store(), queue, lambda: None, found=found)
    with pytest.raises(kube.KubeError, match="reset"):
        informer.run_once()
    assert (sorted(asked), queue.get(), queue.get()) == ([DB, WEB], DB, None)
    source.listed, source.at = [seen("web", version=105, spec={}), seen("db")], 107
    informer.run_once()
    assert (sorted(asked), queue.get(), queue.get()) == ([DB, WEB], WEB, None), "what moved later is an edit"


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
        match data.draw(st.sampled_from(["apply", "delete", "release", "report", "look", "compact", "set back"])):
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
            case "set back":
                first, last = worlds.first_version, int(worlds.api.resource_version)
                worlds.api.set_back(str(data.draw(st.integers(first, last))))
                worlds.source.cut = True  # else one that has come to the very same version again passes for the old one
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


# A server that goes back, and lists


def test_the_answer_to_a_write_that_was_sent_before_the_list_was_asked_for_never_enters() -> None:
    """It may be of a past that is lost: etcd was restored in between, and the list has the lower version."""
    store = Store()
    relisted(store, seen(version=8), at=8)
    sent = store.epoch
    store.begin()
    assert not store.put(seen(version=12, spec={"lost": True}), sent)
    assert version(store.get(WEB)) == "8"
    store.replace([seen(version=8)], "9")
    assert not store.put(seen(version=12, spec={"lost": True}), sent)
    assert not store.put(seen("db", version=12), sent)
    assert {version(store.get(key)) for key in (WEB, DB)} == {"8", None}


def test_the_answer_to_a_write_that_was_sent_after_the_list_was_asked_for_stays_over_it() -> None:
    store = Store()
    relisted(store, seen("web", 8), seen("db", 8), at=8)
    store.begin()
    for name in ("web", "db"):
        store.put(seen(name, 12, status={"ready": True}), store.epoch)
    assert store.replace([seen("web", 8)], "11") == set(), "nothing that is not known already"
    assert {version(store.get(key)) for key in (WEB, DB)} == {"12"}


def test_the_answer_to_a_write_that_the_list_has_seen_is_no_newer_than_the_list() -> None:
    """Else an edit between the two, which no watch tells again, would be missed for good."""
    store = Store()
    relisted(store, seen("web", 8), seen("db", 8), at=8)
    store.begin()
    for name in ("web", "db"):
        store.put(seen(name, 10, status={"ready": True}), store.epoch)
    assert store.replace([seen("web", 11, spec={"edited": True})], "12") == {WEB, DB}
    assert (version(store.get(WEB)), store.get(DB)) == ("11", None)


def test_an_answer_that_comes_after_a_list_that_does_not_name_the_object_brings_nothing_back() -> None:
    store = Store()
    relisted(store, seen(version=8), at=8)
    store.begin()
    sent = store.epoch
    store.replace([], "12")
    assert not store.put(seen(version=10), sent)
    assert store.get(WEB) is None
    assert store.put(seen(version=13, uid="another"))


def test_an_object_that_was_released_after_the_list_was_asked_for_is_not_brought_back_by_it() -> None:
    """The answer that takes the last finalizer carries the version before: kubernetes-client.md A9."""
    store = Store()
    relisted(store, seen(version=8, deletionTimestamp="now"), at=8)
    store.begin()
    store.put(seen(version=8, deletionTimestamp="now", finalizers=[]), store.epoch)
    store.replace([seen(version=8, deletionTimestamp="now")], "9")
    assert store.get(WEB) is None


def test_what_was_let_go_before_the_list_was_asked_for_comes_back_by_a_list_of_an_older_state() -> None:
    store = Store()
    relisted(store, seen(version=8), at=8)
    store.remove(seen(version=12))
    assert relisted(store, seen(version=8), at=9) == {WEB}
    assert version(store.get(WEB)) == "8"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, False),
        ({"version": 3}, False),
        ({"version": 7}, False),
        ({"spec": {"a": 2}}, True),
        ({"labels": {"a": "b"}}, True),
        ({"deletionTimestamp": "now"}, True),
        ({"uid": "another"}, True),
        ({"status": {"lost": True}}, True),
    ],
    ids=str,
)
def test_a_list_tells_only_of_objects_that_differ_so_that_no_wait_is_undone(change: Obj, told: bool) -> None:
    store = Store()
    before: Obj = {"version": 5, "spec": {"a": 1}, "status": {"ours": True}}
    assert relisted(store, seen(**before), seen("db", 5), at=5) == {WEB, DB}
    assert relisted(store, seen(**before | change), seen("db", 5), at=8) == ({WEB} if told else set())


def test_a_list_is_looked_at_from_the_eldest_on_and_by_name_where_two_are_as_old() -> None:
    source, informer, queue = scripted([bookmark(101)])
    made = {"z3": "2026-11-22T08:00:00Z", "b": "2026-11-22T09:00:00Z", "a": "2026-11-22T09:00:00Z", "new": "2026-11-23"}
    source.listed = [seen(name, creationTimestamp=made[name]) for name in ("a", "new", "z3", "b")]
    informer.run_once()
    assert [name for _, name in islice(iter(queue.get, None), 9)] == ["z3", "a", "b", "new"]


def test_a_thousand_reports_of_our_own_make_no_pass_though_the_watch_is_faster_than_each_answer(worlds: Worlds) -> None:
    worlds.apply()
    worlds.run()
    worlds.queued()
    for number in range(1000):
        obj = worlds.store.get(WEB)
        assert obj
        status = conditions("Ready", message=str(number)) | {"observedGeneration": 1}
        sent = worlds.store.sending(obj, status)
        answer = worlds.api.edit("fargateprofiles", *WEB, {"status": status})
        worlds.run()
        worlds.store.put(answer, sent)
    assert worlds.queue.next_due() is None


def test_a_false_status_is_looked_at_after_half_a_minute_and_never_at_once(worlds: Worlds) -> None:
    worlds.apply()
    worlds.run()
    worlds.queued()
    worlds.api.edit("fargateprofiles", *WEB, {"status": conditions("Ready")})
    worlds.run()
    assert worlds.queue.next_due() == worlds.clock.monotonic() + 30


def test_a_wait_goes_on_over_a_new_list(worlds: Worlds) -> None:
    worlds.apply()
    worlds.run()
    worlds.queued()
    worlds.queue.add(WEB, 300)
    due = worlds.queue.next_due()
    worlds.api.restart()
    worlds.run()
    assert worlds.source.lists == 2
    assert worlds.queue.next_due() == due


def test_a_watch_that_tells_nothing_is_followed_by_a_new_list() -> None:
    """A server that was set back takes our version for one of its future, and would be silent until it comes to it."""
    silence = kube.KubeError("the watch broke off: Read timed out.")
    source, informer, queue = scripted([bookmark(150)], [silence], [bookmark(121)])
    informer.run_once()
    with pytest.raises(kube.KubeError, match="Read timed out"):
        informer.run_once()
    source.listed, source.at = [seen("new", 110)], 120
    informer.run_once()
    assert source.resumed == ["100", "150", "120"]
    assert queue.get() == ("default", "new")


def test_a_410_after_the_watch_has_moved_is_no_failure_and_the_list_comes_at_once() -> None:
    source, informer, _ = scripted([bookmark(150)], [kube.Gone("too old")], [bookmark(151)])
    stop = Stop(1)
    loop(lambda: informer.run_once() if source.sessions else stop.set(), backoff(), stop, lambda: None)
    assert stop.waited == []
    assert source.lists == 2


def test_a_server_that_was_set_back_is_told_in_one_line_and_counted(
    worlds: Worlds, caplog: pytest.LogCaptureFixture
) -> None:
    counted: list[str] = []
    worlds.informer = Informer(
        worlds.source, worlds.store, worlds.queue, worlds.beat, set_back=lambda: counted.append("set back")
    )
    worlds.apply("web")
    snapshot = worlds.api.resource_version
    for number in range(20):
        worlds.apply("db", profileName=f"db-{number}")
    worlds.run()
    worlds.api.set_back(snapshot)
    worlds.apply("new")
    with caplog.at_level(logging.WARNING):
        worlds.run()
        worlds.run()
    assert worlds.queued() >= {DB, ("default", "new")}
    assert worlds.store.get(DB) is None
    (line,) = [each for each in caplog.messages if "set back" in each]
    assert "restored from a snapshot" in line and "orphans" in line
    assert counted == ["set back"]


def test_a_server_that_was_set_back_is_known_by_its_objects_once_its_version_has_passed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source, informer, _ = scripted([("ADDED", seen(version=150))], [], [bookmark(501)])
    informer.run_once()
    with pytest.raises(kube.KubeError):
        informer.run_once()
    source.listed, source.at = [seen(version=90)], 500
    informer.run_once()
    assert any("set back" in each for each in caplog.messages)


def test_a_server_that_goes_on_is_never_taken_for_one_that_was_set_back(
    worlds: Worlds, caplog: pytest.LogCaptureFixture
) -> None:
    worlds.apply()
    for _ in range(3):
        worlds.run()
        worlds.apply(profileName="other")
        worlds.api.restart()
        worlds.store.put(worlds.api.edit("fargateprofiles", *WEB, {"status": {"profileName": "a"}}), worlds.store.epoch)
    assert not any("set back" in each for each in caplog.messages)


def test_an_answer_newer_than_the_list_is_no_sign_of_a_server_that_was_set_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Store()
    source = Scripted([[bookmark(101)]], listed=[seen(version=90)])
    source.meanwhile = lambda: store.put(seen(version=130), store.epoch)
    Informer(source, store, WorkQueue(Clock().monotonic), lambda: None).run_once()
    assert version(store.get(WEB)) == "130"
    assert [record.message for record in caplog.records if record.levelname != "INFO"] == []
