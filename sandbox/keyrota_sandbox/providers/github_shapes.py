"""GitHub's objects with all the fields that its description requires; what keyrota does not read is filled in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

HOST = "https://sandbox.invalid"
"""Stands for the API's own URL, as the client that is answered sees it: PyGithub refuses any other host."""
_LONG_AGO = "2020-01-01T00:00:00Z"
_OWNER_URLS = (
    *("avatar", "events", "followers", "following", "gists", "html", "organizations", "received_events"),
    *("repos", "starred", "subscriptions"),
)
_REPOSITORY_URLS = (
    *("archive", "assignees", "blobs", "branches", "collaborators", "comments", "commits", "compare", "contents"),
    *("contributors", "deployments", "downloads", "events", "forks", "git_commits", "git_refs", "git_tags", "hooks"),
    *("html", "issue_comment", "issue_events", "issues", "keys", "labels", "languages", "merges", "milestones"),
    *("notifications", "pulls", "releases", "stargazers", "statuses", "subscribers", "subscription", "tags", "teams"),
    *("trees", "clone", "git", "svn", "ssh"),
)
_COUNTS = (
    *("forks", "forks_count", "open_issues", "open_issues_count", "size", "stargazers_count", "watchers"),
    *("watchers_count", "network_count", "subscribers_count"),
)
_HAS = ("downloads", "issues", "projects", "wiki", "pages", "discussions")
_NOTHING = ("description", "homepage", "language", "mirror_url", "license")
_RUN_URLS = ("jobs", "logs", "check_suite", "cancel", "rerun", "artifacts", "workflow", "html")


def stamp(instant: datetime) -> str:
    """Write a time as GitHub does: UTC, whole seconds."""
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def owner_shape(login: str, number: int = 1, *, kind: str = "Organization") -> dict[str, Any]:
    """Show an owner."""
    url = f"{HOST}/{'orgs' if kind == 'Organization' else 'users'}/{login}"
    urls = {f"{name}_url": f"{url}/{name}" for name in _OWNER_URLS}
    more = {"id": number, "node_id": f"O_{number}", "gravatar_id": "", "site_admin": False, "type": kind}
    return {"login": login, "url": url, **urls, **more}


def repository_shape(
    number: int,
    owner: str,
    name: str,
    *,
    owner_id: int,
    is_private: bool,
    is_archived: bool,
    may_push: bool,
    pushed: datetime,
) -> dict[str, Any]:
    """Show a repository."""
    base = f"{HOST}/repos/{owner}/{name}"
    return {
        "id": number,
        "node_id": f"R_{number}",
        "name": name,
        "full_name": f"{owner}/{name}",
        "owner": owner_shape(owner, owner_id),
        "private": is_private,
        "archived": is_archived,
        "visibility": "private" if is_private else "public",
        "permissions": {"admin": False, "maintain": False, "push": may_push, "triage": False, "pull": True},
        "fork": False,
        "disabled": False,
        "default_branch": "main",
        "url": base,
        "created_at": _LONG_AGO,
        "updated_at": _LONG_AGO,
        "pushed_at": stamp(pushed),
        **{f"{word}_url": f"{base}/{word}" for word in _REPOSITORY_URLS},
        **dict.fromkeys(_COUNTS, 0),
        **{f"has_{word}": False for word in _HAS},
        **dict.fromkeys(_NOTHING),
    }


def organization_shape(login: str, number: int) -> dict[str, Any]:
    """Show an organization."""
    return {**owner_shape(login, number), "name": login, "description": None}


def limits_shape(now: datetime) -> dict[str, Any]:
    """Show the limits of a token (GET /rate_limit counts against none of them)."""
    limit = {"limit": 5000, "remaining": 4990, "used": 10, "reset": int(now.timestamp()) + 3600}
    return {"resources": {"core": limit, "search": limit, "graphql": limit}, "rate": limit}


def environment_shape(owner: str, repository: str, name: str, number: int) -> dict[str, Any]:
    """Show an environment."""
    url = f"{HOST}/repos/{owner}/{repository}/environments/{quote(name, safe='')}"
    return {
        "id": number,
        "node_id": f"E_{number}",
        "name": name,
        "url": url,
        "html_url": url,
        "created_at": _LONG_AGO,
        "updated_at": _LONG_AGO,
    }


def run_shape(number: int, status: str, created: datetime, shown: Mapping[str, Any]) -> dict[str, Any]:
    """Show a workflow run of a repository."""
    base = f"{shown['url']}/actions/runs/{number}"
    return {
        "id": number,
        "node_id": f"W_{number}",
        "name": "deploy",
        "head_branch": "main",
        "head_sha": "0" * 40,
        "path": ".github/workflows/deploy.yml",
        "display_title": "deploy",
        "run_number": 1,
        "event": "push",
        "status": status,
        "conclusion": "success" if status == "completed" else None,
        "workflow_id": 1,
        "url": base,
        "pull_requests": [],
        "created_at": stamp(created),
        "updated_at": stamp(created),
        "run_started_at": stamp(created),
        "head_commit": None,
        "head_repository": dict(shown),
        "repository": dict(shown),
        **{f"{word}_url": f"{base}/{word}" for word in _RUN_URLS},
    }


def installation_shape(permissions: Mapping[str, str], *, is_suspended: bool, selection: str) -> dict[str, Any]:
    """Show the installation of an app."""
    base = f"{HOST}/installation"
    return {
        "id": 1,
        "app_id": 12345,
        "app_slug": "keyrota",
        "target_id": 1,
        "target_type": "Organization",
        "account": owner_shape("acme"),
        "repository_selection": selection,
        "permissions": dict(permissions),
        "events": [],
        "single_file_name": None,
        "access_tokens_url": base,
        "html_url": base,
        "repositories_url": base,
        "created_at": _LONG_AGO,
        "updated_at": _LONG_AGO,
        "suspended_by": owner_shape("somebody") if is_suspended else None,
        "suspended_at": _LONG_AGO if is_suspended else None,
    }
