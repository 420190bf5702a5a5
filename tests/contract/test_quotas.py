"""The stand-in for Service Quotas answers in the shapes of the API's own model, and refuses as AWS does."""

from __future__ import annotations

from collections.abc import Iterator

import botocore.session
import pytest
from botocore import xform_name
from botocore.validate import ParamValidator

from aws import QUOTAS, Aws
from tests.fakes import aws as fake_aws
from tests.fakes.aws import World
from tests.fakes.quotas import DEFAULTS

OPERATIONS = ("GetServiceQuota", "GetAWSDefaultServiceQuota")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with fake_aws.over_http() as made:
        made.manners.quotas.applied = dict.fromkeys(DEFAULTS, 7.0)
        yield made


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("key", DEFAULTS, ids="-".join)
def test_a_quota_has_the_shape_of_the_model(world: World, operation: str, key: tuple[str, str]) -> None:
    model = botocore.session.get_session().get_service_model(QUOTAS).operation_model(operation)
    answer = getattr(world.client(QUOTAS), xform_name(operation))(ServiceCode=key[0], QuotaCode=key[1])
    del answer["ResponseMetadata"]
    assert answer["Quota"].keys() <= model.output_shape.members["Quota"].members.keys()
    assert not ParamValidator().validate(answer, model.output_shape).has_errors()
    assert answer["Quota"]["Value"] == (7.0 if operation == OPERATIONS[0] else DEFAULTS[key][1])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_quota_that_there_is_not_is_none_of_a_refusal(world: World, operation: str) -> None:
    edge = Aws({QUOTAS: world.client(QUOTAS), **dict.fromkeys(("eks", "ec2", "iam", "sts"))}, world.region)
    asked = {"ServiceCode": "eks", "QuotaCode": "L-00000000"}
    assert edge.ask(QUOTAS, xform_name(operation), **asked) is None
    assert world.manners.calls[-1].operation == operation
