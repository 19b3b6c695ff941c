"""Whatever a contract test sends is held against the provider's own description: one of each shape, at the end."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import description
import pytest
import standin_rig

from keyrota_sandbox.server import Response

_HOME = "http://127.0.0.1"
_BASES = {"bitbucket": "/bitbucket/2.0", "github": "/github", "gitlab": "/gitlab"}
_BEYOND = {
    "bitbucket": ("/site/oauth2/access_token", "/x/variables"),
    "github": ("/orgs/", "/user/repos", "/repositories/"),
    "gitlab": ("/api/v4/projects", "/api/v4/groups"),
}
"""What is not in the part of the descriptions that is at hand, or leads nowhere on purpose."""
_QUERIES = {"fields", "filter[environment_scope]", "page", "pagelen", "per_page"}
_LOOSE = {"created", "filter[environment_scope]"}


@pytest.fixture(scope="session", autouse=True)
def every_request_is_described() -> Iterator[None]:
    """Judge when all tests are over: a test that sends something new is judged without saying so."""
    yield
    if not description.FOLDER.exists():
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # openapi-core cannot check OAuth
        for provider, base in _BASES.items():
            judge = description.Description(
                description.load(provider),
                _HOME + base,
                undescribed=(),
                queries=_QUERIES,
                beyond=_BEYOND[provider],
                loose=_LOOSE,
            )
            for request in standin_rig.shapes.get(provider, {}).values():
                here = replace(request, base=_HOME + urlsplit(request.base).path)
                if urlsplit(here.base + here.target).path.rstrip("/") != base:  # a hostile link leads to the base
                    judge.hold(here, Response(), answers=False)
