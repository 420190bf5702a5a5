"""What a default means for an object that says nothing of it, told without the product's own code; and when a profile
that serves may be replaced.

    spec + defaults of now -> `completed`: what would be made of them now
    `Born`: by which spec a profile was made, and when that was decided

A default is read when a profile is made. One that changes is told of, and is no edit: an edit, or a look that is asked
for, takes it up. Tags are followed at once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spec import REQUESTED_AT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spec import Defaults

Object = dict[str, Any]
ROLES = ("podExecutionRoleArn", "podExecutionRoleName")
SUBNETS = ("subnets", "subnetSelectorTerms")


def says(spec: Object, fields: tuple[str, ...]) -> bool:
    return any(spec.get(each) for each in fields)


def says_all(spec: Object) -> bool:
    """Say whether no default but one of tags is of any meaning for a spec."""
    return says(spec, ROLES) and says(spec, SUBNETS)


def with_role(spec: Object, defaults: Defaults) -> Object:
    """Return what a profile has to be like that is taken over: of the defaults the role alone counts then."""
    if says(spec, ROLES) or not defaults.role:
        return spec
    by_arn, by_name = ROLES
    return spec | {by_arn if defaults.role.startswith("arn:") else by_name: defaults.role}


def completed(spec: Object, defaults: Defaults) -> Object:
    """Return what a profile would be made by: the object's own fields and tags win."""
    filled = with_role(spec, defaults)
    if not says(spec, SUBNETS) and defaults.terms:
        terms = [{"id": each.id} if each.id else {"tags": dict(each.tags)} for each in defaults.terms]
        filled = filled | {"subnetSelectorTerms": terms}
    return filled | {"tags": {**defaults.tags, **spec.get("tags", {})}}


def fields_of(spec: Object) -> Object:
    """Return what EKS can't change of a profile, as an object says it, alike for alike meaning."""
    return {
        "role": [spec.get(each) or "" for each in ROLES],
        "selectors": Counter(str(sorted(each.items(), key=str)) for each in spec["selectors"]).keys(),
        "subnets": {*(spec.get("subnets") or ())},
        "terms": spec.get("subnetSelectorTerms") or [],
    }


@dataclass(frozen=True)
class Born:
    """How a profile came to be: by which fields of its object and which defaults, in a pass that began at `began`."""

    fields: Object
    defaults: Defaults
    began: float

    def is_of(self, spec: Object) -> bool:
        return self.fields == fields_of(spec)

    def is_by(self, defaults: Defaults, changed_at: float) -> bool:
        """Say whether it was made by these, and no others were there since."""
        return changed_at < self.began and (self.defaults.role, self.defaults.terms) == (defaults.role, defaults.terms)

    def has_strayed(self, subnets: list[str], lost_at: Mapping[str, float]) -> bool:
        """Say whether one of its subnets has lost a tag since, though it may have it again."""
        return any(lost_at.get(each, self.began - 1) >= self.began for each in subnets)


def asked_of(obj: Object) -> tuple[int, str]:
    """Return what an object asks for that takes up the defaults of now: its edit, and its look."""
    meta = obj["metadata"]
    return meta["generation"], (meta.get("annotations") or {}).get(REQUESTED_AT, "")


def settled_of(obj: Object) -> tuple[int, str] | None:
    """Return of which edit and look an object says that it is served as it asks, None for of none."""
    status = obj.get("status") or {}
    ready: Object = next((each for each in status.get("conditions") or [] if each["type"] == "Ready"), {})
    is_open = "decidedGeneration" in (status.get("bookkeeping") or {})  # it was looked at, and could not be seen
    if ready.get("reason") != "Active" or ready.get("status") != "True" or is_open:
        return None
    return ready["observedGeneration"], status.get("lastHandledReconcileAt", "")
