"""What is kept of botocore's models is what is called; tests/unit/test_prune.py asks each of these calls."""

from __future__ import annotations

import aws
from awscalls import CALLS, Json, cut, cut_file

MODEL = {
    "metadata": {"uid": "sts"},
    "operations": {
        "GetCallerIdentity": {"documentation": "Who we are.", "input": {"shape": "Ask"}},
        "DecodeAuthorizationMessage": {"input": {"shape": "Message"}},
    },
    "shapes": {
        "Ask": {"type": "structure", "members": {"documentation": {"shape": "Text"}}, "documentation": "Prose."},
        "Message": {"type": "structure", "members": {}},
        "Text": {"type": "string"},
    },
}


def test_a_model_is_left_with_the_calls_that_are_made_and_what_they_reach_and_no_prose() -> None:
    assert cut(MODEL, "sts") == {
        "metadata": {"uid": "sts"},
        "operations": {"GetCallerIdentity": {"input": {"shape": "Ask"}}},
        "shapes": {
            "Ask": {"type": "structure", "members": {"documentation": {"shape": "Text"}}},
            "Text": {"type": "string"},
        },
    }


def test_of_a_file_that_is_no_model_all_is_kept_but_where_other_services_are() -> None:
    pages: Json = {"pagination": {"ListUsers": {}}}
    assert cut_file("/data/iam/2010-05-08/paginators-1.json", pages) == pages
    places = {"partitions": [{"partition": "aws", "services": {"eks": {}, "s3": {}}}], "version": 3}
    assert cut_file("/data/endpoints.json", places) == {
        "partitions": [{"partition": "aws", "services": {"eks": {}}}],
        "version": 3,
    }
    assert cut_file("/data/s3/2006-03-01/service-2.json", MODEL) == MODEL


def test_a_client_of_a_checkout_knows_the_calls_that_are_made_and_no_others() -> None:
    clients = aws.connect("eu-west-1", 1)
    known = {name: {*clients[name].meta.service_model.operation_names} for name in (*aws.SERVICES, aws.QUOTAS)}
    assert known == {name: CALLS[name] for name in known}
