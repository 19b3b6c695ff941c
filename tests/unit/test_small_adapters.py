"""The small adapters of AWS, against clients that answer as they are told: events, alarms, rights, owners, trails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from keyrota.aws.account import Account
from keyrota.aws.directory import Directory
from keyrota.aws.notices import publish, put_events
from keyrota.aws.permissions import simulate
from keyrota.aws.sts import StsIdentity
from keyrota.aws.trails import find_missing_trail
from keyrota.core.model import AccessKeyId, KeyPair
from keyrota.core.secret import Secret
from keyrota.errors import ProviderRefused, ProviderUnavailable

OURS = "123456789012"
KEY = AccessKeyId("AKIAIOSFODNN7EXAMPLE")
PAIR = KeyPair(id=KEY, secret=Secret("a-secret-access-key"))


def refusal(code: str, status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "X")


class _Client:
    """Writes down what was asked, and answers as it is told: a document, an error, or by what is asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.is_closed = False

    def __getattr__(self, name: str) -> Any:
        def call(**asked: Any) -> Any:
            self.calls.append((name, asked))
            answer = self.answers[name]
            answer = answer(**asked) if callable(answer) else answer
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def close(self) -> None:
        self.is_closed = True

    def get_paginator(self, operation: str) -> Any:
        pages = self.answers[operation]
        return type("Pages", (), {"paginate": lambda _: pages})()


class _Account:
    def __init__(self, client: _Client, proving: _Client | None = None, caller: str = "") -> None:
        self._client, self._proving, self._caller = client, proving, caller
        self.region = "eu-central-1"
        self.asked: list[tuple[str, str | None]] = []

    def client(self, service: str, *, region: str | None = None) -> _Client:
        self.asked.append((service, region))
        return self._client

    def client_as(self, service: str, pair: KeyPair, *, region: str | None = None) -> _Client:
        assert (service, pair) == ("sts", PAIR)
        assert self._proving is not None
        self.asked.append(("as the key", region))
        return self._proving

    def caller(self) -> str:
        return self._caller


def account(client: _Client, **known: Any) -> Account:
    return cast("Account", _Account(client, **known))


ENTRIES: Sequence[dict[str, Any]] = ({"n": 0}, {"n": 1}, {"n": 2})
OK, LIMITED = {"EventId": "1"}, {"ErrorCode": "ThrottlingException"}


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ({"FailedEntryCount": 0, "Entries": [OK, OK, OK]}, {}),
        ({"FailedEntryCount": 1, "Entries": [OK, LIMITED, OK]}, {1: "ThrottlingException"}),
        ({"FailedEntryCount": 2, "Entries": [OK, LIMITED, OK]}, dict.fromkeys(range(3), "not said")),
        ({"FailedEntryCount": 1, "Entries": []}, dict.fromkeys(range(3), "not said")),
        ({"FailedEntryCount": 1}, dict.fromkeys(range(3), "not said")),
        ({"FailedEntryCount": 0}, {}),
        ({}, {}),
    ],
)
def test_an_event_that_the_bus_refused_is_named(answer: Mapping[str, Any], refused: dict[int, str]) -> None:
    client = _Client(put_events=answer)
    found = put_events(account(client), ENTRIES)
    assert {entry["n"]: code for entry, code in found} == refused
    assert client.calls == [("put_events", {"Entries": list(ENTRIES)})]


@pytest.mark.parametrize(
    ("topic", "region"),
    [("arn:aws:sns:us-east-1:123456789012:alarms", "us-east-1"), ("arn:aws-cn:sns:cn-north-1:1:a", "cn-north-1")],
)
def test_an_alarm_goes_to_its_topics_region_with_a_subject_that_sns_takes(topic: str, region: str) -> None:
    client = _Client(publish={})
    ours = _Account(client)
    publish(cast("Account", ours), topic, "ü" + "x" * 200, "text ü")
    assert ours.asked == [("sns", region)]
    assert client.calls == [("publish", {"TopicArn": topic, "Subject": "?" + "x" * 99, "Message": "text ü"})]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ([("a", "allowed"), ("b", "implicitDeny")], {"a": True, "b": False}),
        ([("a", "explicitDeny")], {"a": False, "b": None}),
        ([("a", "allowed"), ("c", "allowed")], {"a": True, "b": None}),
        (refusal("AccessDenied"), {"a": None, "b": None}),
    ],
)
def test_what_the_caller_is_allowed(answer: Any, found: Mapping[str, bool | None]) -> None:
    results = (
        [{"EvalActionName": name, "EvalDecision": word} for name, word in answer] if isinstance(answer, list) else []
    )
    client = _Client(simulate_principal_policy={"EvaluationResults": results} if results else answer)
    arn = f"arn:aws:sts::{OURS}:assumed-role/ops/me"
    assert simulate(account(client, caller=arn), ["a", "b"]) == found
    asked = client.calls[0][1]
    assert asked == {"PolicySourceArn": f"arn:aws:iam::{OURS}:role/ops", "ActionNames": ["a", "b"]}


@pytest.mark.parametrize(
    ("answer", "owner"),
    [({"UserName": "ci"}, "ci"), ({}, None), (refusal("NoSuchEntity"), None), (refusal("AccessDenied"), None)],
)
def test_whose_key_an_id_is(answer: Any, owner: str | None) -> None:
    client = _Client(get_access_key_last_used=answer)
    assert Directory(account(client)).owner(KEY) == owner
    assert client.calls == [("get_access_key_last_used", {"AccessKeyId": KEY})]


def test_an_owner_that_cannot_be_asked_for_is_not_taken_for_nobody() -> None:
    with pytest.raises(ProviderUnavailable):
        Directory(account(_Client(get_access_key_last_used=refusal("ServiceFailure", 500)))).owner(KEY)


@pytest.mark.parametrize(
    ("answer", "found"),
    [({"Account": OURS}, OURS), ({"Account": ""}, None), (refusal("ServiceFailure"), None)],
)
def test_which_account_a_key_belongs_to(answer: Any, found: str | None) -> None:
    for asking in (Directory, StsIdentity):
        client = _Client(get_access_key_info=answer)
        assert asking(account(client)).account_of(KEY) == found
        assert client.calls == [("get_access_key_info", {"AccessKeyId": KEY})]


def test_which_users_have_keys() -> None:
    def keys(UserName: str) -> Any:  # noqa: N803  # AWS's name
        if UserName == "hidden":
            return refusal("AccessDenied")
        return {"AccessKeyMetadata": [{"AccessKeyId": KEY}] if UserName == "ci" else []}

    pages = [{"Users": [{"UserName": "none"}]}, {"Users": [{"UserName": "ci"}]}]
    assert Directory(account(_Client(list_users=pages, list_access_keys=keys))).users_with_keys() == {"ci": (KEY,)}
    hidden = [*pages, {"Users": [{"UserName": "hidden"}]}]
    assert Directory(account(_Client(list_users=hidden, list_access_keys=keys))).users_with_keys() == {"ci": (KEY,)}


@pytest.mark.parametrize(
    ("logging", "is_missing"), [([], True), ([False], True), ([True], False), ([False, True], False)]
)
def test_whether_any_trail_is_logging(logging: Sequence[bool], is_missing: bool) -> None:
    trails = [{"TrailARN": str(number)} for number in range(len(logging))]
    client = _Client(
        describe_trails={"trailList": trails},
        get_trail_status=lambda **asked: {"IsLogging": logging[int(asked["Name"])]},
    )
    assert (find_missing_trail(account(client)) is not None) is is_missing
    assert client.calls[0] == ("describe_trails", {"includeShadowTrails": True})


ARN = f"arn:aws:iam::{OURS}:user/ci"
UNKNOWN = refusal("InvalidClientTokenId")


def test_a_key_is_asked_for_in_each_region_and_its_clients_are_closed() -> None:
    proving = _Client(get_caller_identity={"Arn": ARN})
    ours = _Account(_Client(), proving)
    identity = StsIdentity(cast("Account", ours), ["eu-central-1", "us-east-1"])
    assert identity.whoami(PAIR) == (ARN, ARN)
    assert [region for _, region in ours.asked] == ["eu-central-1", "us-east-1"] == list(identity.regions())
    assert proving.is_closed
    alone = _Account(_Client(), proving)
    assert StsIdentity(cast("Account", alone)).whoami(PAIR) == (ARN,)
    assert alone.asked == [("as the key", None)]


@pytest.mark.parametrize(
    ("own", "kind"),
    [({"Arn": ARN}, None), (UNKNOWN, ProviderRefused), (refusal("ServiceFailure", 500), ProviderUnavailable)],
)
def test_a_key_that_is_not_known_yet_is_told_from_a_region_that_knows_none(
    own: Any, kind: type[Exception] | None
) -> None:
    client = _Client(get_caller_identity=own)
    identity = StsIdentity(account(client, proving=_Client(get_caller_identity=UNKNOWN)), ["ap-east-1"])
    for _ in range(2):
        if kind is None:
            assert identity.whoami(PAIR) == (None,)
        else:
            with pytest.raises(kind, match="ap-east-1"):
                identity.whoami(PAIR)
    assert len(client.calls) == 1
    alone = StsIdentity(account(_Client(), proving=_Client(get_caller_identity=UNKNOWN)))
    assert alone.whoami(PAIR) == (None,)
