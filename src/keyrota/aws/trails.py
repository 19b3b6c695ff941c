"""CloudTrail: whether a trail sends the events that the CloudTrail trigger waits for."""

from __future__ import annotations

from typing import Any

from keyrota.aws._translate import aws_call
from keyrota.aws.account import Account
from keyrota.errors import KeyrotaError, ProviderRefused


def find_missing_trail(account: Account) -> KeyrotaError | None:
    """
    Look for a trail that logs in this region; None if there is one, or if it cannot be told.

    Events of the kind "AWS API Call via CloudTrail" come only with a trail that is switched on
    (EventBridge user guide, events from services via CloudTrail). Read-only event selectors are not looked at.
    """
    cloudtrail = account.client("cloudtrail")
    with aws_call("cloudtrail:DescribeTrails", f"region {account.region}"):
        trails: list[dict[str, Any]] = cloudtrail.describe_trails(includeShadowTrails=True)["trailList"]
    for trail in trails:
        with aws_call("cloudtrail:GetTrailStatus", str(trail.get("TrailARN"))):
            if cloudtrail.get_trail_status(Name=trail["TrailARN"]).get("IsLogging"):
                return None
    return ProviderRefused(
        f"no trail is logging in {account.region}: events by CloudTrail never come, only the daily run syncs",
        where=f"region {account.region}",
        remedy="switch a multi-region trail on, or deploy with trigger native",
    )
