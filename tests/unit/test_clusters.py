"""What is known of one EKS cluster: how a look at it is read, who is woken by what it shows, whose turn it is."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field, replace

import pytest

from answers import AwsError, Busy, Refused, Retryable
from aws import SERVICES, Aws, Profile
from clusters import (
    BLIND_TURN_SECONDS,
    HIDDEN_SECONDS,
    HOLD_SECONDS,
    MOST_MISSING,
    PLACE_SECONDS,
    POLL_MOST_SECONDS,
    Cluster,
    Clusters,
    Flight,
    Outside,
    Reading,
    Stirred,
    View,
    describe,
)
from facts import ClusterFact
from kube import Key
from spec import RETAINED_KEY, is_retained
from surroundings import elsewhere, unproven
from tests.fakes.apiserver import token_by
from tests.fakes.eks import Client, Memory, refused
from tests.fakes.eks_rules import Answer, Behaviour, issuer
from tests.harness import Clock
from tests.unit.test_plan import GOOD, HOME, OURS, profile
from workqueue import WorkQueue

WEB, DB, API = ("default", "web"), ("default", "db"), ("default", "api")
DENIED = Refused("AccessDenied", "no")
HICCUP = Retryable("AwsUnavailable", "it broke")


def view(*profiles: Profile, at: float = 0.0, **hidden: AwsError) -> View:
    return View(True, {each.name: each for each in profiles}, at, hidden)


def flying(name: str = "web", status: str = "CREATING") -> Profile:
    return profile(name, status)


# The view


def test_a_view_shows_what_a_later_look_at_one_name_has_shown() -> None:
    before = view(profile("web"), db=DENIED)
    seen = before.showing("web", flying()).showing("db", profile("db"))
    assert seen == view(flying(), profile("db"))
    assert seen.showing("web", None).showing("db", HICCUP) == view(db=HICCUP)
    assert before == view(profile("web"), db=DENIED), "the old one stays as it was"


def test_a_newer_view_has_the_very_profiles_of_the_one_before_where_they_are_equal_and_no_other() -> None:
    before, cluster = view(profile("web"), profile("db"), profile("old")), Cluster()
    cluster.saw(before, before.names, 0.0)
    newer = view(profile("web"), flying("db"), profile("new"), at=600.0, api=DENIED)
    cluster.saw(newer, newer.names, 600.0)
    assert cluster.view == newer
    assert cluster.view
    assert cluster.view.profiles["web"] is before.profiles["web"]


def test_what_can_t_be_seen_is_there_by_its_name_and_not_in_flight() -> None:
    seen = view(profile("web"), flying("api"), db=DENIED)
    assert seen.names == {"web", "api", "db"}
    assert [each.name for each in seen.profiles_in_flight] == ["api"]


# How it is read


@dataclass
class Region:
    """An account with cluster demo, in which some profiles can't be described."""

    answers: dict[str, tuple[str, int]] = field(default_factory=dict)  # by profile, the code and status
    described: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = Memory(Behaviour(Clock().time, deleting_seconds=90))
        self.edge = Aws({name: Client(self.ask) for name in SERVICES}, "us-east-1")

    def ask(self, method: str, request: Answer) -> Answer:
        if method == "describe_fargate_profile":
            name = str(request["fargateProfileName"])
            self.described.append(name)
            if answer := self.answers.get(name):
                raise refused("DescribeFargateProfile", *answer, "no")
        return self.world.ask(method, request)

    def add(self, *names: str, status: str = "ACTIVE") -> None:
        for name in names:
            self.world.add_profile("demo", name, self.world.roles["good"], [{"namespace": "web"}], status=status)


@pytest.fixture
def region() -> Region:
    region = Region()
    region.add("a", "b", "c")
    return region


THROTTLED, FORBIDDEN, BROKEN = ("ThrottlingException", 429), ("AccessDeniedException", 403), ("ServerException", 500)


def test_a_reading_shows_every_profile_and_what_kept_one_from_being_seen(region: Region) -> None:
    region.answers = {"b": FORBIDDEN, "c": BROKEN}
    now: set[str] = set()
    seen = Reading(7.0).go_on(region.edge, "demo", now)
    assert (seen.found, seen.at, {*seen.profiles}) == (True, 7.0, {"a"})
    assert {name: each.reason for name, each in seen.hidden.items()} == {"b": "AccessDenied", "c": "AwsUnavailable"}
    assert now == {"a", "b", "c"}


def test_a_cluster_that_is_not_there_is_seen_not_to_be() -> None:
    assert Reading(7.0).go_on(Region().edge, "nowhere", set()) == View(False, {}, 7.0)


def test_a_reading_that_is_cut_off_shows_nothing_and_goes_on_where_it_was(region: Region) -> None:
    region.answers = {"b": THROTTLED}
    reading = Reading(7.0)
    with pytest.raises(Retryable, match="Throttling"):
        reading.go_on(region.edge, "demo", set())
    region.answers, now = {}, set[str]()
    seen = reading.go_on(region.edge, "demo", now)
    assert now == {"b", "c"}, "what was seen is not asked for again"
    assert ({*seen.profiles}, seen.at) == ({"a", "b", "c"}, 7.0), "it is as old as its beginning"


def test_what_has_come_or_gone_since_a_reading_began_is_seen_as_it_is(region: Region) -> None:
    region.answers = {"c": THROTTLED}
    reading = Reading(7.0)
    with pytest.raises(Retryable):
        reading.go_on(region.edge, "demo", set())
    region.world.delete_profile("demo", "a")
    region.add("d")
    region.answers = {}
    assert {*reading.go_on(region.edge, "demo", set()).profiles} == {"b", "c", "d"}


def test_what_an_answer_has_contradicted_is_described_once_more_and_so_is_what_was_in_flight(region: Region) -> None:
    region.add("d", status="DELETING")
    reading = Reading(7.0)
    reading.go_on(region.edge, "demo", set())
    reading.forget(["a"])
    now: set[str] = set()
    reading.go_on(region.edge, "demo", now)
    assert now == {"a", "d"}


@pytest.mark.parametrize("answer", [FORBIDDEN, BROKEN])
def test_what_is_wrong_with_one_profile_is_about_that_one(region: Region, answer: tuple[str, int]) -> None:
    region.answers = {"a": answer}
    assert isinstance(describe(region.edge, "demo", "a"), AwsError)
    assert isinstance(describe(region.edge, "demo", "b"), Profile)
    assert describe(region.edge, "demo", "none") is None


@pytest.mark.parametrize("answer", [THROTTLED, ("ExpiredTokenException", 403)])
def test_what_is_wrong_with_the_way_to_aws_is_about_none(region: Region, answer: tuple[str, int]) -> None:
    region.answers = {"a": answer}
    with pytest.raises(Retryable):
        describe(region.edge, "demo", "a")


# When it is read anew


def test_a_view_is_old_after_its_life_or_once_an_answer_has_contradicted_it() -> None:
    cluster = Cluster()
    assert cluster.is_old(0.0, 480.0)
    cluster.saw(view(at=100.0), [], 100.0)
    assert not cluster.is_old(579.0, 480.0)
    assert cluster.is_old(580.0, 480.0)
    cluster.doubt()
    assert cluster.is_old(100.0, 480.0)
    cluster.saw(view(at=100.0), [], 101.0)
    assert not cluster.is_old(101.0, 480.0)


def test_a_reading_that_has_begun_is_contradicted_too() -> None:
    cluster = Cluster(reading=Reading(0.0, {"web": profile("web"), "db": profile("db")}))
    cluster.doubt("web")
    assert cluster.reading
    assert {*cluster.reading.described} == {"db"}


# Flights


@pytest.mark.parametrize(
    ("flown", "rest"), [(0, 5.0), (49, 5.0), (100, 10.0), (150, POLL_MOST_SECONDS), (3600, POLL_MOST_SECONDS)]
)
def test_a_flight_is_looked_at_after_a_tenth_of_its_time_but_no_sooner_than_the_poll_and_within_15_s(
    flown: float, rest: float
) -> None:
    assert Flight("CREATING", since=0.0, last_look=flown, last_seen=flown).until_look(flown, poll=5.0) == rest


def test_the_rest_of_a_flight_passes_with_the_time_since_the_last_look() -> None:
    flight = Flight("CREATING", since=0.0, last_look=10.0, last_seen=10.0)
    assert (flight.until_look(12.0, poll=5.0), flight.until_look(16.0, poll=5.0)) == (3.0, -1.0)


def test_what_is_in_flight_is_due_after_its_rest_and_what_can_t_be_seen_after_a_minute() -> None:
    cluster = Cluster()
    cluster.saw(view(flying(), profile("api"), db=DENIED), ["web", "db"], 0.0)
    assert cluster.due(4.0, poll=5.0) == set()
    assert cluster.due(5.0, poll=5.0) == {"web"}
    assert cluster.due(HIDDEN_SECONDS, poll=5.0) == {"web", "db"}


def test_a_look_at_another_profile_is_none_at_this_one() -> None:
    cluster = Cluster()
    cluster.saw(view(flying(), db=DENIED), ["web", "db"], 0.0)
    cluster.saw(view(flying(), db=DENIED), [], 4.0)
    assert cluster.due(5.0, poll=5.0) == {"web"}
    assert cluster.due(HIDDEN_SECONDS, poll=5.0) == {"web", "db"}
    cluster.saw(view(flying(), db=DENIED), ["web", "db"], 5.0)
    assert cluster.due(9.0, poll=5.0) == set()


def test_a_flight_begins_anew_when_a_profile_turns_to_be_deleted() -> None:
    cluster = Cluster()
    cluster.saw(view(flying()), ["web"], 0.0)
    cluster.saw(view(flying()), ["web"], 100.0)
    assert cluster.flights["web"].since == 0.0
    cluster.saw(view(flying(status="DELETING")), ["web"], 200.0)
    assert cluster.flights["web"].since == 200.0


def test_a_flight_keeps_its_turn_through_a_hiccup_for_a_minute_and_not_for_ever() -> None:
    cluster = Cluster()
    cluster.saw(view(flying()), ["web"], 0.0)
    cluster.saw(view(web=HICCUP), ["web"], BLIND_TURN_SECONDS - 1)
    assert {*cluster.flights} == {"web"}
    cluster.saw(view(web=HICCUP), ["web"], BLIND_TURN_SECONDS)
    assert cluster.flights == {}


def test_a_flight_that_we_may_not_see_any_more_has_no_turn() -> None:
    cluster = Cluster()
    cluster.saw(view(flying()), ["web"], 0.0)
    cluster.saw(view(web=DENIED), ["web"], 1.0)
    assert cluster.flights == {}


# Who has reason to look again


def test_the_first_view_wakes_nobody() -> None:
    cluster = Cluster(name_wanted={WEB: "web"}, line={DB: 0.0})
    assert cluster.saw(view(flying()), ["web"], 0.0) == Stirred([], [])


def stirred(before: View, after: View, **known: object) -> Stirred:
    """Return who is stirred by a second view of a cluster of which so much is known."""
    cluster = Cluster()
    cluster.saw(before, before.names, 0.0)
    for name, value in known.items():
        setattr(cluster, name, value)
    return cluster.saw(after, after.names, 1.0)


def test_whose_profile_has_settled_looks_again() -> None:
    assert stirred(view(flying()), view(profile())) == Stirred([flying()], [])
    assert stirred(view(flying(status="DELETING")), view()) == Stirred([flying(status="DELETING")], [])


def test_a_profile_that_is_still_at_it_stirs_nobody() -> None:
    assert stirred(view(flying()), view(flying()), line={DB: 0.0}, name_wanted={API: "web"}) == Stirred([], [])


def test_who_waits_for_a_name_looks_again_once_it_is_free() -> None:
    wanted = {WEB: "web", DB: "db"}
    assert stirred(view(profile("web"), profile("db")), view(profile("db")), name_wanted=wanted) == Stirred([], [WEB])
    assert stirred(view(web=DENIED), view(), name_wanted=wanted) == Stirred([], [WEB])
    assert stirred(view(profile("web")), view(web=DENIED), name_wanted=wanted) == Stirred([], []), "it is still there"


def test_who_overlaps_with_a_profile_looks_again_once_it_has_gone() -> None:
    overlaps = {WEB: frozenset({"shop", "db"}), DB: frozenset({"api"})}
    assert stirred(view(profile("shop")), view(), overlaps=overlaps) == Stirred([], [WEB])


def test_the_first_in_line_looks_again_once_nothing_is_in_flight_any_more() -> None:
    line = {WEB: 0.0, DB: 0.0}
    landed, two = view(profile("api")), view(flying("api"), flying("shop"))
    assert stirred(view(flying("api")), landed, line=line) == Stirred([flying("api")], [WEB])
    assert stirred(two, view(profile("api"), flying("shop")), line=line) == Stirred([flying("api")], [])
    assert stirred(landed, landed, line=line) == Stirred([], []), "a look that shows nothing new wakes nobody"


# The line, and what holds it up


def test_a_place_in_line_lapses_when_its_object_does_not_come_for_it() -> None:
    cluster = Cluster(line={("default", "gone"): 0.0, ("default", "web"): PLACE_SECONDS - 1})
    assert cluster.first(PLACE_SECONDS) == ("default", "gone")
    assert cluster.first(PLACE_SECONDS + 1) == ("default", "web")


def test_who_came_first_is_first_until_it_leaves_and_coming_again_keeps_its_place() -> None:
    cluster = Cluster()
    for key, now in ((WEB, 0.0), (DB, 1.0), (WEB, 20.0), (DB, 20.0)):
        cluster.line[key] = now
        assert cluster.first(now) == WEB
    assert cluster.first(20.0 + PLACE_SECONDS) == WEB, "each has its time from when it came last"
    cluster.leave(WEB)
    assert cluster.first(21.0) == DB
    cluster.leave(DB)
    assert cluster.first(21.0) is None


def test_who_leaves_waits_for_no_name_any_more() -> None:
    cluster = Cluster(line={WEB: 0.0}, name_wanted={WEB: "web"})
    cluster.leave(WEB)
    assert (cluster.line, cluster.name_wanted) == ({}, {})


def test_a_cluster_that_is_busy_with_what_can_t_be_seen_is_asked_less_and_less_often() -> None:
    assert HOLD_SECONDS == (15.0, 60.0)
    cluster = Cluster()
    assert [cluster.hold(100.0) for _ in range(4)] == [15.0, 30.0, 60.0, 60.0]
    assert cluster.held_until == 160.0


def test_once_a_flight_is_seen_that_is_waited_for_and_nothing_else() -> None:
    cluster = Cluster()
    cluster.hold(100.0)
    cluster.saw(view(profile()), ["web"], 101.0)
    assert cluster.held_until == 115.0, "what has settled was not what EKS is busy with"
    cluster.saw(view(flying()), ["web"], 102.0)
    assert cluster.held_until < 102.0
    assert cluster.hold(103.0) == 15.0


# What is worth remembering


def outside(key: Key) -> Outside:
    made = Outside()
    made.add(key)
    return made


@pytest.mark.parametrize(
    "known",
    [
        Cluster(view=view()),
        Cluster(flights={"web": Flight("CREATING", 0.0, 0.0, 0.0)}),
        Cluster(line={WEB: 0.0}),
        Cluster(name_wanted={WEB: "web"}),
        Cluster(orphans={"web"}),
        Cluster(outside=outside(WEB)),
        Cluster(occupied=True),
        Cluster(reading=Reading(0.0, {"web": Busy("ClusterBusy", "at it")})),
    ],
)
def test_a_cluster_of_which_something_is_known_is_remembered(known: Cluster) -> None:
    assert not known.forgettable


@pytest.mark.parametrize("known", [Cluster(), Cluster(view=View(False, {}, 0.0)), Cluster(reading=Reading(0.0))])
def test_a_cluster_that_is_not_there_is_forgotten(known: Cluster) -> None:
    assert known.forgettable


# Who is in, and who waits outside


class Door:
    """Clusters, and the keys that were let in, in order."""

    def __init__(self) -> None:
        self.let_in: list[Key] = []
        self.taken: set[str] = set()  # the namespaces that have all the workers which they may have
        self.clusters = Clusters(self.readmit)

    def readmit(self, key: Key) -> bool:
        if key[0] not in self.taken:
            self.let_in.append(key)
        return key[0] not in self.taken

    def come(self, key: Key, name: str = "demo", *outside: Key) -> bool:
        """Say whether the key gets in; while it is in, those come that are `outside`."""

        def work(cluster: Cluster) -> bool:
            cluster.view = view(profile())
            for each in outside:
                assert not self.come(each, name)
            return True

        return self.clusters.alone_in(name, key, work) or False


def keys_of(namespace: str, *names: str) -> list[Key]:
    return [(namespace, name) for name in names]


def test_who_finds_a_cluster_occupied_is_let_in_in_the_order_in_which_it_came() -> None:
    door, keys = Door(), keys_of("default", "z2", "z6", "a", "z2")
    assert door.come(("default", "z1"), "demo", *keys)
    for number in range(3):
        assert door.come(door.let_in[number])
    assert door.let_in == keys[:3]


def test_of_those_outside_the_namespaces_take_turns() -> None:
    door = Door()
    many, one = keys_of("many", "a", "b", "c"), ("one", "x")
    door.come(("many", "in"), "demo", *many, one)
    for number in range(4):
        door.come(door.let_in[number])
    assert door.let_in == [many[0], one, many[1], many[2]]


def test_who_was_let_in_goes_before_who_comes_new() -> None:
    door, waits, new = Door(), ("one", "waits"), ("many", "new")
    door.come(("many", "in"), "demo", waits)
    assert not door.come(new), "the cluster is kept"
    assert door.come(waits)
    assert door.let_in == [waits, new]


def test_one_that_has_gone_or_names_another_cluster_keeps_none_for_itself() -> None:
    door, gone, moved, last = Door(), ("one", "gone"), ("one", "moved"), ("one", "last")
    door.come(("many", "in"), "demo", gone, moved, last)
    door.clusters.leave(gone)
    assert door.let_in == [gone, moved]
    assert door.come(moved, "other")
    assert door.let_in == [gone, moved, last]
    assert door.come(last)
    assert door.come(("many", "in"))


def test_a_namespace_that_has_no_worker_to_spare_keeps_a_cluster_from_nobody() -> None:
    door, busy, free = Door(), ("busy", "waits"), ("free", "waits")
    door.taken = {"busy"}
    door.come(("many", "in"), "demo", busy, free)
    assert door.let_in == [free]
    assert door.come(free)
    assert door.come(("many", "new")), "none is let in, and it is there for whoever comes"
    door.taken = set()
    assert door.come(("many", "new"))
    assert door.let_in == [free, busy]


@pytest.mark.parametrize("goes", [True, False])
def test_one_that_has_gone_or_names_another_cluster_stands_in_no_line(goes: bool) -> None:
    door, first = Door(), ("one", "first")

    def stand(cluster: Cluster) -> Cluster:
        cluster.view = view(profile())
        cluster.line[first] = 0.0
        return cluster

    cluster = door.clusters.alone_in("demo", first, stand)
    assert cluster
    assert cluster.first(1.0) == first
    if goes:
        door.clusters.leave(first)
    else:
        assert door.come(first, "other")
    assert cluster.first(1.0) is None
    assert door.clusters.alone_in("demo", first, stand)
    assert cluster.first(1.0) == first, "one that is back stands there"


def test_clusters_that_are_not_there_are_remembered_but_not_without_end() -> None:
    clusters = Clusters(lambda _key: True)

    def look(cluster: Cluster) -> bool:
        seen = cluster.view is not None
        cluster.view = View(False, {}, 0.0)
        return seen

    for number in range(MOST_MISSING):
        assert not clusters.alone_in(f"missing-{number}", WEB, look)
    assert clusters.alone_in("missing-0", WEB, look)
    assert not clusters.alone_in("one-more", WEB, look)
    assert not clusters.alone_in("missing-0", WEB, look), "all of these are forgotten at once"


# Whose turn it is


def test_in_the_line_for_a_turn_namespaces_take_turns_and_of_one_who_came_first_is_first() -> None:
    many, one, cluster = keys_of("many", "a", "b"), ("one", "x"), Cluster()
    cluster.line = dict.fromkeys([*many, one], 0.0)
    order = []
    for now in (1.0, 2.0, 3.0):
        first = cluster.first(now)
        assert first
        order.append(first)
        cluster.leave(first)
        cluster.took_turn(first, now)
    assert order == [many[0], one, many[1]]


def test_who_comes_again_and_again_does_not_go_before_one_that_waits() -> None:
    cluster = Cluster()
    cluster.line[("other", "waits")] = 0.0
    cluster.took_turn(("other", "before"), 0.5)
    cluster.took_turn(("greedy", "before"), 1.0)
    cluster.line[("greedy", "again")] = 2.0
    assert cluster.first(3.0) == ("other", "waits")


# A cluster that is not there


def test_that_a_cluster_is_missing_is_believed_for_a_moment_and_by_who_was_told_for_as_long_again() -> None:
    cluster = Cluster()
    cluster.saw(View(False, {}, 100.0), [], 100.0)
    assert not cluster.is_old(109.9, 480.0)
    assert cluster.is_old(110.0, 480.0)
    assert not cluster.is_old(114.9, 480.0, told_missing=True)
    assert cluster.is_old(115.0, 480.0, told_missing=True)
    cluster.saw(View(False, {}, 160.0), [], 160.0)
    assert not cluster.is_old(219.9, 480.0, told_missing=True)
    assert cluster.is_old(220.0, 480.0, told_missing=True)
    cluster.saw(View(False, {}, 5000.0), [], 5000.0)
    assert cluster.is_old(5300.0, 480.0, told_missing=True)


def test_a_cluster_that_has_come_is_an_ordinary_one() -> None:
    cluster = Cluster()
    cluster.saw(View(False, {}, 100.0), [], 100.0)
    cluster.saw(view(profile()), [], 100.0)
    assert cluster.missing_since is None


def test_who_found_a_cluster_occupied_is_let_in_as_it_gets_free_though_its_namespace_has_all_its_workers() -> None:
    queue = WorkQueue(Clock().monotonic, workers=4)
    clusters = Clusters(queue.readmit)
    for key in (WEB, DB, API, ("default", "jobs")):
        queue.add(key)
    assert queue.get() == WEB

    def work(_cluster: Cluster) -> None:
        assert queue.get() == DB
        assert clusters.alone_in("demo", DB, lambda _: "never") is None
        queue.add(DB, 30, urgent=None)
        queue.done(DB)
        assert {queue.get(), queue.get()} == {API, ("default", "jobs")}, "at work in other clusters"

    clusters.alone_in("demo", WEB, work)
    queue.done(WEB)
    assert queue.get() == DB, "and not 30 s later"


# What is counted


def test_a_profile_counts_as_retained_once_it_has_no_owner_any_more() -> None:
    clusters = Clusters(lambda _key: True)
    mark = {RETAINED_KEY: "default/web"}
    seen = profile("web", tags=OURS | mark), profile("db", tags=mark), profile("api", "CREATING", tags={})
    clusters.alone_in("demo", WEB, lambda cluster: cluster.saw(view(*seen), (), 0.0))
    told = clusters.tally(is_retained)["demo"]
    assert (told.retained, told.states["ACTIVE"], told.states["CREATING"]) == (1, 2, 1)


# Whether two clusters are one


ONE, TWO, THREE = (b64encode(bytes([number]) * 50).decode() for number in (1, 2, 3))


def bundle(*certificates: str, before: str = "", end: str = "\n") -> str:
    """Return a bundle as EKS and kubeconfigs have it."""
    texts = [f"-----BEGIN CERTIFICATE-----{end}{each}{end}-----END CERTIFICATE-----{end}" for each in certificates]
    return b64encode((before + "".join(texts)).encode()).decode()


@pytest.mark.parametrize(
    ("ours", "theirs", "warns"),
    [
        (bundle(ONE), bundle(ONE), False),
        (bundle(ONE), bundle(TWO), True),
        (bundle(ONE, TWO), bundle(TWO, THREE), False),
        (bundle(ONE), bundle(ONE[:20] + "\n" + ONE[20:], before="subject=kubernetes\n", end="\r\n"), False),
        ("", bundle(TWO), False),
        (bundle(ONE), "", False),
        (bundle(ONE), bundle(), False),
        (bundle(ONE), "no base64", False),
        (bundle(ONE), bundle("abc"), False),
        ("\u00e9", bundle(TWO), False),
    ],
)
def test_a_cluster_is_another_one_only_if_both_authorities_are_known_and_share_no_certificate(
    ours: str, theirs: str, warns: bool
) -> None:
    facts = replace(GOOD, cluster=replace(GOOD.cluster or ClusterFact(), authority=theirs))
    assert bool(elsewhere(HOME, ours, facts.cluster)) is warns
    assert not elsewhere(HOME, ours, None)


ISSUER = issuer("demo")


@pytest.mark.parametrize(
    ("authority", "token", "theirs", "proven"),
    [
        (bundle(ONE), "", ClusterFact(authority=bundle(ONE, TWO)), True),
        ("", "", ClusterFact(authority=bundle(ONE)), False),
        (bundle(ONE), "", ClusterFact(authority="no base64"), False),
        (bundle(ONE), "", ClusterFact(authority=bundle(TWO)), False),
        ("", token_by(ISSUER), ClusterFact(issuer=ISSUER), True),
        (bundle(ONE), token_by(ISSUER), ClusterFact(authority=bundle(TWO), issuer=ISSUER), True),
        (bundle(ONE), token_by(issuer("other")), ClusterFact(authority=bundle(TWO), issuer=ISSUER), False),
        (bundle(ONE), "k8s-aws-v1.aHR0cHM6Ly9zdHM", ClusterFact(issuer=ISSUER), False),
        ("", token_by(""), ClusterFact(issuer=""), False),
        ("", "", ClusterFact(), False),
        (bundle(ONE), token_by(ISSUER), ClusterFact(found=False), False),
        (bundle(ONE), token_by(ISSUER), None, False),
    ],
)
def test_that_two_clusters_are_one_is_proven_by_a_certificate_or_an_issuer_in_common_and_by_nothing_else(
    authority: str, token: str, theirs: ClusterFact | None, proven: bool
) -> None:
    assert (unproven(authority, theirs, verified=True, token=token) == "") is proven
    assert unproven(authority, theirs, verified=False, token=token), "whoever need not prove who it is may be anybody"
