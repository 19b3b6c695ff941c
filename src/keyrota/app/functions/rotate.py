"""`rotate`, on a schedule: makes the new keys that are due, proves them and makes them AWSCURRENT. Deletes nothing."""

from __future__ import annotations

from typing import Any

from keyrota.app.functions.scheduled import make_handler
from keyrota.core.plan import Duty

handler: Any = make_handler(Duty.ROTATE)
