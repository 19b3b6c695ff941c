"""What every test has."""

import os

from drawn import draw_the_same

os.environ.setdefault("KEYROTA_SANDBOX_HOST", "127.0.0.1,localhost,[::1]")
"""Emulators listen on loopback, each test on ports of its own; tests of hosts say themselves what is allowed."""
draw_the_same()
