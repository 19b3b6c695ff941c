"""
AWS Systems Manager Parameter Store as a target: the pair as one JSON document in a SecureString, never torn.

Which key it is stands in the tag `keyrota:key` beside it: a value is written, and never read back. A change by somebody
else shows by LastModifiedDate. Source: Systems Manager API Reference, PutParameter, GetParameter, AddTagsToResource.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from keyrota.aws._translate import aws_call
from keyrota.aws.account import Account, Role
from keyrota.core.instants import within_reach
from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import (
    AccessKeyId,
    CarriedRuns,
    KeyPair,
    Readiness,
    RunsEvidence,
    Sighting,
    Surroundings,
    TargetEvidence,
    TargetState,
)
from keyrota.errors import KeyrotaError, NotThere, ProviderRefused
from keyrota.fragments import NAMES, Schema, closed, names_of
from keyrota.ports import Clock, SecretReader, Target

KEY_TAG = "keyrota:key"

PROVIDER_SCHEMA: Schema = closed(
    {
        "region": {"type": "string", "pattern": "^[a-z0-9-]+$", "description": "Region of the parameters."},
        "profile": {"type": "string", "minLength": 1, "description": "Profile, if not the one that keyrota runs with."},
        "role": {
            "type": "string",
            "pattern": r"^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$",
            "description": "ARN of a role to assume for the parameters.",
        },
    },
    description="AWS Systems Manager Parameter Store.",
)
TARGET_SCHEMA: Schema = closed(
    {
        "parameter": {
            "type": "string",
            "pattern": "^[A-Za-z0-9_./-]{1,1011}$",
            "description": "Name of a SecureString; it holds the pair as one JSON document.",
        },
        "names": {**NAMES, "description": "Names of the two fields of the JSON document."},
        "kms_key": {"type": "string", "description": "KMS key; otherwise the account's own for Parameter Store."},
    },
    required=["parameter"],
    description="A parameter of Parameter Store.",
)


class ParameterTarget:
    """One parameter."""

    def __init__(self, account: Account, settings: Mapping[str, Any]) -> None:
        self._account = account
        self._name: str = settings["parameter"]
        self._fields = names_of(settings)
        self._kms_key: str | None = settings.get("kms_key")

    @property
    def address(self) -> str:
        """The parameter's name."""
        return address(self._name)

    @property
    def is_torn_possible(self) -> bool:
        """One parameter holds both halves."""
        return False

    @property
    def is_id_readable(self) -> bool:
        """By the tag beside it."""
        return True

    @property
    def quiet_for(self) -> timedelta:
        """Nobody's run is known here."""
        return timedelta()

    def is_busy(self) -> bool | None:
        """Nobody's run is known here."""
        return False

    def carried_runs(self, before: datetime) -> CarriedRuns:  # noqa: ARG002  # the port's signature
        """Whoever reads the parameter gets it as it is."""
        return CarriedRuns(address=self.address, evidence=RunsEvidence.NONE)

    def preflight(self) -> Readiness:
        """Look at the parameter, as far as it is there, without reading its value."""
        state = self.read()
        is_ready = state.evidence is not TargetEvidence.FAILED
        return Readiness(
            address=self.address, is_ready=is_ready, detail=state.detail if not is_ready else "", remedy=state.remedy
        )

    def read(self) -> TargetState:
        """Tell which key the tag names, and when the parameter was changed last."""
        try:
            changed = self._changed_at()
            tags = self._tags() if changed else {}
        except KeyrotaError as error:
            return self._state(TargetEvidence.FAILED, detail=error.what, remedy=error.remedy)
        if changed is None:
            return replace(self._state(TargetEvidence.ABSENT, detail=self._name), is_empty=True)
        key = tags.get(KEY_TAG, "")
        if not KEY_ID.fullmatch(key):
            return self._state(TargetEvidence.CANNOT_TELL, changed_at=changed)
        return self._state(TargetEvidence.HOLDS, key=AccessKeyId(key), changed_at=changed)

    def _state(
        self,
        evidence: TargetEvidence,
        *,
        key: AccessKeyId | None = None,
        changed_at: datetime | None = None,
        detail: str = "",
        remedy: str = "",
    ) -> TargetState:
        return TargetState(
            address=self.address, evidence=evidence, key=key, changed_at=changed_at, detail=detail, remedy=remedy
        )

    def write(self, credential: KeyPair) -> None:
        """Write the document, and then the tag: until it names the new key, the parameter counts as not written."""
        self._changed_at()  # refuses a parameter of another type
        more = {"KeyId": self._kms_key} if self._kms_key else {}
        id_field, secret_field = self._fields
        with aws_call("ssm:PutParameter", self.address, has_secret=True):
            self._ssm().put_parameter(
                Name=self._name,
                Value=json.dumps({id_field: credential.id, secret_field: credential.secret.reveal()}),
                Type="SecureString",
                Overwrite=True,
                **more,
            )
        with aws_call("ssm:AddTagsToResource", self.address):
            self._ssm().add_tags_to_resource(
                ResourceType="Parameter", ResourceId=self._name, Tags=[{"Key": KEY_TAG, "Value": credential.id}]
            )

    def surroundings(self) -> Surroundings:
        """Return nothing beyond what `read` shows."""
        return Surroundings(address=self.address)

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Delete the parameter, if its tag names one of our keys."""
        if self._changed_at() is None:
            return ()
        key = self._tags().get(KEY_TAG)
        if key not in keys:
            raise ProviderRefused(
                f"{self._name} is not tagged with a key that keyrota wrote",
                where=self.address,
                remedy="look at it, and delete it by hand if nobody needs it",
            )
        with aws_call("ssm:DeleteParameter", self.address):
            self._ssm().delete_parameter(Name=self._name)
        return (self._name,)

    def _changed_at(self) -> datetime | None:
        """Ask for the parameter without decryption; None if it is not there."""
        try:
            with aws_call("ssm:GetParameter", self.address):
                found = self._ssm().get_parameter(Name=self._name, WithDecryption=False)["Parameter"]
                found.pop("Value", None)
                changed = within_reach(found["LastModifiedDate"])
        except NotThere:
            return None
        if found.get("Type") != "SecureString":
            raise ProviderRefused(
                f"{self._name} exists as {found.get('Type')}, and must be a SecureString",
                where=self.address,
                remedy="delete it, or give another name; nothing was written",
            )
        return changed

    def _tags(self) -> dict[str, str]:
        with aws_call("ssm:ListTagsForResource", self.address):
            found = self._ssm().list_tags_for_resource(ResourceType="Parameter", ResourceId=self._name)
            return {str(tag["Key"]): str(tag["Value"]) for tag in found.get("TagList", ())}

    def _ssm(self) -> Any:
        return self._account.client("ssm")


class ParameterService:
    """Parameter Store with one set of AWS credentials, as the port TargetConnection."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def target(self, settings: Mapping[str, Any]) -> Target:
        """Make the target that one entry of the configuration describes."""
        return ParameterTarget(self._account, settings)

    def areas(self, area: str | None) -> Sequence[str]:  # noqa: ARG002  # the port's signature
        """Nothing is searched here: values are not read."""
        return ()

    def survey(self, area: str) -> Sequence[Sighting]:  # noqa: ARG002  # the port's signature
        """Nothing is searched here: values are not read."""
        return ()


class ParameterKind:
    """Parameter Store as a plug-in."""

    @property
    def provider_schema(self) -> Mapping[str, Any]:
        """JSON Schema of `providers.ssm`."""
        return PROVIDER_SCHEMA

    @property
    def target_schema(self) -> Mapping[str, Any]:
        """JSON Schema of a target."""
        return TARGET_SCHEMA

    def faults(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The two fields need two names, and AWS keeps some prefixes to itself."""
        found = []
        if len(set(names_of(settings))) == 1:
            found.append("`names` must give the ID and the secret two names")
        if str(settings["parameter"]).lstrip("/").lower().startswith(("aws", "ssm")):
            found.append("a parameter's name must not begin with aws or ssm")
        return tuple(found)

    def address(self, settings: Mapping[str, Any]) -> str:
        """Name the target."""
        return address(settings["parameter"])

    def is_within(self, settings: Mapping[str, Any], area: str) -> bool:
        """Tell whether a parameter lies below a path."""
        return str(settings["parameter"]).startswith(area)

    def variables(self, settings: Mapping[str, Any]) -> frozenset[str]:
        """Name the parameter that this target would write."""
        return frozenset({str(settings["parameter"])})

    def connect(self, settings: Mapping[str, Any], *, secrets: SecretReader, clock: Clock) -> ParameterService:  # noqa: ARG002  # the port's signature
        """Connect; makes no request yet."""
        role = Role(arn=settings["role"]) if "role" in settings else None
        return ParameterService(Account(region=settings.get("region"), profile=settings.get("profile"), role=role))


def address(name: str) -> str:
    """Name a parameter in words."""
    return f"ssm {name}"


KIND = ParameterKind()
