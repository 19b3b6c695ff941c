"""Where keyrota is rehearsed: a strict AWS, emulators of CI providers, a movable clock and a simulated world."""

__version__ = "0.1.0"
