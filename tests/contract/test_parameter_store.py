"""Parameter Store as a target, through botocore against the strict AWS."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from aws_rig import a_cloud, client
from standin_rig import a_pair

from keyrota.app.clock import SystemClock
from keyrota.aws import parameters
from keyrota.aws.account import Account
from keyrota.aws.parameters import ParameterStore
from keyrota.core.model import RunsEvidence, TargetEvidence, VariableState
from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError, ProviderRefused, ProviderUnavailable
from keyrota.http import STOP, bound_waits
from keyrota.http.waiting import MAX_S
from keyrota.ports import Target
from keyrota.targets.parameter_store import KEY_TAG, KIND, ParameterTarget
from keyrota_sandbox.cloud import Cloud
from keyrota_sandbox.faults import Fault, FaultKind

NAME = "/ci/acme/deploy"
SETTINGS = {"parameter": NAME}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """AWS with nothing in it."""
    with a_cloud() as made:
        yield made


def _target(settings: dict[str, Any] | None = None) -> Target:
    return KIND.connect({}, secrets=Secret, clock=SystemClock()).target(settings or SETTINGS)


def _value(cloud: Cloud, name: str = NAME) -> dict[str, str]:
    found = client(cloud, "ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]
    assert found["Type"] == "SecureString"
    content: dict[str, str] = json.loads(found["Value"])
    return content


def test_a_missing_parameter_is_made_and_told(cloud: Cloud) -> None:
    """Absent, then it holds the key; both halves in one write, so that no reader gets half a pair."""
    target = _target()
    assert target.read().evidence is TargetEvidence.ABSENT
    assert target.preflight().is_ready
    target.write(a_pair("OLD"))
    target.write(a_pair())
    assert _value(cloud) == {"AWS_ACCESS_KEY_ID": a_pair().id, "AWS_SECRET_ACCESS_KEY": a_pair().secret.reveal()}
    state = target.read()
    assert (state.evidence, state.key) == (TargetEvidence.HOLDS, a_pair().id)
    assert state.changed_at is not None
    assert not target.has_separate_variables


def test_no_value_is_ever_read(cloud: Cloud) -> None:
    """Reading, preflight and the look around need no right to any value."""
    _target().write(a_pair())
    cloud.aws.journal.clear()
    assert _target().read().key == a_pair().id
    assert _target().preflight().is_ready
    _target().surroundings()
    assert {call.operation for call in cloud.aws.journal} == {
        "sts:GetCallerIdentity",
        "ssm:DescribeParameters",
        "ssm:ListTagsForResource",
    }


def test_a_parameter_of_another_type_is_told_before_the_write(cloud: Cloud) -> None:
    client(cloud, "ssm").put_parameter(Name=NAME, Value="mine", Type="String")
    assert "must be a SecureString" in _target().preflight().detail
    with pytest.raises(ProviderRefused, match="must be a SecureString"):
        _target().write(a_pair())
    assert client(cloud, "ssm").get_parameter(Name=NAME)["Parameter"]["Value"] == "mine"


def test_a_parameter_without_room_for_our_tag_is_told_before_the_write(cloud: Cloud) -> None:
    """The pair was written there, and the tag was refused each time: it never counted as served, run after run."""
    tags = [{"Key": f"team:{number}", "Value": "x"} for number in range(50)]
    ssm = client(cloud, "ssm")
    ssm.put_parameter(Name=NAME, Value="mine", Type="SecureString", Tags=tags)
    detail = _target().preflight().detail
    assert f"has 50 tags, and keyrota needs one more, {KEY_TAG}" in detail
    with pytest.raises(ProviderRefused, match="at most 50 tags"):
        _target().write(a_pair())
    ssm.remove_tags_from_resource(ResourceType="Parameter", ResourceId=NAME, TagKeys=["team:7"])
    assert _target().preflight().is_ready
    _target().write(a_pair())
    _target().write(a_pair("OLD"))
    assert _target().preflight().is_ready, "our own tag is there, and is replaced"


def test_a_parameter_that_somebody_else_wrote_cannot_be_told(cloud: Cloud) -> None:
    """It is replaced only when a person says so: nothing is known of its value."""
    client(cloud, "ssm").put_parameter(Name=NAME, Value="{}", Type="SecureString")
    state = _target().read()
    assert state.evidence is TargetEvidence.CANNOT_TELL
    assert state.variables == (VariableState(name=NAME, is_present=True),)
    (conflict,) = state.conflicts
    assert "SecureString, version 1" in conflict.what
    assert not conflict.is_lasting
    _target().write(a_pair())
    assert _target().read().conflicts == ()
    assert _target().read().variables == (VariableState(name=NAME, is_present=True, key=a_pair().id, is_readable=True),)


@pytest.mark.parametrize("kind", ["String", "StringList"])
def test_a_parameter_of_another_type_is_a_conflict_as_well(cloud: Cloud, kind: str) -> None:
    client(cloud, "ssm").put_parameter(Name=NAME, Value="mine", Type=kind)
    state = _target().read()
    assert (state.evidence, state.key) == (TargetEvidence.FAILED, None)
    assert state.variables[0].is_present
    assert kind in state.conflicts[0].what


def test_kms_key_and_tier_stay_as_they_are(cloud: Cloud) -> None:
    """PutParameter would encrypt with the default key, whose users are others, and refuse to leave the tier."""
    kms = client(cloud, "kms").create_key()["KeyMetadata"]["Arn"]
    ssm = client(cloud, "ssm")
    ssm.put_parameter(Name=NAME, Value="{}", Type="SecureString", KeyId=kms, Tier="Advanced")
    _target().write(a_pair())
    (after,) = ssm.describe_parameters(ParameterFilters=[{"Key": "Name", "Values": [NAME]}])["Parameters"]
    assert (after["KeyId"], after["Tier"], after["Version"]) == (kms, "Advanced", 2)


class _Unseeing(ParameterStore):
    """Parameter Store whose list does not show the parameter at first: it is made after that, or the list lags."""

    is_seen = False

    def describe(self, name: str, about: str) -> Any:
        found, self.is_seen = self.is_seen and super().describe(name, about), True
        return found or None


def _unseeing_target() -> Target:
    return ParameterTarget(_Unseeing(Account(), SystemClock()), SETTINGS)


def test_what_somebody_makes_right_before_the_write_stays(cloud: Cloud) -> None:
    client(cloud, "ssm").put_parameter(Name=NAME, Value="mine", Type="SecureString")
    with pytest.raises(ProviderRefused, match="made by someone else just now"):
        _unseeing_target().write(a_pair())
    assert client(cloud, "ssm").get_parameter(Name=NAME, WithDecryption=True)["Parameter"]["Value"] == "mine"
    (conflict,) = _target().read().conflicts
    assert conflict.is_of_others, "it is asked about although a write was begun"


@pytest.mark.parametrize("earlier", ["OLD", "NEW"])
def test_a_parameter_of_ours_that_was_not_shown_is_written(cloud: Cloud, earlier: str) -> None:
    """The answer of the first attempt was lost, or another run has made it."""
    _target().write(a_pair(earlier))
    _unseeing_target().write(a_pair())
    assert _value(cloud)["AWS_ACCESS_KEY_ID"] == a_pair().id
    assert _target().read().key == a_pair().id


def test_a_new_parameter_and_its_tag_come_with_one_call(cloud: Cloud) -> None:
    """A run that died between the two left a parameter that looked like somebody else's."""
    cloud.faults.add(Fault(operation="ssm:AddTagsToResource", status=400, code="AccessDeniedException", times=9))
    _target().write(a_pair())
    assert _target().read().key == a_pair().id


def test_a_place_is_account_region_and_name(cloud: Cloud) -> None:
    place = _target().read().place
    _target().write(a_pair())
    assert place == _target().read().place
    assert place is not None
    assert place.origin == f"arn:aws:ssm:eu-central-1:{cloud.aws.account_id}"
    assert place.id == f"parameter {NAME}"
    elsewhere = KIND.connect({"region": "us-east-1"}, secrets=Secret, clock=SystemClock()).target(SETTINGS)
    assert elsewhere.read().place != place


def test_names_beside_the_parameter_that_look_like_a_pair_are_a_conflict(cloud: Cloud) -> None:
    """Names alone: no value is read. What lies elsewhere does not matter."""
    assert _target().surroundings().conflicts == ()
    for name in (
        "/ci/acme/AWS_ACCESS_KEY_ID",
        "/ci/acme/AWS_SECRET_ACCESS_KEY",
        "/ci/other/AWS_KEY",
        "/ci/acme/x/AWS_KEY",
    ):
        client(cloud, "ssm").put_parameter(Name=name, Value="x", Type="String")
    (conflict,) = _target().surroundings().conflicts
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in conflict.what
    assert NAME in conflict.what
    assert "names:" not in conflict.remedy
    assert _target({"parameter": "alone"}).surroundings().unread == ()


def test_names_that_may_not_be_seen_are_named_as_unread(cloud: Cloud) -> None:
    cloud.faults.add(Fault(operation="ssm:DescribeParameters", status=400, code="AccessDeniedException", times=-1))
    assert "/ci/acme" in _target().surroundings().unread[0]


@pytest.mark.parametrize("kind", [FaultKind.LOST_BEFORE, FaultKind.LOST_AFTER, FaultKind.ERROR_AFTER, FaultKind.ERROR])
@pytest.mark.parametrize("action", ["ssm:PutParameter", "ssm:AddTagsToResource", "ssm:DescribeParameters"])
def test_a_cut_at_any_call_is_mended_by_writing_again(cloud: Cloud, action: str, kind: FaultKind) -> None:
    """Until the tag names the new key, the parameter counts as not written."""
    target = _target()
    target.write(a_pair("OLD"))
    cloud.faults.add(Fault(operation=action, kind=kind, status=500, code="InternalServerError", times=9))
    try:
        target.write(a_pair())
    except ProviderUnavailable:
        cloud.faults.clear()
        assert target.read().key != a_pair().id or _value(cloud)["AWS_ACCESS_KEY_ID"] == a_pair().id
        target.write(a_pair())
    cloud.faults.clear()
    assert target.read().key == a_pair().id
    assert _value(cloud)["AWS_SECRET_ACCESS_KEY"] == a_pair().secret.reveal()


@pytest.mark.parametrize("action", ["ssm:PutParameter", "ssm:DescribeParameters", "ssm:ListTagsForResource"])
def test_a_refusal_names_the_parameter_and_what_is_missing(cloud: Cloud, action: str) -> None:
    _target().write(a_pair("OLD"))
    cloud.faults.add(Fault(operation=action, status=400, code="AccessDeniedException", times=-1))
    state = _target().read()
    if action == "ssm:PutParameter":
        with pytest.raises(ProviderRefused) as caught:
            _target().write(a_pair())
        assert (caught.value.where, action in caught.value.remedy) == (f"ssm {NAME}", True)
    else:
        assert state.evidence is TargetEvidence.FAILED
        assert action in state.remedy
        assert not _target().preflight().is_ready


def test_what_is_ours_is_deleted_and_what_is_not_stays(cloud: Cloud) -> None:
    target = _target()
    target.write(a_pair())
    with pytest.raises(ProviderRefused, match="not tagged"):
        target.clear(frozenset({a_pair("OTHER").id}))
    assert target.clear(frozenset({a_pair().id})) == (NAME,)
    assert target.clear(frozenset()) == ()
    assert target.read().evidence is TargetEvidence.ABSENT
    assert cloud is not None


def test_nothing_leaks(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "keyrota")
    said = []
    for code in ("AccessDeniedException", "ValidationException", "TooManyUpdates", "InternalServerError"):
        cloud.faults.add(Fault(operation="ssm:PutParameter", status=400, code=code, message=a_pair().id, times=9))
        with pytest.raises(KeyrotaError) as caught:
            _target().write(a_pair())
        said += [str(caught.value), repr(caught.value), caught.value.remedy, str(caught.getrepr(style="long"))]
        cloud.faults.clear()
    _target().write(a_pair())
    tags = client(cloud, "ssm").list_tags_for_resource(ResourceType="Parameter", ResourceId=NAME)["TagList"]
    assert tags == [{"Key": KEY_TAG, "Value": a_pair().id}]
    assert a_pair().secret.reveal() not in "\n".join([*said, repr(_target()), repr(_target().read()), caplog.text])


def test_it_carries_nothing_and_is_never_busy() -> None:
    target = _target()
    assert target.runs_with_old_key(SystemClock().now()).evidence is RunsEvidence.NONE
    assert target.is_busy() is False
    connection = KIND.connect({}, secrets=Secret, clock=SystemClock())
    assert (connection.scopes(None), connection.scan("x")) == ((), ())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"parameter": "/aws/x"}, "must not begin"),
        ({"parameter": "/x", "names": {"id": "A", "secret": "A"}}, "two names"),
    ],
)
def test_what_does_not_fit_is_told(settings: dict[str, Any], words: str) -> None:
    assert words in " ".join(KIND.faults(settings))
    assert KIND.address({"parameter": "/x"}) == "ssm /x"
    assert KIND.is_within({"parameter": "/ci/x"}, "/ci/")
    assert KIND.variables({"parameter": "/x"}) == {"/x"}


def test_a_credential_waits_only_so_long_for_parameter_store(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow answers are added up, and then nothing more is asked; but a parameter that is begun gets its tag."""
    target, moments = _target(), itertools.count(step=MAX_S / 4)
    monkeypatch.setattr(parameters, "monotonic", lambda: next(moments))
    with bound_waits(SystemClock(), None), STOP.whole():
        for _ in range(3):
            target.write(a_pair())
    assert target.read().evidence is TargetEvidence.HOLDS, "another credential has time of its own"
    with bound_waits(SystemClock(), None):
        states = [target.read() for _ in range(4)]
        calls = len(cloud.aws.journal)
        late = target.read()
    assert [state.evidence for state in (states[0], late)] == [TargetEvidence.HOLDS, TargetEvidence.FAILED]
    assert "answers too slowly" in late.detail
    assert len(cloud.aws.journal) == calls
