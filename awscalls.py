"""The calls of AWS that this program makes, and botocore's descriptions of AWS cut to them.

botocore describes each service whole: EC2's client takes 11 MiB with its 700 calls, and 6 with the three that are made
here. Whoever adds a call that is not among `CALLS` finds it missing at once. What it is not: a client.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]

# The calls of aws.py, those by which doctor asks it for more, and those by which botocore fetches credentials for it.
# (A profile of `aws login` would need signin too, and before that a package that nothing here brings: it says so.)
CALLS: Mapping[str, frozenset[str]] = {
    "eks": frozenset({
        "CreateFargateProfile", "DeleteFargateProfile", "DescribeAccessEntry", "DescribeCluster",
        "DescribeFargateProfile", "ListFargateProfiles", "TagResource", "UntagResource",
    }),
    "ec2": frozenset({"DescribeRouteTables", "DescribeSubnets", "DescribeVpcAttribute"}),
    "iam": frozenset({
        "GetPolicy", "GetPolicyVersion", "GetRole", "GetRolePolicy", "ListAttachedRolePolicies", "ListRolePolicies",
    }),
    "service-quotas": frozenset({"GetAWSDefaultServiceQuota", "GetServiceQuota"}),
    "sts": frozenset({"AssumeRole", "AssumeRoleWithWebIdentity", "GetCallerIdentity"}),
    "sso": frozenset({"GetRoleCredentials"}),
    "sso-oidc": frozenset({"CreateToken"}),
}  # fmt: skip
# By which names botocore knows where these services are.
PLACES = frozenset({"ec2", "eks", "iam", "oidc", "portal.sso", "servicequotas", "sts"})


def cut_file(path: str, read: Json) -> Json:
    """Return what is needed of what botocore has in a file of that path: of a model, of where services are, or all."""
    file = Path(path)
    service, kind = file.parents[1].name, file.name.partition(".")[0]
    if kind == "endpoints":
        return cut_endpoints(read)
    return cut(read, service) if service in CALLS and "operations" in read else read


def cut(model: Json, service: str) -> Json:
    """Return a model with the calls that are made of this service, and all that they reach."""
    known = model["operations"]
    operations = {name: _without_documentation(known[name]) for name in sorted(CALLS[service] & known.keys())}
    shapes: Json = {}
    for name in _reached(operations):
        _keep(name, model["shapes"], shapes)
    return {**model, "operations": operations, "shapes": dict(sorted(shapes.items()))}


def cut_endpoints(endpoints: Json) -> Json:
    """Return where services are, of those services alone."""
    partitions = [
        {**each, "services": {name: at for name, at in each["services"].items() if name in PLACES}}
        for each in endpoints["partitions"]
    ]
    return {**endpoints, "partitions": partitions}


def _keep(name: str, known: Json, kept: Json) -> None:
    """Add a shape and all that it reaches."""
    ahead = [name]
    while ahead:
        if (each := ahead.pop()) not in kept:
            kept[each] = _without_documentation(known[each])
            ahead += _reached(kept[each])


def _reached(part: Any) -> Iterator[str]:
    """Yield the names of the shapes that a part of a model refers to."""
    if isinstance(part, list):
        for each in part:
            yield from _reached(each)
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "shape" and isinstance(value, str):
                yield value
            else:
                yield from _reached(value)


def _without_documentation(part: Any) -> Any:
    """Return a part of a model without its prose, which nobody reads here."""
    if isinstance(part, list):
        return [_without_documentation(each) for each in part]
    if not isinstance(part, dict):
        return part
    prose = {key for key in ("documentation", "documentationUrl") if isinstance(part.get(key), str)}
    return {key: _without_documentation(value) for key, value in part.items() if key not in prose}
