"""What the adapters of AWS send, and which permission a refusal asks for: the one of the call that was made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from builders import NEW, NOW, OLD, a_claim
from keyrota.aws.account import Account
from keyrota.aws.iam import SESSIONS_POLICY, IamAccessKeys
from keyrota.aws.kept import list_kept_secrets, release
from keyrota.aws.notices import publish, put_events
from keyrota.aws.parameters import ParameterStore
from keyrota.aws.secretsmanager import (
    SecretOptions,
    SecretsManagerStore,
    read_parameter,
    read_reference,
)
from keyrota.aws.stacks import Stacks
from keyrota.core.model import (
    AWSCURRENT,
    AWSPENDING,
    CLAIM,
    PENDING,
    PLACEHOLDER,
    SECRET_TAG,
    KeyPair,
    TargetEvidence,
    UserName,
    VersionId,
    placeholder_token,
)
from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError, NotThere, ProviderRefused, ProviderUnavailable
from keyrota.targets.parameter_store import KEY_TAG, ParameterTarget
from keyrota_sandbox.memory.clock import WorldClock

USER, NAME, ARN = UserName("ci-deploy"), "keyrota/ci-deploy", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x"
PAIR = KeyPair(id=NEW, secret=Secret("the-secret-access-key"))
VERSION = VersionId("v1")
BOTH = json.dumps({"AWS_ACCESS_KEY_ID": NEW, "AWS_SECRET_ACCESS_KEY": "the-secret-access-key", "other": 1})


def denied(code: str = "AccessDenied", message: str = "no") -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(answer, "X")


class Aws:
    """An account whose clients note what they are asked, and answer by operation; what has no answer is denied."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.places: list[tuple[str, str | None, bool]] = []
        self.region = "eu-central-1"

    def client(self, service: str, *, region: str | None = None, is_single_attempt: bool = False) -> Any:
        self.places.append((service, region, is_single_attempt))
        return _Client(service, self)

    def id(self) -> str:
        return "123456789012"

    def resolve_id(self, _: object) -> str:
        return self.id()

    def caller(self) -> str:
        return "arn:aws-cn:sts::123456789012:assumed-role/x/y"

    def answer(self, operation: str, asked: dict[str, Any]) -> Any:
        self.calls.append((operation, asked))
        answer = self.answers.get(operation, denied())
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def account(self) -> Account:
        return cast("Account", self)

    def asked(self, operation: str) -> list[dict[str, Any]]:
        return [asked for name, asked in self.calls if name == operation]


class _Client:
    def __init__(self, service: str, aws: Aws) -> None:
        self._service, self._aws = service, aws

    def __getattr__(self, name: str) -> Any:
        return lambda **asked: self._aws.answer(f"{self._service}:{camel(name)}", asked)

    def get_paginator(self, name: str) -> Any:
        aws, operation = self._aws, f"{self._service}:{camel(name)}"

        class Pages:
            def paginate(self, **asked: Any) -> Iterator[Any]:
                answer = aws.answer(operation, asked)
                return iter(answer if isinstance(answer, tuple) else [answer])

        return Pages()


def camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def store(aws: Aws, **options: Any) -> SecretsManagerStore:
    return SecretsManagerStore(aws.account, SecretOptions(**options))


def parameter(aws: Aws, **settings: Any) -> ParameterTarget:
    service = ParameterStore(aws.account, WorldClock(NOW))
    return ParameterTarget(service, {"parameter": "/ci/key", **settings})


def found_parameter(**more: Any) -> dict[str, Any]:
    one = {"Name": "/ci/key", "Type": "SecureString", "LastModifiedDate": NOW, "Version": 3, **more}
    return {"Parameters": [one]}


def tagged(**tags: str) -> dict[str, Any]:
    return {"TagList": [{"Key": key.replace("__", ":"), "Value": value} for key, value in tags.items()]}


OURS = {"ssm:DescribeParameters": found_parameter(), "ssm:ListTagsForResource": tagged(keyrota__key=OLD)}
STACK = {"StackName": "x", "StackStatus": "CREATE_COMPLETE", "StackId": "stack/x/1"}

CALLS: dict[str, tuple[Callable[[Aws], object], dict[str, Any]]] = {
    "list keys": (lambda aws: IamAccessKeys(aws.account).list(USER), {}),
    "create a key": (lambda aws: IamAccessKeys(aws.account).create(USER), {}),
    "deactivate": (lambda aws: IamAccessKeys(aws.account).deactivate(USER, OLD), {}),
    "reactivate": (lambda aws: IamAccessKeys(aws.account).reactivate(USER, OLD), {}),
    "delete a key": (lambda aws: IamAccessKeys(aws.account).delete(USER, OLD), {}),
    "read the tag": (lambda aws: IamAccessKeys(aws.account).secret_tag(USER), {}),
    "set the tag": (lambda aws: IamAccessKeys(aws.account).set_secret_tag(USER, "x"), {}),
    "remove the tag": (lambda aws: IamAccessKeys(aws.account).remove_secret_tag(USER), {}),
    "quarantine": (lambda aws: IamAccessKeys(aws.account).quarantine_policies(USER), {}),
    "release": (lambda aws: IamAccessKeys(aws.account).release_quarantine(USER, "x"), {}),
    "deny sessions": (lambda aws: IamAccessKeys(aws.account).deny_sessions_before(USER, NOW), {}),
    "describe": (lambda aws: store(aws).describe(NAME), {}),
    "resource policy": (lambda aws: store(aws).resource_policy(NAME), {}),
    "create a secret": (
        lambda aws: store(aws).create(NAME, {}),
        {"secretsmanager:DescribeSecret": {"ARN": ARN, "Name": NAME, "DeletedDate": NOW}},
    ),
    "read": (lambda aws: store(aws).read(NAME, VERSION), {}),
    "current": (lambda aws: store(aws).current(NAME), {}),
    "claim": (lambda aws: store(aws).claim(NAME), {}),
    "other fields": (lambda aws: store(aws).other_fields(NAME, VERSION), {}),
    "put a claim": (lambda aws: store(aws).put_claim(NAME, a_claim()), {}),
    "put pending": (lambda aws: store(aws).put_pending(NAME, VERSION, PAIR, beside=Secret("{}")), {}),
    "move a label": (lambda aws: store(aws).move_label(NAME, "x", to=VERSION, remove_from=None), {}),
    "tag a secret": (lambda aws: store(aws).tag(NAME, {"x": "y"}), {}),
    "reference": (lambda aws: read_reference(aws.account, NAME), {}),
    "parameter": (lambda aws: read_parameter(aws.account, "x"), {}),
    "kept secrets": (lambda aws: list_kept_secrets(aws.account), {}),
    "release a secret": (lambda aws: release(aws.account, ARN, NOW), {}),
    "events": (lambda aws: put_events(aws.account, [{}]), {}),
    "message": (lambda aws: publish(aws.account, "arn:aws:sns:eu-west-1:1:x", "s", "t"), {}),
    "stack": (lambda aws: Stacks(aws.account, WorldClock(NOW)).status("x"), {}),
    "resources": (lambda aws: Stacks(aws.account, WorldClock(NOW)).resources("x"), {}),
    "listed resources": (
        lambda aws: Stacks(aws.account, WorldClock(NOW)).resources("x"),
        {"cloudformation:GetTemplate": {"TemplateBody": {"Resources": {}}}},
    ),
    "delete a stack": (
        lambda aws: list(Stacks(aws.account, WorldClock(NOW)).delete("x")),
        {"cloudformation:DescribeStacks": {"Stacks": [STACK]}},
    ),
    "events of a stack": (
        lambda aws: list(Stacks(aws.account, WorldClock(NOW)).delete("x")),
        {"cloudformation:DescribeStacks": {"Stacks": [STACK]}, "cloudformation:DeleteStack": {}},
    ),
    "look at a parameter": (lambda aws: parameter(aws).write(PAIR), {}),
    "tags of a parameter": (
        lambda aws: parameter(aws).clear(frozenset({OLD})),
        {**OURS, "ssm:ListTagsForResource": denied()},
    ),
    "write a parameter": (lambda aws: parameter(aws).write(PAIR), OURS),
    "tag a parameter": (lambda aws: parameter(aws).write(PAIR), {**OURS, "ssm:PutParameter": {}}),
    "delete a parameter": (lambda aws: parameter(aws).clear(frozenset({OLD})), OURS),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_refusal_asks_for_the_permission_of_the_call_that_was_refused(case: str) -> None:
    """A person who allows what the error names must get further."""
    call, answers = CALLS[case]
    aws = Aws(**answers)
    with pytest.raises(KeyrotaError) as raised:
        call(aws)
    refused = [operation for operation, _ in aws.calls if isinstance(aws.answers.get(operation, denied()), Exception)]
    assert f"allow {refused[-1]} " in raised.value.remedy


CHANGE_SET: dict[str, Any] = {
    "cloudformation:DescribeStacks": denied("ValidationError", "Stack with id x does not exist"),
    "cloudformation:CreateChangeSet": {},
    "cloudformation:DescribeChangeSet": {"Status": "CREATE_COMPLETE"},
    "cloudformation:DeleteChangeSet": {},
    "cloudformation:ExecuteChangeSet": {},
}


@pytest.mark.parametrize("operation", list(CHANGE_SET)[1:])
def test_a_refused_change_of_a_stack_asks_for_its_permission(operation: str) -> None:
    status = {"Status": "FAILED", "StatusReason": "x"} if "Delete" in operation else {"Status": "CREATE_COMPLETE"}
    aws = Aws(**CHANGE_SET | {"cloudformation:DescribeChangeSet": status} | {operation: denied()})
    with pytest.raises(ProviderRefused) as raised:
        list(Stacks(aws.account, WorldClock(NOW)).change("x", "{}", {}))
    assert f"allow {operation} " in raised.value.remedy


# --- IAM ------------------------------------------------------------------------------------------------------------


def test_each_change_names_its_user_and_key() -> None:
    """Without UserName, IAM acts on the caller."""
    aws = Aws(**{f"iam:{name}": {} for name in ("UpdateAccessKey", "DeleteAccessKey", "TagUser", "UntagUser")})
    keys = IamAccessKeys(aws.account)
    keys.deactivate(USER, OLD)
    keys.reactivate(USER, OLD)
    keys.delete(USER, OLD)
    keys.set_secret_tag(USER, NAME)
    keys.remove_secret_tag(USER)
    assert aws.calls == [
        ("iam:UpdateAccessKey", {"UserName": USER, "AccessKeyId": OLD, "Status": "Inactive"}),
        ("iam:UpdateAccessKey", {"UserName": USER, "AccessKeyId": OLD, "Status": "Active"}),
        ("iam:DeleteAccessKey", {"UserName": USER, "AccessKeyId": OLD}),
        ("iam:TagUser", {"UserName": USER, "Tags": [{"Key": SECRET_TAG, "Value": NAME}]}),
        ("iam:UntagUser", {"UserName": USER, "TagKeys": [SECRET_TAG]}),
    ]


def test_a_key_is_made_by_a_client_that_sends_once() -> None:
    made = {"AccessKeyId": NEW, "SecretAccessKey": "s", "CreateDate": NOW}
    aws = Aws(**{"iam:CreateAccessKey": {"AccessKey": made}})
    created = IamAccessKeys(aws.account).create(USER)
    assert (created.credential.id, created.credential.secret.reveal(), created.created) == (NEW, "s", NOW)
    assert (aws.places, aws.calls) == ([("iam", None, True)], [("iam:CreateAccessKey", {"UserName": USER})])


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ([], ""),
        ([{"Key": "Keyrota:Secret", "Value": "x"}], "x"),
        ([{"Key": "team", "Value": "y"}, {"Key": SECRET_TAG, "Value": "x"}], "x"),
        ([{"Key": "keyrota:secret2", "Value": "y"}], ""),
    ],
)
def test_the_tag_that_names_the_secret_is_read_whatever_its_case(tags: list[dict[str, str]], found: str) -> None:
    aws = Aws(**{"iam:ListUserTags": {"Tags": tags}})
    assert IamAccessKeys(aws.account).secret_tag(USER) == found
    assert aws.calls == [("iam:ListUserTags", {"UserName": USER})]


def test_sessions_before_an_instant_are_denied_everything() -> None:
    aws = Aws(**{"iam:PutUserPolicy": {}})
    IamAccessKeys(aws.account).deny_sessions_before(USER, NOW)
    ((_, asked),) = aws.calls
    assert (asked["UserName"], asked["PolicyName"]) == (USER, SESSIONS_POLICY)
    assert json.loads(asked["PolicyDocument"]) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "DenySessionsIssuedBefore",
                "Effect": "Deny",
                "Action": "*",
                "Resource": "*",
                "Condition": {"DateLessThan": {"aws:TokenIssueTime": "2026-06-01T06:00:00Z"}},
            }
        ],
    }


# --- Secrets Manager ------------------------------------------------------------------------------------------------


def test_what_is_put_carries_its_version_its_labels_and_the_other_fields() -> None:
    aws = Aws(**{"secretsmanager:PutSecretValue": {}})
    stored, beside = store(aws), Secret('{"other": 1}')
    stored.put_pending(NAME, VERSION, PAIR, beside=beside)
    stored.put_restored(NAME, VERSION, PAIR, beside=beside)
    stored.put_rotating(NAME, VERSION, PAIR, beside=beside, rotation_token=None)
    stored.put_rotating(NAME, VERSION, PAIR, beside=beside, rotation_token="t")
    puts = aws.asked("secretsmanager:PutSecretValue")
    assert [asked["VersionStages"] for asked in puts] == [[PENDING, NEW], [NEW], [AWSPENDING, NEW], [AWSPENDING, NEW]]
    assert [asked.get("RotationToken") for asked in puts] == [None, None, None, "t"]
    assert all((asked["SecretId"], asked["ClientRequestToken"]) == (NAME, VERSION) for asked in puts)
    assert all(json.loads(asked["SecretString"]) == json.loads(BOTH) for asked in puts)


def test_a_claim_that_is_put_is_read_back_as_it_was() -> None:
    aws = Aws(**{"secretsmanager:PutSecretValue": {}})
    claim = a_claim(seen=[OLD, NEW])
    store(aws).put_claim(NAME, claim)
    (put,) = aws.asked("secretsmanager:PutSecretValue")
    assert (put["VersionStages"], put["ClientRequestToken"]) == ([CLAIM], claim.version)
    aws.answers["secretsmanager:GetSecretValue"] = {"VersionId": claim.version, "SecretString": put["SecretString"]}
    assert store(aws).claim(NAME) == claim == store(aws).claim(NAME, claim.version)
    assert aws.asked("secretsmanager:GetSecretValue") == [
        {"SecretId": NAME, "VersionStage": CLAIM},
        {"SecretId": NAME, "VersionId": claim.version},
    ]


def test_a_value_is_read_by_version_or_by_awscurrent() -> None:
    aws = Aws(**{"secretsmanager:GetSecretValue": {"VersionId": "v9", "SecretString": BOTH}})
    assert store(aws).read(NAME, VERSION) == PAIR
    assert store(aws).current(NAME) == ("v9", PAIR)
    assert json.loads(store(aws).other_fields(NAME, VERSION).reveal()) == {"other": 1}
    assert [asked for _, asked in aws.calls] == [
        {"SecretId": NAME, "VersionId": VERSION},
        {"SecretId": NAME, "VersionStage": AWSCURRENT},
        {"SecretId": NAME, "VersionId": VERSION},
    ]


@pytest.mark.parametrize(
    ("to", "remove_from", "sent"),
    [
        ("a", None, {"MoveToVersionId": "a"}),
        ("a", "b", {"MoveToVersionId": "a", "RemoveFromVersionId": "b"}),
        (None, "b", {"RemoveFromVersionId": "b"}),
        ("a", "a", {"MoveToVersionId": "a"}),
    ],
)
def test_a_label_is_moved_from_exactly_where_it_was_seen(to: Any, remove_from: Any, sent: dict[str, str]) -> None:
    """Secrets Manager refuses a move from a version to itself; the label is there already then."""
    aws = Aws(**{"secretsmanager:UpdateSecretVersionStage": {}})
    store(aws).move_label(NAME, "x", to=to, remove_from=remove_from)
    assert aws.calls == [("secretsmanager:UpdateSecretVersionStage", {"SecretId": NAME, "VersionStage": "x", **sent})]


def _described(**more: Any) -> dict[str, Any]:
    return {"ARN": ARN, "Name": NAME, **more}


def test_a_new_secret_has_its_options_its_tags_and_its_placeholder() -> None:
    token = placeholder_token(NAME)
    aws = Aws(
        **{
            "secretsmanager:CreateSecret": {},
            "secretsmanager:DescribeSecret": _described(VersionIdsToStages={token: [AWSCURRENT]}),
            "secretsmanager:UpdateSecretVersionStage": {},
        }
    )
    store(aws, kms_key="alias/x", replica_region="eu-west-1").create(NAME, {"a": "b"})
    (made,) = aws.asked("secretsmanager:CreateSecret")
    assert made.pop("Description")
    assert made == {
        "Name": NAME,
        "ClientRequestToken": token,
        "SecretString": '{"keyrota": "placeholder"}',
        "Tags": [{"Key": "a", "Value": "b"}],
        "KmsKeyId": "alias/x",
        "AddReplicaRegions": [{"Region": "eu-west-1"}],
    }
    assert aws.asked("secretsmanager:UpdateSecretVersionStage") == [
        {"SecretId": NAME, "VersionStage": PLACEHOLDER, "MoveToVersionId": token}
    ]


@pytest.mark.parametrize(
    ("state", "is_ours"),
    [
        ({}, True),
        ({"VersionIdsToStages": {placeholder_token(NAME): [AWSCURRENT]}}, True),
        ({"VersionIdsToStages": {"of-others": [AWSCURRENT]}}, False),
        ({"DeletedDate": NOW}, False),
        (None, False),
    ],
    ids=["empty", "begun by a run that died", "another's", "to be deleted", "gone"],
)
def test_a_secret_that_is_there_already_is_taken_only_where_it_is_empty_or_ours(
    state: dict[str, Any] | None, is_ours: bool
) -> None:
    aws = Aws(
        **{
            "secretsmanager:CreateSecret": denied("ResourceExistsException"),
            "secretsmanager:DescribeSecret": denied("ResourceNotFoundException")
            if state is None
            else _described(**state),
            "secretsmanager:PutSecretValue": {},
            "secretsmanager:UpdateSecretVersionStage": {},
        }
    )
    with suppress(ProviderRefused) if is_ours else pytest.raises(ProviderRefused):
        store(aws).create(NAME, {})
    writes = {operation for operation, _ in aws.calls} - {
        "secretsmanager:CreateSecret",
        "secretsmanager:DescribeSecret",
    }
    assert bool(writes) is is_ours
    if state == {}:
        (put,) = aws.asked("secretsmanager:PutSecretValue")
        assert put["VersionStages"] == [AWSCURRENT]


def test_a_label_that_is_there_is_not_put_again() -> None:
    aws = Aws(
        **{
            "secretsmanager:CreateSecret": {},
            "secretsmanager:DescribeSecret": _described(VersionIdsToStages={"v": [AWSCURRENT, PLACEHOLDER]}),
        }
    )
    store(aws).create(NAME, {})
    assert not aws.asked("secretsmanager:UpdateSecretVersionStage")


def test_a_described_secret_has_its_versions_tags_and_times() -> None:
    answer = _described(
        KmsKeyId="key/1",
        VersionIdsToStages={"b": [AWSCURRENT, OLD], "a": ["x"], "none": []},
        Tags=[{"Key": "k", "Value": "v"}],
        DeletedDate=NOW,
        LastChangedDate=NOW - timedelta(days=1),
        RotationEnabled=True,
    )
    aws = Aws(**{"secretsmanager:DescribeSecret": answer})
    state = store(aws).describe(NAME)
    assert state is not None
    assert [(str(one.id), set(one.labels)) for one in state.versions] == [("a", {"x"}), ("b", {AWSCURRENT, OLD})]
    assert (state.arn, state.name, state.tags) == (ARN, NAME, (("k", "v"),))
    assert (state.deleted_at, state.changed_at, state.rotates_itself) == (NOW, NOW - timedelta(days=1), True)
    assert state.other_kms_key == "key/1"
    known = store(aws, kms_key="key/1").describe(NAME)
    assert known is not None
    assert known.other_kms_key == ""


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("keyrota/token", None),
        (ARN, "eu-west-1"),
        ("arn:aws:ssm:us-east-1:1:parameter/x", "us-east-1"),
        ("not:an:arn:eu-west-1:x", None),
        ("arn:aws:ssm", None),
        ("arn:aws:ssm:eu-north-1", "eu-north-1"),
    ],
)
def test_a_reference_is_read_in_the_region_that_its_arn_names(name: str, region: str | None) -> None:
    aws = Aws(
        **{
            "secretsmanager:GetSecretValue": {"SecretString": '{"k": "a-token"}'},
            "ssm:GetParameter": {"Parameter": {"Value": "a-token"}},
        }
    )
    assert read_reference(aws.account, f"{name}#k").reveal() == "a-token"
    assert read_parameter(aws.account, name).reveal() == "a-token"
    assert aws.places == [("secretsmanager", region, False), ("ssm", region, False)]
    assert aws.calls[1] == ("ssm:GetParameter", {"Name": name, "WithDecryption": True})


@pytest.mark.parametrize("stage", [OLD, "keyrota:placeholder"])
def test_a_secret_of_keyrota_is_no_providers_token(stage: str) -> None:
    aws = Aws(**{"secretsmanager:GetSecretValue": {"SecretString": "x", "VersionStages": [AWSCURRENT, stage]}})
    with pytest.raises(ProviderRefused, match="not a token"):
        read_reference(aws.account, NAME)


# --- Parameter Store ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "settings", "kept"),
    [
        ({}, {}, {}),
        ({"KeyId": "alias/aws/ssm", "Tier": "Standard"}, {}, {}),
        ({"KeyId": "alias/mine", "Tier": "Advanced"}, {}, {"KeyId": "alias/mine", "Tier": "Advanced"}),
        ({"KeyId": "alias/mine"}, {"kms_key": "alias/other"}, {"KeyId": "alias/other"}),
    ],
)
def test_a_write_keeps_key_and_tier_and_names_the_key_beside_it(
    found: dict[str, Any], settings: dict[str, Any], kept: dict[str, str]
) -> None:
    there = found_parameter(**found)
    aws = Aws(**{"ssm:DescribeParameters": there, "ssm:PutParameter": {}, "ssm:AddTagsToResource": {}})
    parameter(aws, **settings).write(PAIR)
    (put,), (tag,) = aws.asked("ssm:PutParameter"), aws.asked("ssm:AddTagsToResource")
    assert json.loads(put.pop("Value")) == {"AWS_ACCESS_KEY_ID": NEW, "AWS_SECRET_ACCESS_KEY": "the-secret-access-key"}
    assert put == {"Name": "/ci/key", "Type": "SecureString", "Overwrite": True, **kept}
    assert tag == {"ResourceType": "Parameter", "ResourceId": "/ci/key", "Tags": [{"Key": KEY_TAG, "Value": NEW}]}


@pytest.mark.parametrize(
    ("settings", "key"), [({"kms_key": "alias/other"}, {"KeyId": "alias/other"}), ({}, {})], ids=["own key", "default"]
)
def test_a_new_parameter_overwrites_nothing_and_has_its_tag_from_the_beginning(
    settings: dict[str, Any], key: dict[str, str]
) -> None:
    aws = Aws(**{"ssm:DescribeParameters": {"Parameters": []}, "ssm:PutParameter": {}})
    parameter(aws, **settings).write(PAIR)
    (put,) = aws.asked("ssm:PutParameter")
    assert json.loads(put.pop("Value")) == {"AWS_ACCESS_KEY_ID": NEW, "AWS_SECRET_ACCESS_KEY": "the-secret-access-key"}
    tags = [{"Key": KEY_TAG, "Value": NEW}]
    assert put == {"Name": "/ci/key", "Type": "SecureString", "Overwrite": False, "Tags": tags, **key}


@pytest.mark.parametrize(
    ("tags", "evidence", "conflicts"),
    [
        (tagged(keyrota__key=OLD), TargetEvidence.HOLDS, 0),
        (tagged(keyrota__key="no-key"), TargetEvidence.CANNOT_TELL, 1),
        (tagged(team="x"), TargetEvidence.CANNOT_TELL, 1),
        ({}, TargetEvidence.CANNOT_TELL, 1),
    ],
)
def test_a_parameter_holds_the_key_that_its_tag_names(
    tags: dict[str, Any], evidence: TargetEvidence, conflicts: int
) -> None:
    aws = Aws(**{"ssm:DescribeParameters": found_parameter(), "ssm:ListTagsForResource": tags})
    state = parameter(aws).read()
    assert (state.evidence, state.changed_at, len(state.conflicts)) == (evidence, NOW, conflicts)
    assert state.key == (OLD if evidence is TargetEvidence.HOLDS else None)
    assert state.place is not None
    assert str(state.place) == "ssm arn:aws-cn:ssm:eu-central-1:123456789012 parameter /ci/key"
    assert aws.asked("ssm:ListTagsForResource") == [{"ResourceType": "Parameter", "ResourceId": "/ci/key"}]


def test_every_page_of_parameters_is_asked_for_and_a_list_without_end_is_refused() -> None:
    other = {**found_parameter()["Parameters"][0], "Name": "/ci/other"}
    first = {"Parameters": [other], "NextToken": "t"}
    aws = Aws(**OURS | {"ssm:DescribeParameters": [first, found_parameter()]})
    assert parameter(aws).read().key == OLD
    pages = aws.asked("ssm:DescribeParameters")
    assert [page.get("NextToken") for page in pages] == [None, "t"]
    assert all(
        page["ParameterFilters"] == [{"Key": "Name", "Option": "Equals", "Values": ["/ci/key"]}] for page in pages
    )
    endless = Aws(**OURS | {"ssm:DescribeParameters": first})
    with pytest.raises(ProviderUnavailable, match="more than 40 pages"):
        parameter(endless).write(PAIR)
    assert len(endless.asked("ssm:DescribeParameters")) == 40


# --- CloudFormation -------------------------------------------------------------------------------------------------


def test_a_change_set_is_awaited_and_carried_out_and_each_event_is_told_once() -> None:
    event = {"EventId": "1", "Timestamp": NOW, "LogicalResourceId": "Role", "ResourceStatus": "CREATE_COMPLETE"}
    older = {**event, "EventId": "0", "Timestamp": NOW - timedelta(seconds=1)}
    clock = WorldClock(NOW)
    aws = Aws(
        **CHANGE_SET
        | {
            "cloudformation:DescribeStacks": [
                CHANGE_SET["cloudformation:DescribeStacks"],
                {"Stacks": [{**STACK, "StackStatus": "CREATE_IN_PROGRESS"}]},
                {"Stacks": [STACK]},
            ],
            "cloudformation:DescribeChangeSet": [{"Status": "CREATE_PENDING"}, {"Status": "CREATE_COMPLETE"}],
            "cloudformation:DescribeStackEvents": {"StackEvents": [event, older]},
        }
    )
    told = list(Stacks(aws.account, clock).change("x", "https://template", {"a": "b"}))
    assert [(one.resource, one.status, one.reason) for one in told] == [("Role", "CREATE_COMPLETE", "")]
    (made,) = aws.asked("cloudformation:CreateChangeSet")
    assert made.pop("ChangeSetName") == aws.asked("cloudformation:ExecuteChangeSet")[0]["ChangeSetName"]
    assert made == {
        "StackName": "x",
        "ChangeSetType": "CREATE",
        "TemplateURL": "https://template",
        "Parameters": [{"ParameterKey": "a", "ParameterValue": "b"}],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "Tags": [{"Key": "keyrota", "Value": "stack"}],
    }
    assert clock.now() == NOW + timedelta(seconds=4)


def test_stack_events_are_read_back_to_what_was_seen() -> None:
    """A change of many resources has more events than a page; those of earlier weeks are not read each time."""

    def events(*numbers: int) -> list[dict[str, Any]]:
        made = {"ResourceStatus": "CREATE_COMPLETE"}
        return [
            {**made, "EventId": str(one), "LogicalResourceId": f"R{one}", "Timestamp": NOW + timedelta(seconds=one)}
            for one in numbers
        ]

    pages = [
        {"StackEvents": events(4, 3), "NextToken": "a"},
        {"StackEvents": events(2, 1), "NextToken": "b"},
        {"StackEvents": events(0, -1), "NextToken": "c"},
        {"StackEvents": events(6, 5), "NextToken": "d"},
        {"StackEvents": events(4, 3), "NextToken": "e"},
    ]
    aws = Aws(
        **CHANGE_SET
        | {
            "cloudformation:DescribeStacks": [
                CHANGE_SET["cloudformation:DescribeStacks"],
                {"Stacks": [{**STACK, "StackStatus": "CREATE_IN_PROGRESS"}]},
                {"Stacks": [STACK]},
            ],
            "cloudformation:DescribeStackEvents": pages,
        }
    )
    told = list(Stacks(aws.account, WorldClock(NOW)).change("x", "https://template", {}))
    assert [one.resource for one in told] == [f"R{number}" for number in range(7)]
    tokens = [asked.get("NextToken") for asked in aws.asked("cloudformation:DescribeStackEvents")]
    assert tokens == [None, "a", "b", None, "d"], "and no page of an earlier change"


@pytest.mark.parametrize(
    ("status", "kind"), [("CREATE_COMPLETE", "UPDATE"), ("REVIEW_IN_PROGRESS", "CREATE")], ids=["there", "only begun"]
)
def test_a_stack_that_is_there_is_updated(status: str, kind: str) -> None:
    nothing = {"Status": "FAILED", "StatusReason": "No updates are to be performed."}
    aws = Aws(
        **CHANGE_SET
        | {
            "cloudformation:DescribeStacks": {"Stacks": [{**STACK, "StackStatus": status}]},
            "cloudformation:DescribeChangeSet": nothing,
        }
    )
    assert list(Stacks(aws.account, WorldClock(NOW)).change("x", "{}", {})) == []
    (made,) = aws.asked("cloudformation:CreateChangeSet")
    assert (made["ChangeSetType"], made["TemplateBody"]) == (kind, "{}")
    assert len(aws.asked("cloudformation:DeleteChangeSet")) == 1
    assert not aws.asked("cloudformation:ExecuteChangeSet")


def test_cloudformation_is_not_waited_for_without_end() -> None:
    clock = WorldClock(NOW)
    aws = Aws(**CHANGE_SET | {"cloudformation:DescribeChangeSet": {"Status": "CREATE_PENDING"}})
    with pytest.raises(ProviderUnavailable, match="did not finish"):
        list(Stacks(aws.account, clock).change("x", "{}", {}))
    assert clock.now() == NOW + timedelta(hours=1)


@pytest.mark.parametrize("ended", ["ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "CREATE_FAILED"])
def test_a_stack_that_went_back_is_a_failure(ended: str) -> None:
    aws = Aws(
        **CHANGE_SET
        | {
            "cloudformation:DescribeStacks": {"Stacks": [{**STACK, "StackStatus": ended}]},
            "cloudformation:DescribeStackEvents": {"StackEvents": []},
        }
    )
    with pytest.raises(ProviderRefused, match=ended) as raised:
        list(Stacks(aws.account, WorldClock(NOW)).change("x", "{}", {}))
    assert ("keyrota undeploy" in raised.value.remedy) is (ended == "ROLLBACK_COMPLETE")


def test_a_deleted_stack_is_followed_by_its_id() -> None:
    """A stack that is gone answers to its ID alone."""
    aws = Aws(
        **{
            "cloudformation:DescribeStacks": [
                {"Stacks": [STACK]},
                {"Stacks": [{**STACK, "StackStatus": "DELETE_COMPLETE"}]},
            ],
            "cloudformation:DeleteStack": {},
            "cloudformation:DescribeStackEvents": {"StackEvents": []},
        }
    )
    assert list(Stacks(aws.account, WorldClock(NOW)).delete("x")) == []
    assert aws.asked("cloudformation:DeleteStack") == [{"StackName": "x"}]
    assert aws.asked("cloudformation:DescribeStackEvents") == [{"StackName": "stack/x/1"}]
    failed = Aws(
        **aws.answers | {"cloudformation:DescribeStacks": {"Stacks": [{**STACK, "StackStatus": "DELETE_FAILED"}]}}
    )
    with pytest.raises(ProviderRefused, match="DELETE_FAILED"):
        list(Stacks(failed.account, WorldClock(NOW)).delete("x"))


@pytest.mark.parametrize("as_text", [True, False])
def test_what_stays_when_a_stack_is_deleted(as_text: bool) -> None:
    content = {
        "Resources": {"A": {"DeletionPolicy": "Retain"}, "B": {}, "C": {"DeletionPolicy": "RetainExceptOnCreate"}}
    }
    listed = [
        {"LogicalResourceId": name, "ResourceType": "AWS::S3::Bucket", "PhysicalResourceId": name.lower()}
        for name in "ABC"
    ]
    aws = Aws(
        **{
            "cloudformation:GetTemplate": {"TemplateBody": json.dumps(content) if as_text else content},
            "cloudformation:ListStackResources": {"StackResourceSummaries": listed},
        }
    )
    found = Stacks(aws.account, WorldClock(NOW)).resources("x")
    assert [(one.id, one.kind, one.is_retained) for one in found] == [
        ("a", "AWS::S3::Bucket", True),
        ("b", "AWS::S3::Bucket", False),
        ("c", "AWS::S3::Bucket", True),
    ]


def test_outputs_parameters_and_dates_of_a_stack() -> None:
    full = {
        **STACK,
        "CreationTime": NOW - timedelta(days=1),
        "Outputs": [{"OutputKey": "o", "OutputValue": "1"}],
        "Parameters": [{"ParameterKey": "p", "ParameterValue": "2"}],
    }
    stacks = Stacks(Aws(**{"cloudformation:DescribeStacks": {"Stacks": [full]}}).account, WorldClock(NOW))
    assert (stacks.outputs("x"), stacks.parameters("x")) == ({"o": "1"}, {"p": "2"})
    assert stacks.read_time("x") == NOW - timedelta(days=1)
    changed = Aws(**{"cloudformation:DescribeStacks": {"Stacks": [{**full, "LastUpdatedTime": NOW}]}})
    assert Stacks(changed.account, WorldClock(NOW)).read_time("x") == NOW
    none = Aws(**{"cloudformation:DescribeStacks": CHANGE_SET["cloudformation:DescribeStacks"]})
    gone = Stacks(none.account, WorldClock(NOW))
    assert (gone.status("x"), gone.outputs("x"), gone.parameters("x"), gone.read_time("x")) == (None, {}, {}, None)


def test_a_missing_secret_is_none_and_a_missing_user_is_named() -> None:
    gone = Aws(**{"secretsmanager:DescribeSecret": denied("ResourceNotFoundException")})
    assert store(gone).describe(NAME) is None
    with pytest.raises(NotThere, match="ci-deploy does not exist in account 123456789012"):
        IamAccessKeys(Aws(**{"iam:ListAccessKeys": denied("NoSuchEntity")}).account).list(USER)
