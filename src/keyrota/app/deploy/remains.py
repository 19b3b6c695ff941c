"""What stays in an account after `keyrota undeploy`, and the command that removes each: nothing is removed unasked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from keyrota.app.config import Configuration
from keyrota.aws.stacks import Resource

_REMOVAL = {
    "AWS::Logs::LogGroup": "aws logs delete-log-group --log-group-name {}",
    "AWS::KMS::Key": "aws kms schedule-key-deletion --key-id {}",
    "AWS::S3::Bucket": "aws s3 rb --force s3://{}",
}
"""Kinds of resources that the template retains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """One thing that stays."""

    what: str
    remedy: str
    """The command that removes it; empty where keyrota's own commands are the way."""


def remains(
    configuration: Configuration, resources: Iterable[Resource], *, bucket: str, stack: str, parameter: str
) -> Iterator[Remains]:
    """
    List what stays.

    Args:
        configuration: The credentials whose secrets stay.
        resources: Of the stack, as they were before it was deleted.
        bucket: Where code packages, templates and large configurations were uploaded.
        stack: Its name.
        parameter: The name of the SSM parameter that holds the configuration; empty if it is in the bucket.
    """
    yield Remains(
        what=f"s3://{bucket}/keyrota/: code packages, the template, and a configuration that was too large for SSM",
        remedy=f"aws s3 rm --recursive s3://{bucket}/keyrota/ (older versions: delete the bucket's versions, then "
        f"aws s3 rb s3://{bucket}); other stacks of this account may use it too",
    )
    if parameter:
        yield Remains(what=f"ssm:{parameter}: the configuration", remedy=f"aws ssm delete-parameter --name {parameter}")
    for resource in resources:
        if resource.kind in _REMOVAL and resource.is_retained:
            remedy = _REMOVAL[resource.kind].format(resource.id)
            yield Remains(what=f"{resource.kind} {resource.id}", remedy=remedy)
    names = [entry.secret_name for entry in configuration.credentials]
    shown = ", ".join(names[:_MAX_NAMES]) + (f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else "")
    yield Remains(
        what="access keys, CI variables, the providers' tokens, and these secrets, with the tag "
        f"keyrota:stack={stack}@…: {shown}",
        remedy="they work as before, and nothing rotates them: run `keyrota apply` elsewhere, or replace the keys",
    )


_MAX_NAMES = 5
