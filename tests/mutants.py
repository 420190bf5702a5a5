"""Plant known bugs into a copy of the code, one after the other, and see that a test notices each.

    python -m tests.mutants            all of them, as `make mutants` does
    python -m tests.mutants relist     those whose name has this word

A bug is a piece of text that is replaced; if the text is not there exactly once any more, that is an error: mend the
list. Each is looked for by the simulation first, then by the unit test that is named beside it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
HUNT = ("--partial", "--first", "--show", "1", "--processes", "1", "--every", "12", "--seeds", "400", "--specs", "40")
LEAST_BY_SIMULATION = 18
SECONDS = 900


@dataclass(frozen=True)
class Mutant:
    """One planted bug; `test` is for those that no promise of the simulation is about."""

    name: str
    file: str
    old: str
    new: str
    test: str = ""


MUTANTS = (
    Mutant("create before the finalizer", "plan.py",
           'Row("no finalizer", wanted_without_a_finalizer,', 'Row("no finalizer", lambda _: False,'),
    Mutant("no status write before the create", "reconcile.py",
           "        self._report(p, asked, on_the_way=True)\n", ""),
    Mutant("no mark of the create", "status.py", "        create_started_at=c.now,\n", ""),
    Mutant("a lost create is not waited for", "plan.py",
           "return c.answer_may_be_lost if c.who.deleting and unseen else None", "return None"),
    Mutant("a lost replacement is not waited for", "plan.py",
           "not c.owned or (c.retaining and not c.owned_in_flight)", "not c.owned",
           "tests/unit/test_recoveries.py"),
    Mutant("an older view unmarks a create", "status.py", " and made.created_at >= marked", "",
           "tests/unit/test_recoveries.py"),
    Mutant("an older view forgets a tag that another process has set", "reconcile.py",
           "(*must_see(action), *forgets_tags_of(case))", "must_see(action)", "tests/unit/test_recoveries.py"),
    Mutant("a second create forgets the tags of the first", "spec.py",
           "sorted({*self.applied_tag_keys, *keys})", "sorted(keys)"),
    Mutant("finalizers without the version", "kube.py", '{"resourceVersion": meta["resourceVersion"], **metadata}',
           '{**({"resourceVersion": meta["resourceVersion"]} if subresource else {}), **metadata}'),
    Mutant("status without the version", "kube.py", '{"resourceVersion": meta["resourceVersion"], **metadata}',
           '{**({} if subresource else {"resourceVersion": meta["resourceVersion"]}), **metadata}'),
    Mutant("whatever has the name is owned", "plan.py",
           "        if any(profile.tags.get(key, value) != value for key, value in self.owner_tags.items()):\n"
           "            return False\n", "        if profile.name == self.who.base:\n            return True\n"),
    Mutant("an object goes without a look at its cluster", "plan.py",
           "            return (WHOLE_CLUSTER,)\n", "            return ()\n", "tests/unit/test_main_job.py"),
    Mutant("an object goes while its profile is being deleted", "plan.py",
           'Row("deleting, none owned", lambda c: c.who.deleting and not c.owned, let_go)',
           'Row("deleting, none owned", lambda c: c.going and all(p.status == "DELETING" for p in c.owned), let_go)'),
    Mutant("a profile is not looked at before it is changed", "plan.py",
           "            return (profile.name,)\n", "            return ()\n", "tests/unit/test_recoveries.py"),
    Mutant("tags without a proof that the object is as seen", "reconcile.py", ", always=True)", ")",
           "tests/unit/test_recoveries.py"),
    Mutant("owner tags go without a proof that the object is as seen", "reconcile.py",
           "        self._write_current(p)\n        self._aws.untag", "        self._aws.untag",
           "tests/unit/test_recoveries.py"),
    Mutant("foreign tags are taken off", "plan.py",
           "frozenset(tags.keys() & set(self.memory.applied_tag_keys) - self.wanted_tags.keys())",
           "frozenset(tags.keys() - self.wanted_tags.keys())"),
    Mutant("kopf's finalizer is swapped before its profile is tagged", "plan.py",
           'Row("handed over by kopf", handed_over,', 'Row("handed over by kopf", lambda _: None,'),
    Mutant("Retain is not heard", "spec.py", 'retain=fields.get("deletionPolicy", "Delete") != "Delete"',
           "retain=False"),
    Mutant("suspend is not heard", "plan.py",
           'Row("suspended", lambda c: not c.who.deleting and c.who.suspended,', 'Row("suspended", lambda c: False,'),
    Mutant("two changes at once in one cluster", "reconcile.py",
           "return action if has_the_turn else wait_behind(view, first)", "return action"),
    Mutant("a place in line never lapses", "reconcile.py", "if now - came <= PLACE_SECONDS", "if True",
           "tests/unit/test_recoveries.py"),
    Mutant("the view is not read again after a 409", "reconcile.py",
           "if error.unclear or busy:", "if error.unclear:", "tests/unit/test_recoveries.py"),
    Mutant("the view is never read again", "reconcile.py",
           "return self._monotonic() - cluster.view.at >= VIEW_LIFE * self._settings.resync_seconds", "return False"),
    Mutant("ready as soon as it is asked for", "aws.py",
           "tags=dict(tags), seen=False)", 'tags=dict(tags), status="ACTIVE")'),
    Mutant("status is written in each pass", "reconcile.py",
           'if always or status != p.obj.get("status"):', "if True:"),
    Mutant("an error is taken for absence", "aws.py",
           "        except _Absent:\n            return None\n        return _profile(answer)\n",
           "        except (_Absent, AwsError):\n            return None\n        return _profile(answer)\n"),
    Mutant("a list that was cut off is taken for an empty one", "aws.py",
           "if any(page.get(key) is None for page in pages):",
           "if any(page.setdefault(key, []) is None for page in pages):",
           "tests/unit/test_recoveries.py"),
    Mutant("an answer that can't be parsed is a bug", "aws.py",
           "except (BotoCoreError, ResponseParserError) as error:", "except BotoCoreError as error:"),
    Mutant("the first list comes from a cache", "kube.py", '{"limit": str(PAGE_SIZE), **query}',
           '{"limit": str(PAGE_SIZE), "resourceVersion": "0", **query}', "tests/unit/test_kube.py"),
    Mutant("no list after 410", "informer.py",
           '        except kube.Gone:\n            self._version = ""\n            raise\n',
           "        except kube.Gone:\n            raise\n"),
    Mutant("what has vanished at a relist stays in the store", "informer.py",
           "                del self._objects[key]\n", "                pass\n"),
    Mutant("what has vanished at a relist is not told", "informer.py", "return listed | vanished", "return listed",
           "tests/unit/test_informer.py"),
    Mutant("a late answer brings an object back", "informer.py",
           '            self._gone[key_of(obj)] = obj["metadata"]["uid"]\n',
           "            self._gone.pop(key_of(obj), None)\n", "tests/unit/test_informer.py"),
    Mutant("a late answer hides an object made again", "informer.py",
           'if meta["uid"] == self._gone.get(key) or _version(obj)',
           'if meta.get("finalizers") and meta["uid"] == self._gone.get(key) or meta.get("finalizers") and '
           "_version(obj)",
           "tests/unit/test_informer.py"),
    Mutant("a key that failed is dropped", "controller.py",
           """message="%(message)s"', fields)\n                result, after = "error", self._backoff.next(key)\n""",
           """message="%(message)s"', fields)\n                result, after = "error", None\n"""),
    Mutant("nothing fences a process without the Lease", "leader.py",
           "        self._check()\n        return getattr(self._edge, name)\n",
           "        return getattr(self._edge, name)\n"),
    Mutant("a create is marked before it is known that it can be signed", "reconcile.py",
           "        self._aws.ready()  # before the mark: nothing is fetched between it and the create\n", "",
           "tests/unit/test_credentials.py"),
    Mutant("credentials are fetched in the worker", "aws.py",
           "        if keys := self.good_for(seconds):\n",
           "        self.good_for(seconds) or self.step()\n        if keys := self.good_for(seconds):\n",
           "tests/unit/test_credentials.py"),
    Mutant("a renewal that fails forgets good credentials", "aws.py",
           "                self.failure, self._wait = error,", "                self._keys = None\n"
           "                self.failure, self._wait = error,",
           "tests/unit/test_credentials.py"),
    Mutant("a token file that is not there is a bug", "aws.py",
           "BotoCoreError, ClientError, ResponseParserError, OSError, ValueError,",
           "BotoCoreError, ClientError, ResponseParserError, ValueError,", "tests/unit/test_credentials.py"),
    Mutant("a command that hangs is waited for", "kube.py", "super().communicate(timeout=COMMAND_SECONDS)",
           "super().communicate()", "tests/unit/test_credentials.py"),
    Mutant("the Lease of another is taken at once", "leader.py",
           "if holder in {None, \"\", self.identity} or self._lapsed():", "if True:", "tests/unit/test_leader.py"),
)  # fmt: skip


@dataclass(frozen=True)
class Caught:
    mutant: Mutant
    by: str  # "" if nothing noticed it
    simulated: bool
    seconds: float


def planted(mutant: Mutant, folder: Path) -> None:
    """Copy the code into a folder, and plant the bug there."""
    skipped = shutil.ignore_patterns(".git", ".venv", ".cache", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, folder, ignore=skipped)
    file = folder / mutant.file
    text = file.read_text()
    if (times := text.count(mutant.old)) != 1:
        raise SystemExit(f"{mutant.name}: its text is {times} times in {mutant.file}, and must be there once")
    file.write_text(text.replace(mutant.old, mutant.new))


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    whole = [sys.executable, "-m", *command]
    return subprocess.run(
        whole, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
    )


def hunt(mutant: Mutant, parent: Path) -> Caught:
    """Look for a planted bug as a developer would: by the simulation, then by the test that is about it."""
    started, folder = time.monotonic(), parent / mutant.name.replace(" ", "-").replace("/", "-")
    planted(mutant, folder)
    simulated = run(folder, "tests.simulation", "--parent", str(os.getpid()), *HUNT)
    if simulated.returncode:
        return Caught(mutant, _first_violation(mutant, simulated), True, time.monotonic() - started)
    by = ""
    if mutant.test:
        done = run(folder, "pytest", "-q", "-x", "-p", "no:cacheprovider", mutant.test)
        by = next((line for line in done.stdout.splitlines() if line.startswith("FAILED")), "")
    return Caught(mutant, by, False, time.monotonic() - started)


def _first_violation(mutant: Mutant, done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stdout.splitlines()
    at = next((number for number, line in enumerate(lines) if line.startswith("replay:")), None)
    if at is None:
        raise SystemExit(f"{mutant.name}: the simulation broke off: {done.stderr.strip().splitlines()[-1:]}")
    return f"{lines[at - 1][:110]}   {lines[at].removeprefix('replay: python -m tests.simulation ')}"


def main(words: list[str]) -> int:
    chosen = [each for each in MUTANTS if not words or any(word in each.name for word in words)]
    with tempfile.TemporaryDirectory() as parent, ThreadPoolExecutor(os.cpu_count()) as pool:
        found = []
        try:
            for done in as_completed([pool.submit(hunt, each, Path(parent)) for each in chosen]):
                each = done.result()
                print(f"{each.seconds:5.0f} s  {each.mutant.name}: {each.by or 'SURVIVED'}", flush=True)
                found.append(each)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    survived = [each for each in found if not each.by]
    simulated = sum(each.simulated for each in found)
    print(f"{len(found)} planted, {simulated} caught by the simulation, {len(survived)} survived")
    return 1 if survived or (not words and simulated < LEAST_BY_SIMULATION) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
