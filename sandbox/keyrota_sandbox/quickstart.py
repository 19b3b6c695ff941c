"""The example that `keyrota sandbox` is seeded with, and the tutorial walks through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from keyrota.core.model import KeyPair
from keyrota_sandbox.cloud import REGION, Cloud
from keyrota_sandbox.faults import Faults
from keyrota_sandbox.pipelines import AwsCaller, Pipeline
from keyrota_sandbox.providers.bitbucket import BitbucketEmulator
from keyrota_sandbox.providers.github import GitHubEmulator
from keyrota_sandbox.providers.gitlab import GitLabEmulator
from keyrota_sandbox.small_providers import SMALL, providers

CONFIGURATION = """\
# The sandbox's example. `keyrota schema` prints what may stand here.
version: 1
policy: {{preset: classic}}
providers:
  bitbucket:
    base_url: {bitbucket}/2.0
    auth: {{token: "env:BITBUCKET_TOKEN"}}
  github:
    base_url: {github}
    auth: {{token: "env:GITHUB_TOKEN"}}
  gitlab:
    base_url: {gitlab}/api/v4
    auth: {{token: "env:GITLAB_TOKEN"}}
  # Smaller places, which nothing is written to yet: copy the targets of their how-to pages.
{small}credentials:
  - user: ci-deploy
    secret: team/shop-pipeline                      # a name of your own
    targets:
      - bitbucket: {{workspace: acme, repository: shop, environment: Production}}
  - user: ci-web
    secret: team/web-pipeline                       # it exists already: naming it lets keyrota adopt it
    targets:
      - bitbucket: {{workspace: acme, repository: web, environment: Production}}
  - user: ci-docs                                   # its secret's name is derived
    targets:
      - bitbucket: {{workspace: acme, repository: docs}}
  - user: ci-apps                                   # one key at two more providers
    targets:
      - github: {{repository: acme/apps, environment: production, marker: true}}
      - gitlab: {{project: acme/platform/apps, environment_scope: production}}
"""


OTHER_ACCOUNT = "222222222222"
"""Another account, with the role `keyrota`: `docs/how-to/several-accounts.md` uses it."""


def configuration(cloud: Cloud) -> str:
    """Write the example's `keyrota.yaml`."""
    urls = {name: cloud.url(name) for name in cloud.standins}
    return CONFIGURATION.format(**urls, small=providers(urls, cloud.standins))


@contextmanager
def example(*, port: int = 0) -> Iterator[Cloud]:
    """Start a sandbox with four users: a key that is due, one that is due and stored by hand, and two young ones."""
    faults = Faults()
    cloud = Cloud(port=port, faults=faults)
    bitbucket = BitbucketEmulator(cloud.clock, faults)
    github, gitlab = GitHubEmulator(cloud.clock, faults), GitLabEmulator(cloud.clock, faults)
    cloud.standins |= {"bitbucket": bitbucket, "github": github, "gitlab": gitlab}
    cloud.standins |= {name: make(cloud.clock, faults) for name, make in SMALL.items()}
    with cloud:
        bitbucket.add_repository("acme", "shop", ("Test", "Staging", "Production"))
        bitbucket.add_repository("acme", "web")
        bitbucket.add_repository("acme", "docs")
        _seed(cloud, bitbucket, "ci-deploy", 91, ("shop", "Production"))
        stored = _seed(cloud, bitbucket, "ci-web", 92, ("web", "Production"))
        _seed(cloud, bitbucket, "ci-docs", 20, ("docs", None))
        _seed_elsewhere(cloud, github, gitlab)
        _seed_other_account(cloud, bitbucket)
        cloud.admin.add_user("ci-runner")  # of the page on Kubernetes
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
    cloud: Cloud, bitbucket: BitbucketEmulator, user: str, age_days: int, where: tuple[str, str | None]
) -> KeyPair:
    """Make a user with a key that someone wrote into Bitbucket by hand."""
    cloud.admin.add_user(user)
    pair = cloud.admin.add_key(user, age=timedelta(days=age_days))
    bitbucket.set_variable("acme", *where, "AWS_ACCESS_KEY_ID", pair.id)
    bitbucket.set_variable("acme", *where, "AWS_SECRET_ACCESS_KEY", pair.secret.reveal(), secured=True)
    bitbucket.set_variable("acme", *where, "DEPLOY_REGION", REGION)
    return pair


def _seed_elsewhere(cloud: Cloud, github: GitHubEmulator, gitlab: GitLabEmulator) -> None:
    """Make a user whose key lies at GitHub and GitLab, also where nobody looks for it."""
    cloud.admin.add_user("ci-apps")
    pair = cloud.admin.add_key("ci-apps", age=timedelta(days=30))
    github.add_organization("acme")
    for name in ("apps", "shop"):  # shop: what the how-to pages name
        github.add_repository("acme", name)
        gitlab.add_project(f"acme/platform/{name}")
    both = {"AWS_ACCESS_KEY_ID": str(pair.id), "AWS_SECRET_ACCESS_KEY": pair.secret.reveal()}
    for name, value in both.items():
        github.set_secret(("env", "acme", "apps", "production"), name, value)
        gitlab.set_variable(("project", "acme/platform/apps"), name, value, scope="production", masked=True)
    gitlab.add_schedule("acme/platform/apps", "nightly", both)


def _seed_other_account(cloud: Cloud, bitbucket: BitbucketEmulator) -> None:
    """Make the account of the page on several accounts: its user has the name of one of ours."""
    other = cloud.add_account(OTHER_ACCOUNT)
    other.add_user("ci-deploy")
    pair = other.add_key("ci-deploy", age=timedelta(days=95))
    bitbucket.add_repository("acme", "api")
    bitbucket.set_variable("acme", "api", None, "AWS_ACCESS_KEY_ID", pair.id)
    bitbucket.set_variable("acme", "api", None, "AWS_SECRET_ACCESS_KEY", pair.secret.reveal(), secured=True)


def _deploy(pipeline: Pipeline) -> tuple[bool, str]:
    pair = pipeline.variables()
    is_accepted = pipeline.use(pair, "now")
    word = "passed" if is_accepted else "FAILED"
    return is_accepted, f"pipeline {pipeline.name} {word} with {pair.id}"
