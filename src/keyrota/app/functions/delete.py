"""`delete`, on a schedule: deletes keys whose grace is over, and lost ones. Reads no secret access key."""

from __future__ import annotations

from typing import Any

from keyrota.app.functions.scheduled import make_handler
from keyrota.core.plan import Duty

handler: Any = make_handler(Duty.DELETE)
