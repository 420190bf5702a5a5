"""Which patterns one word can match: words are tried one by one where the code reasons."""

from __future__ import annotations

import fnmatch
import itertools
import json
from math import inf
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from patterns import LONGEST_WORD, Caller, Trust, brief, issuer_of, judge_trust, listed, meet
from tests.fakes.apiserver import token_by
from tests.fakes.eks_rules import FARGATE, trusts_fargate

# Letters that no pattern has stand for all the others that a real word may hold.
WORDS = ["".join(letters) for size in range(5) for letters in itertools.product("abz", repeat=size)]
patterns = st.text("ab*?", min_size=1, max_size=3)
# Runs of letters between stars, so that the shortest word of two is about as long as a word may be.
runs = st.lists(st.text("ab?", max_size=12) | st.text("a", max_size=4), min_size=1, max_size=16)
long_patterns = runs.map("*".join).filter(lambda pattern: 0 < len(pattern) <= 70)


def shortest(one: str, other: str) -> float:
    """Return the length of the shortest word that matches both: by a table, from the ends of both on."""
    n, m = len(one), len(other)
    least = {(n, m): 0.0}
    for i in range(n, -1, -1):
        for j in range(m, -1, -1):
            a, b = one[i : i + 1], other[j : j + 1]
            star, both = "*" in (a, b), bool(a and b)
            ways = [
                (a == "*", i + 1, j, 0),  # the star stands for nothing more
                (b == "*", i, j + 1, 0),
                (both and a == "*" != b, i, j + 1, 1),  # the star stands for the other's character
                (both and b == "*" != a, i + 1, j, 1),
                (both and not star and (a == b or "?" in (a, b)), i + 1, j + 1, 1),
            ]
            found = [least.get((x, y), inf) + costs for can, x, y, costs in ways if can]
            least[i, j] = min([least.get((i, j), inf), *found])
    return least[0, 0]


def matches(word: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(word, pattern)


@settings(max_examples=400, deadline=None)
@given(patterns, patterns)
@example("a*", "*b")
@example("*", "?")
@example("**", "a?b")
def test_two_patterns_meet_where_one_word_matches_both(one: str, other: str) -> None:
    found = any(matches(word, one) and matches(word, other) for word in WORDS)
    assert meet(one, other) == meet(other, one) == found


@settings(max_examples=300, deadline=None)
@given(long_patterns, long_patterns)
@example("*" + "ab" * 30 + "a*", "*" + "ba" * 30 + "b*")
@example("*a" * 20 + "*" + "ab" * 11, "*b" * 20 + "*" + "ab" * 11)
@example("a" * 63, "*" + "a" * 63)
@example("a" * 64, "*" + "a" * 63)
@example("?" * 63, "*")
@example("a*" * 32, "*a" * 32)
def test_the_shortest_word_of_two_long_patterns_is_what_counts(one: str, other: str) -> None:
    found = shortest(one, other) <= LONGEST_WORD
    assert meet(one, other) == meet(other, one) == found


@settings(max_examples=100, deadline=None)
@given(long_patterns, long_patterns, st.integers(0, 150))
@example("a" * 100, "*" + "a" * 99 + "?", 100)
def test_a_word_may_be_as_long_as_whoever_asks_says(one: str, other: str, longest: int) -> None:
    assert meet(one, other, longest) == meet(other, one, longest) == (shortest(one, other) <= longest)


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("prod-*", "*-web", True),
        ("prod-*", "dev-*", False),
        ("team-?", "team-10", False),
        ("*a*b*", "*b*a*", True),
        ("kube-system", "kube-system", True),
        ("Web", "web", False),
        ("x" * 40 + "*", "*" + "y" * 23, True),
        ("x" * 40 + "*", "*" + "y" * 24, False),
    ],
)
def test_no_word_is_longer_than_kubernetes_allows(one: str, other: str, shared: bool) -> None:
    assert LONGEST_WORD == 63
    assert meet(one, other) == shared


def test_a_long_pattern_full_of_wildcards_is_judged_at_once() -> None:
    assert meet("*a" * 31 + "*", "*b" * 31 + "*"), "31 letters each, in any order"
    assert not meet("*a" * 31 + "*", "*b" * 31 + "b" * 2)


# Texts that are as long as somebody else wants them to be


@given(st.text(), st.integers(20, 100))
def test_a_brief_text_has_no_more_bytes_than_it_may_and_is_the_beginning_of_the_whole(text: str, most: int) -> None:
    short = brief(text, most)
    assert len(short.encode(errors="replace")) <= most
    assert short == text or (short.endswith(" ...") and text.startswith(short.removesuffix(" ...")))


def test_a_long_text_ends_behind_a_sentence_or_a_word() -> None:
    assert brief("One sentence. Another one. And a third that is long.", 40) == "One sentence. Another one. ..."
    assert brief("words and words and words and words", 20) == "words and words ..."
    assert brief("w" * 50, 20) == "w" * 16 + " ..."


def test_of_a_long_list_the_first_parts_are_whole_and_the_others_counted() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([]) == ""
    names = [f"name-{number}" for number in range(2000)]
    assert listed(names, "; ", most=30) == "name-0; name-1; name-2; and 1,997 more"
    assert listed(["One is bad.", "Two is bad."], " ", most=15) == "One is bad. And 1 more."
    assert listed(["w" * 100, "x"], most=20) == "w" * 16 + " ..., and 1 more"


# Trust policies, as IAM judges them for a profile that is to be made

ACCOUNT, OTHER = "111122223333", "444455556666"
ARN = f"arn:aws:eks:eu-west-1:{ACCOUNT}:fargateprofile"
CALLER = Caller(FARGATE, ACCOUNT, f"{ARN}/demo/web/")
SERVICE = {"Service": FARGATE}
ANY_UUID = "????????-????-????-????-????????????"
ONE_UUID = "5ac3a2d1-0000-4000-8000-0123456789ab"


def statement(effect: str = "Allow", principal: Any = SERVICE, action: Any = "sts:AssumeRole", **more: Any) -> Any:
    return {"Effect": effect, "Principal": principal, "Action": action} | more


def given_that(operator: str, key: str, values: Any, **more: Any) -> Any:
    return statement(Condition={operator: {key: values}}, **more)


def source(operator: str, *patterns: str) -> Any:
    return given_that(operator, "aws:SourceArn", [*patterns] if len(patterns) > 1 else patterns[0])


def judged(*statements: Any, **elements: Any) -> Trust:
    return judge_trust({"Version": "2012-10-17", "Statement": [*statements]} | elements, CALLER)


BOTH = {
    "ArnLike": {"aws:SourceArn": f"{ARN}/demo/*"},
    "StringEquals": {"aws:SourceAccount": ACCOUNT},
}
ROLE_OF_PEOPLE = statement(principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
OF_ONE_SERVICE_ACCOUNT = statement(
    principal={"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC"},
    action="sts:AssumeRoleWithWebIdentity",
    Condition={"StringEquals": {"oidc.eks.eu-west-1.amazonaws.com/id/ABC:sub": "system:serviceaccount:apps:web"}},
)
# As they are found in accounts, with neutral names.
DOCUMENTS: dict[str, tuple[Any, bool | None]] = {
    "the one of the first guides": (statement(), True),
    "one statement, not in a list": ({"Statement": statement()}, True),
    "of the old version, with ids": (
        {"Version": "2008-10-17", "Id": "trust", "Statement": [statement(Sid="EKSFargatePods")]}, True),
    "a condition without anything in it": (statement(Condition={}), True),
    "AWS's recommended condition": (source("ArnLike", f"{ARN}/demo/*"), True),
    "the same for each region": (source("ArnLike", f"arn:aws:eks:*:{ACCOUNT}:fargateprofile/demo/*"), True),
    "the same for each cluster": (source("ArnLike", f"{ARN}/*"), True),
    "the same for each partition and resource": (source("ArnEquals", f"arn:*:eks:*:{ACCOUNT}:*"), True),
    "several clusters, ours among them": (source("ArnLike", f"{ARN}/blue/*", f"{ARN}/demo/*"), True),
    "the key in other letters": (given_that("ArnLike", "AWS:sourceARN", f"{ARN}/demo/*"), True),
    "by StringLike, over the colons": (source("StringLike", f"arn:aws:eks:*{ACCOUNT}*/demo/*"), True),
    "for profiles with a prefix, ours has it": (source("ArnLike", f"{ARN}/demo/we*"), True),
    "only where there is a source": (source("ArnLikeIfExists", f"{ARN}/demo/*"), True),
    "several services": (statement(principal={"Service": ["ec2.amazonaws.com", FARGATE]}), True),
    "people and Fargate": (statement(principal={"AWS": f"arn:aws:iam::{OTHER}:root", **SERVICE}), True),
    "shared with nodes, a statement each": (
        {"Statement": [statement(principal={"Service": "ec2.amazonaws.com"}), statement()]}, True),
    "actions with wildcards and in other letters": (statement(action=["STS:assume*", "sts:TagSession"]), True),
    "a Deny for another account": (
        {"Statement": [statement(), given_that("StringEquals", "aws:SourceAccount", OTHER, effect="Deny")]}, True),
    "a Deny for people": ({"Statement": [statement(), statement("Deny", {"AWS": "arn:aws:iam::1:root"})]}, True),
    "nodes only": (statement(principal={"Service": "ec2.amazonaws.com"}), False),
    "the service of the cluster, not that of the pods": (statement(principal={"Service": "eks.amazonaws.com"}), False),
    "a service account only": (OF_ONE_SERVICE_ACCOUNT, False),
    "people only": (ROLE_OF_PEOPLE, False),
    "tags only": (statement(action="sts:TagSession"), False),
    "the ARN of the cluster": (source("ArnLike", f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/demo"), False),
    "another cluster": (source("ArnLike", f"{ARN}/blue/*"), False),
    "a cluster whose name begins alike": (source("ArnLike", f"{ARN}/demo-2/*"), False),
    "another region": (source("ArnLike", f"arn:aws:eks:us-east-1:{ACCOUNT}:fargateprofile/demo/*"), False),
    "another partition": (source("ArnLike", f"arn:aws-cn:eks:eu-west-1:{ACCOUNT}:fargateprofile/demo/*"), False),
    "a wildcard that is a letter": (source("StringEquals", f"{ARN}/demo/*"), False),
    "nothing behind the cluster": (source("ArnLike", f"{ARN}/demo"), False),
    "no UUID behind the profile": (source("ArnLike", f"{ARN}/demo/web"), False),
    "another profile": (source("ArnLike", f"{ARN}/demo/api/*"), False),
    "another account": (given_that("StringEquals", "aws:SourceAccount", [OTHER, "777788889999"]), False),
    "the right source, another account": (
        statement(Condition=BOTH | {"StringEquals": {"aws:SourceAccount": OTHER}}), False),
    "a template that nobody filled in": (source("ArnLike", "arn:aws:eks:region-code:111122223333:*"), False),
    "a Deny of all of it": ({"Statement": [statement(), statement("Deny", action="sts:*")]}, False),
    "a Deny for this very cluster": (
        {"Statement": [statement(), {**source("ArnLike", f"{ARN}/demo/*"), "Effect": "Deny"}]}, False),
    "everybody": (statement(principal="*"), None),
    "everybody with an account": (statement(principal={"AWS": "*"}), None),
    "all but some": ({"Effect": "Allow", "NotPrincipal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}, None),
    "all that is not an action": ({"Effect": "Allow", "Principal": SERVICE, "NotAction": "sts:TagSession"}, None),
    "a region in the service's name": (
        statement(principal={"Service": "eks-fargate-pods.eu-west-1.amazonaws.com"}), None),
    "the service in other letters": (statement(principal={"Service": FARGATE.upper()}), None),
    "source and account, both right, if the account is sent": (statement(Condition=BOTH), None),
    "our account, where it is sent": (given_that("StringEqualsIfExists", "aws:SourceAccount", ACCOUNT), True),
    "another account, where one is sent": (given_that("StringEqualsIfExists", "aws:SourceAccount", OTHER), None),
    "a Deny for our account": (
        {"Statement": [statement(), given_that("StringEquals", "aws:SourceAccount", ACCOUNT, effect="Deny")]}, None),
    "a negated operator": (source("ArnNotLike", f"{ARN}/blue/*"), None),
    "operators for several values": (source("ForAnyValue:ArnLike", f"{ARN}/blue/*"), None),
    "the question whether there is a source": (given_that("Null", "aws:SourceArn", "false"), None),
    "a policy variable": (source("ArnLike", "arn:aws:eks:*:${aws:PrincipalAccount}:fargateprofile/*"), None),
    "an organisation": (given_that("StringEquals", "aws:SourceOrgID", "o-abcdefghij"), None),
    "an ARN that is cut short": (source("ArnLike", "arn:aws:eks:*"), None),
    "an account that is no ARN": (given_that("ArnLike", "aws:SourceAccount", OTHER), None),
    "an account that is a number": (given_that("StringEquals", "aws:SourceAccount", 444455556666), None),
    "the UUID of a profile that was": (source("StringEquals", f"{ARN}/demo/web/{ONE_UUID}"), None),
    "a Deny of which nobody knows whether it applies": (
        {"Statement": [statement(), statement("Deny", Condition={"StringNotEquals": {"aws:SourceOrgID": "o-a"}})]},
        None),
    "a Deny for some UUIDs": (
        {"Statement": [statement(), {**source("ArnLike", f"{ARN}/demo/web/5*"), "Effect": "Deny"}]}, None),
    "a Deny for whom nobody knows": ({"Statement": [statement(), statement("Deny", principal="*")]}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_trust_policy_is_judged_as_iam_judges_it_and_unknown_where_that_cannot_be_said(name: str) -> None:
    document, allows = DOCUMENTS[name]
    document = document if "Statement" in document else {"Version": "2012-10-17", "Statement": [document]}
    assert judge_trust(document, CALLER).allows is allows


ODD: tuple[Any, ...] = (None, 5, [], [None], {})


@pytest.mark.parametrize(
    "document",
    [
        None,
        "%7B%22Statement%22",
        [],
        5,
        {},
        {"Statement": None},
        {"Statement": "Allow"},
        {"statement": [statement()]},
        *({"Statement": [each]} for each in ("nonsense", *ODD)),
        *({"Statement": [statement(Effect=each)]} for each in ("allow", *ODD)),
        *({"Statement": [statement(principal=each)]} for each in (FARGATE, [SERVICE], {"Team": "a"}, *ODD)),
        *({"Statement": [statement(principal={"Service": each})]} for each in ("", "eks*", *ODD)),
        *({"Statement": [statement(action=each)]} for each in ([["sts:AssumeRole"]], *ODD)),
        *({"Statement": [statement(Condition=each)]} for each in ("x", {"ArnLike": None}, {"ArnLike": {}}, *ODD[:-1])),
        *({"Statement": [given_that("ArnLike", "aws:SourceArn", each)]} for each in ("", *ODD)),
        {"Statement": [statement(), statement("Deny", condition={"StringEquals": {"aws:SourceAccount": OTHER}})]},
    ],
)
def test_a_trust_policy_that_cannot_be_read_is_no_objection(document: object) -> None:
    assert judge_trust(document, CALLER).allows is None


def test_of_a_certain_no_the_conditions_are_named_that_are_in_the_way_and_those_only() -> None:
    wrong = {"ArnLike": {"aws:SourceArn": f"{ARN}/blue/*"}, "StringEquals": {"aws:SourceAccount": [OTHER, "1"]}}
    shown = [f'ArnLike aws:SourceArn "{ARN}/blue/*"', f'StringEquals aws:SourceAccount "{OTHER}" or "1"']
    assert [*map(str, judged(ROLE_OF_PEOPLE, statement(Condition=wrong)).in_the_way)] == shown
    half = statement(Condition=BOTH | {"StringEquals": {"aws:sourceaccount": OTHER}})
    assert [*map(str, judged(half).in_the_way)] == [f'StringEquals aws:sourceaccount "{OTHER}"']
    assert judged(ROLE_OF_PEOPLE) == judged() == Trust(False)
    assert judged(statement(), statement("Deny")) == Trust(False, denied=True)
    assert judged(source("ArnLike", f"{ARN}/blue/*"), statement()) == Trust(True)


def test_what_would_do_does() -> None:
    operator, name, value = CALLER.passes.split()
    assert judged(given_that(operator, name, value.strip('"'))) == Trust(True)


def test_a_condition_in_a_message_is_short_and_has_no_unseen_letters() -> None:
    (condition,) = judged(source("StringEquals", "a\n\u202eb", *map(str, range(5000)))).in_the_way
    assert str(condition).startswith('StringEquals aws:SourceArn "a\\n\\u202eb" or "0" or ')
    assert len(str(condition)) < 600
    assert str(condition).endswith(" more")


@pytest.mark.parametrize(
    "patterns",
    [["*a" * 4096], ["*" * 8192], ["?*" * 4096], ["*?" * 150 + "b"], ["*" + "a" * 300] * 27, ["*:" * 40] * 100],
)
def test_a_hostile_trust_policy_as_large_as_iam_takes_them_is_judged_at_once(patterns: list[str]) -> None:
    assert judged(*(source("StringLike", *patterns, "x") for _ in range(3))).allows is not None
    assert judged(source("ArnLike", *(f"arn:{each}:eks:*:*:{each}" for each in patterns))).allows in (False, None, True)


parts = st.sampled_from(["*", "aws", "eks", "eu-west-1", "us-?ast-1", ACCOUNT, OTHER, "fargateprofile/demo/*", "fa?g*"])
names = st.sampled_from(["*", "web", "w?b", "api", "we*", "web*", "?"])
uuids = st.sampled_from(["", "/*", "*", f"/{ANY_UUID}", f"/{ONE_UUID}", "/5*", "/????????-*", "-*"])
resources = st.builds("fargateprofile/{}/{}{}".format, st.sampled_from(["demo", "d*", "blue", "*"]), names, uuids)
arns = st.builds("arn:{}:{}:{}:{}:{}".format, parts, parts, parts, parts, resources | parts)
close = st.builds(f"arn:aws:eks:{{}}:{ACCOUNT}:{{}}".format, st.sampled_from(["*", "eu-west-1", "eu-*"]), resources)
values = close | arns | st.sampled_from(["*", ACCOUNT, OTHER, "1*", "arn:*", "[a]*", f"{ARN}/demo/web/{ONE_UUID}"])
operators = st.sampled_from(["ArnLike", "ArnEquals", "StringLike", "StringEquals", "StringNotLike", "ArnNotLike"])
conditions = st.dictionaries(
    st.builds("{}{}".format, operators, st.sampled_from(["", "IfExists"])),
    st.dictionaries(
        st.sampled_from(["aws:SourceArn", "AWS:sourcearn", "aws:SourceAccount", "sts:ExternalId"]),
        values | st.lists(values, min_size=1, max_size=3),
        min_size=1,
        max_size=2,
    ),
    max_size=2,
)
statements = st.builds(
    statement,
    st.sampled_from(["Allow", "Allow", "Deny"]),
    st.sampled_from([SERVICE, SERVICE, {"Service": ["ec2.amazonaws.com", FARGATE]}, {"AWS": OTHER}, "*"]),
    st.sampled_from(["sts:AssumeRole", "STS:Assume*", "*", "sts:?ssumeRole", ["sts:TagSession"], "sts:[A]*"]),
    Condition=conditions,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(statements, min_size=1, max_size=3), st.lists(st.uuids(), min_size=2, max_size=4))
def test_what_is_judged_for_sure_holds_whatever_uuid_the_profile_gets(several: list[Any], made: list[UUID]) -> None:
    document = {"Statement": several}
    trusted = {trusts_fargate(json.dumps(document), f"{CALLER.source}{uuid}") for uuid in [*made, ONE_UUID]}
    allows = judge_trust(document, CALLER).allows
    assert allows is None or trusted == {allows}


# Tokens


@pytest.mark.parametrize(
    ("token", "issuer"),
    [
        (token_by("https://a/id/B"), "https://a/id/B"),
        (token_by("x"), "x"),
        ("", ""),
        ("t", ""),
        ("a.b", ""),
        ("a.W10.c", ""),  # []
        ("a.eyJpc3MiOjF9.c", ""),  # {"iss":1}
        ("a.e30.c", ""),  # {}
        ("a.\u00e9.c", ""),
        ("a." + "W" * 9999 + ".c", ""),
    ],
)
def test_a_token_s_issuer_is_read_and_what_is_no_token_has_none(token: str, issuer: str) -> None:
    assert issuer_of(token) == issuer
