"""Plant known bugs into a copy of the code, one after the other, and see that a test notices each.

    python -m tests.mutants            all of them, as `make mutants` does
    python -m tests.mutants relist     those whose name has this word

A bug is a piece of text that is replaced; if the text is not there exactly once any more, that is an error: mend the
list. Each is looked for by the unit test that is named beside it, which takes seconds, and otherwise by the simulation.
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
    Mutant("no mark of the create", "status.py", "memory = memory.with_mark(c.now, create.name, before_arn)\n", "\n"),
    Mutant("a lost create is not waited for", "plan.py",
           "return c.lost_create_until if c.who.deleting and nothing_shows_it else None", "return None"),
    Mutant("a lost replacement is not waited for", "plan.py",
           "not c.owned or (c.retaining and not c.owned_in_flight)", "not c.owned",
           "tests/unit/test_recoveries.py"),
    Mutant("an older view forgets a tag that another process has set", "reconcile.py",
           "(*must_see(action), *status.must_see_for_tags(case), ", "(*must_see(action), ",
           "tests/unit/test_recoveries.py"),
    Mutant("a second create forgets the tags of the first", "spec.py",
           "sorted({*self.applied_tag_keys, *keys})", "sorted(keys)"),
    Mutant("a request that AWS recites is told with its token", "aws.py", "re.sub(RECITED, '', text)", "text",
           "tests/unit/test_secrets.py"),
    Mutant("a header that can't be sent is told with its token", "kube.py", "{_unsent(error)}", "{error}",
           "tests/unit/test_secrets.py"),
    Mutant("finalizers without the version", "kube.py", '{"resourceVersion": meta["resourceVersion"], **metadata}',
           '{**({"resourceVersion": meta["resourceVersion"]} if subresource else {}), **metadata}'),
    Mutant("status without the version", "kube.py", '{"resourceVersion": meta["resourceVersion"], **metadata}',
           '{**({} if subresource else {"resourceVersion": meta["resourceVersion"]}), **metadata}'),
    Mutant("whatever has the name is owned", "plan.py",
           "        if not all(same_tag(key, profile.tags.get(key, value), value) for key, value in "
           "self.owner_tags.items()):\n            return False\n",
           "        if profile.name == self.who.base:\n            return True\n"),
    Mutant("an object goes without a look at its cluster", "plan.py",
           "            return (WHOLE_CLUSTER,)\n", "            return ()\n", "tests/unit/test_lifecycle.py"),
    Mutant("an object goes while its profile is being deleted", "plan.py",
           'Row("deleting, none owned", lambda c: c.who.deleting and not c.owned, let_go)',
           'Row("deleting, none owned", lambda c: c.going and all(p.status == "DELETING" for p in c.owned), let_go)'),
    Mutant("a profile is not looked at before it is changed", "plan.py",
           "            return (profile.name,)\n", "            return ()\n", "tests/unit/test_recoveries.py"),
    Mutant("tags without a proof that the object is as seen", "reconcile.py", ", always=True)", ")",
           "tests/unit/test_recoveries.py"),
    Mutant("owner tags go without a proof that the object is as seen", "reconcile.py",
           "        self._write_current(p, bare=True)\n        self._aws.untag", "        self._aws.untag",
           "tests/unit/test_recoveries.py"),
    Mutant("foreign tags are taken off", "plan.py",
           "frozenset(tags.keys() & set(self.memory.applied_tag_keys) - self.wanted_tags.keys())",
           "frozenset(tags.keys() - self.wanted_tags.keys())"),
    Mutant("kopf's finalizer is swapped before its profile is tagged", "plan.py",
           'Row("handed over by kopf", handed_over,', 'Row("handed over by kopf", lambda _: None,'),
    Mutant("kopf's finalizer takes over wherever it is planted", "plan.py",
           "return self.as_made_by_kopf if self.settings.may_take_over_from_kopf(self.who.namespace) else None",
           "return self.as_made_by_kopf", "tests/unit/test_tenancy.py"),
    Mutant("an upgrade without its flag ends the hand-over for good", "plan.py",
           'Row("handed over by kopf, not allowed", lambda c: None if c.adoptable else held_back(c),',
           'Row("handed over by kopf, not allowed", lambda _: None,', "tests/unit/test_lifecycle.py"),
    Mutant("an object of the original goes and leaves its profile where the flag is missing", "plan.py",
           "lambda c: held_back(c) if c.going else None,", "lambda _: None,",
           "tests/unit/test_lifecycle.py"),
    Mutant("who may not leave a profile leaves it", "plan.py",
           "lambda c: None if c.may_retain or not c.retaining else c.serving,", "lambda _: None,",
           "tests/unit/test_tenancy.py"),
    Mutant("that a deletion will wait is told in each pass", "status.py",
           "return bool(note) and note in now and note not in was", "return bool(note) and note in now",
           "tests/unit/test_tenancy.py"),
    Mutant("where a namespace is held to itself it may leave profiles", "config.py",
           'return frozenset() if config.selector_namespaces == "own" else frozenset({"*"})',
           'return frozenset({"*"})', "tests/unit/test_config.py"),
    Mutant("a deletion waits for a tag that is refused", "reconcile.py",
           "            if RETAINED_KEY not in tags:\n", "            if tags:\n", "tests/unit/test_lifecycle.py"),
    Mutant("a deletion waits for a tag that has no room", "plan.py",
           "return profile if RETAINED_KEY in profile.tags or has_room(profile) else None", "return profile",
           "tests/unit/test_plan.py"),
    Mutant("a profile is marked as retained for ever", "plan.py",
           "lambda c: c.serving if c.serving and RETAINED_KEY in c.serving.tags else None,", "lambda _: None,",
           "tests/unit/test_lifecycle.py"),
    Mutant("what is to be marked counts as retained already", "spec.py",
           "return RETAINED_KEY in profile.tags and not tagged(profile)", "return RETAINED_KEY in profile.tags",
           "tests/unit/test_clusters.py"),
    Mutant("who takes the name of a replacement holds it up", "plan.py",
           "return next((name for name in tried if name not in self.view.names), names[0])", "return tried[0]",
           "tests/unit/test_tenancy.py"),
    Mutant("a replacement whose create is open is asked for under another name", "plan.py",
           "tried = [*filter(self.who.may_name, open_one), *names]", "tried = names", "tests/unit/test_plan.py"),
    Mutant("the first name of a replacement is another than before", "spec.py", "*([number] if number else [])]",
           "number]", "tests/unit/test_spec.py"),
    Mutant("an older look ends a hand-over", "plan.py", "lambda c, _: AddFinalizer(c.who.base)),",
           "lambda _, __: AddFinalizer()),", "tests/unit/test_lifecycle.py"),
    Mutant("Retain is not heard", "spec.py", 'retain=fields.get("deletionPolicy", "Delete") != "Delete"',
           "retain=False"),
    Mutant("suspend is not heard", "plan.py",
           'Row("suspended", lambda c: not c.who.deleting and c.who.suspended,', 'Row("suspended", lambda c: False,'),
    Mutant("two changes at once in one cluster", "reconcile.py",
           "if first != p.key or flying:", "if first != p.key and flying:"),
    Mutant("a place in line never lapses", "clusters.py", "if now - came <= PLACE_SECONDS", "if True",
           "tests/unit/test_clusters.py"),
    Mutant("the view is not read again after a 409", "reconcile.py",
           "if error.unclear or busy:", "if error.unclear:", "tests/unit/test_recoveries.py"),
    Mutant("the view is never read again", "clusters.py",
           "self.view is None or self.doubted or now - self.view.at >= life", "self.view is None or self.doubted"),
    Mutant("ready as soon as it is asked for", "aws.py",
           "replace(_profile(_call(self._eks.create_fargate_profile, **request)), tags=dict(tags))",
           'replace(_profile(_call(self._eks.create_fargate_profile, **request)), tags=dict(tags), status="ACTIVE")'),
    Mutant("status is written in each pass", "reconcile.py",
           'if always or told != p.obj.get("status"):', "if True:"),
    Mutant("an error is taken for absence", "aws.py",
           "fargateProfileName=name))\n        except _Absent:",
           "fargateProfileName=name))\n        except (_Absent, AwsError):"),
    Mutant("a list that was cut off is taken for an empty one", "aws.py",
           "if any(page.get(key) is None for page in pages):",
           "if any(page.setdefault(key, []) is None for page in pages):",
           "tests/unit/test_recoveries.py"),
    Mutant("an answer that can't be parsed is a bug", "aws.py",
           "except (BotoCoreError, ResponseParserError) as error:", "except BotoCoreError as error:"),
    Mutant("the first list comes from a cache", "kube.py", "PAGE_SIZE), {**query}",
           'PAGE_SIZE), {"resourceVersion": "0", **query}', "tests/unit/test_kube.py"),
    Mutant("no list after 410", "informer.py",
           '        except kube.KubeError as error:\n            self._version = ""\n',
           "        except kube.KubeError as error:\n"),
    Mutant("what has vanished at a relist stays in the store", "informer.py",
           "            for key in before.keys() - stays:\n                del self._objects[key]\n", ""),
    Mutant("what has vanished at a relist is not told", "informer.py",
           "keys = before.keys() | after.keys()", "keys = after.keys()",
           "tests/unit/test_informer.py"),
    Mutant("a late answer brings an object back", "informer.py",
           '        self._gone[key] = obj["metadata"]["uid"], _version(obj)\n', "", "tests/unit/test_informer.py"),
    Mutant("an answer of before the list undoes the list", "informer.py",
           "if sent is not None and sent < self._of(key, self._began):", "if False:", "tests/unit/test_informer.py"),
    Mutant("a list of an older state is not taken", "informer.py",
           "            for key in before.keys() - stays:\n", "            for key in set[Key]():\n",
           "tests/unit/test_informer.py"),
    Mutant("a silent watch is resumed", "informer.py",
           '            raise kube.KubeError("the watch ended without an event")\n', "            return\n",
           "tests/unit/test_informer.py"),
    Mutant("a list undoes the answer to a write that was sent since", "informer.py",
           "if _version(before[key]) > int(version)}", "if False}", "tests/unit/test_informer.py"),
    Mutant("a list wakes every object", "informer.py",
           "if _content(before.get(key)) != _content(after.get(key))}", "}", "tests/unit/test_informer.py"),
    Mutant("an answer brings back what a list did not name", "informer.py",
           "max(went, self._of(key_of(obj), self._listed))", "went",
           "tests/unit/test_informer.py"),
    Mutant("an answer brings back what was made again and went again", "informer.py",
           "max(went, self._of(key_of(obj), self._listed))", "self._of(key_of(obj), self._listed)",
           "tests/unit/test_informer.py"),
    Mutant("what was let go stays gone in an older state", "informer.py",
           "            self._gone = {key: self._gone[key] for key in others}\n", "", "tests/unit/test_informer.py"),
    Mutant("a list of one namespace keeps the answers of another out", "informer.py",
           "return max(known.get(\"\", 0), known.get(key[0], 0))", "return max(known.values(), default=0)",
           "tests/unit/test_scope.py"),
    Mutant("the list after a 410 waits", "informer.py",
           "if not (isinstance(error, kube.Gone) and self._told):", "if True:", "tests/unit/test_informer.py"),
    Mutant("a session that broke off is resumed", "informer.py",
           '            self._version = ""\n            if not',
           '            self._version = "" if isinstance(error, kube.Gone) else self._version\n            if not',
           "tests/unit/test_informer.py"),
    Mutant("nobody is told of a server that went back", "informer.py",
           "if int(version) < self._newest or self._store.is_ahead_of(objects):", "if False:",
           "tests/unit/test_informer.py"),
    Mutant("request ids tell two events apart", "patterns.py",
           "    for pattern, rest in PASSING:\n", "    for pattern, rest in ():\n", "tests/unit/test_texts.py"),
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
    Mutant("metrics stay open beside the probes", "controller.py",
           "None if config.metrics_auth else shown)", "shown)", "tests/unit/test_process.py"),
    Mutant("whoever is known may read metrics", "kube.py", 'return user["username"], may is True',
           'return user["username"], True', "tests/unit/test_metrics_auth.py"),
    Mutant("metrics are open while the API server does not say", "metrics.py",
           "            self._rests_until = now + UNKNOWN_SECONDS\n            return UNKNOWN\n",
           "            return ALLOWED\n", "tests/unit/test_metrics_auth.py"),
    Mutant("who may read metrics may for ever", "metrics.py", "return answer if self._monotonic() < until else None",
           "return answer if key in self._known else None", "tests/unit/test_metrics_auth.py"),
    Mutant("an answer over TLS looks as if it were cut off", "controller.py", "                request.unwrap()",
           "                pass", "tests/unit/test_metrics_auth.py"),
    Mutant("who opens connections and says nothing keeps the kubelet out", "controller.py",
           "if self._served >= CONNECTIONS and self._open:", "if False:", "tests/unit/test_controller.py"),
    Mutant("the Lease of another is believed for 68 years", "leader.py", "min(seconds, LEASE_SECONDS)", "seconds",
           "tests/unit/test_leader.py"),
    Mutant("a Lease that counts no further is never taken", "leader.py", ", MOST_TRANSITIONS)", ", 2**40)",
           "tests/unit/test_leader.py"),
    Mutant("the Lease of another is taken at once", "leader.py",
           "if holder in {None, \"\", self.identity} or self._lapsed():", "if True:", "tests/unit/test_leader.py"),
    Mutant("one profile that can't be seen holds up its whole cluster", "clusters.py",
           "        if error.reason in NO_ANSWER:\n            raise\n", "        raise\n",
           "tests/unit/test_hidden.py"),
    Mutant("a cut way to AWS is taken for profiles that can't be seen", "clusters.py",
           "        if error.reason in NO_ANSWER:\n            raise\n", "", "tests/unit/test_hidden.py"),
    Mutant("a look that was cut off begins anew", "reconcile.py",
           "cluster.reading = cluster.reading or clusters.", "cluster.reading = clusters.",
           "tests/unit/test_hidden.py"),
    Mutant("an object goes though its profile may be there unseen", "plan.py",
           "lambda c: c.who.deleting and c.hidden,", "lambda c: False,",
           "tests/unit/test_hidden.py"),
    Mutant("what can't be seen is forgotten", "status.py", "if c.elsewhere or c.hidden:", "if c.elsewhere:",
           "tests/unit/test_hidden.py"),
    Mutant("EKS is asked without a rest while it is busy", "clusters.py",
           "self.held_until = now + self.held_seconds", "self.held_until = now", "tests/unit/test_hidden.py"),
    Mutant("a no is believed as long as a yes", "clusters.py", "NO_SECONDS = 10.0", "NO_SECONDS = 60.0",
           "tests/unit/test_hidden.py"),
    Mutant("a mark is answered without a look", "status.py",
           "return made is not None and made.name in c.looked", "return made is not None",
           "tests/unit/test_status.py"),
    Mutant("a lost create is waited for by the clock of whoever marked it", "reconcile.py",
           "return self._settings.lost_create - timedelta(seconds=now - self._marks.when(p.key, what, now))",
           "return self._settings.lost_create - (self._now() - p.memory.create_started_at)",
           "tests/unit/test_recoveries.py"),
    Mutant("a finalizer that is refused is only logged", "reconcile.py",
           'raise status.Blocked(status.write_refused("the finalizers of this object", error)) from error', "raise",
           "tests/unit/test_writes.py"),
    Mutant("a finalizer that did not take is not noticed", "status.py",
           "if (FINALIZER in written) == is_guarded(answered):", "if FINALIZER in written or not is_guarded(answered):",
           "tests/unit/test_writes.py"),
    Mutant("what was made again under a name passes for what was seen", "reconcile.py",
           'if there is None or there["metadata"]["uid"] != p.obj["metadata"]["uid"]:', "if there is None:",
           "tests/unit/test_sizes.py"),
    Mutant("of a big spec not even the names are kept", "informer.py",
           'NAMING, CUT = ("clusterName", "profileName", "deletionPolicy", "suspend"),', 'NAMING, CUT = (),',
           "tests/unit/test_informer.py"),
    Mutant("a short status forgets what the controller has to remember", "status.py",
           'if key != "health"}\n    if listed', 'if key not in {"health", "bookkeeping"}}\n    if listed',
           "tests/unit/test_sizes.py"),
    Mutant("a create is sent on a bare proof where there is no room for its mark", "reconcile.py",
           "        self._report(p, asked, on_the_way=True)\n        self._see_it_written(p)\n",
           "        try:\n            self._report(p, asked, on_the_way=True)\n"
           "            self._see_it_written(p)\n"
           "        except TooLarge:\n            self._send(p, p.status)\n", "tests/unit/test_sizes.py"),
    Mutant("a tag is set on a bare proof where there is no room for its key", "reconcile.py",
           "        self._write_current(p)\n        try:\n",
           "        try:\n            self._write_current(p)\n"
           "        except TooLarge:\n            self._send(p, p.status)\n        try:\n",
           "tests/unit/test_sizes.py"),
    Mutant("a deletion without room is sent without any proof", "reconcile.py",
           "            self._send(p, p.status)\n", "            pass\n",
           "tests/unit/test_sizes.py"),
    Mutant("an object without room can't be deleted", "reconcile.py",
           "if not (bare and p.who.deleting):", "if True:", "tests/unit/test_sizes.py"),
    Mutant("the bare proof deletes the profile of an object that lives", "reconcile.py",
           "if not (bare and p.who.deleting):", "if not bare:", "tests/unit/test_sizes.py"),
    Mutant("the status of an object is kept in part", "kube.py",
           'READ_NOWHERE:\n        meta.pop(name, None)\n',
           'READ_NOWHERE:\n        meta.pop(name, None)\n'
           '    for each in (obj.get("status") or {}).get("conditions") or []:\n'
           '        each["message"] = str(each.get("message"))[:50]\n', "tests/unit/test_kube.py"),
    Mutant("what names an annotation of ours is not kept", "kube.py",
           "if key.startswith(OUR_ANNOTATIONS)", "if not key", "tests/unit/test_kube.py"),
    Mutant("a create is sent though its mark did not take", "reconcile.py",
           "if Memory.parse(p.obj).proof != p.memory.proof:", "if False:", "tests/unit/test_writes.py"),
    Mutant("what is done again and again is not noticed", "reconcile.py",
           "        return before == action\n", "        return False\n",
           "tests/unit/test_writes.py"),
    Mutant("an overlap that did not take is told in every pass", "reconcile.py",
           'if not p.overlap or status.find_condition("Overlapping", p.conditions).get("message") != p.overlap:',
           "if not p.overlap:", "tests/unit/test_writes.py"),
    Mutant("an owner of another namespace is named", "plan.py", "    if not may_tell(c, profile):\n", "    if False:\n",
           "tests/unit/test_tenancy.py"),
    Mutant("the names of others' profiles that overlap are told", "overlaps.py",
           "for each in others if may_tell(c, each)]", "for each in others]", "tests/unit/test_tenancy.py"),
    Mutant("whoever has the turn is named", "status.py",
           "if may_tell(c, c.view.profiles.get(name)) else", "if name else", "tests/unit/test_tenancy.py"),
    Mutant("AWS's words name others' profiles", "status.py", "without_profiles(steady(str(error)), known)",
           "steady(str(error))", "tests/unit/test_tenancy.py"),
    Mutant("the log is as discreet as an event", "reconcile.py", "self._log_action(p, action, logged or note)",
           "self._log_action(p, action, note)", "tests/unit/test_tenancy.py"),
    Mutant("only ends of lines are escaped", "patterns.py",
           "    return \"\".join(each if each.isprintable() else _escaped(each) for each in text)\n",
           "    return text.replace(\"\\n\", \"\\\\n\").replace(\"\\r\", \"\\\\r\")\n", "tests/unit/test_texts.py"),
    Mutant("an event is posted as it was put together", "reconcile.py", "brief(visible(note), LONGEST_NOTE)",
           "brief(note, LONGEST_NOTE)", "tests/unit/test_texts.py"),
    Mutant("every pass compares all profiles anew", "overlaps.py",
           "        if len(known) < MOST_SHARES:\n", "        if False:\n", "tests/unit/test_overlaps.py"),
    Mutant("pairs of profiles that are gone are remembered for ever", "clusters.py",
           "if lost := before.selectors - view.selectors:", "if lost := frozenset():", "tests/unit/test_overlaps.py"),
    Mutant("a word may be as long as it likes", "patterns.py",
           "    end, spare = len(long.text), LONGEST_WORD - len(long.text)\n",
           "    end, spare = len(long.text), 2 * LONGEST_WORD - len(long.text)\n", "tests/unit/test_patterns.py"),
    Mutant("a condition without its time breaks the pass", "status.py",
           "    except ValueError:\n        since = datetime.fromisoformat(otherwise)\n",
           "    except LookupError:\n        since = datetime.fromisoformat(otherwise)\n", "tests/unit/test_writes.py"),
    Mutant("credentials of another account are as good as the right ones", "reconcile.py",
           "if wrong := self._settings.wrong_account(cluster, account):", "if wrong := \"\":",
           "tests/unit/test_surroundings.py"),
    Mutant("the account of one cluster is asked of every cluster", "spec.py",
           'if cluster != self.cluster or self.account in {"", account}:', 'if self.account in {"", account}:',
           "tests/unit/test_surroundings.py"),
    Mutant("blanks around an id make a profile somebody else's", "spec.py",
           "return one.strip() == other.strip()", "return one == other", "tests/unit/test_surroundings.py"),
    Mutant("a role that does not trust the ServiceAccount is short of a permission", "aws.py",
           'Rule("AssumeRoleWithWebIdentity", _NO_KEYS,', 'Rule("AssumeRoleWithWebIdentity", "Validation",',
           "tests/unit/test_remedies.py"),
    Mutant("what AWS blames the request for is tried again for ever", "aws.py",
           "return BLAMED if 400 <= status < 500 and status not in AGAIN else UNKNOWN", "return UNKNOWN",
           "tests/unit/test_remedies.py"),
    Mutant("a link to a Service is a setting", "config.py",
           "if not LINK.match(text)), self.default)", "), self.default)", "tests/unit/test_config.py"),
    Mutant("a program that makes no token leaves us anonymous", "kube.py",
           "if promised and not (got or certified):", "if promised and not promised:",
           "tests/unit/test_surroundings.py"),
    Mutant("the pod may not have the memory that it grows to", "deployment.yaml",
           "memory: 256Mi", "memory: 192Mi", "tests/unit/test_manifests.py"),
    Mutant("the pod has its token where nobody looks for it", "deployment.yaml",
           "mountPath: /var/run/secrets/kubernetes.io/serviceaccount", "mountPath: /var/run/secrets/token",
           "tests/unit/test_manifests.py"),
    Mutant("the pod does not know its namespace", "deployment.yaml", "path: namespace #", "path: home #",
           "tests/unit/test_manifests.py"),
    Mutant("subnets may be described as if each had a permission", "IAMPolicy.json",
           '"Resource": "*"', '"Resource": "arn:aws:ec2:*:*:subnet/*"', "tests/unit/test_manifests.py"),
    Mutant("profiles are listed as if that were checked against profiles", "IAMPolicy.json",
           '"Resource": "arn:aws:eks:*:*:cluster/*"\n    }', '"Resource": "arn:aws:eks:*:*:fargateprofile/*"\n    }',
           "tests/unit/test_manifests.py"),
    Mutant("no role but those of services may be read", "IAMPolicy.json",
           '"iam:ListRolePolicies"\n      ],\n      "Resource": "arn:aws:iam::*:role/*"',
           '"iam:ListRolePolicies"\n      ],\n      "Resource": "arn:aws:iam::*:role/aws-service-role/*"',
           "tests/unit/test_manifests.py"),
    Mutant("every resource may be tagged that has the owner key", "IAMPolicy.json",
           '"Action": "eks:TagResource",\n      "Resource": "arn:aws:eks:*:*:fargateprofile/*"',
           '"Action": "eks:TagResource",\n      "Resource": "*"', "tests/unit/test_manifests.py"),
    Mutant("EKS may not make its role for Fargate", "IAMPolicy.json",
           '"iam:AWSServiceName": [\n            "eks-fargate.amazonaws.com",',
           '"iam:AWSServiceName": [\n            "eks.amazonaws.com",', "tests/unit/test_manifests.py"),
    Mutant("the binding names a Role that is a ClusterRole", "rbac.yaml",
           "  kind: Role\n  name: fargate-operator\nsubjects:\n- kind: ServiceAccount\n  name: fargate\n"
           "  namespace: default\n---\n# For users",
           "  kind: ClusterRole\n  name: fargate-operator\nsubjects:\n- kind: ServiceAccount\n  name: fargate\n"
           "  namespace: default\n---\n# For users", "tests/unit/test_manifests.py"),
    Mutant("both replicas go at once in a rollout", "deployment.yaml", "replicas: 2\n",
           "replicas: 2\n  strategy: {rollingUpdate: {maxUnavailable: 2}}\n", "tests/unit/test_manifests.py"),
    Mutant("a profile of another controller id is left behind", "plan.py",
           "    return recorded if recorded and c.is_estranged(recorded) else None", "    return None",
           "tests/unit/test_controller_id.py"),
    Mutant("another controller id makes the object forget its profile", "status.py",
           "return c.memory if c.recorded and c.is_estranged(c.recorded) else without_a_profile(c.memory)",
           "return without_a_profile(c.memory)",
           "tests/unit/test_controller_id.py"),
    Mutant("what another object retained is taken back", "status.py",
           "if c.recorded and c.is_estranged(c.recorded) else", "if c.recorded else",
           "tests/unit/test_controller_id.py"),
    Mutant("a note of an edit that was taken back stays", "status.py",
           'same = (was.get("reason"), was.get("observedGeneration")) == (report.reason, who.generation)',
           'same = was.get("reason") == report.reason', "tests/unit/test_lifecycle.py"),
    Mutant("an object that nobody has looked at counts as idle", "status.py",
           '!= ("Ready", "Pending")]', '!= ("Ready", "")]', "tests/unit/test_status.py"),
    Mutant("a missing cluster is waited for without end", "status.py",
           "if waited >= patience:", "if False:", "tests/unit/test_lifecycle.py"),
    Mutant("that a replacement was put back is told as its end", "status.py",
           ', "RollingBack": "RolledBack"', "", "tests/unit/test_changes.py"),
    Mutant("why the profile failed before is forgotten once it is made again", "spec.py",
           "return f\" It has failed {times}{f': {self.failed_why}' if self.failed_why else '.'}\" if self.failures "
           "else \"\"", 'return ""',
           "tests/unit/test_lifecycle.py"),
    Mutant("a column shows another condition", "crd.yaml", '?(@.type=="Ready")].reason', '?(@.type=="Stalled")].reason',
           "tests/unit/test_manifests.py"),
    Mutant("the CRD replaces where the code refuses", "crd.yaml",
           "default: Refuse\n", "default: Replace\n", "tests/unit/test_manifests.py"),
    Mutant("no alert where no pod runs", "monitoring.yaml",
           'absent(leader_election_master_status{name="fargateprofile"})\n        or ', "",
           "tests/monitoring/test_alerts.py"),
    Mutant("a replica that stands by is alerted on", "monitoring.yaml",
           "max by (job) (leader_election_master_status", "min by (job) (leader_election_master_status",
           "tests/monitoring/test_alerts.py"),
    Mutant("another controller's leader is taken for ours", "monitoring.yaml",
           'absent(leader_election_master_status{name="fargateprofile"})', "absent(leader_election_master_status)",
           "tests/monitoring/test_alerts.py"),
    Mutant("a watch that was heard is alerted on", "monitoring.yaml",
           "time() - fargate_watch_heard_timestamp_seconds > 300",
           "fargate_watch_heard_timestamp_seconds - time() > 300", "tests/monitoring/test_alerts.py"),
    Mutant("nobody is woken for two hours", "monitoring.yaml", "for: 2m", "for: 2h", "tests/unit/test_metrics.py"),
    Mutant("a route that leads nowhere makes a subnet public", "aws.py", 'route.get("State") == "active" and ', "",
           "tests/unit/test_aws_answers.py"),
    Mutant("a route table is that of its first subnet alone", "aws.py",
           'for link in table.get("Associations") or ())', 'for link in (table.get("Associations") or ())[:1])',
           "tests/unit/test_aws_answers.py"),
    Mutant("the route tables of the first VPC alone are read", "aws.py", '"Values": vpcs}', '"Values": vpcs[:1]}',
           "tests/unit/test_aws_answers.py"),
    Mutant("one health issue of a profile is enough", "aws.py", "or ()) for each in issues)",
           "or ()) for each in issues[:1])", "tests/unit/test_aws_answers.py"),
    Mutant("a subnet on an Outpost is like any other", "aws.py", 'subnet.get("OutpostArn") or ""', '""',
           "tests/unit/test_aws_answers.py"),
    Mutant("pods that do not run are counted", "kube.py", ', "fieldSelector": "status.phase=Running"', "",
           "tests/unit/test_changes.py"),
    Mutant("a deletion takes long by the age of its profile", "plan.py",
           "else c.who.deleted_at or c.now", "else profile.created_at",
           "tests/unit/test_plan.py"),
    Mutant("a creation takes long by the age of its object", "plan.py",
           "since = profile.created_at if", "since = c.who.created_at if",
           "tests/unit/test_plan.py"),
    Mutant("an edit does not make a stalled object looked at often again", "reconcile.py",
           "(p.who.generation, report.reason), now)\n            return", "report.reason, now)\n            return",
           "tests/unit/test_refusals.py"),
    Mutant("a stalled object is looked at ever less often", "reconcile.py",
           "Requeue(min(max(now - since, clusters.STALLED_SECONDS[0]), clusters.STALLED_SECONDS[1]))",
           "Requeue(max(now - since, clusters.STALLED_SECONDS[0]))",
           "tests/unit/test_refusals.py"),
    Mutant("the second page of a list is of all objects", "kube.py", '            query["continue"] = more\n',
           '            query = {"limit": str(PAGE_SIZE), "continue": more}\n', "tests/unit/test_kube.py"),
    Mutant("only the first page of a list of AWS is read", "aws.py",
           "for page in pages for item in page[key]]", "for page in pages[:1] for item in page[key]]",
           "tests/unit/test_aws_answers.py"),
    Mutant("only one word of AWS means too many requests", "aws.py", '"Thrott|TooManyRequests|',
           '"^ThrottlingException$|TooManyRequests|', "tests/unit/test_aws_answers.py"),
    Mutant("only one word of AWS means that there is none", "aws.py",
           '{"ResourceNotFoundException", "NotFoundException", "NoSuchEntity"}',
           '{"ResourceNotFoundException", "NoSuchEntity"}', "tests/unit/test_aws_answers.py"),
    Mutant("tags of a profile that has gone are taken for its absence", "aws.py",
           'Rule(_TAGS, "NotFoundException|ResourceNotFoundException"', 'Rule(_TAGS, "^NotFoundException$"',
           "tests/unit/test_aws_answers.py"),
    Mutant("a change that failed with a 500 is known not to have happened", "aws.py",
           "unclear=not 400 <= status < 500", "unclear=not 400 <= status <= 500", "tests/unit/test_aws_answers.py"),
    Mutant("a list that is denied unsays Ready", "status.py", "report.retry or report.blind", "report.retry"),
    Mutant("what is denied after a look is taken for a look that failed", "reconcile.py", "blind=not p.seen)",
           "blind=True)", "tests/unit/test_refusals.py"),
    Mutant("an object that stays Ready does not tell that it stalls", "status.py",
           'was, stalled = find_condition("Stalled", old), find_condition("Stalled", new)',
           'was, stalled = before, find_condition("Ready", new)', "tests/unit/test_refusals.py"),
    Mutant("each event that a going namespace does not take is a warning", "kube.py",
           "kind = Terminating if _is_terminating(text) else BY_STATUS", "kind = BY_STATUS",
           "tests/unit/test_kube.py"),
    Mutant("a false status stays for as long as a resync", "informer.py",
           'elif moved == "status":', 'elif moved == "":'),
    Mutant("our own report is taken for another's where the watch is faster", "informer.py",
           "            self._sent[key_of(obj)] = _ours(status)\n", "", "tests/unit/test_informer.py"),
    Mutant("a condition of another writer wakes its object", "informer.py", 'if each.get("type") in OURS]', "]",
           "tests/unit/test_informer.py"),
    Mutant("who writes on and on makes as many passes", "workqueue.py",
           "max(now + after, last + apart)", "now + after", "tests/unit/test_workqueue.py"),
    Mutant("keys that are due at once come by their names", "workqueue.py",
           "(due, next(self._ordinal), key)", "(due, 0, key)", "tests/unit/test_workqueue.py"),
    Mutant("who came last to a cluster is let in first", "clusters.py", "return next(iter(keys))",
           "return next(reversed(keys))", "tests/unit/test_clusters.py"),
    Mutant("one namespace is let into a cluster until it has no more", "clusters.py",
           "keys = self.outside.pop(namespace)", "keys = self.outside[namespace]", "tests/unit/test_clusters.py"),
    Mutant("who comes new goes before who was let in", "clusters.py", "or cluster.let_in not in {None, key}", "",
           "tests/unit/test_clusters.py"),
    Mutant("one that has gone keeps a cluster for itself", "reconcile.py", "        self._clusters.leave(key)\n", "",
           "tests/unit/test_reconcile.py"),
    Mutant("in the line who came first is first, whatever its namespace had", "clusters.py",
           'self.turns.get(key[0], float("-inf"))', "0", "tests/unit/test_clusters.py"),
    Mutant("each who names a missing cluster asks for it", "clusters.py", "if told_missing else NO_SECONDS",
           "if told_missing else 0.0", "tests/unit/test_clusters.py"),
    Mutant("namespaces take no turns in the queue", "workqueue.py", "            self._now.move_to_end(key[0])",
           "            pass", "tests/unit/test_workqueue.py"),
    Mutant("a key that was in work goes before those that wait", "workqueue.py", "add(key, max(due, now))",
           "add(key, due)", "tests/unit/test_workqueue.py"),
    Mutant("one namespace has all of the workers", "workqueue.py", "return namespaces[namespace] < self._most",
           "return True", "tests/unit/test_workqueue.py"),
    Mutant("routine starves", "workqueue.py", "self._in_a_row >= URGENT_IN_A_ROW", "False",
           "tests/unit/test_workqueue.py"),
    Mutant("whoever edits has the first look each time", "workqueue.py",
           "                self._paced[key, URGENT_EDIT_SECONDS] = due\n", "", "tests/unit/test_workqueue.py"),
    Mutant("a look that is asked for is handled without one", "reconcile.py",
           "case.view.at >= p.asked_at:\n            p.memory", "True:\n            p.memory",
           "tests/unit/test_fairness.py"),
    Mutant("calls that change nothing cost nothing", "reconcile.py", "            if not p.useful:",
           "            if False:", "tests/unit/test_fairness.py"),
    Mutant("a list is looked at in any order", "informer.py",
           "return sorted(self._objects.values(), key=seniority)", "return [*self._objects.values()]",
           "tests/unit/test_informer.py"),
    Mutant("a proxy's page is shown whole where its tags are in another case", "patterns.py",
           '_PAGE = r"(?is)<', '_PAGE = r"(?s)<', "tests/unit/test_texts.py"),
    Mutant("an authority that is being rotated is taken for another cluster's", "clusters.py", "or theirs & ours:",
           "or theirs == ours:", "tests/unit/test_clusters.py"),
    Mutant("each try of a create tells of the wrong cluster", "reconcile.py",
           "        if p.memory.first_tried_at is None:\n", "        if True:\n", "tests/unit/test_surroundings.py"),
    Mutant("EKS is asked for its authority at each resync", "reconcile.py",
           "if self.elsewhere is None and self._settings.authority:", "if self._settings.authority:",
           "tests/unit/test_surroundings.py"),
    Mutant("a manifest: owners are not judged", "overlaps.py",
           "    if sum(each.controller is True for each in owners) > 1:\n", "    if False:\n",
           "tests/unit/test_commands.py"),
    Mutant("a manifest: the mend of a tag is that of a field with its name", "spec.py",
           "        if part in WHOLE:\n            break\n", "", "tests/unit/test_spec.py"),
    Mutant("a manifest: one name in two clusters is one profile", "overlaps.py",
           "if each.who.cluster == claim.who.cluster or same(each, claim)]", "if True]", "tests/unit/test_commands.py"),
    Mutant("a manifest: an object that stands twice is held to itself", "overlaps.py", "            continue\n", "",
           "tests/unit/test_commands.py"),
    Mutant("a manifest: a cluster that may be the controller's is refused", "commands.py",
           "cluster or who.cluster).judge", "cluster or OF_THE_CONTROLLER).judge", "tests/unit/test_commands.py"),
    Mutant("a forecast: an overlap of before is told as one that arises", "commands.py",
           'if overlap not in {"", overlap_message(case, overlaps(case))}:', "if overlap:",
           "tests/unit/test_commands.py"),
    Mutant("a forecast: each row is an object", "commands.py", "for word in {step.word for step in several})",
           "for word in [step.word for step in several])", "tests/unit/test_commands.py"),
    Mutant("a forecast: a deletion is of what the manifest says", "commands.py",
           "yield from self._followed(self._case({**live,", "yield from self._followed(self._case({**there,",
           "tests/unit/test_commands.py"),
    Mutant("a forecast: a wrong command line means changes", "commands.py",
           "raise SystemExit(1 if detailed and ended.code else ended.code) from None", "raise",
           "tests/unit/test_commands.py"),
    Mutant("a folder in a folder is read unasked", "config.py", "            if recursive:\n", "            if True:\n",
           "tests/unit/test_commands.py"),
    Mutant("an annotation ends where a percent sign stands", "commands.py",
           'MESSAGE_MARKS, PROPERTY_MARKS = "%', 'MESSAGE_MARKS, PROPERTY_MARKS = "',
           "tests/unit/test_commands.py"),
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


def run(mutant: Mutant, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    whole = [sys.executable, "-m", *command]
    try:
        return subprocess.run(
            whole, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{mutant.name}: {' '.join(command)} has not ended within {SECONDS} s") from None


def hunt(mutant: Mutant, parent: Path) -> Caught:
    """Look for a planted bug as a developer would: by the test that is about it, else by the simulation."""
    started, folder = time.monotonic(), parent / mutant.name.replace(" ", "-").replace("/", "-")
    planted(mutant, folder)
    if mutant.test:
        done = run(mutant, folder, "pytest", "-q", "-x", "-p", "no:cacheprovider", mutant.test)
        if by := next((line for line in done.stdout.splitlines() if line.startswith("FAILED")), ""):
            return Caught(mutant, by, False, time.monotonic() - started)
    simulated = run(mutant, folder, "tests.simulation", "--parent", str(os.getpid()), *HUNT)
    by = _first_violation(mutant, simulated) if simulated.returncode else ""
    return Caught(mutant, by, True, time.monotonic() - started)


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
    simulated = sum(each.simulated and bool(each.by) for each in found)
    print(f"{len(found)} planted, {simulated} caught by the simulation, {len(survived)} survived")
    return 1 if survived or (not words and simulated < LEAST_BY_SIMULATION) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
