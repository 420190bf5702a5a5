"""What Fargate profiles mean for pods: which profile EKS takes for one, which pods it has missed for
good, what Fargate can't run, what it bills, and what its scheduler and kubelet say.

The picture: a pod as it is created -> `chosen`; a pod that waits -> `stranded`, by what `chosen` says
of it made anew; a pod's spec -> `unsupported`, `size`; a text -> `translated`, by the table TEXTS.

Pure. A pod is a raw dictionary of whomever: what is of no type that Kubernetes lets through is unknown,
and never an error. What EKS does is documented or was seen; what of it was neither is unknown too.
What it is not: a change of anything, or a look at a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Literal, NamedTuple, TypeVar

from aws import Profile, Selector
from kube import Object
from patterns import matches, quantity
from spec import mapping

PROFILE_LABEL = "eks.amazonaws.com/fargate-profile"
COMPUTE_TYPE = "eks.amazonaws.com/compute-type"  # an annotation of pods, a label of nodes
DEFAULT_SCHEDULER, FARGATE_SCHEDULER = "default-scheduler", "fargate-scheduler"
NOT_YET_ACTIVE = {"CREATING", "CREATE_FAILED"}  # which take no pod; of the other states only ACTIVE is sure
EFS = "efs.csi.aws.com"

Known = Literal["yes", "no", "unknown"]
Labels = Mapping[str, str | None]  # None: a value that can't be read
Sure = Mapping[str, tuple[Profile, Selector | None]]  # ACTIVE profiles that a pod matches, and by which selector
T = TypeVar("T")


class Odd(ValueError):
    """A field of a pod is of another type than Kubernetes lets through; the text says where it is."""


def part(obj: Object, *path: str, where: str = "") -> Object:
    """Return the mapping on a path, {} if none is there; `where` is what stands before the path."""
    here = obj
    for number, key in enumerate(path, 1):
        inner = {} if here.get(key) is None else here[key]
        if not isinstance(inner, dict):
            raise Odd(where + ".".join(path[:number]))
        here = inner
    return here


def read(obj: Object, key: str, kind: type[T], where: str = "") -> T:
    """Return a field of a type, an empty one if it is not there; `where` is what stands before the field's name."""
    value = kind() if obj.get(key) is None else obj[key]
    if type(value) is not kind:
        raise Odd(f"{where}{key}")
    return value


def items(obj: Object, key: str, kind: type[T], where: str = "") -> list[T]:
    found = read(obj, key, list, where)
    if not all(isinstance(each, kind) for each in found):
        raise Odd(f"{where}{key}")
    return found


def several(obj: Object, key: str, where: str = "") -> list[tuple[str, Object]]:
    """Return the mappings of a list, each with its place."""
    return [(f"{where}{key}[{number}]", each) for number, each in enumerate(items(obj, key, dict, where))]


def text(obj: Object, key: str, where: str = "") -> str:
    return read(obj, key, str, where)


def labels_of(pod: Object) -> Labels | None:
    """Return a pod's labels; None for labels that can't be read."""
    try:
        labels = part(pod, "metadata", "labels")
    except Odd:
        return None
    if not all(isinstance(key, str) for key in labels):
        return None
    return {key: value if isinstance(value, str) else None for key, value in labels.items()}


# Which profile takes a pod


def fits(selector: Selector, namespace: str, labels: Labels | None) -> bool | None:
    """Say whether a pod matches a selector; None where that can't be known."""
    if not matches(namespace, selector.namespace):
        return False
    found = {has(labels, *wanted) for wanted in selector.labels}
    return False if False in found else None if None in found else True


def has(labels: Labels | None, key: str, value: str) -> bool | None:
    """Say whether one of the labels has such a key and such a value."""
    if labels is None:
        return None
    values = [found for name, found in labels.items() if matches(name, key)]
    if any(found is not None and matches(found, value) for found in values):
        return True
    any_fits = bool(value) and not value.strip("*")
    return None in values and (any_fits or None)


def fitting(profile: Profile, namespace: str, labels: Labels | None) -> tuple[bool | None, Selector | None]:
    """Say whether a pod matches a selector of the profile, and which: the first in order."""
    found = {each: fits(each, namespace, labels) for each in sorted(profile.selectors)}
    for answer in (True, None):
        if named := next((each for each, fit in found.items() if fit is answer), None):
            return answer, named
    return False, None


@dataclass(frozen=True)
class Choice:
    """Which profile EKS takes for a pod that is made now, and why.

    `taken`: some ACTIVE profile takes it, also where `profile`, which one, is not known. `could`: the names of
    all that may.
    """

    taken: Known
    why: str
    profile: Profile | None = None
    selector: Selector | None = None
    could: tuple[str, ...] = ()


def chosen(pod: Object, profiles: Iterable[Profile], hidden: Collection[str] = ()) -> Choice:
    """Return which of a cluster's profiles EKS takes for a pod as it is created; `hidden` are those not seen."""
    try:
        if out := opted_out(pod):
            return out
        namespace = text(part(pod, "metadata"), "namespace", "metadata.")
    except Odd as odd:
        return Choice("unknown", f"{odd} can't be read")
    if not namespace:
        return Choice("unknown", "the pod's namespace is not known")
    labels = labels_of(pod)
    fit = [(each, *fitting(each, namespace, labels)) for each in sorted(profiles, key=lambda each: each.name)]
    sure = {each.name: (each, selector) for each, fits_it, selector in fit if fits_it and each.active}
    maybe = {each.name: why for each, fits_it, _ in fit if (why := in_doubt(each, fits_it))}
    maybe |= dict.fromkeys(hidden, "what it selects is not to be seen")
    choice = picked(labels, sure, maybe) if labels is None or PROFILE_LABEL in labels else first_of(sure, maybe)
    if choice.taken == "no" and (later := [each.name for each, fits_it, _ in fit if fits_it]):
        return replace(choice, why=f"no ACTIVE profile fits; {' and '.join(later)} would, once ACTIVE")
    return choice


def opted_out(pod: Object) -> Choice | None:
    """Return why EKS leaves a pod alone whatever profiles there are, or why that can't be said."""
    for where, owner in several(part(pod, "metadata"), "ownerReferences", "metadata."):
        if text(owner, "kind", f"{where}.") == "DaemonSet":
            if text(owner, "apiVersion", f"{where}.").startswith("apps/"):
                return Choice("no", "its owner is a DaemonSet, whose pods EKS leaves alone")
            return Choice("unknown", "its owner is a DaemonSet, and not one of Kubernetes' own")
    spec = part(pod, "spec")
    if text(spec, "nodeName", "spec."):
        return Choice("no", "it names its node (spec.nodeName)")
    scheduler = text(spec, "schedulerName", "spec.") or DEFAULT_SCHEDULER
    if scheduler == FARGATE_SCHEDULER:
        return Choice("unknown", "it asks for fargate-scheduler itself, which nobody is known to have tried")
    if scheduler != DEFAULT_SCHEDULER:
        return Choice("no", f"it names another scheduler ({scheduler})")
    annotations = part(pod, "metadata", "annotations")
    where = text(annotations, COMPUTE_TYPE, "metadata.annotations.")
    if where == "ec2":
        return Choice("no", f"its annotation {COMPUTE_TYPE} is ec2")
    if COMPUTE_TYPE in annotations and where != "fargate":
        return Choice("unknown", f"its annotation {COMPUTE_TYPE} is neither ec2 nor fargate, but {where}")
    return None


def in_doubt(profile: Profile, fits_it: bool | None) -> str:
    """Say why it can't be known whether a profile takes a pod, "" where it is known."""
    if fits_it is False or profile.status in NOT_YET_ACTIVE:
        return ""
    if not profile.active:
        return f"it is {profile.status}, and whether EKS still gives it pods is not known"
    return "" if fits_it else "labels of the pod can't be read"


def picked(labels: Labels | None, sure: Sure, maybe: Mapping[str, str]) -> Choice:
    """Return the profile that a pod's own label names, among those that it matches."""
    could = tuple(sorted({*sure, *maybe}))
    name = labels[PROFILE_LABEL] if labels is not None else None
    if name is None:
        return Choice("unknown", "the pod's labels can't be read", could=could)
    if name in sure:
        return Choice("yes", f"its label {PROFILE_LABEL} names it", *sure[name], could=(name,))
    why = f"its label {PROFILE_LABEL} names {name}, which is not there, not ACTIVE or does not match the pod"
    return Choice("unknown", f"{why}: what EKS does then is not known", could=could)


def first_of(sure: Sure, maybe: Mapping[str, str]) -> Choice:
    """Return which of the profiles that a pod matches comes first, by every order that EKS may have."""
    could = tuple(sorted({*sure, *maybe}))
    if not could:
        return Choice("no", "no ACTIVE profile fits")
    if first := next((name for name in sure if goes_first(name, could)), None):
        others = [name for name in could if name != first]
        why = f"EKS takes the first by name, before {' and '.join(others)}" if others else ""
        return Choice("yes", why, *sure[first], could=could)
    if maybe:
        told = "; ".join(f"{name}: {why}" for name, why in sorted(maybe.items()))
        return Choice("unknown", f"it can't be said of all profiles whether they take it ({told})", could=could)
    why = f"{' and '.join(could)} fit, and in which order EKS sorts such names is not known"
    return Choice("yes", why, could=could)


# The order of EKS is "alphanumeric" and no more is said of it: what all of these agree on holds in any.
ORDERS: tuple[Callable[[str], object], ...] = (
    lambda name: name.encode(errors="replace"),
    str.lower,
    str.upper,
    lambda name: re.sub(r"[\W_]", "", name),
    lambda name: [int(each) if each.isdecimal() else each for each in re.split(r"(\d+)", name)],
)


def goes_first(name: str, names: Iterable[str]) -> bool:
    others = [other for other in names if other != name]
    return all(order(name) < order(other) for order in ORDERS for other in others)  # type: ignore[operator]


# Which pods EKS has missed


@dataclass(frozen=True)
class Stranded:
    """Whether a pod waits for what will not come: it is never looked at again, and would be taken if made anew."""

    answer: Known
    why: str
    choice: Choice | None = None


def anew(pod: Object) -> Object:
    """Return a pod as it would be created again: without its node, and what EKS's webhook has put in."""
    spec = {key: value for key, value in mapping(pod.get("spec")).items() if key != "nodeName"}
    meta = mapping(pod.get("metadata"))
    if spec.get("schedulerName") == FARGATE_SCHEDULER:
        del spec["schedulerName"]
        labels = {key: value for key, value in mapping(meta.get("labels")).items() if key != PROFILE_LABEL}
        meta = {**meta, "labels": labels} if isinstance(meta.get("labels"), dict) else meta
    kept = {"spec": spec} if isinstance(pod.get("spec"), dict) else {}
    return {**pod, **kept, **({"metadata": meta} if "metadata" in pod and meta else {})}


def holder(pod: Object) -> str:
    """Return the profile for which EKS has taken a pod, "" for none. The label alone is no proof: users may set it."""
    name = (labels_of(pod) or {}).get(PROFILE_LABEL)
    return name or "" if mapping(pod.get("spec")).get("schedulerName") == FARGATE_SCHEDULER else ""


def stranded(
    pod: Object, profiles: Collection[Profile], hidden: Collection[str] = (), waiting_since: datetime | None = None
) -> Stranded:
    """Say whether a pod that is there is stranded; `waiting_since`: when it was first seen to wait."""
    try:
        if why := settled(pod):
            return Stranded("no", why)
        scheduler = text(part(pod, "spec"), "schedulerName", "spec.") or DEFAULT_SCHEDULER
    except Odd as odd:
        return Stranded("unknown", f"{odd} can't be read")
    seen = Stranded("no", f"it waits for {scheduler}")
    if scheduler == DEFAULT_SCHEDULER:
        seen = Stranded("yes", "no ACTIVE profile took it when it was made")
    elif scheduler == FARGATE_SCHEDULER:
        seen = forsaken(pod, profiles, hidden, waiting_since)
    if seen.answer != "yes":
        return seen
    choice = chosen(anew(pod), profiles, hidden)
    if choice.taken == "yes":
        which = choice.profile.name if choice.profile else f"one of {' and '.join(choice.could)}"
        return Stranded("yes", f"{seen.why}, EKS looks at a pod once, and {which} would take it now", choice)
    return Stranded(choice.taken, f"made anew: {choice.why}", choice)


def settled(pod: Object) -> str:
    """Say why a pod waits for nothing, or for something else than a profile; "" for neither."""
    spec, status, meta = part(pod, "spec"), part(pod, "status"), part(pod, "metadata")
    phase = text(status, "phase", "status.")
    if phase and phase != "Pending":
        return f"it is {phase}"
    if not phase:
        raise Odd("status.phase")
    if text(spec, "nodeName", "spec."):
        return "it has its node"
    if meta.get("deletionTimestamp") is not None:
        return "it is being deleted"
    if several(spec, "schedulingGates", "spec."):
        return "it has scheduling gates, which somebody has to take off first"
    if text(status, "nominatedNodeName", "status."):
        return "its scheduler is at it"
    return ""


def forsaken(
    pod: Object, profiles: Iterable[Profile], hidden: Collection[str], waiting_since: datetime | None
) -> Stranded:
    """Say whether the profile for which EKS took a pod is not there any more, so that nobody places it."""
    name = (labels_of(pod) or {}).get(PROFILE_LABEL)
    if name is None or name in hidden:
        return Stranded("unknown", "the profile that EKS took it for can't be seen")
    there = next((each for each in profiles if each.name == name), None)
    if there is None:
        return Stranded("yes", f"EKS took it for profile {name}, which is gone")
    if waiting_since and there.created_at > waiting_since:
        return Stranded("yes", f"EKS took it for a profile {name} that was replaced by another of that name")
    return Stranded("no", "it waits for the Fargate scheduler")


# What Fargate can't run


class Hurdle(NamedTuple):
    """What keeps Fargate from running a pod, or may if it is not `sure`: the field, what is there, what mends it."""

    field: str
    what: str
    mend: str
    sure: bool = True

    def __str__(self) -> str:
        return f"{self.field} {self.what}: {self.mend}"


ALLOWED_VOLUMES = {"emptyDir", "secret", "configMap", "projected", "downwardAPI", "nfs"}
REFUSED_VOLUMES = {
    "hostPath", "csi", "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "fc", "flexVolume",
    "flocker", "gcePersistentDisk", "gitRepo", "glusterfs", "iscsi", "photonPersistentDisk", "portworxVolume",
    "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume",
}  # fmt: skip
CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip
PERHAPS_CAPABILITIES = {"IPC_LOCK", "LINUX_IMMUTABLE", "SYS_PTRACE", "SYS_RESOURCE"}  # by a setting of the kubelet
ZONE_LABELS = {"topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"}
NODE_LABELS = {  # that the nodes of Fargate have, with the only value where there is one
    "kubernetes.io/os": "linux", "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": "amd64", "beta.kubernetes.io/arch": "amd64",
    "topology.kubernetes.io/region": "", "failure-domain.beta.kubernetes.io/region": "",
    "kubernetes.io/hostname": "",
}  # fmt: skip
PLAIN_RESOURCES = {"cpu", "memory", "ephemeral-storage"}
UNCLEAR_RESOURCES = re.compile(r"hugepages-|attachable-volumes-|vpc\.amazonaws\.com/")
LARGEST_STORAGE = 175 << 30
EC2 = "run it on EC2"
CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def unsupported(pod: Object, drivers: Mapping[str, str] | None = None) -> tuple[Known, tuple[Hurdle, ...]]:
    """Say whether Fargate can't run a pod, and what of it.

    `drivers`: the CSI driver of the volume, "" for a volume without one, by the name of a claim that was seen
    to be bound.
    """
    checks = (*CHECKS, lambda each: of_volumes(each, drivers or {}))
    found = tuple(dict.fromkeys(hurdle for check in checks for hurdle in tolerantly(check, pod)))
    if any(each.sure for each in found):
        return "yes", found
    return "unknown" if found else "no", found


def tolerantly(check: Callable[[Object], Iterator[Hurdle]], pod: Object) -> Iterator[Hurdle]:
    try:
        yield from check(pod)
    except Odd as odd:
        yield Hurdle(str(odd), "can't be read", "give what the API server takes there", sure=False)


def of_pod(pod: Object) -> Iterator[Hurdle]:
    for where, owner in several(part(pod, "metadata"), "ownerReferences", "metadata."):
        if text(owner, "kind", f"{where}.") == "DaemonSet":
            yield Hurdle(where, "is a DaemonSet", f"{EC2}, or as a sidecar of each pod")
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if read(part(pod, "spec"), key, bool, "spec."):
            yield Hurdle(f"spec.{key}", "is true", f"remove it, or {EC2}")


def each_container(pod: Object) -> Iterator[tuple[str, Object]]:
    for kind in CONTAINERS:
        yield from several(part(pod, "spec"), kind, "spec.")


def of_security(pod: Object) -> Iterator[Hurdle]:
    for at, container in each_container(pod):
        where = f"{at}.securityContext."
        context = part(container, "securityContext", where=f"{at}.")
        if read(context, "privileged", bool, where):
            yield Hurdle(f"{where}privileged", "is true", f"remove it, or {EC2}")
        if read(context, "allowPrivilegeEscalation", bool, where):
            yield Hurdle(f"{where}allowPrivilegeEscalation", "is true", "set it to false, or leave it out")
        for name in items(part(context, "capabilities", where=where), "add", str, f"{where}capabilities."):
            yield from of_capability(f"{where}capabilities.add", name)


def of_capability(where: str, name: str) -> Iterator[Hurdle]:
    if name in PERHAPS_CAPABILITIES:
        yield Hurdle(where, f"has {name}", "it is not known whether EKS allows it", sure=False)
    elif name not in CAPABILITIES:
        plain = name.removeprefix("CAP_")
        mend = f"write {plain}" if plain in CAPABILITIES else f"drop it, or {EC2}"
        yield Hurdle(where, f"has {name}", mend)


def of_ports(pod: Object) -> Iterator[Hurdle]:
    for at, container in each_container(pod):
        for where, port in several(container, "ports", f"{at}."):
            host = port.get("hostPort") or 0
            if not isinstance(host, int | float):
                raise Odd(f"{where}.hostPort")
            if host or text(port, "hostIP", f"{where}."):
                yield Hurdle(where, "has a hostPort or hostIP", "remove it; the pod has an address of its own")
        for where, _ in several(container, "volumeDevices", f"{at}."):
            yield Hurdle(where, "is a block device", f"use a volume of {EFS}, or {EC2}")


def of_volumes(pod: Object, drivers: Mapping[str, str]) -> Iterator[Hurdle]:
    for where, volume in several(part(pod, "spec"), "volumes", "spec."):
        kinds = [key for key, value in volume.items() if key != "name" and value is not None]
        if len(kinds) != 1:
            yield Hurdle(where, "is of no one kind", "give it one", sure=False)
        elif kinds[0] in {"persistentVolumeClaim", "ephemeral"}:
            yield from of_claim(f"{where}.{kinds[0]}", claim_of(pod, volume, where), drivers)
        elif kinds[0] in REFUSED_VOLUMES:
            mend = f"use emptyDir, or a volume of {EFS}; or {EC2}"
            yield Hurdle(f"{where}.{kinds[0]}", "is of a kind that Fargate does not have", mend)
        elif kinds[0] not in ALLOWED_VOLUMES:
            mend = "it is not known whether Fargate has it"
            yield Hurdle(f"{where}.{kinds[0]}", "is of an unusual kind", mend, sure=False)


def claim_of(pod: Object, volume: Object, where: str) -> str:
    """Return the name of the claim behind a volume, "" where it is not known yet."""
    if "ephemeral" in volume:
        names = text(part(pod, "metadata"), "name", "metadata."), text(volume, "name", f"{where}.")
        return "-".join(names) if all(names) else ""
    return text(
        part(volume, "persistentVolumeClaim", where=f"{where}."), "claimName", f"{where}.persistentVolumeClaim."
    )


def of_claim(where: str, claim: str, drivers: Mapping[str, str]) -> Iterator[Hurdle]:
    driver = drivers.get(claim)
    if driver is None:
        mend = f"Fargate needs it bound to a volume of {EFS} before the pod is made"
        yield Hurdle(where, f"is claim {claim or 'of the pod'}, not seen to be bound", mend, sure=False)
    elif driver != EFS:
        mend = f"use a volume of {EFS} that exists, or {EC2}"
        yield Hurdle(where, f"is claim {claim}, bound to a volume of {driver or 'no CSI driver'}", mend)


def of_nodes(pod: Object) -> Iterator[Hurdle]:
    for key, value in part(pod, "spec", "nodeSelector").items():
        where = f"spec.nodeSelector.{key}"
        if not isinstance(value, str):
            raise Odd(where)
        yield from of_node_label(where, key, "In", [value])
    at = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    where = ".".join(("spec", *at, ""))
    terms = [[*of_term(each, at)] for at, each in several(part(pod, "spec", *at), "nodeSelectorTerms", where)]
    if terms and all(terms):  # one of them is enough; the least of what is in the way is told
        yield from min(terms, key=lambda found: any(each.sure for each in found))


def of_term(term: Object, at: str) -> Iterator[Hurdle]:
    expressions = several(term, "matchExpressions", f"{at}.")
    for where, each in expressions:
        key, operator = (text(each, name, f"{where}.") for name in ("key", "operator"))
        yield from of_node_label(where, key, operator, items(each, "values", str, f"{where}."))
    if several(term, "matchFields", f"{at}.") or not expressions:
        yield Hurdle(at, "asks for a node by its fields, or for none", "remove it", sure=False)


def of_node_label(where: str, key: str, operator: str, values: Sequence[str]) -> Iterator[Hurdle]:
    """Yield what speaks against a wish for a label of the node."""
    only = "fargate" if key == COMPUTE_TYPE else NODE_LABELS.get(key)
    if operator == "In" and (key in ZONE_LABELS or (key == COMPUTE_TYPE and only in values)):
        return
    if key not in NODE_LABELS and key != COMPUTE_TYPE and key not in ZONE_LABELS:
        sure = operator in {"In", "Exists", "Gt", "Lt"}
        yield Hurdle(where, f"asks for nodes by {key}", f"remove it, or {EC2}", sure)
        return
    excluded = {"In": only not in values, "NotIn": only in values, "DoesNotExist": True}.get(operator, False)
    mend = f"remove it, or {EC2}" if only and excluded else "it is not known what Fargate makes of it"
    yield Hurdle(where, f"asks for {key} {operator} {', '.join(values)}", mend, sure=bool(only and excluded))


def of_placement(pod: Object) -> Iterator[Hurdle]:
    spec = part(pod, "spec")
    for where, each in several(spec, "topologySpreadConstraints", "spec."):
        if text(each, "whenUnsatisfiable", f"{where}.") != "ScheduleAnyway":
            yield Hurdle(where, "must be met", "it is not known what Fargate makes of it", sure=False)
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = part(pod, "spec", "affinity", kind)
        name = "requiredDuringSchedulingIgnoredDuringExecution"
        if several(rules, name, f"spec.affinity.{kind}."):
            yield Hurdle(f"spec.affinity.{kind}", "is required", "it is not known what Fargate makes of it", sure=False)
    if text(part(pod, "spec", "os"), "name", "spec.os.") not in {"", "linux"}:
        yield Hurdle("spec.os.name", "is not linux", EC2)
    if text(spec, "runtimeClassName", "spec."):
        yield Hurdle("spec.runtimeClassName", "is given", "it is not known whether Fargate has it", sure=False)
    if several(spec, "resourceClaims", "spec."):
        yield Hurdle("spec.resourceClaims", "asks for devices", EC2)


def of_resources(pod: Object) -> Iterator[Hurdle]:
    for at, container in each_container(pod):
        for kind in ("requests", "limits"):
            where = f"{at}.resources.{kind}"
            for name, amount in part(container, "resources", kind, where=f"{at}.").items():
                if not isinstance(name, str):
                    raise Odd(where)
                if name not in PLAIN_RESOURCES and quantity(amount) != 0:
                    unclear = UNCLEAR_RESOURCES.match(name)
                    mend = "it is not known what Fargate makes of it" if unclear else EC2
                    yield Hurdle(f"{where}.{name}", "is asked for", mend, sure=not unclear)


def of_size(pod: Object) -> Iterator[Hurdle]:
    known, storage = size(pod), asked(pod, "ephemeral-storage")
    if known.answer == "unknown":
        yield Hurdle("spec", "has a size that is not known", known.why, sure=False)
    elif known.most is None:
        mend = f"lower the requests: {LARGEST} is the most, {KUBELET >> 20} MiB of it for the kubelet"
        yield Hurdle("spec", "is larger than Fargate has", mend, sure=known.least is None)
    if storage is None or storage.most > LARGEST_STORAGE:
        sure = storage is not None and storage.least > LARGEST_STORAGE
        yield Hurdle("spec", "asks for over 175 GiB of ephemeral storage", "lower the requests", sure)


CHECKS: tuple[Callable[[Object], Iterator[Hurdle]], ...] = (
    of_pod, of_security, of_ports, of_nodes, of_placement, of_resources, of_size,
)  # fmt: skip


# What is billed


class Row(NamedTuple):
    """A size in which Fargate runs pods."""

    vcpu: float
    gib: float

    def __str__(self) -> str:
        return f"{self.vcpu:g} vCPU and {self.gib:g} GiB"


ROWS = tuple(
    Row(vcpu, gib)
    for vcpu, memory in (
        (0.25, (0.5, 1, 2)), (0.5, range(1, 5)), (1, range(2, 9)), (2, range(4, 17)), (4, range(8, 31)),
        (8, range(16, 61, 4)), (16, range(32, 121, 8)),
    )
    for gib in memory
)  # fmt: skip
LARGEST = ROWS[-1]
KUBELET = 256 << 20  # bytes that EKS adds for kubelet, kube-proxy and containerd


@dataclass(frozen=True)
class Size:
    """What is billed for a pod, from `least` to `most`; None is more than Fargate has."""

    answer: Literal["exact", "range", "unknown"]
    least: Row | None = None
    most: Row | None = None
    why: str = ""

    def __str__(self) -> str:
        if self.answer == "unknown":
            return f"unknown: {self.why}"
        if self.answer == "exact":
            return str(self.least or "more than Fargate has")
        return f"between {self.least} and {self.most or 'more than Fargate has'}: {self.why}"


class Amount(NamedTuple):
    least: Fraction
    most: Fraction


def size(pod: Object) -> Size:
    """Return what Fargate bills for a pod: requests, the kubelet's part, rounded up to the next row."""
    try:
        why = unclear_rules(pod)
    except Odd as odd:
        return Size("unknown", why=f"{odd} can't be read")
    cpu, memory = asked(pod, "cpu"), asked(pod, "memory")
    if cpu is None or memory is None:
        return Size("unknown", why="requests of the pod can't be read")
    least, most = (row(cpu[end], memory[end]) for end in (0, 1))
    return Size("exact", least, most) if least == most else Size("range", least, most, why)


def row(cpu: Fraction, memory: Fraction) -> Row | None:
    """Return the smallest row with so many vCPU and bytes beside the kubelet's; None if none has."""
    enough = (each for each in ROWS if each.vcpu >= cpu and each.gib * (1 << 30) >= memory + KUBELET)
    return next(enough, None)


def unclear_rules(pod: Object) -> str:
    """Say what of a pod is not known to count, "" for nothing."""
    spec, told = part(pod, "spec"), []
    if any(text(each, "restartPolicy", f"{where}.") for where, each in several(spec, "initContainers", "spec.")):
        told.append("init containers that go on running")
    told += ["resources of the pod as a whole"] if part(pod, "spec", "resources") else []
    told += ["its overhead"] if part(pod, "spec", "overhead") else []
    return f"how EKS counts {' and '.join(told)} is not known" if told else ""


def asked(pod: Object, resource: str) -> Amount | None:
    """Return how much of a resource a pod asks for, by the least and the most that may count; None if unknown."""
    try:
        spec = part(pod, "spec")
        least = most = sum((requested(each, resource) for each in items(spec, "containers", dict)), Fraction(0))
        inits = [
            (requested(each, resource), text(each, "restartPolicy")) for each in items(spec, "initContainers", dict)
        ]
        once = max((amount for amount, stays in inits if not stays), default=Fraction(0))
        beside = sum((amount for amount, stays in inits if stays), Fraction(0))
        least = max(least, once)
        most = beside + max(most, once)  # as Kubernetes counts what goes on running for its own scheduler
        if any(resource in part(spec, "resources", kind) for kind in ("requests", "limits")):
            whole = requested(spec, resource)
            least, most = min(least, whole), max(most, whole)
        overhead = quantity(part(spec, "overhead").get(resource))
    except Odd:
        return None
    return None if overhead is None else Amount(least, most + overhead)


def requested(container: Object, resource: str) -> Fraction:
    """Return what a container, or a pod as a whole, asks for; a limit alone is a request too."""
    resources = part(container, "resources")
    given = [part(resources, kind).get(resource) for kind in ("requests", "limits")]
    amount = quantity(given[1] if given[0] is None else given[0])
    if amount is None:
        raise Odd(f"resources.requests.{resource}")
    return amount


# What the Fargate scheduler and the kubelet say


class Text(NamedTuple):
    """A text of theirs (a regular expression), in our words; `again`: whether it is tried again, None = unknown."""

    pattern: str
    reason: str
    mend: str
    again: bool | None = False


_CHANGE = "Change the pod's template"
_ROLE = "then make the pods anew"
# Every row that is found in a text counts, but for the last ones: these only where no other does.
TEXTS: tuple[Text, ...] = (
    Text(r"fields not supported: .*\bHost(Network|PID|IPC)\b", "HostNamespace", f"{_CHANGE}: no host namespaces."),
    Text(r"SecurityContext fields: .*\bPrivileged\b", "Privileged", f"{_CHANGE}: no privileged containers."),
    Text(r"SecurityContext fields: .*\bAllowPrivilegeEscalation\b", "PrivilegeEscalation",
         f"{_CHANGE}: set allowPrivilegeEscalation to false, or leave it out."),
    Text(r"SecurityContext fields: .*\bCapabilities added: ", "CapabilityRefused",
         f"{_CHANGE}: drop that capability, or write it without CAP_."),
    Text(r"port contains HostIP or HostPort", "HostPort", f"{_CHANGE}: no hostPort and no hostIP."),
    Text(r"volumes not supported: .*is of an unsupported volume Type", "VolumeKind",
         f"{_CHANGE}: use emptyDir, or a volume of {EFS}; or run it on EC2."),
    Text(r"PVC \S+ not bound", "ClaimNotBound", "Have the claim bound, then delete the pod."),
    Text(r'persistentvolumeclaim "[^"]*" not found', "ClaimMissing", "Make the claim, then delete the pod."),
    Text(r"bound to invalid PV \S+ with (CSI Driver|nil CSI spec)", "VolumeDriver",
         f"Use a volume of {EFS} that exists, or run the pod on EC2."),
    Text(r"DaemonSet not supported", "DaemonSet", "Run it on EC2, or as a sidecar of each pod."),
    Text(r"volumeDevices not supported", "BlockDevice", f"Use a volume of {EFS}, or run the pod on EC2."),
    Text(r"SchedulerName is not fargate-scheduler", "NotMadeForFargate",
         "Make the pod anew, without a toleration of everything: another scheduler has put it on a node of Fargate."),
    Text(r"cpu/memory requirements exceed the max Fargate configuration", "TooLarge",
         f"{_CHANGE}: lower its requests, {LARGEST} are the most."),
    Text(r"MatchNodeSelector failed", "NodeSelector",
         f"{_CHANGE}: no nodeSelector and node affinity but a zone in which the profile has a subnet."),
    Text(r"role is not found in auth config or does not have all required permissions", "RoleNotMapped",
         f"Give the pod execution role its entry in aws-auth, or an access entry of FARGATE_LINUX, {_ROLE}.", None),
    Text(r"Failed to assume PodExecutionRole", "RoleNotAssumable",
         f"Make the role, and let it trust eks-fargate-pods.amazonaws.com, {_ROLE}.", None),
    Text(r"account is currently blocked", "AccountBlocked", "Ask AWS support: the account may not run Fargate.", None),
    Text(r"reached the limit on the number of Fargate pods", "QuotaReached",
         "Have the quota of Fargate raised in Service Quotas (L-3032A538), or run fewer pods.", None),
    Text(r"Fargate capacity is unavailable", "NoCapacity",
         "Make the pod anew after some 20 minutes; take another size, or subnets in more zones.", None),
    Text(r"Pod provisioning timed out", "ProvisioningTimedOut",
         "If it lasts, check the way out of the subnets, DNS, security groups and the private endpoint.", True),
    Text(r"cpu\.cfs_quota_us: invalid argument", "CpuLimit", f"{_CHANGE}: make limits equal to requests.", True),
    Text(r"\b(ErrImagePull|ImagePullBackOff)\b", "ImagePull",
         "Check the image's name, the way from the subnets to the registry (NAT or VPC endpoints), and that the pod "
         "execution role may pull.", True),
)  # fmt: skip
OTHERWISE: tuple[Text, ...] = (
    Text(r"Misconfigured Fargate Profile", "ProfileBlocked", f"Mend what it says of the profile, {_ROLE}.", None),
    Text(r"Pod not supported( on Fargate)?: ", "Unsupported", f"{_CHANGE}, or run it on EC2."),
)
# Each cluster without a ConfigMap for logs has these for each pod, and nothing is wrong.
LOGGING = re.compile(r"LoggingDisabled|LoggingEnabled|Disabled logging |Successfully enabled logging ")


def translated(said: str) -> tuple[Text, ...]:
    """Return what a text means, nothing for one that is not known."""
    found = tuple(each for each in TEXTS if re.search(each.pattern, said, re.DOTALL))
    return found or tuple(each for each in OTHERWISE if re.search(each.pattern, said))[:1]
