"""What the controller may rely on from its Kubernetes edge: the real client, over HTTP, against the fake API server."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
import socketserver
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_mock import MockerFixture

import kube
from kube import (
    OUR_ANNOTATIONS,
    Conflict,
    Gone,
    Kube,
    KubeError,
    Named,
    NotFound,
    NotServed,
    WriteRefused,
    connect,
    eks_cluster,
)
from spec import REQUESTED_AT
from tests.fakes.apiserver import ApiServer, Obj, Server, kubeconfig, serve
from tests.waiting import SOON, wait_for

NOW = datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@pytest.fixture(autouse=True)
def _nobody_else_s_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def api() -> ApiServer:
    api = ApiServer(bookmark_seconds=0.05)
    api.crd_defaults = False  # a status may be anything here
    return api


@pytest.fixture
def server(api: ApiServer) -> Iterator[Server]:
    with serve(api) as running:
        yield running


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Kube]:
    """Return how to make an edge that talks to a URL."""

    def made(url: str, silence_seconds: float = 3, rand: Callable[[], float] = lambda: 0.5) -> Kube:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(url, tmp_path / "kubeconfig")))
        return Kube(connect(4), "pod-1", silence_seconds, rand)

    return made


def test_our_token_is_known_once_the_api_server_has_taken_it_and_not_where_a_certificate_may_stand_for_us(
    api: ApiServer, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(server.url, tmp_path / "kubeconfig", token="a.b.c")))
    client = connect(1)
    edge = Kube(client, "pod-1")
    assert edge.token == "", "nobody has taken it yet"
    api.fail("GET", "/namespaces/", 401)
    with pytest.raises(KubeError):
        edge.namespace_uid("default")
    assert edge.token == "", "it was refused"
    edge.namespace_uid("default")
    assert edge.token == "a.b.c"
    client.configuration.cert_file = "client.crt"
    assert edge.token == ""


@pytest.fixture
def edge(server: Server, reach: Callable[..., Kube]) -> Kube:
    return reach(server.url)


def apply(api: ApiServer, name: str = "web", **metadata: Any) -> Obj:
    meta = {"name": name, "namespace": "default", **metadata}
    return api.apply({"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": meta, "spec": {"a": 1}})


def stored(api: ApiServer, name: str = "web") -> Obj:
    obj = api.get("fargateprofiles", "default", name)
    assert obj is not None
    return obj


# A server that says what a test has written down, byte by byte


@dataclass
class Raw:
    """Answers every request by these bytes, then closes; with `certificate` over TLS."""

    answer: bytes
    certificate: Path | None = None
    heads: list[str] = field(default_factory=list)

    def __enter__(self) -> Raw:
        raw = self

        class Connection(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                head, length = "", 0
                while (line := self.rfile.readline()).strip():
                    head += line.decode()
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                self.rfile.read(length)
                raw.heads.append(head)
                self.wfile.write(raw.answer)

        class Listener(socketserver.ThreadingTCPServer):
            daemon_threads, allow_reuse_address, block_on_close = True, True, False

            def handle_error(self, *_: object) -> None:
                """Say nothing of a client that went away."""

        self.listener = Listener(("127.0.0.1", 0), Connection)
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self.listener.socket = context.wrap_socket(self.listener.socket, server_side=True)
        threading.Thread(target=self.listener.serve_forever, args=(0.005,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown()
        self.listener.server_close()

    @property
    def port(self) -> int:
        return int(self.listener.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def plain(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status.encode(), len(body), body)


def chunked(*chunks: bytes, whole: bool = True) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    sent = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + sent + (b"0\r\n\r\n" if whole else b"")


def line(version: int, kind: str = "MODIFIED", **more: Any) -> bytes:
    obj = {"metadata": {"namespace": "default", "name": "web", "resourceVersion": str(version)}, **more}
    return json.dumps({"type": kind, "object": obj}, ensure_ascii=False).encode() + b"\n"


# list


def test_a_list_is_every_object_and_the_version_to_watch_from(api: ApiServer, edge: Kube) -> None:
    objects = [apply(api, name) for name in ("a", "b")]
    assert edge.list() == (objects, api.resource_version)


def test_a_list_of_nothing_is_empty_and_has_a_version(api: ApiServer, edge: Kube) -> None:
    assert edge.list() == ([], api.resource_version)


def test_a_long_list_is_read_page_by_page_to_its_end(
    api: ApiServer, edge: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "PAGE_SIZE", 2)
    names = [f"p{number}" for number in range(5)]
    for name in names:
        apply(api, name)
    objects, version = edge.list()
    assert [obj["metadata"]["name"] for obj in objects] == names
    assert version == api.resource_version
    assert [request.query["limit"] for request in api.log] == ["2", "2", "2"]


def test_what_is_beside_our_objects_is_read_by_name_or_as_a_list_with_a_bound(
    api: ApiServer, edge: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        meta = {"name": f"p{number}", "namespace": "default", "labels": {"odd": str(number % 2)}}
        api.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta})
    assert edge.core("pods", "default", "p3")[0]["metadata"]["name"] == "p3"
    with pytest.raises(NotFound):
        edge.core("pods", "default", "p9")
    assert len(edge.core("pods")) == len(edge.core("pods", "default")) == 5
    assert len(edge.core("pods", query={"labelSelector": "odd=1"})) == 2
    monkeypatch.setattr(kube, "PAGE_SIZE", 1)
    assert len(edge.core("pods", most=2)) == 2


def test_the_namespace_that_kubectl_takes_is_that_of_the_kubeconfig_s_context(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig("http://localhost", tmp_path / "config", "team")))
    assert kube.default_namespace() == "team"
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert kube.default_namespace() == ""


def test_each_page_of_a_list_has_only_the_objects_that_were_asked_for(
    api: ApiServer, edge: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "PAGE_SIZE", 1)
    for number in range(6):
        apply(api, f"p{number}", labels={"team": "ab"[number % 2]})
    objects, _ = Kube(edge._api, "pod-1", selector="team=a").list()
    assert [obj["metadata"]["name"] for obj in objects] == ["p0", "p2", "p4"]
    assert {request.query["labelSelector"] for request in api.log} == {"team=a"}


def test_a_list_is_never_read_from_a_cache_that_may_be_behind(
    api: ApiServer, edge: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "PAGE_SIZE", 1)
    apply(api, "a")
    apply(api, "b")
    edge.list()
    assert len(api.log) == 2
    assert not any({"resourceVersion", "resourceVersionMatch"} & request.query.keys() for request in api.log)


def test_a_page_that_came_too_late_is_gone(api: ApiServer, edge: Kube) -> None:
    api.fail("GET", "fargateprofiles", 410)
    with pytest.raises(Gone):
        edge.list()


def test_of_metadata_nothing_is_kept_that_nobody_reads_and_nothing_is_lost_that_a_write_starts_from(
    api: ApiServer, edge: Kube
) -> None:
    foreign = {"kubectl.kubernetes.io/last-applied-configuration": "x" * 1000, "team": "blue"}
    ours = {REQUESTED_AT: "now"}
    owners = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "b"}]
    more = {"managedFields": [{"manager": "kubectl"}], "labels": {"a": "b"}, "ownerReferences": owners}
    apply(api, "web", annotations=foreign | ours, finalizers=["a/c"], **more)
    status = {"conditions": [{"type": "Ready", "message": "m" * 3000}], "health": [{"message": "m" * 3000}] * 50}
    api.edit("fargateprofiles", "default", "web", {"status": status})
    before = api.resource_version
    [listed], _ = edge.list()
    changed = edge.patch_finalizers(listed, ["a/c", "a/b"])
    watch = edge.watch(before)
    _, watched = next(watch)
    watch.close()  # type: ignore[attr-defined]
    for obj in (listed, changed, watched, edge.get("default", "web")):
        assert obj and obj["metadata"].keys() & {*more, "annotations", "finalizers"} == {"annotations", "finalizers"}
        assert obj["metadata"]["annotations"] == ours
        assert obj["status"] == status, "a patch of it is the difference to what is stored"
    assert stored(api)["metadata"].items() >= more.items()
    assert stored(api)["metadata"]["annotations"] == foreign | ours
    assert stored(api)["metadata"]["finalizers"] == ["a/c", "a/b"]


def test_annotations_of_ours_can_be_told_apart_however_long_and_many_they_are_and_take_no_room(
    api: ApiServer, edge: Kube
) -> None:
    apply(api, "one", annotations={REQUESTED_AT: "x" * 200_000 + "1"})
    apply(api, "two", annotations={REQUESTED_AT: "x" * 200_000 + "2"})
    apply(api, "many", annotations={f"{OUR_ANNOTATIONS}{number}": "x" for number in range(5000)})
    many, one, two = (obj["metadata"]["annotations"] for obj in edge.list()[0])
    assert one != two
    assert len(str(one)) < 500 and len(many) < 20


def test_a_list_of_big_objects_is_read_in_small_pages_and_one_of_small_objects_in_few(
    api: ApiServer, edge: Kube
) -> None:
    for number in range(200):
        apply(api, f"p{number:03}")
    edge.list()
    assert [request.query["limit"] for request in api.log] == ["20", "40", "80", "160"]
    for number in range(40):
        apply(api, f"p{number:03}", annotations={"a": "x" * 600_000})
    api.clear_log()
    objects, _ = edge.list()
    limits = [int(request.query["limit"]) for request in api.log]
    assert len({obj["metadata"]["name"] for obj in objects}) == len(objects) == 200
    assert limits[:4] == [20, 5, 3, 3]  # 4 MiB hold 6 of the big ones, and are not to be reached
    assert limits[-1] > 20, "once the big ones have been read the pages grow again"


def test_of_a_page_that_is_too_big_no_more_is_read_and_it_comes_in_smaller_ones_with_no_object_left_out(
    api: ApiServer, edge: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "MOST_BYTES", 100_000)
    monkeypatch.setattr(kube, "PAGE_BYTES", 50_000)
    for number in range(40):
        apply(api, f"p{number:03}", annotations={"a": "x" * (200_000 if number == 30 else 8_000)})
    lengths: list[int] = []
    parsed = kube._parsed

    def measured(method: str, path: str, text: bytes, *hook: Any) -> Any:
        lengths.append(len(text))
        return parsed(method, path, text, *hook)

    monkeypatch.setattr(kube, "_parsed", measured)
    assert [obj["metadata"]["name"] for obj in edge.list()[0]] == [f"p{number:03}" for number in range(40)]
    assert sorted(lengths)[-2] <= 100_000
    assert [request.query["limit"] for request in api.log][:2] == ["20", "5"]
    assert "1" in [request.query["limit"] for request in api.log], "an object that is larger alone is read alone"


# watch


def test_a_watch_tells_what_has_happened_since_and_what_happens_then(api: ApiServer, edge: Kube) -> None:
    _, version = edge.list()
    apply(api)
    watch = events(edge.watch(version))
    assert next(watch) == ("ADDED", stored(api))
    apply(api, finalizers=["a/b"])
    assert next(watch) == ("MODIFIED", stored(api))
    api.edit("fargateprofiles", "default", "web", {"metadata": {"finalizers": None}})
    next(watch)
    api.delete("fargateprofiles", "default", "web")
    kind, obj = next(watch)
    assert (kind, obj["metadata"]["resourceVersion"]) == ("DELETED", api.resource_version)


def events(watch: Iterator[tuple[str, Obj]]) -> Iterator[tuple[str, Obj]]:
    return (event for event in watch if event[0] != "BOOKMARK")


def write_elsewhere(api: ApiServer) -> None:
    """Write what no watch of ours shows: a bookmark comes only if its version is news."""
    name = f"elsewhere-{api.resource_version}"
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def test_a_watch_hands_bookmarks_over_too(api: ApiServer, edge: Kube) -> None:
    _, version = edge.list()
    write_elsewhere(api)
    kind, obj = next(edge.watch(version))
    assert kind == "BOOKMARK"
    assert obj["metadata"]["resourceVersion"] == api.resource_version


@pytest.mark.parametrize(("rand", "seconds"), [(0.0, "300"), (0.5, "450"), (0.999, "599")])
def test_a_watch_asks_for_bookmarks_and_an_end_that_is_spread_over_five_to_ten_minutes(
    api: ApiServer, server: Server, reach: Callable[..., Kube], rand: float, seconds: str
) -> None:
    next(reach(server.url, rand=lambda: rand).watch("100"))
    assert api.log[-1].query == {
        "watch": "true", "resourceVersion": "100", "allowWatchBookmarks": "true", "timeoutSeconds": seconds
    }  # fmt: skip


def test_a_watch_that_the_server_ends_just_ends(api: ApiServer, edge: Kube) -> None:
    watch = edge.watch(edge.list()[1])
    write_elsewhere(api)
    next(watch)
    api.kill_watches("clean")
    assert list(events(watch)) == []


def test_a_version_that_is_too_old_to_resume_from_is_gone(api: ApiServer, edge: Kube) -> None:
    _, version = edge.list()
    apply(api)
    api.compact()
    with pytest.raises(Gone, match="too old resource version"):
        list(edge.watch(version))


@pytest.mark.parametrize(("status", "kind"), [(410, Gone), (403, KubeError), (500, KubeError)])
def test_a_watch_that_is_refused_says_why(api: ApiServer, edge: Kube, status: int, kind: type[KubeError]) -> None:
    api.fail("WATCH", "fargateprofiles", status)
    with pytest.raises(KubeError) as refused:
        next(edge.watch("100"))
    assert (type(refused.value), refused.value.status) == (kind, status)


def test_a_watch_whose_connection_breaks_is_an_error(api: ApiServer, edge: Kube) -> None:
    watch = edge.watch(edge.list()[1])
    write_elsewhere(api)
    next(watch)
    api.kill_watches("reset")
    with pytest.raises(KubeError):
        list(watch)


def test_a_server_that_is_silent_for_longer_than_bookmarks_allow_is_noticed(
    api: ApiServer, server: Server, reach: Callable[..., Kube]
) -> None:
    edge = reach(server.url, silence_seconds=0.3)
    watch, started = edge.watch(edge.list()[1]), time.monotonic()
    write_elsewhere(api)
    next(watch)
    api.kill_watches("silent")
    rescue = threading.Timer(2, api.kill_watches, ("clean",))
    rescue.start()
    with pytest.raises(KubeError, match="timed out"):
        list(watch)
    rescue.cancel()
    assert 0.3 <= time.monotonic() - started < 2


def test_bookmarks_keep_a_quiet_watch_open_for_longer_than_the_silence_that_would_end_it(
    api: ApiServer, server: Server, reach: Callable[..., Kube]
) -> None:
    edge = reach(server.url, silence_seconds=0.4)
    watch, started = edge.watch(api.resource_version), time.monotonic()
    while time.monotonic() - started < 0.48:
        write_elsewhere(api)
        assert next(watch)[0] == "BOOKMARK"


def test_the_silence_that_ends_a_watch_is_longer_than_the_minute_between_bookmarks() -> None:
    assert 121 < kube.SILENCE_SECONDS < 180


def test_half_a_line_before_the_end_is_dropped_and_the_lines_before_it_are_not(reach: Callable[..., Kube]) -> None:
    with Raw(chunked(line(1), line(2)[:20])) as raw:
        assert [obj["metadata"]["resourceVersion"] for _, obj in reach(raw.url).watch("0")] == ["1"]


def test_an_event_before_a_cut_connection_is_handed_over_and_the_cut_is_an_error(reach: Callable[..., Kube]) -> None:
    with Raw(chunked(line(1), line(2)[:20], whole=False)) as raw:
        watch = reach(raw.url).watch("0")
        assert next(watch)[1]["metadata"]["resourceVersion"] == "1"
        with pytest.raises(KubeError):
            next(watch)


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_lines_may_be_cut_into_chunks_anywhere(reach: Callable[..., Kube], size: int) -> None:
    sent = b"\n".join(line(number, spec={"note": "größer 🚀\u2028x"}) for number in range(4))  # empty lines too
    with Raw(chunked(*(sent[at : at + size] for at in range(0, len(sent), size)))) as raw:
        got = list(reach(raw.url).watch("0"))
    assert [obj["metadata"]["resourceVersion"] for _, obj in got] == ["0", "1", "2", "3"]
    assert got[0][1]["spec"]["note"] == "größer 🚀\u2028x"


GARBAGE = [
    b"<html>\n", b"[]\n", b"{}\n", b'"x"\n', b"null\n", b"\xff\xfe\n", b'{"type": "ADDED"}\n',
    b'{"type": "ADDED", "object": {}}\n', b'{"type": "ADDED", "object": []}\n',
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_line_that_is_no_event_is_an_error_and_not_a_crash(reach: Callable[..., Kube], garbage: bytes) -> None:
    with Raw(chunked(garbage)) as raw, pytest.raises(KubeError):
        list(reach(raw.url).watch("0"))


def test_an_error_event_without_a_code_is_an_error(reach: Callable[..., Kube]) -> None:
    with Raw(chunked(b'{"type": "ERROR", "object": {"message": "etcd is tired"}}\n')) as raw:
        with pytest.raises(KubeError, match="etcd is tired") as refused:
            list(reach(raw.url).watch("0"))
        assert type(refused.value) is KubeError


def test_stop_from_another_thread_ends_a_quiet_watch_promptly(reach: Callable[..., Kube]) -> None:
    api = ApiServer(bookmark_seconds=60)
    with serve(api) as server:
        edge = reach(server.url, silence_seconds=2 * SOON)

        def follow() -> None:
            with contextlib.suppress(KubeError):
                list(edge.watch(api.resource_version))

        reader = threading.Thread(target=follow, daemon=True)
        reader.start()
        wait_for(lambda: api.watching() == 1 and edge._stream is not None, SOON, "the watch is open")
        time.sleep(0.05)  # let it wait for the next event
        stopper = threading.Thread(target=edge.stop, daemon=True)
        stopper.start()
        stopper.join(SOON / 2)
        reader.join(SOON / 2)
        assert not stopper.is_alive()
        assert not reader.is_alive()
        wait_for(lambda: api.watching() == 0, SOON, "the server notices the end of the watch")


def test_after_stop_no_watch_starts_any_more(api: ApiServer, edge: Kube) -> None:
    edge.stop()
    started = time.monotonic()
    assert next(edge.watch(api.resource_version), None) is None
    assert time.monotonic() - started < 0.2
    wait_for(lambda: api.watching() == 0, SOON, "the server notices the end of the watch")


def test_stop_is_harmless_without_a_watch_after_one_and_twice(api: ApiServer, edge: Kube) -> None:
    watch = edge.watch(api.resource_version)
    write_elsewhere(api)
    next(watch)
    api.kill_watches("clean")
    list(watch)
    edge.stop()
    edge.stop()


def test_stop_does_not_hold_up_the_reports_of_the_passes_in_hand(api: ApiServer, edge: Kube) -> None:
    obj = apply(api)
    edge.stop()
    edge.patch_status(obj, {"a": 1})
    assert stored(api)["status"] == {"a": 1}


# Patches


def test_finalizers_are_replaced_and_the_object_returned_as_it_is_stored(api: ApiServer, edge: Kube) -> None:
    obj = apply(api, finalizers=["old/one"])
    assert edge.patch_finalizers(obj, ["new/one"]) == stored(api)
    assert stored(api)["metadata"]["finalizers"] == ["new/one"]
    edge.patch_finalizers(stored(api), [])
    assert "finalizers" not in stored(api)["metadata"]


def test_the_last_finalizer_of_a_deleting_object_ends_it(api: ApiServer, edge: Kube) -> None:
    apply(api, finalizers=["a/b"])
    api.delete("fargateprofiles", "default", "web")
    answer = edge.patch_finalizers(stored(api), [])
    assert api.get("fargateprofiles", "default", "web") is None
    assert answer["metadata"]["deletionTimestamp"]
    assert not answer["metadata"].get("finalizers")


@pytest.mark.parametrize("write", ["finalizers", "status"])
def test_only_the_version_that_we_saw_is_changed(api: ApiServer, edge: Kube, write: str) -> None:
    obj = apply(api)
    apply(api, labels={"someone": "else"})
    before = stored(api)
    with pytest.raises(Conflict):
        _ = edge.patch_finalizers(obj, ["a/b"]) if write == "finalizers" else edge.patch_status(obj, {"a": 1})
    assert stored(api) == before


@pytest.mark.parametrize("write", ["finalizers", "status"])
def test_an_object_that_is_gone_or_made_anew_is_not_written(api: ApiServer, edge: Kube, write: str) -> None:
    obj = apply(api)
    api.delete("fargateprofiles", "default", "web")

    def patch() -> Obj:
        return edge.patch_finalizers(obj, ["a/b"]) if write == "finalizers" else edge.patch_status(obj, {"a": 1})

    with pytest.raises(NotFound):
        patch()
    anew = apply(api)
    with pytest.raises(Conflict):
        patch()
    assert stored(api) == anew


def test_status_becomes_what_is_said_and_nothing_else_changes(api: ApiServer, edge: Kube) -> None:
    obj = edge.patch_status(apply(api, finalizers=["a/b"]), {"keep": {"x": 1, "y": 2}, "drop": {"deep": 1}, "n": [1]})
    answer = edge.patch_status(obj, {"keep": {"x": 1}, "n": [2, 3]})
    after = stored(api)
    assert answer == after
    assert after["status"] == {"keep": {"x": 1}, "n": [2, 3]}
    assert after["spec"] == {"a": 1}
    assert after["metadata"]["finalizers"] == ["a/b"]
    assert after["metadata"]["generation"] == 1


def test_a_status_that_is_already_so_leaves_no_trace(api: ApiServer, edge: Kube) -> None:
    obj = edge.patch_status(apply(api), {"a": {"b": 1}})
    assert edge.patch_status(obj, {"a": {"b": 1}}) == obj
    assert api.resource_version == obj["metadata"]["resourceVersion"]


def test_status_may_be_written_where_there_is_none(api: ApiServer, edge: Kube) -> None:
    api.crd_defaults = False
    obj = apply(api)
    assert "status" not in obj
    assert edge.patch_status(obj, {"a": {"b": 1}})["status"] == {"a": {"b": 1}}


def test_changing_finalizers_leaves_status_and_spec_alone(api: ApiServer, edge: Kube) -> None:
    before = edge.patch_status(apply(api), {"a": 1})
    after = edge.patch_finalizers(before, ["a/b"])
    assert {name: after[name] for name in ("spec", "status")} == {name: before[name] for name in ("spec", "status")}


LEAVES = st.booleans() | st.integers(2, 9) | st.text("ab", max_size=2)
NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(statuses=st.lists(OBJECTS, min_size=1, max_size=4))
def test_whatever_status_there_was_it_becomes_the_one_that_is_said(
    api: ApiServer, edge: Kube, statuses: list[Obj]
) -> None:
    obj = apply(api)
    for status in statuses:
        obj = edge.patch_status(obj, status)
        assert stored(api)["status"] == status


# Events


def tell(edge: Kube, obj: Obj, note: str = "made", now: datetime = NOW) -> None:
    edge.event(obj, "Normal", "Created", "Reconcile", note, now)


def test_an_event_says_who_what_when_and_about_which_object(api: ApiServer, edge: Kube) -> None:
    obj = apply(api)
    tell(edge, obj)
    [event] = api.objects("events")
    said = {name: event[name] for name in ("reason", "type", "action", "note", "reportingInstance")}
    assert said == {
        "reason": "Created", "type": "Normal", "action": "Reconcile", "note": "made", "reportingInstance": "pod-1"
    }  # fmt: skip
    assert event["eventTime"] == "2026-11-22T08:00:00.000000Z"
    assert event["metadata"]["namespace"] == "default"
    assert event["regarding"] == {
        "apiVersion": "jicomusic.com/v1",
        "kind": "FargateProfile",
        **{name: obj["metadata"][name] for name in ("namespace", "name", "uid", "resourceVersion")},
    }


def test_the_time_of_an_event_is_right_whatever_zone_it_was_read_in(api: ApiServer, edge: Kube) -> None:
    tell(edge, apply(api), now=NOW.astimezone(timezone(timedelta(hours=5, minutes=30))))
    assert api.objects("events")[0]["eventTime"] == "2026-11-22T08:00:00.000000Z"


def test_two_events_about_an_object_are_two_events(api: ApiServer, edge: Kube) -> None:
    obj = apply(api)
    tell(edge, obj)
    tell(edge, obj)
    assert len(api.objects("events")) == 2


@pytest.mark.parametrize("name", ["a" * 39 + "-" + "b" * 20, "a" * 38 + "--b", "a" * 39 + ".b", "a" * 250, "a.b"])
def test_the_event_of_an_object_of_any_name_has_a_name_that_kubernetes_takes(
    api: ApiServer, edge: Kube, name: str
) -> None:
    tell(edge, apply(api, name))
    [event] = api.objects("events")
    assert SUBDOMAIN.fullmatch(event["metadata"]["name"])
    assert event["regarding"]["name"] == name


@pytest.mark.parametrize("note", ["x" * 1024, "é" * 512, ""])
def test_a_note_that_fits_is_told_whole(api: ApiServer, edge: Kube, note: str) -> None:
    tell(edge, apply(api), note)
    assert api.objects("events")[0]["note"] == note


def test_an_event_into_a_namespace_that_is_going_fails_nothing_and_is_no_warning_a_piece(
    api: ApiServer, edge: Kube, caplog: pytest.LogCaptureFixture
) -> None:
    obj = apply(api, finalizers=["a/b"])
    api.delete("namespaces", "", "default")
    caplog.set_level("DEBUG", logger="fargate")
    tell(edge, obj)
    assert api.objects("events") == []
    (lost,) = (each for each in caplog.records if each.getMessage().startswith("event lost object=default/web"))
    assert lost.levelname == "DEBUG"


@pytest.mark.parametrize(
    "said", ["denied", [], {"details": None}, {"details": {"causes": ["odd"]}}, {"details": {"causes": [{}]}}]
)
def test_an_event_that_is_refused_for_another_reason_is_a_warning(
    reach: Callable[..., Kube], api: ApiServer, caplog: pytest.LogCaptureFixture, said: Any
) -> None:
    with Raw(plain(json.dumps(said).encode(), "403 Forbidden")) as raw:
        tell(reach(raw.url), apply(api))
    assert [each.levelname for each in caplog.records if "event lost" in each.getMessage()] == ["WARNING"]


@pytest.mark.parametrize("fault", [500, 403, "drop"])
def test_a_lost_event_fails_nothing(api: ApiServer, edge: Kube, fault: Any) -> None:
    obj = apply(api)
    api.fail("POST", "events", fault)
    tell(edge, obj)
    assert api.objects("events") == []


# exists, namespace_uid


def test_exists_knows_what_is_there_and_what_is_not(api: ApiServer, edge: Kube) -> None:
    apply(api)
    assert edge.exists("default", "web") is True
    assert edge.exists("default", "db") is False
    assert edge.exists("nowhere", "web") is False


@pytest.mark.parametrize("fault", [403, 401, 500, 429, "drop"])
def test_exists_claims_nothing_where_it_can_t_know(api: ApiServer, edge: Kube, fault: Any) -> None:
    apply(api)
    api.fail("GET", "fargateprofiles", fault)
    assert edge.exists("default", "web") is None


def test_the_uid_of_a_namespace_is_read_and_not_guessed(api: ApiServer, edge: Kube) -> None:
    namespace = api.get("namespaces", "", "kube-system")
    assert namespace is not None
    assert edge.namespace_uid("kube-system") == namespace["metadata"]["uid"]
    with pytest.raises(NotFound):
        edge.namespace_uid("nowhere")


# Errors of every call

WEB = {"metadata": {"namespace": "default", "name": "web", "resourceVersion": "103"}}
CALLS: dict[str, Callable[[Kube], object]] = {
    "list": lambda edge: edge.list(),
    "watch": lambda edge: list(edge.watch("102")),
    "patch_finalizers": lambda edge: edge.patch_finalizers(WEB, ["a/b"]),
    "patch_status": lambda edge: edge.patch_status(WEB, {"a": 1}),
    "namespace_uid": lambda edge: edge.namespace_uid("default"),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@each_call
@pytest.mark.parametrize("fault", [500, 503, 401, "drop"])
def test_every_failure_is_a_kube_error_and_is_asked_once(
    api: ApiServer, edge: Kube, call: Callable[[Kube], object], fault: Any
) -> None:
    apply(api)
    for method in ("*", "WATCH"):
        api.fail(method, "", fault, times=9)
    with pytest.raises(KubeError) as failed:
        call(edge)
    assert failed.value.status == (0 if fault == "drop" else fault)
    assert len(api.log) == 1


@each_call
def test_a_server_that_asks_for_patience_is_answered_by_the_queue_and_not_by_a_sleep(
    api: ApiServer, edge: Kube, call: Callable[[Kube], object]
) -> None:
    apply(api)
    for method in ("*", "WATCH"):
        api.fail(method, "", 429, times=9, retry_after=3)
    started = time.monotonic()
    with pytest.raises(KubeError, match="429"):
        call(edge)
    assert time.monotonic() - started < 0.5
    assert len(api.log) == 1


@each_call
def test_a_port_that_nobody_listens_on_is_a_kube_error(
    server: Server, edge: Kube, call: Callable[[Kube], object]
) -> None:
    server.close()
    with pytest.raises(KubeError):
        call(edge)


@each_call
@pytest.mark.parametrize("body", [b"<html>login</html>", b"[1]", b"null", b"{}", b'{"metadata": null}', b"\xff", b""])
def test_an_answer_that_is_not_from_an_api_server_is_a_kube_error(
    reach: Callable[..., Kube], call: Callable[[Kube], object], body: bytes
) -> None:
    answer = chunked(body + b"\n") if call is CALLS["watch"] and body else plain(body)
    with Raw(answer) as raw:
        if call is CALLS["watch"] and not body:
            assert call(reach(raw.url)) == []
            return
        with pytest.raises(KubeError):
            call(reach(raw.url))


@each_call
def test_an_answer_that_breaks_off_is_a_kube_error(reach: Callable[..., Kube], call: Callable[[Kube], object]) -> None:
    with Raw(plain(b'{"metadata": {}}' * 9)[:-20]) as raw, pytest.raises(KubeError):
        call(reach(raw.url))


@each_call
def test_a_refusal_in_words_that_are_not_kubernetes_keeps_its_status(
    reach: Callable[..., Kube], call: Callable[[Kube], object]
) -> None:
    with Raw(plain(b"<h1>tired</h1>", "502 Bad Gateway")) as raw:
        with pytest.raises(KubeError, match="502 Bad Gateway") as failed:
            call(reach(raw.url))
        assert failed.value.status == 502


@pytest.mark.parametrize(("status", "kind"), [(404, NotFound), (409, Conflict), (410, Gone), (422, WriteRefused)])
def test_a_status_that_has_a_word_of_its_own_is_named_by_it(
    api: ApiServer, edge: Kube, status: int, kind: type[KubeError]
) -> None:
    api.fail("PATCH", "fargateprofiles", status)
    with pytest.raises(KubeError, match="failed on request of the test") as failed:
        edge.patch_status(apply(api), {"a": 1})
    assert (type(failed.value), failed.value.status) == (kind, status)


def test_an_api_server_that_does_not_know_the_objects_is_told_apart_with_what_mends_it(
    api: ApiServer, edge: Kube
) -> None:
    api.fail("GET", "fargateprofiles", 404)
    with pytest.raises(NotServed, match=r"kubectl apply -f crd\.yaml"):
        edge.list()
    assert edge.list()[0] == []


@each_call
def test_every_call_says_who_is_asking(api: ApiServer, edge: Kube, call: Callable[[Kube], object]) -> None:
    apply(api)
    api.fail("WATCH", "", 500)
    with contextlib.suppress(KubeError):
        call(edge)
    assert {request.user_agent for request in api.log} == {"fargate-operator"}


@each_call
def test_every_call_has_timeouts(
    edge: Kube, call: Callable[[Kube], object], mocker: MockerFixture, api: ApiServer
) -> None:
    api.fail("WATCH", "", 500)
    spy = mocker.spy(edge._api, "call_api")
    with contextlib.suppress(KubeError):
        call(edge)
    connecting, reading = spy.call_args.kwargs["_request_timeout"]
    assert 0 < connecting <= 3
    assert 0 < reading <= 10


def test_credentials_that_vanish_between_two_calls_are_a_kube_error(pod: Pod) -> None:
    edge = pod.edge()
    (pod.account / "token").unlink()
    pod.later(minutes=2)
    with pytest.raises(KubeError):
        edge.list()
    (pod.account / "token").write_text("back")
    edge.list()
    assert "authorization: bearer back" in pod.raw.heads[-1].lower()


# connect


def self_signed(path: Path) -> Path:
    """Write a key and its self-signed certificate for 127.0.0.1 into one file; return it."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(text + built.public_bytes(pem))
    return path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls") / "server.pem")


@dataclass
class Pod:
    """The inside of a pod: its service account's folder, and an API server that speaks TLS."""

    account: Path
    raw: Raw
    time: SimpleNamespace

    def edge(self) -> Kube:
        return Kube(connect(2, self.account), "pod-1")

    def later(self, **by: float) -> None:
        self.time.now += timedelta(**by)

    def token(self) -> str:
        """Return the token of the last request."""
        found = re.search(r"^authorization: bearer (.*)\r$", self.raw.heads[-1], re.MULTILINE | re.IGNORECASE)
        return found[1] if found else "none"


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificate: Path) -> Iterator[Pod]:
    account = tmp_path / "serviceaccount"
    account.mkdir()
    (account / "token").write_text("first")
    text = certificate.read_text()
    (account / "ca.crt").write_text(text[text.index("-----BEGIN CERTIFICATE") :])
    # The client reads the wall clock itself, to read the token again once a minute.
    clock = SimpleNamespace(now=datetime(2026, 11, 22, 8, 0, 0))
    fake = SimpleNamespace(datetime=SimpleNamespace(now=lambda: clock.now), timedelta=timedelta)
    monkeypatch.setattr("kubernetes.config.incluster_config.datetime", fake)
    with Raw(plain(b'{"metadata": {"resourceVersion": "7"}, "items": []}'), certificate) as raw:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(raw.port))
        yield Pod(account, raw, clock)


def test_in_a_pod_the_api_server_is_reached_with_the_service_account(pod: Pod) -> None:
    assert pod.edge().list() == ([], "7")
    assert pod.token() == "first"


def test_in_a_pod_a_server_that_the_ca_did_not_sign_is_not_talked_to(pod: Pod) -> None:
    text = (Path(ssl.get_default_verify_paths().openssl_cafile), Path("/etc/ssl/certs/ca-certificates.crt"))
    others = next((path.read_text() for path in text if path.is_file()), None)
    if others is None:
        pytest.skip("no other certificate on this machine")
    (pod.account / "ca.crt").write_text(others)
    with pytest.raises(KubeError, match="CERTIFICATE_VERIFY_FAILED"):
        pod.edge().list()
    assert pod.raw.heads == []


def test_in_a_pod_a_new_token_is_in_use_within_a_minute(pod: Pod) -> None:
    edge = pod.edge()
    for token in ("second", "third"):
        (pod.account / "token").write_text(token)
        pod.later(seconds=61)
        edge.list()
        assert pod.token() == token


def test_a_token_file_that_ends_in_a_newline_works_as_it_does_in_client_go(pod: Pod) -> None:
    (pod.account / "token").write_text("first\n")
    edge = pod.edge()
    edge.list()
    assert pod.token() == "first"
    (pod.account / "token").write_text("second\r\n")
    pod.later(minutes=2)
    edge.list()
    assert pod.token() == "second"


@pytest.mark.parametrize("spoil", ["no CA", "empty CA", "empty token"])
def test_a_service_account_that_is_not_whole_is_said_to_be_so(pod: Pod, spoil: str) -> None:
    file = pod.account / ("token" if "token" in spoil else "ca.crt")
    file.write_text("")
    if spoil == "no CA":
        file.unlink()
    with pytest.raises(KubeError, match=r"[Cc]ert|[Tt]oken"):
        pod.edge()


def test_kubeconfig_wins_over_the_pod(
    pod: Pod, api: ApiServer, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(server.url, tmp_path / "config")))
    pod.edge().list()
    assert pod.raw.heads == []
    assert len(api.log) == 1


def test_the_pod_wins_over_the_kubeconfig_at_home(pod: Pod, server: Server, tmp_path: Path) -> None:
    at_home(tmp_path, server.url)
    pod.edge().list()
    assert len(pod.raw.heads) == 1


@pytest.mark.parametrize("empty", [False, True], ids=["KUBECONFIG unset", "KUBECONFIG empty"])
def test_outside_of_a_pod_the_kubeconfig_at_home_is_used(
    api: ApiServer, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: bool
) -> None:
    at_home(tmp_path, server.url)
    if empty:
        monkeypatch.setenv("KUBECONFIG", "")
    Kube(connect(2, tmp_path / "no account"), "pod-1").list()
    assert len(api.log) == 1


def at_home(tmp_path: Path, url: str) -> None:
    (tmp_path / "home" / ".kube").mkdir(parents=True)
    kubeconfig(url, tmp_path / "home" / ".kube" / "config")


def test_with_nothing_to_connect_to_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(KubeError, match="no way to the API server: Invalid kube-config"):
        connect(2, tmp_path / "no account")


BROKEN = {
    "not YAML": "clusters: [}",
    "a tab": "a:\n\t- b",
    "empty": "",
    "a list": "[]",
    "a word": "hello",
    "no clusters": "{}",
    "entries without names": '{"contexts": [{}, {"context": {}}], "clusters": [{}], "current-context": "a"}',
    "entries that are words": '{"contexts": ["a", "b"], "current-context": "a"}',
    "a context that is a word": '{"contexts": [{"name": "a", "context": "b"}], "current-context": "a"}',
    "not text": "\x00",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_kubeconfig_that_is_none_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    (tmp_path / "config").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(KubeError, match=r"no way to the API server: .+") as refused:
        connect(2)
    assert "\n" not in str(refused.value)
    assert eks_cluster() == Named()


def test_a_kubeconfig_that_may_not_be_read_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path))  # a directory: also for root
    with pytest.raises(KubeError):
        connect(2)
    assert eks_cluster() == Named()


# What a kubeconfig's command gives

WITHOUT_END = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"


def with_plugin(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, status: Obj | None = None, code: str = ""
) -> str:
    """Let the kubeconfig name a command that prints such a status, or does what the code says; return its path."""
    plugin, version = tmp_path / "plugin", "client.authentication.k8s.io/v1"
    said = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})
    plugin.write_text(f"#!{sys.executable}\n{code or f'print({said!r})'}\n")
    plugin.chmod(0o755)
    config = json.loads(kubeconfig(url, tmp_path / "kubeconfig").read_text())
    config["users"][0]["user"] = {"exec": {"apiVersion": version, "command": str(plugin), "args": ["get-token"]}}
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    return str(plugin)


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "COMMAND_SECONDS", 0.5)


@pytest.mark.usefixtures("hurry")
def test_a_command_that_hangs_is_killed_and_named(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plugin = with_plugin(tmp_path, server.url, monkeypatch, code=WITHOUT_END)
    started = time.monotonic()
    with pytest.raises(KubeError, match=rf"exec plugin {plugin} .* had not ended after .* and was killed"):
        connect(2)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit('log in first')", "log in first"),
        ("print('rubbish')", "decode"),
        ("print('{}')", "missing key"),
        ("print('[]')", "missing key"),
    ],
)
def test_a_command_that_gives_nothing_is_named_and_nobody_goes_on_as_nobody(
    api: ApiServer, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, said: str
) -> None:
    plugin = with_plugin(tmp_path, server.url, monkeypatch, code=code)
    with pytest.raises(KubeError, match=rf"exec plugin {plugin} of the kubeconfig gives no credentials: .*{said}"):
        connect(2)
    assert api.log == []


@pytest.mark.parametrize("status", [None, {}, {"clientCertificateData": "a"}])
def test_a_command_without_a_token_or_a_whole_certificate_is_named(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: Obj | None
) -> None:
    plugin = with_plugin(tmp_path, server.url, monkeypatch, status)
    with pytest.raises(KubeError, match=rf"exec plugin {plugin} "):
        connect(2)


def test_a_command_that_is_not_there_is_named(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plugin = with_plugin(tmp_path, server.url, monkeypatch, {})
    Path(plugin).unlink()
    with pytest.raises(KubeError, match=rf"{plugin}, .* is not installed"):
        connect(2)


@pytest.mark.usefixtures("hurry")
def test_a_command_s_token_is_sent_and_asked_for_again_when_it_has_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Raw(plain(b'{"metadata": {"resourceVersion": "1"}}')) as raw:
        status = {"token": "first", "expirationTimestamp": "2020-01-01T00:00:00Z"}
        plugin = with_plugin(tmp_path, raw.url, monkeypatch, status)
        edge = Kube(connect(2), "pod-1")
        with_plugin(tmp_path, raw.url, monkeypatch, status | {"token": "second"})
        edge.list()
        assert "Bearer second" in raw.heads[0]
        with_plugin(tmp_path, raw.url, monkeypatch, code=WITHOUT_END)
        with pytest.raises(KubeError, match=rf"exec plugin {plugin} .* was killed"):
            edge.list()
        assert len(raw.heads) == 1


def with_oidc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: Path, port: int) -> str:
    """Let the kubeconfig have a token that has ended, and the issuer at this port; return the issuer's address."""
    issuer = f"https://127.0.0.1:{port}"
    config = json.loads(kubeconfig("https://127.0.0.1:1", tmp_path / "kubeconfig").read_text())
    oidc = {
        "id-token": "e30.eyJleHAiOjF9.a", "refresh-token": "a", "client-id": "a", "client-secret": "a",
        "idp-issuer-url": issuer, "idp-certificate-authority": str(certificate),
    }  # fmt: skip
    config["users"][0]["user"] = {"auth-provider": {"name": "oidc", "config": oidc}}
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    return issuer


def test_a_token_of_an_issuer_that_has_ended_is_made_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificate: Path
) -> None:
    with Raw(b"", certificate) as raw:
        ways = {"token_endpoint": f"{with_oidc(tmp_path, monkeypatch, certificate, raw.port)}/token"}
        token = {"access_token": "a", "token_type": "Bearer", "id_token": "anew", "refresh_token": "a"}
        raw.answer = plain(json.dumps(ways | token).encode())
        assert connect(2).configuration.api_key == {"BearerToken": "Bearer anew"}
        assert [head.split()[1] for head in raw.heads] == ["/.well-known/openid-configuration", "/token"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [({"error": "invalid_grant"}, "invalid_grant"), ({"access_token": "a", "token_type": "Bearer"}, "id_token")],
)
def test_an_issuer_that_gives_no_token_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificate: Path, answer: Obj, said: str
) -> None:
    with Raw(b"", certificate) as raw:
        ways = {"token_endpoint": f"{with_oidc(tmp_path, monkeypatch, certificate, raw.port)}/token"}
        raw.answer = plain(json.dumps(ways | answer).encode())
        with pytest.raises(KubeError, match=rf"auth-provider oidc gives no new token: .*{said}.* Log in again"):
            connect(2)


def test_a_command_s_certificate_is_used(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {"clientCertificateData": "a certificate", "clientKeyData": "a key"}
    with_plugin(tmp_path, server.url, monkeypatch, given)
    config = connect(2).configuration
    assert (Path(config.cert_file).read_text(), Path(config.key_file).read_text()) == ("a certificate", "a key")


# eks_cluster

ARN = "arn:aws:eks:eu-central-1:123456789012:cluster/shop"


def entry(name: str, cluster: str, *args: str, current: bool = True) -> Obj:
    """Return a kubeconfig with one context; `args` are those of the command that makes its tokens."""
    user: Obj = {"exec": {"command": "aws", "args": list(args)}} if args else {}
    return {
        "clusters": [{"name": cluster, "cluster": {"server": "https://x"}}],
        "users": [{"name": f"{name}-user", "user": user}],
        "contexts": [{"name": name, "context": {"cluster": cluster, "user": f"{name}-user"}}],
        **({"current-context": name} if current else {}),
    }


def named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *configs: Obj) -> tuple[str, str]:
    paths = [tmp_path / f"config{number}" for number in range(len(configs))]
    for path, config in zip(paths, configs, strict=True):
        path.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, paths)))
    return eks_cluster()[:2]


GET_TOKEN = ("--region", "us-east-1", "eks", "get-token", "--cluster-name", "lab", "--output", "json")
CONTEXTS = {
    "as update-kubeconfig writes it": (entry(ARN, ARN, *GET_TOKEN), ("shop", "eu-central-1")),
    "with an alias": (entry("prod", ARN), ("shop", "eu-central-1")),
    "in China": (entry("c", ARN.replace("aws:", "aws-cn:", 1)), ("shop", "eu-central-1")),
    "renamed cluster": (entry("lab", "lab-cluster", *GET_TOKEN), ("lab", "us-east-1")),
    "with a profile and a role": (
        entry("lab", "l", *GET_TOKEN, "--profile", "me", "--role-arn", "arn:aws:iam::1:role/r"),
        ("lab", "us-east-1"),
    ),
    "arguments with =": (entry("l", "l", "eks", "get-token", "--cluster-name=lab", "--region=x"), ("lab", "x")),
    "without a region": (entry("l", "l", "eks", "get-token", "--cluster-name", "lab"), ("lab", "")),
    "aws-iam-authenticator -i": (entry("l", "lab.eu-west-1.eksctl.io", "token", "-i", "lab"), ("lab", "")),
    "aws-iam-authenticator --cluster-id": (entry("l", "l", "token", "--cluster-id", "lab", "-r", "role"), ("lab", "")),
    "an argument that breaks off": (entry("l", "l", "eks", "get-token", "--cluster-name"), ("", "")),
    "arguments that only look alike": (entry("l", "l", "x", "--cluster", "a", "--reg", "b"), ("", "")),
    "ARN of something else": (entry("l", "arn:aws:rds:eu-central-1:123456789012:cluster/shop"), ("", "")),
    "kind": (entry("kind-kind", "kind-kind"), ("", "")),
    "no current context": (entry(ARN, ARN, current=False), ("", "")),
    "a current context that is not there": (entry("a", ARN) | {"current-context": "b"}, ("", "")),
    "nothing": ({"clusters": None, "contexts": None, "users": None, "current-context": "a"}, ("", "")),
}


@pytest.mark.parametrize(("config", "expected"), CONTEXTS.values(), ids=CONTEXTS.keys())
def test_cluster_and_region_are_read_off_the_current_context_and_never_guessed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: Obj, expected: tuple[str, str]
) -> None:
    assert named(monkeypatch, tmp_path, config) == expected


def test_of_several_contexts_the_current_one_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one, two = entry("one", ARN), entry("two", "two", *GET_TOKEN)
    both = {kind: one[kind] + two[kind] for kind in ("clusters", "users", "contexts")}
    assert named(monkeypatch, tmp_path, both | {"current-context": "one"}) == ("shop", "eu-central-1")
    assert named(monkeypatch, tmp_path, both | {"current-context": "two"}) == ("lab", "us-east-1")


def test_of_several_files_the_current_context_may_be_in_another_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names_it = {"current-context": "prod"}
    assert named(monkeypatch, tmp_path, names_it, entry("prod", ARN, current=False)) == ("shop", "eu-central-1")


def test_a_file_that_is_not_there_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(json.dumps(entry("prod", ARN)))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/absent:{tmp_path}/config")
    assert eks_cluster()[:2] == ("shop", "eu-central-1")


def test_without_a_kubeconfig_nothing_is_named() -> None:
    assert eks_cluster() == Named()


def test_in_a_pod_nothing_is_named_because_a_kubeconfig_at_home_is_not_what_we_talk_to(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kube, "SERVICE_ACCOUNT", pod.account)
    (tmp_path / "home" / ".kube").mkdir(parents=True)
    (tmp_path / "home" / ".kube" / "config").write_text(json.dumps(entry("prod", ARN)))
    assert eks_cluster() == Named()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "home" / ".kube" / "config"))
    assert eks_cluster()[:2] == ("shop", "eu-central-1")
