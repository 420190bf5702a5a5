"""The safety promises of the controller, one function each, judged around every effect of the simulated world.

The checker knows the truth: which profile was made for which object, what each process has been shown, what each pass
stands on. It judges by that and by the two worlds, never by the plan. `EXCEPTIONS` are the only cases in which a
promise may break, since nothing can fence EKS, or a human; each is counted when it is used.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ParamValidationError

from clusters import BLIND_TURN_SECONDS
from limits import Limits
from spec import CONTROLLER_KEY, FINALIZER, KOPF_FINALIZERS, OWNER_KEY
from tests.fakes.apiserver import Change
from tests.simulation.defaults import ROLES, Born, asked_of, completed, fields_of, says, says_all, settled_of, with_role
from tests.simulation.evictions import Evictions

if TYPE_CHECKING:
    from entries import Entries
    from spec import Defaults
    from tests.fakes.eks import Memory
    from tests.fakes.eks_rules import Stored
    from tests.simulation.world import Call, Look, Process, World

Object = dict[str, Any]
Key = tuple[str, str]

PLURAL = "fargateprofiles"
CONTROLLER = "sim"
ANOTHERS_FINALIZER = "another.example/finalizer"
ADOPTION_IN = KOPF_IN = RETAIN_IN = frozenset({"default"})
LIMITS = Limits(roles=("*:role/fargate-*",))
WRITES = {"CreateFargateProfile", "DeleteFargateProfile", "TagResource", "UntagResource"}
SLEPT = "slept before a create"
CHANGED = "changed after the look"
FINALIZERS = "finalizers stripped"
TAGS = "tags stripped"
SET_BACK = "set back"
EXCEPTIONS = {
    SLEPT: "a create that came 2 min after its check, or after a later one of the same object: its process slept (S1)",
    CHANGED: "a profile or an object that others changed between the last look at it and a change (S2)",
    FINALIZERS: "a human who took finalizers away by hand (S1, S3)",
    TAGS: "a human who took owner tags away by hand (S1, S2, S3)",
    SET_BACK: "an API server that was set back: a profile that was made, marked, or retained since (S1, S3)",
}
SENT_SECONDS = 10.0  # of the mark of a create, after which it is not sent any more
DEFAULTS_HEARD_SECONDS = 60.0  # after a change of defaults, in any case, all have heard of it
TAGS_HEARD_SECONDS = 200.0  # a resync and two looks after a change of tags, in any case, all have heard of it
# What EKS refuses by quotas, network and roles; what else it refuses of an input holds in every account.
OF_THIS_ACCOUNT = re.compile("more than|Trust Policy|[Ss]ubnet|Availability Zone")


class Violation(BaseException):
    """A promise does not hold; not an Exception, so that no catch-all of the controller swallows it."""

    def __init__(self, promise: str, text: str) -> None:
        super().__init__(f"{promise}: {text}")
        self.promise = promise


@dataclass
class Made:
    """A profile, by the controller's doing since `at`: for which object, and why it may be without it, if it may."""

    key: Key
    uid: str
    at: float
    kept: bool = False
    excuse: str = ""


class Checker:
    """Takes note of what happens, and has each promise judged when something happens that may break it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.made: dict[str, Made] = {}  # by ARN
        self.foreign: dict[str, dict[str, str]] = {}  # tags that outsiders have put on a profile, by ARN
        self.forgotten: set[str] = set()  # ARNs of profiles of which nobody can tell any more who set which tag
        self.unguarded: set[str] = set()  # uids of objects from which a human took the finalizers
        self.lost: list[tuple[float, float]] = []  # from when to when what was written is lost
        self.born: dict[str, Born] = {}  # profiles that the controller has made, by ARN
        self.settled: dict[str, tuple[int, str]] = {}  # by uid: the last edit and look that an object was served by
        self.asked_at: dict[str, float] = {}  # by uid: when somebody has edited an object last, or asked for a look
        self.evictions = Evictions(self)
        self._latest: dict[str, Look] = {}  # by uid: the pass that has marked a create last
        self._judged = 0  # so many changes of objects have been looked at

    def sends(self, process: Process, call: Call) -> None:
        """Judge what a process has made up its mind to send."""
        if call.operation in {"CreateFargateProfile", "DeleteFargateProfile"}:
            s4_nothing_is_sent_while_something_is_known_to_fly(process, call)
        process.look.has_sent |= call.operation in WRITES
        if call.operation in {*WRITES, "CreateEviction"} or call.operation.startswith("Patch"):
            nothing_is_changed_without_the_lease(process, call)
        if call.service == "eks":
            no_object_reaches_what_its_namespace_is_not_listed_for(process, call)
        if call.operation == "PatchStatus":
            no_create_is_marked_that_can_t_be_signed(process, call)

    def before(self, process: Process, call: Call) -> None:
        """Judge a call in the moment in which it takes effect."""
        if call.operation == "CreateFargateProfile":
            nothing_is_replaced_without_a_reason(self, process, call)
            nothing_is_replaced_for_a_subnet_that_was_added(self, process, call)
            s5_a_create_says_what_its_object_says(process, call)
        elif call.operation in WRITES:
            s2_only_an_own_profile_is_changed(self, process, call)
        if call.operation == "DeleteFargateProfile":
            s2_what_is_to_be_kept_is_not_deleted(self, process, call)
            nothing_is_deleted_to_be_made_anew_without_a_reason(self, process, call)
        if call.operation == "CreateEviction":
            s2_only_a_stranded_pod_is_evicted(self, process, call)

    def after(self, process: Process, call: Call, answer: Any) -> None:
        """Take note of what has happened, and judge the world."""
        if call.operation in WRITES:
            s5_no_wrong_input_reaches_aws(call, answer)
        if call.operation == "CreateEviction":
            no_owner_loses_pods_without_end(self, process, call, answer)
        if isinstance(answer, Exception):
            return
        if call.operation == "CreateFargateProfile":
            self._created(process, answer["fargateProfile"]["fargateProfileArn"])
        if call.operation == "TagResource":
            self._tagged(process, call.request)
        if call.operation == "PatchStatus" and answer.status < 300:
            self._status_written(process, answer.body)
        if call.operation in WRITES or call.operation.startswith("Patch"):
            self.look(process)

    def told(self, process: Process, call: Call, answer: Any) -> None:
        """Take note of what a process has been shown of EKS."""
        if call.service == "kube":
            self.evictions.told(process, call, answer)
        if call.service != "eks" or call.operation == "DescribeCluster":
            return
        cluster, _, name = call.about.partition("/")
        known = process.knows.setdefault(cluster, {})
        long_ago = self.world.clock.elapsed >= process.known_at.get((cluster, name), 0.0) + BLIND_TURN_SECONDS
        if isinstance(answer, Exception):
            code = answer.response["Error"]["Code"] if isinstance(answer, ClientError) else ""
            unlisted = call.operation == "ListFargateProfiles" and code != "ResourceNotFoundException"
            process.look.unlisted = process.look.unlisted or unlisted
            if code == "ResourceNotFoundException" or "AccessDenied" in code or long_ago:
                known.pop(name, None)  # what can't be seen keeps no turn
        elif "fargateProfileNames" in answer:
            for gone in known.keys() - set(answer["fargateProfileNames"]):
                del known[gone]
        elif "fargateProfile" in answer:
            known[name] = process.look.shown[name] = answer["fargateProfile"]
            process.known_at[cluster, name] = self.world.clock.elapsed
            self.evictions.profile_shown(process, answer["fargateProfile"])
        elif call.operation == "DescribeFargateProfile" and long_ago:  # one that was cut off shows nothing
            known.pop(name, None)

    def look(self, writer: Process | None = None) -> None:
        """Judge the world as it is now; `writer` is whose write made it so."""
        changes = self.world.api.changes(PLURAL, self._judged)
        self._judged += len(changes)
        for change in changes:
            self._note_what_is_asked(change)
            s3_no_object_goes_before_its_profiles(self, change)
            if writer:
                s7_ready_is_what_eks_has_shown(writer, change)
                ready_is_not_unsaid_by_a_list_that_failed(writer, change)
                finalizers_of_others_stay(writer, change)
        s1_no_profile_outlives_its_object(self)

    def _note_what_is_asked(self, change: Change) -> None:
        before, after = change.before, change.after
        if after and (before is None or asked_of(before) != asked_of(after)):
            self.asked_at[after["metadata"]["uid"]] = self.world.clock.elapsed

    def _created(self, process: Process, arn: str) -> None:
        look, excuse = process.look, ""
        uid = look.mark["metadata"]["uid"] if look.mark else ""
        if self.world.clock.elapsed - look.marked_at >= self.world.lost_create or self._latest.get(uid) is not look:
            excuse = SLEPT
        if any(since < look.marked_at <= until for since, until in self.lost):
            excuse = SET_BACK
        excuse = FINALIZERS if uid in self.unguarded else excuse
        self.made[arn] = Made(look.key, uid, self.world.clock.elapsed, excuse=excuse)
        if look.mark and not excuse:
            defaults = self.world.fleet.defaults_of(look.mark, _entries(process))
            self.born[arn] = Born(fields_of(look.mark["spec"]), defaults, look.began)

    def _tagged(self, process: Process, request: Object) -> None:
        arn, key = request["resourceArn"], process.look.key
        obj = self.world.api.peek(PLURAL, *key)
        if OWNER_KEY in request["tags"] and obj:
            excuse = self.made[arn].excuse if arn in self.made else ""
            uid = obj["metadata"]["uid"]
            excuse = FINALIZERS if uid in self.unguarded else excuse
            self.made[arn] = Made(key, uid, self.world.clock.elapsed, excuse=excuse)

    def _status_written(self, process: Process, obj: Object) -> None:
        if not process.look.key[0]:  # what evicts has counted something, and marks no create
            return
        process.look.proved = obj
        arn, meta = obj.get("status", {}).get("profileArn", ""), obj["metadata"]
        if arn in self.made and self.made[arn].excuse == SET_BACK and guarded(obj):  # it is taken up again
            self.made[arn] = Made((meta["namespace"], meta["name"]), meta["uid"], self.world.clock.elapsed)
        if obj.get("status", {}).get("bookkeeping", {}).get("createStartedAt"):
            process.look.mark, process.look.marked_at = obj, self.world.clock.elapsed
            self._latest[obj["metadata"]["uid"]] = process.look

    def passed(self, look: Look) -> None:
        """Take note of what a pass has left behind that has ended; one that asked for a change has settled nothing."""
        if look.proved and not look.has_sent and (settled := settled_of(look.proved)):
            self.settled[look.proved["metadata"]["uid"]] = settled

    def excuse(self, exception: str) -> None:
        self.world.excuses[exception] += 1

    # What outsiders did, and what follows of it for the promises

    def finalizers_stripped(self, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        self.unguarded.add(uid)
        self.status_lost(obj)  # an object that is made again knows nothing of it
        for arn, made in self.made.items():
            if made.uid == uid:
                made.excuse = FINALIZERS
                self.forgotten.add(arn)

    def status_lost(self, obj: Object) -> None:
        self.evictions.forget()
        self.forgotten.update(each.body["fargateProfileArn"] for each in self.profiles() if self.owns(obj, each.body))

    def set_back(self, taken: float, lost: list[Change]) -> None:
        """Excuse what was made since the snapshot was taken; what it says of marks and tags is lost as well."""
        self._judged = len(self.world.api.changes(PLURAL, 0))
        self.lost.append((taken, self.world.clock.elapsed))
        self.settled.clear()  # generations are counted anew from there
        self.asked_at.clear()
        for arn, made in self.made.items():
            if made.at > taken:
                made.excuse = SET_BACK
                self.forgotten.add(arn)
            obj = self.world.api.peek(PLURAL, *made.key)
            if made.kept and obj and guarded(obj):
                made.kept = False
                if obj.get("status", {}).get("profileArn") != arn:  # nor has the profile owner tags any more
                    made.excuse = SET_BACK
        for change in lost:
            for obj in filter(None, (change.before, change.after)):
                self.status_lost(obj)

    def tags_stripped(self, arn: str) -> None:
        if arn in self.made:
            self.made[arn].excuse = TAGS

    # The truth

    def is_served_as_asked(self, process: Process, obj: Object, profile: Object) -> bool:
        """Say whether an object has no reason to have another profile than this one, which serves.

        A reason is an edit of what EKS can't change, or a subnet that has lost its tag. For who says nothing of role or
        subnets, where defaults have changed: any edit, or look that was asked for, of which it was not served yet.
        """
        fleet, born, spec = self.world.fleet, self.born.get(profile["fargateProfileArn"]), obj["spec"]
        if born is None or profile["status"] != "ACTIVE" or not born.is_of(spec):
            return False
        if not spec.get("subnets") and born.has_strayed(profile["subnets"], fleet.lost_at):
            return False
        heard = fleet.defaults_of(obj, _entries(process))
        by_these = says_all(spec) or (born.is_by(heard, fleet.defaults_at) and heard == self._defaults(obj))
        return by_these or self.settled.get(obj["metadata"]["uid"]) == asked_of(obj)

    def is_held(self, obj: Object, profile: Object) -> bool:
        """Say whether a profile has to be as the defaults of now say: it was made by them, or an edit took them up."""
        arn = profile["fargateProfileArn"]
        born = self.born.get(arn)
        if born is None or arn in self.forgotten:
            return False
        is_by_these = born.is_by(self._defaults(obj), self.world.fleet.defaults_at) and born.is_of(obj["spec"])
        return is_by_these or self._has_taken_up(obj)

    def _has_taken_up(self, obj: Object) -> bool:
        """Say whether an object is served that was edited, or asked for a look, when all had heard of the defaults."""
        uid, heard_at = obj["metadata"]["uid"], self.world.fleet.defaults_at + DEFAULTS_HEARD_SECONDS
        served = self.settled.get(uid) == asked_of(obj) and self.asked_at.get(uid, heard_at) > heard_at
        return served and obj["spec"].get("updatePolicy", "Refuse") != "Refuse"

    def _defaults(self, obj: Object) -> Defaults:
        fleet = self.world.fleet
        return fleet.defaults_of(obj, fleet.entries(self.world.processes[0].cluster))

    def profiles(self) -> Iterator[Stored]:
        for memory in self.world.fleet.all:
            for name in [*memory.clusters]:
                yield from [*memory.stored(name).values()]

    def label(self, profile: Object) -> str:
        """Return the cluster of a profile, which no cluster of another account or region is called."""
        return self.world.fleet.label_of(profile["fargateProfileArn"])

    def owns(self, obj: Object, profile: Object) -> bool:
        """Say whether a profile is the object's, by the two tags and the name, or by its ARN in status if untagged."""
        tags, key = profile["tags"], (obj["metadata"]["namespace"], obj["metadata"]["name"])
        wanted = owner_tags(key)
        if any(tags.get(each, value) != value for each, value in wanted.items()):
            return False
        if wanted.items() <= tags.items():
            return name_fits(obj, profile["fargateProfileName"])
        return bool(obj.get("status", {}).get("profileArn") == profile["fargateProfileArn"])


# The promises


def s1_no_profile_outlives_its_object(checker: Checker) -> None:
    """A profile that the controller made has a guarded object, or is being deleted, or is kept on purpose."""
    for stored in checker.profiles():
        made = checker.made.get(stored.body["fargateProfileArn"])
        if made is None or made.kept or stored.body["status"] == "DELETING":
            continue
        obj = checker.world.api.peek(PLURAL, *made.key)
        if obj and guarded(obj):
            continue
        if not made.excuse:
            raise Violation("S1", f"profile {stored.name} outlives its object {'/'.join(made.key)}")
        checker.excuse(made.excuse)


def s2_only_an_own_profile_is_changed(checker: Checker, process: Process, call: Call) -> None:
    """A profile that is not this object's is never deleted, tagged or changed."""
    stored, key = _meant(checker, call), process.look.key
    obj = checker.world.api.peek(PLURAL, *key) or process.store.get(key)
    if stored is None or (obj and _may_change(checker, process, obj, stored.body, call)):
        return
    seen = (obj, process.look.proved), (stored.body, process.look.shown.get(stored.name))
    pairs = ((each, profile) for each, profile in itertools.product(*seen) if each and profile)
    if any(_may_change(checker, process, each, profile, call) for each, profile in pairs):
        checker.excuse(CHANGED)
        return
    made, cached = checker.made.get(stored.body["fargateProfileArn"]), process.store.get(key)
    if made and made.excuse and made.key == key:
        checker.excuse(made.excuse)
        return
    if cached and cached["metadata"]["uid"] in checker.unguarded:
        checker.excuse(FINALIZERS)
        return
    who, tags = "/".join(key), stored.body["tags"]
    raise Violation("S2", f"{call.operation} for {who} hits profile {stored.name}, whose tags are {tags}")


def s2_what_is_to_be_kept_is_not_deleted(checker: Checker, process: Process, call: Call) -> None:
    """An object that goes with deletionPolicy Retain leaves the one profile that it has, unless it has failed."""
    obj, stored = checker.world.api.peek(PLURAL, *process.look.key), _meant(checker, call)
    if obj is None or stored is None or obj != process.store.get(process.look.key):
        return  # an edit that has not been heard of comes too late for what is on its way
    going = "deletionTimestamp" in obj["metadata"] and retains(obj.get("spec"))
    others = [each for each in checker.profiles() if each is not stored and checker.owns(obj, each.body)]
    if going and not others and "FAILED" not in stored.body["status"]:
        raise Violation("S2", f"{call} for an object whose profile is to be retained")


def s2_only_a_stranded_pod_is_evicted(checker: Checker, process: Process, call: Call) -> None:
    """A pod is evicted only if object and operator allow it, and its own state of that version calls for it."""
    checker.evictions.aim(process, call)
    why = checker.evictions.judge(process, call)
    if why == "-":
        checker.excuse(CHANGED)
    elif why:
        raise Violation("S2", f"{process.name} sends {call}: {why}")


def no_owner_loses_pods_without_end(checker: Checker, process: Process, call: Call, answer: Any) -> None:
    """Of each owner three pods at most are evicted in vain, also over restarts and two replicas."""
    if why := checker.evictions.done(process, call, answer):
        raise Violation("Evictions", why)


def _meant(checker: Checker, call: Call) -> Stored | None:
    if call.operation == "DeleteFargateProfile":
        label, _, name = call.about.partition("/")
        return next(
            (each for each in checker.profiles() if (checker.label(each.body), each.name) == (label, name)), None
        )
    arn = call.request["resourceArn"]
    return next((each for each in checker.profiles() if each.body["fargateProfileArn"] == arn), None)


def _may_change(checker: Checker, process: Process, obj: Object, profile: Object, call: Call) -> bool:
    made, tags = checker.made.get(profile["fargateProfileArn"]), profile["tags"]
    if checker.owns(obj, profile):
        return True
    key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
    names_another = any(tags.get(each, value) != value for each, value in owner_tags(key).items())
    if not names_another and made and made.uid == obj["metadata"]["uid"]:
        return True  # status may have lost it meanwhile
    taking_over = call.operation == "TagResource" and OWNER_KEY in call.request["tags"]
    untagged = not owner_tags(key).keys() & tags.keys()
    if not (taking_over and untagged and isinstance(obj.get("spec"), dict)):
        return False
    said = with_role(obj["spec"], checker.world.fleet.defaults_of(obj, _entries(process)))
    return hands_over(obj, profile, said) or adopts(obj, profile, said)


def s3_no_object_goes_before_its_profiles(checker: Checker, change: Change) -> None:
    """An object is let go only when every profile that it owns is gone from EKS, or kept on purpose."""
    if change.before is None or not lets_go(change.before, change.after):
        return
    meta = change.before["metadata"]
    for stored in checker.profiles():
        made = checker.made.get(stored.body["fargateProfileArn"])
        if made is None or made.uid != meta["uid"]:
            continue
        if made.kept or may_leave(checker, change.before, stored.body):  # once kept, whatever is edited then
            made.kept = True
            checker.forgotten.add(stored.body["fargateProfileArn"])  # who adopts it can't tell whose tags it has
        elif made.excuse:
            checker.excuse(made.excuse)
        elif change.after is None:  # else S1 judges
            name, status = f"{meta['namespace']}/{meta['name']}", stored.body["status"]
            raise Violation("S3", f"object {name} is gone, its profile {stored.name} is {status}")


def s4_nothing_is_sent_while_something_is_known_to_fly(process: Process, call: Call) -> None:
    """A live process sends no create or delete to a cluster while it knows of one in flight there."""
    known = process.knows.get(call.about.partition("/")[0], {})
    flying = [name for name, profile in known.items() if profile["status"] in {"CREATING", "DELETING"}]
    if flying:
        raise Violation("S4", f"{process.name} sends {call} and knows that {flying[0]} is in flight")


def l2_nobody_who_is_due_is_passed_over(process: Process, key: Key) -> None:
    """Of the two lines each gets a look in four at least, and in each all others go once before one goes again."""
    waiting = process.queue.waiting() - {key}
    process.passed_over = Counter({each: process.passed_over[each] + 1 for each in waiting})
    most = 4 * (len(process.store.objects()) + 2)
    for each, others in process.passed_over.items():
        if others > most:
            raise Violation("L2", f"{'/'.join(each)} is due, and {others} looks went to others meanwhile")


def no_create_is_marked_that_can_t_be_signed(process: Process, call: Call) -> None:
    """A mark whose create is never sent holds the object's deletion up for as long as a lost create does."""
    namespace, _, name = call.about.partition("/")
    obj = process.world.api.peek(PLURAL, namespace, name) or {}
    stands, written = (_marked_at(each) for each in (obj, call.request))
    elsewhere = "@" in (process.world.fleet.where(obj, process.cluster) or "") if obj else False
    if process.world.clock.elapsed < process.world.unsigned_until and written > stands and not elsewhere:
        raise Violation("no mark without credentials", f"{process.name} marks a create of {call.about}")


def _marked_at(obj: Object) -> str:
    book = (obj.get("status") or {}).get("bookkeeping") or {}
    return str(book.get("createStartedAt") or "")


def nothing_is_changed_without_the_lease(process: Process, call: Call) -> None:
    """Where processes agree by a Lease on who acts, only who holds it sends a change."""
    if process.elector and not process.elector.leading():
        raise Violation("Lease", f"{process.name} sends {call} and does not hold the Lease")


def s5_a_create_says_what_its_object_says(process: Process, call: Call) -> None:
    """Nothing that the user wrote is dropped or changed: a create says what the object said when it was marked."""
    obj, request = process.look.mark, call.request
    if obj is None:
        raise Violation("S5", f"{call} was sent without a mark in status")
    spec, label = _completed(process, obj), call.about.partition("/")[0]
    wanted = {
        "clusterName": _meant_cluster(process, obj),
        "fargateProfileName": request["fargateProfileName"],
        "podExecutionRoleArn": role_in(spec, process.world.fleet.holder(label).account),
        "selectors": _set_of(spec["selectors"]),
        "subnets": sorted(_wanted_subnets(process, call, spec)),
        "tags": _wanted_tags(process, call, spec["tags"]) | obj["spec"].get("tags", {}) | owner_tags(process.look.key),
    }
    sent = request | {"selectors": _set_of(request["selectors"]), "subnets": sorted(request.get("subnets", []))}
    if sent != wanted or not name_fits(obj, request["fargateProfileName"]):
        raise Violation("S5", f"the object says {wanted}, sent is {sent}")


def _completed(process: Process, obj: Object) -> Object:
    """Return what an object says, with the defaults of its cluster by the flags and the file of the pass."""
    return completed(obj["spec"], process.world.fleet.defaults_of(obj, _entries(process)))


def _entries(process: Process) -> Entries:
    return process.look.entries or process.sites.entries


def _wanted_tags(process: Process, call: Call, tags: Object) -> Object:
    """Return the tags by default that a create has to send; one that replaces may leave to later what does not fit."""
    known, name = process.knows.get(call.about.partition("/")[0], {}), call.request["fargateProfileName"]
    replaces = any(each != name and name_fits(process.look.mark or {}, each) for each in known)
    return {key: value for key, value in tags.items() if not replaces or key in call.request["tags"]}


def _meant_cluster(process: Process, obj: Object) -> str:
    """Return EKS's name of the cluster that an object means, by the file with which the pass began."""
    entries = process.look.entries
    label = process.world.fleet.where(obj, process.cluster, entries.listed if entries else None)
    return (label or "none").partition("@")[0]


def no_object_reaches_what_its_namespace_is_not_listed_for(process: Process, call: Call) -> None:
    """A pass goes to the cluster alone that the file gives its object: the one of its begin, or the one of now."""
    look, fleet = process.look, process.world.fleet
    obj = process.world.api.peek(PLURAL, *look.key) or process.store.get(look.key)
    if not look.key[0] or obj is None or look.entries is None:
        return
    files = (look.entries.listed, process.sites.entries.listed)
    known = filter(None, (obj, process.store.get(look.key), look.mark, look.proved))  # it may have been made anew
    allowed = {fleet.where(each, process.cluster, listed) for each in known for listed in files}
    reached = call.about.partition("/")[0]
    if reached not in allowed:
        where = sorted(map(str, allowed))
        raise Violation("Tenancy", f"{call} of {'/'.join(look.key)} reaches {reached}, it may reach {where}")


def _set_of(selectors: list[Object]) -> list[tuple[str, list[tuple[str, str]]]]:
    found = {(each["namespace"], tuple(sorted((each.get("labels") or {}).items()))) for each in selectors}
    return sorted((namespace, [*labels]) for namespace, labels in found)


def role_in(spec: Object, account: str) -> str:
    """Return the role that a spec gives, by its ARN or by its name in an account, "" where it gives none."""
    if not says(spec, ROLES):
        return ""
    named = f"arn:aws:iam::{account}:role/{spec.get('podExecutionRoleName')}"
    return str(spec.get("podExecutionRoleArn") or named)


def matching_in(spec: Object, account: Memory) -> set[str] | None:
    """Return the subnets of the cluster's VPC that the terms of a spec match now, None where it has no terms."""
    terms = spec.get("subnetSelectorTerms")
    if not terms:
        return None
    ids = {each["id"] for each in terms if "id" in each}
    tags = [each["tags"].items() for each in terms if "tags" in each]
    return {
        name
        for name, subnet in account.subnets.items()
        if subnet.vpc == account.vpc and (name in ids or any(each <= subnet.tags.items() for each in tags))
    }


def fit(subnets: Iterable[str], account: Memory) -> set[str]:
    """Return those of some subnets that EKS takes: private ones, in zones that have Fargate."""
    there = ((name, account.subnets[name]) for name in subnets)
    return {name for name, subnet in there if not subnet.public and subnet.zone[:-1] == account.region}


def _wanted_subnets(process: Process, call: Call, spec: Object) -> set[str]:
    """Return the subnets that a create has to send: by tags all that matched a moment ago are as good."""
    world, sent = process.world, {*call.request.get("subnets", [])}
    account = world.fleet.holder(call.about.partition("/")[0])
    matching = matching_in(spec, account)
    if matching is None:
        return {*(spec.get("subnets") or [])}
    recently = matching | (world.fleet.tagged & account.subnets.keys())
    return fit(recently, account) & sent or {"some that the terms match"}


def nothing_is_replaced_for_a_subnet_that_was_added(checker: Checker, process: Process, call: Call) -> None:
    """No profile is made beside one that serves and is as the object wants it, if its subnets are chosen by terms."""
    obj, fleet, now = process.look.mark, process.world.fleet, process.world.clock.elapsed
    if obj is None or now - fleet.tagged_at < TAGS_HEARD_SECONDS:
        return
    spec, label = _completed(process, obj), call.about.partition("/")[0]
    serving = _serving(checker, process, obj, label)
    if spec.get("subnetSelectorTerms") and any(meets(spec, each, fleet.holder(label)) for each in serving):
        raise Violation("Terms", f"{call} of {'/'.join(process.look.key)}, whose profile is as it wants it")


def _serving(checker: Checker, process: Process, obj: Object, label: str) -> list[Object]:
    """Return the profiles of an object that serve, as far as the process was shown that."""
    there = (each.body for each in checker.profiles() if checker.label(each.body) == label)
    own = (each for each in there if each["status"] == "ACTIVE" and checker.owns(obj, each))
    return [each for each in own if process.knows_of(label, each)]


def nothing_is_replaced_without_a_reason(checker: Checker, process: Process, call: Call) -> None:
    """A tag that moves makes one Replace at the most, and a subnet that is added, or a default that changes, none."""
    look, now = process.look, checker.world.clock.elapsed
    if look.mark is None or now - look.marked_at >= SENT_SECONDS:
        return  # it comes late, and what has happened since is no news to who has sent it
    serving = _serving(checker, process, look.mark, call.about.partition("/")[0])
    others = [each for each in serving if each["fargateProfileName"] != call.request["fargateProfileName"]]
    if found := next((each for each in others if checker.is_served_as_asked(process, look.mark, each)), None):
        name = found["fargateProfileName"]
        raise Violation("Reason", f"{call} of {'/'.join(look.key)}, which is served by {name} as it has asked")


def nothing_is_deleted_to_be_made_anew_without_a_reason(checker: Checker, process: Process, call: Call) -> None:
    """The same of a profile that is deleted first (updatePolicy: Recreate)."""
    obj, stored, key = checker.world.api.peek(PLURAL, *process.look.key), _meant(checker, call), process.look.key
    if obj is None or stored is None or obj != process.store.get(key) or "deletionTimestamp" in obj["metadata"]:
        return
    label = call.about.partition("/")[0]
    own = [each for each in checker.profiles() if checker.label(each.body) == label and checker.owns(obj, each.body)]
    if (
        own == [stored]
        and process.knows_of(label, stored.body)
        and checker.is_served_as_asked(process, obj, stored.body)
    ):
        raise Violation("Reason", f"{call} of {'/'.join(key)}, which is served by it as it has asked")


def s5_no_wrong_input_reaches_aws(call: Call, answer: Any) -> None:
    """Input that is wrong by rules that hold in every account never reaches an AWS write."""
    if isinstance(answer, ParamValidationError):
        raise Violation("S5", f"botocore refused to send {call}: {answer}")
    if isinstance(answer, ClientError):
        said = answer.response["Error"]
        input_codes = {"InvalidParameterException", "BadRequestException"}
        if said["Code"] in input_codes and not OF_THIS_ACCOUNT.search(said["Message"]):
            raise Violation("S5", f"EKS refused {call}: {said['Message']}")


def s7_ready_is_what_eks_has_shown(process: Process, change: Change) -> None:
    """Ready=True only after EKS itself showed this process ACTIVE and the wanted fields, of this generation."""
    before, after = change.before, change.after
    now, was = ready_of(after), ready_of(before)
    same = now.get("observedGeneration") == was.get("observedGeneration") and was.get("status") == "True"
    if after is None or now.get("status") != "True" or same:
        return
    status = after["status"]
    label = process.world.fleet.label_of(status["profileArn"])
    shown = process.knows.get(label, {}).get(status["profileName"], {})
    of_its_spec = now["observedGeneration"] == after["metadata"]["generation"] and meets(after["spec"], shown)
    # Of subnets by terms only the oracle judges: what others tag is heard of at a resync, and is no edit at once.
    if shown.get("status") != "ACTIVE" or shown["fargateProfileArn"] != status["profileArn"] or not of_its_spec:
        raise Violation("S7", f"{process.name} says ready, and EKS last showed it {shown or 'nothing'}")


def ready_is_not_unsaid_by_a_list_that_failed(process: Process, change: Change) -> None:
    """A pass that could not see what the cluster has leaves an object Ready that was, in the spec it has."""
    before, after = ready_of(change.before), change.after
    if after is None or "deletionTimestamp" in after["metadata"] or not process.look.unlisted:
        return
    current = before.get("observedGeneration") == after["metadata"]["generation"]
    if before.get("status") == "True" and current and ready_of(after).get("status") != "True":
        raise Violation("Ready", f"{process.name} unsays it by what it could not see")


def finalizers_of_others_stay(process: Process, change: Change) -> None:
    """A process takes its own finalizer off, and kopf's, and no other."""
    before, after = (others_finalizers(each) for each in (change.before, change.after))
    if before - after:
        raise Violation("Finalizers", f"{process.name} takes {', '.join(before - after)} off")


# What objects and profiles say


def lets_go(before: Object, after: Object | None) -> bool:
    """Say whether a write lets an object go, though others may still hold it."""
    return after is None or ("deletionTimestamp" in after["metadata"] and guarded(before) and not guarded(after))


def ready_of(obj: Object | None) -> Object:
    listed = ((obj or {}).get("status") or {}).get("conditions") or []
    return next((each for each in listed if each["type"] == "Ready"), {})


def others_finalizers(obj: Object | None) -> set[str]:
    return {*(obj or {"metadata": {}})["metadata"].get("finalizers", [])} - {FINALIZER, *KOPF_FINALIZERS}


def guarded(obj: Object) -> bool:
    return bool({FINALIZER, *KOPF_FINALIZERS} & set(obj["metadata"].get("finalizers", [])))


def retains(spec: Any) -> bool:
    """Say whether the profile stays: whatever is not Delete is taken for Retain."""
    return not isinstance(spec, dict) or spec.get("deletionPolicy", "Delete") != "Delete"


def may_leave(checker: Checker, obj: Object, profile: Object) -> bool:
    """Say whether an object may go without its profile; where that is out of reach, whatever the controller allows."""
    here = obj["metadata"]["namespace"] in RETAIN_IN
    return retains(obj.get("spec")) and (here or not _seen_from(checker, obj, profile))


def _seen_from(checker: Checker, obj: Object, profile: Object) -> bool:
    """Say whether every controller looks for the object's profile in the cluster that this one is in."""
    fleet = checker.world.fleet
    files = [fleet.listed, *(each.sites.entries.listed for each in checker.world.processes)]
    return all(fleet.where(obj, "demo", listed) == checker.label(profile) for listed in files)


def owner_tags(key: Key) -> dict[str, str]:
    return {OWNER_KEY: "/".join(key), CONTROLLER_KEY: CONTROLLER}


def base_of(obj: Object) -> str:
    spec = obj.get("spec")
    return str(spec.get("profileName", obj["metadata"]["name"]) if isinstance(spec, dict) else obj["metadata"]["name"])


def name_fits(obj: Object, name: str) -> bool:
    return re.fullmatch(re.escape(base_of(obj)) + "(-[0-9a-f]{8})?", name) is not None


def meets(spec: Object, profile: Object, account: Memory | None = None) -> bool:
    """Say whether a profile has the role, selectors and subnets of a spec; what it says nothing of may be anything.

    With `account` by what terms match now.
    """
    if not profile:
        return False
    subnets = set(spec.get("subnets") or profile["subnets"]) == set(profile["subnets"])
    matching = matching_in(spec, account) if account else None
    if matching:  # where they match nothing, what serves is let be
        subnets = bool(profile["subnets"]) and matching >= {*profile["subnets"]}
    role = role_in(spec, profile["fargateProfileArn"].split(":")[4])
    same_role = role in {"", profile["podExecutionRoleArn"]}
    return subnets and same_role and _set_of(profile["selectors"]) == _set_of(spec.get("selectors") or [])


def adopts(obj: Object, profile: Object, said: Object) -> bool:
    """Say whether object and operator want this profile, which has no owner, to be taken over."""
    asks = said.get("adoptionPolicy") == "Adopt" and obj["metadata"]["namespace"] in ADOPTION_IN
    return asks and profile["fargateProfileName"] == base_of(obj) and meets(said, profile)


def hands_over(obj: Object, profile: Object, said: Object) -> bool:
    """Say whether this profile may be taken over from kopf's operator."""
    return obj["metadata"]["namespace"] in KOPF_IN and as_made_by_kopf(obj, profile, said)


def as_made_by_kopf(obj: Object, profile: Object, said: Object) -> bool:
    """Say whether kopf's operator made this profile for this object, as far as that can be seen.

    `said` is its spec, with the default role if it gives none.
    """
    meta = obj["metadata"]
    made_at = profile["createdAt"].strftime("%Y-%m-%dT%H:%M:%SZ")
    from_kopf = bool(KOPF_FINALIZERS & set(meta.get("finalizers", [])))
    named = profile["fargateProfileName"] == base_of(obj) and made_at >= meta["creationTimestamp"]
    return from_kopf and named and meets(said, profile)
