"""What an object's status is to remember of what was seen, before anything is done about it; and where
the plan leads if all goes well.

The picture: case -> `remember` -> the `Memory` that the next case is made of. Before a create `marked`; the mark
stands until a look has shown what came of it. `foresee` goes through plan and memory until there is nothing to change.

Pure: no clock, no call, no log. What it is not: the fields of the memory (spec's), or the write (reconcile's).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta

from actions import (
    AddFinalizer,
    Change,
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
from aws import Profile, ProfileSpec
from case import Case
from clusters import View
from kube import Object
from plan import plan, takes_for_granted
from spec import FINALIZER, Memory, Resource
from surroundings import Facts, Network
from wanted import remembered_defaults
from workqueue import Since

SEND_WITHIN_SECONDS = 5.0  # of a mark: whoever slept longer looks again first


def remember(c: Case) -> Memory:
    """Return what status is to remember of the profiles that this case shows."""
    if c.elsewhere or c.hidden:  # a look that was asked for is had, and has decided nothing
        due = c.takes_up and c.memory.decided == c.who.generation
        return c.memory.but(decided_generation=0) if due else c.memory
    now = decided(c)
    return _seen(c).but(decided_generation=None if now == c.memory.observed_generation else now)


def decided(c: Case) -> int:
    """Return the generation for which this pass decides on the defaults.

    Where status is lost, a request that is still there may be one of long ago: it decides nothing until it has had its
    look.
    """
    return c.memory.decided if c.memory.decided < 0 and c.who.asks(c.memory) else c.who.generation


def _seen(c: Case) -> Memory:
    if not c.serving:
        # What another controller id has tagged for this very object is not forgotten: a setting may be wrong.
        return c.memory if c.recorded and c.is_estranged(c.recorded) else without_a_profile(c.memory)
    memory = with_profile(c, c.serving)
    if create_is_answered(c):
        memory = memory.with_mark(None, "", "")
    if c.failed:
        return memory.counting(c.failed, c.now)
    if c.serving.active and c.meets(c.serving):
        return memory.settled()
    return memory.but(failed_arn="")  # once on its way again, the same profile may fail anew


def without_a_profile(memory: Memory) -> Memory:
    # The cluster of a create whose answer is open is where its profile may still appear.
    cluster_arn = memory.cluster_arn if memory.create_started_at else ""
    return memory.but(profile_name="", profile_arn="", cluster_arn=cluster_arn, failed_arn="")


def with_profile(c: Case, serving: Profile) -> Memory:
    """Remember the serving profile, and which of its tags are the spec's."""
    # The ARN alone may show a profile without owner tags to be ours: it stays until that one has
    # them back.
    all_tagged = all(c.owner_tags.keys() <= each.tags.keys() for each in c.owned)
    arn = serving.arn if all_tagged else c.memory.profile_arn
    memory = c.memory.but(profile_name=serving.name, profile_arn=arn, cluster_arn=c.home.cluster_arn)
    if not c.spec:
        return memory
    memory = with_defaults(c, memory) if c.takes_up or c.by_default_again else memory
    # A default tag that was there is somebody else's: what we set was noted before it was sent, unless status is lost.
    ours = c.own_tags if c.memory.decided >= 0 else c.wanted_tags
    # So is one of another value than the object's own: it may be that AWS does not let us set that.
    taken = {key for key, value in ours.items() if serving.tags.get(key) == value}
    noted = set(memory.applied_tag_keys) & serving.tags.keys()
    memory = memory.but(applied_tag_keys=tuple(sorted((noted | taken) - c.owner_tags.keys())))
    return memory.but(default_tag_keys=of_defaults(c, memory))


def with_tags(c: Case, memory: Memory, keys: Collection[str]) -> Memory:
    """Remember the keys of tags that are about to be set, and which of them the object does not ask for itself."""
    memory = memory.with_tag_keys(keys)
    return memory.but(default_tag_keys=of_defaults(c, memory))


def of_defaults(c: Case, memory: Memory) -> tuple[str, ...]:
    """Return the keys of tags that were set for a default: one that has gone since is no removal by an edit."""
    given = {*memory.default_tag_keys, *c.defaults.tags} - c.own_tags.keys()
    return tuple(sorted(given & set(memory.applied_tag_keys)))


def with_defaults(c: Case, memory: Memory) -> Memory:
    """Remember the defaults that the profile is, or is to be, made by: from now on they are held against it."""
    if not isinstance(c.resource, Resource):
        return memory
    return memory.but(**remembered_defaults(c.resource, c.home, c.defaults))


def taken_over(c: Case, profile: Profile, memory: Memory) -> Memory:
    """Remember the defaults that a profile stands on which is taken over: those by which it could have been made."""
    memory = with_defaults(c, memory)
    return memory if c.as_of_now(profile) else memory.but(default_subnets="")


def marked(c: Case, create: CreateProfile, memory: Memory) -> Memory:
    """Remember that a create is about to be sent: its answer may be lost, and it may come true all the same."""
    before_arn = ""
    if c.memory.profile_name == create.name:
        before_arn = c.memory.profile_arn
    elif c.memory.create_name == create.name:
        before_arn = c.memory.create_before_arn
    # Its tag keys beside those of before: an earlier create may yet come true.
    memory = with_tags(c, with_defaults(c, memory), c.wanted_tags.keys() - c.owner_tags.keys())
    memory = memory.with_mark(c.now, create.name, before_arn)
    return memory.but(first_tried_at=memory.first_tried_at or c.now, cluster_arn=c.home.cluster_arn)


def made_by_the_mark(c: Case) -> Profile | None:
    """Return the profile that the mark of a create waits for, once it is there.

    Not while it is CREATING, to spare a write. What was known under that name before is not it.
    """
    if c.memory.create_started_at is None:
        return None
    made = next((each for each in c.owned if each.name == c.memory.create_name), None)
    if made is None or made.status == "CREATING" or made.arn == c.memory.create_before_arn:
        return None
    return made


def create_is_answered(c: Case) -> bool:
    """Say whether the mark has its answer: by a look in this very pass, which has read the object with the mark."""
    made = made_by_the_mark(c)
    return made is not None and made.name in c.looked


def must_see_for_the_mark(c: Case) -> tuple[str, ...]:
    """Return the profile that would answer the mark, to be looked at first: an older view may have an older one."""
    made = made_by_the_mark(c)
    return (made.name,) if made else ()


def must_see_for_tags(c: Case) -> tuple[str, ...]:
    """Return the profile of which tag keys would be forgotten, to be looked at first.

    In an older view, the tags that another process has set may be missing.
    """
    if not (c.spec and c.serving):
        return ()
    forgotten = set(c.memory.applied_tag_keys) - c.serving.tags.keys()
    return (c.serving.name,) if forgotten else ()


def lost_for(obj: Object, memory: Memory, marks: Since, now: float, lost_create: timedelta) -> timedelta:
    """Return for how long the create that status marks may still come true.

    Counted from when this process first saw the mark: no clock is compared with another machine's.
    """
    key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
    if memory.create_started_at is None:
        marks.forget(key)
        return timedelta(0)
    what = (obj["metadata"]["uid"], memory.create_name, memory.create_started_at)
    return lost_create - timedelta(seconds=now - marks.when(key, what, now))


# Where the plan leads, for those who ask before anything is done.


def foresee(
    case: Case, facts: Callable[[ProfileSpec], Facts], network: Callable[[], Network], ready: bool = False
) -> tuple[list[Change], Report, Case]:
    """Follow the plan as if each change went well at once; return the changes, where it ends, and the case then.

    Raises what kept the subnets from being read, but for an object that is `ready` as it is, and stays so.
    """
    changes: list[Change] = []
    while True:
        action = plan(case)
        granted = takes_for_granted(action) and not ready
        if case.network and case.network.error and (granted or isinstance(action, NeedFacts)):
            raise case.network.error
        match action:
            case Report(phase=Phase.STALLED, until=datetime() as rested):
                case = replace(case, now=rested, memory=remember(case))
            case Report():
                return changes, action, case
            case RemoveFinalizer(event=event, message=message):
                return changes, Report(Phase.IDLE, event, message), case
            case AddFinalizer():
                guarded = (*case.who.others_finalizers, FINALIZER)
                case = replace(case, who=replace(case.who, finalizers=guarded))
            case NeedFacts(spec=spec):
                case = replace(case, facts=facts(spec))
            case NeedNetwork():
                case = replace(case, network=network())
            case CreateProfile() | DeleteProfile() | TagProfile() | UntagProfile():
                changes.append(action)
                case = replace(case, view=after(case, action), memory=remember(case))


def after(case: Case, change: Change) -> View:
    """Return the cluster once EKS is done with a change."""
    match change:
        case CreateProfile(name=name, spec=spec):
            arn = f"{case.home.cluster_arn.replace(':cluster/', ':fargateprofile/')}/{name}/planned"
            wanted = spec.role, spec.selectors, spec.subnets or frozenset()
            return case.view.showing(name, Profile(name, arn, "ACTIVE", case.now, *wanted, case.wanted_tags))
        case DeleteProfile(profile=profile):
            return case.view.showing(profile.name, None)
        case TagProfile(profile=profile, tags=tags):
            return case.view.showing(profile.name, replace(profile, tags={**profile.tags, **tags}))
        case UntagProfile(profile=profile, keys=keys):
            rest = {key: value for key, value in profile.tags.items() if key not in keys}
            return case.view.showing(profile.name, replace(profile, tags=rest))
    return case.view
