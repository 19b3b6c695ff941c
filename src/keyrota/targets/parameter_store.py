"""
AWS Systems Manager Parameter Store as a target: the pair as one JSON document in a SecureString, never torn.

Which key it is stands in the tag `keyrota:key` beside it. A value is written, and never read back: only metadata is
(DescribeParameters), so that no duty but sync needs a right to the value. A change by someone else shows by
LastModifiedDate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from keyrota.aws.account import Account, Role
from keyrota.aws.parameters import Parameter, ParameterStore
from keyrota.core.detect import plain
from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import (
    AccessKeyId,
    Conflict,
    KeyPair,
    Readiness,
    Surroundings,
    TargetEvidence,
    TargetState,
    VariableState,
)
from keyrota.core.secret import Secret
from keyrota.core.variables import IDENTITIES, PROFILES, SESSIONS, describe_variable, pair_conflicts
from keyrota.errors import KeyrotaError, ProviderRefused
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.provider import Connection, Provider, Settings
from keyrota.target_base.schema import KMS_KEY, NAMES, WAITING, Schema, make_mapping, name_provider, names_of
from keyrota.target_base.target import BaseTarget

_ADVANCED, _USUAL_KEY = "Advanced", "alias/aws/ssm"
_MAX_TAGS = 50
"""Of a resource (Systems Manager API Reference, AddTagsToResource: TooManyTagsError)."""
KEY_TAG = "keyrota:key"

PROVIDER_SCHEMA: Schema = make_mapping(
    {
        "region": {"type": "string", "pattern": "^[a-z0-9-]+$", "description": "Region of the parameters."},
        "profile": {"type": "string", "minLength": 1, "description": "Profile, if not the one that keyrota runs with."},
        "role": {
            "type": "string",
            "pattern": r"^arn:[a-z-]+:iam::[0-9]{12}:role/([A-Za-z0-9_+=,.@/-]|\{duty\})+$",
            "description": "ARN of a role to assume for the parameters.",
        },
    },
    description="AWS Systems Manager Parameter Store.",
)
TARGET_SCHEMA: Schema = make_mapping(
    {
        "parameter": {
            "type": "string",
            "pattern": "^[A-Za-z0-9_./-]{1,1011}$",
            "description": "Name of a SecureString; it holds the pair as one JSON document.",
        },
        "names": {**NAMES, "description": "Names of the two fields of the JSON document."},
        "kms_key": {**KMS_KEY, "description": "KMS key; otherwise the account's own for Parameter Store."},
    },
    required=["parameter"],
    description="A parameter of Parameter Store.",
    **{
        WAITING: (
            "who read the parameter before is not known: what keeps its value in memory has to read it "
            "again within the overlap"
        )
    },
)


class ParameterTarget(BaseTarget):
    """One parameter."""

    def __init__(self, service: ParameterStore, settings: Settings) -> None:
        super().__init__(_address(settings))
        self._service = service
        self._name: str = settings["parameter"]
        self._fields = names_of(settings)
        self._kms_key: str | None = settings.get("kms_key")

    @property
    def has_separate_variables(self) -> bool:
        """One parameter holds both halves."""
        return False

    @property
    def is_id_readable(self) -> bool:
        """By the tag beside it."""
        return True

    def preflight(self) -> Readiness:
        """Look at the parameter, as far as it is there, without reading its value."""
        return self.readiness(self._look)

    def _look(self) -> None:
        found = self._service.describe(self._name, self.address)
        self._refuse_misfit(found)
        if found is not None:
            self._demand_room(self._tags())

    def _demand_room(self, tags: Mapping[str, str]) -> None:
        """Refuse a parameter whose tags leave no room for ours: the key would be there, and never count as served."""
        if KEY_TAG in tags or len(tags) < _MAX_TAGS:
            return
        raise ProviderRefused(
            f"{self._name} has {len(tags)} tags, and keyrota needs one more, {KEY_TAG}; "
            f"Parameter Store takes {_MAX_TAGS}",
            where=self.address,
            remedy="remove a tag from the parameter, or give another name",
        )

    def read(self) -> TargetState:
        """Return which key the tag names, and when the parameter was changed last."""
        return self.read_or_failed(self._read)

    def _read(self) -> TargetState:
        place = self._service.place(self._name)
        found = self._service.describe(self._name, self.address)
        if found is None:
            state = self.absent_state([self._name], is_empty=True)
            return replace(state, place=place, variables=(VariableState(name=self._name, is_present=False),))
        tag = self._tags().get(KEY_TAG, "")
        key = AccessKeyId(tag) if KEY_ID.fullmatch(tag) else None
        state = TargetState(
            address=self.address,
            evidence=TargetEvidence.CANNOT_TELL if key is None else TargetEvidence.HOLDS,
            key=key,
            changed_at=found.changed_at,
            place=place,
            variables=(VariableState(name=self._name, is_present=True, key=key, is_readable=key is not None),),
            conflicts=tuple(self._conflicts(found, is_ours=key is not None)),
        )
        misfit = self._misfit(found)
        if misfit is None:
            return state
        return replace(state, evidence=TargetEvidence.FAILED, key=None, detail=misfit.what, remedy=misfit.remedy)

    def _conflicts(self, found: Parameter, *, is_ours: bool) -> Iterator[Conflict]:
        if not is_ours:
            by = f" by {found.by}" if found.by else ""
            yield Conflict(
                what=f"{self._name} exists ({found.type}, version {found.version}, changed "
                f"{found.changed_at:%Y-%m-%d}{by}) without the tag {KEY_TAG}: its value would be replaced by a JSON "
                f"document with the pair",
                remedy="give another name, or confirm that what reads it takes the JSON document",
                is_of_others=True,
            )
        if found.expires:
            yield Conflict(
                what=f"{self._name} has an expiration policy: Parameter Store deletes it one day, with the key in it",
                remedy="remove the policy from the parameter, or give another name",
                is_lasting=True,
            )

    def surroundings(self) -> Surroundings:
        """Look at the names of the parameters beside this one; no value is read."""
        parent = self._name.rpartition("/")[0]
        if not parent:
            return Surroundings(address=self.address)
        try:
            names = self._service.names_below(parent, self.address)
        except KeyrotaError as error:
            return Surroundings(address=self.address, unread=(f"the parameters below {parent}: {error.what}",))
        beside = [describe_variable(name.rpartition("/")[2], None) for name in names if name != self._name]
        found = pair_conflicts([each for each in beside if not looks_like_other(each.name)], "", "", noun="parameter")
        conflicts = tuple(
            replace(
                each,
                what=f"{each.what.partition(':')[0]}, below {parent}: whatever reads it does not read {self._name}",
                remedy=f"let your jobs read {self._name}, or confirm that both are meant",
            )
            for each in found
        )
        return Surroundings(address=self.address, conflicts=conflicts)

    def write(self, credential: KeyPair) -> None:
        """
        Write the document, and then the tag: until it names the new key, the parameter counts as not written.

        KMS key and tier stay as they are; PutParameter would put its defaults in their place. A parameter that is not
        there is made with its tag in one call, and only if nobody has made it meanwhile.
        """
        found = self._service.describe(self._name, self.address)
        self._refuse_misfit(found)
        id_field, secret_field = self._fields
        value = Secret(json.dumps({id_field: credential.id, secret_field: credential.secret.reveal()}))
        if found is None:
            tags = {KEY_TAG: credential.id}
            if self._service.is_created(self._name, value, tags, self.address, **self._keep_settings(None)):
                return
            found = self._service.describe(self._name, self.address)
            self._refuse_strange(found)
        self._service.replace(self._name, value, self.address, **self._keep_settings(found))
        self._service.tag(self._name, {KEY_TAG: credential.id}, self.address)

    def _refuse_strange(self, found: Parameter | None) -> None:
        """Leave alone what appeared since the plan was made; with our tag, another run of ours made it."""
        self._refuse_misfit(found)
        if found is None or KEY_ID.fullmatch(self._tags().get(KEY_TAG, "")):
            return
        raise ProviderRefused(
            f"{self._name} was made by someone else just now, without the tag {KEY_TAG}",
            where=self.address,
            remedy="nothing was written; the next run asks before it replaces the value",
        )

    def _keep_settings(self, found: Parameter | None) -> dict[str, str]:
        key = self._kms_key or (found.kms_key if found else "")
        tier = found.tier if found and found.tier == _ADVANCED else ""
        return ({"KeyId": key} if key and key != _USUAL_KEY else {}) | ({"Tier": tier} if tier else {})

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Delete the parameter, if its tag names one of our keys."""
        if self._service.describe(self._name, self.address) is None:
            return ()
        key = self._tags().get(KEY_TAG)
        if key not in keys:
            raise ProviderRefused(
                f"{self._name} is not tagged with a key that keyrota wrote",
                where=self.address,
                remedy="look at it, and delete it by hand if nothing needs it",
            )
        self._service.delete(self._name, self.address)
        return (self._name,)

    def _misfit(self, found: Parameter | None) -> ProviderRefused | None:
        """Find a parameter of another type."""
        if found is None or found.type == "SecureString":
            return None
        return ProviderRefused(
            f"{self._name} exists as {found.type}, and must be a SecureString",
            where=self.address,
            remedy="delete it, or give another name; nothing was written",
        )

    def _refuse_misfit(self, found: Parameter | None) -> None:
        misfit = self._misfit(found)
        if misfit is not None:
            raise misfit

    def _tags(self) -> dict[str, str]:
        return self._service.tags(self._name, self.address)


def looks_like_other(name: str) -> bool:
    """Distinguish a name that overrides nothing here: a parameter is no environment variable."""
    return plain(name) in {*SESSIONS, *PROFILES, *IDENTITIES}


def _faults(settings: Settings) -> tuple[str, ...]:
    """The two fields need two names, and AWS keeps some prefixes to itself."""
    found = []
    if len(set(names_of(settings))) == 1:
        found.append("`names` must give the ID and the secret two names")
    if str(settings["parameter"]).lstrip("/").lower().startswith(("aws", "ssm")):
        found.append("a parameter's name must not begin with aws or ssm")
    return tuple(found)


def _address(settings: Settings) -> str:
    """Name the target."""
    return f"{name_provider(settings, 'ssm')} {settings['parameter']}"


def _is_within(settings: Settings, scope: str) -> bool:
    """Return whether a parameter lies below a path."""
    return str(settings["parameter"]).startswith(scope)


def _variables(settings: Settings) -> frozenset[str]:
    """Name the parameter that this target would write."""
    return frozenset({str(settings["parameter"])})


def _connect(settings: Settings, *, secrets: SecretReader, clock: Clock) -> Connection:  # noqa: ARG001  # the signature of Connect
    """Connect; makes no request yet."""
    role = Role(arn=settings["role"]) if "role" in settings else None
    account = Account(region=settings.get("region"), profile=settings.get("profile"), role=role)
    return Connection(target=partial(ParameterTarget, ParameterStore(account, clock)))


KIND = Provider(
    provider_schema=PROVIDER_SCHEMA,
    target_schema=TARGET_SCHEMA,
    address=_address,
    faults=_faults,
    is_within=_is_within,
    variables=_variables,
    connect=_connect,
)
