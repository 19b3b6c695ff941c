"""Each how-to page of a smaller place, tried as it stands in the sandbox that `keyrota sandbox` starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyrota.app.cli import main
from keyrota.app.config import load
from keyrota.app.session import Session
from keyrota.core.model import TargetEvidence, TargetState
from keyrota_sandbox.cloud import Cloud
from keyrota_sandbox.quickstart import configuration, example
from keyrota_sandbox.small_providers import CLUSTER, CONTEXT, SMALL, VARIABLE_SET

HOW_TO = Path(__file__).parents[2] / "docs/how-to"
ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"

SEEN: Mapping[str, Callable[[Any], list[dict[str, str]]]] = {
    "azure_devops": lambda it: [it.values(it.number("shop", "aws"))],
    "buildkite": lambda it: [it.values(("acme", CLUSTER))],
    "circleci": lambda it: [it.values("project", "gh/acme/shop"), it.values("context", CONTEXT)],
    "codespaces": lambda it: [it.values("acme/shop")],
    "forgejo": lambda it: [it.values(("repos", "acme", "shop")), it.values(("orgs", "acme")), it.values(("user",))],
    "gitea": lambda it: [it.values(("repos", "acme", "shop")), it.values(("orgs", "acme")), it.values(("user",))],
    "kubernetes": lambda it: [it.values("ci", "aws")],
    "terraform": lambda it: [it.values(it.place("acme", "shop")), it.values(("varsets", VARIABLE_SET))],
}
"""What jobs see at each place that the page names."""


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The sandbox, and its environment in this process."""
    with example() as made:
        for name, value in made.environment().items():
            monkeypatch.setenv(name, value)
        yield made


def _page(name: str) -> dict[str, Any]:
    """Read the configuration of a how-to page; Gitea's is Forgejo's under another name."""
    page = {"gitea": "forgejo"}.get(name, name).replace("_", "-")
    block = re.search(r"```yaml\n(providers:.*?)```", (HOW_TO / f"{page}.md").read_text("utf-8"), re.DOTALL)
    assert block is not None
    text = block[1].replace("forgejo:", f"{name}:") if name == "gitea" else block[1]
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@pytest.mark.parametrize("name", SMALL)
def test_a_page_works_in_the_sandbox(cloud: Cloud, name: str, tmp_path: Path) -> None:
    """Only where the provider is, and the token, are the sandbox's; a second run has nothing to do."""
    page = _page(name)
    served = yaml.safe_load(configuration(cloud))["providers"][name]
    assert set(page["providers"]) == {name}
    user = page["credentials"][0]["user"]
    file = tmp_path / "keyrota.yaml"
    file.write_text(yaml.safe_dump({"version": 1, **page, "providers": {name: served}}), "utf-8")
    assert main(["--config", str(file), "apply"]) == 0
    seen = SEEN[name](cloud.standins[name])
    assert len(seen) == len(page["credentials"][0]["targets"])
    ((key, _),) = {(values[ID], values[SECRET]) for values in seen}
    assert (key, "Active") in cloud.admin.keys(user)
    assert main(["--config", str(file), "plan", "--exit-code"]) == 0


@pytest.mark.parametrize("name", ["bitbucket", "github", "gitlab"])
def test_the_places_of_a_page_exist_in_the_sandbox(cloud: Cloud, name: str, tmp_path: Path) -> None:
    """Each line of a page that names a target is one that `keyrota check` finds."""
    text = (HOW_TO / f"{name}.md").read_text("utf-8")
    lines = re.findall(rf"^ *- ({name}: \{{[^}}]*\}})", text, re.MULTILINE)
    served = yaml.safe_load(configuration(cloud))["providers"][name]
    assert lines
    for line in lines:
        file = tmp_path / "keyrota.yaml"
        entry = {"user": "ci-apps", "targets": [yaml.safe_load(f"- {line}")[0]]}
        file.write_text(yaml.safe_dump({"version": 1, "providers": {name: served}, "credentials": [entry]}), "utf-8")
        states = _read(file)
        assert not [state.detail for state in states if state.evidence is TargetEvidence.FAILED], line


def _read(file: Path) -> tuple[TargetState, ...]:
    session = Session(file)
    (preview,) = session.plan().previews
    assert preview.observation is not None
    return preview.observation.targets


def test_the_sandboxs_own_configuration_names_every_place(cloud: Cloud, tmp_path: Path) -> None:
    file = tmp_path / "keyrota.yaml"
    file.write_text(configuration(cloud), "utf-8")
    assert set(SMALL) < set(load(file).providers)
    assert main(["--config", str(file), "plan"]) == 0
