"""A sandbox with two accounts whose users have equal names, and a configuration of both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cli_rig import USER, Sandbox, a_sandbox

from keyrota.core.model import KeyPair
from keyrota_sandbox.cloud import Admin

OWN, OTHER = "123456789012", "222222222222"
CONFIGURATION = f"""\
version: 1
providers:
  bitbucket:
    base_url: {{url}}/2.0
    auth: {{{{token: "env:BITBUCKET_TOKEN"}}}}
credentials:
  - user: {USER}
    targets:
      - bitbucket: {{{{workspace: acme, repository: shop, environment: Production}}}}
  - user: {USER}
    account: "{OTHER}"
    role: keyrota
    targets:
      - bitbucket: {{{{workspace: acme, repository: web}}}}
"""


@dataclass(slots=True, kw_only=True)
class Two:
    """The caller's own account and another one; `ci-deploy` is a user of both."""

    box: Sandbox
    other: Admin
    first: KeyPair
    """The key of the own account's user."""
    second: KeyPair
    """The key of the other account's user."""

    def statuses(self) -> tuple[list[str], list[str]]:
        """Return the status of each account's keys, oldest first."""
        return [status for _, status in self.box.cloud.admin.keys(USER)], [
            status for _, status in self.other.keys(USER)
        ]

    def writes(self, since: int) -> list[str]:
        """Name the calls that changed something since a moment of the journal."""
        reading = ("Get", "List", "Describe", "AssumeRole", "Simulate")
        calls = (call.operation for call in self.box.cloud.aws.journal[since:])
        return [call for call in calls if not call.partition(":")[2].startswith(reading)]

    def rotate(self) -> None:
        """Let the first keys be replaced, deactivated and deleted."""
        for days in (71, 10.5, 1, 10.5, 1):
            self.box.travel(days=days)
            code, out, err = self.box.run("apply", "--force", "--reason", "a test")
            assert code == 0, out + err

    @property
    def held(self) -> dict[str, str]:
        """What the own account's place holds."""
        return self.box.held()

    @property
    def now(self) -> int:
        """The journal's length."""
        return len(self.box.cloud.aws.journal)


@contextmanager
def two_accounts(folder: Path, capsys: pytest.CaptureFixture[str], *, age_days: int = 20) -> Iterator[Two]:
    """Start it; both keys are of an age, and each is held by its own repository."""
    with a_sandbox(folder, capsys) as box:
        other = box.cloud.add_account(OTHER)
        other.add_user(USER)
        pair = other.add_key(USER, age=timedelta(days=age_days))
        box.bitbucket.add_repository("acme", "web")
        box.bitbucket.set_variable("acme", "web", None, "AWS_ACCESS_KEY_ID", pair.id)
        box.bitbucket.set_variable("acme", "web", None, "AWS_SECRET_ACCESS_KEY", pair.secret.reveal(), secured=True)
        box.cloud.admin.record(box.old.id).create_date += timedelta(days=91 - age_days)
        box.file.write_text(CONFIGURATION.format(url=box.cloud.url("bitbucket")), "utf-8")
        yield Two(box=box, other=other, first=box.old, second=pair)
