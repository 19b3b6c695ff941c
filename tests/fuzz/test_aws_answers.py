"""Whatever AWS answers and whatever people put into secrets and tags: a value or a clear error, and nothing lost."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from fuzz_rig import ANYTHING, CANARY, TEXTS, bent, examples, tried
from hostile_aws import Aws, Reply, as_json, as_xml, aws_that_says
from hypothesis import given
from hypothesis import strategies as st

from builders import NEW, OLD, USER
from keyrota.aws.account import Account
from keyrota.aws.directory import Directory
from keyrota.aws.iam import IamAccessKeys
from keyrota.aws.parameters import ParameterStore
from keyrota.aws.secretsmanager import SecretsManagerStore, read_parameter, read_reference
from keyrota.aws.sts import StsIdentity
from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import Evidence, KeyPair, KeyStatus, VersionId
from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError, ProviderUnavailable
from keyrota.ports import Target
from keyrota.targets.parameter_store import ParameterTarget
from keyrota_sandbox.memory import WorldClock

PAIR = KeyPair(id=NEW, secret=Secret(CANARY))
NAME, V1 = "keyrota/ci-deploy", VersionId("11111111-2222-3333-4444-555555555555")
ARN = f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{NAME}-AbCdEf"

# What AWS answers, from where the bending begins.
DESCRIBED = {
    "ARN": ARN,
    "Name": NAME,
    "VersionIdsToStages": {V1: ["AWSCURRENT", OLD], "v0": ["AWSPREVIOUS", "keyrota:revoked:x"]},
    "Tags": [{"Key": "keyrota:synced", "Value": "v@2026-01-01T00:00:00+00:00"}, {"Key": "team", "Value": "shop"}],
    "LastChangedDate": 1.77e9,
    "DeletedDate": 1.77e9,
    "RotationEnabled": True,
}
VALUE = {
    "ARN": ARN,
    "Name": NAME,
    "VersionId": V1,
    "SecretString": json.dumps({"AWS_ACCESS_KEY_ID": OLD, "AWS_SECRET_ACCESS_KEY": CANARY}),
    "VersionStages": ["AWSCURRENT"],
}
PARAMETER = {
    "Parameter": {"Name": "/a", "Type": "SecureString", "Value": CANARY, "Version": 1, "LastModifiedDate": 1.77e9},
    "Parameters": [{"Name": "/a", "Type": "SecureString", "Version": 1, "LastModifiedDate": 1.77e9, "Policies": []}],
    "TagList": [{"Key": "keyrota:key", "Value": OLD}],
}
KEYS = {
    "AccessKeyMetadata": [
        {"UserName": USER, "AccessKeyId": OLD, "Status": "Active", "CreateDate": "2026-01-01T00:00:00Z"},
        {"UserName": USER, "AccessKeyId": NEW, "Status": "Inactive", "CreateDate": "2026-03-01T00:00:00Z"},
    ],
    "IsTruncated": "false",
}
USED = {
    "UserName": USER,
    "AccessKeyLastUsed": {"LastUsedDate": "2026-05-01T00:00:00Z", "ServiceName": "s3", "Region": "eu-central-1"},
}
CREATED = {
    "AccessKey": {
        "UserName": USER,
        "AccessKeyId": NEW,
        "Status": "Active",
        "SecretAccessKey": CANARY,
        "CreateDate": "2026-06-01T00:00:00Z",
    }
}
POLICIES = {"AttachedPolicies": [{"PolicyName": "AWSCompromisedKeyQuarantineV3", "PolicyArn": "arn:aws:iam::aws:x"}]}
IDENTITY = {"Arn": "arn:aws:iam::123456789012:user/ci-deploy", "UserId": "AIDA", "Account": "123456789012"}
USERS = {"Users": [{"UserName": USER, "UserId": "x", "Arn": "x", "Path": "/", "CreateDate": "2026-01-01T00:00:00Z"}]}

DATES = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday", "1e400", "nan", "-1e18", "2026-02-30"]
ODD = st.one_of(ANYTHING, st.sampled_from([*DATES, 1e300, -1e300, float("nan"), 10**400, "Suspended", "Active "]))
ERRORS = st.builds(
    lambda code, message, status: Reply(body=json.dumps({"__type": code, "message": message}).encode(), status=status),
    st.sampled_from(["AccessDeniedException", "ThrottlingException", "ResourceNotFoundException", "X", "", "KMS"]),
    TEXTS,
    st.sampled_from([400, 403, 404, 413, 429, 500, 503, 200]),
)
BROKEN = st.one_of(
    st.builds(
        lambda body, status: Reply(body=body, status=status), st.binary(max_size=30), st.sampled_from([200, 400])
    ),
    st.sampled_from([b"", b"{", b"[]", b"null", b"5", b"<html>", b"<a><b></a>", b"<a/>", b"\xff\xfe", b"[" * 9999]).map(
        lambda body: Reply(body=body)
    ),
    st.sampled_from([200, 400, 403, 500, 503]).map(lambda status: Reply(body=b"", status=status, is_echo=True)),
    ERRORS,
)


def in_json(content: Any) -> st.SearchStrategy[Reply]:
    return st.one_of(bent(content, ODD).map(as_json), bent(content, ODD).map(as_json), BROKEN)


def in_xml(operation: str, content: Any) -> st.SearchStrategy[Reply]:
    made = bent(content, ODD).map(lambda found: as_xml(operation, found))
    return st.one_of(made, made, BROKEN)


Road = Callable[[Account], Any]
SECRETS: dict[str, Road] = {
    "describe": lambda account: SecretsManagerStore(account).describe(NAME),
    "create": lambda account: SecretsManagerStore(account).create(NAME, {"keyrota:user": USER}),
    "read": lambda account: SecretsManagerStore(account).read(NAME, V1),
    "current": lambda account: SecretsManagerStore(account).current(NAME),
    "claim": lambda account: SecretsManagerStore(account).claim(NAME),
    "other_fields": lambda account: SecretsManagerStore(account).other_fields(NAME, V1),
    "put": lambda account: SecretsManagerStore(account).put_pending(NAME, V1, PAIR, beside=Secret("{}")),
    "move": lambda account: SecretsManagerStore(account).move_label(NAME, "x", to=V1, remove_from=None),
    "tag": lambda account: SecretsManagerStore(account).tag(NAME, {"keyrota:synced": "x"}),
    "reference": lambda account: read_reference(account, f"{NAME}#AWS_ACCESS_KEY_ID"),
    "whole reference": lambda account: read_reference(account, NAME),
}


def a_parameter(account: Account) -> Target:
    """Make a target in an account whose ID is known already."""
    account._id, account._arn = "123456789012", "arn:aws:iam::123456789012:user/keyrota"
    return ParameterTarget(ParameterStore(account, WorldClock()), {"parameter": "/a"})


STORE: dict[str, Road] = {
    "read": lambda account: a_parameter(account).read(),
    "preflight": lambda account: a_parameter(account).preflight(),
    "surroundings": lambda account: a_parameter(account).surroundings(),
    "write": lambda account: a_parameter(account).write(PAIR),
    "clear": lambda account: a_parameter(account).clear(frozenset({NEW})),
    "parameter": lambda account: read_parameter(account, "/a"),
}
PEOPLE: dict[str, tuple[str, Any, Road]] = {
    "list": ("ListAccessKeys", KEYS, lambda account: IamAccessKeys(account).list(USER)),
    "last_use": ("GetAccessKeyLastUsed", USED, lambda account: IamAccessKeys(account).last_use(OLD)),
    "create": ("CreateAccessKey", CREATED, lambda account: IamAccessKeys(account).create(USER)),
    "delete": ("DeleteAccessKey", {}, lambda account: IamAccessKeys(account).delete(USER, OLD)),
    "deactivate": ("UpdateAccessKey", {}, lambda account: IamAccessKeys(account).deactivate(USER, OLD)),
    "quarantine": ("ListAttachedUserPolicies", POLICIES, lambda a: IamAccessKeys(a).quarantine_policies(USER)),
    "whoami": ("GetCallerIdentity", IDENTITY, lambda account: StsIdentity(account).whoami(PAIR)),
    "enter": ("GetCallerIdentity", IDENTITY, lambda account: account.enter(WorldClock())),
    "owner": ("GetAccessKeyLastUsed", USED, lambda account: Directory(account).owner(OLD)),
    "users": ("ListUsers", USERS, lambda account: Directory(account).users_with_keys()),
}


def check_secret(found: Any) -> None:
    """A pair is a pair, and what is read is of the type that the port names."""
    if isinstance(found, tuple):
        found = found[1]
    if isinstance(found, KeyPair):
        assert KEY_ID.fullmatch(found.id)
        assert found.secret
        assert isinstance(found.secret.reveal(), str)


@pytest.mark.parametrize("name", SECRETS)
@examples(12)
@given(data=st.data())
def test_secrets_manager_may_answer_anything(name: str, data: st.DataObject) -> None:
    replies = data.draw(st.lists(in_json(DESCRIBED) | in_json(VALUE), min_size=1, max_size=3))
    with aws_that_says(*replies) as (account, _):
        found = tried(lambda: SECRETS[name](account))
    check_secret(found)
    assert CANARY not in repr(found)


@pytest.mark.parametrize("name", STORE)
@examples(12)
@given(data=st.data())
def test_parameter_store_may_answer_anything(name: str, data: st.DataObject) -> None:
    replies = data.draw(st.lists(in_json(PARAMETER), min_size=1, max_size=3))
    with aws_that_says(*replies) as (account, _):
        found = tried(lambda: STORE[name](account))
    assert CANARY not in repr(found)


@pytest.mark.parametrize("name", PEOPLE)
@examples(12)
@given(data=st.data())
def test_iam_and_sts_may_answer_anything(name: str, data: st.DataObject) -> None:
    operation, content, road = PEOPLE[name]
    replies = data.draw(st.lists(in_xml(operation, content), min_size=1, max_size=3))
    with aws_that_says(*replies) as (account, _):
        found = tried(lambda: road(account))
    assert CANARY not in repr(found)
    if name == "list" and isinstance(found, tuple):
        assert all(key.status in KeyStatus and key.created.tzinfo for key in found)


# --- what people put into a secret ----------------------------------------------------------------------------------

FIELDS = st.dictionaries(TEXTS | st.sampled_from(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "keyrota"]), ANYTHING)
CONTENTS = st.one_of(
    TEXTS.map(lambda text: {"SecretString": text}),
    ANYTHING.map(lambda content: {"SecretString": json.dumps(content)}),
    FIELDS.map(lambda content: {"SecretString": json.dumps(content)}),
    bent({"AWS_ACCESS_KEY_ID": OLD, "AWS_SECRET_ACCESS_KEY": CANARY, "db": {"password": CANARY}}).map(
        lambda content: {"SecretString": json.dumps(content)}
    ),
    st.binary(max_size=20).map(lambda data: {"SecretBinary": base64.b64encode(data).decode()}),
)


@examples(80)
@given(content=CONTENTS, name=st.sampled_from(["read", "current", "claim", "other_fields", "reference"]))
def test_a_secret_may_hold_anything(content: dict[str, str], name: str) -> None:
    with aws_that_says(as_json({"ARN": ARN, "Name": NAME, "VersionId": V1, **content})) as (account, _):
        found = tried(lambda: SECRETS[name](account))
    check_secret(found)
    assert CANARY not in repr(found)


@examples(80)
@given(others=st.dictionaries(TEXTS, ANYTHING, max_size=5))
def test_fields_of_other_people_are_kept_as_they_are(others: dict[str, Any]) -> None:
    """What stands beside the pair goes on, whatever it is: huge numbers, half surrogate pairs, not-a-number."""
    before = json.dumps({**others, "AWS_ACCESS_KEY_ID": OLD, "AWS_SECRET_ACCESS_KEY": "old"})
    with aws_that_says(as_json({"ARN": ARN, "VersionId": V1, "SecretString": before})) as (account, line):
        store = SecretsManagerStore(account)
        store.put_pending(NAME, V1, PAIR, beside=store.other_fields(NAME, V1))
    after = json.loads(json.loads(sent(line))["SecretString"])
    theirs = {key: value for key, value in others.items() if key not in OURS}
    assert json.dumps({key: value for key, value in after.items() if key not in OURS}) == json.dumps(theirs)
    assert (after["AWS_ACCESS_KEY_ID"], after["AWS_SECRET_ACCESS_KEY"]) == (PAIR.id, CANARY)


OURS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "keyrota"}


def sent(line: Aws) -> bytes:
    return line.sent[-1]


# --- lists without end, and what was found --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "content", "name"), [("ListAccessKeys", KEYS, "list"), ("ListUsers", USERS, "users")]
)
@pytest.mark.parametrize("marker", [["same"], [f"page-{n}" for n in range(290)]], ids=["repeated", "endless"])
def test_a_list_without_end_has_one(operation: str, content: Any, name: str, marker: list[str]) -> None:
    replies = [as_xml(operation, {**content, "IsTruncated": True, "Marker": one}) for one in marker]
    with aws_that_says(*replies) as (account, line):
        tried(lambda: PEOPLE[name][2](account))
    assert line.calls < 250


@pytest.mark.parametrize("body", [b"", b"<html>", b"<a><b></a>", b"{", as_xml("CreateAccessKey", {}).body])
def test_an_answer_to_create_that_cannot_be_read_may_have_made_a_key(body: bytes) -> None:
    """The answer is as good as lost: a key may exist, and nobody may say that nothing was changed."""
    with (
        aws_that_says(Reply(body=body)) as (account, line),
        pytest.raises(ProviderUnavailable, match="may have been made"),
    ):
        IamAccessKeys(account).create(USER)
    assert line.calls == 1


@pytest.mark.parametrize("body", [b"", b"<html>", as_xml("GetAccessKeyLastUsed", {"AccessKeyLastUsed": 5}).body])
def test_a_last_use_that_cannot_be_read_is_unknown(body: bytes) -> None:
    with aws_that_says(Reply(body=body)) as (account, _):
        assert IamAccessKeys(account).last_use(OLD).evidence is Evidence.UNKNOWN


@pytest.mark.parametrize("status", [400, 403, 413, 500])
@pytest.mark.parametrize("road", [SECRETS["put"], STORE["write"]], ids=["secret", "parameter"])
def test_a_refusal_that_repeats_the_request_does_not_leak_it(road: Road, status: int) -> None:
    """A firewall's error page may quote what it stopped."""
    with aws_that_says(as_json(PARAMETER), *[Reply(body=b"", status=status, is_echo=True)] * 8) as (account, line):
        first = tried(lambda: road(account))
        second = tried(lambda: road(account))
    assert CANARY.encode() in b"".join(line.sent)
    assert isinstance(first, KeyrotaError) or isinstance(second, KeyrotaError)


def test_a_tag_whose_value_is_no_text_names_no_key() -> None:
    """What the JSON holds is handed on by botocore, whatever its model says; a list was a TypeError."""
    odd = {**PARAMETER, "TagList": [{"Key": "keyrota:key", "Value": [OLD]}]}
    with aws_that_says(as_json(odd)) as (account, _):
        assert a_parameter(account).read().key is None
        assert isinstance(tried(lambda: STORE["clear"](account)), KeyrotaError)
