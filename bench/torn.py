"""
The window in which a job that starts reads half a pair, at each provider, with 50 ms of latency.

A reader looks at the emulator's state as fast as it can while a pair is written; beside it, what a user would write
instead: one PUT after the other, in a script.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keyrota.app.clock import SystemClock
from keyrota.core.model import AccessKeyId, KeyPair
from keyrota.core.secret import Secret
from keyrota.ports import Target
from keyrota.targets import kinds
from keyrota_sandbox.providers.bitbucket import TOKEN as BITBUCKET_TOKEN
from keyrota_sandbox.providers.bitbucket import BitbucketEmulator
from keyrota_sandbox.providers.emulator import Emulator
from keyrota_sandbox.providers.github import TOKEN as GITHUB_TOKEN
from keyrota_sandbox.providers.github import GitHubEmulator
from keyrota_sandbox.providers.gitlab import TOKEN as GITLAB_TOKEN
from keyrota_sandbox.providers.gitlab import GitLabEmulator
from keyrota_sandbox.server import Response, Server

LATENCY_S, ROUNDS = 0.05, 15
ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    name: str
    standin: Emulator
    read: Callable[[], Mapping[str, str]]
    put: Callable[[str, str], None]
    """What a script does: one variable after the other."""
    settings: Mapping[str, Any]
    base: str
    token: str


def _pair(number: int) -> KeyPair:
    return KeyPair(id=AccessKeyId(f"AKIA{number:016}"), secret=Secret(f"secret-of-{number:016}"))


def _torn_s(read: Callable[[], Mapping[str, str]], write: Callable[[], None]) -> float:
    """Watch while something is written; returns for how long the two halves did not belong together."""
    seen = 0.0
    is_over = threading.Event()

    def watch() -> None:
        nonlocal seen
        last = time.perf_counter()
        while not is_over.is_set():
            values = read()
            now = time.perf_counter()
            if values.get(ID, "")[4:] != values.get(SECRET, "").removeprefix("secret-of-"):
                seen += now - last
            last = now
            time.sleep(0.0002)  # noqa: TID251  # real time: it is what is measured

    watcher = threading.Thread(target=watch)
    watcher.start()
    write()
    is_over.set()
    watcher.join()
    return seen


def _measure(place: _Place, target: Target) -> tuple[list[float], list[float]]:
    ours, theirs = [], []
    for number in range(1, ROUNDS + 1):
        pair = _pair(2 * number)
        ours.append(_torn_s(place.read, lambda pair=pair: target.write(pair)))  # type: ignore[misc]  # a default argument
        other = _pair(2 * number + 1)

        def by_script(other: KeyPair = other) -> None:
            for name, value in ((ID, other.id), (SECRET, other.secret.reveal())):
                time.sleep(LATENCY_S)  # noqa: TID251  # the answer of one PUT, before the next is sent
                place.put(name, value)

        theirs.append(_torn_s(place.read, by_script))
    return ours, theirs


def main() -> None:
    """Measure each provider, and print medians, the largest and the ratio."""
    clock = SystemClock()
    bitbucket, github, gitlab = BitbucketEmulator(clock), GitHubEmulator(clock), GitLabEmulator(clock)
    bitbucket.add_repository("acme", "shop")
    github.add_repository("acme", "shop")
    gitlab.add_project("acme/shop")
    where = ("acme", "shop", "Production")
    places = (
        _Place(
            name="bitbucket",
            standin=bitbucket,
            read=lambda: bitbucket.values(*where),
            put=lambda name, value: bitbucket.set_variable(*where, name, value),
            settings={"workspace": "acme", "repository": "shop", "environment": "Production"},
            base="/2.0",
            token=BITBUCKET_TOKEN,
        ),
        _Place(
            name="github",
            standin=github,
            read=lambda: github.values("acme", "shop"),
            put=lambda name, value: github.set_secret(("repo", "acme", "shop"), name, value),
            settings={"repository": "acme/shop"},
            base="",
            token=GITHUB_TOKEN,
        ),
        _Place(
            name="gitlab",
            standin=gitlab,
            read=lambda: gitlab.values("acme/shop"),
            put=lambda name, value: gitlab.set_variable(("project", "acme/shop"), name, value),
            settings={"project": "acme/shop"},
            base="/api/v4",
            token=GITLAB_TOKEN,
        ),
    )
    services = {f"/{place.name}": place.standin for place in places}
    server = Server({"/": lambda _: Response(status=404), **services})
    try:
        for place in places:
            settings = {"base_url": f"{server.url}/{place.name}{place.base}", "auth": {"token": place.token}}
            target = kinds()[place.name].connect(settings, secrets=Secret, clock=clock).target(place.settings)
            target.write(_pair(0))
            place.standin.latency_s = LATENCY_S
            ours, theirs = _measure(place, target)
            ratio = statistics.median(left / right for left, right in zip(ours, theirs, strict=True))
            print(
                f"half a pair at {place.name}, {LATENCY_S * 1000:.0f} ms latency: keyrota "
                f"{statistics.median(ours) * 1000:.1f} ms (largest {max(ours) * 1000:.1f}), one PUT after the other "
                f"{statistics.median(theirs) * 1000:.1f} ms, ratio {ratio:.2f} (median of {ROUNDS} pairs)"
            )
    finally:
        server.close()


if __name__ == "__main__":
    main()
