"""What `keyrota check --stack` looks at: whether a deployed stack does what this configuration says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from keyrota.app.config import bundle
from keyrota.app.config.source import read_reference_text, without_stamp
from keyrota.app.deploy.deployed import Deployed, Seen, resources_of
from keyrota.app.deploy.liveness import alive
from keyrota.app.deploy.stack import IAM_EVENTS_REGION
from keyrota.app.deploy.template import beyond_events
from keyrota.app.session import Session
from keyrota.aws._translate import aws_call
from keyrota.aws.account import Account
from keyrota.aws.stacks import Stacks
from keyrota.aws.trails import find_missing_trail
from keyrota.errors import KeyrotaError


def inspect_stack(session: Session, stack: str, config: str) -> Iterator[Seen]:
    """
    Look at a deployed stack.

    Args:
        session: Of the configuration at hand.
        stack: The stack's name.
        config: Where that configuration lies.
    """
    account = session.wiring.own_account()
    stacks, name = Stacks(account, session.clock), f"stack {stack}"
    status = stacks.status(stack)
    if status is None:
        yield Seen(what=name, is_good=False, detail="there is none", remedy=f"keyrota deploy --stack {stack}")
        return
    is_well = status.endswith("_COMPLETE") and "ROLLBACK" not in status
    yield Seen(what=name, is_good=is_well, detail=status, remedy="" if is_well else "keyrota deploy says what fails")
    parameters = stacks.parameters(stack)
    trigger = parameters.get("Trigger", "native")
    if trigger != "native":
        yield _trail(account, name, "events by CloudTrail come")
    yield from _beyond(session, name)
    if parameters.get("Emergency") == "auto":
        account.enter(session.clock)
        yield from _quarantine(account, name)
    found = _find_deployed(session, stacks, stack)
    yield from _configuration(found, parameters, config)
    yield from alive(found)


def _find_deployed(session: Session, stacks: Stacks, name: str) -> Deployed:
    account = session.wiring.own_account()
    try:
        resources = resources_of(account, name)
    except KeyrotaError:
        resources = ()  # each look then says what it misses
    return Deployed(
        account=account, name=name, now=session.clock.now(), made=stacks.read_time(name), resources=resources
    )


def _trail(account: Account, name: str, what: str) -> Seen:
    try:
        missing = find_missing_trail(account)
    except KeyrotaError as error:
        return Seen(what=name, is_good=None, detail=f"whether a trail logs cannot be told: {error}")
    if missing is None:
        return Seen(what=name, is_good=True, detail=f"a trail logs: {what}")
    return Seen(what=name, is_good=False, detail=missing.what, remedy=missing.remedy)


def _quarantine(account: Account, name: str) -> Iterator[Seen]:
    """Look for a trail where IAM's events arrive, if they are to begin something: IAM has no events of its own."""
    if account.caller().split(":")[1] != "aws":
        return  # where they arrive in other partitions: docs/facts/aws.md, Where IAM is
    seen = _trail(Account(region=IAM_EVENTS_REGION), name, "AWS's quarantine of a user is heard of")
    if seen.is_good is False:
        yield replace(
            seen,
            detail=f"no trail is logging in {IAM_EVENTS_REGION}: AWS's quarantine of a user is never heard of, and "
            "`--emergency auto` never begins",
            remedy="switch a multi-region trail on; until then: keyrota revoke USER",
        )
    else:
        yield seen


def _beyond(session: Session, name: str) -> Iterator[Seen]:
    region = session.wiring.own_account().region or ""
    places = beyond_events(session.configuration, region)
    if places:
        detail = f"no event of a secret comes from {', '.join(places)}: the daily runs bring new keys to the targets"
        yield Seen(what=name, is_good=None, detail=detail)


def _configuration(stack: Deployed, parameters: dict[str, str], config: str) -> Iterator[Seen]:
    """Compare what the functions read with the file at hand, in Parameter Store or, for a large one, in S3."""
    try:
        reference = _reference(stack, parameters)
        if reference is None or not Path(config).is_file():
            yield stack.report(
                f"its configuration ({reference or 'unknown'}) is not compared: {config} is not a file", is_good=None
            )
            return
        text = read_reference_text(reference)
    except KeyrotaError as error:
        yield stack.report(
            f"its configuration cannot be read: {error}", error.remedy or "keyrota deploy", is_good=False
        )
        return
    is_same = without_stamp(text) == bundle(Path(config))
    detail = f"runs with {reference}, " + ("the same as this file" if is_same else "which differs from this file")
    yield stack.report(detail, "keyrota deploy brings it there", is_good=is_same)


def _reference(stack: Deployed, parameters: dict[str, str]) -> str | None:
    """Return where the functions read their configuration: only they know, where it is too large for a parameter."""
    if "ConfigParameter" in parameters:
        return f"ssm:{parameters['ConfigParameter']}"
    for one in stack.of("AWS::Lambda::Function"):
        with aws_call("lambda:GetFunctionConfiguration", f"function {one.physical}"):
            found = stack.account.client("lambda").get_function_configuration(FunctionName=one.physical)
            reference = (found.get("Environment") or {}).get("Variables", {}).get("KEYROTA_CONFIG")
        if reference:
            return str(reference)
    return None
