"""The remedy fits the cause: what AWS, or the way to its credentials, answers, and what the object then says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    LoginRefreshRequired,
    NoCredentialsError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from tests.fakes import aws as fake
from tests.harness import Bench

OPERATOR = "User: arn:aws:sts::123456789012:assumed-role/operator/x is not authorized to perform: "
DENIED = f"{OPERATOR}eks:CreateFargateProfile on resource: arn:aws:eks:eu-west-1:123456789012:cluster/demo "
IAM_POLICY = "IAMPolicy.json"
TRUST, OF_THE_ROLE = "AssumeRoleWithWebIdentity", "Not authorized to perform sts:AssumeRoleWithWebIdentity"
NO_PROVIDER = "No OpenIDConnect provider found in your account for https://oidc.eks.eu-west-1.amazonaws.com/id/A"
UNKNOWN_TOKEN = "The security token included in the request is invalid."


def answer(code: str, text: str, operation: str = "ListFargateProfiles", status: int = 403) -> ClientError:
    said: Any = {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(said, operation)


def by_the_agent(text: str) -> CredentialRetrievalError:
    return CredentialRetrievalError(provider="container-role", error_msg=f"Error retrieving metadata: {text}")


# What is answered, the reason, whether somebody must act, words of the mend.
CAUSES: dict[str, tuple[Exception, str, bool, tuple[str, ...]]] = {
    "the role does not trust the ServiceAccount": (
        answer("AccessDenied", OF_THE_ROLE, TRUST), "CredentialsRefused", True,
        ("trust policy", "annotation eks.amazonaws.com/role-arn")),
    "the annotation is no role's ARN": (
        answer("ValidationError", "Request ARN is invalid", TRUST, 400), "CredentialsRefused", True, ("annotation",)),
    "a role that the profile's credentials may not assume": (
        answer("AccessDenied", f"{OPERATOR}sts:AssumeRole on resource: arn:aws:iam::1:role/x", "AssumeRole"),
        "CredentialsRefused", True, ("trust policy", "sts:AssumeRole")),
    "a permission set that was not given": (
        answer("ForbiddenException", "No access", "GetRoleCredentials"), "CredentialsRefused", True,
        ("sso_role_name",)),
    "a role trust policy that denies": (
        answer("AccessDenied", f"{OPERATOR}x with an explicit deny in the role trust policy"), "CredentialsRefused",
        True, ("trust policy",)),
    "a role trust policy that does not allow": (
        answer("AccessDenied", f"{OPERATOR}x because no role trust policy allows the action"), "CredentialsRefused",
        True, ("trust policy",)),
    "a permission that is missing": (
        answer("AccessDeniedException", f"{DENIED}because no identity-based policy allows the action"),
        "AccessDenied", True, (IAM_POLICY,)),
    "a service control policy that denies": (
        answer("AccessDeniedException", f"{DENIED}with an explicit deny in a service control policy"),
        "AccessDenied", True, ("AWS organization",)),
    "a service control policy that is named": (
        answer("AccessDeniedException", f"{DENIED}with an explicit deny in a service control policy: "
               "arn:aws:organizations::1:policy/o-a/service_control_policy/p-b"),
        "AccessDenied", True, ("AWS organization",)),
    "a service control policy that does not allow": (
        answer("AccessDeniedException", f"{DENIED}because no service control policy allows the action"),
        "AccessDenied", True, ("AWS organization",)),
    "a resource control policy that denies": (
        answer("AccessDenied", f"{DENIED}with an explicit deny in a resource control policy"),
        "AccessDenied", True, ("AWS organization",)),
    "a service control policy that denies the role itself": (
        answer("AccessDenied", f"{DENIED}with an explicit deny in a service control policy", TRUST),
        "AccessDenied", True, ("AWS organization",)),
    "a permissions boundary that denies": (
        answer("AccessDeniedException", f"{DENIED}with an explicit deny in a permissions boundary"),
        "AccessDenied", True, ("permissions boundary of",)),
    "a permissions boundary that does not allow": (
        answer("UnauthorizedOperation", f"You are not authorized. {OPERATOR}ec2:DescribeSubnets because no "
               "permissions boundary allows the ec2:DescribeSubnets action"),
        "AccessDenied", True, ("permissions boundary of",)),
    "a session policy that denies": (
        answer("AccessDeniedException", f"{DENIED}with an explicit deny in a session policy"),
        "AccessDenied", True, ("session policy",)),
    "a policy of the VPC endpoint that does not allow": (
        answer("AccessDeniedException", f"{DENIED}because no VPC endpoint policy allows the action"),
        "AccessDenied", True, ("VPC endpoint",)),
    "an identity-based policy that denies": (
        answer("AccessDeniedException", f"{DENIED}with an explicit deny in an identity-based policy"),
        "AccessDenied", True, ("Take the Deny out",)),
    "a deny that says nothing more": (
        answer("UnauthorizedOperation", "You are not authorized: with an explicit deny"), "AccessDenied", True,
        ("Take the Deny out",)),
    "a region that is not opted in": (
        answer("OptInRequired", "You are not subscribed to this service."), "RegionRefused", True,
        ("Enable the region",)),
    "a region that is said not to be enabled": (
        answer("AccessDeniedException", "The region me-south-1 is not enabled for this account"), "RegionRefused",
        True, ("Enable the region",)),
    "STS that is switched off in the region": (
        answer("RegionDisabledException", "STS is not activated in this region for account:1", TRUST),
        "RegionRefused", True, ("Enable the region",)),
    "a region without Fargate": (
        answer("AccessDeniedException", "Account 123456789012 is not authorized to use this service"),
        "RegionRefused", True, ("in which EKS offers Fargate",)),
    "a region without Fargate, said in words": (
        answer("InvalidRequestException", "Fargate is not supported in this region", status=400), "RegionRefused",
        True, ("in which EKS offers Fargate",)),
    "a token of another region": (
        answer("UnrecognizedClientException", UNKNOWN_TOKEN), "CredentialsRefused", True,
        ("credentials that AWS knows", "enable it")),
    "a key that STS does not know": (
        answer("InvalidClientTokenId", UNKNOWN_TOKEN), "CredentialsRefused", True, ("credentials that AWS knows",)),
    "a key that EC2 does not know": (
        answer("AuthFailure", "AWS was not able to validate the provided access credentials", status=401),
        "CredentialsRefused", True, ("credentials that AWS knows",)),
    "a cluster without an OIDC provider": (
        answer("InvalidIdentityToken", NO_PROVIDER, TRUST, 400), "CredentialsRefused", True,
        ("IAM OIDC provider", "associate-iam-oidc-provider")),
    "a token for somebody else": (
        answer("InvalidIdentityToken", "Incorrect token audience", TRUST, 400), "CredentialsRefused", True,
        ("audience sts.amazonaws.com",)),
    "a token that its issuer takes back": (
        answer("IDPRejectedClaim", "rejected", TRUST), "CredentialsRefused", True, ("IAM OIDC provider",)),
    "an issuer that STS does not reach": (
        answer("IDPCommunicationError", "could not be reached", TRUST, 400), "NoCredentials", False, ("issuer",)),
    "an SSO login that has expired": (
        UnauthorizedSSOTokenError(), "CredentialsExpired", False, ("Log in anew: aws sso login",)),
    "no SSO login": (
        SSOTokenLoadError(error_msg="Token for x does not exist"), "NoCredentials", False, ("aws sso login",)),
    "an SSO login that can't be renewed": (
        TokenRetrievalError(provider="sso", error_msg="Token has expired and refresh failed"), "CredentialsExpired",
        False, ("aws sso login",)),
    "a console login that has expired": (
        LoginRefreshRequired(), "CredentialsExpired", False, ("Log in anew: aws login",)),
    "no Pod Identity agent": (
        by_the_agent("Received error when attempting to retrieve container metadata: Connect timeout on endpoint"),
        "NoCredentials", False, ("eks-pod-identity-agent", "IRSA")),
    "a Pod Identity agent that knows no association": (
        by_the_agent("Received non 200 response 404 from container metadata: [a]: (ResourceNotFoundException): No"),
        "NoCredentials", False, ("create-pod-identity-association", "sts:TagSession")),
    "a Pod Identity agent that is ill": (
        by_the_agent("Received non 200 response 500 from container metadata: "), "NoCredentials", False,
        ("eks-pod-identity-agent",)),
    "no credentials at all": (NoCredentialsError(), "NoCredentials", False, ("Give the pod an IAM role",)),
    "a region whose name is wrong": (
        EndpointConnectionError(endpoint_url="https://eks.eu-wset-1.amazonaws.com/"), "AwsUnreachable", False,
        ("region's name",)),
    "a request that EKS blames": (
        answer("ClientException", "An error occurred.", status=400), "ParameterRefused", True,
        ("Mend what EKS names here",)),
    "a request that AWS blames with a word of its own": (
        answer("SomethingNewException", "no", status=422), "AwsError", True, ("Mend what AWS names here",)),
    "a word that nobody knows, of AWS's own fault": (
        answer("SomethingNewException", "no", status=500), "AwsError", False, ("tried again by itself",)),
    "a request that came too early": (
        answer("SomethingNewException", "no", status=428), "AwsError", False, ("tried again by itself",)),
    "a proxy's page": (answer("403", "Forbidden"), "AwsUnreachable", False, ("no answer of AWS", "proxies")),
    "a proxy that asks to slow down": (answer("429", "", status=429), "Throttled", False, ("slow down",)),
}  # fmt: skip


def fails(error: Exception) -> Callable[[fake.Call], None]:
    def called(_call: fake.Call) -> None:
        raise error

    return called


@pytest.mark.parametrize("cause", CAUSES)
def test_the_object_says_the_reason_and_the_mend_of_its_cause_within_a_minute(b: Bench, cause: str) -> None:
    error, reason, stalled, words = CAUSES[cause]
    b.apply()
    b.manners.on_call = fails(error)
    b.run(60)
    assert b.reason() == reason
    assert b.stalled() is stalled
    for word in words:
        assert word in b.message()
    assert (IAM_POLICY in b.message()) is (IAM_POLICY in words), "a permission is no remedy here"


@pytest.mark.parametrize("cause", CAUSES)
def test_what_was_mended_is_found_by_itself(b: Bench, cause: str) -> None:
    b.apply()
    b.manners.on_call = fails(CAUSES[cause][0])
    b.run(60)
    b.manners.on_call = None
    b.run(200)
    assert b.ready()


@pytest.mark.parametrize("code", ["UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure"])
def test_lookups_that_can_t_be_read_for_want_of_credentials_are_not_taken_for_forbidden(b: Bench, code: str) -> None:
    """What may not be read is unknown and no objection; with wrong credentials nothing is sent after that."""
    b.manners.fail("ec2:DescribeSubnets", fake.error(code, 401, UNKNOWN_TOKEN), times=100)
    b.apply()
    b.run(30)
    assert b.reason() == "CredentialsRefused"
    assert b.manners.count("CreateFargateProfile") == 0
