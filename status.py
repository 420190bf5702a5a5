"""What the user sees of an object: its conditions by the kstatus conventions, and its status.

The picture: what a pass has to report, `Memory` and what EKS shows of the profile -> conditions -> the whole status.

Pure: no clock, no call, no log. What it is not: the write, which is reconcile's; an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from aws import (
    Profile,
)
from kube import Object
from plan import Phase, Stay
from spec import BOOKKEEPING, Identity, Memory, _mapping, second

# What the user sees.


def conditions(old: Sequence[Object], who: Identity, said: Stay, overlap: str, now: datetime) -> list[Object]:
    """Return the conditions by the kstatus conventions; those of other writers stay."""
    before = {each["type"]: each for each in old}

    def condition(kind: str, status: str, reason: str = said.reason, message: str = said.message) -> Object:
        was = before.get(kind, {})
        # A note that came with a change is still true while EKS is at work on it.
        noted = was.get("reason") == reason and reason in ON_THE_WAY and was["message"].startswith(message)
        return {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": was["message"] if noted else message,
            "observedGeneration": who.generation,
            "lastTransitionTime": was["lastTransitionTime"] if was.get("status") == status else second(now),
        }

    was_ready = _current(before.get("Ready"), who) and not who.deleting
    # A look that failed does not unsay what the last look showed.
    ready = before["Ready"] if said.retry and was_ready else condition("Ready", str(said.phase is Phase.READY))
    extra = [condition(said.phase.value, "True")] if said.phase in {Phase.RECONCILING, Phase.STALLED} else []
    extra += [condition("Overlapping", "True", "SelectorsOverlap", overlap)] if overlap else []
    return [ready, *extra, *(each for each in old if each["type"] not in OURS)]


OURS = {"Ready", "Reconciling", "Stalled", "Overlapping"}
ON_THE_WAY = {"Creating", "Deleting", "Replacing"}


def _found(kind: str, listed: Sequence[Object]) -> Object:
    return next((each for each in listed if each["type"] == kind), {})


def _current(condition: Object | None, who: Identity) -> bool:
    return bool(condition and condition["status"] == "True" and condition.get("observedGeneration") == who.generation)


def render_status(who: Identity, memory: Memory, shown: Object, listed: list[Object]) -> Object:
    """Return the whole status; `shown` is what EKS shows of the profile."""
    book = memory.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=BOOKKEEPING)
    status = {
        "observedGeneration": who.generation,
        "conditions": listed,
        "lastHandledReconcileAt": memory.last_handled_reconcile_at,
        "clusterName": who.cluster,
        "profileName": memory.profile_name,
        "profileArn": memory.profile_arn,
        "clusterArn": memory.cluster_arn,
        **shown,
        "bookkeeping": book,
    }
    return {key: value for key, value in status.items() if value not in ("", [], {}, None)}


SHOWN = ("profileStatus", "createdAt", "health")
STATUSES = ("CREATING", "ACTIVE", "DELETING", "CREATE_FAILED", "DELETE_FAILED")


def shown_of(profile: Profile | None) -> Object:
    """Return what status shows of a profile, in EKS's own words."""
    if not profile:
        return {}
    health = [
        {"code": each.code, "message": each.message, "resourceIds": [*each.resource_ids]} for each in profile.health
    ]
    return {"profileStatus": profile.status, "createdAt": second(profile.created_at), "health": health}


def phase_of(obj: Object) -> tuple[Phase, datetime]:
    """Return the phase that an object's status shows, and since when; one not looked at yet is on its way."""
    listed = _mapping(obj.get("status")).get("conditions") or []
    since = {each["type"]: each["lastTransitionTime"] for each in listed if each["status"] == "True"}
    unnamed = Phase.IDLE if listed else Phase.RECONCILING
    phase = next((each for each in (Phase.STALLED, Phase.RECONCILING, Phase.READY) if each.value in since), unnamed)
    return phase, datetime.fromisoformat(since.get(phase.value, obj["metadata"]["creationTimestamp"]))
