"""
A world in memory: IAM, STS, Secrets Manager and targets behind the ports, with exact semantics and no network.

The real planner and executor run against it unmodified. Every call passes `World.call`, where a test can cut in:
crash before or after the effect, lose an answer, refuse, or let another run go first. The effect of a call is atomic,
as the services' single calls are.
"""

from keyrota_sandbox.memory.clock import SIGNATURE_LASTS, Crash, WorldClock
from keyrota_sandbox.memory.contents import SLOTS, Outage, StoredSecret, Variables, Version
from keyrota_sandbox.memory.iam import WorldAccessKeys
from keyrota_sandbox.memory.lags import Lags
from keyrota_sandbox.memory.secrets import WorldSecrets
from keyrota_sandbox.memory.stored import MAX_TAGS
from keyrota_sandbox.memory.sts import ACCOUNT, WorldIdentity, credential_of, in_world
from keyrota_sandbox.memory.target import WorldTarget, open_target
from keyrota_sandbox.memory.world import Call, Road, World

__all__ = [
    "ACCOUNT",
    "MAX_TAGS",
    "SIGNATURE_LASTS",
    "SLOTS",
    "Call",
    "Crash",
    "Lags",
    "Outage",
    "Road",
    "StoredSecret",
    "Variables",
    "Version",
    "World",
    "WorldAccessKeys",
    "WorldClock",
    "WorldIdentity",
    "WorldSecrets",
    "WorldTarget",
    "credential_of",
    "in_world",
    "open_target",
]
