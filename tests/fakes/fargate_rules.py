"""What EKS and Fargate make of one pod: which profile takes it, the patch, the refusals, the size, the node.

It is the specification that tests/fakes/fargate.py plays on a real API server, and an oracle: written from EKS's
documentation and from what was seen of it, beside pods.py and without any of it. It calls nothing and keeps nothing.

    a pod as it is created -> `choose` -> `patch`; a pod that was taken -> `refusal`, or `capacity` and `node`

A text that nobody has published is marked "our words". What EKS does and nobody knows is a field of `Unknown`: a test
that holds for one value only stands on a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

Obj = dict[str, Any]
Claims = Callable[[str], str]  # what is wrong with the claim of that name, "" for nothing

LABEL = "eks.amazonaws.com/fargate-profile"
COMPUTE_TYPE = "eks.amazonaws.com/compute-type"
SCHEDULER = "fargate-scheduler"


@dataclass
class Unknown:
    """What nobody knows of EKS, and so may be either way."""

    order: Callable[[str], Any] = str.encode  # of profiles' names: the first of those that fit takes the pod
    label_falls_back: bool = True  # a label that names no profile which fits is as good as none


# Which profile takes a pod


def choose(pod: Obj, namespace: str, profiles: Iterable[Obj], unknown: Unknown) -> str | None:
    """Return the name of the profile that takes a new pod; `profiles` are those known to be ACTIVE."""
    if opts_out(pod):
        return None
    labels = pod["metadata"].get("labels") or {}
    fit = [each["fargateProfileName"] for each in profiles if selects(each, namespace, labels)]
    asked = labels.get(LABEL)
    if asked in fit:
        return str(asked)
    if asked is not None and not unknown.label_falls_back:
        return None
    return min(fit, key=unknown.order, default=None)


def opts_out(pod: Obj) -> bool:
    meta, spec = pod["metadata"], pod["spec"]
    return (
        any(owner["kind"] == "DaemonSet" for owner in meta.get("ownerReferences") or [])
        or (meta.get("annotations") or {}).get(COMPUTE_TYPE) == "ec2"
        or bool(spec.get("nodeName"))
        or spec.get("schedulerName", "default-scheduler") != "default-scheduler"
    )


def selects(profile: Obj, namespace: str, labels: dict[str, str]) -> bool:
    return any(_is_selected(each, namespace, labels) for each in profile["selectors"])


def _is_selected(selector: Obj, namespace: str, labels: dict[str, str]) -> bool:
    wanted = (selector.get("labels") or {}).items()
    return is_like(namespace, selector["namespace"]) and all(
        any(is_like(name, key) and is_like(found, value) for name, found in labels.items()) for key, value in wanted
    )


def is_like(text: str, pattern: str) -> bool:
    """Say whether a text is of a pattern, letter by letter: * stands for any run of them, ? for one."""
    ends = {0}  # places in the text at which what was read of the pattern may end
    for letter in pattern:
        if letter == "*":
            ends = set(range(min(ends, default=len(text) + 1), len(text) + 1))
        else:
            ends = {end + 1 for end in ends if end < len(text) and letter in {"?", text[end]}}
    return len(text) in ends


def patch(pod: Obj, profile: str) -> list[Obj]:
    """Return what EKS's webhook adds to a pod that a profile takes, as JSON patch."""
    labels = {LABEL: profile, **{key: value for key, value in _labels(pod).items() if key != LABEL}}
    return [
        {"op": "add", "path": "/spec/schedulerName", "value": SCHEDULER},
        {"op": "add", "path": "/spec/priorityClassName", "value": "system-node-critical"},
        {"op": "add", "path": "/spec/priority", "value": 2000001000},
        {"op": "add", "path": "/metadata/labels", "value": labels},
    ]


def _labels(pod: Obj) -> dict[str, str]:
    return pod["metadata"].get("labels") or {}


# What Fargate refuses


class Refusal(NamedTuple):
    """The reason and message of PodScheduled; the message is the event's too."""

    code: str
    text: str


UNSUPPORTED, TOO_LARGE = "POD_UNSUPPORTED_ON_FARGATE", "POD_CPU_MEM_EXCEEDS_MAX_FARGATE_SIZE"
UNSCHEDULABLE = "Unschedulable"  # Kubernetes' own word, where EKS's code is not known
VOLUMES = {"emptyDir", "secret", "configMap", "projected", "downwardAPI", "nfs"}
CAPABILITIES = {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"}
CAPABILITIES |= {"NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
RESOURCES = {"cpu", "memory", "ephemeral-storage"}
TIMED_OUT = "Pod provisioning timed out (will retry)"
NO_SCHEDULER = "Pod not supported: SchedulerName is not fargate-scheduler"  # the kubelet's


def refusal(pod: Obj, profile: str, zones: Sequence[str], claims: Claims) -> Refusal | None:
    """Return why Fargate's scheduler does not run a pod that a profile with subnets in these zones took."""
    checks = (_fields(pod), _volumes(pod, claims), _security(pod), _devices(pod), _ports(pod), _extended(pod))
    said = [text for check in checks if (text := ", ".join(check))]
    if said:
        return Refusal(UNSUPPORTED, f"Pod not supported on Fargate: {', '.join(said)}")
    if capacity(pod) is None:
        return Refusal(TOO_LARGE, "Your pod's cpu/memory requirements exceed the max Fargate configuration")
    if not any(_places(pod, each) for each in zones):
        why = f"Fargate profile {profile} cannot satisfy pod's node selector/affinity requirements"
        return Refusal(UNSCHEDULABLE, f"MatchNodeSelector failed: {why}")
    return None


def blocked(profile: str, why: str) -> Refusal:
    """Return how a profile is told of that can launch nothing."""
    text = f"Misconfigured Fargate Profile: fargate profile {profile} blocked for new launches due to: {why}"
    return Refusal(UNSCHEDULABLE, text)


NOT_MAPPED = (
    "Pod execution role is not found in auth config or does not have all required permissions for launching fargate"
    " pods."
)
NOT_ASSUMABLE = (
    "Failed to assume PodExecutionRole; Please make sure the role exists and trusts the eks-fargate-pods.amazonaws.com"
    " service principal"
)


def _containers(pod: Obj) -> list[Obj]:
    return [each for kind in ("initContainers", "containers") for each in pod["spec"].get(kind) or []]


def _listed(start: str, found: list[str]) -> list[str]:
    return [f"{start}: {', '.join(found)}"] if found else []


def _fields(pod: Obj) -> list[str]:
    found = [name[0].upper() + name[1:] for name in ("hostNetwork", "hostPID", "hostIPC") if pod["spec"].get(name)]
    return _listed("fields not supported", found)


def _volumes(pod: Obj, claims: Claims) -> list[str]:
    found = []
    for volume in pod["spec"].get("volumes") or []:
        (kind,) = volume.keys() - {"name"}
        if kind in {"persistentVolumeClaim", "ephemeral"}:
            own = f"{pod['metadata']['name']}-{volume['name']}"  # of an ephemeral volume
            why = claims(volume[kind].get("claimName", own))
            found += [f"{volume['name']} not supported because: {why}"] if why else []
        elif kind not in VOLUMES:
            found.append(f"{volume['name']} is of an unsupported volume Type")
    return _listed("volumes not supported", found)


def _security(pod: Obj) -> list[str]:
    found = []
    for context in (each.get("securityContext") or {} for each in _containers(pod)):
        added = (context.get("capabilities") or {}).get("add") or []
        refused = [each for each in added if each not in CAPABILITIES]
        found += ["Privileged"] if context.get("privileged") else []
        found += ["AllowPrivilegeEscalation"] if context.get("allowPrivilegeEscalation") else []
        found += [f"Capabilities added: {', '.join(refused)}"] if refused else []
    return _listed("invalid SecurityContext fields", found)


def _devices(pod: Obj) -> list[str]:
    return ["volumeDevices not supported"] if any(each.get("volumeDevices") for each in _containers(pod)) else []


def _ports(pod: Obj) -> list[str]:
    ports = [port for each in _containers(pod) for port in each.get("ports") or []]
    found = any(port.get("hostPort") or port.get("hostIP") for port in ports)
    return ["port contains HostIP or HostPort"] if found else []


def _extended(pod: Obj) -> list[str]:
    asked = {name for each in _containers(pod) for name in (each.get("resources") or {}).get("requests") or {}}
    return _listed("resources not supported", sorted(asked - RESOURCES))  # our words


def _places(pod: Obj, zone: str) -> bool:
    labels, spec = node_labels("ip", zone), pod["spec"]
    rules = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    terms = rules["nodeSelectorTerms"] if rules else []
    wished = (spec.get("nodeSelector") or {}).items() <= labels.items()
    return wished and (not terms or any(_meets(labels, term) for term in terms))


def _meets(labels: dict[str, str], term: Obj) -> bool:
    expressions = term.get("matchExpressions") or []
    return bool(expressions) and all(_holds(labels.get(each["key"]), each) for each in expressions)


def _holds(found: str | None, expression: Obj) -> bool:
    values = expression.get("values") or []
    match expression["operator"]:
        case "In":
            return found in values
        case "NotIn":
            return found not in values
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
    return False  # Gt and Lt, of labels that no node of Fargate has


# What Fargate gives a pod

# vCPU and what of GiB goes with it.
SIZES: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0.25, (0.5, 1, 2)),
    (0.5, tuple(range(1, 5))),
    (1, tuple(range(2, 9))),
    (2, tuple(range(4, 17))),
    (4, tuple(range(8, 31))),
    (8, tuple(range(16, 61, 4))),
    (16, tuple(range(32, 121, 8))),
)
SUFFIXES = {"": Fraction(1), "m": Fraction(1, 1000)}
SUFFIXES |= {letter: Fraction(1000) ** power for power, letter in enumerate("kMGT", 1)}
SUFFIXES |= {f"{letter}i": Fraction(1024) ** power for power, letter in enumerate("KMGT", 1)}


def capacity(pod: Obj) -> str | None:
    """Return the annotation CapacityProvisioned; None for a pod that is too large."""
    cpu, memory = _asked(pod, "cpu"), _asked(pod, "memory") / 2**30 + Fraction(1, 4)
    for row, amounts in SIZES:
        enough = [gib for gib in amounts if gib >= memory]
        if row >= cpu and enough:
            return f"{row:g}vCPU {enough[0]:g}GB"
    return None


def _asked(pod: Obj, resource: str) -> Fraction:
    """Return the larger of what goes on running asks for together, and of the largest init container."""

    def of(container: Obj) -> Fraction:
        return _amount(((container.get("resources") or {}).get("requests") or {}).get(resource, "0"))

    spec = pod["spec"]
    inits = [of(each) for each in spec.get("initContainers") or []]
    return max([sum(map(of, spec["containers"]), Fraction(0)), *inits])


def _amount(text: str | int) -> Fraction:
    number, suffix = re.fullmatch(r"([\d.]+)([a-zA-Z]*)", str(text)).groups()  # type: ignore[union-attr]
    return Fraction(number) * SUFFIXES[suffix]


def node_labels(hostname: str, zone: str) -> dict[str, str]:
    labels = {COMPUTE_TYPE: "fargate", "kubernetes.io/hostname": hostname}
    for start in ("kubernetes.io", "beta.kubernetes.io"):
        labels |= {f"{start}/arch": "amd64", f"{start}/os": "linux"}
    for start in ("topology.kubernetes.io", "failure-domain.beta.kubernetes.io"):
        labels |= {f"{start}/region": zone[:-1], f"{start}/zone": zone}
    return labels


def node(address: str, zone: str, task: str, version: str) -> Obj:
    """Return the node that a pod gets all for itself."""
    region = zone[:-1]
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    host = f"ip-{address.replace('.', '-')}.{domain}"
    name = f"fargate-{host}"
    more = {"cpu": "2", "memory": "3977Mi", "pods": "1"}  # of cpu and memory it reports more than is billed
    info = dict.fromkeys(("machineID", "systemUUID", "bootID", "kernelVersion", "osImage"), "")
    info |= {"containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": version, "kubeProxyVersion": version}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": node_labels(host, zone)},
        "spec": {
            "providerID": f"aws:///{zone}/{task}/{name}",
            "taints": [{"key": COMPUTE_TYPE, "value": "fargate", "effect": "NoSchedule"}],
        },
        "status": {
            "capacity": more,
            "allocatable": more,
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": host}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "nodeInfo": {**info, "operatingSystem": "linux", "architecture": "amd64"},
        },
    }
