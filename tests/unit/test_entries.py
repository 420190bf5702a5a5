"""Which cluster an object gets by what it names, and what it is told of those that are for others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from entries import Barred, Entries, Entry
from spec import Defaults

ROLE, OTHER_ROLE = (f"arn:aws:iam::{account}:role/operator" for account in ("111122223333", "444455556666"))
OWN = "999900001111"
EU = Entry("prod-eu", "prod", "eu-west-1", ROLE, "4711", ("team-a", "team-b-*"), line=2)
US = Entry("prod-us", "prod", "us-east-1", ROLE, "4711", line=5)
ALIAS = replace(EU, name="old-prod", namespaces=("team-c",), line=8, defaults=Defaults("pods"))
LISTED = Entries("eu-west-1", "demo", (EU, US, ALIAS), Defaults("flag-role"))


def arn(cluster: str, region: str = "eu-west-1", account: str = "111122223333") -> str:
    return f"arn:aws:eks:{region}:{account}:cluster/{cluster}"


def found(entries: Entries, namespace: str, name: str, recorded: str = "") -> Entry:
    entry = entries.find(namespace, name, recorded)
    assert isinstance(entry, Entry)
    return entry


def barred(entries: Entries, namespace: str, name: str, recorded: str = "") -> Barred:
    entry = entries.find(namespace, name, recorded)
    assert isinstance(entry, Barred)
    return entry


def test_without_a_file_an_object_may_name_any_cluster_of_the_operator_s_account_and_region() -> None:
    entries = Entries("eu-west-1", "demo", defaults=Defaults("role"))
    for name in ("demo", "any"):
        assert found(entries, "team-a", name) == Entry(name, name, "eu-west-1", defaults=Defaults("role"))
    assert found(entries, "team-a", "").name == "demo"
    assert found(entries, "team-a", "", arn("shop", "us-east-1")).name == "shop", "WrongHome is judged elsewhere"


def test_with_a_file_an_object_gets_what_the_entry_of_its_name_says() -> None:
    assert found(LISTED, "team-a", "prod-eu") == EU
    assert found(LISTED, "team-b-7", "prod-eu") == EU
    assert found(LISTED, "whoever", "prod-us") == US


def test_the_home_stays_that_of_objects_that_name_none_or_it() -> None:
    home = Entry("demo", "demo", "eu-west-1", defaults=Defaults("flag-role"))
    assert found(LISTED, "team-a", "") == found(LISTED, "team-a", "demo") == home


def test_an_entry_with_the_name_of_the_home_says_how_the_home_is_reached_and_who_may_name_it() -> None:
    home = Entry("demo", "demo", "eu-west-1", ROLE, namespaces=("team-a",), line=2)
    entries = Entries("eu-west-1", "demo", (home,), Defaults("flag-role"))
    assert found(entries, "team-a", "") == home, "and the flags' defaults are not for it"
    assert barred(entries, "team-b", "").reason == "ClusterNotAllowed"


def test_who_asks_for_the_cluster_of_others_is_told_the_same_as_who_asks_for_none_that_exists() -> None:
    hidden, none = barred(LISTED, "team-x", "prod-eu"), barred(LISTED, "team-x", "nothing")
    assert hidden.reason == none.reason == "ClusterNotAllowed"
    assert hidden.message.replace("prod-eu", "nothing") == none.message
    assert none.message == (
        "spec.clusterName: nothing is no cluster that objects of namespace team-x may name: ask those who "
        "run the operator to let the namespace name it (--clusters-file), or make a new object that names another."
    )


@pytest.mark.parametrize("name", ["prod", "PROD-EU", "prod-eu ", "prod-*", "*", "arn:aws:eks:eu-west-1:1:cluster/prod"])
def test_no_other_word_than_an_entry_s_name_reaches_its_cluster(name: str) -> None:
    assert barred(LISTED, "team-a", name).reason == "ClusterNotAllowed"


@pytest.mark.parametrize("namespace", ["team-b", "team-a-x", "xteam-a", "TEAM-A", ""])
def test_no_other_namespace_than_those_listed_reaches_a_cluster(namespace: str) -> None:
    assert barred(LISTED, namespace, "prod-eu").reason == "ClusterNotAllowed"


def test_aliases_are_one_cluster_with_the_first_name_of_the_file_and_each_its_own_rules() -> None:
    alias = found(LISTED, "team-c", "old-prod")
    assert (alias.key, alias.name) == (EU.key, "prod-eu")
    assert alias.defaults == Defaults("pods")
    assert barred(LISTED, "team-a", "old-prod").reason == "ClusterNotAllowed", "by that name it is for team-c"


def test_a_home_that_no_entry_lists_keeps_its_name_beside_an_alias_of_it() -> None:
    entries = Entries("eu-west-1", "demo", (Entry("eu", "demo", "eu-west-1"),))
    assert {found(entries, "a", name).name for name in ("", "demo", "eu")} == {"demo"}


def test_without_a_home_an_object_has_to_name_its_cluster() -> None:
    entries = replace(LISTED, home="")
    assert barred(entries, "team-a", "")[:2] == (
        "InvalidSpec",
        "spec.clusterName is missing: give the name of an EKS cluster; it can be left out only where the operator has "
        "--cluster-name.",
    )
    assert found(entries, "team-a", "prod-eu") == EU
    assert found(entries, "team-a", "", arn("prod")) == EU


@pytest.mark.parametrize(
    ("namespace", "recorded", "name"),
    [
        ("team-a", arn("prod"), "prod-eu"),
        ("team-c", arn("prod"), "prod-eu"),
        ("team-x", arn("prod"), ""),
        ("team-a", arn("prod", "us-east-1"), "prod-us"),
        ("team-a", arn("prod", account="444455556666"), ""),
        ("team-a", arn("prod", "eu-central-1"), ""),
        ("team-a", arn("other"), ""),
        ("team-a", arn("demo", account=OWN), "demo"),
    ],
)
def test_a_name_that_can_t_be_read_stands_for_the_cluster_in_which_the_profile_was_made(
    namespace: str, recorded: str, name: str
) -> None:
    entry = LISTED.find(namespace, "", recorded)
    assert (entry.name if isinstance(entry, Entry) else "") == name


def test_of_two_clusters_of_a_name_and_region_the_recorded_account_tells_which_it_is() -> None:
    own, theirs = Entry("a", "prod", "eu-west-1"), Entry("b", "prod", "eu-west-1", OTHER_ROLE)
    for listed in ((own, theirs), (theirs, own)):
        entries = Entries("eu-west-1", "", listed)
        assert found(entries, "x", "", arn("prod", account="444455556666")) == theirs
        assert found(entries, "x", "", arn("prod", account=OWN)) == own


def test_only_what_is_listed_by_name_counts_as_listed() -> None:
    assert EU.lists("team-a")
    assert not EU.lists("team-b-7")
    assert not US.lists("team-a")
    assert not found(LISTED, "team-a", "demo").lists("team-a")


def test_the_account_is_read_from_the_role() -> None:
    assert (EU.place, EU.key) == (("111122223333", "eu-west-1"), "111122223333/eu-west-1/prod")
    assert found(LISTED, "a", "demo").key == "/eu-west-1/demo"


def test_each_cluster_is_named_once_as_it_is_shown() -> None:
    assert [each.name for each in LISTED.each] == ["demo", "prod-eu", "prod-us"]
    assert LISTED.named("old-prod") == replace(ALIAS, name="prod-eu")
    assert LISTED.named("nothing") is None
    assert Entries("eu-west-1", "demo").each == (Entry("demo", "demo", "eu-west-1"),)


# What only the operator's own account tells


def contradictions(entries: Entries, account: str) -> dict[str, str]:
    """Say, by the names of entries, what can't be so where the operator's own credentials are of an account."""
    return {each.entry.name: str(each) for each in entries.contradict(account)}


def test_a_role_of_the_own_account_beside_the_own_credentials_for_one_cluster_is_found_once_the_account_is_known() -> (
    None
):
    entries = Entries(
        "eu-west-1", "", (Entry("a", "prod", "eu-west-1", line=2), replace(EU, namespaces=("*",), line=3))
    )
    assert contradictions(entries, OWN) == {}
    assert contradictions(entries, "111122223333") == {
        "prod-eu": f"prod-eu in line 3 of the clusters file: roleArn: {ROLE} for the same EKS cluster as entry a "
        "(line 2), which has the operator's own credentials: give all entries of one EKS cluster the same roleArn "
        "and externalId"
    }
    elsewhere = Entries("eu-west-1", "", (Entry("a", "prod", "eu-west-2"), EU, Entry("b", "shop", "eu-west-1")))
    assert contradictions(elsewhere, "111122223333") == {}, "other regions, other clusters"


def test_an_alias_of_the_home_with_a_role_contradicts_the_home_s_own_credentials() -> None:
    entries = Entries("eu-west-1", "prod", (EU,))
    assert contradictions(entries, OWN) == {}
    assert (
        "as entry prod, which has the operator's own credentials" in contradictions(entries, "111122223333")["prod-eu"]
    )


def test_an_entry_named_as_the_home_must_be_of_the_own_account() -> None:
    entries = Entries("eu-west-1", "prod", (replace(EU, name="prod"),))
    assert contradictions(entries, "111122223333") == {}
    assert contradictions(entries, OWN) == {
        "prod": f"prod in line 2 of the clusters file: roleArn: {ROLE}, and this is the name of --cluster-name, which "
        "is of account 999900001111: give the entry another name"
    }


# By what objects were judged


def test_what_is_said_of_a_cluster_makes_another_digest_and_where_it_stands_does_not() -> None:
    assert LISTED.digest == replace(LISTED, listed=(replace(EU, line=7), US, ALIAS)).digest
    others = [
        replace(LISTED, listed=(EU, US)),
        replace(LISTED, listed=(US, EU, ALIAS)),
        replace(LISTED, home=""),
        replace(LISTED, defaults=Defaults()),
        replace(LISTED, listed=(replace(EU, namespaces=("team-a",)), US, ALIAS)),
        replace(LISTED, listed=(EU, US, replace(ALIAS, defaults=Defaults(tags={"a": "b"})))),
        replace(LISTED, listed=None),
        replace(LISTED, listed=()),
    ]
    assert len({each.digest for each in [LISTED, *others]}) == 9
