"""The example that `keyrota sandbox` is seeded with, and the tutorial walks through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from keyrota.core.model import Credential
from keyrota.sandbox.bitbucket import BitbucketStandIn
from keyrota.sandbox.cloud import REGION, Cloud
from keyrota.sandbox.faults import Faults
from keyrota.sandbox.pipelines import AwsCaller, Pipeline

CONFIGURATION = """\
# The sandbox's example. `keyrota schema` prints what may stand here.
version: 1
policy: {{preset: classic}}
providers:
  bitbucket:
    base_url: {base_url}
    auth: {{token: "env:BITBUCKET_TOKEN"}}
credentials:
  - user: ci-deploy
    secret: keyrota/ci-deploy
    targets:
      - bitbucket: {{workspace: acme, repository: shop, environment: Production}}
  - user: ci-web
    secret: team/web-pipeline                       # it exists already: naming it lets keyrota adopt it
    targets:
      - bitbucket: {{workspace: acme, repository: web, environment: Production}}
  - user: ci-docs                                   # its secret's name is derived
    targets:
      - bitbucket: {{workspace: acme, repository: docs}}
"""


@contextmanager
def example(*, port: int = 0) -> Iterator[Cloud]:
    """Start a sandbox with three users: a key that is due, one that is due and stored by hand, and a young one."""
    faults = Faults()
    cloud = Cloud(port=port, faults=faults)
    bitbucket = BitbucketStandIn(cloud.clock, faults)
    cloud.standins["bitbucket"] = bitbucket
    with cloud:
        bitbucket.add_repository("acme", "shop", ("Test", "Staging", "Production"))
        bitbucket.add_repository("acme", "web")
        bitbucket.add_repository("acme", "docs")
        _seed(cloud, bitbucket, "ci-deploy", 91, ("shop", "Production"))
        stored = _seed(cloud, bitbucket, "ci-web", 92, ("web", "Production"))
        _seed(cloud, bitbucket, "ci-docs", 20, ("docs", None))
        cloud.admin.store("team/web-pipeline", stored, {"DEPLOY_BUCKET": "acme-web"})
        caller = AwsCaller(cloud.aws_url, REGION)
        pipeline = Pipeline(
            name="acme/shop Production", read=lambda: bitbucket.values("acme", "shop", "Production"), aws=caller
        )
        cloud.on_deploy = lambda: _deploy(pipeline)
        try:
            yield cloud
        finally:
            caller.close()


def _seed(
    cloud: Cloud, bitbucket: BitbucketStandIn, user: str, age_days: int, where: tuple[str, str | None]
) -> Credential:
    """Make a user with a key that somebody wrote into Bitbucket by hand."""
    cloud.admin.add_user(user)
    pair = cloud.admin.add_key(user, age=timedelta(days=age_days))
    bitbucket.set_variable("acme", *where, "AWS_ACCESS_KEY_ID", pair.id)
    bitbucket.set_variable("acme", *where, "AWS_SECRET_ACCESS_KEY", pair.secret.reveal(), secured=True)
    bitbucket.set_variable("acme", *where, "DEPLOY_REGION", REGION)
    return pair


def _deploy(pipeline: Pipeline) -> tuple[bool, str]:
    pair = pipeline.variables()
    is_accepted = pipeline.use(pair, "now")
    word = "passed" if is_accepted else "FAILED"
    return is_accepted, f"pipeline {pipeline.name} {word} with {pair.id}"
