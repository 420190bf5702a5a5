"""The command export: what EKS has in one cluster, as manifests.

The picture: the view of a cluster -> an object a profile, or a comment that says why there is none; `portable`, without
what holds in one account or VPC alone: the role by its name, subnets by tags that no other subnet of the VPC has.

Reads AWS and changes nothing. What it is not: how a manifest is written (overlaps), or a decision about objects (plan).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aws import Profile
from clusters import View, whole_view
from kube import Key, Object
from overlaps import free_name, manifest, unfit, written
from patterns import counted, listed, readable
from sites import There
from spec import TERM_KEY, TERM_TAGS, TERM_VALUE, owner_of, tagged
from surroundings import Network


class Export(NamedTuple):
    """What the command prints: its exit code, and what goes to standard output and to standard error."""

    code: int
    out: list[str]
    err: list[str]


def export(there: There, namespace: str, *, everything: bool, portable: bool) -> Export:
    """Print a manifest for each profile without an owner, or for every one, and a comment for what can't be one.

    Raises `AwsError` where there is no such cluster, or it can't be looked at.
    """
    site, home = there.site, there.home
    view = whole_view(site.aws, home.cluster)
    if not view.found:
        raise there.missing
    where = f"EKS cluster {home.cluster} in {home.region} of account {home.account}"
    objects, left_out = as_objects(view, home.shown, namespace, everything=everything)
    kind = "profile" if everything else "ownerless profile"
    said = [f"{counted(len(objects), kind)} of {where}.", *left_out]
    documents = [line for _, obj in objects for line in document(obj)]
    if portable:
        network = site.known.network(home.cluster)
        documents = [line for each in objects for line in document(*made_portable(*each, network))]
    return Export(1 if left_out else 0, [*(f"# {line}" for line in said), *documents], said)


def document(obj: Object, comment: str = "") -> list[str]:
    return ["---", *([f"# {comment}"] if comment else []), written(obj)]


def as_objects(
    view: View, cluster: str, namespace: str, *, everything: bool
) -> tuple[list[tuple[Profile, Object]], list[str]]:
    """Return each profile with the object that can stand for it, and why others are left out."""
    objects: dict[Key, tuple[Profile, Object]] = {}
    left_out: list[str] = []
    for profile in sorted(view.profiles.values(), key=lambda each: each.name):
        if everything or not tagged(profile):
            key = owner_of(profile) or free_name(profile.name, namespace, view)
            obj = manifest(cluster, profile, key)
            if why := "its owner has another, which is here" if key in objects else unfit(profile, obj):
                left_out.append(f"Profile {profile.name} is left out: {' '.join(why.split())}.")
            else:
                objects[key] = profile, obj
    left_out += [
        f"Profile {name} is left out: EKS does not show it: {view.hidden[name]}" for name in sorted(view.hidden)
    ]
    return [*objects.values()], left_out


# Without what holds in one account or VPC alone


def made_portable(profile: Profile, obj: Object, network: Network) -> tuple[Object, str]:
    """Return an object with its role by name and its subnets by tags; and why subnets are ids all the same, or ""."""
    names = {"podExecutionRoleArn": "podExecutionRoleName", "subnets": "subnetSelectorTerms"}
    changed: Object = {"podExecutionRoleArn": profile.role.rpartition("/")[2]}
    tags, why = telling_tags(profile.subnets, network)
    if tags:
        changed["subnets"] = [{"tags": tags}]
    spec = {names[key] if key in changed else key: changed.get(key, value) for key, value in obj["spec"].items()}
    return {**obj, "spec": spec}, f"Profile {profile.name}: subnets are given by their ids: {why}." if why else ""


def telling_tags(subnets: frozenset[str], network: Network) -> tuple[Mapping[str, str], str]:
    """Return tags that these subnets have and no other of the VPC, as few as will do; or why there are none."""
    if not subnets:
        return {}, ""
    if network.subnets is None:
        return {}, unread(network)
    if strange := sorted(subnets - network.subnets.keys()):
        return {}, f"{listed(strange)} not among the subnets of {network.vpc}"
    inside = [usable(network.subnets[each].tags) for each in sorted(subnets)]
    common = set.intersection(*inside)
    others = {each: usable(fact.tags) for each, fact in network.subnets.items() if each not in subnets}
    also = sorted(each for each, tags in others.items() if common <= tags)
    if not common:
        return {}, "they have no tag in common"
    if also:
        return {}, f"{listed(also)} has all the tags that they have in common"
    chosen = fewest(common, others.values())
    if len(chosen) > TERM_TAGS:
        return {}, f"it takes {len(chosen)} tags to tell them from others, and a term has at most {TERM_TAGS}"
    return dict(sorted(chosen)), ""


def unread(network: Network) -> str:
    if network.error:
        return f"the subnets of the VPC can't be read ({readable(str(network.error)).rstrip('. ')})"
    return "the subnets of the VPC may not be read (eks:DescribeCluster, ec2:DescribeSubnets)"


def usable(tags: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return the tags by which a term may choose: AWS's own are made anew elsewhere, and the value * would be any."""
    return {
        (key, value)
        for key, value in tags.items()
        if not key.lower().startswith("aws:") and value != "*"
        and 0 < len(key) <= TERM_KEY and 0 < len(value) <= TERM_VALUE
    }  # fmt: skip


def fewest(common: set[tuple[str, str]], others: Iterable[set[tuple[str, str]]]) -> set[tuple[str, str]]:
    """Return as few tags as tell from the others; what names one cluster or one thing is done without first."""
    rest, strangers = set(common), [*others]
    for tag in sorted(common, key=lambda each: (not names_one(each[0]), each)):
        without = rest - {tag}
        if without and not any(without <= each for each in strangers):
            rest = without
    return rest


def names_one(key: str) -> bool:
    return key == "Name" or re.search("(^|[/.:])cluster", key) is not None
