"""A refusal before any effect is told from an outcome that is not known, at every write (only the latter may lock)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from botocore import exceptions as bc

from keyrota.app.clock import SystemClock
from keyrota.aws.account import Account
from keyrota.aws.iam import IamAccessKeys
from keyrota.aws.parameters import ParameterStore
from keyrota.aws.secretsmanager import SecretsManagerStore
from keyrota.core.model import AccessKeyId, Claim, KeyPair, UserName, VersionId
from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError, ProviderRefused, ProviderUnavailable
from keyrota.ports import Target
from keyrota.targets.parameter_store import ParameterTarget

NOW = datetime(2026, 6, 1, tzinfo=UTC)
USER, KEY, V = UserName("u"), AccessKeyId("AKIA0000000000000NEW"), VersionId("v" * 36)
PAIR = KeyPair(id=KEY, secret=Secret("made up"))
CLAIM = Claim(version=V, run="r", at=NOW, lease_until=NOW + timedelta(minutes=10), keys_seen=frozenset())


class _Client:
    """A client of AWS whose every call meets the same error; the look before a write of SSM goes well."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, _: str) -> Callable[..., Any]:
        def call(**__: object) -> Any:
            raise self._error

        return call

    def get_parameter(self, **_: object) -> Any:
        return {"Parameter": {"Type": "SecureString", "LastModifiedDate": NOW}}


class _Account:
    region = "eu-central-1"

    def __init__(self, error: Exception) -> None:
        self._client = _Client(error)

    def client(self, *_: object, **__: object) -> _Client:
        return self._client

    def id(self) -> str:
        return "123456789012"


def iam(error: Exception) -> IamAccessKeys:
    return IamAccessKeys(cast("Account", _Account(error)))


def store(error: Exception) -> SecretsManagerStore:
    return SecretsManagerStore(cast("Account", _Account(error)))


def parameter(error: Exception) -> Target:
    return ParameterTarget(ParameterStore(cast("Account", _Account(error)), SystemClock()), {"parameter": "/ci/key"})


WRITES: dict[str, Callable[[Exception], object]] = {
    "iam create": lambda error: iam(error).create(USER),
    "iam deactivate": lambda error: iam(error).deactivate(USER, KEY),
    "iam reactivate": lambda error: iam(error).reactivate(USER, KEY),
    "iam delete": lambda error: iam(error).delete(USER, KEY),
    "iam deny sessions": lambda error: iam(error).deny_sessions_before(USER, NOW),
    "iam release": lambda error: iam(error).release_quarantine(USER, "arn:aws:iam::aws:policy/P"),
    "secret claim": lambda error: store(error).put_claim("s", CLAIM),
    "secret pending": lambda error: store(error).put_pending("s", V, PAIR, beside=Secret("{}")),
    "secret rotating": lambda error: store(error).put_rotating("s", V, PAIR, beside=Secret("{}"), rotation_token=None),
    "secret label": lambda error: store(error).move_label("s", "AWSCURRENT", to=V, remove_from=None),
    "secret tag": lambda error: store(error).tag("s", {"a": "b"}),
    "ssm write": lambda error: parameter(error).write(PAIR),
}


def refused(code: str, status: int, *, repeated: int = 0) -> bc.ClientError:
    metadata = {"HTTPStatusCode": status, "RetryAttempts": repeated}
    response: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": metadata}
    return bc.ClientError(response, "Operation")


URL = {"endpoint_url": "https://aws.example"}
REFUSED, UNDONE, UNKNOWN = "refused", "undone", "unknown"
OUTCOMES: list[tuple[str, Exception, str]] = [
    ("throttled", refused("Throttling", 400), UNDONE),
    ("throttled by another name", refused("ThrottlingException", 400), UNDONE),
    ("too many", refused("TooManyRequestsException", 429), UNDONE),
    ("limit of requests", refused("RequestLimitExceeded", 400), UNDONE),
    ("just being changed", refused("EntityTemporarilyUnmodifiable", 409), UNDONE),
    ("changed at the same time", refused("ConcurrentModification", 409), UNDONE),
    ("throttled after a lost answer", refused("Throttling", 400, repeated=1), UNKNOWN),
    ("denied", refused("AccessDenied", 403), REFUSED),
    ("over the quota", refused("LimitExceeded", 409), REFUSED),
    ("malformed", refused("MalformedPolicyDocument", 400), REFUSED),
    ("a code that nobody knows", refused("SomethingNew", 400), REFUSED),
    ("internal", refused("InternalFailure", 500), UNKNOWN),
    ("internal by another name", refused("InternalServiceError", 500), UNKNOWN),
    ("down", refused("ServiceUnavailable", 503), UNKNOWN),
    ("it took too long", refused("RequestTimeout", 400), UNKNOWN),
    ("no connection", bc.EndpointConnectionError(**URL), UNDONE),
    ("no connection in time", bc.ConnectTimeoutError(**URL), UNDONE),
    ("no proxy", bc.ProxyConnectionError(proxy_url="http://proxy.example"), UNDONE),
    ("no answer in time", bc.ReadTimeoutError(**URL), UNKNOWN),
    ("cut", bc.ConnectionClosedError(**URL), UNKNOWN),
    ("an answer that is none", ValueError("x"), UNKNOWN),
]


@pytest.mark.parametrize("write", list(WRITES))
@pytest.mark.parametrize(("case", "error", "wanted"), OUTCOMES, ids=[case for case, _, _ in OUTCOMES])
def test_a_definite_refusal_is_told_from_an_unknown_outcome(
    write: str, case: str, error: Exception, wanted: str
) -> None:
    with pytest.raises(KeyrotaError) as caught:
        WRITES[write](error)
    met = caught.value
    if wanted == REFUSED:
        assert isinstance(met, ProviderRefused), case
    else:
        assert isinstance(met, ProviderUnavailable), case
        assert met.is_undone is (wanted == UNDONE), case
