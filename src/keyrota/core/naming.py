"""Names that one service allows and another does not."""

from __future__ import annotations

import re

_LEGAL = re.compile(r"[A-Za-z0-9/_+.@-]")
USER_NAME = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
"""IAM's pattern for user names (API Reference, CreateUser; 64 characters on creation, 128 elsewhere)."""
SECRET_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
"""Secrets Manager's pattern (API Reference, CreateSecret)."""
ARN_LIKE_END = re.compile(r"-[A-Za-z0-9]{6}\Z")
"""A hyphen and six characters at the end look like the tail of a secret's ARN; AWS advises against it."""


AWS_QUARANTINE = re.compile(r"arn:aws[a-z-]*:iam::aws:policy/(?:[\w+=,.@-]+/)*AWSCompromisedKeyQuarantine\w*", re.ASCII)
"""
The policy that AWS attaches to a user whose key it finds in public: AWSCompromisedKeyQuarantine, …V2, …V3 (IAM user
guide, AWS managed policies). Anyone may make a policy of such a name in an account of their own; only AWS's own
policies have `aws` in the place of the account.
"""


def secret_name_for(user: str) -> str:
    """
    Derive a secret's name from a user name: different users get different names, all of them legal.

    `=` and what secret names do not allow (a comma) become `=` and two hexadecimal digits. The fixed word at the end
    keeps a user named `deploy-abc123` from ending the name like an ARN.
    """
    escaped = "".join(char if _LEGAL.fullmatch(char) else f"={ord(char):02x}" for char in user)
    return f"keyrota/{escaped}/access-key"


def owner_tag(user: str) -> str:
    """Write a user name as a tag value (IAM allows a comma, tags do not)."""
    return user.replace(",", "/")
