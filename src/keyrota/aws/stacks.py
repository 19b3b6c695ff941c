"""CloudFormation: a stack made, changed or deleted, with its events as they happen."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from keyrota.aws._translate import all_pages, aws_call, fields
from keyrota.aws.account import Account
from keyrota.errors import ProviderRefused, ProviderUnavailable
from keyrota.ports import Clock

_LOOK_AGAIN_S = 2.0
_AT_MOST_S = 3600.0
_MAX_EVENT_PAGES = 100
"""More than a change has: 500 resources a stack (CloudFormation quotas), each with some events; a hundred on a page."""
_NOTHING = ("didn't contain changes", "No updates are to be performed")
_BEGUN = "REVIEW_IN_PROGRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackEvent:
    """One line of a stack's progress."""

    at: datetime
    resource: str
    kind: str
    status: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource of a stack."""

    kind: str
    id: str
    """Its name, ID or ARN."""
    is_retained: bool
    """It stays when the stack is deleted."""


class Stacks:
    """The stacks of one account and region."""

    def __init__(self, account: Account, clock: Clock) -> None:
        self._account = account
        self._clock = clock

    def _client(self) -> Any:
        return self._account.client("cloudformation")

    def status(self, name: str) -> str | None:
        """Return a stack's status; None if there is none."""
        with _stack_call(name):
            found = self._describe(name)
            return str(found["StackStatus"]) if found else None

    def read_time(self, name: str) -> datetime | None:
        """Return when a stack was made, or changed last; None if that is not known."""
        with _stack_call(name):
            found = self._describe(name) or {}
            made: datetime | None = found.get("LastUpdatedTime") or found.get("CreationTime")
            return made

    def outputs(self, name: str) -> dict[str, str]:
        """Return a stack's outputs."""
        with _stack_call(name):
            found = self._describe(name) or {}
            return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs") or ()}

    def parameters(self, name: str) -> dict[str, str]:
        """Return a stack's parameters."""
        with _stack_call(name):
            found = self._describe(name) or {}
            return {given["ParameterKey"]: given["ParameterValue"] for given in found.get("Parameters") or ()}

    def _describe(self, name: str) -> dict[str, Any] | None:
        with _stack_call(name):
            try:
                stacks = self._client().describe_stacks(StackName=name)["Stacks"]
            except ClientError as error:
                if "does not exist" in fields(error)[1]:
                    return None
                raise
        return dict(stacks[0]) if stacks else None

    def change(self, name: str, template: str, parameters: Mapping[str, str]) -> Iterator[StackEvent]:
        """
        Make or change a stack; yields what happens.

        Args:
            name: The stack's.
            template: The URL of its template, or the template.
            parameters: By name.

        Raises:
            ProviderRefused: It failed, and CloudFormation went back to what was there before.
        """
        before = self.status(name)
        kind = "UPDATE" if before and before != _BEGUN else "CREATE"
        since = self._clock.now()
        if not self._propose(name, kind, template, parameters):
            return
        ended = yield from self._follow(name, since)
        if ended not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            raise ProviderRefused(
                f"the stack is {ended}: what was there before is there again",
                where=f"stack {name}",
                remedy="the events above say which resource failed, and why"
                + ("; delete it before the next try: keyrota undeploy" if ended == "ROLLBACK_COMPLETE" else ""),
            )

    def _propose(self, name: str, kind: str, template: str, parameters: Mapping[str, str]) -> bool:
        """Make a change set and start it; False if it changes nothing."""
        change_set = f"keyrota-{uuid.uuid4().hex[:12]}"
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        with aws_call("cloudformation:CreateChangeSet", f"stack {name}"):
            self._client().create_change_set(
                StackName=name,
                ChangeSetName=change_set,
                ChangeSetType=kind,
                **{"TemplateURL" if template.startswith("https://") else "TemplateBody": template},
                Parameters=given,
                Capabilities=["CAPABILITY_NAMED_IAM"],
                Tags=[{"Key": "keyrota", "Value": "stack"}],
            )
        found = self._await_change_set(name, change_set)
        if found["Status"] == "FAILED":
            reason = str(found.get("StatusReason", ""))
            with aws_call("cloudformation:DeleteChangeSet", f"stack {name}"):
                self._client().delete_change_set(StackName=name, ChangeSetName=change_set)
            if any(words in reason for words in _NOTHING):
                return False
            raise ProviderRefused(f"the change was refused: {reason}", where=f"stack {name}")
        with aws_call("cloudformation:ExecuteChangeSet", f"stack {name}"):
            self._client().execute_change_set(StackName=name, ChangeSetName=change_set)
        return True

    def _await_change_set(self, name: str, change_set: str) -> dict[str, Any]:
        for _ in range(round(_AT_MOST_S / _LOOK_AGAIN_S)):
            with aws_call("cloudformation:DescribeChangeSet", f"stack {name}"):
                found: dict[str, Any] = self._client().describe_change_set(StackName=name, ChangeSetName=change_set)
                is_over = found["Status"] in {"CREATE_COMPLETE", "FAILED"}
            if is_over:
                return found
            self._clock.sleep(_LOOK_AGAIN_S)
        raise ProviderUnavailable("CloudFormation did not finish the change set", where=f"stack {name}")

    def delete(self, name: str) -> Iterator[StackEvent]:
        """
        Delete a stack; yields what happens.

        Raises:
            ProviderRefused: Something in it could not be deleted.
        """
        found = self._describe(name)
        if found is None:
            return
        with _stack_call(name):
            stack = str(found["StackId"])
        since = self._clock.now()
        with aws_call("cloudformation:DeleteStack", f"stack {name}"):
            self._client().delete_stack(StackName=name)
        ended = yield from self._follow(stack, since)
        if ended not in {"DELETE_COMPLETE", None}:
            raise ProviderRefused(
                f"the stack is {ended}", where=f"stack {name}", remedy="the events above say which resource failed"
            )

    def resources(self, name: str) -> tuple[Resource, ...]:
        """List the resources of a stack, and which of them stay when it is deleted."""
        with aws_call("cloudformation:GetTemplate", f"stack {name}"):
            body = self._client().get_template(StackName=name)["TemplateBody"]
            content = json.loads(body) if isinstance(body, str) else body
            retained = {
                logical
                for logical, one in content["Resources"].items()
                if one.get("DeletionPolicy") in {"Retain", "RetainExceptOnCreate"}
            }
        with aws_call("cloudformation:ListStackResources", f"stack {name}"):
            found = all_pages(self._client(), "list_stack_resources", "StackResourceSummaries", StackName=name)
            return tuple(
                Resource(
                    kind=str(one.get("ResourceType", "")),
                    id=str(one.get("PhysicalResourceId", "")),
                    is_retained=one.get("LogicalResourceId") in retained,
                )
                for one in found
            )

    def _follow(self, name: str, since: datetime) -> Generator[StackEvent, None, str | None]:
        seen: set[str] = set()
        for _ in range(round(_AT_MOST_S / _LOOK_AGAIN_S)):
            status = self.status(name)
            for number, event in self._events(name, since, seen):
                if number not in seen and event.at >= since:
                    seen.add(number)
                    yield event
            if status is None or not status.endswith("_IN_PROGRESS"):
                return status  # the generator's value: how it ended
            self._clock.sleep(_LOOK_AGAIN_S)
        raise ProviderUnavailable("the stack did not come to an end within an hour", where=f"stack {name}")

    def _events(self, name: str, since: datetime, seen: Collection[str]) -> list[tuple[str, StackEvent]]:
        """
        List what happened, the oldest first, each with its ID; at least what is new.

        Pages have the newest first (API Reference, DescribeStackEvents): they are read back to what was seen before, or
        is older than this change. A stack keeps its events for 90 days.
        """
        events: list[Mapping[str, Any]] = []
        asked: dict[str, Any] = {"StackName": name}
        with aws_call("cloudformation:DescribeStackEvents", f"stack {name}"):
            for _ in range(_MAX_EVENT_PAGES):
                try:
                    answer = self._client().describe_stack_events(**asked)
                except ClientError as error:
                    if "does not exist" in fields(error)[1]:
                        return []
                    raise
                page = answer["StackEvents"]
                events += page
                is_reached = any(event["Timestamp"] < since or str(event["EventId"]) in seen for event in page)
                if is_reached or not answer.get("NextToken"):
                    break
                asked = {"StackName": name, "NextToken": answer["NextToken"]}
            return [(str(event["EventId"]), _event(event)) for event in reversed(events)]


def _stack_call(name: str) -> AbstractContextManager[None]:
    """Ask for a stack, and read the answer."""
    return aws_call("cloudformation:DescribeStacks", f"stack {name}")


def _event(event: Mapping[str, Any]) -> StackEvent:
    return StackEvent(
        at=event["Timestamp"],
        resource=str(event.get("LogicalResourceId", "")),
        kind=str(event.get("ResourceType", "")),
        status=str(event.get("ResourceStatus", "")),
        reason=str(event.get("ResourceStatusReason") or ""),
    )
