"""A deployed stack and what is in it, as `keyrota check --stack` looks at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keyrota.aws._translate import aws_call
from keyrota.aws.account import Account
from keyrota.errors import NotThere


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One thing that was looked at; `is_good` is None where it cannot be told."""

    what: str
    is_good: bool | None
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource of a stack, as ListStackResources names it."""

    kind: str
    logical: str
    physical: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A stack and what is in it."""

    account: Account
    name: str
    now: datetime
    made: datetime | None
    resources: tuple[Resource, ...]

    def of(self, kind: str) -> tuple[Resource, ...]:
        """Find the resources of a type."""
        return tuple(one for one in self.resources if one.kind == kind)

    def report(self, detail: str, remedy: str = "", *, is_good: bool | None) -> Seen:
        """Say what was found; None: it cannot be told."""
        return Seen(what=f"stack {self.name}", is_good=is_good, detail=detail, remedy="" if is_good else remedy)


def resources_of(account: Account, name: str) -> tuple[Resource, ...]:
    """
    List what is in a stack, all pages.

    Raises:
        KeyrotaError: CloudFormation refused, or did not answer.
    """
    with aws_call("cloudformation:ListStackResources", f"stack {name}"):
        pages = account.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
        return tuple(
            Resource(
                kind=str(one["ResourceType"]),
                logical=str(one["LogicalResourceId"]),
                physical=str(one.get("PhysicalResourceId") or ""),
            )
            for page in pages
            for one in page["StackResourceSummaries"]
        )


def or_nothing(action: str, where: str, ask: Callable[[], Any]) -> dict[str, Any]:
    """Ask for something that may have been deleted; what is not there is empty."""
    try:
        with aws_call(action, where):
            return dict(ask())
    except NotThere:
        return {}
