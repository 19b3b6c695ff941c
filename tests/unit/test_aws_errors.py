"""What a refusal of AWS means: whose move it is, and whether the call may have had its effect."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import exceptions as bc
from botocore.parsers import ResponseParserError

from keyrota.aws._translate import all_pages, aws_call, is_about_deletion, is_not_there, was_repeated
from keyrota.aws.permissions import DUTIES, allow, policy_document, principal
from keyrota.errors import ClockIsOff, KeyrotaError, NoCredentials, NotThere, ProviderRefused, ProviderUnavailable

ACTION, WHERE = "secretsmanager:PutSecretValue", "secret keyrota/ci"
KMS = "Access to KMS is not allowed"


def refused(code: str, message: str = "no", status: int = 400, attempts: int = 0) -> bc.ClientError:
    answer: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "RetryAttempts": attempts},
    }
    return bc.ClientError(answer, "PutSecretValue")


def translated(error: Exception, *, has_secret: bool = False) -> KeyrotaError:
    with pytest.raises(KeyrotaError) as caught, aws_call(ACTION, WHERE, has_secret=has_secret):
        raise error
    assert caught.value.__cause__ is None
    return caught.value


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        ("NoSuchEntity ResourceNotFoundException ParameterNotFound NoSuchEntityException", NotThere),
        ("AccessDenied AccessDeniedException UnauthorizedOperation", ProviderRefused),
        (
            (
                "InvalidClientTokenId UnrecognizedClientException ExpiredToken ExpiredTokenException "
                "SignatureDoesNotMatch InvalidSignatureException MissingAuthenticationToken "
                "MissingAuthenticationTokenException IncompleteSignature"
            ),
            NoCredentials,
        ),
        ("RequestExpired RequestTimeTooSkewed", ClockIsOff),
        ("DecryptionFailure EncryptionFailure LimitExceeded ValidationException InvalidParameter", ProviderRefused),
        (
            (
                "Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException "
                "RequestLimitExceeded TooManyRequestsException ServiceFailure ServiceUnavailable "
                "ServiceUnavailableException InternalFailure InternalServiceError InternalError RequestTimeout "
                "RequestTimeoutException EntityTemporarilyUnmodifiable ConcurrentModification"
            ),
            ProviderUnavailable,
        ),
    ],
)
def test_a_code_says_whose_move_it_is(codes: str, kind: type[KeyrotaError]) -> None:
    for code in codes.split():
        assert type(translated(refused(code))) is kind, code


@pytest.mark.parametrize(
    ("code", "status", "attempts", "is_undone"),
    [
        ("ThrottlingException", 400, 0, True),
        ("ThrottlingException", 400, 1, False),
        ("Throttling", 429, 0, True),
        ("Throttling", 499, 0, True),
        ("RequestTimeout", 400, 0, False),
        ("RequestTimeoutException", 400, 0, False),
        ("ServiceUnavailable", 503, 0, False),
        ("InternalFailure", 500, 0, False),
        ("Whatever", 500, 0, False),
        ("Throttling", 0, 0, False),
    ],
)
def test_only_what_was_refused_at_the_door_has_no_effect(
    code: str, status: int, attempts: int, is_undone: bool
) -> None:
    error = translated(refused(code, status=status, attempts=attempts))
    assert isinstance(error, ProviderUnavailable)
    assert error.is_undone is is_undone


@pytest.mark.parametrize(
    ("error", "is_undone"),
    [
        (bc.EndpointConnectionError(endpoint_url="https://x"), True),
        (bc.ConnectTimeoutError(endpoint_url="https://x"), True),
        (bc.ProxyConnectionError(proxy_url="https://x"), True),
        (bc.ReadTimeoutError(endpoint_url="https://x"), False),
        (bc.ConnectionClosedError(endpoint_url="https://x"), False),
        (bc.HTTPClientError(error="x"), False),
        (ResponseParserError("x"), False),
        (KeyError("x"), False),
        (TypeError("x"), False),
        (ValueError("x"), False),
        (AttributeError("x"), False),
        (OverflowError("x"), False),
        (RecursionError("x"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_what_was_never_sent_has_no_effect(error: Exception, is_undone: bool) -> None:
    found = translated(error)
    assert isinstance(found, ProviderUnavailable)
    assert found.is_undone is is_undone
    assert found.where == WHERE


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (bc.NoCredentialsError(), NoCredentials),
        (bc.PartialCredentialsError(provider="env", cred_var="x"), NoCredentials),
        (bc.CredentialRetrievalError(provider="x", error_msg="x"), NoCredentials),
        (bc.ProfileNotFound(profile="x"), NoCredentials),
        (bc.TokenRetrievalError(provider="x", error_msg="x"), NoCredentials),
        (bc.UnauthorizedSSOTokenError(), NoCredentials),
        (bc.NoRegionError(), ProviderRefused),
        (bc.ParamValidationError(report="x"), ProviderRefused),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_is_wrong_before_any_call(error: Exception, kind: type[KeyrotaError]) -> None:
    assert type(translated(error)) is kind


@pytest.mark.parametrize(
    "message",
    [
        "Signature expired: 20260101T060000Z is now earlier than 20260101T061000Z",
        "Signature not yet current: x",
        "x is now later than y",
        "x is now earlier than y",
    ],
)
def test_a_clock_that_is_off_is_told_by_the_words(message: str) -> None:
    assert type(translated(refused("InvalidSignatureException", message))) is ClockIsOff


@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException", "DecryptionFailure"])
@pytest.mark.parametrize("message", [KMS, "not authorized to perform: kms:Decrypt"])
def test_a_refusal_of_the_key_of_a_secret_says_so(code: str, message: str) -> None:
    error = translated(refused(code, message))
    assert "KMS key refused" in error.what
    assert "kms:Decrypt" in error.remedy


def test_a_denied_action_is_named_with_what_allows_it() -> None:
    error = translated(refused("AccessDenied"))
    assert (ACTION in error.what, ACTION in error.remedy, error.where) == (True, True, WHERE)


@pytest.mark.parametrize("message", ["You sent canary-value", f"{KMS}: canary-value"])
@pytest.mark.parametrize("code", ["ValidationException", "canary-value", "LimitExceeded", "NoSuchEntity"])
def test_nothing_of_a_refusal_is_quoted_where_a_secret_was_sent(code: str, message: str) -> None:
    error = translated(refused(code, message), has_secret=True)
    assert "canary-value" not in f"{error} {error.remedy} {error.where}"


@pytest.mark.parametrize(
    ("words", "is_so"),
    [
        ("it is marked for deletion", True),
        ("it is scheduled for deletion", True),
        ("marked deleted", True),
        ("it was deleted", False),
        ("it is marked", False),
        ("it is scheduled", False),
    ],
)
def test_a_secret_that_is_to_be_deleted(words: str, is_so: bool) -> None:
    assert is_about_deletion(words) is is_so
    told = translated(refused("InvalidRequestException", words), has_secret=True)
    assert ("marked for deletion" in told.what) is is_so


def test_what_a_refusal_tells() -> None:
    assert is_not_there(refused("NoSuchEntity"))
    assert not is_not_there(refused("AccessDenied"))
    assert [was_repeated(refused("x", attempts=attempts)) for attempts in (0, 1)] == [False, True]
    empty: Any = {}
    assert type(translated(bc.ClientError(empty, "x"))) is ProviderRefused


class _Pages:
    def __init__(self, count: int) -> None:
        self._count = count

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_users"
        return self

    def paginate(self, **arguments: Any) -> list[dict[str, Any]]:
        assert arguments == {"PathPrefix": "/"}
        return [{"Users": [{"n": number}]} for number in range(self._count)]


def test_a_list_is_read_to_its_end_and_one_without_end_is_none() -> None:
    def read(count: int) -> list[dict[str, Any]]:
        return all_pages(_Pages(count), "list_users", "Users", PathPrefix="/")

    assert [user["n"] for user in read(50)] == list(range(50))
    assert read(0) == []

    with pytest.raises(ValueError, match="list_users"):
        read(51)


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov", "aws-eusc"])
def test_a_policy_is_about_one_user_and_one_secret_in_their_partition(partition: str) -> None:
    document = policy_document(
        "rotate", account="123456789012", user="ci", secret_name="keyrota/ci", partition=partition
    )
    resources = {statement["Resource"] for statement in document["Statement"]}
    assert resources == {
        f"arn:{partition}:iam::123456789012:user/ci",
        f"arn:{partition}:secretsmanager:*:123456789012:secret:keyrota/ci-*",
    }
    granted = {action for statement in document["Statement"] for action in statement["Action"]}
    assert granted == set(DUTIES["rotate"])


def test_tagging_a_user_is_allowed_for_one_tag_only() -> None:
    plain, tagging = allow(["iam:TagUser", "iam:ListUserTags"], "*")
    assert plain == {"Effect": "Allow", "Action": ["iam:ListUserTags"], "Resource": "*"}
    assert tagging["Action"] == ["iam:TagUser"]
    assert tagging["Condition"] == {"ForAllValues:StringEquals": {"aws:TagKeys": ["keyrota:secret"]}}


@pytest.mark.parametrize(
    ("arn", "of_role"),
    [
        ("arn:aws:sts::123456789012:assumed-role/ops/me", "arn:aws:iam::123456789012:role/ops"),
        ("arn:aws-cn:sts::123456789012:assumed-role/ops/me", "arn:aws-cn:iam::123456789012:role/ops"),
        ("arn:aws:iam::123456789012:user/me", "arn:aws:iam::123456789012:user/me"),
        ("arn:aws:sts::123456789012:federated-user/me", "arn:aws:sts::123456789012:federated-user/me"),
    ],
)
def test_a_session_is_asked_for_as_its_role(arn: str, of_role: str) -> None:
    assert principal(arn) == of_role
