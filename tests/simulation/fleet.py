"""Several accounts and regions in a simulated world, and the clusters file as its processes are told of it.

    hub (world.account, us-east-1) --sts:AssumeRole--> spoke: eu (eu-west-1) and us (us-east-1)

In each there is an EKS cluster of the same name. A cluster's label is its name, with "@eu" or "@us" where it is not the
hub's. Who may name which cluster is judged here by the file alone; the product's own judgement is not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import EndpointConnectionError

from entries import Entries, Entry
from spec import Defaults
from tests.fakes.accounts import Sts, Wish, trust_of
from tests.fakes.eks import Memory, operation, refused
from tests.fakes.eks_rules import ACCOUNT, Refusal

if TYPE_CHECKING:
    from tests.simulation.world import World

Object = dict[str, Any]
Place = tuple[str, str]  # account and region

SPOKE, REGION = "111122223333", "us-east-1"
ROLE = f"arn:aws:iam::{SPOKE}:role/fargate-operator"
EXTERNAL_ID = "42"
OWN = ReadOnlyCredentials("own", "", "")
NAMED: dict[Place, str] = {(SPOKE, "eu-west-1"): "eu", (SPOKE, REGION): "us"}
EU = Entry("eu", "demo", "eu-west-1", ROLE, EXTERNAL_ID)
HOMES = (Entry("demo", "demo", REGION), Entry("other", "other", REGION))  # for a file of the hub's own clusters
# What the file may come to be: as it was, with an alias, without the entry or a namespace, led to another region.
FILES: tuple[tuple[Entry, ...], ...] = (
    (EU,), (EU,), (replace(EU, name="alias"), EU), (), (replace(EU, namespaces=("default",)),),
    (replace(EU, region=REGION),), (EU, replace(EU, name="us", region=REGION, namespaces=("team",))),
)  # fmt: skip
HEARD_SECONDS = {"one": 5.0, "two": 12.0}  # after a change of the file, until a process is told of it


@dataclass
class Fleet:
    """The places beside the hub, once there are any, and how one comes there. `listed` is the file, None for none."""

    world: World
    listed: tuple[Entry, ...] | None = None
    moved: bool = False  # an entry has led to another cluster meanwhile
    version: int = 0  # of the file
    changed_at: float = 0.0
    sts: Sts = field(default_factory=Sts)
    trust: dict[str, str] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)  # regions that nobody reaches
    beside: dict[Place, Memory] = field(default_factory=dict)
    keys: int = 0  # that were given
    tagged: set[str] = field(default_factory=set)  # subnets that have, or had, a tag
    tagged_at: float = float("-inf")  # when tags of subnets changed last
    lost_at: dict[str, float] = field(default_factory=dict)  # when each subnet has lost a tag last
    flags: Defaults = field(default_factory=Defaults)  # with which processes are started from now on
    defaults: dict[str, Defaults] = field(default_factory=dict)  # that the file gives entries, by their name
    has_defaults: bool = False  # of whatever kind, at some time
    defaults_at: float = float("-inf")  # when defaults changed last

    def open(self, *listed: Entry) -> None:
        """Let there be the other places, and a file."""
        for number, place in enumerate(NAMED):
            manners = replace(self.world.manners, updating=set(), fail_creates={}, fail_deletes={})
            self.beside[place] = Memory(manners, place[1], self.world.rand_of(10 + number), place[0])
        self.trust[ROLE] = trust_of(external_id=EXTERNAL_ID)
        self.write(*(listed or (EU,)))

    def write(self, *listed: Entry) -> None:
        """Change the file; who runs is told of it in a while."""
        self.world.note("admin", f"writes the file: {[(each.name, each.region, each.namespaces) for each in listed]}")
        listed = tuple(replace(each, defaults=self.defaults.get(each.name, each.defaults)) for each in listed)
        before = {each.name: each.key for each in self.listed or ()}
        self.moved = self.moved or any(before.get(each.name, each.key) != each.key for each in listed)
        self.listed, self.version, self.changed_at = listed, self.version + 1, self.world.clock.elapsed

    def tag(self, account: Memory, subnet: str, **tags: str) -> None:
        """Change the tags of a subnet; an empty value takes a tag away."""
        self.world.note("admin", f"tags {subnet} of {account.account} {tags}")
        account.tag_subnet(subnet, **tags)
        self.tagged.add(subnet)
        self.tagged_at = self.world.clock.elapsed
        if not all(tags.values()):
            self.lost_at[subnet] = self.tagged_at

    def start_with(self, flags: Defaults) -> None:
        """Change the defaults of the flags; whoever runs is started anew."""
        self._note_defaults(f"starts the controller with {flags}")
        self.flags = flags
        for process in [*self.world.processes]:
            self.world.kill(process, again=1.0)

    def give(self, **defaults: Defaults) -> None:
        """Change the defaults of entries by their names; the file is written anew."""
        self._note_defaults(f"gives entries {defaults}")
        self.defaults |= defaults
        self.write(*(self.listed or ()))

    def _note_defaults(self, what: str) -> None:
        self.world.note("admin", what)
        self.has_defaults, self.defaults_at = True, self.world.clock.elapsed

    def entries(self, home: str, flags: Defaults | None = None) -> Entries:
        """Return what a process goes by that was started with these flags, those of now if none are given."""
        return Entries(REGION, home, self.listed, self.flags if flags is None else flags)

    def quieten(self) -> None:
        """Mend all but the file."""
        self.down.clear()
        if self.beside:
            self.trust[ROLE] = trust_of(external_id=EXTERNAL_ID)
        for memory in self.beside.values():
            memory.manners.updating.clear()
            memory.manners.fail_creates.clear()
            memory.manners.fail_deletes.clear()
            for cluster in memory.clusters:
                memory.set_cluster_status(cluster, "ACTIVE")

    # Requests

    def ask(self, key: str, region: str, method: str, request: Object) -> Object:
        """Answer a request that is signed for a region with a key."""
        service = "iam" if "RoleName" in request else "eks"
        if region in self.down and service != "iam":
            raise EndpointConnectionError(endpoint_url=f"https://{region}.example")
        if method == "assume_role":
            return self._assume(request)
        try:
            self.sts.check(key, service, self.world.clock.time())
        except Refusal as refusal:
            raise refused(operation(method), refusal.code, refusal.status, refusal.text) from refusal
        return self.at(key, region).ask(method, request)

    def at(self, key: str, region: str) -> Memory:
        """Return the place to which a request goes."""
        role = self.sts.given[key][0] if key != OWN.access_key else ""
        return self.beside[role.split(":")[4], region] if role else self.world.account

    def label(self, key: str, region: str, cluster: str) -> str:
        memory = self.at(key, region)
        return self.label_at(memory.account, memory.region, cluster)

    def _assume(self, request: Object) -> Object:
        wish = Wish(f"arn:aws:sts::{ACCOUNT}:user/moto", request["RoleArn"], request.get("ExternalId", ""))
        try:
            self.sts.judge(wish, self.trust.get)
        except Refusal as refusal:
            raise refused("AssumeRole", refusal.code, refusal.status, refusal.text) from refusal
        self.keys += 1
        key = f"ASIA{self.keys}"
        ends = self.sts.give(key, wish.role, self.world.clock.time(), 3600.0)
        keys = {"AccessKeyId": key, "SecretAccessKey": "secret", "SessionToken": "token"}
        made = {"Credentials": keys | {"Expiration": self.world.at(ends)}}
        return made | {"ResponseMetadata": {"HTTPStatusCode": 200}}

    # The truth

    @property
    def all(self) -> list[Memory]:
        return [self.world.account, *self.beside.values()]

    @staticmethod
    def label_at(account: str, region: str, cluster: str) -> str:
        named = NAMED.get((account, region))
        return f"{cluster}@{named}" if named else cluster

    def label_of(self, arn: str) -> str:
        """Return the label of the cluster of a profile, or of a cluster itself, by its ARN."""
        _, _, _, region, account, rest = arn.split(":", 5)
        return self.label_at(account, region, rest.split("/")[1])

    def holder(self, label: str) -> Memory:
        """Return the place in which a cluster is."""
        named = label.partition("@")[2]
        return next((each for place, each in self.beside.items() if NAMED[place] == named), self.world.account)

    def where(self, obj: Object, home: str, listed: Sequence[Entry] | str | None = "now") -> str | None:
        """Return the label of the cluster that an object means by a file, None where it may not."""
        entries = self.listed if isinstance(listed, str) else listed
        spec = obj.get("spec")
        name = str((spec.get("clusterName") if isinstance(spec, dict) else None) or home)
        if entries is None:
            return name
        found = next((each for each in entries if each.name == name), None)
        if found is None:
            return name if name == home else None
        namespace = obj["metadata"]["namespace"]
        if not any(fnmatchcase(namespace, each) for each in found.namespaces):
            return None
        return self.label_at(found.role_arn.split(":")[4] if found.role_arn else ACCOUNT, found.region, found.cluster)

    @staticmethod
    def defaults_of(obj: Object, entries: Entries) -> Defaults:
        """Return what an object gets that says nothing of it, by the flags and the file as a process has them."""
        spec = obj.get("spec")
        name = (spec.get("clusterName") if isinstance(spec, dict) else None) or entries.home
        found = next((each for each in entries.listed or () if each.name == name), None)
        return found.defaults if found else entries.defaults

    def account_of(self, name: str | None) -> Memory:
        """Return the place of the cluster that is named so in the file, the hub where none is."""
        found = next((each for each in self.listed or () if each.name == name), None)
        return self.beside[found.place] if found and found.role_arn else self.world.account
