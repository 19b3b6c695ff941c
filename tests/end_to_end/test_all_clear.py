"""Safe is said only of keys that were read as Inactive or gone after the command (promise all-clear-is-seen)."""

from __future__ import annotations

import json
import re

import pytest
from cli_rig import SECRET, USER
from function_rig import ACCOUNT, ROLE, Context, Rig, batch, native, rig

from keyrota.app.functions import emergency, rotate, sync, watch
from keyrota.app.functions.invocation import RunFailed

pytestmark = pytest.mark.usefixtures("rig")
__all__ = ["rig"]
SERVED_BY = ("revoke", "--served-by", "bitbucket", "--yes")


def quarantined(rig: Rig) -> dict[str, object]:
    """CloudTrail's event of AWS's quarantine, at the sandbox's time."""
    detail = {
        "eventName": "AttachUserPolicy",
        "eventTime": f"{rig.box.cloud.clock.now():%Y-%m-%dT%H:%M:%SZ}",
        "recipientAccountId": ACCOUNT,
        "requestParameters": {"userName": USER, "policyArn": "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"},
        "userIdentity": {"arn": f"arn:aws:iam::{ACCOUNT}:root"},
    }
    return {"id": "1", "source": "aws.iam", "detail-type": "AWS API Call via CloudTrail", "detail": detail}


def made(rig: Rig) -> tuple[str, str]:
    key = rig.box.admin("iam").create_access_key(UserName=USER)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def deactivated(rig: Rig, *keys: str) -> None:
    for key in keys:
        rig.box.admin("iam").update_access_key(UserName=USER, AccessKeyId=key, Status="Inactive")


def put_by_a_person(rig: Rig) -> str:
    """A credential that keyrota rotated, whose AWSCURRENT a person has replaced since."""
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    sync.handler(batch(native()), Context())
    rig.box.admin("iam").delete_access_key(UserName=USER, AccessKeyId=rig.box.old.id)
    rig.box.travel(days=1)
    pair = made(rig)
    value = {"AWS_ACCESS_KEY_ID": pair[0], "AWS_SECRET_ACCESS_KEY": pair[1]}
    rig.box.admin("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=json.dumps(value))
    rig.box.travel(minutes=1)
    return pair[0]


def test_two_unmanaged_keys_are_not_yet_safe(rig: Rig) -> None:
    other, _ = made(rig)
    rig.box.travel(minutes=1)
    code, out, _ = rig.box.run(*SERVED_BY)
    assert (code, "safe again: 0 of 1" in out, "not yet" in out) == (1, True, True), out
    for key in (rig.box.old.id, other):
        assert f"{key} is still Active" in out
        assert f"--access-key-id {key} --status Inactive" in out
    assert set(rig.box.keys().values()) == {"Active"}
    again = re.search(r"--before \S+", out)
    assert again is not None
    deactivated(rig, rig.box.old.id, other)
    code, out, _ = rig.box.run(*SERVED_BY, *again[0].split())
    assert (code, "safe again: 1 of 1" in out) == (0, True), out


def test_a_time_of_another_zone_is_printed_as_the_same_instant(rig: Rig) -> None:
    """It was printed without its offset and with Z: keys of the hours between counted as made after the breach."""
    made(rig)
    code, out, _ = rig.box.run(*SERVED_BY, "--before", "2025-12-31T19:00:00-05:00")
    assert (code, "--before 2026-01-01T00:00:00Z" in out) == (1, True), out
    _, out, _ = rig.box.run(*SERVED_BY, "--before", "2025-12-31T19:00:00-05:00", "--json")
    assert json.loads(out)["before"] == "2026-01-01T00:00:00Z"


def test_revoke_now_does_not_promise_what_it_will_not_do(rig: Rig) -> None:
    """It said that an unmanaged key "is deactivated first. Whoever has it is out", and left it alone."""
    other, _ = made(rig)
    rig.box.travel(minutes=1)
    code, out, err = rig.box.run("revoke", USER, "--key", other, "--now", "--yes")
    assert code == 1, out + err
    assert "is out" not in err
    assert f"{other} STAYS ACTIVE:\n  {other} was not made or adopted by keyrota" in err
    assert f"--access-key-id {other} --status Inactive" in out
    assert set(rig.box.keys().values()) == {"Active"}


def test_revoke_now_says_what_is_inactive_already(rig: Rig) -> None:
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    sync.handler(batch(native()), Context())
    old = rig.box.old.id
    deactivated(rig, old)
    rig.lines()
    _, out, err = rig.box.run("revoke", USER, "--key", old, "--now", "--yes")
    assert f"{old} is Inactive already." in err, out + err
    assert "is out" not in err
    (current,) = (key for key, status in rig.box.keys().items() if status == "Active")
    for _ in range(2):  # no slot is free: the second time there is nothing left to deactivate
        _, out, err = rig.box.run("revoke", USER, "--key", current, "--now", "--yes")
    assert set(rig.box.keys().values()) == {"Inactive"}
    assert f"{current} is Inactive already." in err
    assert f"--now deactivates {current}" not in out


def test_an_unmanaged_key_beside_a_managed_one_is_not_yet_safe(rig: Rig) -> None:
    """Whether it was ever at the provider is not known, and unknown is never safe."""
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    sync.handler(batch(native()), Context())
    rig.box.admin("iam").delete_access_key(UserName=USER, AccessKeyId=rig.box.old.id)
    rig.box.travel(days=1)
    other, _ = made(rig)
    rig.box.travel(minutes=1)
    rig.lines()
    code, document = rig.box.json(*SERVED_BY)
    (verdict,) = document["credentials"]
    assert (code, verdict["safe"]) == (1, False)
    assert f"{other} is still Active" in verdict["reasons"]


@pytest.mark.parametrize("is_emergency", [False, True])
def test_a_value_that_a_person_put_is_taken_in_or_not_yet_safe(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, is_emergency: bool
) -> None:
    """Whatever is done: the all-clear and the keys agree."""
    put_by_a_person(rig)
    before = set(rig.box.keys())
    monkeypatch.setenv("KEYROTA_EMERGENCY", "auto")
    if is_emergency:
        said_safe = True
        try:
            emergency.handler(quarantined(rig), Context())
        except RunFailed:
            said_safe = False
    else:
        said_safe = rig.box.run(*SERVED_BY)[0] == 0
    is_off = all(rig.box.keys().get(key) != "Active" for key in before)
    assert said_safe <= is_off
    assert is_off or not is_emergency, "the function deactivates first; that it could not replace them is its failure"


def test_the_emergency_function_fails_until_unmanaged_keys_are_off(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYROTA_EMERGENCY", "auto")
    other, _ = made(rig)
    rig.box.travel(minutes=1)
    event = quarantined(rig)
    with pytest.raises(RunFailed, match="not yet") as failed:
        emergency.handler(event, Context())
    assert f"--access-key-id {other} --status Inactive" in str(failed.value)
    ((subject, text),) = rig.alarms
    assert "NOT YET" in subject
    assert "are replaced" not in text
    deactivated(rig, rig.box.old.id, other)
    assert emergency.handler(event, Context()) == {"safe": [f"{rig.box.cloud.admin.account_id}:{USER}"], "open": []}
    assert "every key that the user had is Inactive or deleted" in rig.alarms[-1][1]


def test_what_the_run_believes_is_not_enough(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """UpdateAccessKey answers 200 and the key stays Active: a read after the command says so."""
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    sync.handler(batch(native()), Context())
    rig.box.travel(days=1)
    monkeypatch.setattr("keyrota.aws.iam.IamAccessKeys.deactivate", lambda *_: None)
    code, out, _ = rig.box.run(*SERVED_BY)
    assert (code, "safe again: 0 of 1" in out) == (1, True), out
    assert "is still Active" in out


@pytest.mark.parametrize(
    ("by", "is_ours"),
    [
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/keyrota-rotate", True),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/{ROLE}", False),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}-of-mallory/{ROLE}", False),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/x{ROLE}/x", False),
        (f"arn:aws:sts::999999999999:assumed-role/{ROLE}/keyrota-rotate", False),
        (f"arn:aws:iam::{ACCOUNT}:user/{ROLE}", False),
        (f"arn:aws:iam::{ACCOUNT}:role/{ROLE}", False),
        (f"arn:aws:sts::{ACCOUNT}:federated-user/{ROLE}", False),
        (f"arn:aws:sts::{ACCOUNT}:federated-user/a:assumed-role/{ROLE}/x", False),
        ("", False),
    ],
)
def test_only_a_role_of_ours_makes_a_change_ours(rig: Rig, by: str, is_ours: bool) -> None:
    """The name of a session, or the same role name in another account, proves nothing."""
    detail = {
        "eventName": "DeleteAccessKey",
        "recipientAccountId": ACCOUNT,
        "requestParameters": {"userName": USER},
        "userIdentity": {"arn": by},
    }
    watch.handler({"id": "1", "source": "aws.iam", "detail": detail}, Context())
    assert bool(rig.alarms) is not is_ours
    assert bool(rig.told("Access Key Changed By Others")) is not is_ours
