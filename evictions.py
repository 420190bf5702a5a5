"""Which of the stranded pods are evicted, so that their owners make them anew for a profile: where
`spec.strandedPods: Evict` and the operator's --allow-eviction-in both let it.

The picture: a look at the pods -> what speaks against each (evictable; and what was tried before,
`Tried`) -> at most one pod of each owner: counted in the object's status, then evicted as the very
version that was seen.

`Evictor.after` is called by who looks, at the end of a look: no worker, turn or lock of the passes waits
for it. The rule of the file: what is not known is never a yes, and nothing is evicted on it.
What it is not: a look at pods (podlooks), what is stranded (pods) or may be evicted (evictable), a thread.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from answers import AwsError
from checks import WEBHOOK, narrowed
from clusters import View
from evictable import MAKERS, Sight, doubts, doubts_of_next, refusal, template_of, untouchable
from informer import Store, key_of
from kube import Conflict, Key, KubeError, NotFound, Object
from limits import Settings
from memory import SEND_WITHIN_SECONDS
from podlooks import Look, Owner, Seen, owned_by
from pods import (
    Odd,
    Stranded,
    part,
    read,
    several,
    text,
)
from spec import mapping, owner_of
from surroundings import Home

log = logging.getLogger("fargate.pods")

WAITS_SECONDS = 60.0  # for which a pod was seen to wait, and its profiles to be ACTIVE: EKS may need that long
MOST_A_LOOK = 10
MOST_TRIED_A_LOOK = 50  # owners, each of which has to be read
SIGHT_SECONDS = 60.0  # for which the profiles count as read anew
MOST_TRIES = 3  # of an owner whose pods EKS does not take
MOST_FAILING = 3  # owners of whose pods EKS takes none, before it is taken to take nobody's
MOST_OWNERS = 20  # that an object remembers
LEFT_ALONE_SECONDS = 3600.0  # an owner after an answer that says nothing of what to do
READ_TRIES, READ_AGAIN_SECONDS = 10, 1.0  # while a pass is in the cluster
SUCCESSOR_SECONDS = 300.0  # for an owner to make a pod, before another of its pods is tried in its place
AGAIN = 0.8  # of a resync: the next one comes with jitter
FORBIDDEN, TOO_MANY = 403, 429
BUSY = "the API server wants to be asked for it later"

WEBHOOK_PATH = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{WEBHOOK}"


class Kube(Protocol):
    """What is needed of Kubernetes."""

    def get(self, namespace: str, name: str) -> Object | None: ...
    def get_at(self, path: str) -> Object: ...
    def patch_status(self, obj: Object, status: Object) -> Object: ...
    def review(self, api: str, kind: str, ask: Object) -> Object: ...
    def send_at(self, method: str, path: str, body: Object) -> Object: ...


# What was tried


class Tried(NamedTuple):
    """What an object's status remembers of an owner: `tries` of its pods were evicted for these profiles, and none of
    the pods in their place was seen to be taken. `taken`: how many of its pods EKS had taken before.
    """

    owner: str
    template: str
    profiles: str
    tries: int
    taken: int


Book = Mapping[str, Tried]  # by owner


def book_of(obj: Object) -> dict[str, Tried]:
    """Return what an object remembers; raises `Odd` where that can't be read: then nobody knows what was tried."""
    book = part(obj, "status", "bookkeeping")
    found = {}
    for where, each in several(book, "evictions", "status.bookkeeping."):
        owner, template, profiles = (text(each, name, f"{where}.") for name in ("owner", "template", "profiles"))
        tries, taken = (read(each, name, int, f"{where}.") for name in ("tries", "taken"))
        if tries < 0 or taken < 0:
            raise Odd(f"{where}.{'tries' if tries < 0 else 'taken'}")
        found[owner] = Tried(owner, template, profiles, tries, taken)
    return found


def tries_in(book: Book, like: Tried) -> int:
    """Return how many pods of an owner were evicted for the same template and profiles."""
    tried = book.get(like.owner)
    return tried.tries if tried and tried[:3] == like[:3] else 0


def with_book(obj: Object, book: Book) -> Object:
    """Return an object's status with that remembered."""
    status = {**mapping(obj.get("status"))}
    rest = {name: value for name, value in mapping(status.pop("bookkeeping", {})).items() if name != "evictions"}
    rest |= {"evictions": [each._asdict() for each in book.values()]} if book else {}
    return status | ({"bookkeeping": rest} if rest else {})


@dataclass
class Opened:
    """An eviction of a pod of an owner, in the place of which a pod is to come: when, and who waited beside it."""

    at: float
    beside: frozenset[str] = frozenset()


class Candidate(NamedTuple):
    """A stranded pod that is not untouchable, and the objects that ask for its eviction, as the look has them."""

    seen: Seen
    by: Owner
    of: frozenset[Key]

    @property
    def owner(self) -> str:
        return owned_by(self.seen.key[0], self.by)


class Stop(Exception):
    """Nothing more is evicted in this look; the text says why, as the end of a sentence."""


@dataclass
class Round:
    """What is found and done after one look; `beside`: the pods that wait."""

    look: Look
    beside: frozenset[str]
    left: dict[Key, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    of: set[Key] = field(default_factory=set)  # objects that ask for evictions of stranded pods
    waits: set[Key] = field(default_factory=set)  # those of which something may still be evicted
    stopped: str = ""
    sent: int = 0
    behind: dict[str, list[Candidate]] = field(default_factory=lambda: defaultdict(list))  # by owner: not its turn
    objects: dict[Key, Object | None] = field(default_factory=dict)  # as they were read in this round
    owners: dict[str, Object] = field(default_factory=dict)
    allowed: set[str] = field(default_factory=set)  # namespaces in which the API server lets us evict

    def leave(self, of: Collection[Key], why: str) -> None:
        for key in of:
            self.left[key][why] += 1

    def settle(self, first: Candidate, why: str) -> None:
        """Take what came of an owner's turn for all of its pods: they are left over `why`, "" for nothing."""
        for each in (first, *self.behind[first.owner]):
            if why:
                self.leave(each.of, why)
            if why in {"", BUSY}:
                self.waits |= each.of

    def words(self) -> dict[Key, str]:
        words = {key: " ".join(self._sentences(key)) for key in self.of}
        return {key: said for key, said in words.items() if said}

    def _sentences(self, key: Key) -> Iterator[str]:
        if self.stopped:
            yield f"None is evicted now: {self.stopped}."
        elif key in self.waits:
            yield "They are evicted, of each owner one at a time."
        for why, number in sorted(self.left[key].items()):
            yield f"{number} left as {'it is' if number == 1 else 'they are'}: {why}."


class Evictor:
    """Evicts stranded pods after a look, and says of each object what it did not.

    `read_anew` gives the profiles of our own cluster as they are now, None while a pass is in it; `home` where it is.
    `check` raises where this process must not act. Times are monotonic seconds. Not safe for many threads.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        kube: Kube,
        read_anew: Callable[[], View | None],
        home: Callable[[], Home],
        check: Callable[[], None],
        monotonic: Callable[[], float],
        pause: Callable[[float], object],
    ) -> None:
        self._settings, self._store, self._kube, self._check = settings, store, kube, check
        self._read_anew, self._home, self._monotonic, self._pause = read_anew, home, monotonic, pause
        self._waiting: dict[str, float] = {}  # by uid of a pod: since the end of which look
        self._active: dict[str, float] = {}  # by ARN of a profile: since the end of which look
        self._books: Mapping[Key, Book] = {}  # what the objects' status remembers
        self._open: dict[str, Tried] = {}  # by owner, of that the latest
        self._opened: dict[str, Opened] = {}  # by owner
        self._failed: set[str] = set()  # owners: EKS has not taken what came in the place of a pod that was evicted
        self._taken: dict[str, int] = {}  # by owner, pods that EKS has taken
        self._unsure: set[str] = set()  # owners of which that can't be counted in this look
        self._turns: dict[str, float] = {}  # by owner, the latest that it had
        self._rests: dict[str, float] = {}  # by owner, until
        self._later: dict[str, float] = {}  # by owner, until: so it was answered
        self._off: dict[str, float] = {}  # by namespace, until
        self._forgiven: set[Tried] = set()  # failed before another's pod was taken
        self._present: tuple[set[str], set[str]] = (set(), set())  # owners with pods in this look and the one before
        self._canary_at = float("-inf")
        self._before: dict[str, frozenset[str]] = {}  # by owner, pods that EKS had taken when one was evicted
        self._proven = False  # Fargate has placed a pod in the place of one that was evicted: nobody else writes that

    def after(self, look: Look) -> tuple[bool, Mapping[Key, str]]:
        """Evict what may be evicted by what a look has shown; say whether one more is wanted, and what of each object.

        Raises over no answer of AWS or Kubernetes.
        """
        if not look.complete:
            return False, {}
        found = [each for each in look.seen if each.stranded.answer == "yes"]
        self._note(look)
        now = Round(look, frozenset(self._waiting))
        candidates = [*self._candidates(now, found)]
        self._present = {each.owner for each in candidates} | look.taken.keys(), self._present[0]
        self._turns = {owner: at for owner, at in self._turns.items() if owner in self._present[0]}
        try:
            self._settle(now, found)
            self._go_on(now, candidates)
        except Stop as stop:
            now.stopped = str(stop)
        except (AwsError, KubeError) as error:
            now.stopped = f"it can't be made sure that it helps: {kind_of(error)}"
            log.warning('no evictions message="%(message)s"', {"message": str(error)})
        return bool(now.waits) and not now.stopped, now.words()

    # What is known from look to look

    def _note(self, look: Look) -> None:
        active, ended = (each.arn for each in look.view.profiles.values() if each.active), self._monotonic()
        self._active = {arn: self._active.get(arn, ended) for arn in active}
        self._waiting = {each.uid: self._waiting.get(each.uid, ended) for each in look.seen}
        self._rests = {owner: until for owner, until in self._rests.items() if until > look.at}
        self._later = {owner: until for owner, until in self._later.items() if until > look.at}
        self._off = {namespace: until for namespace, until in self._off.items() if until > look.at}

    def _asking(self, said: Stranded, view: View) -> set[Key]:
        """Return the objects that ask for evictions, of those whose profiles could take a pod."""
        names = said.choice.could if said.choice else ()
        keys = {owner_of(view.profiles[name]) for name in names if name in view.profiles}
        return {key for key in keys if key and asks(self._store.get(key))}

    def _candidates(self, now: Round, found: Iterable[Seen]) -> Iterator[Candidate]:
        """Yield what is not untouchable, of whom an object asks for it."""
        for each in found:
            if not (of := self._asking(each.stranded, now.look.view)):
                continue
            now.of |= of
            pod = each.pod
            if why := untouchable(each.owner, pod):
                now.leave(of, why)
            elif each.owner:
                yield Candidate(each, each.owner, frozenset(of))

    def _settle(self, now: Round, found: Iterable[Seen]) -> None:
        """Forget the evictions after which EKS has taken a pod; whoever failed before is forgiven for it."""
        waiting = {each.uid for each in found}
        self._taken = {owner: len(uids - waiting) for owner, uids in now.look.taken.items()}
        books = {key_of(obj): book for obj in self._store.objects() if (book := book_or_none(obj))}
        self._books = books
        tried = sorted((each for book in books.values() for each in book.values()), key=lambda each: each.taken)
        self._open = {each.owner: each for each in tried}
        if self._open.keys() - self._opened.keys():  # evicted before a restart, or by another replica: lately for sure
            self._canary_at = now.look.at
        self._opened = {owner: self._opened.get(owner) or Opened(now.look.at) for owner in self._open}
        self._unsure = unsure_of(now.look)
        done = {owner for owner, each in self._open.items() if self._taken.get(owner, 0) > each.taken} - self._unsure
        for owner in done:
            del self._open[owner], self._opened[owner]
        self._failed = {owner for owner in self._successors(found) if self._had_its_time(owner, now.look)}
        self._forgiven.intersection_update(self._open.values())
        if self._is_shown(now.look):
            self._proven = True
            self._forgiven |= {self._open[owner] for owner in self._failed}
        for key in (key for key, book in books.items() if not done.isdisjoint(book)):
            try:
                if (obj := self._object(now, key)) and (book := book_or_none(obj)):
                    self._write(now, key, obj, {owner: each for owner, each in book.items() if owner not in done})
            except KubeError as error:  # it is tried again after the next look
                log.warning('not settled object=%(object)s message="%(message)s"', told_of(key, error))

    def _successors(self, found: Iterable[Seen]) -> set[str]:
        """Return the owners of whom a stranded pod waits that came in the place of one that was evicted."""
        owners = {each.uid: owned_by(each.key[0], each.owner) for each in found if each.owner}
        return {owner for uid, owner in owners.items() if owner in self._open and uid not in self._opened[owner].beside}

    def _had_its_time(self, owner: str, look: Look) -> bool:
        """Say whether EKS has had its time to take what came in the place of a pod that was evicted."""
        return look.at - self._opened[owner].at >= WAITS_SECONDS

    def _is_shown(self, look: Look) -> bool:
        """Say whether this look shows that EKS takes what is made anew, by what no user can write."""
        shown = {owner for owner, before in self._before.items() if look.placed.get(owner, frozenset()) - before}
        here = self._present[0] | self._present[1]
        self._before = {owner: uids for owner, uids in self._before.items() if owner in here - shown}
        return bool(shown)

    # One look's evictions

    def _go_on(self, now: Round, candidates: list[Candidate]) -> None:
        """Evict one pod of each owner that may be; what is looked at anew for it is looked at once."""
        ripe = [*self._ripe(now, candidates)]
        if not ripe and len(self._failed) < MOST_FAILING:
            return
        most = 1 if self._is_canary(now) else MOST_A_LOOK
        sight = self._sight()
        why, failing = self._stops(now, candidates, sight) if sight else ("", set())
        if why:  # one that has not failed shows it, in case that this ends
            ripe, most = [each for each in ripe if each.owner not in failing], 1
        if why and now.look.at - self._canary_at < self._settings.resync_seconds:
            raise Stop(why)
        for number, each in enumerate(in_turn(ripe)):
            full = now.sent >= most or number >= MOST_TRIED_A_LOOK
            waits = sight is None or full or self._monotonic() - sight.view.at > SIGHT_SECONDS
            now.settle(each, "" if waits or sight is None else self._try(now, each, sight))
        if why:
            raise Stop(why)

    def _try(self, now: Round, each: Candidate, sight: Sight) -> str:
        """Evict a pod if nothing speaks against it; return what does, "" for nothing, or for another look."""
        if why := self._holds_back(each):  # an answer of this round
            return why
        self._turns[each.owner] = now.look.at
        try:
            return self._evict(now, each, sight)
        except (Conflict, NotFound):
            now.objects.clear()
        except KubeError as error:
            if not error.status:  # nobody answers any more
                raise
            log.warning('not evicted object=%(object)s message="%(message)s"', told_of(each.seen.key, error))
            return kind_of(error)
        return ""

    def _ripe(self, now: Round, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
        """Yield, of each owner whose turn it is, the pod that waits for longest; who had no turn lately comes first."""

        def rank(each: Candidate) -> tuple[float, float, Key]:
            return self._turns.get(each.owner, float("-inf")), self._waiting[each.seen.uid], each.seen.key

        owners: set[str] = set()
        for each in sorted(candidates, key=rank):
            if each.owner in owners:
                now.behind[each.owner].append(each)
            elif why := self._holds_back(each):
                now.settle(each, why)
            elif each.owner in self._unsure and not now.look.missing:
                now.leave(each.of, "it is not known whether EKS has taken others of their owner's pods")
            elif each.owner in self._unsure or self._is_early(now, each):
                now.waits |= each.of
            else:
                owners.add(each.owner)
                yield each

    def _holds_back(self, each: Candidate) -> str:
        namespace = each.seen.key[0]
        if not any(self._settings.may_evict(key[0], namespace) for key in each.of):
            return "--allow-eviction-in does not list both their namespace and the object's"
        if namespace in self._off:
            return "the API server refuses it: let the operator create pods/eviction (rbac.yaml)"
        if each.owner in self._later:
            return BUSY
        if each.owner in self._rests:
            return "an eviction was answered otherwise than by yes or no (the log says how); it is tried again later"
        return ""

    def _is_early(self, now: Round, each: Candidate) -> bool:
        """Say whether pod and profiles have not been seen for long enough, or another pod of the owner comes first."""
        since, choice = [self._waiting[each.seen.uid]], each.seen.stranded.choice
        could = [now.look.view.profiles.get(name) for name in choice.could] if choice else []
        since += [self._active[profile.arn] for profile in could if profile and profile.active]
        if now.look.at - max(since) < WAITS_SECONDS:
            return True
        if (opened := self._opened.get(each.owner)) is None:
            return False
        for_its_successor = each.seen.uid in opened.beside and now.look.at - opened.at < SUCCESSOR_SECONDS
        return for_its_successor or not self._had_its_time(each.owner, now.look)

    def _is_canary(self, now: Round) -> bool:
        """Say whether only one pod may be tried, as it can't be seen whether EKS looks at new pods at all."""
        why = self._webhook()
        if why:
            raise Stop(why)
        if why == "" or self._proven:
            return False
        if now.look.at - self._canary_at < self._settings.resync_seconds:
            one = "one pod a resync is tried until EKS has taken one"
            raise Stop(f"{one}, as webhook {WEBHOOK} may not be read (rbac.yaml has the right to get it)")
        return True

    def _webhook(self) -> str | None:
        """Say why EKS's webhook gives no new pod to Fargate, "" if it does; None where it may not be read."""
        try:
            found = self._kube.get_at(WEBHOOK_PATH)
        except KubeError as error:
            if error.status == FORBIDDEN:
                return None
            raise
        if not found:
            return f"EKS looks at new pods by webhook {WEBHOOK}, and the cluster does not have it: ask AWS support"
        if sees_every_pod(found):
            return ""
        return f"EKS looks at new pods by webhook {WEBHOOK}, which has been changed so that it misses some"

    def _sight(self) -> Sight | None:
        """Read the profiles anew; None where that can't be had for now."""
        home = self._home()
        for tried in range(READ_TRIES):
            if tried:
                self._pause(READ_AGAIN_SECONDS)
            view = self._read_anew()
            if view is not None:
                return Sight(view, home)
        return None

    def _stops(self, now: Round, candidates: Iterable[Candidate], sight: Sight) -> tuple[str, set[str]]:
        """Say why all is stopped where EKS has taken none of several owners' pods, "" for less; and who these are."""
        failing = set()
        for each in {each.owner: each for each in candidates if each.owner in self._failed}.values():
            tried = self._open[each.owner]
            if tried in self._forgiven or tried.profiles != sight.digest(each.seen.key[0]):
                continue
            if tried.template == self._template(now, each, tried):
                failing.add(each.owner)
        if len(failing) < MOST_FAILING:
            return "", failing
        return (
            f"EKS has not taken what {len(failing)} owners made anew: look at webhook {WEBHOOK}, at the health of "
            "the profiles, and at what explain pod says of these pods; kubectl rollout restart tries again, and so "
            "does one pod a resync of an owner that has not failed"
        ), failing

    def _evict(self, now: Round, each: Candidate, sight: Sight) -> str:
        """Evict a pod if nothing speaks against it; return what does, "" for nothing."""
        pod = each.seen.pod
        if why := self._speaks_against(now, each, pod, sight):
            return why
        keys = sorted({key for profile in sight.could_take(pod) if (key := owner_of(profile))})
        book = book_or_none(now.objects[keys[0]] or {})
        if book is None:
            return "what was tried before can't be read (status.bookkeeping.evictions)"
        template, profiles = template_of(self._owner(now, each)), sight.digest(each.seen.key[0])
        try_now = Tried(each.owner, template, profiles, 0, self._taken.get(each.owner, 0))
        try_now = try_now._replace(tries=tries_in(book, try_now) + 1)
        # Pods of one owner may go to profiles of several objects, of which each counts what it began.
        others = sum(tries_in(known, try_now) for key, known in self._books.items() if key != keys[0])
        if try_now.tries + others > MOST_TRIES:
            return (
                f"EKS took none of {MOST_TRIES} pods that their owner made anew: explain pod says what it misses; "
                "kubectl rollout restart of the owner tries again"
            )
        kept = book if each.owner in book or len(book) < MOST_OWNERS else self._present_in(book)
        if len(kept) >= MOST_OWNERS and each.owner not in kept:
            return f"{MOST_OWNERS} other owners wait for EKS to take their pods"
        if why := self._asked(now, each):
            return why
        return self._mark(now, keys, kept | {each.owner: try_now}, book) or self._send(now, each, pod, keys[0], book)

    def _speaks_against(self, now: Round, each: Candidate, pod: Object, sight: Sight) -> str:
        if why := doubts(pod, sight, now.look.view):
            return why
        try:
            owner = self._owner(now, each)
        except KubeError as error:
            if error.status != FORBIDDEN:
                raise
            return "their owner may not be read (rbac.yaml has the right to get it)"
        if why := doubts_of_next(each.by, owner, pod, sight):
            return why
        for profile in sight.could_take(pod):
            key = owner_of(profile)
            obj = self._object(now, key) if key else None
            if why := refusal(obj, profile, each.seen.key[0], sight, self._settings):
                return why
            if now.look.at - self._active.get(profile.arn, now.look.at) < WAITS_SECONDS:
                return "their profile has become ACTIVE only now"
        return ""

    def _owner(self, now: Round, each: Candidate) -> Object:
        if each.owner not in now.owners:
            path = MAKERS[each.by.api_version, each.by.kind].format(each.seen.key[0], each.by.name)
            now.owners[each.owner] = self._kube.get_at(path)
        return now.owners[each.owner]

    def _template(self, now: Round, each: Candidate, tried: Tried) -> str:
        """Return the hash of an owner's template, where it can't be read that of what was tried."""
        try:
            return template_of(self._owner(now, each))
        except KubeError as error:
            if not error.status:
                raise
            return tried.template

    def _object(self, now: Round, key: Key) -> Object | None:
        """Return an object as it was read in this round, or written since; None for one that others serve, too."""
        if key not in now.objects:
            now.objects[key] = self._kube.get(*key) if self._store.get(key) else None
        return now.objects[key]

    def _present_in(self, book: Book) -> dict[str, Tried]:
        """Return what is remembered of owners that have pods: the others go where there is no room."""
        here = self._present[0] | self._present[1]
        return {owner: tried for owner, tried in book.items() if owner in here}

    def _asked(self, now: Round, each: Candidate) -> str:
        """Ask whether we may evict in a namespace, before anything is written for it; say why not."""
        namespace = each.seen.key[0]
        if namespace not in now.allowed:
            what = {"verb": "create", "resource": "pods", "subresource": "eviction", "namespace": namespace}
            said = self._kube.review("authorization.k8s.io/v1", "SelfSubjectAccessReview", {"resourceAttributes": what})
            if said.get("allowed") is not True:
                self._off[namespace] = now.look.at + AGAIN * self._settings.resync_seconds
                return self._holds_back(each)
            now.allowed.add(namespace)
        return ""

    # Count, evict, and what came of it

    def _mark(self, now: Round, keys: list[Key], book: Book, before: Book) -> str:
        """Write down that a pod is about to be evicted; say why that can't be, "" where it is written.

        Raises `Conflict` where that went too slowly to do it.

        It is the live check too that each object is as it was judged: an edit since is a `Conflict`.
        """
        started, (first, *others) = self._monotonic(), [now.objects[key] or {} for key in keys]
        for obj in others:
            self._kube.patch_status(obj, mapping(obj.get("status")))
        if book_or_none(self._write(now, keys[0], first, book)) != book:
            return "what is written into the object's status is not in its answer"
        if self._monotonic() - started > SEND_WITHIN_SECONDS:
            self._take_back(now, keys[0], before)
            raise Conflict("an eviction took too long to be written down")
        return ""

    def _write(self, now: Round, key: Key, obj: Object, book: Book) -> Object:
        told = with_book(obj, book)
        sent = self._store.sending(obj, told)
        now.objects[key] = after = self._kube.patch_status(obj, told)
        self._store.put(after, sent)
        return after

    def _send(self, now: Round, each: Candidate, pod: Object, key: Key, before: Book) -> str:
        """Evict a pod that was counted; return what the answer means where it was none, "" if it was."""
        self._check_lease()
        now.sent += 1
        self._canary_at = now.look.at
        self._opened[each.owner] = Opened(now.look.at, now.beside)
        self._before.setdefault(each.owner, now.look.taken.get(each.owner, frozenset()))
        fields = told_of(each.seen.key) | {"owner": f"{each.by.kind} {each.by.name}"}
        try:
            self._kube.send_at("POST", *eviction_of(pod))
        except KubeError as error:
            log.warning('not evicted object=%(object)s message="%(message)s"', told_of(each.seen.key, error))
            return self._answered(now, each, key, before, error)
        log.info("evicted object=%(object)s owner=%(owner)s: it was stranded, and is to be made anew", fields)
        return ""

    def _answered(self, now: Round, each: Candidate, key: Key, before: Book, error: KubeError) -> str:
        """Do what an answer other than yes calls for; return what to say of it."""
        is_right = error.status == FORBIDDEN and "cannot create resource" in str(error)
        if is_right:
            self._off[each.seen.key[0]] = now.look.at + AGAIN * self._settings.resync_seconds
        elif error.status == TOO_MANY:
            self._later[each.owner] = now.look.at + error.again_in
        elif not isinstance(error, NotFound | Conflict):
            self._rests[each.owner] = now.look.at + LEFT_ALONE_SECONDS
            return self._holds_back(each)
        self._take_back(now, key, before)
        return self._holds_back(each)

    def _take_back(self, now: Round, key: Key, before: Book) -> None:
        """Count an eviction no more that is known not to have been; where that fails it counts, to be sure."""
        try:
            self._write(now, key, now.objects[key] or {}, before)
        except KubeError as error:
            now.objects.pop(key, None)
            log.warning('not taken back object=%(object)s message="%(message)s"', told_of(key, error))

    def _check_lease(self) -> None:
        try:
            self._check()
        except KubeError as error:
            log.warning('no evictions message="%(message)s"', {"message": str(error)})
            raise Stop("the Lease is not held (the log says how)") from error


# The order, the request, and what of others' objects is read


def in_turn(ripe: Iterable[Candidate]) -> list[Candidate]:
    """Return candidates so that their namespaces take turns."""
    before: Counter[str] = Counter()
    placed = []
    for each in ripe:
        placed.append((before[each.seen.key[0]], each))
        before[each.seen.key[0]] += 1
    return [each for _, each in sorted(placed, key=lambda place: place[0])]


def eviction_of(pod: Object) -> tuple[str, Object]:
    """Return the path and the body of the request to evict this very version of a pod."""
    meta = pod["metadata"]
    named = {"namespace": meta["namespace"], "name": meta["name"]}
    pinned = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": named}
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction"
    return path, body | {"deleteOptions": {"preconditions": pinned}}


def kind_of(error: AwsError | KubeError) -> str:
    """Say of an error what anybody may read, and what stays the same: its text may name what is others'."""
    if isinstance(error, AwsError):
        return f"AWS does not answer what is asked, {error.reason} (the log says how)"
    if not error.status:
        return "the API server does not answer (the log says how)"
    return f"the API server answers by {error.status} (the log says how)"


def told_of(key: Key, error: object = "") -> dict[str, str]:
    return {"object": "/".join(key), "message": str(error)}


def unsure_of(look: Look) -> set[str]:
    """Return the owners with a pod of which it is not known whether EKS has taken it for a profile that is there."""
    waiting = [each for each in look.seen if each.state == "waiting" and each.holder]
    found = [each for each in waiting if each.stranded.answer != "yes"]
    found = [each for each in found if each.stranded.answer == "unknown" or each.holder not in look.view.profiles]
    return {owned_by(each.key[0], each.owner) for each in found if each.owner}


def asks(obj: Object | None) -> bool:
    """Say whether an object asks for evictions, valid or not; of a big one no more is kept than that."""
    return obj is not None and mapping(obj.get("spec")).get("strandedPods") == "Evict"


def book_or_none(obj: Object) -> dict[str, Tried] | None:
    try:
        return book_of(obj)
    except Odd:
        return None


def sees_every_pod(found: Object) -> bool:
    """Say whether a configuration has EKS's webhook, called for each pod that is made."""
    try:
        ours = [each for _, each in several(found, "webhooks") if each.get("name") == WEBHOOK]
        return any(not [*narrowed(each)] for each in ours)
    except Odd:
        return False
