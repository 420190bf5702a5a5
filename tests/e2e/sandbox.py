"""A real control plane, EKS's manners, a stand-in for Fargate and the controller, up until Ctrl-C: `make sandbox`.

    python -m tests.e2e.sandbox

Prints the lines with which a user drives it by kubectl and aws from another terminal, and what to try: first what goes
well, from a profile to running pods, then what does not. A word typed here lets AWS fail.
"""

from __future__ import annotations

import base64
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tests.e2e.controlplane import ControlPlane, Unavailable, find_binaries, find_manager
from tests.e2e.support import IDENTITY, ROOT, Operator, environment, ok, token_of, write_kubeconfig
from tests.fakes import aws as fake_aws
from tests.fakes.api import Api
from tests.fakes.fargate import Ways, fargate
from tests.fakes.replicas import replicas
from tests.waiting import wait_for

TEACH = """
Here a profile gets ACTIVE and the pods that it selects run: EKS and Fargate are stand-ins, the API server is real.

In another terminal, in this folder:

export KUBECONFIG={kubeconfig}
export PATH={binaries}:$PATH
export CLUSTER_NAME={cluster}
export CLUSTERS_FILE={clusters}
{aws}

Then try what goes well. The namespace web is that of the profile's pods:

1. kubectl apply -f {web}
2. kubectl get fp --watch
3. kubectl describe fp web
4. aws eks list-fargate-profiles --cluster-name {cluster}
5. kubectl create deployment hello --image=nginx --replicas=2 -n web
6. kubectl get pods -n web -o wide --watch
7. kubectl get nodes

What was made before its profile was ACTIVE stays Pending: EKS looks at a pod once. `explain` says so, and within a
minute `kubectl describe fp shop` too, in the condition PodsStranded; a restart mends it:

8. kubectl create deployment early --image=nginx -n shop
9. kubectl apply -f {shop}
10. {python} controller.py explain profile default/shop
11. kubectl rollout restart deployment early -n shop

Or the operator has them made anew, two or three minutes later, where an object asks for that:
`kubectl patch fp shop --type=merge -p '{{"spec":{{"strandedPods":"Evict"}}}}'`. With a profile its pods go:

12. kubectl delete fp web

Selectors are enough where there are defaults. Those of {cluster} stand in {clusters}:

13. kubectl apply -f {small}

There is a cluster in another account and region too. What is assumed for it, and that objects of namespace default
alone may name it, stands in the same file:

14. kubectl apply -f {far}
15. kubectl describe fp far
16. kubectl apply -n shop -f {far}
17. kubectl get fp -A -o wide

The file is looked at every 10 s. An entry that goes leaves its profiles as they are, and a deletion waits for it:

18. sed -i.kept '/name: {other}/,$d' {clusters}
19. kubectl get fp far --watch
20. mv {clusters}.kept {clusters}

With another externalId there the role can't be assumed; what is not valid there is refused, and the log says why.

And what does not go well; `kubectl get fp -o wide` says why, and what mends it:

21. kubectl apply -f sample-crd.yaml

The second of its objects names a cluster that the file does not have. Write another role or other subnets into {web}:

{roles}
{subnets}

Or type one of these words here, then Enter:

{faults}

A profile takes {seconds:.0f} s to be made or deleted. The operator's log: {log}
{pods}
Ctrl-C ends it all.
"""
ROLES = {
    "good": "the one that works",
    "no-trust": "Fargate may not assume it",
    "no-policy": "has no policy at all",
    "other-policy": "has a policy, but not the one that pods on Fargate need",
    "other-source": "trusts Fargate for another cluster only",
}
PODS = (
    "A pod on Fargate is Running because the stand-in says so: no container runs, nothing is logged. One that is to "
    "end does after {seconds:.0f} s. There are no other nodes, so that a pod which no profile took waits for ever."
)
WITH_MANAGER = (
    "kube-controller-manager makes the pods of Deployments, StatefulSets and Jobs, minds disruption budgets, collects "
    "garbage, ends namespaces that are deleted and keeps the aggregated roles."
)
WITHOUT_MANAGER = (
    "There is no kube-controller-manager ({why}): pods of Deployments and ReplicaSets are made by a small stand-in, "
    "those of other kinds by nobody. What another object owned is not collected, a namespace that is deleted stays "
    "Terminating, and the roles view, edit and admin do not take up those of rbac.yaml."
)
OTHER, EXTERNAL_ID = "prod-eu", "fargate-operator-3f9c"  # the entry of the cluster elsewhere, and who is let in there
ELSEWHERE = "111122223333", "eu-west-1", "prod"  # its account, region and name in EKS
EVERY = 10**6  # times that a fault is met: until heal


@dataclass
class Fault:
    """What a typed word does to AWS."""

    what: str
    happen: Callable[[fake_aws.World], object]


def _throttle(world: fake_aws.World) -> None:
    world.manners.fail("*", fake_aws.error("ThrottlingException", 400, "Rate exceeded"), EVERY)


def _deny(world: fake_aws.World) -> None:
    said = "User: fargate-operator is not authorized to perform: eks:CreateFargateProfile"
    world.manners.fail("CreateFargateProfile", fake_aws.error("AccessDeniedException", 403, said), EVERY)


def _drift(world: fake_aws.World) -> None:
    for profile in world.profiles(world.cluster):
        world.delete_profile(world.cluster, profile["fargateProfileName"])


FAULTS = {
    "throttle": Fault("AWS asks for fewer calls, whoever calls", _throttle),
    "silence": Fault("AWS cuts each connection", lambda world: world.manners.fail("*", fake_aws.DROP, EVERY)),
    "deny": Fault("the operator may not make profiles any more", _deny),
    "lose": Fault(
        "the answer to the next create is lost on its way",
        lambda world: world.manners.fail("CreateFargateProfile", fake_aws.LOST),
    ),
    "drift": Fault("all profiles are deleted behind the operator's back, which looks every 30 s", _drift),
    "heal": Fault("AWS is well again", lambda world: world.manners.heal()),
}


@dataclass
class Sandbox:
    """What runs, and what a user is told of it."""

    world: fake_aws.World
    told: str

    def typed(self, line: str) -> str:
        """Do what a line asks for; return what is answered."""
        word = line.strip()
        if word not in FAULTS:
            return f"{word!r} is none of {', '.join(FAULTS)}."
        for each in (self.world, *self.world.others):
            FAULTS[word].happen(each)
        return f"From now on: {FAULTS[word].what}."


@contextmanager
def sandbox(
    folder: Path, seconds: float = 10, manager: Path | None = None, why: str = "not asked for"
) -> Iterator[Sandbox]:
    """Start it all as the README's install does; `why` there is no kube-controller-manager is told."""
    manners = fake_aws.Manners(creating_seconds=seconds, deleting_seconds=seconds)
    with ExitStack() as parts:
        plane = parts.enter_context(ControlPlane())
        api = Api(plane.url, plane.token, str(plane.ca))
        if manager:
            plane.start_manager(manager)
        else:
            parts.enter_context(replicas(api))
        subnets, role = fake_aws.SAMPLE_SUBNETS, fake_aws.SAMPLE_ROLE
        world = parts.enter_context(fake_aws.over_http(manners, subnet_ids=subnets, role_name=role))
        ways = Ways(launch_seconds=min(3, seconds))
        parts.enter_context(fargate(api, world, ways))
        ok(plane.kubectl("apply", "-f", str(ROOT / "crd.yaml")))
        ok(plane.kubectl("apply", "-f", "-", input=with_optional_rules((ROOT / "rbac.yaml").read_text())))
        wait_for(lambda: plane.kubectl("get", "fp").returncode == 0, 20, "FargateProfiles are served")
        authority = base64.b64encode(plane.ca.read_bytes()).decode()
        world.set_certificate_authority(world.cluster, authority)  # so that `explain` knows it for the objects' cluster
        for name in ("web", "shop"):
            ok(plane.kubectl("create", "namespace", name))
        config = write_kubeconfig(folder / "operator.kubeconfig", plane, token_of(plane, IDENTITY))
        clusters = write_clusters(folder, world, world.beside(*ELSEWHERE))
        settings = {"KUBECONFIG": str(config), "POLL_SECONDS": "2", "RESYNC_SECONDS": "30"}
        settings["CLUSTERS_FILE"] = str(clusters)
        settings |= {"ALLOW_EVICTION_IN": "*"}
        operator = Operator(environment(world, **settings), folder / "controller.log")
        parts.callback(operator.stop)
        operator.start()
        says = [PODS.format(seconds=ways.run_seconds), WITH_MANAGER if manager else WITHOUT_MANAGER.format(why=why)]
        yield Sandbox(world, teach(plane, world, operator, folder, seconds, " ".join(says)))


def with_optional_rules(rbac: str) -> str:
    """Return rbac.yaml with the rules that are comments in it: here each feature may be tried."""
    return re.sub(r"^# (- apiGroups:.*|  (?:resources|resourceNames|verbs):.*)$", r"\1", rbac, flags=re.MULTILINE)


def write_clusters(folder: Path, home: fake_aws.World, other: fake_aws.World) -> Path:
    """Write the file of both clusters, and give the subnets the tags by which its defaults choose them."""
    for world in (home, other):
        for subnet in world.private_subnets:
            world.tag_subnet(subnet, fargate="yes")
    there = {"region": other.region, "roleArn": other.let_in(external_id=EXTERNAL_ID), "externalId": EXTERNAL_ID}
    whose = {"namespaces": ["default"], "defaults": defaults(other) | {"tags": {"cost-center": "4711"}}}
    first = {"name": home.cluster, "defaults": defaults(home)}
    listed = [first, {"name": OTHER, "cluster": other.cluster, **there, **whose}]
    path = folder / "clusters.yaml"
    path.write_text(yaml.safe_dump({"clusters": listed}, sort_keys=False))
    return path


def defaults(world: fake_aws.World) -> dict[str, Any]:
    """Return what objects of a world's cluster get that have selectors alone."""
    role = world.roles["good"].rpartition("/")[2]
    return {"podExecutionRoleName": role, "subnetSelectorTerms": [{"tags": {"fargate": "yes"}}]}


def write_full(folder: Path, name: str, world: fake_aws.World) -> Path:
    """Write an object of which all is well, for the pods of the namespace that has its name."""
    role, subnets = world.roles["good"], [*world.private_subnets]
    return write_manifest(folder, name, podExecutionRoleArn=role, selectors=[{"namespace": name}], subnets=subnets)


def write_manifest(folder: Path, name: str, **spec: Any) -> Path:
    obj = {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": {"name": name}, "spec": spec}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(obj, sort_keys=False))
    return path


def teach(
    plane: ControlPlane, world: fake_aws.World, operator: Operator, folder: Path, seconds: float, pods: str
) -> str:
    subnets = {
        " ".join(world.private_subnets): "private, as they should be",
        world.public_subnet: "public",
        world.foreign_subnet: "of another VPC",
        world.local_zone_subnet: "in a Local Zone",
    }
    return TEACH.format(
        kubeconfig=shlex.quote(str(plane.kubeconfig)),
        binaries=shlex.quote(str(plane.binaries)),
        aws="\n".join(f"export {name}={shlex.quote(value)}" for name, value in sorted(world.env.items())),
        cluster=world.cluster,
        clusters=shlex.quote(str(folder / "clusters.yaml")),
        other=OTHER,
        web=shlex.quote(str(write_full(folder, "web", world))),
        shop=shlex.quote(str(write_full(folder, "shop", world))),
        small=shlex.quote(str(write_manifest(folder, "small", selectors=[{"namespace": "web"}]))),
        far=shlex.quote(str(write_manifest(folder, "far", clusterName=OTHER, selectors=[{"namespace": "web"}]))),
        python=shlex.quote(sys.executable),
        roles=listed({world.roles[kind]: what for kind, what in ROLES.items()}),
        subnets=listed(subnets),
        faults=listed({word: fault.what for word, fault in FAULTS.items()}),
        seconds=seconds,
        log=operator.log,
        pods=pods,
    )


def listed(lines: dict[str, str]) -> str:
    return "\n".join(f"  {name}: {what}" for name, what in lines.items())


def main() -> None:
    """Report up until a signal."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # also while something is built
    try:
        find_binaries()
        manager, why = had_manager()
    except Unavailable as error:
        sys.exit(str(error))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    print("Starting etcd, kube-apiserver, stand-ins for EKS and Fargate, and the operator ...", flush=True)
    with TemporaryDirectory() as folder, sandbox(Path(folder), manager=manager, why=why) as box:
        print(box.told, flush=True)
        threading.Thread(target=listen, args=(box,), daemon=True).start()
        stop.wait()
        print("Ending ...", flush=True)


def had_manager() -> tuple[Path | None, str]:
    """Return kube-controller-manager, made if need be, or None and why there is none."""
    try:
        return find_manager(), ""
    except Unavailable as error:
        return None, str(error)


def listen(box: Sandbox) -> None:
    """Answer each line that is typed."""
    for line in sys.stdin:
        print(box.typed(line), flush=True)


if __name__ == "__main__":
    main()
