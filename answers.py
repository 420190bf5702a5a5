"""What an answer of AWS that is no success means: one of three errors, by remedy, with a reason and what mends it.

The picture: operation, code and text -> the first row of `ERRORS` that fits, else by the HTTP status `fallback`.

Pure: no clock, no call, no log. What it is not: a call (aws), or what becomes of the object (status).
"""

from __future__ import annotations

import re
from typing import NamedTuple

FARGATE_PRINCIPAL = "eks-fargate-pods.amazonaws.com"  # the same in every partition
NOT_FOUND = {"ResourceNotFoundException", "NotFoundException", "NoSuchEntity", "NoSuchResourceException"}


class AwsError(Exception):
    """What AWS answered, by remedy: `reason` is the word for condition and event, the text says the mend.

    `unclear`: a change that was asked for may have happened all the same.
    """

    def __init__(self, reason: str, message: str, *, unclear: bool = False) -> None:
        super().__init__(message)
        self.reason, self.unclear = reason, unclear


class Retryable(AwsError):
    """Nobody needs to act: the same call will do, later."""


class Busy(AwsError):
    """The cluster or the profile is not in the state that the call needs; look at it again, then ask again."""


class Refused(AwsError):
    """Somebody must change something: the spec, a permission, a quota."""


class Rule(NamedTuple):
    """Answers whose operation, code and message match (regular expressions) mean `kind` and `reason`."""

    operation: str
    code: str
    message: str
    kind: type[AwsError]
    reason: str
    mend: str


_CREATE, _DELETE, _TAGS = "CreateFargateProfile", "DeleteFargateProfile", "(Tag|Untag)Resource"
_IN_USE = "ResourceInUseException"  # four meanings, told apart by the text alone
_REFUSED = "InvalidParameterException|InvalidRequestException|BadRequestException|ValidationException"
_NO_KEYS = "AccessDenied|Validation|InvalidParameter|NoSuchEntity|Malformed|PackedPolicy|Forbidden|Unauthorized"
_UNKNOWN_KEY = "UnrecognizedClient|InvalidClientTokenId|InvalidAccessKeyId|AuthFailure|MissingAuth|IncompleteSig"
_DENIED_BY = "(?i)(explicit deny in an?|because no) "  # then the kind of policy; IAMPolicy.json is of no help there
_NO_REGION = (  # a zone that can't be used is another matter
    r"(?i)^(?!.*availability zone).*(region\b.*\b(not enabled|disabled)|not opted[ -]in"
    r"|(n't|not) (activated|supported|available) in (this |the |your )?(\w+ )?region)"
)
_NO_FARGATE = "not authorized to use this service|Unable to determine service/operation"  # what regions without it say
_PERMIT = "Give the operator's IAM role the permission (IAMPolicy.json has them all)."
_OTHER_ZONE = "Take a subnet of a zone in which EKS offers Fargate."
# First match wins; of what no row knows the status says whether AWS blames the request (`fallback`).
ERRORS: tuple[Rule, ...] = (
    Rule("", "Thrott|TooManyRequests|RequestLimitExceeded|SlowDown|^429$", "", Retryable, "Throttled",
         "AWS asks to slow down; it is tried again by itself."),
    Rule(_CREATE, _IN_USE, "already exists", Busy, "NameTaken", "The profile of that name is looked at next."),
    Rule("", _IN_USE, "in status (CREATING|DELETING)", Busy, "WaitingForTurn",
         "EKS works on one profile of a cluster at a time."),
    Rule("", _IN_USE, "currently has (an )?update", Busy, "ClusterUpdating", "It goes on when the update has ended."),
    Rule("", _IN_USE, "", Busy, "ClusterBusy", "It is tried again by itself."),
    Rule("", "InvalidRequestException", "not in ACTIVE status", Busy, "ClusterNotActive",
         "It goes on when the cluster is ACTIVE."),
    Rule(_CREATE, "ResourceNotFoundException", "", Busy, "ClusterNotFound", "The cluster is looked at next."),
    Rule(_TAGS, "NotFoundException|ResourceNotFoundException", "", Busy, "ProfileGone",
         "The profile has gone meanwhile; it is made again if its object still wants it."),
    Rule("", "ResourcePropagationDelay", "", Retryable, "Propagating", "It is tried again by itself."),
    Rule("", "", f"{_DENIED_BY}(service|resource) control policy", Refused, "AccessDenied",
         "Have those who run the AWS organization except the operator's role from that policy."),
    Rule("", "", f"{_DENIED_BY}permissions boundary", Refused, "AccessDenied",
         "Let the permissions boundary of the operator's role allow it."),
    Rule("", "", f"{_DENIED_BY}session policy", Refused, "AccessDenied",
         "Let the session policy with which the credentials were made allow it."),
    Rule("", "", f"{_DENIED_BY}VPC endpoint policy", Refused, "AccessDenied",
         "Let the policy of the VPC endpoint through which AWS is asked allow it."),
    Rule("AssumeRoleWithWebIdentity", _NO_KEYS, "", Refused, "CredentialsRefused",
         "Let the role's trust policy allow sts:AssumeRoleWithWebIdentity to this ServiceAccount, or correct the "
         "ServiceAccount's annotation eks.amazonaws.com/role-arn."),
    Rule("AssumeRole", _NO_KEYS, "", Refused, "CredentialsRefused",
         "Let the role's trust policy allow sts:AssumeRole to these credentials, or correct the role of the profile."),
    Rule("GetRoleCredentials", f"{_NO_KEYS}|InvalidRequest|ResourceNotFound", "", Refused, "CredentialsRefused",
         "Correct sso_account_id and sso_role_name of the AWS profile, or have the permission set assigned to you."),
    Rule("", "", "(?i)(explicit deny in the|because no) role trust policy", Refused, "CredentialsRefused",
         "Let the role's trust policy allow it."),
    Rule("", "", "(?i)explicit deny", Refused, "AccessDenied",
         "Take the Deny out of that policy, or except the operator's role from it: no permission outweighs it."),
    Rule("", "InvalidIdentityToken|IDPRejectedClaim", "", Refused, "CredentialsRefused",
         "Make an IAM OIDC provider for this cluster in the account of the role, with the audience sts.amazonaws.com "
         "(eksctl utils associate-iam-oidc-provider), and let the role's trust policy name it."),
    Rule("", "IDPCommunicationError", "", Retryable, "NoCredentials",
         "It is tried again by itself; if it lasts, see that AWS can reach the issuer of this cluster's tokens."),
    Rule("", "OptInRequired|RegionDisabled|SubscriptionRequired", "", Refused, "RegionRefused",
         "Enable the region for the account (aws account enable-region), or take another region."),
    Rule("", "", _NO_REGION, Refused, "RegionRefused",
         "Enable the region for the account, or take a region in which EKS offers Fargate."),
    Rule("", "", _NO_FARGATE, Refused, "RegionRefused", "Take a region in which EKS offers Fargate."),
    Rule("", "", "missing permissions|Missing permissions|not authorized", Refused, "AccessDenied", _PERMIT),
    Rule("", "AccessDenied|UnauthorizedOperation", "", Refused, "AccessDenied", _PERMIT),
    Rule("", _UNKNOWN_KEY, "", Refused, "CredentialsRefused",
         "Give the operator credentials that AWS knows, of this partition; in a region that is not enabled for the "
         "account it knows none: enable it then (aws account enable-region)."),
    Rule("", "ExpiredToken|RequestExpired|InvalidSignature|SignatureDoesNotMatch", "", Retryable, "CredentialsExpired",
         "If it lasts, renew the credentials of the operator's role and check the node's clock."),
    Rule("", "ResourceLimitExceeded", "", Refused, "QuotaExceeded",
         "Have it raised in Service Quotas (profiles per cluster: L-33415657), or delete a profile that nobody needs."),
    Rule(_CREATE, _REFUSED, "PodExecutionRole Trust Policy", Refused, "RoleNotTrusted",
         f"Let the role's trust policy allow {FARGATE_PRINCIPAL} sts:AssumeRole."),
    Rule(_CREATE, "UnsupportedAvailabilityZone", "", Refused, "SubnetUnsupportedZone", _OTHER_ZONE),
    Rule(_CREATE, _REFUSED, "Availability Zone", Refused, "SubnetUnsupportedZone", _OTHER_ZONE),
    Rule(_CREATE, _REFUSED, "more than", Refused, "ParameterRefused",
         "Write fewer, or have the quota raised in Service Quotas (label pairs per selector: L-23414FF3)."),
    Rule("", _REFUSED, "", Refused, "ParameterRefused", "Change what EKS names here in the object's spec."),
    Rule("", "^ClientException", "", Refused, "ParameterRefused",
         "Mend what EKS names here: mostly a name or an ARN that is not valid, or a permission that is missing."),
    Rule("", r"InternalFailure|InternalError|ServerException|ServiceUnavailable|^5\d\d$", "", Retryable,
         "AwsUnavailable", "It is tried again by itself."),
    Rule("", r"^4\d\d$", "", Retryable, "AwsUnreachable",
         "That is no answer of AWS: check what stands between it and the operator (proxies, VPC endpoints)."),
)  # fmt: skip
UNKNOWN = Rule("", "", "", Retryable, "AwsError", "It is tried again by itself.")
BLAMED = Rule("", "", "", Refused, "AwsError", "Mend what AWS names here.")
AGAIN = {408, 425, 428, 429}  # statuses of 4xx that ask for the same request again


def fallback(status: int) -> Rule:
    """Return the rule for an answer that no row of `ERRORS` knows, by its HTTP status."""
    return BLAMED if 400 <= status < 500 and status not in AGAIN else UNKNOWN  # noqa: PLR2004


def fits(rule: Rule, *answer: str) -> bool:
    return all(re.search(pattern, text) for pattern, text in zip(rule[:3], answer, strict=True))
