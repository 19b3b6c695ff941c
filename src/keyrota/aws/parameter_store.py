"""
AWS Systems Manager Parameter Store as a target: the pair as one JSON document in a SecureString, never torn.

Which key it is stands in the tag `keyrota:key` beside it. A value is written, and never read back: only metadata is
(DescribeParameters), so that no duty but sync needs a right to the value. A change by someone else shows by
LastModifiedDate. Source: Systems Manager API Reference, PutParameter (a KMS key that is left out becomes the default
one; an advanced parameter cannot become a standard one), DescribeParameters (ParameterMetadata), AddTagsToResource.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

from botocore.exceptions import ClientError

from keyrota.aws._translate import aws_call, code_of
from keyrota.aws.account import Account, Role
from keyrota.core.detect import plain
from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import (
    AccessKeyId,
    Conflict,
    KeyPair,
    PlaceId,
    Readiness,
    Surroundings,
    TargetEvidence,
    TargetState,
    VariableState,
)
from keyrota.core.secret import Secret
from keyrota.core.timestamps import require_sane_utc
from keyrota.core.variables import IDENTITIES, PROFILES, SESSIONS, describe_variable, pair_conflicts
from keyrota.errors import KeyrotaError, ProviderRefused, ProviderUnavailable
from keyrota.http import Budget, Limit, current_waiting
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.provider import Connection, Provider, Settings
from keyrota.target_base.schema import KMS_KEY, NAMES, WAITING, Schema, make_mapping, names_of
from keyrota.target_base.target import BaseTarget

_ADVANCED, _USUAL_KEY = "Advanced", "alias/aws/ssm"
_LIMIT, _BOUND = Limit(calls=5, seconds=1.0), timedelta(minutes=30)
"""DescribeParameters is throttled long before the calls that read values; its quota is not published."""
_MAX_PAGES = 40
_EXISTS = "ParameterAlreadyExists"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What is known of a parameter without its value."""

    name: str
    type: str
    changed_at: datetime
    version: str
    tier: str = ""
    kms_key: str = ""
    by: str = ""
    """ARN of whoever changed it last."""
    expires: bool = False
    """A parameter policy deletes it one day."""


class ParameterTarget(BaseTarget):
    """One parameter."""

    def __init__(self, service: ParameterStore, settings: Settings) -> None:
        super().__init__(address(settings["parameter"]))
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

    def _conflicts(self, found: _Found, *, is_ours: bool) -> Iterator[Conflict]:
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
            if self._is_made(value, credential.id):
                return
            found = self._service.describe(self._name, self.address)
            self._refuse_strange(found)
        with self._service.call("ssm:PutParameter", self.address, has_secret=True):
            self._ssm().put_parameter(
                Name=self._name, Value=value.reveal(), Type="SecureString", Overwrite=True, **self._keep_settings(found)
            )
        with self._service.call("ssm:AddTagsToResource", self.address):
            self._ssm().add_tags_to_resource(
                ResourceType="Parameter", ResourceId=self._name, Tags=[{"Key": KEY_TAG, "Value": credential.id}]
            )

    def _is_made(self, value: Secret, key: AccessKeyId) -> bool:
        """Make the parameter with its tag; return whether it was not there."""
        with self._service.call("ssm:PutParameter", self.address, has_secret=True):
            try:
                self._ssm().put_parameter(
                    Name=self._name,
                    Value=value.reveal(),
                    Type="SecureString",
                    Overwrite=False,
                    Tags=[{"Key": KEY_TAG, "Value": key}],
                    **self._keep_settings(None),
                )
            except ClientError as error:
                if code_of(error) != _EXISTS:
                    raise
                return False
        return True

    def _refuse_strange(self, found: _Found | None) -> None:
        """Leave alone what appeared since the plan was made; with our tag, another run of ours made it."""
        self._refuse_misfit(found)
        if found is None or KEY_ID.fullmatch(self._tags().get(KEY_TAG, "")):
            return
        raise ProviderRefused(
            f"{self._name} was made by someone else just now, without the tag {KEY_TAG}",
            where=self.address,
            remedy="nothing was written; the next run asks before it replaces the value",
        )

    def _keep_settings(self, found: _Found | None) -> dict[str, str]:
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
        with self._service.call("ssm:DeleteParameter", self.address):
            self._ssm().delete_parameter(Name=self._name)
        return (self._name,)

    def _misfit(self, found: _Found | None) -> ProviderRefused | None:
        """Find a parameter of another type."""
        if found is None or found.type == "SecureString":
            return None
        return ProviderRefused(
            f"{self._name} exists as {found.type}, and must be a SecureString",
            where=self.address,
            remedy="delete it, or give another name; nothing was written",
        )

    def _refuse_misfit(self, found: _Found | None) -> None:
        misfit = self._misfit(found)
        if misfit is not None:
            raise misfit

    def _tags(self) -> dict[str, str]:
        with self._service.call("ssm:ListTagsForResource", self.address):
            found = self._ssm().list_tags_for_resource(ResourceType="Parameter", ResourceId=self._name)
            return {str(tag["Key"]): str(tag["Value"]) for tag in found.get("TagList", ())}

    def _ssm(self) -> Any:
        return self._service.account.client("ssm")


class ParameterStore:
    """Parameter Store with one set of AWS credentials; values are not read."""

    def __init__(self, account: Account, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        self._budget = Budget(clock, [_LIMIT], bound=_BOUND, name="Parameter Store's budget of DescribeParameters")

    @contextmanager
    def call(self, action: str, about: str, *, has_secret: bool = False) -> Iterator[None]:
        """
        Make one call, if the credential that is worked on may still wait for Parameter Store.

        Raises:
            ProviderUnavailable, LeftByLimit: Its time is used up; nothing was sent.
        """
        account, began = current_waiting(), monotonic()
        if account is not None and account.get_remaining_s(self) <= 0:
            raise account.refusal("Parameter Store", about, is_undone=True)
        try:
            with aws_call(action, about, has_secret=has_secret):
                yield
        finally:
            if account is not None:
                account.note_answer(self, monotonic() - began)

    def place(self, name: str) -> PlaceId:
        """Identify a parameter by account, region and name; which role reaches it does not matter."""
        account = self.account.resolve_id(self._clock)
        partition = self.account.caller().split(":")[1]
        origin = f"arn:{partition}:ssm:{self.account.region}:{account}"
        return PlaceId(kind="ssm", origin=origin, id=f"parameter /{name.lstrip('/')}")

    def describe(self, name: str, about: str) -> _Found | None:
        """Ask for a parameter without its value; None if it is not there."""
        wanted = [{"Key": "Name", "Option": "Equals", "Values": [name]}]
        return next((one for one in self._describe(wanted, about) if one.name == name), None)

    def names_below(self, path: str, about: str) -> tuple[str, ...]:
        """Name the parameters right below a path."""
        wanted = [{"Key": "Path", "Option": "OneLevel", "Values": [path]}]
        return tuple(one.name for one in self._describe(wanted, about))

    def _describe(self, wanted: Sequence[Mapping[str, Any]], about: str) -> Iterator[_Found]:
        more: dict[str, str] = {}
        for _ in range(_MAX_PAGES):
            self._budget.take(about)
            with self.call("ssm:DescribeParameters", about):
                answer = self.account.client("ssm").describe_parameters(ParameterFilters=wanted, MaxResults=50, **more)
                found = [_parse(one) for one in answer["Parameters"]]
            yield from found
            token = answer.get("NextToken")
            if not isinstance(token, str) or not token:
                return
            more = {"NextToken": token}
        raise ProviderUnavailable(f"Parameter Store's list has more than {_MAX_PAGES} pages", where=about)


def _parse(one: Mapping[str, Any]) -> _Found:
    policies = one.get("Policies")
    return _Found(
        name=str(one["Name"]),
        type=str(one.get("Type")),
        changed_at=require_sane_utc(one["LastModifiedDate"]),
        version=str(one.get("Version")),
        tier=str(one.get("Tier") or ""),
        kms_key=str(one.get("KeyId") or ""),
        by=str(one.get("LastModifiedUser") or "").replace("N/A", ""),
        expires=isinstance(policies, list) and any(policy.get("PolicyType") == "Expiration" for policy in policies),
    )


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
    return address(settings["parameter"])


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


def address(name: str) -> str:
    """Name a parameter in words."""
    return f"ssm {name}"


KIND = Provider(
    provider_schema=PROVIDER_SCHEMA,
    target_schema=TARGET_SCHEMA,
    address=_address,
    faults=_faults,
    is_within=_is_within,
    variables=_variables,
    connect=_connect,
)
