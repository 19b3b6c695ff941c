"""One provider that answers slowly, within each deadline, ends with its credential's time and delays no other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cli_rig import USER, Sandbox, a_sandbox
from function_rig import Context, Rig, rig

from keyrota.app.functions import rotate, sync

__all__ = ["rig"]

DELAY_S = 0.6
USED_UP = "that one credential waits for it in one run are used up"


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """ci-deploy at Bitbucket, ci-web at GitHub; both are due."""
    with a_sandbox(tmp_path, capsys) as made:
        made.github.add_repository("acme", "web")
        github = f"  github:\n    base_url: {made.cloud.url('github')}\n    auth: {{token: 'env:GITHUB_TOKEN'}}\n"
        made.configure("credentials:\n", github + "credentials:\n")
        with made.file.open("a", encoding="utf-8") as file:
            file.write("  - user: ci-web\n    targets:\n      - github: {repository: acme/web, marker: true}\n")
        made.cloud.admin.add_user("ci-web")
        made.cloud.admin.add_key("ci-web", age=timedelta(days=91))
        yield made


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second instead of five minutes: one slow answer uses it up."""
    monkeypatch.setattr("keyrota.http.waiting.SLOW_S", 0.5)
    monkeypatch.setattr("keyrota.http.waiting.MAX_S", 0.5)
    monkeypatch.setattr("keyrota.http.waiting.MAX_AGAIN_S", 0.25)


def slow(box: Sandbox, patch: pytest.MonkeyPatch, *, skip: int = 0) -> list[float]:
    """Let each answer of Bitbucket take a while, after some; returns the moments of its requests."""
    kind, asked = type(box.bitbucket), list[float]()
    original = kind.__call__

    def answered(self: object, request: object) -> object:
        asked.append(time.monotonic())
        if len(asked) > skip:
            time.sleep(DELAY_S)  # noqa: TID251  # real time: the deadline of an exchange is real
        return original(self, request)  # type: ignore[arg-type]

    patch.setattr(kind, "__call__", answered)
    return asked


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("skip", [0, 1, 4])
def test_a_slow_provider_delays_no_other_credential(sandbox: Sandbox, skip: int) -> None:
    """Whenever it begins: the other is rotated, this one says what was left, and no pair is half."""
    with pytest.MonkeyPatch.context() as patch:
        asked = slow(sandbox, patch, skip=skip)
        code, out, err = sandbox.run("apply", "--force", "--reason", "a test")
    assert len(asked) < skip + 24, out + err
    assert sandbox.github.values("acme", "web").get("AWS_ACCESS_KEY_ID") in dict(sandbox.cloud.admin.keys("ci-web")), (
        out
    )
    assert sandbox.deploys(), "the pair is whole, and its key is Active"
    assert (code != 0) is (USED_UP in out + err)
    assert code or skip > 0, out + err
    if code:
        assert "next run continues" in out
    assert sandbox.run("apply", "--force", "--reason", "a test")[0] == 0
    assert sandbox.deploys()
    assert sandbox.held()["AWS_ACCESS_KEY_ID"] != sandbox.old.id


@pytest.mark.usefixtures("short")
def test_check_waits_for_a_slow_provider_no_longer_than_a_run_does(sandbox: Sandbox) -> None:
    """Each credential's targets together, so that a fleet's `check` ends as well."""
    more = "".join(f"\n      - bitbucket: {{workspace: acme, repository: r{number}}}" for number in range(20))
    for number in range(20):
        sandbox.bitbucket.add_repository("acme", f"r{number}")
    first = "bitbucket: {workspace: acme, repository: shop, environment: Production}"
    sandbox.configure(first, first + more)
    with pytest.MonkeyPatch.context() as patch:
        asked = slow(sandbox, patch)
        code, out, err = sandbox.run("check")
    assert (code, USED_UP in out + err) == (1, True), out + err
    assert len(asked) < 24, "eight at once are under way when the time is used up, in check and in its plan"


def test_a_function_ends_before_its_time_does(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Lambda the bound comes from the time that is left: 200 s are, and each answer takes 60 s."""
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    kind = type(rig.box.bitbucket)
    original = kind.__call__

    def answered(self: object, request: object) -> object:
        rig.box.travel(seconds=60)
        return original(self, request)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "__call__", answered)
    monkeypatch.setattr(Context, "left_ms", 200_000)
    began = rig.box.cloud.clock.now()
    answer = sync.handler({}, Context())
    assert rig.box.cloud.clock.now() - began < timedelta(seconds=250)
    assert [left["user"] for left in answer["left"]] == [USER]
    assert rig.box.deploys()
