"""What may stand in the clusters file, what is said of what may not, and when a new version of it is taken up."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

import clustersfile
from aws import Term
from clustersfile import LOOK_SECONDS, MOST_BYTES, SETTLE_SECONDS, ClustersFile, Renewal, judged, parse, read
from entries import Entries, Entry
from leader import Judgement
from spec import MENDS, Defaults
from tests.docs import ROOT

FLAGS = Entries("eu-west-1", "demo", defaults=Defaults("flag-role"))
ROLE = "arn:aws:iam::111122223333:role/operator"
WHOLE = """
clusters:
- name: prod-eu
  cluster: prod
  region: eu-central-1
  roleArn: arn:aws:iam::111122223333:role/hub/fargate-operator
  externalId: "4711"
  namespaces: [team-a, "team-b-*"]
  defaults:
    podExecutionRoleName: pods
    subnetSelectorTerms: [{tags: {fargate: "yes", aws:cloudformation:stack-name: "*"}}, {id: subnet-0123456789abcdef0}]
    tags: {cost-center: "4711"}
- name: small
"""


def entries(text: str, flags: Entries = FLAGS, account: str = "") -> Entries:
    found = parse("c.yaml", text, flags, account)
    assert isinstance(found, Entries), found
    return found


def findings(text: str, flags: Entries = FLAGS, account: str = "") -> list[str]:
    found = parse("c.yaml", text, flags, account)
    assert isinstance(found, list)
    return [str(each).removeprefix("c.yaml") for each in found]


def one(fields: str) -> str:
    """Return a file with one entry of a name and these fields."""
    return f"clusters:\n- name: a\n{textwrap.indent(fields, '  ')}"


# What it says


def test_each_field_is_read_and_what_is_left_out_is_as_without_a_file() -> None:
    terms = (
        Term(tags=(("aws:cloudformation:stack-name", "*"), ("fargate", "yes"))),
        Term("subnet-0123456789abcdef0"),
    )
    prod = Entry(
        "prod-eu", "prod", "eu-central-1", "arn:aws:iam::111122223333:role/hub/fargate-operator", "4711",
        ("team-a", "team-b-*"), Defaults("pods", terms, {"cost-center": "4711"}),
    )  # fmt: skip
    small = Entry("small", "small", "eu-west-1")
    assert entries(WHOLE) == replace(FLAGS, listed=(prod, small))
    assert [each.line for each in entries(WHOLE).listed or ()] == [3, 13]


def test_json_is_read_too_and_a_byte_order_mark_is_none_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "clusters.json"
    file.write_bytes(b'\xef\xbb\xbf{"clusters": [\n\t{"name": "small"}]}')
    text = read(str(file))
    assert isinstance(text, str)
    assert entries(text).listed == (Entry("small", "small", "eu-west-1"),)


def test_a_file_may_list_nobody() -> None:
    assert entries("clusters: []").listed == ()


def test_two_aliases_of_a_cluster_may_have_other_namespaces_and_defaults() -> None:
    again = WHOLE + "- {name: again, cluster: small, namespaces: [x], defaults: {podExecutionRoleName: other}}\n"
    assert len(entries(again).listed or ()) == 3


def test_an_entry_may_list_the_home_under_its_own_name() -> None:
    assert entries("clusters: [{name: demo, namespaces: [a]}]").find("a", "") == Entry(
        "demo", "demo", "eu-west-1", namespaces=("a",)
    )


# What is wrong with it

NAMES = "give what objects write as clusterName: letters, digits, - and _, at most 100, first a letter or digit; "
NAMES += "numbers in quotes"
TERMS = MENDS["subnetSelectorTerms"]
ALIASES = "give all entries of one EKS cluster the same roleArn and externalId"
WRONG = {
    "nothing": ("", [": nothing in it: give one mapping with clusters"]),
    "only comments": ("# soon\n", [": nothing in it: give one mapping with clusters"]),
    "a text": ("clusters", [":1: not a mapping: give a mapping with clusters"]),
    "two documents": ("clusters: []\n---\nclusters: []",
                      [":3: several YAML documents: give one mapping with clusters"]),
    "no YAML": ("clusters: [", [":1: expected the node content, but found '<stream end>': correct the YAML"]),
    "a tab": ("clusters:\n\t- name: a",
              [":2: found character '\\t' that cannot start any token: indent with spaces, not tabs"]),
    "another field, and none that is needed": ("cluster: []", [
        ":1: cluster: not a field: remove it: clusters is the only one",
        ":1: clusters: missing: give a list of at most 2,000 entries, each a mapping with at least name"]),
    "entries that are no mappings": ("clusters:\n- a\n- [b]", [
        ':2: clusters[0]: "a": give a list of at most 2,000 entries, each a mapping with at least name',
        ':3: clusters[1]: ["b"]: give a list of at most 2,000 entries, each a mapping with at least name']),
    "an unknown field": (one("account: 1"), [":3: clusters[0].account: not a field: remove it or correct its name"]),
    "no name": ("clusters: [{cluster: a}]", [f":1: clusters[0].name: missing: {NAMES}"]),
    "a number for a name": ("clusters: [{name: 4711}]",
                            [":1: clusters[0].name: 4711, which YAML reads as a number: put it in quotes"]),
    "a name that no cluster has": ("clusters: [{name: a/b}]", [f':1: clusters[0].name: "a/b": {NAMES}']),
    "a name twice": ("clusters:\n- {name: a}\n- {name: a, cluster: b}",
                     [":3: clusters[1].name: a, as an entry before has: give each entry a name of its own; several may "
                      "have the same cluster"]),
    "a field twice": (one("region: eu-west-1\nregion: eu-west-2"),
                      [":4: clusters[0].region: given twice, first in line 3: keep one (kubectl takes the last and "
                       "does not say so)"]),
    "a region of nobody": (one("region: Ireland"),
                           [':3: clusters[0].region: "Ireland": give an AWS region such as eu-central-1, or leave the '
                            "field out for the operator's own"]),
    "no value": (one("region:"),
                 [":3: clusters[0].region: nothing, which is no value: remove it, or give an AWS region such as "
                  "eu-central-1, or leave the field out for the operator's own"]),
    "a user for a role": (one("roleArn: arn:aws:iam::111122223333:user/me"),
                          [':3: clusters[0].roleArn: "arn:aws:iam::111122223333:user/me": give the ARN of the IAM role '
                           "that the operator is to assume, arn:aws:iam::<account>:role/<name>, or leave the field out "
                           "for its own credentials"]),
    "an external id of one character": (one(f"roleArn: {ROLE}\nexternalId: x"),
                                        [':4: clusters[0].externalId: "x": give what the role\'s trust policy asks '
                                         "for: 2 to 1224 letters, digits and _ + = , . @ : / -; put numbers in "
                                         "quotes"]),
    "an external id for nobody": (one("externalId: xx"),
                                  [":3: clusters[0].externalId: given without roleArn: give the role that asks for it, "
                                   "or remove it"]),
    "no namespaces": (one("namespaces: []"),
                      [":3: clusters[0].namespaces: []: give a list of 1 to 1000 namespaces, or leave the field out "
                       "for all; * stands for any characters"]),
    "a namespace in the place of a list": (one("namespaces: team-a"),
                                           [':3: clusters[0].namespaces: "team-a": give a list of 1 to 1000 '
                                            "namespaces, or leave the field out for all; * stands for any characters"]),
    "a set of characters": (one('namespaces: ["team-[ab]"]'),
                            [':3: clusters[0].namespaces[0]: "team-[ab]": give a list of 1 to 1000 namespaces, or '
                             "leave the field out for all; * stands for any characters"]),
    "a role by ARN and by name": (
        one("defaults:\n  podExecutionRoleArn: arn:aws:iam::111122223333:role/a\n  podExecutionRoleName: a"),
        [":5: clusters[0].defaults.podExecutionRoleName: given beside podExecutionRoleArn: remove one of the two"]),
    "a term by id and tags, and one by neither": (
        one("defaults:\n  subnetSelectorTerms:\n  - {id: subnet-01234567, tags: {a: b}}\n  - {}"),
        [f":5: clusters[0].defaults.subnetSelectorTerms[0]: given both id and tags: {TERMS}",
         f":6: clusters[0].defaults.subnetSelectorTerms[1]: given neither id nor tags: {TERMS}"]),
    "a tag that is no text": (
        one("defaults:\n  tags: {a: 1}\n  subnetSelectorTerms: [{tags: {b: yes}}]"),
        [":4: clusters[0].defaults.tags.a: 1, which YAML reads as a number: put it in quotes",
         ":5: clusters[0].defaults.subnetSelectorTerms[0].tags.b: yes, which YAML reads as a boolean: put it in "
         "quotes"]),
    "one role in two aliases, and no role in the third": (
        f"clusters:\n- {{name: a, cluster: c, roleArn: '{ROLE}'}}\n- {{name: b, cluster: c, roleArn: '{ROLE}-b'}}\n"
        f"- {{name: c, roleArn: '{ROLE}', externalId: xx}}\n- {{name: d, cluster: c}}",
        [f":3: clusters[1].roleArn: {ROLE}-b for the same EKS cluster as entry a (line 2), which has {ROLE}: {ALIASES}",
         f":4: clusters[2].externalId: another one for the same EKS cluster as entry a (line 2): {ALIASES}"]),
    "the home in another region": ("clusters: [{name: demo, region: eu-west-2}]",
                                   [":1: clusters[0].region: eu-west-2, and --cluster-name demo is in eu-west-1: give "
                                    "the entry another name"]),
    "the home's name for another cluster": ("clusters: [{name: demo, cluster: other}]",
                                            [":1: clusters[0].cluster: other, and --cluster-name is demo: give the "
                                             "entry another name"]),
    "an alias": ("a: &a [x]\nclusters: *a", [":1: an anchor or alias, which has no place here: correct the YAML"]),
    "a control character": ("clusters: [\x01]",
                            [":1: the character #x1: write it as an escape, or not at all"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "told"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_told_with_its_line_and_what_mends_it(text: str, told: list[str]) -> None:
    assert findings(text) == told


def test_every_finding_is_told_at_once_in_the_order_of_the_file() -> None:
    text = (
        f"clusters:\n- {{nam: a}}\n- {{name: b, region: x, roleArn: y}}\n- {{name: demo, roleArn: '{ROLE}'}}\n- name: b"
    )
    told = findings(text, account="444455556666")
    assert [each.split(": ")[:2] for each in told] == [
        [":2", "clusters[0].nam"], [":2", "clusters[0].name"], [":3", "clusters[1].region"],
        [":3", "clusters[1].roleArn"], [":4", "clusters[2].roleArn"], [":5", "clusters[3].name"],
    ]  # fmt: skip


def test_an_entry_of_the_home_s_name_in_another_account_than_the_home_s_is_found_where_that_is_known() -> None:
    text = f"clusters: [{{name: demo, roleArn: '{ROLE}'}}]"
    assert entries(text).find("a", "") == Entry("demo", "demo", "eu-west-1", ROLE)
    assert entries(text, account="111122223333")
    assert findings(text, account="444455556666") == [
        f":1: clusters[0].roleArn: {ROLE}, and this is the name of --cluster-name, which is of account 444455556666: "
        "give the entry another name"
    ]


def test_where_the_operator_s_region_is_not_known_nothing_is_held_to_it() -> None:
    assert entries("clusters: [{name: demo, region: eu-west-2}]", replace(FLAGS, region=""))


# What others may have written

HOSTILE = {
    "aliases of aliases": "a: &a [x,x]\n"
    + "".join(f"{b}: &{b} [*{a},*{a},*{a}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)),
    "merged into itself": "clusters: &a\n- <<: *a",
    "deep lists": "clusters: " + "[" * 500_000,
    "deep mappings": "clusters: " + "{a: " * 200_000,
    "deep by lines": "".join(f"{' ' * depth}a:\n" for depth in range(1000)),
    "more keys than a file needs": "clusters: [{name: a, " + ",".join(f"a{n}: 1" for n in range(60_000)) + "}]",
    "a thousand documents": "---\n" * 1000 + "clusters: []\n" * 2,
    "a long number": "clusters: [{name: " + "9" * 1_000_000 + "}]",
    "a long hexadecimal number": "clusters: [{name: 0x" + "f" * 1_000_000 + "}]",
    "a long key": "clusters: [{" + "a" * 1_000_000 + ": 1}]",
    "an object of Python": "clusters: !!python/object/apply:os.system [ls]",
    "keys that are lists": "? [a]\n: b\n? {c: d}\n: e\n",
    "infinity": "clusters: [{name: .inf, region: .nan}]",
    "too many entries": "clusters:\n" + "- {name: a}\n" * 2001,
    "too many of all": "clusters: [" + "1," * 200_000 + "]",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_a_finding_of_a_few_words(text: str) -> None:
    told = findings(text)
    assert 0 < len(told) <= 1001
    assert max(map(len, told)) < 700


def test_what_looks_like_a_number_and_is_none_is_a_text() -> None:
    listed = entries("clusters: [{name: 0b_}, {name: 1e_}, {name: 0x_}]").listed or ()
    assert [each.name for each in listed] == ["0b_", "1e_", "0x_"]


def test_a_hostile_file_costs_no_gigabytes(tmp_path: Path) -> None:
    file = tmp_path / "clusters.yaml"
    entry = "{" + ",".join(f"a{n}: 1" for n in range(900)) + "}, "
    file.write_text("clusters: [" + entry * 50 + "]")
    script = "import sys, clustersfile as c; r = c.judged(sys.argv[1], c.read(sys.argv[1]), c.Entries('eu-west-1')); "
    script += "print(len(r), *(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    count, kibibytes = map(int, done.stdout.split())
    assert count == 1001
    assert kibibytes < 300 * 1024


def test_of_very_many_findings_the_first_thousand_are_told_and_how_many_more_there_are() -> None:
    told = findings("clusters:\n" + "- {nam: a}\n" * 750)
    assert len(told) == 1001
    assert told[-1] == ": 500 more findings: mend these first"


def test_a_file_that_is_too_long_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "clusters.yaml"
    file.write_text("#" * (MOST_BYTES + 1))
    said = "longer than 1,048,576 bytes: a ConfigMap holds no more; leave out what is the default anyway"
    assert str(read(str(file))) == f"{file}: {said}"
    assert str(read("/dev/zero")) == "/dev/zero: not a file: name the file that lists the clusters"


def test_what_can_t_be_read_is_told_with_the_reason(tmp_path: Path) -> None:
    missing, latin, folder = tmp_path / "none.yaml", tmp_path / "latin.yaml", tmp_path
    latin.write_bytes(b"clusters:\n- name: \xe4\n")
    mend = "correct --clusters-file, or who may read the file"
    assert str(read(str(missing))) == f"{missing}: can't be read (No such file or directory): {mend}"
    assert str(read(str(latin))) == f"{latin}:2: invalid continuation byte at byte 18 (utf-8): save it as UTF-8"
    assert "not a file" in str(read(str(folder)))


# When it changes


class Mounted:
    """A ConfigMap as the kubelet mounts it: a link to ..data, which is a link to a folder, and is swapped."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        folder.mkdir()
        self.file = folder / "clusters.yaml"
        self.file.symlink_to("..data/clusters.yaml")

    def put(self, text: str | None) -> None:
        self.number += 1
        there = self.folder / f"..{self.number}"
        there.mkdir()
        if text is not None:
            (there / "clusters.yaml").write_text(text)
            os.utime(there / "clusters.yaml", (0, 0))  # as old as all others
        (self.folder / "..new").symlink_to(there.name)
        (self.folder / "..new").replace(self.folder / "..data")


class Watched:
    def __init__(self, tmp_path: Path, text: str) -> None:
        self.mounted, self.refusals = Mounted(tmp_path / "mounted"), list[bool]()
        self.mounted.put(text)
        self.account = ""
        name = str(self.mounted.file)
        before = judged(name, read(name), FLAGS)
        assert isinstance(before, Entries)
        self.file = ClustersFile(name, FLAGS, before, self.refusals.append, lambda: self.account)

    @property
    def refused(self) -> bool:
        return self.refusals[-1]

    def step(self) -> list[str] | None:
        """Return the names that two looks find listed anew."""
        found = self.file.step() or self.file.step()
        return None if found is None else [each.name for each in found.listed or ()]


def test_a_new_version_is_taken_once_the_link_is_swapped(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "clusters: [{name: a}]")
    assert [watched.step(), watched.step()] == [None, None]
    watched.mounted.put("clusters: [{name: b}]")
    assert [watched.step(), watched.step()] == [["b"], None]
    assert [each.name for each in watched.file.entries.listed or ()] == ["b"]
    watched.mounted.put("clusters: [{name: a}]")
    assert watched.step() == ["a"]


def test_a_version_that_is_still_being_written_is_neither_taken_nor_refused(tmp_path: Path) -> None:
    """As long as it grows; cut before roleArn or namespaces it is valid, and lets in more than is meant."""
    before, after = "clusters: [{name: a}]\n", WHOLE.lstrip()
    watched, file = Watched(tmp_path, before), tmp_path / "in-place.yaml"
    watched.file.file, taken = str(file), list[Entries]()
    for length in range(0, len(after) + 1, 7):
        file.write_text(after[:length])
        taken += filter(None, [watched.file.step()])
    file.write_text(after)
    taken += filter(None, [watched.file.step() for _ in range(3)])
    assert taken == [entries(after)]
    assert watched.refusals == [False]


def test_the_second_look_at_a_new_version_comes_soon(tmp_path: Path) -> None:
    taking = Taking(Watched(tmp_path, "clusters: [{name: a}]"))
    assert [taking.renewal.step(), taking.renewal.step()] == [SETTLE_SECONDS, LOOK_SECONDS]
    assert SETTLE_SECONDS < LOOK_SECONDS


def test_a_version_over_which_the_reading_breaks_down_is_refused_and_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(tmp_path, "clusters: [{name: a}]")
    watched.step()
    watched.mounted.put("clusters: [{name: b}]")
    with monkeypatch.context() as broken:
        broken.setattr(clustersfile, "parse", lambda *_: 1 // 0)
        watched.file.step()
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                watched.file.step()
            assert watched.refused
    assert (watched.file.step() or Entries("")).listed == (Entry("b", "b", "eu-west-1"),)
    assert not watched.refused


@pytest.mark.parametrize("kind", ["boolean", "number", "null", "tag:yaml.org,2002:merge", "tag:yaml.org,2002:binary"])
@pytest.mark.parametrize("node", ["''", "x", "{}", "[]"])
def test_no_tag_of_yaml_breaks_the_reading(kind: str, node: str) -> None:
    for text in (f"clusters: [{{name: !<{kind}> {node}}}]", f"clusters: [{{!<{kind}> {node}: a}}]"):
        assert isinstance(parse("c.yaml", text, FLAGS), list | Entries)


def test_what_changed_between_the_start_and_the_first_look_is_taken(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "clusters: [{name: a}]")
    watched.mounted.put("clusters: [{name: b}]")
    assert watched.step() == ["b"]


def test_a_comment_is_no_news(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "clusters: [{name: a}]")
    watched.mounted.put("# of ours\n\nclusters: [{name: a}]")
    assert watched.step() is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("clusters: [{name: a, region: x}, {nam: b}]", ["clusters[0].region", "clusters[1].nam:", "clusters[1].name"]),
        ("", ["nothing in it"]),
        (None, ["can't be read (No such file or directory)"]),
    ],
)
def test_a_wrong_version_is_refused_with_every_finding_in_the_log_once_and_the_old_one_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: str | None, said: list[str]
) -> None:
    watched = Watched(tmp_path, "clusters: [{name: a}]")
    assert (watched.step(), watched.refused) == (None, False)
    watched.mounted.put(wrong)
    assert [watched.step() for _ in range(3)] == [None] * 3
    assert watched.refused
    assert [each.name for each in watched.file.entries.listed or ()] == ["a"]
    lines = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert len(lines) == len(said)
    for line, text in zip(lines, said, strict=True):
        assert line.startswith(f"the clusters file is refused, the entries of before stay: {watched.mounted.file}")
        assert text in line
    watched.mounted.put("clusters: [{name: a}]")
    assert (watched.step(), watched.refused) == (None, False), "as it was: no news, and nothing wrong"
    watched.mounted.put(wrong)
    assert (watched.step(), watched.refused) == (None, True)
    watched.mounted.put("clusters: [{name: b}]")
    assert (watched.step(), watched.refused) == (["b"], False)


def test_what_contradicts_the_operator_s_own_account_is_refused_once_that_is_known(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(tmp_path, f"clusters: [{{name: a}}, {{name: b, cluster: a, roleArn: '{ROLE}'}}]")
    assert (watched.step(), watched.refused) == (None, False)
    watched.account = "111122223333"
    assert (watched.step(), watched.refused) == (None, True)
    assert "which has the operator's own credentials" in caplog.text
    assert "the clusters file that is in use contradicts itself" in caplog.text, "it was taken before that was known"
    watched.mounted.put(f"clusters: [{{name: b}}, {{name: c, cluster: b, roleArn: '{ROLE}'}}]")
    caplog.clear()
    assert (watched.step(), watched.refused) == (None, True)
    assert "the clusters file is refused, the entries of before stay" in caplog.text


def test_the_account_of_the_home_is_not_taken_for_that_of_the_operator_s_own_credentials() -> None:
    flags = replace(FLAGS, home_account="111122223333")
    home = f"- {{name: demo, region: eu-west-1, roleArn: '{ROLE}'}}"
    text = f"clusters:\n{home}\n- {{name: hub-demo, cluster: demo}}\n"
    assert len(entries(text, flags).all) == 2, "one is reached by a role, the other may be of another account"
    assert len(entries(text, flags, "123456789012").all) == 2
    (found,) = findings(text, flags, "111122223333")
    assert "which has arn:aws:iam::111122223333:role/operator" in found
    (found,) = findings(f"clusters:\n{home}", replace(flags, home_account="123456789012"), "111122223333")
    assert "--cluster-name, which is of account 123456789012" in found
    (found,) = findings(f"clusters:\n- {{name: a, cluster: demo, roleArn: '{ROLE}'}}", flags)
    assert "which has the operator's own credentials" in found, "as these reach the home"


class Taking:
    """Has what is taken up noted, beside a Lease that may vouch for the judgement before."""

    def __init__(self, watched: Watched) -> None:
        self.done: list[str] = []
        self.judgement = Judgement("before", complete=True)
        self.renewal = Renewal(watched.file, self.judgement, lambda each: each.digest, self.take, self.judge_anew)

    def step(self) -> float:
        """Look twice; return the seconds to the next look."""
        self.renewal.step()
        return self.renewal.step()

    def take(self, entries: Entries) -> None:
        self.done.append("take " + ",".join(each.name for each in entries.listed or ()))

    def judge_anew(self, by: str) -> None:
        self.judgement.by = by
        self.done.append("judge anew")


def test_new_entries_are_taken_up_and_then_everything_is_judged_anew(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "clusters: [{name: a}]")
    taking = Taking(watched)
    assert (taking.step(), taking.done) == (LOOK_SECONDS, [])
    assert taking.judgement.complete
    watched.mounted.put("clusters: [{name: b}]")
    assert (taking.step(), taking.done) == (LOOK_SECONDS, ["take b", "judge anew"])
    assert not taking.judgement.complete
    assert taking.judgement.by == watched.file.entries.digest


def test_nothing_is_taken_up_as_long_as_the_lease_vouches_for_what_was_judged_before(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "clusters: [{name: a}]")
    taking = Taking(watched)
    said = taking.judgement.to_tell()
    watched.mounted.put("clusters: [{name: b}]")
    assert taking.step() < LOOK_SECONDS
    watched.mounted.put("clusters: [{name: c}]")
    assert taking.step() < LOOK_SECONDS
    assert (said, taking.done, taking.judgement.complete) == ("before", [], False)
    taking.judgement.told(taking.judgement.to_tell())
    assert (taking.renewal.step(), taking.done) == (LOOK_SECONDS, ["take c", "judge anew"])


def test_the_documented_bounds_are_those_of_the_file() -> None:
    assert (clustersfile.MOST_BYTES, clustersfile.MOST_ENTRIES) == (1024 * 1024, 2000)
