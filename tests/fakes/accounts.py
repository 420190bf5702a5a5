"""Several AWS accounts and regions behind one endpoint: whose a request is, and who may become whom.

    access key, region --> Places.of --> the Behaviour that this account keeps in this region
    sts:AssumeRole      --> Sts.assume --> keys of the role's account, or STS's refusal

It is no stand-in itself: it knows no protocol, no boto3 and no moto. What a trust policy says stands in the account.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from tests.fakes.eks_rules import ACCOUNT, Refusal, conditions_hold, is_like, listed

B = TypeVar("B")
Place = tuple[str, str]  # account and region
# How each service says that the key of a request has ended.
ENDED = {
    "eks": ("ExpiredTokenException", 403, "The security token included in the request is expired"),
    "ec2": ("RequestExpired", 400, "Request has expired."),
    "": ("ExpiredToken", 403, "The security token included in the request is expired"),
}


class Places(Generic[B]):
    """What an account keeps in a region. What belongs to no known place is its account's first, or else the home's.

    IAM has no region: its requests are signed for one where the account may have nothing.
    """

    def __init__(self, home: B) -> None:
        self.home, self._known = home, dict[Place, B]()

    def add(self, place: Place, behaviour: B) -> None:
        self._known[place] = behaviour

    def known(self, place: Place) -> bool:
        return place in self._known

    def of(self, place: Place) -> B:
        in_account = (each for (account, _), each in self._known.items() if account == place[0])
        return self._known.get(place) or next(in_account, self.home)


@dataclass(frozen=True)
class Wish:
    """A request for a role's keys: by whom, "arn:aws:sts::ACCOUNT:user/NAME" or ":assumed-role/NAME/SESSION"."""

    caller: str
    role: str
    external_id: str = ""

    @property
    def account(self) -> str:
        return self.caller.split(":")[4]

    @property
    def principal(self) -> str:
        """The caller as a trust policy names it: of an assumed role the role."""
        kind, *names = self.caller.split(":", 5)[5].split("/")
        named = f"role/{names[0]}" if kind == "assumed-role" else "/".join([kind, *names])
        return f"arn:aws:iam::{self.account}:{named}"


@dataclass
class Sts:
    """How STS behaves in a test; one for all places.

    `slow` are seconds by role until it answers. `may_assume` are patterns of the roles that the policies of whoever
    asks let them assume. Keys live for `life_seconds` at most; `revoked` are roles whose keys no service takes.
    """

    slow: dict[str, float] = field(default_factory=dict)
    may_assume: tuple[str, ...] = ("*",)
    life_seconds: float = 3600.0
    revoked: set[str] = field(default_factory=set)
    given: dict[str, tuple[str, float]] = field(default_factory=dict)  # by access key: the role, and when it ends

    def judge(self, wish: Wish, trust_policy: Callable[[str], str | None]) -> None:
        """Raise STS's refusal unless the role is there, its trust policy and the caller's own let the caller in.

        Of a role that is not there STS says the same, so that nobody learns which there are.
        """
        document = trust_policy(wish.role)
        allowed = any(is_like(wish.role, each) for each in self.may_assume)
        if not (allowed and document and _lets_in(document, wish)):
            text = f"User: {wish.caller} is not authorized to perform: sts:AssumeRole on resource: {wish.role}"
            raise Refusal("AccessDenied", 403, text)

    def give(self, key: str, role: str, now: float, seconds: float) -> float:
        """Note who got a key; return when it ends."""
        ends = now + min(seconds, self.life_seconds)
        self.given[key] = role, ends
        return ends

    def check(self, key: str, service: str, now: float) -> None:
        """Raise the service's refusal of a key that has ended."""
        role, ends = self.given.get(key, ("", now + 1))
        if now >= ends or role in self.revoked:
            raise Refusal(*ENDED.get(service, ENDED[""]))


def _lets_in(document: str, wish: Wish) -> bool:
    statements = listed(json.loads(document)["Statement"])
    return {each["Effect"] for each in statements if _applies(each, wish)} == {"Allow"}


def _applies(statement: dict[str, Any], wish: Wish) -> bool:
    principal = statement.get("Principal", {})
    named = [principal] if principal == "*" else listed(principal.get("AWS", []))
    whole = {"*", wish.account, f"arn:aws:iam::{wish.account}:root", wish.principal, wish.caller}
    actions = [action.lower() for action in listed(statement.get("Action", []))]
    given = {"aws:principalarn": wish.principal, "aws:principalaccount": wish.account}
    given |= {"sts:externalid": wish.external_id} if wish.external_id else {}
    is_meant = not whole.isdisjoint(named) and any(is_like("sts:assumerole", action) for action in actions)
    return is_meant and conditions_hold(statement, given)


def trust_of(account: str = ACCOUNT, external_id: str = "") -> str:
    """Return a trust policy that lets in whom an account lets in, by an external id if one is given."""
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "sts:AssumeRole",
    }
    if external_id:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
