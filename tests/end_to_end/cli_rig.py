"""The command line in this process, against a sandbox in this process: quick, and its state can be bent."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aws_session import a_session
from keyrota.app.cli import main
from keyrota.core.model import KeyPair
from keyrota_sandbox.cloud import REGION, Cloud, Emulator
from keyrota_sandbox.pipelines import AwsCaller
from keyrota_sandbox.providers.bitbucket import BitbucketEmulator
from keyrota_sandbox.providers.github import GitHubEmulator
from keyrota_sandbox.providers.gitlab import GitLabEmulator

CANARY_TOKEN = "canary-bitbucket-token-77aa"
USER = "ci-deploy"
SECRET = "keyrota/ci-deploy"
CONFIGURATION = """\
version: 1
providers:
  bitbucket:
    base_url: {url}/2.0
    auth: {{token: "env:BITBUCKET_TOKEN"}}
credentials:
  - user: ci-deploy
    secret: keyrota/ci-deploy
    targets:
      - bitbucket: {{workspace: acme, repository: shop, environment: Production}}
"""


@dataclass(slots=True, kw_only=True)
class Sandbox:
    """A user with a key of 91 days that its pipeline holds, and a configuration for it."""

    cloud: Cloud
    bitbucket: BitbucketEmulator
    github: GitHubEmulator
    gitlab: GitLabEmulator
    file: Path
    capsys: pytest.CaptureFixture[str]
    old: KeyPair

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run keyrota; returns exit code, stdout and stderr."""
        code = main(["--config", str(self.file), *arguments])
        told = self.capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out, told.err

    def json(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run keyrota with --json."""
        code, out, _ = self.run(*arguments, "--json")
        document: dict[str, Any] = json.loads(out)
        assert document["version"] == 1
        return code, document

    def configure(self, old: str, new: str) -> None:
        """Change the configuration."""
        text = self.file.read_text("utf-8")
        assert old in text
        self.file.write_text(text.replace(old, new), "utf-8")

    def travel(self, **span: float) -> None:
        """Let time pass."""
        self.cloud.clock.travel(timedelta(**span))

    def keys(self) -> dict[str, str]:
        """The user's keys and their status."""
        return dict(self.cloud.admin.keys(USER))

    def held(self) -> dict[str, str]:
        """What a pipeline step sees."""
        return self.bitbucket.values("acme", "shop", "Production")

    def deploys(self) -> bool:
        """Run the pipeline."""
        values = self.held()
        from keyrota.core.model import AccessKeyId  # noqa: PLC0415  # beside its only use
        from keyrota.core.secret import Secret  # noqa: PLC0415

        return self.uses(
            KeyPair(id=AccessKeyId(values["AWS_ACCESS_KEY_ID"]), secret=Secret(values["AWS_SECRET_ACCESS_KEY"]))
        )

    def uses(self, pair: KeyPair) -> bool:
        """Use a pair, and tell whether AWS accepts it."""
        caller = AwsCaller(self.cloud.aws_url, REGION)
        try:
            return caller.is_accepted(pair)
        finally:
            caller.close()

    def admin(self, service: str) -> Any:
        """A client of the administrator."""
        return a_session().create_client(service, region_name=REGION)

    def pass_a_rotation(self, *options: str) -> None:
        """Run until each user's one key is one that keyrota made and serves; `options` of `apply`."""
        for days in (0, 12, 11, 5):
            self.travel(days=days)
            assert self.run("apply", *options)[0] == 0


@contextmanager
def a_sandbox(
    folder: Path, capsys: pytest.CaptureFixture[str], more: Callable[[Cloud], Mapping[str, Emulator]] | None = None
) -> Iterator[Sandbox]:
    """Start it, with more emulators where a test wants them; its environment is set, and no other AWS variable."""
    cloud = Cloud()
    bitbucket = BitbucketEmulator(cloud.clock, cloud.faults, token=CANARY_TOKEN)
    github = GitHubEmulator(cloud.clock, cloud.faults, token=f"{CANARY_TOKEN}-github")
    gitlab = GitLabEmulator(cloud.clock, cloud.faults, token=f"{CANARY_TOKEN}-gitlab")
    cloud.standins |= {"bitbucket": bitbucket, "github": github, "gitlab": gitlab, **(more(cloud) if more else {})}
    with cloud, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "KEYROTA_"))]:
            patch.delenv(name)
        for name, value in cloud.environment().items():
            patch.setenv(name, value)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        for module in ("observe", "run"):  # real seconds, which a busy machine may need for one call
            patch.setattr(f"keyrota.executor.{module}.URGENT_S", 60.0)
        bitbucket.add_repository("acme", "shop", ("Test", "Staging", "Production"))
        cloud.admin.add_user(USER)
        pair = cloud.admin.add_key(USER, age=timedelta(days=91))
        where = ("acme", "shop", "Production")
        bitbucket.set_variable(*where, "AWS_ACCESS_KEY_ID", pair.id)
        bitbucket.set_variable(*where, "AWS_SECRET_ACCESS_KEY", pair.secret.reveal(), secured=True)
        file = folder / "keyrota.yaml"
        file.write_text(CONFIGURATION.format(url=cloud.url("bitbucket")), "utf-8")
        yield Sandbox(
            cloud=cloud, bitbucket=bitbucket, github=github, gitlab=gitlab, file=file, capsys=capsys, old=pair
        )
