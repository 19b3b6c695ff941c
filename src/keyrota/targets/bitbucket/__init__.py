"""
Bitbucket Cloud: variables of a deployment environment, a repository or a workspace.

Source: Bitbucket Cloud REST API 2.0 (Atlassian's description) and docs/facts/bitbucket.md. A variable has no
timestamp, a secured one no readable value: the readable key ID is the only evidence of what is there.
"""

from keyrota.targets.bitbucket.provider import KIND

__all__ = ["KIND"]
