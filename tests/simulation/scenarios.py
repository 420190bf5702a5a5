"""Named stories of a user and the controller, each lived once for each thing that can go wrong at each point of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from aws import Term
from entries import Entry
from spec import REQUESTED_AT, Defaults, Identity, Memory, Resource, replacement_names
from tests.fakes.accounts import trust_of
from tests.simulation.checker import PLURAL, Violation, owner_tags, ready_of
from tests.simulation.deeds import FATES, FAULTS, SLEEPS, YES, fitting
from tests.simulation.fleet import EU, EXTERNAL_ID, HOMES, REGION, ROLE
from tests.simulation.world import Deed, Place, Script, World, nothing

ISSUE = {"code": "AccessDenied", "message": "as planned", "resourceIds": []}
KOPF = ("KopfFinalizerMarker",)
SELECTORS = [{"namespace": "web"}]
BY_TAG = (Term(tags=(("fargate", "yes"),)),)  # as YES, by default
BY_POOL = (Term(tags=(("pool", "b"),)),)
UNSAID = {"podExecutionRoleArn": None, "subnets": None}  # as defaults say

Story = Callable[[World], None]
STORIES: dict[str, Story] = {}


def story(live: Story) -> Story:
    STORIES[live.__name__.replace("_", " ")] = live
    return live


def made(world: World, **spec: Any) -> None:
    """Bring the world to where the object has its profile."""
    world.apply(**spec)
    world.run(20)


@story
def create(world: World) -> None:
    made(world)


@story
def create_refused(world: World) -> None:
    made(world, podExecutionRoleArn=world.account.roles["only-eks-knows"])
    world.apply(podExecutionRoleArn=world.account.roles["good"])
    world.run(20)


@story
def refused_before_it_is_sent(world: World) -> None:
    made(world, subnets=[world.account.public_subnet])
    world.edit(subnets=[*world.account.private_subnets])
    world.run(20)


@story
def invalid_spec(world: World) -> None:
    made(world, selectors=[{"namespace": "Bad_NS"}])
    world.edit(selectors=SELECTORS)
    world.run(20)


@story
def tag_edit(world: World) -> None:
    made(world, tags={"a": "x"})
    world.edit(tags={"a": "y", "b": "z"})
    world.run(10)


@story
def a_spec_that_the_store_does_not_keep(world: World) -> None:
    big = {f"{'k' * 100}{number}": "v" * 256 for number in range(48)}  # so that each pass reads the object
    made(world, tags=big)
    world.delete()
    world.run(30)


@story
def tag_dropped(world: World) -> None:
    made(world, tags={"a": "x", "b": "y"})
    world.edit(tags={"a": None})
    world.run(10)


@story
def refused_edit(world: World) -> None:
    made(world)
    world.edit(selectors=[{"namespace": "elsewhere"}])
    world.run(10)


@story
def delete(world: World) -> None:
    made(world)
    world.delete()
    world.run(20)


@story
def delete_while_creating(world: World) -> None:
    world.apply()
    world.run(3)
    world.delete()
    world.run(30)


@story
def a_neighbour_asks_for_looks_without_end(world: World) -> None:
    made(world, name="churn", namespace="team")
    world.call_seconds = 0.4
    for second in range(40):
        world.later(second / 2, partial(ask_for_a_look, world, str(second)))
    world.apply()
    world.run(30)


def ask_for_a_look(world: World, value: str) -> None:
    asked = {"metadata": {"annotations": {REQUESTED_AT: value}}}
    if world.object("churn", "team"):
        world.api.edit(PLURAL, "team", "churn", asked)


@story
def made_again_at_once_under_the_same_name(world: World) -> None:
    made(world)
    world.delete()
    for _ in range(30):
        world.run(1)
        if world.object() is None:
            break
    world.apply(tags={"second": "x"})
    world.run(20)


@story
def two_objects_one_name(world: World) -> None:
    world.apply()
    world.apply(namespace="team")
    world.run(20)
    world.delete()
    world.run(40)


@story
def ten_in_one_cluster(world: World) -> None:
    world.manners.creating_seconds = 1
    for number in range(10):
        world.apply(f"web{number}")
    world.run(70)


@story
def deleted_out_of_band(world: World) -> None:
    made(world)
    world.note("outsider", "deletes the profile")
    world.account.stored("demo").pop("web", None)
    world.run(world.resync_seconds + 20)


def start_all_as(world: World, controller_id: str) -> None:
    world.note("admin", f"starts the controller with --controller-id={controller_id!r}")
    world.controller_id = controller_id
    for process in [*world.processes]:
        world.kill(process)


def with_another_id_for_a_while(world: World, meanwhile: Callable[[], None]) -> None:
    """Not before the profile is made: an object that has none is served by whoever runs, with that one's id."""
    made(world)
    if not (obj := world.object()) or ready_of(obj).get("status") != "True":
        return
    start_all_as(world, "typo")
    world.run(10)
    meanwhile()
    world.run(20)
    start_all_as(world, "")
    world.run(20)


@story
def deleted_under_another_controller_id(world: World) -> None:
    with_another_id_for_a_while(world, world.delete)


@story
def retained_under_another_controller_id(world: World) -> None:
    def retain() -> None:
        world.edit(deletionPolicy="Retain")
        world.delete()

    with_another_id_for_a_while(world, retain)


@story
def create_failed(world: World) -> None:
    world.manners.fail_create("web", ISSUE)
    world.apply()
    world.run(60)


@story
def delete_failed(world: World) -> None:
    made(world)
    world.manners.fail_delete("web", ISSUE)
    world.delete()
    world.run(60)


@story
def kopf_hand_over(world: World) -> None:
    world.expects = "Active"
    world.apply(finalizers=KOPF)
    world.account.add_profile("demo", "web", world.account.roles["good"], SELECTORS, world.account.private_subnets)
    world.run(20)
    world.edit(tags={"a": "x"})
    world.run(10)


@story
def kopf_deleting(world: World) -> None:
    world.apply(finalizers=KOPF)
    world.account.add_profile("demo", "web", world.account.roles["good"], SELECTORS, world.account.private_subnets)
    world.delete()
    world.run(30)


@story
def kopf_profile_in_flight(world: World) -> None:
    place = ("demo", "web", world.account.roles["good"], SELECTORS, world.account.private_subnets)
    world.apply(finalizers=KOPF)
    world.account.add_profile(*place, status="CREATING")
    world.run(3)
    world.delete()
    world.run(30)


@story
def kopf_finalizer_planted(world: World) -> None:
    """In a namespace that may take nothing over: an early object, and a profile that somebody makes by hand."""
    world.apply(namespace="team", suspend=True)
    world.run(5)
    if world.object(namespace="team"):
        world.note("user", "plants kopf's finalizer in team/web")
        world.api.edit(PLURAL, "team", "web", {"metadata": {"finalizers": [*KOPF]}})
    world.account.add_profile("demo", "web", world.account.roles["good"], SELECTORS, world.account.private_subnets)
    world.edit(namespace="team", suspend=False)
    world.run(20)
    world.delete(namespace="team")
    world.run(20)


@story
def kopf_deleted_one_that_is_not_its_own(world: World) -> None:
    world.apply(finalizers=KOPF)
    world.account.add_profile("demo", "web", world.account.roles["good"], [{"namespace": "theirs"}])
    world.delete()
    world.run(10)


@story
def kopf_finalizer_swapped(world: World) -> None:
    world.apply(finalizers=KOPF)
    world.run(20)


@story
def retain(world: World) -> None:
    made(world, deletionPolicy="Retain", tags={"a": "x"})
    world.delete()
    world.run(20)


@story
def retain_where_that_is_not_allowed(world: World) -> None:
    world.apply(namespace="team", deletionPolicy="Retain")
    world.run(20)
    world.delete(namespace="team")
    world.run(20)


@story
def retain_and_adopt(world: World) -> None:
    made(world, deletionPolicy="Retain", adoptionPolicy="Adopt")
    world.delete()
    world.run(20)
    world.apply(deletionPolicy="Retain", adoptionPolicy="Adopt", tags={"b": "y"})
    world.run(20)


@story
def retain_with_a_spare_one(world: World) -> None:
    made(world, deletionPolicy="Retain")
    spare(world)
    world.delete()
    world.start("one")
    world.run(30)


def spare(world: World, subnets: Sequence[str] = ()) -> None:
    """Let a second profile be the object's: as a replacement that was broken off leaves it."""
    tags = owner_tags(("default", "web"))
    place = ("demo", "web-0123abcd", world.account.roles["good"], SELECTORS)
    world.account.add_profile(*place, subnets or world.account.private_subnets, tags=tags)


@story
def a_spare_one(world: World) -> None:
    made(world)
    spare(world)
    world.run(world.resync_seconds + 30)


@story
def retain_changed_while_deleting(world: World) -> None:
    made(world)
    world.edit(suspend=True)
    world.run(5)
    world.delete()
    world.run(5)
    world.edit(suspend=None, deletionPolicy="Retain")
    world.run(20)


@story
def suspend_while_creating(world: World) -> None:
    world.apply()
    world.run(3)
    world.edit(suspend=True)
    world.run(20)
    world.edit(suspend=None)
    world.run(10)


@story
def lost_create_then_delete(world: World) -> None:
    world.manners.visible_after = 30
    world.apply()
    world.run(2)
    world.delete()
    world.run(60)


@story
def another_default_cluster(world: World) -> None:
    made(world)
    world.note("user", "restarts the controller for another cluster")
    world.start("one", "other")
    world.run(10)
    world.delete()
    world.run(10)
    world.edit(deletionPolicy="Retain")
    world.run(20)


@story
def another_controller_s_finalizer(world: World) -> None:
    world.apply(finalizers=("another.example/finalizer",))
    world.run(20)
    world.delete()
    world.run(30)
    if obj := world.object():
        others = [each for each in obj["metadata"]["finalizers"] if each != "another.example/finalizer"]
        world.api.edit(PLURAL, "default", "web", {"metadata": {"finalizers": others}})


@story
def owner_tags_stripped(world: World) -> None:
    made(world)
    stored = world.account.stored("demo").get("web")
    if stored:
        world.checker.tags_stripped(stored.body["fargateProfileArn"])
        world.account.strip_tags("demo", "web", owner_tags(("default", "web")))
    world.run(world.resync_seconds + 20)


@story
def replaced(world: World) -> None:
    made(world, updatePolicy="Replace", tags={"a": "x"})
    world.edit(selectors=[{"namespace": "elsewhere"}])
    world.run(30)
    world.edit(selectors=SELECTORS)
    world.run(30)
    world.delete()
    world.run(20)


@story
def replaced_in_vain(world: World) -> None:
    made(world, updatePolicy="Replace")
    world.edit(podExecutionRoleArn=world.account.roles["only-eks-knows"])
    world.run(20)
    world.edit(podExecutionRoleArn=world.account.roles["good"])
    world.run(20)


@story
def not_allowed(world: World) -> None:
    made(world, podExecutionRoleArn="arn:aws:iam::123456789012:role/admin")
    world.edit(podExecutionRoleArn=world.account.roles["good"])
    world.run(20)


@story
def replaced_by_what_is_not_allowed(world: World) -> None:
    made(world, updatePolicy="Replace")
    world.edit(podExecutionRoleArn="arn:aws:iam::123456789012:role/admin")
    world.run(20)


@story
def recreated(world: World) -> None:
    made(world, updatePolicy="Recreate")
    world.edit(selectors=[{"namespace": "elsewhere"}])
    world.run(30)


@story
def recreated_not_now(world: World) -> None:
    made(world, updatePolicy="Recreate")
    world.edit(subnets=[world.account.public_subnet])
    world.run(20)


def unowned(world: World, namespace: str = "web", status: str = "ACTIVE") -> None:
    place = ("demo", "web", world.account.roles["good"], [{"namespace": namespace}], world.account.private_subnets)
    world.account.add_profile(*place, status=status)


@story
def adopted(world: World) -> None:
    unowned(world)
    world.apply(adoptionPolicy="Adopt")
    world.run(20)
    world.delete()
    world.run(20)


@story
def adopted_once_it_is_there(world: World) -> None:
    unowned(world, status="CREATING")
    made(world, adoptionPolicy="Adopt")


@story
def adopted_only_as_wanted(world: World) -> None:
    unowned(world, namespace="theirs")
    made(world, adoptionPolicy="Adopt")
    world.edit(selectors=[{"namespace": "theirs"}])
    world.run(20)


@story
def asked_for_a_look(world: World) -> None:
    made(world)
    note = {"fargateprofiles.jicomusic.com/reconcile-requested-at": "now"}
    world.api.edit(PLURAL, "default", "web", {"metadata": {"annotations": note}})
    world.run(10)


@story
def replaced_where_its_names_are_taken(world: World) -> None:
    made(world, updatePolicy="Replace")
    if obj := world.object():
        spec = Resource.parse(obj | {"spec": obj["spec"] | {"selectors": [{"namespace": "elsewhere"}]}})
        names = [*replacement_names(Identity.parse(obj, Memory(), "demo"), spec.profile)]
        world.note("outsider", f"takes the names {names[0]} and {names[1]}")
        for name in names[:2]:
            place = ("demo", name, world.account.roles["good"], [{"namespace": "theirs"}])
            world.account.add_profile(*place, world.account.private_subnets)
    world.edit(selectors=[{"namespace": "elsewhere"}])
    world.run(40)
    world.delete()
    world.run(20)


@story
def retained_while_it_is_replaced(world: World) -> None:
    made(world, updatePolicy="Replace", deletionPolicy="Retain")
    world.edit(selectors=[{"namespace": "elsewhere"}])
    world.run(3)
    world.delete()
    world.run(30)


@story
def an_orphan(world: World) -> None:
    place = ("demo", "lost", world.account.roles["good"], SELECTORS, world.account.private_subnets)
    world.account.add_profile(*place, tags=owner_tags(("default", "gone")))
    made(world)


@story
def set_back(world: World) -> None:
    """An object is made after the snapshot, one is deleted, and one is marked; then etcd is restored."""
    made(world)
    world.apply("db", tags={"a": "x"})
    restore = world.snapshot()
    world.run(20)
    world.apply("api")
    world.run(20)
    world.delete()
    world.run(20)
    restore()
    world.run(20)
    world.apply("api")
    world.run(30)


@story
def set_back_for_good(world: World) -> None:
    """What was made after the snapshot stays without an object."""
    made(world)
    restore = world.snapshot()
    world.apply("lost")
    world.run(20)
    restore()
    world.run(world.resync_seconds + 20)


@story
def a_revoked_list(world: World) -> None:
    made(world)
    world.unlisted = True
    world.run(world.resync_seconds + 20)
    world.unlisted = False
    world.run(30)


@story
def two_replicas_and_a_lease(world: World) -> None:
    world.elect = True
    world.resync_seconds = 40  # else most of what happens is that the Lease is renewed
    world.start("one")
    world.start("two")
    made(world, tags={"a": "x"})
    world.edit(tags={"a": "y"})
    world.run(5)
    world.delete()
    world.run(30)


@story
def drifted_while_nobody_led(world: World) -> None:
    world.elect = True
    world.resync_seconds = 40
    made_by = world.start("one")
    world.apply("api", clusterName="other")
    made(world)
    world.note("outsider", "deletes a profile")
    made_by.alive = False
    world.account.stored("other").pop("api", None)
    world.run(3)
    world.start("one")
    world.run(15 + world.resync_seconds + 20)


@story
def stranded_pods_are_made_anew(world: World) -> None:
    """A ReplicaSet is there before its profile; EKS takes the pod that it makes for the one that is evicted."""
    world.resync_seconds = 60
    world.with_pods().owner("web", "app")
    world.start("one")
    made(world, strandedPods="Evict")
    for _ in range(20):
        world.run(15)
        if not world.evictable():
            break


# Of several accounts and regions


def made_elsewhere(world: World, *listed: Entry, **spec: Any) -> None:
    """Bring the world to where one object has its profile at home, and one of the same profile's name elsewhere."""
    world.fleet.open(*listed)
    world.start("one")
    world.apply("home", profileName="same")
    made(world, clusterName="eu", profileName="same", **spec)


@story
def two_homes(world: World) -> None:
    made_elsewhere(world, tags={"a": "x"})
    world.edit(tags={"a": "y", "b": None})
    world.run(10)
    world.delete()
    world.run(30)


@story
def two_homes_and_replicas_that_hear_of_the_file_one_after_the_other(world: World) -> None:
    world.elect, world.resync_seconds = True, 60
    world.fleet.open()
    world.start("one")
    world.start("two")
    world.apply(clusterName="eu")
    world.run(14)
    world.fleet.write()
    world.run(1)
    world.processes[0].alive = False  # which leads, and has not heard of the file yet
    world.edit(tags={"a": "x"})
    world.run(22)


@story
def an_entry_goes_and_comes_back(world: World) -> None:
    made_elsewhere(world)
    world.fleet.write()
    world.run(10)
    world.edit(tags={"a": "x"})
    world.delete()
    world.run(10)
    world.fleet.write(EU)
    world.run(30)


@story
def an_entry_goes_while_its_object_is_made(world: World) -> None:
    world.fleet.open()
    world.start("one")
    world.apply(clusterName="eu")
    world.run(2)
    world.fleet.write()
    world.run(10)
    world.fleet.write(EU)
    world.run(20)


@story
def an_entry_goes_and_its_object_is_let_go(world: World) -> None:
    made_elsewhere(world, deletionPolicy="Retain")
    world.fleet.write()
    world.run(10)
    world.delete()
    world.run(10)


@story
def an_entry_is_moved_to_another_region(world: World) -> None:
    made_elsewhere(world)
    world.fleet.write(replace(EU, region=REGION))
    world.run(10)
    world.edit(tags={"a": "x"})
    world.delete()
    world.run(20)
    world.fleet.write(EU)
    world.run(30)


@story
def an_entry_is_not_for_this_namespace(world: World) -> None:
    world.fleet.open(replace(EU, namespaces=("team",)))
    world.start("one")
    world.apply(clusterName="eu")
    made(world, namespace="team", clusterName="eu")
    world.fleet.write(replace(EU, namespaces=("def*",)))
    world.run(30)


@story
def a_role_that_lets_nobody_in(world: World) -> None:
    world.fleet.open()
    world.fleet.trust.clear()
    world.start("one")
    world.apply("home")
    made(world, clusterName="eu")
    world.fleet.trust[ROLE] = trust_of(external_id=EXTERNAL_ID)
    world.run(40)


@story
def keys_of_a_role_end(world: World) -> None:
    world.fleet.sts.life_seconds = 150.0
    made_elsewhere(world)
    world.run(200)
    world.edit(tags={"a": "x"})
    world.run(10)


@story
def a_region_that_is_down(world: World) -> None:
    made_elsewhere(world)
    world.fleet.down.add(EU.region)
    world.edit(tags={"a": "x"})
    world.apply("db")
    world.run(12)
    world.fleet.down.clear()
    world.run(12)


def chosen(world: World, **spec: Any) -> None:
    """Bring the world to where an object has its profile in the one subnet that has the tag."""
    world.resync_seconds = 40
    world.start("one")
    world.fleet.tag(world.account, world.account.private_subnets[0], fargate="yes")
    made(world, subnets=None, subnetSelectorTerms=YES, **spec)


@story
def a_subnet_is_added(world: World) -> None:
    chosen(world, updatePolicy="Replace")
    world.fleet.tag(world.account, world.account.private_subnets[1], fargate="yes")
    world.run(150)


@story
def a_tag_moves(world: World) -> None:
    chosen(world, updatePolicy="Replace")
    world.fleet.tag(world.account, world.account.private_subnets[1], fargate="yes")
    world.fleet.tag(world.account, world.account.private_subnets[0], fargate="")
    world.run(150)


@story
def a_tag_moves_and_the_profile_stays(world: World) -> None:
    chosen(world)
    world.fleet.tag(world.account, world.account.private_subnets[1], fargate="yes")
    world.fleet.tag(world.account, world.account.private_subnets[0], fargate="")
    world.run(150)


@story
def no_subnet_has_the_tag_for_a_while(world: World) -> None:
    chosen(world, updatePolicy="Recreate")
    world.fleet.tag(world.account, world.account.private_subnets[0], fargate="")
    made(world, name="db", subnets=None, subnetSelectorTerms=YES)
    world.run(70)
    world.fleet.tag(world.account, world.account.private_subnets[0], fargate="yes")
    world.run(20)


@story
def no_role(world: World) -> None:
    made(world, podExecutionRoleArn=None)
    world.edit(podExecutionRoleArn=world.account.roles["good"])
    world.run(20)


@story
def a_create_failed_and_the_role_went(world: World) -> None:
    world.manners.fail_create("web", ISSUE)
    made(world)
    world.edit(podExecutionRoleArn=None)
    world.run(20)
    world.edit(podExecutionRoleArn=world.account.roles["good"])
    world.run(20)


@story
def replaced_without_a_role(world: World) -> None:
    made(world, updatePolicy="Replace")
    world.edit(podExecutionRoleArn=None, selectors=[{"namespace": "elsewhere"}])
    world.run(20)
    world.edit(podExecutionRoleArn=world.account.roles["good"], selectors=SELECTORS)
    world.run(20)


@story
def a_spare_one_beside_one_of_terms(world: World) -> None:
    chosen(world)
    spare(world)
    world.run(60)


# Of terms where kopf was, and where two profiles are there


@story
def kopf_and_terms_that_match_nothing(world: World) -> None:
    by_kopf_and_terms(world)
    world.fleet.tag(world.account, world.account.private_subnets[0], fargate="yes")
    world.run(50)


@story
def kopf_deleting_and_terms_that_match_nothing(world: World) -> None:
    by_kopf_and_terms(world)
    world.delete()
    world.run(10)
    world.fleet.tag(world.account, world.account.private_subnets[0], fargate="yes")
    world.run(50)


def by_kopf_and_terms(world: World) -> None:
    """Have an object of kopf's, whose terms match no subnet yet, and the profile that kopf made for it."""
    world.resync_seconds = 40
    world.start("one")
    world.apply(finalizers=KOPF, subnets=None, subnetSelectorTerms=YES)
    place = ("demo", "web", world.account.roles["good"], SELECTORS)
    world.account.add_profile(*place, world.account.private_subnets[:1])
    world.run(10)


@story
def retained_with_a_spare_one_while_no_subnet_can_be_read(world: World) -> None:
    chosen(world, updatePolicy="Replace", deletionPolicy="Retain")
    spare(world, world.account.private_subnets[1:])
    world.throttled.add("describe_subnets")
    world.delete()
    world.start("one")
    world.run(10)
    world.throttled.clear()
    world.run(30)


# Of defaults


@story
def a_default_tag_comes_and_goes(world: World) -> None:
    world.fleet.write(*HOMES)
    world.start("one")
    world.fleet.give(demo=Defaults("fargate-pods", tags={"a": "x", "b": "default"}))
    world.run(10)
    made(world, podExecutionRoleArn=None, tags={"b": "own"})
    world.fleet.give(demo=Defaults("fargate-pods"))
    world.run(15)
    world.fleet.give(demo=Defaults("fargate-pods", tags={"a": "y", "b": "default", "c": "z"}))
    world.run(15)


def made_by_defaults(world: World, **spec: Any) -> None:
    """Bring the world to where an object that says nothing but what it selects has its profile."""
    first, second = world.account.private_subnets
    world.fleet.tag(world.account, first, fargate="yes")
    world.fleet.tag(world.account, second, pool="b")
    world.fleet.start_with(Defaults("fargate-pods", BY_TAG))
    world.run(3)
    made(world, **UNSAID, **spec)


@story
def defaults_change_and_an_edit_takes_them_up(world: World) -> None:
    made_by_defaults(world, updatePolicy="Replace")
    world.fleet.start_with(Defaults("fargate-inline-policy", BY_POOL))
    world.run(150)
    world.edit(tags={"a": "x"})
    world.run(30)


@story
def defaults_change_and_a_look_takes_them_up(world: World) -> None:
    made_by_defaults(world, updatePolicy="Recreate")
    world.fleet.start_with(Defaults("fargate-inline-policy", BY_TAG))
    world.run(20)
    if world.object():
        world.api.edit(PLURAL, "default", "web", {"metadata": {"annotations": {REQUESTED_AT: "now"}}})
    world.run(30)


@story
def defaults_go_and_what_serves_stays(world: World) -> None:
    made_by_defaults(world, updatePolicy="Replace")
    world.fleet.start_with(Defaults())
    world.run(10)
    world.edit(tags={"a": "x"})
    world.run(10)


@story
def a_tag_of_a_default_moves(world: World) -> None:
    world.resync_seconds = 40
    made_by_defaults(world, updatePolicy="Replace")
    first, second = world.account.private_subnets
    world.fleet.tag(world.account, second, fargate="yes")
    world.fleet.tag(world.account, first, fargate="")
    world.run(150)


EVERYTHING = (*FAULTS, *FATES, *SLEEPS)


@dataclass(frozen=True)
class Case:
    """One thing going wrong at one point of a story, by their numbers."""

    story: str
    point: int
    number: int
    cell: tuple[str, str] = ("", "")  # the call that it meets, and what

    def script(self, _world: World, place: Place) -> Deed | None:
        return fitting(EVERYTHING, place.call, place.side)[self.number] if place.number == self.point else None


def begin(script: Script = nothing) -> World:
    """Make the world in which every story begins."""
    world = World(script, seed=1)
    world.manners.creating_seconds = world.manners.deleting_seconds = 6
    world.start("one")
    return world


def play(world: World, name: str) -> None:
    """Live a story from its beginning to the silence at its end."""
    STORIES[name](world)
    world.settle()


def cases(name: str) -> list[Case]:
    """Return all that can happen in a story: nothing, and at each point of its undisturbed run each thing that fits."""
    world, found = begin(), [Case(name, 0, 0)]

    def note(_world: World, place: Place) -> None:
        operation = place.call.operation if place.call else ""
        for number, each in enumerate(fitting(EVERYTHING, place.call, place.side)):
            found.append(Case(name, place.number, number, (operation, each.name)))

    world.script = note
    with suppress(Violation):  # which the first case will tell
        play(world, name)
    return found
