"""
Where the world and moto differ, and where moto differs from AWS: each row with its source, and each tried.

A row that does not hold any more fails: the difference is gone, and the row, or what mends it, can go too.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from aws_rig import a_cloud, client
from botocore.exceptions import ClientError
from parity import Both, Side, Value, both_sides

from keyrota.aws.account import Account
from keyrota.core.model import AWSCURRENT, AWSPENDING, UserName, VersionId
from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError
from keyrota_sandbox.cloud import Cloud
from keyrota_sandbox.memory.stored import MAX_LABELS, MAX_VALUE_BYTES, MAX_VERSIONS

NAME = "keyrota/deploy"
USER = UserName("ci-deploy")


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """One sandbox for all."""
    with a_cloud() as made:
        yield made


@pytest.fixture(scope="module")
def account(cloud: Cloud) -> Account:
    """The sandbox's account, entered."""
    made = Account()
    made.enter(cloud.clock)
    return made


@pytest.fixture
def both(cloud: Cloud, account: Account) -> Both:
    """Both sides, with a user that has a key, and a secret."""
    made = both_sides(cloud, account)
    made.by_hand(lambda side: side.hands.make_user(USER))
    made.by_hand(lambda side: side.learn_pair("k1", side.hands.make_key(USER)))
    made.call(lambda side: side.store.create(NAME, {}))
    return made


def token(name: str) -> str:
    """Make a ClientRequestToken."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


# --- the world and moto -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What the world answers, what moto behind the strict layer answers, and who says which is AWS's."""

    what: str
    do: Callable[[Side], Any]
    world: str
    moto: str
    source: str


def _put_while_deleted(side: Side) -> None:
    side.hands.delete_secret(NAME, 30, is_forced=False)
    side.hands.put(NAME, Value(), (AWSCURRENT,))


DIFFERENCES = (
    Difference(
        what="a person stores a value in a secret that is scheduled for deletion",
        do=_put_while_deleted,
        world="done",
        moto="InvalidRequestException",
        source="moto is right (botocore, InvalidRequestException). In the world nobody is told of a refusal, and what "
        "people do there is done; no call of keyrota's comes by this way.",
    ),
)


def _told(do: Callable[[], Any]) -> str:
    try:
        do()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    except KeyrotaError as error:
        return type(error).__name__
    return "done"


@pytest.mark.parametrize("row", DIFFERENCES, ids=lambda row: row.what)
def test_the_world_differs_from_moto_in_this_and_no_more(both: Both, row: Difference) -> None:
    assert _told(lambda: row.do(both.here)) == row.world
    assert _told(lambda: row.do(both.there)) == row.moto
    assert row.world != row.moto
    assert row.source


# --- moto and AWS -----------------------------------------------------------------------------------------------------


class NoRules:
    """Moto as it is, without the strict layer's rules for secrets."""

    def secret(self, *_: Any) -> None:
        """Find nothing to judge."""

    def check(self, *_: Any) -> None:
        """Let everything pass."""

    def settle(self, *_: Any) -> None:
        """Mend nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mend:
    """What moto alone answers, what the strict layer answers as AWS does, and where that is said."""

    what: str
    do: Callable[[Any, Cloud], Any]
    moto: Any
    aws: Any
    source: str


def _worn(sm: Any) -> list[list[str]]:
    return sorted(sorted(labels) for labels in sm.describe_secret(SecretId=NAME)["VersionIdsToStages"].values())


def _two_contents(sm: Any, _: Cloud) -> None:
    for value in ("one", "two"):
        sm.put_secret_value(
            SecretId=NAME, SecretString=value, ClientRequestToken=token("a"), VersionStages=[AWSPENDING]
        )


def _create_again(sm: Any, _: Cloud) -> list[list[str]]:
    sm.update_secret_version_stage(SecretId=NAME, VersionStage=AWSPENDING, MoveToVersionId=token("first"))
    sm.create_secret(Name=NAME, SecretString="first", ClientRequestToken=token("first"))
    return _worn(sm)


def _labels_after_promotion(sm: Any, _: Cloud) -> list[list[str]]:
    sm.put_secret_value(SecretId=NAME, SecretString="a", ClientRequestToken=token("a"), VersionStages=["mine"])
    sm.update_secret_version_stage(
        SecretId=NAME, VersionStage=AWSCURRENT, MoveToVersionId=token("a"), RemoveFromVersionId=token("first")
    )
    sm.put_secret_value(SecretId=NAME, SecretString="by hand")
    return _worn(sm)


def _two_places(sm: Any, _: Cloud) -> None:
    for value in ("a", "b"):
        sm.put_secret_value(SecretId=NAME, SecretString=value, ClientRequestToken=token(value), VersionStages=[value])
    sm.update_secret_version_stage(SecretId=NAME, VersionStage="a", MoveToVersionId=token("b"))


def _no_current(sm: Any, _: Cloud) -> None:
    sm.update_secret_version_stage(SecretId=NAME, VersionStage=AWSCURRENT, RemoveFromVersionId=token("first"))


def _update_again(sm: Any, _: Cloud) -> None:
    sm.update_secret(SecretId=NAME, SecretString="first", ClientRequestToken=token("first"))


def _while_deleted(what: str, **arguments: Any) -> Callable[[Any, Cloud], Any]:
    def do(sm: Any, _: Cloud) -> None:
        sm.delete_secret(SecretId=NAME)
        getattr(sm, what)(**arguments)

    return do


def _after_the_window(sm: Any, cloud: Cloud) -> None:
    sm.delete_secret(SecretId=NAME, RecoveryWindowInDays=7)
    cloud.clock.travel(timedelta(days=8))
    sm.restore_secret(SecretId=NAME)


def _many_labels(sm: Any, _: Cloud) -> None:
    for number in range(MAX_LABELS):
        sm.update_secret_version_stage(SecretId=NAME, VersionStage=f"l{number}", MoveToVersionId=token("first"))


def _many_versions(sm: Any, _: Cloud) -> None:
    for number in range(MAX_VERSIONS):
        sm.put_secret_value(
            SecretId=NAME, SecretString="x", ClientRequestToken=token(f"{number}"), VersionStages=["mine"]
        )


def _old_version(sm: Any, cloud: Cloud) -> None:
    for number in range(3):
        sm.put_secret_value(
            SecretId=NAME, SecretString="x", ClientRequestToken=token(f"{number}"), VersionStages=["mine"]
        )
        cloud.clock.travel(timedelta(hours=25))
    sm.get_secret_value(SecretId=NAME, VersionId=token("0"))


def _long_value(sm: Any, _: Cloud) -> None:
    sm.put_secret_value(SecretId=NAME, SecretString="x" * (MAX_VALUE_BYTES + 1))


def _rotate(sm: Any, _: Cloud) -> None:
    sm.rotate_secret(SecretId=NAME, RotationRules={"AutomaticallyAfterDays": 30})


_TAGS = [{"Key": "a", "Value": "b"}]
_INVALID, _MISSING = "InvalidRequestException", "ResourceNotFoundException"
MENDED = (
    Mend(
        what="one ClientRequestToken with two contents",
        do=_two_contents,
        moto=None,
        aws="ResourceExistsException",
        source="botocore, PutSecretValue, ClientRequestToken",
    ),
    Mend(
        what="CreateSecret again, while its version wears AWSPENDING",
        do=_create_again,
        moto=[["AWSCURRENT"]],
        aws=[["AWSCURRENT", "AWSPENDING"]],
        source="botocore, CreateSecret, ClientRequestToken: the request is ignored",
    ),
    Mend(
        what="labels after a promotion and a value by hand",
        do=_labels_after_promotion,
        moto=[["AWSCURRENT"], ["AWSCURRENT", "mine"], ["AWSPREVIOUS"]],
        aws=[[], ["AWSCURRENT"], ["AWSPREVIOUS", "mine"]],
        source="botocore, PutSecretValue: AWSPREVIOUS goes to where AWSCURRENT was; other labels are not named",
    ),
    Mend(
        what="a label that is elsewhere, without RemoveFromVersionId",
        do=_two_places,
        moto=None,
        aws="InvalidParameterException",
        source="botocore, UpdateSecretVersionStage, RemoveFromVersionId",
    ),
    Mend(
        what="AWSCURRENT taken off",
        do=_no_current,
        moto=None,
        aws="InvalidParameterException",
        source="aws-secrets-manager-rotation-lambdas#92: every secret has AWSCURRENT, by design",
    ),
    Mend(
        what="UpdateSecret with the token of a version that exists",
        do=_update_again,
        moto=None,
        aws="ResourceExistsException",
        source="botocore, UpdateSecret: the operation results in an error",
    ),
    Mend(
        what="CreateSecret while it is scheduled for deletion",
        do=_while_deleted("create_secret", Name=NAME, SecretString="first", ClientRequestToken=token("first")),
        moto=None,
        aws=_INVALID,
        source="redpanda console#1835, copilot-cli#655 and others quote AWS's words",
    ),
    Mend(
        what="a label that is nowhere, read while it is scheduled for deletion",
        do=_while_deleted("get_secret_value", SecretId=NAME, VersionStage="nowhere"),
        moto=_MISSING,
        aws=_INVALID,
        source="botocore, DeleteSecret: the value cannot be retrieved (that the state is looked at first is inferred)",
    ),
    Mend(
        what="TagResource while it is scheduled for deletion",
        do=_while_deleted("tag_resource", SecretId=NAME, Tags=_TAGS),
        moto=None,
        aws=_INVALID,
        source="botocore, TagResource, errors",
    ),
    Mend(
        what="RestoreSecret after the recovery window",
        do=_after_the_window,
        moto=None,
        aws=_MISSING,
        source="botocore, DeleteSecret: some time after it, the secret is deleted (here: at once)",
    ),
    Mend(
        what="the 21st staging label of a secret",
        do=_many_labels,
        moto=None,
        aws="LimitExceededException",
        source="user guide, quotas: labels attached across all versions, 20",
    ),
    Mend(
        what="the 101st version of a day",
        do=_many_versions,
        moto=None,
        aws="LimitExceededException",
        source="user guide, quotas: about 100 versions; none of the last 24 hours is removed",
    ),
    Mend(
        what="a version without a label, a day later",
        do=_old_version,
        moto=None,
        aws=_MISSING,
        source="botocore, UpdateSecretVersionStage: deprecated, can be deleted (here: as early as that may be)",
    ),
    Mend(
        what="a value of 65,537 characters",
        do=_long_value,
        moto=None,
        aws="ValidationException",
        source="botocore, PutSecretValue, SecretString",
    ),
    Mend(
        what="RotateSecret without a function",
        do=_rotate,
        moto=None,
        aws=_INVALID,
        source="botocore, InvalidRequestException, causes",
    ),
)


def _answer(do: Callable[[], Any]) -> Any:
    try:
        return do()
    except ClientError as error:
        return error.response["Error"]["Code"]


@pytest.mark.parametrize("row", MENDED, ids=lambda row: row.what)
def test_moto_differs_from_aws_in_this_and_the_strict_layer_does_not(
    cloud: Cloud, row: Mend, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for rules in (NoRules(), cloud.aws._rules):
        cloud.aws.reset()
        with monkeypatch.context() as patch:
            patch.setattr(cloud.aws, "_rules", rules)
            sm = client(cloud, "secretsmanager")
            sm.create_secret(Name=NAME, SecretString="first", ClientRequestToken=token("first"))
            found.append(_answer(partial(row.do, sm, cloud)))
    assert found == [row.moto, row.aws]
    assert row.source


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK waits before it asks again."""
    monkeypatch.setattr(time, "sleep", lambda _: None)


# --- the quotas, on both sides ----------------------------------------------------------------------------------------


def _put_under(side: Side, *, label: str) -> VersionId:
    return side.hands.put(NAME, Value(), (label,))


@pytest.mark.usefixtures("_no_pauses")
def test_labels_are_counted_across_all_versions(both: Both) -> None:
    """A new pair needs two labels more; the 21st is refused, by both, and nothing has changed."""
    pending = VersionId(token("pending"))
    both.version("pending", (pending, pending))

    def put(side: Side) -> None:
        side.store.put_pending(NAME, pending, side.pair("k1"), beside=Secret("{}"))

    for label in [f"l{number}" for number in range(MAX_LABELS - 3)]:
        both.by_hand(partial(_put_under, label=label))
    assert both.call(put)[:2] == ("error", "ProviderRefused")
    both.by_hand(lambda side: side.hands.move_label(NAME, "l0", None))
    assert both.call(put)[0] == "answer"
    move = both.call(lambda side: side.store.move_label(NAME, "one more", to=pending, remove_from=None))
    assert move[:2] == ("error", "ProviderRefused")


@pytest.mark.usefixtures("_no_pauses")
def test_versions_of_a_day_are_kept_and_counted(both: Both) -> None:
    """A hundred within a day, and none more; a day later, those without a label are gone with the next one."""
    for number in range(MAX_VERSIONS - 1):
        made = both.by_hand(lambda side: side.hands.put(NAME, Value(), ("theirs",)))
        both.version(f"v{number}", made)
    late = VersionId(token("late"))
    both.version("late", (late, late))

    def put(side: Side) -> None:
        side.store.put_pending(NAME, late, side.pair("k1"), beside=Secret("{}"))

    assert both.call(put)[:2] == ("error", "ProviderRefused")
    assert both.call(lambda side: side.store.read(NAME, side.version("v0")))[0] == "answer"
    both.tick(timedelta(hours=25))
    assert both.call(lambda side: side.store.read(NAME, side.version("v0")))[0] == "answer"
    assert both.call(put)[0] == "answer"
    assert both.call(lambda side: side.store.read(NAME, side.version("v0")))[:2] == ("error", "NotThere")
    assert both.call(lambda side: side.store.describe(NAME))[0] == "answer"


def test_a_value_without_room_is_refused_before_a_key_is_made(both: Both) -> None:
    """Written as JSON again, what a person stored can be longer than it was."""
    made = both.by_hand(lambda side: side.hands.put(NAME, Value(fields={"a": "ß" * 11_000}), (AWSCURRENT,)))
    both.version("full", made)
    full = both.call(lambda side: side.store.other_fields(NAME, side.version("full")))
    assert full[:2] == ("error", "SecretUnusable")
    made = both.by_hand(lambda side: side.hands.put(NAME, Value(fields={"a": "ß" * 10_000}), (AWSCURRENT,)))
    both.version("wide", made)
    assert both.call(lambda side: side.store.other_fields(NAME, side.version("wide")))[0] == "answer"


@pytest.mark.parametrize("version", ["short", "x" * 65])
def test_a_version_s_id_has_32_to_64_characters(both: Both, version: str) -> None:
    """The SDK refuses a shorter one, Secrets Manager a longer one."""
    named = VersionId(version)
    put = both.call(lambda side: side.store.put_pending(NAME, named, side.pair("k1"), beside=Secret("{}")))
    assert put[:2] == ("error", "ProviderRefused")
