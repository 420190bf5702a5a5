"""How Kubernetes wants things on the wire: a change of an object, a time, the name of an event.

What it is not: a request, which is kube's.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]


def difference(old: Object, new: Object) -> Object:
    """Return the JSON merge patch (RFC 7386) that makes `old` into `new`."""
    patch: Object = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            patch |= {key: nested} if (nested := difference(old[key], value)) else {}
        elif key not in old or old[key] != value:
            patch[key] = value
    return patch


def micro_time(now: datetime) -> str:
    """Return a time as Lease and Event want it: always six decimals, or HTTP 400."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def event_name(name: str, now: datetime) -> str:
    """Return the start of an event's name, as client-go forms it: name and time, so that events list in their order.

    `kubectl describe` sorts by a timestamp that events.k8s.io forbids to set, and so leaves them as they are listed.
    """
    # A cut in front of "-" or "." would leave a name that is refused.
    return f"{name[:40].rstrip('-.')}.{int(now.timestamp() * 1e6):x}-"
