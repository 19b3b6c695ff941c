"""
Every exception of botocore, turned into one of ours, in one place.

Always raised `from None`: botocore's own exceptions can carry what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as bc
from botocore.parsers import ResponseParserError

from keyrota.aws._exchange import NoTimeLeftError
from keyrota.errors import (
    ClockIsOff,
    KeyrotaError,
    LostRace,
    NoCredentials,
    NotThere,
    ProviderRefused,
    ProviderUnavailable,
    redact,
)

_NOT_THERE = {"NoSuchEntity", "ResourceNotFoundException", "ParameterNotFound", "NoSuchEntityException"}
_TRANSIENT = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "ServiceFailure",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "InternalFailure",
    "InternalServiceError",
    "InternalError",
    "RequestTimeout",
    "RequestTimeoutException",
    "EntityTemporarilyUnmodifiable",
    "ConcurrentModification",
}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_BAD_CREDENTIALS = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "ExpiredToken",
    "ExpiredTokenException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "IncompleteSignature",
}
_SKEW_CODES = {"RequestExpired", "RequestTimeTooSkewed"}
_SKEW_WORDS = ("Signature expired", "Signature not yet current", "is now earlier than", "is now later than")

_ODD_ANSWER = (ResponseParserError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError)
"""What botocore's parsers and the reading of an answer raise where it is none of AWS's, or lacks what it must hold."""
_UNSENT = (bc.EndpointConnectionError, bc.ConnectTimeoutError, bc.ProxyConnectionError)
"""There was no connection, so nothing was sent. A connection that broke, or a missing answer, says no such thing."""
_PERHAPS_DONE = {"RequestTimeout", "RequestTimeoutException"}
_MAX_PAGES = 50
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]{2,80}|[0-9]{3}")
_MARKED = "the secret is marked for deletion"

_CREDENTIALS_REMEDY = (
    "give AWS credentials as for any AWS tool: AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, SSO or a role"
)
_CLOCK_REMEDY = "set this machine's clock (NTP): ages counted by a wrong clock are wrong"


@contextmanager
def aws_call(action: str, where: str, *, has_secret: bool = False) -> Iterator[None]:
    """
    Make one call to AWS and read its answer, and raise only errors of ours.

    Args:
        action: The IAM action that the call needs, `iam:ListAccessKeys`.
        where: What it is about: a user, a secret, an account.
        has_secret: The request carries a secret value; then no word of a refusal is shown, because the page of a
            firewall or a proxy may quote what it stopped.
    """
    try:
        yield
    except bc.ClientError as error:
        raise _refusal(error, action, where, has_secret=has_secret) from None
    except (bc.NoCredentialsError, bc.PartialCredentialsError, bc.CredentialRetrievalError) as error:
        raise NoCredentials(f"no usable AWS credentials: {_short(error)}", remedy=_CREDENTIALS_REMEDY) from None
    except (bc.ProfileNotFound, bc.TokenRetrievalError, bc.UnauthorizedSSOTokenError, bc.SSOError) as error:
        raise NoCredentials(_short(error), remedy=_CREDENTIALS_REMEDY) from None
    except bc.NoRegionError:
        raise ProviderRefused(
            "no AWS region is set", remedy="set AWS_REGION, or `region:` in the configuration"
        ) from None
    except (bc.HTTPClientError, bc.ConnectionError) as error:
        raise ProviderUnavailable(
            f"{action}: AWS did not answer ({type(error).__name__})",
            where=where,
            remedy="the next run looks again",
            is_undone=isinstance(error, _UNSENT),
        ) from None
    except NoTimeLeftError as error:
        raise ProviderUnavailable(
            f"{action}: {_short(error)}", where=where, remedy="the next run looks again"
        ) from None
    except bc.BotoCoreError as error:
        raise ProviderRefused(f"{action}: {_short(error)}", where=where) from None
    except _ODD_ANSWER as error:
        raise ProviderUnavailable(
            f"{action}: AWS's answer cannot be read ({type(error).__name__})",
            where=where,
            remedy="the next run looks again; check AWS_ENDPOINT_URL, a proxy may have answered",
        ) from None


def all_pages(client: Any, operation: str, field: str, **arguments: Any) -> list[dict[str, Any]]:
    """Read all pages of a list; one that has no end is an odd answer. Called within `aws_call`."""
    found: list[dict[str, Any]] = []
    for number, page in enumerate(client.get_paginator(operation).paginate(**arguments)):
        # An endpoint that names the same next page for ever would hold the run: no list of a user's keys or tags has
        # that many.
        if number >= _MAX_PAGES:
            raise ValueError(operation)
        found.extend(page[field])
    return found


def is_about_deletion(words: str) -> bool:
    """Return by AWS's words that a secret is to be deleted; its code (InvalidRequestException) has other causes too."""
    return "delet" in words and ("marked" in words or "scheduled" in words)


def _refusal(  # noqa: PLR0911  # a table in the form of code
    error: bc.ClientError, action: str, where: str, *, has_secret: bool
) -> KeyrotaError:
    code, message, status = fields(error)
    is_about_key = "KMS" in message or "kms:" in message
    if has_secret:
        # Also the code: what answers may be a proxy, whose page is read as one.
        code = code if _CODE.fullmatch(code) else ""
        message = _MARKED if is_about_deletion(message) else ""
    # First of all: a clock that is off makes every signature wrong, which AWS reports under the codes of wrong
    # credentials as well.
    if code in _SKEW_CODES or any(words in message for words in _SKEW_WORDS):
        return ClockIsOff("AWS refuses the request's time: this machine's clock is off", remedy=_CLOCK_REMEDY)
    if code in _BAD_CREDENTIALS:
        return NoCredentials(f"{action}: AWS does not accept the credentials ({code})", remedy=_CREDENTIALS_REMEDY)
    if code in _NOT_THERE:
        return NotThere(f"{action}: {message}", where=where)
    if code in _DENIED and not is_about_key:
        return ProviderRefused(
            f"{action} is not allowed ({code})",
            where=where,
            remedy=f"allow {action} for the identity that keyrota runs as; `keyrota check` lists all it needs",
        )
    if is_about_key or code in {"DecryptionFailure", "EncryptionFailure"}:
        return ProviderRefused(
            f"{action}: the secret's KMS key refused ({code})",
            where=where,
            remedy="allow kms:Decrypt and kms:GenerateDataKey on that key, or enable it",
        )
    if code in _TRANSIENT or status >= 500:  # noqa: PLR2004  # HTTP: the server's fault
        return ProviderUnavailable(
            f"{action}: {code or status}",
            where=where,
            remedy="the next run looks again",
            is_undone=_is_before_effect(code, status) and not was_repeated(error),
        )
    if code == "LimitExceeded":
        return ProviderRefused(f"{action}: {message}", where=where, remedy="a user can have two access keys")
    return ProviderRefused(f"{action}: {code}: {message}", where=where)


def fields(error: bc.ClientError) -> tuple[str, str, int]:
    """Take code, message and HTTP status out of a refusal; a message is AWS's words on names, never a value."""
    answer: dict[str, Any] = dict(error.response)
    code = str(answer.get("Error", {}).get("Code", ""))
    message = redact(str(answer.get("Error", {}).get("Message", "")))[:300]
    return code, message, int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or 0)


def code_of(error: bc.ClientError) -> str:
    """Return a refusal's code."""
    return fields(error)[0]


def _is_before_effect(code: str, status: int) -> bool:
    """Distinguish a call that was refused at the door (throttling) from one whose effect is not known."""
    return 400 <= status < 500 and code not in _PERHAPS_DONE  # noqa: PLR2004  # HTTP: refused


def is_not_there(error: bc.ClientError) -> bool:
    """Return whether what was named does not exist."""
    return code_of(error) in _NOT_THERE


def was_repeated(error: bc.ClientError) -> bool:
    """Return whether botocore had sent the request before, so that an earlier one may have had its effect."""
    answer: dict[str, Any] = dict(error.response)
    return bool(answer.get("ResponseMetadata", {}).get("RetryAttempts", 0))


def make_lost_race(what: str, where: str) -> LostRace:
    """Say that another run was first."""
    return LostRace(what, where=where)


def _short(error: Exception) -> str:
    return redact(str(error)).splitlines()[0][:300] if str(error) else type(error).__name__
