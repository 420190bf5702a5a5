"""The controller at work, without a cluster or an account: `make demo`, or `python -m tests.demo`.

The unmodified `python controller.py` runs in the sandbox of tests/sandbox.py, with EKS's minutes cut to seconds.
Each step says what is about to happen, lets it happen, and expects its end; what does not come in time is shown with
the objects and the controller's log, exit code 1.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

import yaml

from spec import OWNER_KEY
from tests.fakes import replicas
from tests.fakes.aws import Manners
from tests.fakes.fargate import Fargate, Ways
from tests.fakes.fargate_rules import LABEL
from tests.fakes.pods_in_memory import USER_AGENT, InMemory
from tests.sandbox import ROOT, Missed, Sandbox, sandbox

Object = dict[str, Any]
Cells = tuple[str, ...]

CREATING_SECONDS, DELETING_SECONDS, POLL_SECONDS, RESYNC_SECONDS = 3, 2, 1, 5
SOON_SECONDS = 30.0  # for what takes a few seconds, on a slow machine
WAYS = Ways(lag_seconds=0.5, launch_seconds=1)
RESTARTED = "kubectl.kubernetes.io/restartedAt"
LOG_LINES = 30
MOST_COLUMNS = 120
BOLD, RED, GREEN, YELLOW, PLAIN = "\033[1m", "\033[31m", "\033[32m", "\033[33m", "\033[0m"

HEADER: Cells = ("NAMESPACE", "NAME", "CLUSTER", "PROFILE", "STATUS", "READY", "REASON", "AGE")
# Room for what comes later, so that the columns stay where they are.
ROOM: Cells = ("", "new-profile-7", "", "new-profile-7", "CREATING", "", "WaitingForTurn", "")

INTRODUCTION = f"""\
This is `python controller.py`, unmodified, between an API server in memory and stand-ins for AWS (moto, with EKS's \
manners) and for Fargate. No cluster, no account; nothing leaves this machine. EKS takes minutes to make or delete a \
profile; here it takes {CREATING_SECONDS} and {DELETING_SECONDS} seconds. The table is what `kubectl get fp -A` would \
print, but for the columns PODS and DELETED; a line that starts with > is an event."""
APPLY = """\
1. Three objects are applied at once, and with the third a deployment for its namespace. The first object is that of \
sample-crd.yaml. EKS makes one profile of a cluster at a time, so the others wait for their turn. The pods of the \
deployment come before their profile: no scheduler has a node for them."""
PODS = """\
2. Now blog/blog is ACTIVE, and still its pods wait: EKS looks at a pod once, when it is created. `python \
controller.py explain pod` says so, and what mends it. The deployment is restarted (as by `kubectl rollout restart`): \
its new pods are given to Fargate, each gets a node of its own, and the old ones go."""
DRIFT = f"""\
3. Somebody deletes profile web in EKS, behind the operator's back. Its next look (every {RESYNC_SECONDS} s here, 10 \
min by default) finds that out and makes it again; until then its row shows what was seen last."""
REFUSE = """\
4. An object with two mistakes is applied: a public subnet, and a role that does not trust Fargate. It is refused with \
both, and EKS is not even asked."""
MEND = """\
5. The object is edited: a private subnet, the right role. That is enough; nobody has to delete it or to restart \
anything. Now two profiles select the pods of namespace shop, and both objects are told so."""
EDIT = """\
6. The selectors of shop/web are edited. EKS cannot change a profile, but the object says updatePolicy: Replace. So a \
new profile is made first, and the old one goes only when that is ACTIVE."""
DELETE = """\
7. All objects are deleted. Each goes only when its profile is gone from EKS, and those go one at a time too. A \
profile takes its pods with it; the deployment makes others, which wait for a profile that comes no more."""
COUNTS = f"""\
8. What that took. The operator looks more often here (every {POLL_SECONDS} s at a profile on its way, every \
{RESYNC_SECONDS} s at the others) than by default (5 to 15 s, 10 min)."""


# What is shown


def cells(obj: Object, now: datetime) -> Cells:
    """Return an object's row as `kubectl get fp -A` prints it."""
    meta, status = obj["metadata"], obj.get("status", {})
    ready: Object = next((each for each in status.get("conditions", []) if each["type"] == "Ready"), {})
    shown = (status.get(name, "") for name in ("clusterName", "profileName", "profileStatus"))
    age = int((now - datetime.fromisoformat(meta["creationTimestamp"])).total_seconds())
    return meta["namespace"], meta["name"], *shown, ready.get("status", ""), ready.get("reason", ""), f"{age}s"


def table(rows: Iterable[Cells], width: int) -> list[str]:
    """Return the header and the rows, aligned, none longer than `width`; the gaps give way before the cells do."""
    lines = [HEADER, *rows]
    widths = [max(map(len, column)) for column in zip(ROOM, *lines, strict=True)]
    gap = " " * max(1, min(3, (width - sum(widths)) // (len(widths) - 1)))
    return [gap.join(map(str.ljust, line, widths)).rstrip()[:width] for line in lines]


def wrapped(text: str, width: int, first: str = "", then: str = "") -> list[str]:
    """Return a text in lines of at most `width`; words stay whole, even ARNs: people copy them.

    A no-break space holds words together and becomes an ordinary one.
    """
    lines = textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def colour_of(row: Cells) -> str:
    status, ready, reason = row[4:7]
    if ready == "True" and status == "ACTIVE":
        return GREEN
    return YELLOW if status or reason in {"", "Creating", "Replacing", "WaitingForTurn"} else RED


@dataclass
class Screen:
    """Lines that stay; of the table, each row that changed (not only in age) as a line of its own."""

    out: TextIO
    colours: bool
    rows: dict[Cells, Cells] = field(default_factory=dict)  # by namespace and name, as last shown
    headed: bool = False  # the rows of this step have their header

    @property
    def width(self) -> int:
        return min(shutil.get_terminal_size((MOST_COLUMNS, 24)).columns - 1, MOST_COLUMNS)

    def say(self, lines: Iterable[str], colour: str = "") -> None:
        self._write([self.painted(line, colour) for line in lines])

    def show(self, rows: Iterable[Cells]) -> None:
        """Show the objects' rows as they are now."""
        old, self.rows = self.rows, {row[:2]: row for row in rows}
        for key, row in self.rows.items():
            if row[:-1] != old.get(key, ())[:-1]:
                self._write(self._lines(row))
        self._write([f"{namespace}/{name} is gone" for namespace, name in old.keys() - self.rows.keys()])

    def end_step(self) -> None:
        """Leave a gap; the next step starts with a header of its own."""
        self.headed = False
        self._write([""])

    def painted(self, line: str, colour: str) -> str:
        return f"{colour}{line}{PLAIN}" if colour and self.colours and line else line

    def _lines(self, row: Cells) -> list[str]:
        header, line = table([row], self.width)
        headers, self.headed = [] if self.headed else [header], True
        return [*headers, self.painted(line, colour_of(row))]

    def _write(self, lines: Iterable[str]) -> None:
        self.out.write("".join(f"{line}\n" for line in lines))
        self.out.flush()


@dataclass
class LiveScreen(Screen):
    """Lines that stay, and below them the whole table, redrawn in place: for a terminal."""

    below: list[str] = field(default_factory=list)
    drawn: int = 0  # lines to go up before the next line is written

    def show(self, rows: Iterable[Cells]) -> None:
        before, self.below = self.below, self._table([*rows])
        if self.below != before:
            self._write([])

    def end_step(self) -> None:
        """Leave the table where it stands; the next one starts below."""
        self.drawn, self.below = 0, []
        self._write([""])

    def _table(self, rows: list[Cells]) -> list[str]:
        header, *lines = table(rows, self.width)
        colours = map(colour_of, rows)
        return ["", self.painted(header, BOLD), *map(self.painted, lines, colours)] if rows else []

    def _write(self, lines: Iterable[str]) -> None:
        if self.drawn:
            self.out.write(f"\033[{self.drawn}F\033[J")  # up to the table's first line, and erase
        super()._write([*lines, *self.below])
        self.drawn = len(self.below)


def screen_for(out: TextIO, environ: dict[str, str]) -> Screen:
    """Choose by what `out` is; colours as no-color.org asks."""
    live = out.isatty() and environ.get("TERM") != "dumb"
    return (LiveScreen if live else Screen)(out, colours=live and not environ.get("NO_COLOR"))


# What happens


@dataclass
class Demo:
    """The sandbox, and what of it has been shown."""

    box: Sandbox
    screen: Screen
    told: int = 0  # the version of the last event that was shown
    pods: dict[str, str] = field(default_factory=dict)  # as last shown, by name

    def __post_init__(self) -> None:
        self.box.on_look = self.look
        self.api = InMemory(self.box.api)
        self.fargate = Fargate(self.api, self.box.world, WAYS)
        self.api.mutate = self.fargate.mutate

    def look(self) -> None:
        """Let pods go on, and show what is new."""
        replicas.step(self.api)
        self.fargate.step()
        self._show_pods()
        for event in sorted(self.box.api.objects("events"), key=version):
            if version(event) > self.told:
                self.told = version(event)
                self.screen.say(told(event, self.screen.width), RED if event["type"] == "Warning" else "")
        now = datetime.now(UTC)
        self.screen.show(cells(obj, now) for obj in self.box.objects())

    def _show_pods(self) -> None:
        before, self.pods = self.pods, dict(map(pod_line, self.box.api.objects("pods")))
        lines = [line for name, line in self.pods.items() if line != before.get(name)]
        lines += [f"  pod {name} is gone" for name in before.keys() - self.pods.keys()]
        if lines:
            self.screen.say(lines)

    def step(self, text: str) -> None:
        self.screen.end_step()
        self.screen.say([*wrapped(text, self.screen.width), ""], BOLD)

    def explained(self, pod: str) -> list[str]:
        """Return what `explain pod` prints."""
        command = [sys.executable, "controller.py", "explain", "pod", pod]
        environ = self.box.controller.environ
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 1:
            raise Missed(f"explain finds the pod stranded; but it says {done.stdout}{done.stderr}")
        lines = [f"$ python controller.py explain pod {pod}", *done.stdout.splitlines()]
        return [each for line in lines for each in wrapped(line, self.screen.width, "  ", "    ")]

    def wait_ready(self, name: str, namespace: str) -> None:
        def serving() -> bool:
            status = self.box.profiles().get(name, {}).get("status")
            return status == "ACTIVE" and self.box.ready(name, namespace)

        self.box.wait_for(serving, SOON_SECONDS, f"{namespace}/{name} is Ready, its profile ACTIVE in EKS")


def version(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])


def pod_line(pod: Object) -> tuple[str, str]:
    """Return a pod's name, and how it is in a line."""
    meta, spec = pod["metadata"], pod["spec"]
    name = f"{meta['namespace']}/{meta['name']}"
    profile = meta.get("labels", {}).get(LABEL)
    words = [pod["status"]["phase"], spec["schedulerName"], f"profile {profile}" if profile else "no profile"]
    words += [f"node {spec['nodeName']}"] if "nodeName" in spec else []
    return name, f"  pod {name}: {', '.join(words)}"


def told(event: Object, width: int) -> list[str]:
    """Return an event's lines."""
    about = event["regarding"]
    text = f"{event['type']} {event['reason']} {about['namespace']}/{about['name']}: {event['note']}"
    return wrapped(text, width, "  > ", "    ")


def sample() -> Object:
    """Return the first object of sample-crd.yaml, which is the original's."""
    first: Object = next(yaml.safe_load_all((ROOT / "sample-crd.yaml").read_text()))
    return first


def manifest(name: str, namespace: str, role: str, subnets: Sequence[str] = ()) -> Object:
    """Return an object for the pods of its namespace; without subnets EKS chooses the private ones."""
    spec: Object = {"podExecutionRoleArn": role, "selectors": [{"namespace": namespace}]}
    return {
        "apiVersion": "jicomusic.com/v1",
        "kind": "FargateProfile",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec | ({"subnets": list(subnets)} if subnets else {}),
    }


def deployment(name: str, replicas: int, **annotations: str) -> Object:
    """Return a deployment in the namespace of its name."""
    template = {
        "metadata": {"labels": {"app": name}, "annotations": annotations},
        "spec": {"containers": [{"name": name, "image": "nginx"}]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    meta = {"name": name, "namespace": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


THREE = (("new-profile-7", "default"), ("web", "shop"), ("blog", "blog"))
WRONG = ("api", "shop")


def apply_three(demo: Demo) -> None:
    demo.step(APPLY)
    demo.box.apply(deployment("blog", 2))
    demo.box.apply(sample())
    for name, namespace in THREE[1:]:
        demo.box.apply(manifest(name, namespace, demo.box.world.roles["good"]))
    for name, namespace in THREE:
        demo.wait_ready(name, namespace)


def show_pods(demo: Demo) -> None:
    demo.step(PODS)
    names = [each["metadata"]["name"] for each in demo.box.api.objects("pods")]
    demo.screen.say(demo.explained(f"blog/{names[0]}"))
    demo.box.wait_for(demo.fargate.known, SOON_SECONDS, "EKS gives pods to the profiles")
    demo.box.apply(deployment("blog", 2, **{RESTARTED: datetime.now(UTC).isoformat()}))

    def running() -> bool:
        pods = demo.box.api.objects("pods")
        phases = [each["status"]["phase"] for each in pods if each["metadata"].get("labels", {}).get(LABEL) == "blog"]
        return phases == ["Running"] * len(pods)

    demo.box.wait_for(running, SOON_SECONDS, "the pods of the deployment run on Fargate")


def delete_behind_its_back(demo: Demo) -> None:
    demo.step(DRIFT)
    before = demo.box.profiles()["web"]["fargateProfileArn"]
    demo.box.world.delete_profile("demo", "web")

    def made_again() -> bool:
        return bool(demo.box.profiles().get("web", {}).get("fargateProfileArn", before) != before)

    demo.box.wait_for(made_again, SOON_SECONDS, "profile web is made again")
    demo.wait_ready("web", "shop")


def refuse_wrong(demo: Demo) -> None:
    demo.step(REFUSE)
    world, (name, namespace) = demo.box.world, WRONG
    demo.box.apply(manifest(name, namespace, world.roles["no-trust"], [world.public_subnet]))

    def refused() -> bool:
        stalled = demo.box.condition(name, namespace, "Stalled")
        findings = ("SubnetPublic", world.public_subnet, "RoleNotTrusted", world.roles["no-trust"])
        return all(each in stalled.get("message", "") for each in findings)

    demo.box.wait_for(refused, SOON_SECONDS, f"{namespace}/{name} is refused: SubnetPublic and RoleNotTrusted")
    if any(call.params.get("profile") == name for call in world.manners.writes()):
        raise Missed("EKS is not asked for a profile that must fail")


def mend_wrong(demo: Demo) -> None:
    demo.step(MEND)
    world, (name, namespace) = demo.box.world, WRONG
    demo.box.apply(manifest(name, namespace, world.roles["good"], world.private_subnets[:1]))
    demo.wait_ready(name, namespace)


def edit_replaced(demo: Demo) -> None:
    demo.step(EDIT)
    edited = manifest("web", "shop", demo.box.world.roles["good"])
    edited["spec"] |= {"updatePolicy": "Replace", "selectors": [{"namespace": "shop-*"}]}
    demo.box.apply(edited)

    def replaced() -> bool:
        owned = [each for each in demo.box.profiles().values() if each["tags"].get(OWNER_KEY) == "shop/web"]
        if "ACTIVE" not in [each["status"] for each in owned]:
            raise Missed("at every moment an ACTIVE profile of shop/web is there")
        return [each["selectors"][0]["namespace"] for each in owned] == ["shop-*"]

    demo.box.wait_for(replaced, SOON_SECONDS, "the profile with the new selectors has taken the place of the old one")
    demo.box.wait_for(lambda: demo.box.ready("web", "shop"), SOON_SECONDS, "shop/web is Ready")


def delete_all(demo: Demo) -> None:
    demo.step(DELETE)
    for name, namespace in (*THREE, WRONG):
        demo.box.delete(name, namespace)

    def gone() -> bool:
        return not demo.box.objects() and not demo.box.profiles()

    demo.box.wait_for(gone, SOON_SECONDS, "no object is left, and no profile in EKS")


def count_calls(demo: Demo) -> None:
    """Print what was called how often."""
    calls = demo.box.world.manners.calls
    writes = [each for each in demo.box.api.writes() if each.user_agent != USER_AGENT]
    counts = {
        "Changes in EKS": Counter(call.operation for call in calls if call.writes),
        "Looks at AWS": Counter(call.operation for call in calls if not call.writes),
        "Refused by AWS": Counter(call.code for call in calls if call.code not in {"", "ResourceNotFoundException"}),
        "Kubernetes writes": Counter(map(kind_of_write, writes)),
    }
    demo.step(COUNTS)
    for title, counted in counts.items():
        text = ", ".join(f"{number}\N{NO-BREAK SPACE}{name}" for name, number in counted.most_common()) or "nothing"
        demo.screen.say(wrapped(f"{title:<20}{text}", demo.screen.width, "", " " * 20))


def kind_of_write(request: Any) -> str:
    """Name a write by what it was to change."""
    if request.method == "POST":
        return "events"
    return "status" if request.path.endswith("/status") else "finalizers"


def stop(demo: Demo, started: float) -> None:
    """End the controller as Kubernetes does."""
    code = demo.box.controller.stop()
    demo.screen.say(["", f"The operator was told to end (SIGTERM) and did, with exit code {code}."])
    if code != 0:
        raise Missed("exit code 0")
    demo.screen.say([f"All was as expected, in {time.monotonic() - started:.0f} s."], BOLD)


def tell(demo: Demo) -> None:
    """Go through the whole story; raises `Missed` where it takes another turn."""
    started = time.monotonic()
    demo.screen.say(wrapped(INTRODUCTION, demo.screen.width))
    demo.box.start()
    for act in (
        apply_three,
        show_pods,
        delete_behind_its_back,
        refuse_wrong,
        mend_wrong,
        edit_replaced,
        delete_all,
        count_calls,
    ):
        act(demo)
    stop(demo, started)


def explain(demo: Demo, missed: Missed) -> None:
    """Show what a person needs to find out why."""
    demo.screen.end_step()
    demo.screen.say(wrapped(f"Expected was: {missed}.", demo.screen.width), RED)
    demo.screen.say(["", "The objects:", *(yaml.safe_dump(each, sort_keys=False) for each in demo.box.objects())])
    lines = demo.box.controller.log.read_text().splitlines()[-LOG_LINES:]
    demo.screen.say([f"The end of the operator's log ({LOG_LINES} lines at most):", *lines])


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the operator is ended as on Ctrl-C
    manners = Manners(creating_seconds=CREATING_SECONDS, deleting_seconds=DELETING_SECONDS)
    screen = screen_for(sys.stdout, dict(os.environ))
    try:
        with sandbox(manners, POLL_SECONDS=POLL_SECONDS, RESYNC_SECONDS=RESYNC_SECONDS) as box:
            demo = Demo(box, screen)
            try:
                tell(demo)
            except Missed as missed:
                explain(demo, missed)
                return 1
    except KeyboardInterrupt:
        screen.say(["", "Interrupted; the operator is ended."])
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
