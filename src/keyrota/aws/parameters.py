"""
The client of AWS Systems Manager Parameter Store: metadata, tags and writes; a value is never read.

Source: Systems Manager API Reference, PutParameter (a KMS key that is left out becomes the default one; an advanced
parameter cannot become a standard one), DescribeParameters (ParameterMetadata), AddTagsToResource.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from botocore.exceptions import ClientError

from keyrota.aws._translate import aws_call, code_of
from keyrota.aws.account import Account
from keyrota.core.model import PlaceId
from keyrota.core.secret import Secret
from keyrota.core.timestamps import require_sane_utc
from keyrota.errors import ProviderUnavailable
from keyrota.http import Budget, Limit, current_waiting
from keyrota.ports import Clock

_LIMIT, _BOUND = Limit(calls=5, seconds=1.0), timedelta(minutes=30)
"""DescribeParameters is throttled long before the calls that read values; its quota is not published."""
_MAX_PAGES = 40
_EXISTS = "ParameterAlreadyExists"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
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


class ParameterStore:
    """Parameter Store with one set of AWS credentials; values are not read."""

    def __init__(self, account: Account, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        self._budget = Budget(clock, [_LIMIT], bound=_BOUND, name="Parameter Store's budget of DescribeParameters")

    @contextmanager
    def _call(self, action: str, about: str, *, has_secret: bool = False) -> Iterator[None]:
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

    def describe(self, name: str, about: str) -> Parameter | None:
        """Ask for a parameter without its value; None if it is not there."""
        wanted = [{"Key": "Name", "Option": "Equals", "Values": [name]}]
        return next((one for one in self._describe(wanted, about) if one.name == name), None)

    def names_below(self, path: str, about: str) -> tuple[str, ...]:
        """Name the parameters right below a path."""
        wanted = [{"Key": "Path", "Option": "OneLevel", "Values": [path]}]
        return tuple(one.name for one in self._describe(wanted, about))

    def _describe(self, wanted: Sequence[Mapping[str, Any]], about: str) -> Iterator[Parameter]:
        more: dict[str, str] = {}
        for _ in range(_MAX_PAGES):
            self._budget.take(about)
            with self._call("ssm:DescribeParameters", about):
                answer = self._ssm().describe_parameters(ParameterFilters=wanted, MaxResults=50, **more)
                found = [_parse(one) for one in answer["Parameters"]]
            yield from found
            token = answer.get("NextToken")
            if not isinstance(token, str) or not token:
                return
            more = {"NextToken": token}
        raise ProviderUnavailable(f"Parameter Store's list has more than {_MAX_PAGES} pages", where=about)

    def tags(self, name: str, about: str) -> dict[str, str]:
        """Read a parameter's tags."""
        with self._call("ssm:ListTagsForResource", about):
            found = self._ssm().list_tags_for_resource(ResourceType="Parameter", ResourceId=name)
            return {str(tag["Key"]): str(tag["Value"]) for tag in found.get("TagList", ())}

    def is_created(self, name: str, value: Secret, tags: Mapping[str, str], about: str, **more: str) -> bool:
        """Create a SecureString with its tags in one call; return whether it was not there before."""
        with self._call("ssm:PutParameter", about, has_secret=True):
            try:
                self._ssm().put_parameter(
                    Name=name,
                    Value=value.reveal(),
                    Type="SecureString",
                    Overwrite=False,
                    Tags=_pairs(tags),
                    **more,
                )
            except ClientError as error:
                if code_of(error) != _EXISTS:
                    raise
                return False
        return True

    def replace(self, name: str, value: Secret, about: str, **more: str) -> None:
        """Replace a SecureString's value; KMS key and tier become the defaults where `more` does not give them."""
        with self._call("ssm:PutParameter", about, has_secret=True):
            self._ssm().put_parameter(Name=name, Value=value.reveal(), Type="SecureString", Overwrite=True, **more)

    def tag(self, name: str, tags: Mapping[str, str], about: str) -> None:
        """Set tags of a parameter; PutParameter takes none for one that is there."""
        with self._call("ssm:AddTagsToResource", about):
            self._ssm().add_tags_to_resource(ResourceType="Parameter", ResourceId=name, Tags=_pairs(tags))

    def delete(self, name: str, about: str) -> None:
        """Delete a parameter with all its versions."""
        with self._call("ssm:DeleteParameter", about):
            self._ssm().delete_parameter(Name=name)

    def _ssm(self) -> Any:
        return self.account.client("ssm")


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _parse(one: Mapping[str, Any]) -> Parameter:
    policies = one.get("Policies")
    return Parameter(
        name=str(one["Name"]),
        type=str(one.get("Type")),
        changed_at=require_sane_utc(one["LastModifiedDate"]),
        version=str(one.get("Version")),
        tier=str(one.get("Tier") or ""),
        kms_key=str(one.get("KeyId") or ""),
        by=str(one.get("LastModifiedUser") or "").replace("N/A", ""),
        expires=isinstance(policies, list) and any(policy.get("PolicyType") == "Expiration" for policy in policies),
    )
