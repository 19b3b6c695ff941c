"""IAM, STS and Secrets Manager behind their ports, against the strict sandbox."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from urllib.parse import parse_qsl

import pytest
from aws_rig import CANARY, a_cloud, client

from keyrota.aws.account import Account, Role
from keyrota.aws.iam import IamAccessKeys
from keyrota.aws.permissions import DUTIES, policy_document, simulate
from keyrota.aws.secretsmanager import (
    FieldNames,
    SecretOptions,
    SecretsManagerStore,
    read_parameter,
    read_reference,
)
from keyrota.aws.sts import StsIdentity
from keyrota.core.lifecycle import CLOCKS_DIFFER
from keyrota.core.model import (
    AWSCURRENT,
    CLAIM,
    PENDING,
    PLACEHOLDER,
    AccessKey,
    AccessKeyId,
    Claim,
    Evidence,
    KeyPair,
    KeyStatus,
    UserName,
    VersionId,
    key_token,
)
from keyrota.core.secret import Secret
from keyrota.errors import (
    ClockIsOff,
    KeyrotaError,
    LostRace,
    NoCredentials,
    NotThere,
    ProviderRefused,
    ProviderUnavailable,
    SecretUnusable,
)
from keyrota_sandbox.cloud import Cloud
from keyrota_sandbox.faults import Fault, FaultKind
from keyrota_sandbox.memory import WorldClock
from keyrota_sandbox.server import Request, Response, Server


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """One sandbox for all."""
    with a_cloud() as made:
        yield made


@pytest.fixture(autouse=True)
def _no_faults_left(cloud: Cloud) -> Iterator[None]:
    """Trouble ends with its test."""
    yield
    cloud.faults.clear()


@pytest.fixture(scope="module")
def account(cloud: Cloud) -> Account:
    """The sandbox's account, entered."""
    made = Account()
    made.enter(cloud.clock)
    return made


@pytest.fixture
def user(cloud: Cloud) -> UserName:
    """A user of its own."""
    name = f"user-{uuid.uuid4().hex[:8]}"
    cloud.admin.add_user(name)
    return UserName(name)


@pytest.fixture
def keys(account: Account) -> IamAccessKeys:
    """IAM."""
    return IamAccessKeys(account)


@pytest.fixture
def store(account: Account) -> SecretsManagerStore:
    """Secrets Manager."""
    return SecretsManagerStore(account)


@pytest.fixture
def name() -> str:
    """A secret's name."""
    return f"keyrota/{uuid.uuid4().hex[:8]}/access-key"


def a_pair(label: str = "ONE") -> KeyPair:
    """Make a pair with a canary."""
    return KeyPair(id=AccessKeyId(f"AKIA{label:0>16}"), secret=Secret(f"{CANARY}/{label}"))


def test_a_resource_policy_and_a_foreign_kms_key_are_shown(
    cloud: Cloud, store: SecretsManagerStore, account: Account, name: str
) -> None:
    """The strict sandbox keeps a policy as AWS does; a secret without one answers without it."""
    key = "arn:aws:kms:eu-central-1:999999999999:key/1"
    aws = client(cloud, "secretsmanager")
    aws.create_secret(Name=name, KmsKeyId=key)
    assert store.resource_policy(name) is None
    statement = {"Effect": "Allow", "Principal": {"AWS": "999999999999"}, "Action": "secretsmanager:GetSecretValue"}
    policy = {"Version": "2012-10-17", "Statement": [statement | {"Resource": "*"}]}
    aws.put_resource_policy(SecretId=name, ResourcePolicy=json.dumps(policy))
    assert json.loads(store.resource_policy(name) or "") == policy
    state = store.describe(name)
    assert state is not None
    assert state.other_kms_key == key
    configured = SecretsManagerStore(account, SecretOptions(kms_key=key)).describe(name)
    assert configured is not None
    assert not configured.other_kms_key, "the configuration names it"
    with pytest.raises(NotThere):
        store.resource_policy(f"{name}-none")
    cloud.faults.add(
        Fault(operation="secretsmanager:GetResourcePolicy", status=400, code="AccessDeniedException", times=-1)
    )
    with pytest.raises(ProviderRefused) as caught:
        store.resource_policy(name)
    assert "secretsmanager:GetResourcePolicy" in f"{caught.value} {caught.value.remedy}"


# --- IAM ------------------------------------------------------------------------------------------------------------


def test_keys_are_listed_oldest_first_with_status(cloud: Cloud, keys: IamAccessKeys, user: UserName) -> None:
    young = cloud.admin.add_key(user, age=timedelta(days=1), status="Inactive")
    old = cloud.admin.add_key(user, age=timedelta(days=91))
    found = keys.list(user)
    assert [key.id for key in found] == [old.id, young.id]
    assert [key.status for key in found] == [KeyStatus.ACTIVE, KeyStatus.INACTIVE]
    assert (cloud.clock.now() - found[0].created).days == 91
    assert found[0].last_use.evidence is Evidence.UNKNOWN, "not read yet is not never used"


def test_a_status_that_is_not_known_is_kept_as_it_is(cloud: Cloud, keys: IamAccessKeys, user: UserName) -> None:
    cloud.admin.add_key(user, status="Expired")
    (key,) = keys.list(user)
    assert (key.status, key.status_word) == (KeyStatus.OTHER, "Expired")


def test_a_missing_user_is_named_with_a_remedy(keys: IamAccessKeys) -> None:
    with pytest.raises(NotThere, match="nobody does not exist in account 123456789012") as caught:
        keys.list(UserName("nobody"))
    assert "user" in caught.value.remedy


def iam_of(
    name: str, count: int, asked: list[dict[str, str]], *, is_told: bool = True
) -> Callable[[Request], Response]:
    """Answer ListAccessKeys for a user of this name, whatever spelling was asked for; youngest first, in pages."""

    def iam(request: Request) -> Response:
        form = dict(parse_qsl(request.body.decode()))
        asked.append(form)
        if form["Action"] == "GetUser":
            text = (
                '<GetUserResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetUserResult><User>'
                f"<UserName>{name}</UserName></User></GetUserResult></GetUserResponse>"
                if is_told
                else "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
            )
            return Response(status=200 if is_told else 403, body=text.encode(), headers={"Content-Type": "text/xml"})
        first = int(form.get("Marker", "0"))
        members = "".join(
            f"<member><UserName>{name}</UserName><AccessKeyId>AKIA{number:016}</AccessKeyId><Status>Active</Status>"
            f"<CreateDate>{date(2026, 1, 1) - timedelta(days=number)}T00:00:00Z</CreateDate></member>"
            for number in range(first, min(first + 100, count))
        )
        is_more = first + 100 < count
        more = f"<IsTruncated>{str(is_more).lower()}</IsTruncated>" + ("<Marker>100</Marker>" if is_more else "")
        text = (
            '<ListAccessKeysResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ListAccessKeysResult>'
            f"<AccessKeyMetadata>{members}</AccessKeyMetadata>{more}</ListAccessKeysResult></ListAccessKeysResponse>"
        )
        return Response(body=text.encode(), headers={"Content-Type": "text/xml"})

    return iam


def listed(iam: Callable[[Request], Response], user: str) -> tuple[AccessKey, ...]:
    server = Server({"/": iam})
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", server.url)
            return IamAccessKeys(Account(region="eu-central-1")).list(UserName(user))
    finally:
        server.close()


def test_every_page_of_keys_is_read() -> None:
    """IAM pages by a hundred; 120 keys (parallel calls passed the quota) are two pages, here youngest first."""
    asked: list[dict[str, str]] = []
    found = listed(iam_of("u", 120, asked), "u")
    assert [key.id for key in found] == [f"AKIA{number:016}" for number in reversed(range(120))], "by age, not by ID"
    assert len(asked) == 2
    assert all(form["UserName"] == "u" for form in asked)


def test_another_spelling_of_a_user_is_refused_before_a_key_is_made() -> None:
    """IAM finds the user by it, and STS would never accept the new key as that user's: a slot would be lost."""
    for count in (1, 0):  # of a user without keys, the list names nobody
        with pytest.raises(ProviderRefused, match="IAM spells the name of the user CI-Deploy as ci-deploy") as caught:
            listed(iam_of("ci-deploy", count, []), "CI-Deploy")
        assert caught.value.remedy == "write `user: ci-deploy` in the configuration"


def test_how_iam_spells_a_user_is_asked_only_of_one_without_keys_and_a_refusal_holds_nothing_back() -> None:
    asked: list[dict[str, str]] = []
    assert len(listed(iam_of("ci-deploy", 1, asked), "ci-deploy")) == 1
    assert [form["Action"] for form in asked] == ["ListAccessKeys"]
    assert listed(iam_of("ci-deploy", 0, asked), "ci-deploy") == ()
    assert listed(iam_of("ci-deploy", 0, asked, is_told=False), "CI-Deploy") == ()


def test_the_evidence_of_use(cloud: Cloud, keys: IamAccessKeys, user: UserName) -> None:
    """Never, used with service and region, and unknown for whatever goes wrong."""
    pair = cloud.admin.add_key(user, age=timedelta(days=1))
    assert keys.last_use(pair.id).evidence is Evidence.NEVER
    client(cloud, "sts", pair).get_caller_identity()
    use = keys.last_use(pair.id)
    assert (use.evidence, use.service, use.region) == (Evidence.USED, "sts", "eu-central-1")
    for code, status in (("AccessDenied", 403), ("Throttling", 400), ("ServiceUnavailable", 503)):
        cloud.faults.add(Fault(operation="iam:GetAccessKeyLastUsed", status=status, code=code, times=-1))
        use = keys.last_use(pair.id)
        assert use.evidence is Evidence.UNKNOWN
        assert use.why
        cloud.faults.clear()


@pytest.mark.parametrize(
    ("kind", "status", "made"),
    [
        (FaultKind.LOST_AFTER, 0, 1),
        (FaultKind.LOST_BEFORE, 0, 0),
        (FaultKind.ERROR_AFTER, 500, 1),
        (FaultKind.ERROR_AFTER, 503, 1),
        (FaultKind.ERROR, 503, 0),
    ],
)
def test_a_key_is_asked_for_exactly_once(  # noqa: PLR0917  # pytest passes them by name
    cloud: Cloud, keys: IamAccessKeys, user: UserName, kind: FaultKind, status: int, made: int
) -> None:
    """Whatever happens to the answer: a second request would make a second key, and lose the first one's secret."""
    before = len(cloud.aws.journal)
    cloud.faults.add(Fault(operation="iam:CreateAccessKey", kind=kind, status=status))
    with pytest.raises(ProviderUnavailable, match="a key may have been made"):
        keys.create(user)
    calls = [call for call in cloud.aws.journal[before:] if call.operation == "iam:CreateAccessKey"]
    assert len(calls) == 1
    assert len(keys.list(user)) == made


def test_a_third_key_is_refused_for_good(keys: IamAccessKeys, user: UserName) -> None:
    keys.create(user)
    keys.create(user)
    with pytest.raises(ProviderRefused, match="quota"):
        keys.create(user)


def test_reads_are_repeated_and_writes_may_be(cloud: Cloud, keys: IamAccessKeys, user: UserName) -> None:
    """Throttling is waited out by the SDK, except for CreateAccessKey."""
    cloud.admin.add_key(user)
    cloud.faults.add(Fault(operation="iam:ListAccessKeys", status=400, code="Throttling"))
    assert len(keys.list(user)) == 1


def test_switching_off_on_and_deleting_are_safe_to_repeat(cloud: Cloud, keys: IamAccessKeys, user: UserName) -> None:
    pair = cloud.admin.add_key(user)
    for _ in range(2):
        keys.deactivate(user, pair.id)
    assert dict(cloud.admin.keys(user))[pair.id] == "Inactive"
    keys.reactivate(user, pair.id)
    assert dict(cloud.admin.keys(user))[pair.id] == "Active"
    for _ in range(2):
        keys.delete(user, pair.id)
    assert cloud.admin.keys(user) == ()


def test_older_sessions_are_denied_by_a_policy_that_spares_the_keys(
    cloud: Cloud, keys: IamAccessKeys, user: UserName
) -> None:
    """The condition has no IfExists: a long-term key has no token issue time."""
    keys.deny_sessions_before(user, cloud.clock.now())
    found = client(cloud, "iam").get_user_policy(UserName=user, PolicyName="keyrota-deny-sessions")["PolicyDocument"]
    (statement,) = found["Statement"]
    assert statement["Effect"] == "Deny"
    assert list(statement["Condition"]) == ["DateLessThan"]
    assert statement["Condition"]["DateLessThan"] == {
        "aws:TokenIssueTime": f"{cloud.clock.now():%Y-%m-%dT%H:%M:%SZ}"
    } or statement["Condition"]["DateLessThan"]["aws:TokenIssueTime"].startswith(f"{cloud.clock.now():%Y-%m-%dT%H:%M}")


def test_the_quarantine_is_found_and_released(cloud: Cloud, keys: IamAccessKeys, user: UserName) -> None:
    """AWS's own policy alone: one that a person made and named alike does not mean a leak, and stays attached."""
    iam = client(cloud, "iam")
    statement = {"Effect": "Deny", "Action": "iam:CreateAccessKey", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    for name in (f"AWSCompromisedKeyQuarantineX{user}", f"AWSCompromisedKeyQuarantineV3{user}"):
        created = iam.create_policy(PolicyName=name, PolicyDocument=document)
        iam.attach_user_policy(UserName=user, PolicyArn=created["Policy"]["Arn"])
    assert keys.quarantine_policies(user) == ()
    arn = cloud.admin.quarantine(user)
    assert keys.quarantine_policies(user) == (arn,)
    for _ in range(2):
        keys.release_quarantine(user, arn)
    assert keys.quarantine_policies(user) == ()


# --- STS ------------------------------------------------------------------------------------------------------------


def test_who_a_key_is(cloud: Cloud, account: Account, user: UserName) -> None:
    """Its ARN; nothing while it is new, with a wrong secret, or Inactive."""
    sts = StsIdentity(account)
    pair = cloud.admin.add_key(user)
    assert sts.whoami(pair) == (None,)
    cloud.clock.sleep(9)
    assert sts.whoami(pair) == (f"arn:aws:iam::{cloud.admin.account_id}:user/{user}",)
    assert sts.whoami(KeyPair(id=pair.id, secret=Secret("wrong"))) == (None,)
    cloud.admin.record(pair.id).status = "Inactive"
    assert sts.whoami(pair) == (None,)


def test_every_region_is_asked(cloud: Cloud, account: Account, user: UserName) -> None:
    pair = cloud.admin.add_key(user, age=timedelta(days=1))
    assert len(StsIdentity(account, ("eu-west-1", "us-east-1")).whoami(pair)) == 2
    assert IamAccessKeys(account).last_use(pair.id).region == "us-east-1"


def test_sts_that_is_down_is_no_refusal(cloud: Cloud, account: Account, user: UserName) -> None:
    pair = cloud.admin.add_key(user, age=timedelta(days=1))
    cloud.faults.add(Fault(operation="sts:GetCallerIdentity", status=503, times=-1))
    with pytest.raises(ProviderUnavailable):
        StsIdentity(account).whoami(pair)


# --- Secrets Manager ------------------------------------------------------------------------------------------------


def labels(store: SecretsManagerStore, name: str) -> dict[str, frozenset[str]]:
    """Return the labels by version."""
    state = store.describe(name)
    assert state is not None
    return {version.id: version.labels for version in state.versions}


def test_a_secret_is_born_with_a_placeholder(store: SecretsManagerStore, name: str) -> None:
    """Twice is once; its tags are set; it holds no pair."""
    assert store.describe(name) is None
    for _ in range(2):
        store.create(name, {"keyrota:user": "ci"})
    ((version, worn),) = labels(store, name).items()
    assert worn == {AWSCURRENT, PLACEHOLDER}
    assert store.read(name, VersionId(version)) is None
    state = store.describe(name)
    assert state is not None
    assert dict(state.tags)["keyrota:user"] == "ci"


def test_a_birth_that_was_cut_short_is_finished(cloud: Cloud, store: SecretsManagerStore, name: str) -> None:
    """A crash between CreateSecret and its label."""
    cloud.faults.add(
        Fault(operation="secretsmanager:UpdateSecretVersionStage", status=400, code="AccessDeniedException")
    )
    with pytest.raises(ProviderRefused, match="UpdateSecretVersionStage is not allowed"):
        store.create(name, {})
    store.create(name, {})
    assert set(labels(store, name).values()) == {frozenset({AWSCURRENT, PLACEHOLDER})}


def test_somebody_else_s_secret_is_not_taken_for_ours(cloud: Cloud, store: SecretsManagerStore, name: str) -> None:
    client(cloud, "secretsmanager").create_secret(Name=name, SecretString="{}")
    with pytest.raises(ProviderRefused):
        store.create(name, {})


def _claim(run: str) -> Claim:
    clock = WorldClock()
    return Claim(
        version=VersionId(str(uuid.uuid5(uuid.NAMESPACE_OID, "claim"))),
        run=run,
        at=clock.now(),
        lease_until=clock.now() + timedelta(minutes=10),
        keys_seen=frozenset({a_pair().id}),
    )


def test_of_two_claims_one_wins(store: SecretsManagerStore, name: str) -> None:
    store.create(name, {})
    store.put_claim(name, _claim("first"))
    store.put_claim(name, _claim("first"))
    with pytest.raises(LostRace):
        store.put_claim(name, _claim("second"))
    assert store.claim(name) == _claim("first")


@pytest.mark.parametrize("content", ["[]", "{}", '{"run": 1, "at": "x"}', "nothing"])
def test_a_claim_that_nobody_understands_is_none(
    cloud: Cloud, store: SecretsManagerStore, name: str, content: str
) -> None:
    store.create(name, {})
    client(cloud, "secretsmanager").put_secret_value(SecretId=name, SecretString=content, VersionStages=[CLAIM])
    assert store.claim(name) is None


@pytest.mark.parametrize(("status", "code"), [(400, "AccessDeniedException"), (503, "ServiceUnavailable")])
def test_what_cannot_be_read_is_not_taken_for_missing(
    cloud: Cloud, store: SecretsManagerStore, name: str, status: int, code: str
) -> None:
    """A claim that is taken for none lets a second run make a key; a secret that is, a key of ours be adopted anew."""
    store.create(name, {})
    store.put_claim(name, _claim("first"))
    for operation, read in (("DescribeSecret", store.describe), ("GetSecretValue", store.claim)):
        cloud.faults.add(Fault(operation=f"secretsmanager:{operation}", status=status, code=code, times=-1))
        with pytest.raises((ProviderRefused, ProviderUnavailable), match=operation) as caught:
            read(name)
        assert not isinstance(caught.value, NotThere)
        cloud.faults.clear()


def test_a_pair_is_stored_beside_the_user_s_own_fields(cloud: Cloud, store: SecretsManagerStore, name: str) -> None:
    """Theirs are kept as they are, in their order; storing again is success; another content is not."""
    sm = client(cloud, "secretsmanager")
    before = {"z": 1, "AWS_ACCESS_KEY_ID": "AKIAOLD0000000000000", "a": {"b": [1, "ß"]}, "AWS_SECRET_ACCESS_KEY": "old"}
    sm.create_secret(Name=name, SecretString=json.dumps(before))
    base = next(iter(labels(store, name)))
    beside = store.other_fields(name, VersionId(base))
    version = key_token(a_pair().id, VersionId(base))
    for _ in range(2):
        store.put_pending(name, version, a_pair(), beside=beside)
    assert labels(store, name)[version] == {PENDING, a_pair().id}
    text = sm.get_secret_value(SecretId=name, VersionId=version)["SecretString"]
    assert list(json.loads(text).items()) == [
        ("z", 1),
        ("a", {"b": [1, "ß"]}),
        ("AWS_ACCESS_KEY_ID", a_pair().id),
        ("AWS_SECRET_ACCESS_KEY", a_pair().secret.reveal()),
    ]
    with pytest.raises(LostRace):
        store.put_pending(name, version, a_pair("TWO"), beside=beside)


def test_the_field_names_are_configurable(account: Account, name: str) -> None:
    store = SecretsManagerStore(account, SecretOptions(fields=FieldNames(id="user", secret="password")))
    store.create(name, {})
    base = next(iter(labels(store, name)))
    version = key_token(a_pair().id, VersionId(base))
    store.put_pending(name, version, a_pair(), beside=store.other_fields(name, VersionId(base)))
    assert store.read(name, version) == a_pair()


def test_awscurrent_moves_once(store: SecretsManagerStore, name: str) -> None:
    """Compare and swap: the second mover loses, whoever it is."""
    store.create(name, {})
    base = VersionId(next(iter(labels(store, name))))
    versions = [key_token(a_pair(label).id, base) for label in ("ONE", "TWO")]
    for version, label in zip(versions, ("ONE", "TWO"), strict=True):
        store.put_pending(name, version, a_pair(label), beside=Secret("{}"))
    store.move_label(name, AWSCURRENT, to=versions[0], remove_from=base)
    with pytest.raises(LostRace):
        store.move_label(name, AWSCURRENT, to=versions[1], remove_from=base)
    assert store.current(name) == (versions[0], a_pair("ONE"))


def test_awscurrent_and_its_pair_are_of_one_answer(cloud: Cloud, store: SecretsManagerStore, name: str) -> None:
    """Asked for one after the other they could be of two versions, and a sync would note what it did not send."""
    store.create(name, {})
    base = VersionId(next(iter(labels(store, name))))
    version = key_token(a_pair().id, base)
    store.put_pending(name, version, a_pair(), beside=Secret("{}"))
    store.move_label(name, AWSCURRENT, to=version, remove_from=base)
    before = len(cloud.aws.journal)
    assert store.current(name) == (version, a_pair())
    assert [call.operation for call in cloud.aws.journal[before:]] == ["secretsmanager:GetSecretValue"]


def test_a_label_comes_off_once(store: SecretsManagerStore, name: str) -> None:
    store.create(name, {})
    store.put_claim(name, _claim("first"))
    store.move_label(name, CLAIM, to=None, remove_from=_claim("first").version)
    assert store.claim(name) is None
    with pytest.raises(LostRace):
        store.move_label(name, CLAIM, to=None, remove_from=_claim("first").version)


BROKEN: dict[str, dict[str, object]] = {
    "binary": {"SecretBinary": CANARY.encode()},
    "no JSON": {"SecretString": CANARY},
    "a list": {"SecretString": f'["{CANARY}"]'},
    "half a pair": {"SecretString": json.dumps({"AWS_SECRET_ACCESS_KEY": CANARY})},
    "a pair in other fields": {
        "SecretString": json.dumps({"accessKeyId": "AKIA" + "7" * 16, "secretAccessKey": CANARY})
    },
    "a number for the ID": {"SecretString": json.dumps({"AWS_ACCESS_KEY_ID": 5, "AWS_SECRET_ACCESS_KEY": CANARY})},
    "a secret for the ID": {"SecretString": json.dumps({"AWS_ACCESS_KEY_ID": CANARY, "AWS_SECRET_ACCESS_KEY": "x"})},
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_value_that_is_no_pair_is_told_without_showing_it(
    cloud: Cloud, store: SecretsManagerStore, name: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "keyrota")
    client(cloud, "secretsmanager").create_secret(Name=name, **BROKEN[kind])
    calls: list[Callable[[], object]] = [
        lambda: store.current(name),
        lambda: store.read(name, VersionId(next(iter(labels(store, name))))),
    ]
    for call in calls:
        with pytest.raises(SecretUnusable) as caught:
            call()
        told = "".join([str(caught.value), repr(caught.value), caught.value.remedy, str(caught.value.__context__)])
        assert name in told
        assert CANARY not in told
        assert caught.value.remedy
    assert CANARY not in caplog.text


def test_a_secret_that_is_scheduled_for_deletion_names_the_way_back(
    cloud: Cloud, store: SecretsManagerStore, name: str
) -> None:
    store.create(name, {})
    client(cloud, "secretsmanager").delete_secret(SecretId=name)
    state = store.describe(name)
    assert state is not None
    assert state.deleted_at is not None
    with pytest.raises(ProviderRefused) as caught:
        store.put_claim(name, _claim("x"))
    assert "restore-secret" in caught.value.remedy


@pytest.mark.parametrize(
    ("code", "status", "kind", "words"),
    [
        ("AccessDeniedException", 400, ProviderRefused, "secretsmanager:TagResource"),
        ("ThrottlingException", 400, ProviderUnavailable, ""),
        ("InternalServiceError", 500, ProviderUnavailable, ""),
        ("DecryptionFailure", 400, ProviderRefused, "kms:"),
    ],
)
def test_refusals_name_the_action_and_what_to_do(  # noqa: PLR0917  # pytest passes them by name
    cloud: Cloud, store: SecretsManagerStore, name: str, code: str, status: int, kind: type[KeyrotaError], words: str
) -> None:
    store.create(name, {})
    cloud.faults.add(Fault(operation="secretsmanager:TagResource", code=code, status=status, times=-1))
    with pytest.raises(kind) as caught:
        store.tag(name, {"a": "b"})
    assert name in caught.value.where
    assert words in caught.value.remedy
    assert caught.value.remedy


def test_tokens_are_read_by_reference(cloud: Cloud, account: Account, name: str) -> None:
    """`secretsmanager:id#key` and `ssm:/name`."""
    client(cloud, "secretsmanager").create_secret(Name=name, SecretString=json.dumps({"token": CANARY}))
    client(cloud, "ssm").put_parameter(Name="/ci/token", Value=CANARY, Type="SecureString")
    assert read_reference(account, f"{name}#token").reveal() == CANARY
    assert read_parameter(account, "/ci/token").reveal() == CANARY
    with pytest.raises(SecretUnusable):
        read_reference(account, f"{name}#other")
    with pytest.raises(NotThere):
        read_parameter(account, "/ci/none")


# --- accounts -------------------------------------------------------------------------------------------------------


def test_no_credentials_is_told_with_the_ways_to_give_them(cloud: Cloud) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ACCESS_KEY_ID")
        patch.delenv("AWS_SECRET_ACCESS_KEY")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with pytest.raises(NoCredentials) as caught:
            Account().enter(cloud.clock)
    assert "AWS_PROFILE" in caught.value.remedy


def test_wrong_credentials_and_a_missing_profile_are_told(cloud: Cloud) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(NoCredentials):
            Account().enter(cloud.clock)
        with pytest.raises(NoCredentials):
            Account(profile="none-such").enter(cloud.clock)


def test_no_region_is_told(cloud: Cloud) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_REGION")
        patch.delenv("AWS_DEFAULT_REGION")
        with pytest.raises(ProviderRefused, match="region"):
            Account().enter(cloud.clock)


def test_another_account_than_the_configured_one_is_refused(cloud: Cloud) -> None:
    with pytest.raises(ProviderRefused, match="999999999999"):
        Account(expected="999999999999").enter(cloud.clock)


@pytest.mark.parametrize("hours", [-5, 3])
def test_a_clock_that_is_hours_off_is_told_before_anything_is_planned(cloud: Cloud, hours: int) -> None:
    clock = WorldClock(cloud.clock.now() + timedelta(hours=hours))
    with pytest.raises(ClockIsOff, match=f"off by {abs(hours)} h"):
        Account().enter(clock)


@pytest.mark.parametrize("seconds", [-58, 58])
def test_clocks_differ_less_than_keys_of_a_claim_may(cloud: Cloud, seconds: int) -> None:
    """A lost key is told by when it was made, on AWS's clock, and its claim's time is a machine's."""
    assert timedelta(seconds=abs(seconds)) < CLOCKS_DIFFER
    with pytest.raises(ClockIsOff, match="off by 1 min"):
        Account().enter(WorldClock(cloud.clock.now() + timedelta(seconds=seconds)))


def test_a_role_is_assumed_with_its_external_id(cloud: Cloud) -> None:
    """In another account; its temporary credentials do the work."""
    cloud.add_account("210987654321", external_id="customer-1")
    role = Role(arn="arn:aws:iam::210987654321:role/keyrota", external_id="customer-1")
    account = Account(role=role, expected="210987654321")
    before = len(cloud.aws.journal)
    assert account.enter(cloud.clock) == "210987654321"
    assert "assumed-role/keyrota/keyrota" in account.caller()
    operations = [call.operation for call in cloud.aws.journal[before:]]
    assert operations == ["sts:AssumeRole", "sts:GetCallerIdentity"]


@pytest.mark.parametrize(
    ("region", "partition", "host"),
    [
        ("eu-central-1", "aws", "iam.amazonaws.com"),
        ("cn-north-1", "aws-cn", "iam.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "iam.us-gov.amazonaws.com"),
    ],
)
def test_each_partition_has_its_endpoint(region: str, partition: str, host: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        made = Account(region=region).client("iam")
    assert made.meta.endpoint_url == f"https://{host}"
    assert made.meta.partition == partition


def test_permissions_are_least_and_cannot_always_be_told(account: Account) -> None:
    """Rotate cannot delete, deactivate and delete cannot read secrets, sync cannot touch keys."""
    assert not any("Delete" in action for action in DUTIES["rotate"])
    for duty in ("deactivate", "delete"):
        assert "secretsmanager:GetSecretValue" not in DUTIES[duty]
    assert not any(
        action.startswith("iam:") and "Get" not in action and "List" not in action for action in DUTIES["sync"]
    )
    document = policy_document("delete", account="123456789012", user="ci", secret_name="keyrota/ci/access-key")
    assert [statement["Resource"] for statement in document["Statement"]] == [
        "arn:aws:iam::123456789012:user/ci",
        "arn:aws:secretsmanager:*:123456789012:secret:keyrota/ci/access-key-*",
    ]
    assert simulate(account, ["iam:CreateAccessKey"]) == {"iam:CreateAccessKey": None}


def test_key_tags_and_replica_are_given_to_a_new_secret(cloud: Cloud, account: Account, name: str) -> None:
    """KMS key, tags and a replica region, as the configuration says."""
    options = SecretOptions(kms_key="alias/ci", replica_region="eu-west-1")
    SecretsManagerStore(account, options).create(name, {"team": "web", "keyrota:user": "ci"})
    found = client(cloud, "secretsmanager").describe_secret(SecretId=name)
    assert found["KmsKeyId"] == "alias/ci"
    assert {tag["Key"]: tag["Value"] for tag in found["Tags"]} == {"team": "web", "keyrota:user": "ci"}
    assert [replica["Region"] for replica in found["ReplicationStatus"]] == ["eu-west-1"]


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"AWS_REGION": "eu-north-1"}, "eu-north-1"),
        ({"AWS_DEFAULT_REGION": "eu-south-2"}, "eu-south-2"),
        ({"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-south-2"}, "eu-north-1"),
    ],
)
def test_the_region_of_the_environment(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], region: str) -> None:
    """AWS_REGION alone is enough, as for every newer SDK; botocore reads AWS_DEFAULT_REGION."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Account().region == region


@pytest.mark.usefixtures("cloud")
def test_clients_of_two_regions_are_two() -> None:
    """One account may be asked in several regions: STS is, and secrets of two regions are two secrets."""
    account = Account(region="eu-west-3")
    clients = [account.client("sts", region=region) for region in ("eu-north-1", "us-east-2", None, "eu-north-1")]
    assert [client.meta.region_name for client in clients] == ["eu-north-1", "us-east-2", "eu-west-3", "eu-north-1"]
    assert clients[0] is clients[3]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "InvalidParameterException", LostRace),
        (400, "ResourceNotFoundException", LostRace),
        (400, "ThrottlingException", ProviderUnavailable),
        (400, "AccessDeniedException", ProviderRefused),
        (400, "DecryptionFailure", ProviderRefused),
        (400, "InvalidRequestException", ProviderRefused),
        (500, "InternalServiceError", ProviderUnavailable),
    ],
)
def test_a_refused_move_of_a_label_is_a_lost_race_only_where_the_label_was_elsewhere(
    cloud: Cloud, store: SecretsManagerStore, status: int, code: str, error: type[KeyrotaError]
) -> None:
    cloud.faults.add(Fault(operation="secretsmanager:UpdateSecretVersionStage", status=status, code=code, times=-1))
    try:
        with pytest.raises(KeyrotaError) as refused:
            store.move_label("any", AWSCURRENT, to=VersionId("x" * 32), remove_from=VersionId("y" * 32))
    finally:
        cloud.faults.clear()
    assert type(refused.value) is error
