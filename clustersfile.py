"""The file of --clusters-file: what may stand in it, what is wrong with it, and how it is read again when it changes.

The picture: text -> `parse` (`Entries`, or every finding with its line); `ClustersFile.step` -> new `Entries`, or None
where there are none, or none that can be taken.

What it is not: which entry an object gets (entries), or the loop and what is done with new entries (controller).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field, ValidationError
from pydantic.alias_generators import to_camel

from entries import REGION, Contradiction, Entries, Entry
from kube import Object
from leader import LOOK_SECONDS as LEASE_LOOK_SECONDS
from leader import Judgement
from manifests import Bounded, Document, Told, documents, located, undecoded
from patterns import brief, decoded
from spec import MENDS as SPEC_MENDS
from spec import (
    OF_A_ROLE,
    ROLE_NAME,
    SELDOM,
    ClusterName,
    DefaultFields,
    Defaults,
    Finding,
    both_given,
    finding_of,
    mapping,
)

log = logging.getLogger("fargate.clusters")
LOOK_SECONDS = 10.0  # between two looks at the file
SETTLE_SECONDS = 3.0  # to the second look at a new version
MOST_BYTES = 2**20  # what a ConfigMap holds
MOST_ENTRIES = 2000
MOST_TOLD = 1000  # findings
LONGEST_PLACE = 300  # bytes, of where one is
ROLE_ARN = rf"{OF_A_ROLE}([!-.0-~]+/){{0,64}}{ROLE_NAME}"  # with a path too

_Region = Annotated[str, Field(pattern=rf"^{REGION}\Z")]
_AssumedRole = Annotated[str, Field(pattern=rf"^{ROLE_ARN}\Z", max_length=640)]
_ExternalId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_+=,.@:/-]{2,1224}\Z")]
_Namespaces = Annotated[str, Field(pattern=r"^[a-z0-9*]([a-z0-9*-]{0,61}[a-z0-9*])?\Z")]
_NAME = "letters, digits, - and _, at most 100, first a letter or digit; numbers in quotes"
MENDS = {
    "clusters": f"give a list of at most {MOST_ENTRIES:,} entries, each a mapping with at least name",
    "name": f"give what objects write as clusterName: {_NAME}",
    "cluster": f"give the name that EKS has for the cluster ({_NAME}), or leave the field out where name is that",
    "region": "give an AWS region such as eu-central-1, or leave the field out for the operator's own",
    "roleArn": "give the ARN of the IAM role that the operator is to assume, arn:aws:iam::<account>:role/<name>, or "
    "leave the field out for its own credentials",
    "externalId": "give what the role's trust policy asks for: 2 to 1224 letters, digits and _ + = , . @ : / -; put "
    "numbers in quotes",
    "namespaces": "give a list of 1 to 1000 namespaces, or leave the field out for all; * stands for any characters",
    "defaults": "give a mapping of podExecutionRoleArn or podExecutionRoleName, subnetSelectorTerms and tags",
    **{name: SPEC_MENDS[name] for name in map(to_camel, DefaultFields.model_fields)},
}


class EntryFields(BaseModel):
    model_config = SELDOM
    name: ClusterName
    cluster: ClusterName = ""
    region: _Region = ""
    role_arn: _AssumedRole = ""
    external_id: _ExternalId = ""
    namespaces: list[_Namespaces] = Field(default=["*"], min_length=1, max_length=1000)
    defaults: DefaultFields = Field(default_factory=DefaultFields)

    def entry(self, region: str, line: int) -> Entry:
        """Return the entry; `region` is the operator's."""
        said = self.defaults
        defaults = Defaults(said.pod_execution_role_arn or said.pod_execution_role_name, said.terms, said.tags)
        where = self.cluster or self.name, self.region or region, self.role_arn, self.external_id
        return Entry(self.name, *where, tuple(self.namespaces), defaults, line)


class _File(Document):
    null: ClassVar[str] = "which is no value"


def parse(file: str, text: str, flags: Entries, account: str = "") -> Entries | list[Told]:
    """Return what a file lists, or every finding. `flags`: the clusters that there are without it.

    `account` is that of the operator's own credentials, "" where it is not known.
    """
    found, broken = documents(file, text, lambda node: [_File(file, node)], Bounded)
    if broken:
        return broken
    if len(found) != 1:
        what, line = ("several YAML documents", found[1].line) if found else ("nothing in it", 0)
        return [Told(file, line, "", "", what, "give one mapping with clusters")]
    document = found[0]
    listed, wrong = _listed(document, flags.region)
    whole = replace(flags, listed=tuple(listed.values()))
    numbers = {each.name: number for number, each in listed.items()}
    wrong += [_beside(numbers[each.entry.name], each) for each in whole.contradict(account)]
    wrong += [finding for number, each in listed.items() for finding in _unlike_home(number, each, flags)]
    return _told(document, [*dict.fromkeys([*document.findings, *wrong])]) or whole


def _told(document: Document, found: Sequence[Finding]) -> list[Told]:
    """Return findings in the order of the file, of very many the first: to find each in a file takes its time."""
    told = sorted(document.told(each) for each in found[:MOST_TOLD])
    if len(found) > MOST_TOLD:
        what = f"{len(found) - MOST_TOLD:,} more findings"
        told.append(Told(document.file, 0, "", "", what, "mend these first"))
    return [each._replace(field=brief(each.field, LONGEST_PLACE)) for each in told]


def _listed(document: Document, region: str) -> tuple[dict[int, Entry], list[Finding]]:
    """Return the entries that are valid by themselves, by their number, and what is wrong with the others."""
    obj, found = document.obj, list[Finding]()
    if not isinstance(obj, dict):
        return {}, [Finding((), "not a mapping", "give a mapping with clusters")]
    found += [Finding((key,), "not a field", "remove it: clusters is the only one") for key in obj if key != "clusters"]
    several = obj.get("clusters")
    if not isinstance(several, list):
        what = "missing" if "clusters" not in obj else "null" if several is None else "not a list"
        return {}, [*found, Finding(("clusters",), what, MENDS["clusters"])]
    if len(several) > MOST_ENTRIES:
        return {}, [*found, Finding(("clusters",), f"{len(several):,} entries long", MENDS["clusters"])]
    listed = {}
    for number, each in enumerate(several):
        try:
            fields = EntryFields.model_validate(each)
            listed[number] = fields.entry(region, located(document.node, ("clusters", number))[0])
        except ValidationError as broken:
            found += [_finding(error, number) for error in broken.errors(include_url=False)]
        found += _together(("clusters", number), mapping(each))
    twice = _twice(several)
    again = {finding.path[1] for finding in twice}
    valid = {number: each for number, each in listed.items() if number not in again}
    return valid, [*found, *twice]


def _finding(error: Any, number: int) -> Finding:
    return finding_of(error, MENDS, "clusters", number)


def _together(path: tuple[str | int, ...], entry: Object) -> Iterator[Finding]:
    """Yield what is wrong with fields of an entry that are valid one by one."""
    if "externalId" in entry and "roleArn" not in entry:
        yield Finding((*path, "externalId"), "given without roleArn", "give the role that asks for it, or remove it")
    defaults, (one, other) = mapping(entry.get("defaults")), ("podExecutionRoleArn", "podExecutionRoleName")
    if {one, other} <= defaults.keys():
        yield both_given((*path, "defaults"), one, other)


def _twice(several: Sequence[object]) -> list[Finding]:
    """Return the names that an entry before has already."""
    seen: Counter[str] = Counter()
    found = []
    for number, each in enumerate(several):
        name = mapping(each).get("name")
        if isinstance(name, str):
            seen[name] += 1
            if seen[name] > 1:
                mend = "give each entry a name of its own; several may have the same cluster"
                found.append(Finding(("clusters", number, "name"), f"{name[:100]}, as an entry before has", mend))
    return found


def _beside(number: int, found: Contradiction) -> Finding:
    return Finding(("clusters", number, found.field), found.what, found.mend)


def _unlike_home(number: int, entry: Entry, flags: Entries) -> Iterator[Finding]:
    """Yield where an entry with the name of the home would lead the objects of that name elsewhere."""
    if entry.name != flags.home:
        return
    if flags.region and entry.region != flags.region:
        what = f"{entry.region}, and --cluster-name {flags.home} is in {flags.region}"
        yield Finding(("clusters", number, "region"), what, "give the entry another name")
    if entry.cluster != entry.name:
        what = f"{entry.cluster}, and --cluster-name is {flags.home}"
        yield Finding(("clusters", number, "cluster"), what, "give the entry another name")


# The file as it is read


def read(file: str) -> str | Told:
    """Return the text of a file, or why there is none."""
    path = Path(file)
    try:
        if path.exists() and not path.is_file():
            return Told(file, 0, "", "", "not a file", "name the file that lists the clusters")
        with path.open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            return Told(
                file,
                0,
                "",
                "",
                f"longer than {MOST_BYTES:,} bytes",
                "a ConfigMap holds no more; leave out what is the default anyway",
            )
        return decoded(raw)
    except UnicodeDecodeError as error:
        return undecoded(file, raw, error)
    except OSError as error:
        what = f"can't be read ({error.strerror or error})"
        return Told(file, 0, "", "", what, "correct --clusters-file, or who may read the file")


def judged(file: str, text: str | Told, flags: Entries, account: str = "") -> Entries | list[Told]:
    return [text] if isinstance(text, Told) else parse(file, text, flags, account)


REFUSED = "the clusters file is refused, the entries of before stay: %s"
CONTRADICTED = "the clusters file that is in use contradicts itself, objects of these clusters wait: %s"


def log_taken(file: str, entries: Entries) -> None:
    fields = {"file": file, "entries": len(entries.listed or ())}
    log.info("took clusters file=%(file)s entries=%(entries)s", fields)


@dataclass
class ClustersFile:
    """The file as it changes: by its content, whatever is swapped on the way to it, as in the folder of a ConfigMap.

    A version counts once two looks have found it: one that is half written may be valid, and wider than it is meant.
    One that can't be taken, or can't be read, is refused: what was taken last stays, `refused` is
    told, and the log has every finding, once a version. `account`: of the operator's own credentials,
    "" as long as nobody knows; what contradicts it is found once it is known.
    """

    file: str
    flags: Entries
    entries: Entries
    refused: Callable[[bool], None]
    account: Callable[[], str] = lambda: ""
    settled: bool = False  # the last look has found what the one before it had found
    _seen: object = None
    _judged: object = None

    def step(self) -> Entries | None:
        """Look at the file; return its entries where they are others than those that were taken last."""
        text, account = read(self.file), self.account()
        self.settled, self._seen = self._seen == text, text
        if not self.settled or self._judged == (text, account):
            return None
        found = self._judge(text, account)
        self._judged = text, account
        self.refused(isinstance(found, list))
        if isinstance(found, list):
            in_use = judged(self.file, text, self.flags) == self.entries
            for each in found:
                log.error(CONTRADICTED if in_use else REFUSED, each)
            return None
        if found == self.entries:
            return None
        log_taken(self.file, found)
        self.entries = found
        return found

    def _judge(self, text: str | Told, account: str) -> Entries | list[Told]:
        """Judge a version; one over which that breaks down is refused too, and judged again at the next look."""
        found = None
        try:
            found = judged(self.file, text, self.flags, account)
        finally:
            if found is None:
                self.refused(True)
        return found


@dataclass
class Renewal:
    """Has new entries taken up: once the Lease does not vouch any more for the judgement by those of before.

    Else a process that takes over with the old file would believe that objects were judged by it which were judged by
    the new one. `by` gives the digest of what judges by new entries, `judge_anew` begins that judgement.
    """

    file: ClustersFile
    judgement: Judgement
    by: Callable[[Entries], str]
    take: Callable[[Entries], None]
    judge_anew: Callable[[str], None]
    _awaited: Entries | None = None

    def step(self) -> float:
        """Look at the file once, and take up what has come; return the seconds to the next step."""
        self._awaited = self.file.step() or self._awaited
        if self._awaited is None:
            return LOOK_SECONDS if self.file.settled else SETTLE_SECONDS
        if not self.judgement.begin():
            return LEASE_LOOK_SECONDS  # by then it has been renewed, or is lost
        self.take(self._awaited)
        self.judge_anew(self.by(self._awaited))
        self._awaited = None
        return LOOK_SECONDS
