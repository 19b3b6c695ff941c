"""The founding job: a value that anyone puts into the secret is served by its event, or refused at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cli_rig import CANARY_TOKEN, SECRET, USER
from function_rig import Context, Rig, batch, cloudtrail, native, rig

from keyrota.app.functions import deactivate, rotate, sync

pytestmark = pytest.mark.usefixtures("rig")
__all__ = ["rig"]
Pair = tuple[str, str]


@pytest.fixture(autouse=True)
def rotated(rig: Rig) -> str:
    """A credential that keyrota has rotated and served, with a slot free; returns the key that the target holds."""
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    sync.handler(batch(native()), Context())
    rig.box.admin("iam").delete_access_key(UserName=USER, AccessKeyId=rig.box.old.id)
    rig.box.travel(days=1)
    held = rig.box.held()["AWS_ACCESS_KEY_ID"]
    assert held != rig.box.old.id
    rig.bus.clear()
    rig.lines()
    return held


def made(rig: Rig, user: str = USER) -> Pair:
    """Make a key outside keyrota."""
    key = rig.box.admin("iam").create_access_key(UserName=user)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def put(rig: Rig, value: Any) -> None:
    """Store a value as `aws secretsmanager put-secret-value --secret-string` does: no version stages."""
    text = value if isinstance(value, str) else json.dumps(value)
    rig.box.admin("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=text)


def as_json(pair: Pair) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": pair[0], "AWS_SECRET_ACCESS_KEY": pair[1]}


EVENTS = {
    "Secrets Manager's own": native(),
    "PutSecretValue": cloudtrail("PutSecretValue", {"secretId": SECRET}),
    "UpdateSecret": cloudtrail("UpdateSecret", {"secretId": SECRET}),
    "UpdateSecretVersionStage": cloudtrail(
        "UpdateSecretVersionStage", {"secretId": SECRET, "versionStage": "AWSCURRENT"}
    ),
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_a_value_that_a_person_puts_is_served_by_its_event_within_a_minute(rig: Rig, event: Any) -> None:
    """No other duty runs, and no label is moved: the role of sync may not."""
    pair = made(rig)
    put(rig, as_json(pair))
    began = rig.box.cloud.clock.now()
    labels = rig.labels()
    answer = sync.handler(batch(event, event), Context())
    assert rig.box.held() == as_json(pair)
    assert rig.box.cloud.clock.now() - began < timedelta(minutes=1)
    assert answer["batchItemFailures"] == []
    assert {done["action"] for done in answer["done"]} == {"adopt", "sync"}
    assert [told["key"] for told in rig.told("Access Key Adopted")] == [pair[0]]
    assert [told["key"] for told in rig.told("Access Key Synced")] == [pair[0]]
    assert rig.labels() == labels
    assert sync.handler(batch(event), Context())["failed"] == []
    assert rig.box.held() == as_json(pair), "a repeated or late event changes nothing"


def test_the_key_that_was_replaced_by_hand_leaves_on_proof(rig: Rig, rotated: str) -> None:
    """Until a run that rotates has labelled the new value, the older key stays; then it takes the usual way."""
    pair = made(rig)
    put(rig, as_json(pair))
    sync.handler(batch(native()), Context())
    held = deactivate.handler({}, Context())["held"]
    assert rig.box.keys()[rotated] == "Active", held
    rotate.handler({}, Context())
    assert pair[0] in {label for labels in rig.labels().values() for label in labels}
    rig.box.travel(days=101)
    sync.handler({}, Context())
    deactivate.handler({}, Context())
    assert rig.box.keys()[rotated] == "Inactive"
    assert rig.box.keys()[pair[0]] == "Active"


def _other_user(rig: Rig) -> Any:
    rig.box.cloud.admin.add_user("ci-other")
    return as_json(made(rig, "ci-other"))


def _inactive(rig: Rig) -> Any:
    pair = made(rig)
    rig.box.admin("iam").update_access_key(UserName=USER, AccessKeyId=pair[0], Status="Inactive")
    return as_json(pair)


def _wrong_secret(rig: Rig) -> Any:
    return as_json((made(rig)[0], "x" * 40))


REFUSED: dict[str, tuple[Callable[[Rig], Any], str]] = {
    "another user's key": (_other_user, "belongs to the user ci-other"),
    "an Inactive key": (_inactive, "which is Inactive"),
    "a key with another secret": (_wrong_secret, "STS does not accept the pair"),
    "a key that does not exist": (
        lambda _: as_json(("AKIAMADEUPMADEUP1234", "x" * 40)),
        "STS does not accept the pair",
    ),
    "half a pair": (lambda rig: {"AWS_ACCESS_KEY_ID": made(rig)[0]}, "half a pair"),
    "a pair under other names": (
        lambda rig: {"accessKeyId": made(rig)[0], "secretAccessKey": "x" * 40},
        "look like a pair under other names",
    ),
    "no key ID": (lambda _: as_json(("hunter2", "x" * 40)), "no access key ID"),
    "an empty object": (lambda _: {}, "no access key"),
    "a list": (lambda _: "[1]", "not a JSON object"),
    "no JSON": (lambda _: "AKIAMADEUPMADEUP1234:hunter2", "not a JSON object"),
}


@pytest.mark.parametrize(("value", "why"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_cannot_be_served_is_held_and_reported_at_once(
    rig: Rig, value: Callable[[Rig], Any], why: str
) -> None:
    """Nothing is written; the event, the metric and the function's answer all say so."""
    put(rig, value(rig))
    before = rig.box.held()
    answer = sync.handler(batch(native()), Context())
    assert rig.box.held() == before
    (held,) = [held for held in answer["held"] if why in held["reason"]]
    assert held["user"] == USER
    (told,) = rig.told("Secret Value Refused")
    assert why in told["reason"]
    assert told["remedy"]
    lines = rig.lines()
    assert [line["ValuesRefused"] for line in lines if "ValuesRefused" in line] == [[1.0]]
    assert "hunter2" not in json.dumps([rig.bus, lines, answer])
    code, document = rig.box.json("sync")
    assert code in {1, 3}, document
    assert any(why in hold["reason"] for hold in document["credentials"][0]["holds"])
    assert rig.box.held() == before


def test_a_binary_value_is_held(rig: Rig, rotated: str) -> None:
    rig.box.admin("secretsmanager").put_secret_value(SecretId=SECRET, SecretBinary=b"\x00\x01")
    assert "binary" in sync.handler(batch(native()), Context())["held"][0]["reason"]
    assert rig.box.held()["AWS_ACCESS_KEY_ID"] == rotated


def test_a_good_value_after_a_bad_one_is_served(rig: Rig) -> None:
    """Events out of order: what is sent is always AWSCURRENT as it is read then."""
    put(rig, "oops")
    sync.handler(batch(native()), Context())
    pair = made(rig)
    put(rig, as_json(pair))
    sync.handler(batch(native()), Context())
    assert rig.box.held() == as_json(pair)


def test_the_command_line_serves_it_as_well(rig: Rig, rotated: str) -> None:
    """One `sync`, or one `apply`, is enough."""
    for command in ("sync", "apply"):
        pair = made(rig)
        put(rig, as_json(pair))
        code, document = rig.box.json(command)
        assert rig.box.held() == as_json(pair), document
        assert code in {0, 3}, document
        rig.box.admin("iam").delete_access_key(UserName=USER, AccessKeyId=rotated)
        rotated = pair[0]


def test_a_refusal_of_aws_is_no_fault_of_the_value(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """AccessDenied on reading it fails, and comes back to the queue; the value is not called bad."""
    from keyrota.aws.secretsmanager import SecretsManagerStore  # noqa: PLC0415  # beside its only use
    from keyrota.errors import ProviderRefused  # noqa: PLC0415

    put(rig, as_json(made(rig)))

    def refuse(*_: object) -> None:
        raise ProviderRefused("not allowed: secretsmanager:GetSecretValue", remedy="allow it")

    monkeypatch.setattr(SecretsManagerStore, "read", refuse)
    answer = sync.handler(batch(native()), Context())
    assert answer["batchItemFailures"] == [{"itemIdentifier": "m0"}]
    assert rig.told("Secret Value Refused") == []


def test_no_value_is_in_what_is_said(rig: Rig) -> None:
    pair = made(rig)
    put(rig, as_json((pair[0], "canary-secret-that-is-wrong-0123456789ab")))
    answer = sync.handler(batch(native()), Context())
    said = json.dumps([answer, rig.bus, rig.lines(), rig.alarms])
    assert "canary-secret" not in said
    assert CANARY_TOKEN not in said
