"""On Lambda: a torn place has an event, a metric and a failed invocation; no pair is begun shortly before the end."""

from __future__ import annotations

import pytest
from cli_rig import USER
from function_rig import Context, Rig, rig

from keyrota.app.functions import rotate, sync
from keyrota.app.functions.invocation import RunFailed
from keyrota_sandbox.faults import Fault

pytestmark = pytest.mark.usefixtures("rig")
__all__ = ["rig"]


def with_a_new_key(rig: Rig) -> str:
    """Rotate; `sync` has not run yet."""
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    return next(key for key in (*rig.box.keys(),) if key != rig.box.old.id)


def test_a_torn_place_fails_the_invocation_and_is_announced_until_it_is_whole(rig: Rig) -> None:
    new = with_a_new_key(rig)
    rig.box.cloud.faults.add(Fault(operation="PUT variables", skip=1, status=500, times=-1))
    with pytest.raises(RunFailed, match="pipelines fail at bitbucket acme/shop Production now"):
        sync.handler({}, Context())
    (torn,) = rig.told("Access Key Pair Torn")
    assert (torn["user"], torn["target"], torn["needs"]) == (USER, "bitbucket acme/shop Production", "repair")
    rig.box.cloud.faults.clear()
    sync.handler({}, Context())
    assert len(rig.told("Access Key Pair Torn")) == 1
    assert (rig.box.held()["AWS_ACCESS_KEY_ID"], rig.box.deploys()) == (new, True)


def test_no_pair_is_begun_shortly_before_the_time_limit(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function is ended in the middle of whatever it does; two minutes are too few for a pair that is repeated."""
    with_a_new_key(rig)
    monkeypatch.setattr(Context, "get_remaining_time_in_millis", lambda _: 120_000)
    answer = sync.handler({}, Context())
    assert ([left["user"] for left in answer["left"]], rig.box.held()["AWS_ACCESS_KEY_ID"]) == ([USER], rig.box.old.id)
    monkeypatch.undo()
    assert rig.box.deploys()
