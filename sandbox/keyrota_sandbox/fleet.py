"""A fleet at rest in the sandbox's AWS: users whose keys keyrota made, stored and served some weeks ago."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from keyrota.core.model import CREATED_TAG, OWNER_TAG, SYNCED_TAG, SyncRecord, VersionId
from keyrota.core.naming import owner_tag, secret_name_for
from keyrota.core.records import format_created, format_synced
from keyrota_sandbox.cloud import REGION, Cloud

NO_TARGETS = "e3b0c44298fc1c14"
"""The fingerprint of an empty set of targets."""


def add_fleet(cloud: Cloud, users: Iterable[str], *, age: timedelta = timedelta(days=20)) -> None:
    """Make users, each with one key of that age and a secret that holds it, as a rotation leaves them."""
    from moto.secretsmanager.models import secretsmanager_backends  # noqa: PLC0415  # an extra

    backend: Any = secretsmanager_backends[cloud.aws.account_id][REGION]
    for user in users:
        cloud.admin.add_user(user)
        pair = cloud.admin.add_key(user, age=age)
        created = (cloud.clock.now() - age).replace(microsecond=0)
        cloud.admin.record(pair.id).create_date = created.replace(tzinfo=None)
        version = str(uuid.uuid5(uuid.NAMESPACE_URL, user))
        synced = SyncRecord(
            version=VersionId(version),
            since=created + timedelta(minutes=1),
            confirmed=created + timedelta(hours=1),
            fingerprint=NO_TARGETS,
            ended=created + timedelta(hours=1),
        )
        tags = {
            OWNER_TAG: owner_tag(user),
            SYNCED_TAG: format_synced(synced),
            CREATED_TAG: format_created(pair.id, created),
        }
        content = {"AWS_ACCESS_KEY_ID": pair.id, "AWS_SECRET_ACCESS_KEY": pair.secret.reveal()}
        backend._add_secret(  # noqa: SLF001  # thousands of calls would take minutes
            secret_name_for(user),
            secret_string=json.dumps(content),
            tags=[{"Key": key, "Value": value} for key, value in tags.items()],
            version_id=version,
            version_stages=["AWSCURRENT", pair.id],
        )
