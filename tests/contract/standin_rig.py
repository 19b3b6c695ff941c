"""A stand-in on loopback with a target that reaches it; GitHub and GitLab join by adding a rig of the same shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from keyrota.core.model import AccessKeyId, Credential
from keyrota.core.secret import Secret
from keyrota.ports import Target, TargetConnection
from keyrota.sandbox.bitbucket import BitbucketStandIn
from keyrota.sandbox.http import Request, Response, Server
from keyrota.sandbox.world import WorldClock
from keyrota.targets.bitbucket import KIND

CANARY_TOKEN = "canary-token-3f9a"
CANARY_SECRET = "canary/secret/access/key/9c1e"
WORKSPACE, REPOSITORY, ENVIRONMENT = "acme", "shop", "Production"
DEPLOYMENT = {"workspace": WORKSPACE, "repository": REPOSITORY, "environment": ENVIRONMENT}


def a_pair(name: str = "NEW") -> Credential:
    """Make a pair whose secret is a canary."""
    return Credential(id=AccessKeyId(f"AKIA{name:0>16}"), secret=Secret(f"{CANARY_SECRET}/{name}"))


@dataclass(slots=True, kw_only=True)
class Rig:
    """One provider's stand-in, and what a person sees of it."""

    standin: BitbucketStandIn
    clock: WorldClock
    url: str
    seen: list[Request]
    connection: TargetConnection

    def target(self, settings: Mapping[str, Any] | None = None) -> Target:
        """Make a target at the usual place."""
        return self.connection.target(settings or DEPLOYMENT)

    def values(self) -> dict[str, str]:
        """What a pipeline step sees at the usual place."""
        return self.standin.values(WORKSPACE, REPOSITORY, ENVIRONMENT)

    def set(self, name: str, value: str, *, secured: bool = False) -> None:
        """Set a variable at the usual place, as a person would."""
        self.standin.set_variable(WORKSPACE, REPOSITORY, ENVIRONMENT, name, value, secured=secured)

    def connect(self, auth: Mapping[str, str], **more: str) -> TargetConnection:
        """Connect with other credentials; references are their own values here."""
        return connect(self.url, self.clock, auth, **more)


def connect(url: str, clock: WorldClock, auth: Mapping[str, str], **more: str) -> TargetConnection:
    """Connect to a stand-in."""
    settings = {"base_url": f"{url}/bitbucket/2.0", "auth": auth, **more}
    return KIND.connect(settings, secrets=Secret, clock=clock)


@contextmanager
def a_rig() -> Iterator[Rig]:
    """Start a stand-in with one repository and three environments."""
    clock = WorldClock()
    standin = BitbucketStandIn(clock, token=CANARY_TOKEN)
    standin.add_repository(WORKSPACE, REPOSITORY, ("Test", "Staging", ENVIRONMENT))
    seen: list[Request] = []

    def watched(request: Request) -> Response:
        seen.append(request)
        return standin(request)

    server = Server({"/": lambda _: Response(status=404), "/bitbucket": watched})
    try:
        yield Rig(
            standin=standin,
            clock=clock,
            url=server.url,
            seen=seen,
            connection=connect(server.url, clock, {"token": CANARY_TOKEN}),
        )
    finally:
        server.close()
