"""The embedded AWS in this process, with clients for any pair."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from aws_session import a_session
from keyrota.core.model import KeyPair
from keyrota_sandbox.aws.strict import ADMIN_ID, ADMIN_SECRET
from keyrota_sandbox.cloud import REGION, Cloud

CANARY = "canary-value-5d2e"


@contextmanager
def a_cloud() -> Iterator[Cloud]:
    """Start a sandbox; its environment is set, and no other AWS variable."""
    with Cloud() as cloud, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "KEYROTA_"))]:
            patch.delenv(name)
        for name, value in cloud.environment().items():
            patch.setenv(name, value)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        yield cloud


def client(cloud: Cloud, service: str, pair: KeyPair | None = None) -> Any:
    """Make a client that asks once, as the administrator or with a pair."""
    return a_session().create_client(
        service,
        region_name=REGION,
        endpoint_url=cloud.aws_url,
        aws_access_key_id=pair.id if pair else ADMIN_ID,
        aws_secret_access_key=pair.secret.reveal() if pair else ADMIN_SECRET,
        config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
    )


def code_of(call: Any, **arguments: Any) -> str:
    """Make a call that must be refused, and return AWS's error code."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])
