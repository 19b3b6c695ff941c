"""
GitHub: secrets of a repository, an environment or an organization, for Actions and for Dependabot.

Source: GitHub's own description of its REST API and docs/facts/github.md. A secret is never readable; it has a
time of its last change, and a readable variable beside it can name the key (`marker`).
"""

from keyrota.targets.github.provider import KIND

__all__ = ["KIND"]
