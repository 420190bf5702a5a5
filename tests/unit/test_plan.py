"""The plan, row by row and as a whole: pure values in, one action out."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actions import (
    AddFinalizer,
    CreateProfile,
    DeleteProfile,
    NeedFacts,
    NeedNetwork,
    Phase,
    RemoveFinalizer,
    Report,
    TagProfile,
    UntagProfile,
)
from answers import Refused, Retryable
from aws import Profile, ProfileSpec, Term, selector
from case import Case
from clusters import View, backoff
from entries import Barred
from facts import ClusterFact, RoleFact, Route, SubnetFact
from limits import Limits, Settings
from memory import remember
from plan import PLAN, must_see, plan
from spec import (
    CONTROLLER_KEY,
    FINALIZER,
    OWNER_KEY,
    RETAINED_KEY,
    TAGS_LIMIT,
    Defaults,
    Finding,
    Identity,
    InvalidSpec,
    Memory,
    Resource,
    replacement_names,
)
from surroundings import Facts, Home, Network

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
HOME = Home("aws", "us-east-1", "123456789012", "demo", "uid-1")
ROLE = "arn:aws:iam::123456789012:role/pods"
OURS = {OWNER_KEY: "default/web", CONTROLLER_KEY: "uid-1"}
SPEC = ProfileSpec(ROLE, frozenset({selector("web", {})}), frozenset({"subnet-1"}))
TRUST = {
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "eks-fargate-pods.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ]
}
GOOD = Facts(
    ClusterFact(status="ACTIVE", vpc="vpc-1"),
    {"subnet-1": SubnetFact(vpc="vpc-1", zone="us-east-1a", routes=(Route("0.0.0.0/0", "nat-1"),), free=200)},
    RoleFact(arn=ROLE, trust=TRUST, policies=frozenset({"AmazonEKSFargatePodExecutionRolePolicy"})),
)
KOPF = ("KopfFinalizerMarker",)
OTHER_OWNER = {OWNER_KEY: "team-b/web", CONTROLLER_KEY: "uid-1"}


def profile(name: str = "web", status: str = "ACTIVE", **change: Any) -> Profile:
    arn = f"arn:aws:eks:us-east-1:123456789012:fargateprofile/demo/{name}/uuid"
    made = NOW - timedelta(hours=1)
    usual = Profile(name, arn, status, made, ROLE, SPEC.selectors, frozenset({"subnet-1"}), OURS)
    return replace(usual, **change)


def who(**change: Any) -> Identity:
    usual = Identity(
        namespace="default",
        name="web",
        generation=1,
        created_at=NOW - timedelta(hours=2),
        deleted_at=None,
        finalizers=(FINALIZER,),
        cluster="demo",
        base="web",
        retain=False,
        suspended=False,
    )
    return replace(usual, **change)


def case(*profiles: Profile, **change: Any) -> Case:
    fields: dict[str, Any] = {
        "who": who(),
        "resource": Resource(SPEC, {}),
        "home": HOME,
        "view": View(True, {each.name: each for each in profiles}, 0.0),
        "memory": Memory(observed_generation=1),
        "facts": GOOD,
        "settings": Settings("demo"),
        "now": NOW,
    }
    return Case(**(fields | change))


GOING = who(deleted_at=NOW - timedelta(minutes=1))
KEPT = replace(GOING, retain=True)
ELSEWHERE = Memory(cluster_arn="arn:aws:eks:us-east-1:123456789012:cluster/other")
STRIPPED = profile(tags={})
ESTRANGED = profile(tags=OURS | {CONTROLLER_KEY: "uid-2"})
KNOWN = Memory(observed_generation=1, profile_name="web", profile_arn=STRIPPED.arn)
COUNTED = Memory(failures=1, failed_at=NOW - timedelta(minutes=1), failed_arn=profile().arn)
LOST: dict[str, Any] = {"memory": Memory(create_started_at=NOW), "lost_for": timedelta(seconds=90)}
DENIED = View(True, {}, 0.0, {"web": Refused("AccessDenied", "DescribeFargateProfile answered no.")})
UNTAGGED: dict[str, Any] = {"tags": {}}
MARKED = OURS | {RETAINED_KEY: "default/web"}

OLD = profile(role=ROLE + "-old")
ADOPTION = Settings("demo", adoption_in=frozenset({"default"}))
NO_ROLES = Settings("demo", limits=Limits(roles=("none",)))
NO_RETAIN = Settings("demo", retain_in=frozenset({"shop"}))
FROM_KOPF = Settings("demo", kopf_in=frozenset({"default"}))
TERM = Term(tags=(("fargate", "yes"),))
BY_TERMS = replace(SPEC, subnets=None, terms=(TERM,))
FITS = replace(GOOD.subnets["subnet-1"] or SubnetFact(), tags={"fargate": "yes"})
MOVED = Network({"subnet-1": replace(FITS, tags={}), "subnet-2": FITS}, "vpc-1")
UNKNOWN = Network(None)
BARE = Resource(replace(SPEC, role=""), {})  # it gives no role
ADOPTING: dict[str, Any] = {"resource": Resource(SPEC, {}, adopt=True), "settings": ADOPTION}

BARRED = Barred("ClusterNotAllowed", "Cluster shop is not for you.")

# By the row's own words: a case in which it is the first that fits, and what it answers.
ROWS: dict[str, tuple[Case, Any]] = {
    "deleting, no finalizer of ours": (case(who=replace(GOING, finalizers=("other",))), Report),
    "barred, deleting, Retain": (case(profile(), who=KEPT, memory=ELSEWHERE, barred=BARRED), RemoveFinalizer),
    "barred": (case(profile(), who=GOING, memory=ELSEWHERE, barred=BARRED), Report),
    "made elsewhere, deleting, Retain": (case(who=KEPT, memory=ELSEWHERE), RemoveFinalizer),
    "made elsewhere": (case(profile(), who=GOING, memory=ELSEWHERE), Report),
    "deleting, terms show which profile, the VPC not asked": (
        case(profile(), profile("web-0123abcd"), who=KEPT, resource=Resource(BY_TERMS, {})),
        NeedNetwork,
    ),
    "deleting, suspended": (case(profile(), who=replace(GOING, suspended=True)), Report),
    "deleting, Retain, not allowed": (case(profile(), who=KEPT, settings=NO_RETAIN), Report),
    "deleting, handed over by kopf, in flight": (
        case(profile(status="CREATING", **UNTAGGED), who=replace(GOING, finalizers=KOPF), settings=FROM_KOPF),
        Report,
    ),
    "deleting, handed over by kopf": (
        case(profile(**UNTAGGED), who=replace(GOING, finalizers=KOPF), settings=FROM_KOPF),
        TagProfile,
    ),
    "deleting, handed over by kopf, not allowed": (
        case(profile(**UNTAGGED), who=replace(GOING, finalizers=KOPF)),
        Report,
    ),
    "deleting, it is not known whether kopf made it": (
        case(
            profile(**UNTAGGED),
            who=replace(GOING, finalizers=KOPF),
            resource=Resource(BY_TERMS, {}),
            network=UNKNOWN,
        ),
        Report,
    ),
    "deleting, what may be its own is not to be seen": (case(view=DENIED, who=GOING), Report),
    "deleting, none owned, an answer may be lost": (case(who=GOING, **LOST), Report),
    "deleting, Retain, its own by another controller id": (case(ESTRANGED, who=KEPT), RemoveFinalizer),
    "deleting, its own by another controller id": (case(ESTRANGED, who=GOING, memory=KNOWN), Report),
    "deleting, none owned": (case(profile(tags=OTHER_OWNER), who=GOING), RemoveFinalizer),
    "suspended": (case(profile(), who=who(suspended=True)), Report),
    "invalid spec": (case(profile(), resource=InvalidSpec(Finding(("spec", "x"), "wrong", "mend it"))), Report),
    "none owned, no role or too many tags": (case(resource=BARE), Report),
    "none owned, not allowed": (
        case(profile(**UNTAGGED), who=who(finalizers=KOPF), settings=NO_ROLES),
        Report,
    ),
    "no finalizer": (case(who=who(finalizers=())), AddFinalizer),
    "terms, the VPC not asked": (case(profile(), resource=Resource(BY_TERMS, {})), NeedNetwork),
    "handed over by kopf, in flight": (
        case(profile(status="DELETING", **UNTAGGED), who=who(finalizers=KOPF), settings=FROM_KOPF),
        Report,
    ),
    "handed over by kopf": (case(profile(**UNTAGGED), who=who(finalizers=KOPF), settings=FROM_KOPF), TagProfile),
    "handed over by kopf, not allowed": (case(profile(**UNTAGGED), who=who(finalizers=KOPF)), Report),
    "it is not known whether kopf made it": (
        case(profile(**UNTAGGED), who=who(finalizers=KOPF), resource=Resource(BY_TERMS, {}), network=UNKNOWN),
        Report,
    ),
    "what may be its own is not to be seen": (case(view=DENIED), Report),
    "kopf's finalizer": (case(who=who(finalizers=KOPF)), AddFinalizer),
    "owned, in flight": (case(profile(status="CREATING")), Report),
    "owned, failed, resting": (case(profile(status="CREATE_FAILED")), Report),
    "owned, stripped of owner tags": (case(STRIPPED, memory=KNOWN), TagProfile),
    "deleting, Retain, several owned, terms unknown": (
        case(
            profile(),
            profile("web-0123abcd", subnets=frozenset({"subnet-2"})),
            who=KEPT,
            resource=Resource(BY_TERMS, {}, "Replace"),
            network=Network(None, error=Retryable("Throttled", "slow down")),
        ),
        Report,
    ),
    "deleting, Retain, several owned, not as wanted by terms, seen once": (
        case(
            profile(),
            profile("web-0123abcd", subnets=frozenset({"subnet-2"})),
            who=KEPT,
            resource=Resource(BY_TERMS, {}, "Replace"),
            network=MOVED,
            sure_at=NOW,
        ),
        Report,
    ),
    "deleting, Retain, several owned": (case(profile(), profile("web-0123abcd"), who=KEPT), DeleteProfile),
    "deleting, Retain, tagged, not marked": (case(profile(), who=KEPT), TagProfile),
    "deleting, Retain, tagged": (case(profile(tags=MARKED), who=KEPT), UntagProfile),
    "deleting, Retain, untagged": (case(STRIPPED, who=KEPT, memory=KNOWN), RemoveFinalizer),
    "deleting, owned": (case(profile(), who=GOING), DeleteProfile),
    "owned, failed": (case(profile(status="CREATE_FAILED"), memory=COUNTED), DeleteProfile),
    "several owned, terms unknown": (
        case(
            profile(),
            profile("web-0123abcd", subnets=frozenset({"subnet-2"})),
            resource=Resource(BY_TERMS, {}, "Replace"),
            network=UNKNOWN,
        ),
        Report,
    ),
    "several owned, not as wanted by terms, seen once": (
        case(
            profile(),
            profile("web-0123abcd", subnets=frozenset({"subnet-2"})),
            resource=Resource(BY_TERMS, {}, "Replace"),
            network=MOVED,
            sure_at=NOW,
        ),
        Report,
    ),
    "several owned": (case(profile(), profile("web-0123abcd")), DeleteProfile),
    "owned, marked as retained": (case(profile(tags=MARKED)), UntagProfile),
    "owned, no room for a tag missing": (
        case(
            profile(tags=OURS | {f"old-{number}": "x" for number in range(48)}),
            resource=Resource(SPEC, {"team": "a"}),
            memory=Memory(applied_tag_keys=("old-1",)),
        ),
        UntagProfile,
    ),
    "owned, a tag missing": (case(profile(), resource=Resource(SPEC, {"team": "a"})), TagProfile),
    "owned, a tag too many": (
        case(profile(tags={**OURS, "old": "x"}), memory=Memory(applied_tag_keys=("old",))),
        UntagProfile,
    ),
    "owned, a default tag missing": (case(profile(), defaults=Defaults(tags={"team": "a"})), TagProfile),
    "owned, as wanted": (case(profile()), Report),
    "owned, not as wanted by terms, seen once": (
        case(profile(), resource=Resource(BY_TERMS, {}), network=MOVED, sure_at=NOW),
        Report,
    ),
    "owned, not as wanted, Refuse": (case(OLD), Report),
    "none owned, to adopt, on its way": (case(profile(status="CREATING", **UNTAGGED), **ADOPTING), Report),
    "none owned, to adopt, not as wanted": (case(replace(OLD, **UNTAGGED), **ADOPTING), Report),
    "none owned, to adopt": (case(profile(**UNTAGGED), **ADOPTING), TagProfile),
    "to be made, no role or too many tags": (
        case(replace(OLD, selectors=frozenset()), resource=replace(BARE, update_policy="Replace")),
        Report,
    ),
    "to be made, not allowed": (
        case(OLD, resource=Resource(SPEC, {}, "Replace"), settings=NO_ROLES),
        Report,
    ),
    "to be made, facts unknown": (case(facts=None), NeedFacts),
    "to be made, preflight objects": (case(view=View(False, {}, 0.0)), Report),
    "to be made, the name is taken": (case(profile(tags=OTHER_OWNER)), Report),
    "owned, not as wanted, Recreate": (case(OLD, resource=Resource(SPEC, {}, "Recreate")), DeleteProfile),
    "to be made": (case(), CreateProfile),
}


def row_of(c: Case) -> str:
    return next(row.seen for row in PLAN if row.find(c))


def test_every_row_of_the_plan_has_its_case() -> None:
    assert [row.seen for row in PLAN] == list(ROWS)


@pytest.mark.parametrize("seen", ROWS)
def test_the_row_is_the_first_that_fits_its_case(seen: str) -> None:
    found, kind = ROWS[seen]
    assert row_of(found) == seen
    assert isinstance(plan(found), kind)


def test_the_profile_that_is_kept_is_the_one_as_wanted() -> None:
    old, spare = profile(role=ROLE + "-old", created_at=NOW - timedelta(days=9)), profile("web-0123abcd")
    assert case(old, spare, memory=KNOWN).serving == spare


def test_of_two_as_wanted_the_one_that_serves_is_kept_then_the_older() -> None:
    young, old = profile(), profile("web-0123abcd", created_at=NOW - timedelta(days=9))
    assert case(young, old, memory=KNOWN).serving == young
    assert case(young, old).serving == old


def test_an_object_with_retain_whose_recorded_profile_another_id_has_tagged_goes_whatever_its_name() -> None:
    other = replace(ESTRANGED, name="shop")
    assert isinstance(plan(case(other, who=KEPT, memory=KNOWN)), RemoveFinalizer)


def test_copied_owner_tags_on_a_profile_of_another_name_own_nothing() -> None:
    assert case(profile("shop")).owned == ()


def test_another_controllers_profile_is_not_ours_though_the_object_is_called_the_same() -> None:
    foreign = profile(tags=OURS | {CONTROLLER_KEY: "uid-2"})
    assert isinstance(answer := plan(case(foreign)), Report)
    assert answer.reason == "NameTaken"


def test_a_profile_that_names_another_owner_is_not_ours_whatever_status_says() -> None:
    assert case(profile(tags={OWNER_KEY: "team-b/web"}), memory=KNOWN).owned == ()


def test_a_profile_as_old_as_the_object_hands_over_and_an_older_one_does_not() -> None:
    kopf = who(finalizers=KOPF)
    same, older = kopf.created_at, kopf.created_at - timedelta(seconds=1)
    assert case(profile(created_at=same, **UNTAGGED), who=kopf, settings=FROM_KOPF).made_by_kopf
    assert not case(profile(created_at=older, **UNTAGGED), who=kopf, settings=FROM_KOPF).made_by_kopf


@pytest.mark.parametrize("by", [who(finalizers=KOPF), replace(GOING, finalizers=KOPF)])
def test_what_would_be_handed_over_but_for_the_flag_is_named_with_the_flag_and_looked_at_anew(by: Identity) -> None:
    answer = plan(case(profile(**UNTAGGED), who=by))
    assert isinstance(answer, Report)
    assert answer.reason == "NameTaken"
    assert "--take-over-from-kopf-in=default" in answer.message
    assert must_see(answer) == ("web",)
    going = plan(case(profile(status="DELETING", **UNTAGGED), who=by))
    assert isinstance(going, Report)
    assert going.reason == "WaitingForName"


def test_retain_lets_an_object_go_that_waits_for_the_flag_and_says_what_stays() -> None:
    answer = plan(case(profile(**UNTAGGED), who=replace(KEPT, finalizers=KOPF)))
    assert isinstance(answer, RemoveFinalizer)
    assert (answer.event, "web stays" in answer.message) == ("Retained", True)


def test_an_object_that_may_adopt_needs_no_other_flag() -> None:
    kopf = who(finalizers=KOPF)
    assert isinstance(plan(case(profile(**UNTAGGED), who=kopf, **ADOPTING)), AddFinalizer)


def test_a_retained_profile_with_one_owner_tag_left_gets_both_before_it_loses_both() -> None:
    """The controller's IAM policy lets it untag only what carries the owner tag."""
    half = profile(tags={CONTROLLER_KEY: "uid-1"})
    assert isinstance(plan(case(half, who=KEPT, memory=KNOWN)), TagProfile)


def test_a_profile_is_marked_as_retained_while_its_owner_tags_are_on_and_only_where_it_has_room() -> None:
    full = {f"t{number}": "x" for number in range(TAGS_LIMIT - 2)}
    assert plan(case(profile(), who=KEPT)) == TagProfile(
        profile(), {RETAINED_KEY: "default/web"}, "kept without its object"
    )
    assert row_of(case(profile(tags=OURS | full), who=KEPT)) == "deleting, Retain, tagged"
    others = full | {"aws:cloudformation:stack-name": "x"}
    del others["t0"]
    assert row_of(case(profile(tags=OURS | others), who=KEPT)) == "deleting, Retain, tagged, not marked"
    old = profile(tags=MARKED | full | {RETAINED_KEY: "shop/old"})
    assert row_of(case(old, who=KEPT)) == "deleting, Retain, tagged, not marked", "a new value takes no room"


def test_a_profile_is_let_go_with_or_without_its_mark_and_the_event_says_which() -> None:
    with_mark = profile(tags={RETAINED_KEY: "default/web"})
    for seen, said in ((with_mark, "without an owner."), (STRIPPED, "which could not be set: nothing counts it.")):
        answer = plan(case(seen, who=KEPT, memory=KNOWN))
        assert isinstance(answer, RemoveFinalizer)
        assert (answer.event, answer.message.endswith(said)) == ("Retained", True)


def test_a_retained_profile_is_not_kopf_s() -> None:
    assert not case(profile(tags={RETAINED_KEY: "shop/old"}), who=who(finalizers=KOPF), settings=FROM_KOPF).made_by_kopf


def test_an_object_whose_profile_is_out_of_reach_goes_with_retain_wherever_it_is() -> None:
    assert isinstance(plan(case(who=KEPT, memory=ELSEWHERE, settings=NO_RETAIN)), RemoveFinalizer)


def test_who_may_not_retain_is_not_told_to() -> None:
    held = case(profile(), who=replace(GOING, suspended=True))
    for seen, told in ((held, True), (replace(held, settings=NO_RETAIN), False)):
        answer = plan(seen)
        assert isinstance(answer, Report)
        assert ("Retain" in answer.message) is told


def test_a_failed_profile_rests_longer_each_time_and_at_most_ten_minutes() -> None:
    assert [backoff(n).total_seconds() for n in (1, 2, 3, 6, 7, 1000)] == [15, 30, 60, 480, 600, 600]


def test_a_long_creation_is_called_long() -> None:
    slow = profile(status="CREATING", created_at=NOW - timedelta(minutes=16))
    assert isinstance(answer := plan(case(slow)), Report)
    assert "unusually long" in answer.message


@pytest.mark.parametrize(("minutes", "long"), [(14, False), (16, True)])
def test_how_long_a_creation_takes_counts_from_when_eks_began_not_from_the_age_of_the_object(
    minutes: int, long: bool
) -> None:
    made = profile(status="CREATING", created_at=NOW - timedelta(minutes=minutes))
    for age in (timedelta(minutes=1), timedelta(days=9)):
        answer = plan(case(made, who=who(created_at=NOW - age)))
        assert isinstance(answer, Report)
        assert ("unusually long (over 15 min)" in answer.message) is long


@pytest.mark.parametrize(("minutes", "long"), [(16, False), (44, False), (46, True)])
def test_how_long_a_deletion_takes_counts_from_the_deletion_of_the_object_not_from_the_age_of_the_profile(
    minutes: int, long: bool
) -> None:
    going = who(deleted_at=NOW - timedelta(minutes=minutes))
    for age in (timedelta(minutes=1), timedelta(days=9)):
        answer = plan(case(profile(status="DELETING", created_at=NOW - age), who=going))
        assert isinstance(answer, Report)
        assert ("unusually long (over 45 min)" in answer.message) is long


def test_an_unknown_word_of_eks_is_waited_for() -> None:
    assert row_of(case(profile(status="UPDATING"))) == "owned, in flight"


REPLACE, RECREATE = Resource(SPEC, {}, "Replace"), Resource(SPEC, {}, "Recreate")


def created(c: Case) -> str:
    action = plan(c)
    assert isinstance(action, CreateProfile), action
    return action.name


def test_a_replacement_is_named_as_the_object_where_that_is_free_and_else_by_what_is_wanted() -> None:
    name = created(case(OLD, resource=REPLACE))
    assert re.fullmatch("web-[0-9a-f]{8}", name)
    assert who().may_name(name)
    assert created(case(replace(OLD, name="web-0123abcd"), resource=REPLACE)) == "web"


def test_the_name_of_a_replacement_depends_on_object_and_spec_and_on_nothing_else() -> None:
    name = created(case(OLD, resource=REPLACE))
    tagged = replace(OLD, tags=OURS | {"team": "a"})
    assert created(case(tagged, resource=Resource(SPEC, {"team": "a"}, "Replace"), memory=KNOWN)) == name
    other = replace(SPEC, subnets=None)
    assert created(case(replace(OLD, role="x"), resource=Resource(other, {}, "Replace"))) != name
    theirs = who(namespace="shop")
    owned = replace(OLD, tags=OURS | {OWNER_KEY: "shop/web"})
    assert created(case(owned, who=theirs, resource=REPLACE)) != name


def test_a_role_that_trusts_the_base_name_alone_serves_no_replacement() -> None:
    arn = "arn:aws:eks:us-east-1:123456789012:fargateprofile/demo/web"

    def trusting(pattern: str) -> Facts:
        (allowing,) = TRUST["Statement"]
        document = {"Statement": [{**allowing, "Condition": {"ArnLike": {"aws:SourceArn": pattern}}}]}
        return replace(GOOD, role=RoleFact(arn=ROLE, trust=document))

    assert created(case(facts=trusting(f"{arn}/*"))) == "web"
    refused = plan(case(OLD, resource=REPLACE, facts=trusting(f"{arn}/*")))
    assert isinstance(refused, Report)
    assert (refused.reason, f"of profile {NAMES[0]} its trust policy" in refused.message) == ("RoleNotTrusted", True)
    assert created(case(OLD, resource=REPLACE, facts=trusting(f"{arn}*"))) == NAMES[0]


def test_what_a_role_trusts_names_no_profiles_of_others_to_a_namespace_that_is_held_to_itself() -> None:
    theirs = "arn:aws:eks:us-east-1:123456789012:fargateprofile/demo/payroll/*"
    (allowing,) = TRUST["Statement"]
    document = {"Statement": [{**allowing, "Condition": {"ArnLike": {"aws:SourceArn": theirs}}}]}
    facts = replace(GOOD, role=RoleFact(arn=ROLE, trust=document))
    own = Settings("demo", limits=Limits(own_namespace=True, home="demo"))
    said, hushed = (case(facts=facts, settings=each).objections[0] for each in (Settings("demo"), own))
    assert said.reason == hushed.reason == "RoleNotTrusted"
    assert theirs in said.message
    assert "payroll" not in hushed.message
    assert "fargateprofile/demo/(one of others)/*" in hushed.message
    assert hushed.message.endswith(f'what would do is ArnLike aws:SourceArn "{theirs.replace("/payroll", "")}".')


NAMES = [*replacement_names(who(), SPEC)]


@pytest.mark.parametrize("taken", [0, 1, 2, 15])
def test_a_replacement_takes_the_first_of_its_names_that_no_profile_has_whosever_that_is(taken: int) -> None:
    tags = [OTHER_OWNER, {}, ESTRANGED.tags]
    squatters = [profile(name, tags=tags[number % 3]) for number, name in enumerate(NAMES[:taken])]
    seen = case(OLD, *squatters, resource=REPLACE, memory=KNOWN)
    assert created(seen) == NAMES[taken]
    assert created(replace(seen, memory=Memory())) == NAMES[taken], "nothing but the view says which"
    hidden = View(True, seen.view.profiles, 0.0, {NAMES[taken]: Refused("AccessDenied", "no")})
    assert plan(replace(seen, view=hidden)) != plan(seen), "what can't be seen is not asked for"


def test_a_name_that_an_own_profile_has_is_taken_too_and_no_profile_more_is_made() -> None:
    own = replace(OLD, name=NAMES[0])
    taken = profile(tags=OTHER_OWNER)
    assert created(case(taken, own, resource=REPLACE, memory=KNOWN)) == NAMES[1]
    new = profile(NAMES[1])
    action = plan(case(taken, own, new, resource=REPLACE, memory=KNOWN))
    assert isinstance(action, DeleteProfile)
    assert (action.profile, action.heir) == (own, new)
    assert row_of(case(taken, new, resource=REPLACE, memory=KNOWN)) == "owned, as wanted"


def test_a_create_whose_answer_is_open_is_asked_for_again_by_its_own_name_as_long_as_that_is_free() -> None:
    for name in (NAMES[3], "web-0123abcd"):
        marked = KNOWN.with_mark(NOW, name, "")
        seen = case(OLD, resource=REPLACE, memory=marked)
        assert created(seen) == name
        squatted = case(OLD, profile(name, tags=OTHER_OWNER), resource=REPLACE, memory=marked)
        assert created(squatted) == NAMES[0]
    assert created(case(OLD, resource=REPLACE, memory=KNOWN.with_mark(NOW, "web", ""))) == NAMES[0]
    assert created(case(OLD, resource=REPLACE, memory=KNOWN.with_mark(NOW, "shop", ""))) == NAMES[0]


def test_where_all_names_of_a_replacement_are_taken_that_is_told_and_the_old_profile_serves() -> None:
    squatters = [profile(name, tags=OTHER_OWNER) for name in NAMES]
    answer = plan(case(OLD, *squatters, resource=REPLACE, memory=KNOWN))
    assert isinstance(answer, Report)
    assert answer.reason == "NameTaken"
    assert "all 16 names that a replacement may have" in answer.message
    assert "Profile web serves as it is." in answer.message


def test_the_old_profile_serves_until_the_new_one_is_active_and_then_goes() -> None:
    new = profile("web-0123abcd", status="CREATING")
    waiting = plan(case(OLD, new, resource=REPLACE, memory=KNOWN))
    assert isinstance(waiting, Report)
    assert waiting.reason == "Replacing"
    assert "web-0123abcd" in waiting.message
    going = plan(case(OLD, replace(new, status="ACTIVE"), resource=REPLACE, memory=KNOWN))
    assert going == DeleteProfile(OLD, "web-0123abcd has taken its place", replace(new, status="ACTIVE"))
    assert must_see(going) == ("web", "web-0123abcd")


def test_of_several_none_as_wanted_the_one_that_does_not_serve_goes_first() -> None:
    spare = profile("web-0123abcd", role=ROLE + "-older", created_at=NOW - timedelta(days=9))
    action = plan(case(OLD, spare, resource=REPLACE, memory=KNOWN))
    assert isinstance(action, DeleteProfile)
    assert action.profile == spare


def test_a_profile_without_its_owner_tags_is_still_known_when_its_replacement_has_taken_over() -> None:
    """Its tags are put back in the same pass; if that call fails, the next pass must know it still."""
    stripped = replace(OLD, **UNTAGGED)
    seen = case(stripped, profile("web-0123abcd"), resource=REPLACE, memory=KNOWN)
    assert plan(seen) == TagProfile(stripped, OURS, "its owner tags were gone")
    assert isinstance(plan(replace(seen, memory=remember(seen))), TagProfile)


def test_a_failed_replacement_is_made_again_though_the_old_one_is_wanted_back() -> None:
    failed = profile("web-0123abcd", status="CREATE_FAILED")
    seen = case(profile(), failed, resource=REPLACE, memory=KNOWN)
    assert row_of(seen) == "owned, failed, resting"
    later = replace(seen, memory=remember(seen), now=NOW + timedelta(seconds=16))
    action = plan(later)
    assert isinstance(action, DeleteProfile)
    assert action.profile == failed


def test_an_edit_to_what_is_not_allowed_leaves_no_profile_too_many() -> None:
    """A replacement that was on its way is no longer wanted, and is not kept because the next one is forbidden."""
    spare = profile("web-0123abcd", role=ROLE + "-older", created_at=NOW)
    seen = case(OLD, spare, resource=REPLACE, memory=KNOWN, settings=NO_ROLES)
    assert plan(seen) == DeleteProfile(spare, "it was made for an earlier spec, web serves", OLD)


def test_recreate_deletes_only_where_the_new_one_could_be_made() -> None:
    assert isinstance(plan(case(OLD, resource=RECREATE)), DeleteProfile)
    assert isinstance(plan(case(OLD, resource=RECREATE, facts=None)), NeedFacts)
    no_role = replace(GOOD, role=RoleFact(found=False))
    refused = plan(case(OLD, resource=RECREATE, facts=no_role))
    assert isinstance(refused, Report)
    assert (refused.reason, "Profile web serves as it is." in refused.message) == ("RoleNotFound", True)
    serving = replace(OLD, name="web-0123abcd")
    taken = plan(case(serving, profile(tags=OTHER_OWNER), resource=RECREATE))
    assert isinstance(taken, Report)
    assert (taken.reason, "Profile web-0123abcd serves" in taken.message) == ("NameTaken", True)


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        (
            {"settings": Settings("demo")},
            "NameTaken",
            "has a profile web already, without an owner: delete that one, start the operator with "
            "--allow-adoption-in default to take it over, or make a new object",
        ),
        ({"resource": Resource(SPEC, {})}, "NameTaken", "delete that one, set spec.adoptionPolicy: Adopt to take"),
        (
            {"settings": Settings("demo"), "resource": Resource(SPEC, {})},
            "NameTaken",
            "start the operator with --allow-adoption-in default and set spec.adoptionPolicy: Adopt to take it over",
        ),
        (
            {"resource": Resource(replace(SPEC, role="other"), {}, adopt=True)},
            "AdoptMismatch",
            "podExecutionRoleArn: EKS has",
        ),
    ],
)
def test_a_profile_is_adopted_only_if_spec_and_operator_want_it_and_it_is_as_the_spec_says(
    change: dict[str, Any], reason: str, words: str
) -> None:
    answer = plan(case(profile(**UNTAGGED), **ADOPTING | change))
    assert isinstance(answer, Report)
    assert answer.reason == reason
    assert words in answer.message


def test_nobody_is_told_to_take_over_what_cannot_be_taken_over() -> None:
    answer = plan(case(profile(status="CREATE_FAILED", **UNTAGGED), **ADOPTING))
    assert isinstance(answer, Report)
    assert "without an owner: delete that one, or make a new object" in answer.message


@pytest.mark.parametrize("tags", [OTHER_OWNER, OURS | {CONTROLLER_KEY: "uid-2"}, {CONTROLLER_KEY: "uid-2"}])
def test_a_profile_with_an_owner_is_never_adopted(tags: dict[str, str]) -> None:
    answer = plan(case(profile(tags=tags), **ADOPTING))
    assert isinstance(answer, Report)
    assert answer.reason == "NameTaken"


# The plan as a whole: whatever is seen, these hold.

STATUSES = ["CREATING", "ACTIVE", "DELETING", "CREATE_FAILED", "DELETE_FAILED", "NEW_WORD"]
TAGS = [OURS, {}, {OWNER_KEY: "default/web"}, OTHER_OWNER, OURS | {"team": "a"}, OURS | {CONTROLLER_KEY: "uid-2"}]
TAGS += [MARKED, {RETAINED_KEY: "shop/old"}]
moments = st.sampled_from([NOW - timedelta(hours=3), NOW - timedelta(seconds=20), NOW])
profiles = st.builds(
    profile,
    st.sampled_from(["web", "web-0123abcd", "shop"]),
    st.sampled_from(STATUSES),
    created_at=moments,
    role=st.sampled_from([ROLE, ROLE + "-old"]),
    tags=st.sampled_from(TAGS),
)
memories = st.builds(
    Memory,
    observed_generation=st.just(1),
    profile_name=st.sampled_from(["", "web"]),
    profile_arn=st.sampled_from(["", profile().arn, profile().arn.replace("/demo/", "/other/")]),
    cluster_arn=st.sampled_from(["", HOME.cluster_arn, HOME.cluster_arn + "2"]),
    create_started_at=st.none() | moments,
    failures=st.integers(0, 9),
    failed_at=st.none() | moments,
    failed_arn=st.sampled_from(["", profile().arn]),
    applied_tag_keys=st.sampled_from([(), ("team",)]),
)
identities = st.builds(
    who,
    deleted_at=st.sampled_from([None, NOW]),
    finalizers=st.sampled_from([(), (FINALIZER,), KOPF, ("other",), (FINALIZER, "other")]),
    retain=st.booleans(),
    suspended=st.booleans(),
)
resources = st.sampled_from(
    [Resource(SPEC, {}), Resource(SPEC, {"team": "b"}, adopt=True), REPLACE, RECREATE, InvalidSpec()]
)
cases = st.builds(
    lambda seen, found, **rest: (
        case(*(seen if found else []), **rest, view=View(found, {}, 0.0)) if not found else case(*seen, **rest)
    ),
    st.lists(profiles, max_size=3, unique_by=lambda each: each.name),
    st.booleans(),
    who=identities,
    resource=resources,
    memory=memories,
    facts=st.sampled_from([None, GOOD]),
    settings=st.sampled_from([Settings("demo"), ADOPTION, FROM_KOPF, NO_RETAIN]),
    barred=st.sampled_from([None, None, None, BARRED]),
)


@settings(max_examples=1500, deadline=None)
@given(cases)
def test_whatever_is_seen_no_promise_is_broken_by_one_step(c: Case) -> None:
    action = plan(c)
    assert not c.barred or isinstance(action, Report | RemoveFinalizer), "nothing is sent for whom no cluster is"
    match action:
        case DeleteProfile(profile=each):
            assert each in c.owned, "S2: only what is ours is deleted"
            assert c.who.guarded, "S1: nothing is touched without our finalizer"
            assert not c.who.suspended or c.who.retain, (
                "suspended: nothing is deleted but what a retained one does not need"
            )
        case TagProfile(profile=each) | UntagProfile(profile=each):
            assert each in c.owned or each in (c.made_by_kopf, c.adoptable), "S2"
        case CreateProfile(name=name):
            assert name not in c.view.profiles
            assert len(c.owned) <= (c.update_policy == "Replace"), "at most one surplus profile"
            assert c.who.guarded and not c.who.deleting and isinstance(c.resource, Resource), "S1, S5"
        case RemoveFinalizer():
            kept = c.who.retain or not c.owned
            may = c.may_retain or not c.owned or c.elsewhere or c.barred
            assert c.who.deleting and kept and may, "S3: nothing is let go while something of it is there"
        case Report(phase=Phase.READY):
            assert c.serving and c.serving.active and c.meets(c.serving), "S7"
        case AddFinalizer():
            assert not c.who.deleting
