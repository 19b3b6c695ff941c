"""What AWS refuses and moto lets through, the sandbox refuses: docs/facts/emulators.md, line by line."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from aws_rig import a_cloud, client, code_of
from botocore.exceptions import ClientError, ConnectionClosedError

from keyrota.core.model import KeyPair
from keyrota.core.secret import Secret
from keyrota.errors import UsageError
from keyrota_sandbox.clock import RemoteClock
from keyrota_sandbox.cloud import Cloud
from keyrota_sandbox.faults import Fault, FaultKind
from keyrota_sandbox.memory import WorldClock


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """One sandbox for all."""
    with a_cloud() as made:
        yield made


@pytest.fixture
def pair(cloud: Cloud) -> KeyPair:
    """A user of its own with a key of a day."""
    user = f"user-{uuid.uuid4().hex[:8]}"
    cloud.admin.add_user(user)
    return cloud.admin.add_key(user, age=timedelta(days=1))


@pytest.fixture
def secret(cloud: Cloud) -> str:
    """A secret with a first version."""
    name = f"team/{uuid.uuid4().hex[:8]}"
    client(cloud, "secretsmanager").create_secret(Name=name, SecretString="first", ClientRequestToken=token("first"))
    return name


def token(name: str) -> str:
    """Make a ClientRequestToken."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def stages(cloud: Cloud, name: str) -> dict[str, set[str]]:
    """Return the labels by version."""
    found = client(cloud, "secretsmanager").describe_secret(SecretId=name)["VersionIdsToStages"]
    return {version: set(labels) for version, labels in found.items() if labels}


# --- keys -----------------------------------------------------------------------------------------------------------


def test_a_good_key_is_its_user(cloud: Cloud, pair: KeyPair) -> None:
    arn = client(cloud, "sts", pair).get_caller_identity()["Arn"]
    assert arn.endswith(cloud.admin.record(pair.id).user_name)


@pytest.mark.parametrize(
    ("service", "code"), [("sts", "InvalidClientTokenId"), ("secretsmanager", "UnrecognizedClientException")]
)
@pytest.mark.parametrize("what", ["Inactive", "deleted", "unknown"])
def test_a_key_that_does_not_work_is_refused(cloud: Cloud, pair: KeyPair, what: str, service: str, code: str) -> None:
    user = cloud.admin.record(pair.id).user_name
    if what == "Inactive":
        client(cloud, "iam").update_access_key(UserName=user, AccessKeyId=pair.id, Status="Inactive")
    elif what == "deleted":
        client(cloud, "iam").delete_access_key(UserName=user, AccessKeyId=pair.id)
    else:
        pair = KeyPair(id=type(pair.id)("AKIAUNKNOWN000000000"), secret=pair.secret)
    made = client(cloud, service, pair)
    assert code_of(made.get_caller_identity if service == "sts" else made.list_secrets) == code


@pytest.mark.parametrize(
    ("service", "code"), [("sts", "SignatureDoesNotMatch"), ("secretsmanager", "InvalidSignatureException")]
)
def test_half_a_pair_is_refused(cloud: Cloud, pair: KeyPair, service: str, code: str) -> None:
    """The right ID with another secret: what a torn pair looks like to AWS."""
    made = client(cloud, service, KeyPair(id=pair.id, secret=Secret("another")))
    assert code_of(made.get_caller_identity if service == "sts" else made.list_secrets) == code


def test_a_new_key_needs_time(cloud: Cloud, pair: KeyPair) -> None:
    """Eight seconds, by default."""
    young = cloud.admin.add_key(cloud.admin.record(pair.id).user_name)
    assert code_of(client(cloud, "sts", young).get_caller_identity) == "InvalidClientTokenId"
    cloud.clock.sleep(9)
    assert client(cloud, "sts", young).get_caller_identity()["Account"] == cloud.admin.account_id


def test_an_unsigned_call_and_an_old_signature_are_refused(cloud: Cloud, pair: KeyPair) -> None:
    made = client(cloud, "sts", pair)
    made.meta.events.register("before-send", lambda request, **_: _without(request, "Authorization"))
    assert code_of(made.get_caller_identity) == "MissingAuthenticationToken"
    made = client(cloud, "sts", pair)
    made.meta.events.register("before-send", lambda **_: cloud.clock.travel(timedelta(hours=2)))
    assert code_of(made.get_caller_identity) == "SignatureDoesNotMatch"


def _without(request: Any, name: str) -> None:
    del request.headers[name]


def test_calls_about_keys_must_name_their_user(cloud: Cloud) -> None:
    """Without UserName, IAM acts on the caller: a trap."""
    for call in ("list_access_keys", "create_access_key"):
        assert code_of(getattr(client(cloud, "iam"), call)) == "ValidationError"


def test_a_user_has_two_keys_at_most(cloud: Cloud, pair: KeyPair) -> None:
    user = cloud.admin.record(pair.id).user_name
    client(cloud, "iam").create_access_key(UserName=user)
    assert code_of(client(cloud, "iam").create_access_key, UserName=user) == "LimitExceeded"


def test_last_use_follows_real_use(cloud: Cloud, pair: KeyPair) -> None:
    iam = client(cloud, "iam")
    assert "LastUsedDate" not in iam.get_access_key_last_used(AccessKeyId=pair.id)["AccessKeyLastUsed"]
    client(cloud, "sts", pair).get_caller_identity()
    used = iam.get_access_key_last_used(AccessKeyId=pair.id)["AccessKeyLastUsed"]
    assert (used["ServiceName"], used["Region"]) == ("sts", "eu-central-1")
    assert abs(used["LastUsedDate"] - cloud.clock.now()) < timedelta(seconds=5)


# --- secrets --------------------------------------------------------------------------------------------------------


def test_one_token_has_one_content(cloud: Cloud, secret: str) -> None:
    """The compare-and-swap that a claim stands on."""
    put = client(cloud, "secretsmanager").put_secret_value
    put(SecretId=secret, ClientRequestToken=token("a"), SecretString="one", VersionStages=["mine"])
    arguments = {"SecretId": secret, "ClientRequestToken": token("a"), "SecretString": "two", "VersionStages": ["mine"]}
    assert code_of(put, **arguments) == "ResourceExistsException"
    assert (
        client(cloud, "secretsmanager").get_secret_value(SecretId=secret, VersionStage="mine")["SecretString"] == "one"
    )


def test_the_same_content_again_changes_nothing(cloud: Cloud, secret: str) -> None:
    """Labels stay where they went meanwhile."""
    sm = client(cloud, "secretsmanager")
    sm.put_secret_value(SecretId=secret, ClientRequestToken=token("a"), SecretString="one", VersionStages=["mine"])
    sm.put_secret_value(SecretId=secret, ClientRequestToken=token("b"), SecretString="two", VersionStages=["mine"])
    sm.put_secret_value(SecretId=secret, ClientRequestToken=token("a"), SecretString="one", VersionStages=["mine"])
    assert stages(cloud, secret)[token("b")] == {"mine"}


def test_a_label_sits_on_one_version_and_own_labels_leave_awscurrent_alone(cloud: Cloud, secret: str) -> None:
    sm = client(cloud, "secretsmanager")
    for name in ("a", "b"):
        sm.put_secret_value(SecretId=secret, ClientRequestToken=token(name), SecretString=name, VersionStages=["mine"])
    assert stages(cloud, secret) == {token("first"): {"AWSCURRENT"}, token("b"): {"mine"}}


@pytest.mark.parametrize(
    "arguments",
    [
        {"VersionStage": "AWSCURRENT", "MoveToVersionId": token("a")},
        {"VersionStage": "AWSCURRENT", "MoveToVersionId": token("a"), "RemoveFromVersionId": token("a")},
        {"VersionStage": "mine", "MoveToVersionId": token("first")},
        {"VersionStage": "mine", "MoveToVersionId": token("first"), "RemoveFromVersionId": token("first")},
        {"VersionStage": "nowhere", "RemoveFromVersionId": token("first")},
        {"VersionStage": "AWSCURRENT", "MoveToVersionId": token("none"), "RemoveFromVersionId": token("first")},
    ],
)
def test_a_move_must_name_where_the_label_is(cloud: Cloud, secret: str, arguments: dict[str, str]) -> None:
    """And a refused move changes nothing."""
    sm = client(cloud, "secretsmanager")
    sm.put_secret_value(SecretId=secret, ClientRequestToken=token("a"), SecretString="a", VersionStages=["mine"])
    before = stages(cloud, secret)
    assert code_of(sm.update_secret_version_stage, SecretId=secret, **arguments) in {
        "InvalidParameterException",
        "ResourceNotFoundException",
    }
    assert stages(cloud, secret) == before


def test_a_value_by_hand_after_a_promotion_leaves_other_labels_where_they_are(cloud: Cloud, secret: str) -> None:
    """Moto remembers another version as the default one, and takes its labels off."""
    sm = client(cloud, "secretsmanager")
    sm.put_secret_value(SecretId=secret, ClientRequestToken=token("a"), SecretString="a", VersionStages=["mine"])
    sm.update_secret_version_stage(SecretId=secret, VersionStage="kept", MoveToVersionId=token("first"))
    move = {"SecretId": secret, "VersionStage": "AWSCURRENT"}
    sm.update_secret_version_stage(**move, MoveToVersionId=token("a"), RemoveFromVersionId=token("first"))
    assert sm.get_secret_value(SecretId=secret)["SecretString"] == "a"
    sm.put_secret_value(SecretId=secret, ClientRequestToken=token("hand"), SecretString="by hand")
    assert stages(cloud, secret) == {
        token("first"): {"kept"},
        token("a"): {"mine", "AWSPREVIOUS"},
        token("hand"): {"AWSCURRENT"},
    }
    assert sm.get_secret_value(SecretId=secret)["SecretString"] == "by hand"


def test_awscurrent_is_never_just_removed(cloud: Cloud, secret: str) -> None:
    call = client(cloud, "secretsmanager").update_secret_version_stage
    arguments = {"SecretId": secret, "VersionStage": "AWSCURRENT", "RemoveFromVersionId": token("first")}
    assert code_of(call, **arguments) == "InvalidParameterException"


def test_a_port_that_is_taken_is_told_and_the_time_stays(cloud: Cloud) -> None:
    """A sandbox that could not start has moved no clock."""
    port = cloud.aws_url.rpartition(":")[2]
    code = (
        "import sys, time; from keyrota_sandbox.cloud import Cloud; from keyrota.errors import UsageError\n"
        "before = time.time()\n"
        "try: Cloud(port=int(sys.argv[1])).__enter__()\n"
        "except UsageError as error: print(error.remedy, 0 <= time.time() - before < 60)"
    )
    done = subprocess.run([sys.executable, "-c", code, port], capture_output=True, text=True, check=True)
    assert "--port" in done.stdout
    assert done.stdout.endswith("True\n")


def test_awsprevious_follows_awscurrent(cloud: Cloud, secret: str) -> None:
    sm = client(cloud, "secretsmanager")
    sm.put_secret_value(SecretId=secret, ClientRequestToken=token("a"), SecretString="a", VersionStages=["mine"])
    move = {"SecretId": secret, "VersionStage": "AWSCURRENT"}
    sm.update_secret_version_stage(**move, MoveToVersionId=token("a"), RemoveFromVersionId=token("first"))
    assert stages(cloud, secret) == {token("first"): {"AWSPREVIOUS"}, token("a"): {"AWSCURRENT", "mine"}}
    sm.update_secret_version_stage(**move, MoveToVersionId=token("first"), RemoveFromVersionId=token("a"))
    assert stages(cloud, secret) == {token("a"): {"AWSPREVIOUS", "mine"}, token("first"): {"AWSCURRENT"}}


def test_a_secret_that_is_scheduled_for_deletion_refuses_writes(cloud: Cloud, secret: str) -> None:
    sm = client(cloud, "secretsmanager")
    sm.delete_secret(SecretId=secret)
    assert "DeletedDate" in sm.describe_secret(SecretId=secret)
    for call, more in (
        (sm.put_secret_value, {"SecretString": "x", "ClientRequestToken": token("x")}),
        (sm.get_secret_value, {}),
        (sm.tag_resource, {"Tags": [{"Key": "a", "Value": "b"}]}),
    ):
        assert code_of(call, SecretId=secret, **more) == "InvalidRequestException"


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("create_secret", {"Name": "a,b", "SecretString": "x"}),
        ("create_secret", {"Name": "a b", "SecretString": "x"}),
        ("tag_resource", {"Tags": [{"Key": "a", "Value": "x,y"}]}),
        ("tag_resource", {"Tags": [{"Key": "a", "Value": "x" * 257}]}),
        ("put_secret_value", {"SecretString": "x", "VersionStages": ["x" * 257], "ClientRequestToken": token("z")}),
        ("put_secret_value", {"SecretString": "x", "ClientRequestToken": "short"}),
    ],
)
def test_names_and_labels_outside_the_rules_are_refused(
    cloud: Cloud, secret: str, call: str, arguments: dict[str, Any]
) -> None:
    made = client(cloud, "secretsmanager")
    made.meta.config.parameter_validation = False
    more = {} if call == "create_secret" else {"SecretId": secret}
    from botocore.exceptions import ParamValidationError  # noqa: PLC0415  # botocore refuses some of them itself

    with pytest.raises((ClientError, ParamValidationError)):
        getattr(made, call)(**more, **arguments)


def test_last_changed_moves(cloud: Cloud, secret: str) -> None:
    sm = client(cloud, "secretsmanager")
    before = sm.describe_secret(SecretId=secret)["LastChangedDate"]
    cloud.clock.travel(timedelta(hours=1))
    sm.tag_resource(SecretId=secret, Tags=[{"Key": "a", "Value": "b"}])
    assert sm.describe_secret(SecretId=secret)["LastChangedDate"] - before >= timedelta(minutes=59)


# --- time and trouble -----------------------------------------------------------------------------------------------


def test_another_process_sees_and_moves_the_same_clock(cloud: Cloud) -> None:
    """Two processes, one time: the second reads it over loopback."""
    code = (
        "import sys; from keyrota_sandbox.clock import RemoteClock; c = RemoteClock(sys.argv[1]); "
        "c.sleep(86400); print(c.now().isoformat())"
    )
    before = cloud.clock.now()
    done = subprocess.run([sys.executable, "-c", code, cloud.control_url], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{before + timedelta(days=1):%Y-%m-%dT%H}")
    assert cloud.clock.now() - before >= timedelta(days=1)


@pytest.fixture
def _in_turns() -> Iterator[None]:
    """Let threads take turns as often as they can: what is not done in one piece is torn apart."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("_in_turns")
def test_the_waiting_of_threads_adds_up_in_the_world() -> None:
    """No wait is lost, and nobody sees the clock go back."""
    clock, number = WorldClock(), 2000

    def wait(_: int) -> list[datetime]:
        seen = []
        for _ in range(number):
            clock.sleep(60)
            seen.append(clock.now())
        return seen

    before = clock.now()
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(wait, range(8)))
    assert clock.now() - before >= timedelta(minutes=8 * number)
    assert all(one == sorted(one) for one in seen)


@pytest.mark.parametrize("kind", ["machine", "remote"])
def test_waits_of_parallel_workers_pass_together(cloud: Cloud, kind: str) -> None:
    """Five workers call a service that takes 0.15 s and wait 30 s, three times: 90 s pass, not 450."""
    clock = cloud.clock if kind == "machine" else RemoteClock(cloud.control_url)
    service = cloud.clock.activity.count(lambda _: time.sleep(0.15))  # noqa: TID251  # real time, as a provider's

    def work(number: int) -> list[timedelta]:
        waits = []
        for _ in range(3):
            service(number)
            began = clock.now()
            clock.sleep(30)
            waits.append(clock.now() - began)
        return waits

    before = cloud.clock.now()
    with ThreadPoolExecutor(5) as pool:
        waits = [wait for one in pool.map(work, range(5)) for wait in one]
    assert min(waits) >= timedelta(seconds=30)  # no wait is cut short
    assert cloud.clock.now() - before < timedelta(seconds=400)  # about 92 s, and more where the machine is busy


def test_a_long_wait_lets_short_ones_pass_first(cloud: Cloud) -> None:
    ends: list[str] = []

    def wait(seconds: float, name: str) -> None:
        cloud.clock.sleep(seconds)
        ends.append(name)

    def until_all_wait(_: None) -> None:
        while len(cloud.clock._waits) < 3:
            time.sleep(0.01)  # noqa: TID251  # real time, in which the three begin

    with ThreadPoolExecutor(4) as pool:
        pool.submit(cloud.clock.activity.count(until_all_wait), None)
        for seconds, name in ((600, "long"), (60, "short"), (300, "middle")):
            pool.submit(wait, seconds, name)
    assert ends == ["short", "middle", "long"]


@pytest.mark.usefixtures("_in_turns")
def test_a_clock_that_is_moved_shows_no_other_time(cloud: Cloud) -> None:
    """Whoever reads just then sees the old time or the new one, not the new one and what had passed before."""
    moves, step = 400, timedelta(hours=1)
    seen: list[datetime] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(cloud.clock.now())

    began, real = cloud.clock.now(), cloud.clock.real_now()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(read)
        for number in range(1, moves + 1):
            cloud.clock.move_to(began + number * step)
        done.set()
    passed = cloud.clock.real_now() - real
    assert cloud.clock.now() <= began + moves * step + passed
    assert max(seen) <= began + moves * step + passed


@pytest.mark.parametrize("url", ["http://example.com/_sandbox", "https://127.0.0.1:1/x", "http://127.0.0.1.evil:1/"])
def test_the_remote_clock_stays_on_loopback(url: str) -> None:
    with pytest.raises(UsageError):
        RemoteClock(url)


def test_trouble_comes_on_demand(cloud: Cloud, pair: KeyPair) -> None:
    """Refused, failed after the effect, cut before and after it."""
    iam, user = client(cloud, "iam"), cloud.admin.record(pair.id).user_name
    for kind, status in ((FaultKind.ERROR, 503), (FaultKind.ERROR_AFTER, 500)):
        cloud.faults.add(Fault(operation="iam:UpdateAccessKey", kind=kind, status=status))
        with pytest.raises(ClientError):
            iam.update_access_key(UserName=user, AccessKeyId=pair.id, Status="Inactive")
        assert dict(cloud.admin.keys(user))[pair.id] == ("Active" if kind is FaultKind.ERROR else "Inactive")
    for kind, status_after in ((FaultKind.LOST_BEFORE, "Inactive"), (FaultKind.LOST_AFTER, "Active")):
        cloud.faults.add(Fault(operation="iam:UpdateAccessKey", kind=kind))
        with pytest.raises(ConnectionClosedError):
            iam.update_access_key(UserName=user, AccessKeyId=pair.id, Status="Active")
        assert dict(cloud.admin.keys(user))[pair.id] == status_after
