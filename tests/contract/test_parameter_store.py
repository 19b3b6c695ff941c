"""Parameter Store as a target, through botocore against the strict AWS."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import moto.ssm.models
import pytest
from aws_rig import a_cloud, client
from standin_rig import a_pair

from keyrota.app.clock import SystemClock
from keyrota.aws.parameter_store import KEY_TAG, KIND
from keyrota.core.model import RunsEvidence, TargetEvidence
from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError, ProviderRefused, ProviderUnavailable
from keyrota.ports import Target
from keyrota.sandbox.cloud import Cloud
from keyrota.sandbox.faults import Fault, FaultKind

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
    assert not target.is_torn_possible


def test_no_value_is_ever_decrypted(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading works with a key that may not be used for decryption: it is never asked for."""
    asked: list[bool] = []
    real = moto.ssm.models.SimpleSystemManagerBackend.get_parameter

    def watched(self: Any, name: str) -> Any:
        asked.append(True)
        return real(self, name)

    monkeypatch.setattr(moto.ssm.models.Parameter, "decrypt", lambda *_: pytest.fail("a value was decrypted"))
    monkeypatch.setattr(moto.ssm.models.SimpleSystemManagerBackend, "get_parameter", watched)
    _target().write(a_pair())
    assert _target().read().key == a_pair().id
    assert _target().preflight().is_ready
    assert asked
    assert cloud is not None


def test_a_parameter_of_another_type_is_told_before_the_write(cloud: Cloud) -> None:
    client(cloud, "ssm").put_parameter(Name=NAME, Value="mine", Type="String")
    assert "must be a SecureString" in _target().preflight().detail
    with pytest.raises(ProviderRefused, match="must be a SecureString"):
        _target().write(a_pair())
    assert client(cloud, "ssm").get_parameter(Name=NAME)["Parameter"]["Value"] == "mine"


def test_a_parameter_that_somebody_else_wrote_cannot_be_told(cloud: Cloud) -> None:
    client(cloud, "ssm").put_parameter(Name=NAME, Value="{}", Type="SecureString")
    assert _target().read().evidence is TargetEvidence.CANNOT_TELL


@pytest.mark.parametrize("kind", [FaultKind.LOST_BEFORE, FaultKind.LOST_AFTER, FaultKind.ERROR_AFTER, FaultKind.ERROR])
@pytest.mark.parametrize("action", ["ssm:PutParameter", "ssm:AddTagsToResource", "ssm:GetParameter"])
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


@pytest.mark.parametrize("action", ["ssm:PutParameter", "ssm:GetParameter", "ssm:ListTagsForResource"])
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
    assert target.carried_runs(SystemClock().now()).evidence is RunsEvidence.NONE
    assert target.is_busy() is False
    connection = KIND.connect({}, secrets=Secret, clock=SystemClock())
    assert (connection.areas(None), connection.survey("x")) == ((), ())


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
