"""
The judge's own numbers, each with its reason: what it takes from keyrota it could not find wrong there.

`test_scenes.py` reads the judge's imports: names of labels and tags may come from keyrota, numbers may not.
"""

from __future__ import annotations

from datetime import timedelta

from keyrota_sandbox.memory import SIGNATURE_LASTS

ACCEPTED_TIMES = 4
"""STS has to accept a new key so often in a row: three times in fifteen seconds were too few (docs, seed 1134)."""
TOLERANCE = timedelta(seconds=100)
"""Clocks of runs differ from AWS's by 45 s at most, and may be set meanwhile: twice that, and the way of a call."""
LISTS_LAG = timedelta(minutes=15)
"""What IAM shows may be older than what a run did itself or noted: nobody has seen a list that was a quarter of an hour
old, so from then on a run has to believe what it sees."""
SHOWN_AFTER = timedelta(seconds=90)
"""IAM's lists are 30 s old at most in this world, and clocks differ by 45 s: what is older, a run must have seen."""
WAITED_FOR = LISTS_LAG + timedelta(minutes=2)
"""For so long after the secret changed, a key that is not listed may be a new one."""
USED_LATELY = timedelta(days=1) - TOLERANCE
"""IAM shows uses some hours late in this world, and a day late at most: a key that is said to be unused was not used
within that time."""
LATE_IN_A_LEASE = SIGNATURE_LASTS + timedelta(minutes=2) + TOLERANCE
"""Who stores a key so shortly before its lease ends might store it when another run has taken the claim over: the call
may be on its way as long as its signature lasts, and both clocks may be a minute off. Then the key is let go."""
ON_THE_WAY = timedelta(seconds=20)
"""A name is asked for again before a write, unless it was read within ten seconds; the rest is for the way of a call,
and for a run that stood still at it (counted from when the name changed its meaning)."""
TOLD_APART = timedelta(minutes=5)
"""Times that a provider tells lie this far apart from those of a run, though both clocks were off and one was set."""
TORN_RUNS = 1
"""So many runs that went through leave a pair torn at most: the next one has the secret, and the place took writes."""
TRIED = 3
"""A run that has been refused fewer writes at a place than this has not done what it could to make a pair whole."""
