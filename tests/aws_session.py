"""Sessions of botocore for the tests' own calls."""

from __future__ import annotations

from copy import copy

import botocore.loaders
import botocore.session
from botocore.hooks import HierarchicalEmitter

_MODELS = botocore.loaders.create_loader()
"""Shared: reading the services' models anew takes longer than most tests."""

_HOOKS = HierarchicalEmitter()
botocore.session.Session(event_hooks=_HOOKS)
"""botocore's own handlers, for each session to copy."""


def a_session() -> botocore.session.Session:
    """Make a session; what it signs with, and where it asks, is in the environment."""
    session = botocore.session.Session(event_hooks=copy(_HOOKS), include_builtin_handlers=False)
    session.register_component("data_loader", _MODELS)
    return session
