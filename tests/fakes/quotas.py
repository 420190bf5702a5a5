"""What moto lacks of Service Quotas: the quotas of EKS and Fargate, those that an account has and AWS's defaults.

An account has a value of its own only where AWS has set one; of the others it is told of none, and the default counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from moto.core.exceptions import JsonRESTError
from moto.servicequotas.models import ServiceQuotasBackend
from moto.servicequotas.responses import ServiceQuotasResponse

Key = tuple[str, str]  # the codes of service and quota
DEFAULTS: dict[Key, tuple[str, float]] = {
    ("eks", "L-33415657"): ("Fargate profiles per cluster", 10.0),
    ("eks", "L-D78D8AF8"): ("Selectors per Fargate profile", 5.0),
    ("eks", "L-23414FF3"): ("Label pairs per Fargate profile selector", 5.0),
    ("fargate", "L-3032A538"): ("Fargate On-Demand vCPU resource count", 6.0),
}


class Quotas:
    """The quotas of an account; `applied` are the values that it has, by service and quota."""

    def __init__(self) -> None:
        self.applied: dict[Key, float] = {("fargate", "L-3032A538"): 6.0}

    def answer(self, service: str, code: str, *, default: bool) -> dict[str, Any]:
        """Return a quota as AWS answers it."""
        key = service, code
        if key not in DEFAULTS or (not default and key not in self.applied):
            raise JsonRESTError("NoSuchResourceException", "The specified resource does not exist.")
        name, usual = DEFAULTS[key]
        return {
            "ServiceCode": service,
            "QuotaArn": f"arn:aws:servicequotas:us-east-1:123456789012:{service}/{code}",
            "QuotaCode": code,
            "QuotaName": name,
            "Value": usual if default else self.applied[key],
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }


@contextmanager
def installed(of: Callable[[tuple[str, str]], Quotas]) -> Iterator[None]:
    """Let moto answer with the quotas that an account has in a region."""

    def applied(backend: Any, service_code: str, quota_code: str) -> dict[str, Any]:
        return of((backend.account_id, backend.region_name)).answer(service_code, quota_code, default=False)

    def default(response: Any) -> str:
        asked, place = json.loads(response.body), (response.current_account, response.region)
        return json.dumps({"Quota": of(place).answer(asked["ServiceCode"], asked["QuotaCode"], default=True)})

    with (
        patch.object(ServiceQuotasBackend, "get_service_quota", applied),
        patch.object(ServiceQuotasResponse, "get_aws_default_service_quota", default, create=True),
    ):
        yield
