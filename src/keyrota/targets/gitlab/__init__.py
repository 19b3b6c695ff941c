"""
GitLab: CI/CD variables of a project, a group or the instance, each with an environment scope.

Source: GitLab's description of its REST API v4 and docs/facts/gitlab.md. One variable is always asked for by
name *and* scope, because a list hands out every value in clear.
"""

from keyrota.targets.gitlab.provider import KIND

__all__ = ["KIND"]
