"""Progress of long work: what is counted, what waits, and what a run that was stopped leaves."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator

from builders import NEW, NOW, OLD, SHOP, a_key, a_secret, current, holds, observed, synced
from keyrota.app.cli import signals
from keyrota.app.cli.common import Options
from keyrota.app.cli.events import EventsFile
from keyrota.app.cli.watch import Watch
from keyrota.app.functions.own_events import SCHEMA
from keyrota.app.session import Session
from keyrota.core import plan as act
from keyrota.core.model import UserName
from keyrota.core.outcome import Done, Outcome
from keyrota.core.planner import plan
from keyrota.core.policy import CLASSIC
from keyrota.errors import KeyrotaError, PartialFailure, Stopped, UsageError
from keyrota.executor import CredentialContext, Event, EventKind, Preview
from keyrota.report.data import CredentialReport
from keyrota.report.halfway import format_halfway, without_stop
from keyrota.stop import STOP


class _Clock:
    """A clock that does something while it waits."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.time = NOW
        self._meanwhile = meanwhile

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self._meanwhile()
        self.time += timedelta(seconds=seconds)


def a_subject(user: str = "ci-deploy", account: str = "123456789012") -> CredentialContext:
    nothing = cast("Any", None)
    return CredentialContext(
        user=UserName(user),
        account=account,
        secret_name=f"keyrota/{user}",
        policy=CLASSIC,
        access_keys=nothing,
        identity=nothing,
        store=nothing,
        targets=(),
    )


def an_event(kind: EventKind, action: act.Action) -> Event:
    return Event(at=NOW, user=UserName("ci-deploy"), account="1", kind=kind, action=action, key=NEW)


VERIFY = act.Verify(key=NEW, version=None, reason="", due=NOW)
SYNC = act.Sync(key=NEW, targets=(SHOP,), reason="", due=NOW)


def test_credentials_accounts_and_places_are_counted_while_they_are_worked_on() -> None:
    watch = Watch(Options())
    watch.watched(_Clock())
    told: list[str] = []

    def look(subject: CredentialContext) -> str:
        watch.parallel(lambda place: place, [SimpleNamespace(address=f"{subject.user} {n}") for n in (1, 2)], 1)
        told.append(watch.line())
        return subject.user

    subjects = [a_subject("a", "1"), a_subject("b", "1"), a_subject("c", "2")]
    assert watch.parallel(look, subjects, 1) == ["a", "b", "c"]
    assert told == [
        "06:00:00 looking at 0 of 3 credentials, 0 of 2 accounts, 2 places",
        "06:00:00 looking at 1 of 3 credentials, 0 of 2 accounts, 4 places",
        "06:00:00 looking at 2 of 3 credentials, 1 of 2 accounts, 6 places",
    ]


def test_what_fails_is_finished_as_well_and_the_error_is_not_lost() -> None:
    watch = Watch(Options())

    def fail(_: CredentialContext) -> None:
        raise KeyrotaError("refused")

    with pytest.raises(KeyrotaError, match="refused"):
        watch.parallel(fail, [a_subject(), a_subject()], 2)
    assert watch.finished == 2


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (VERIFY, "waits up to 30 s until AWS accepts the new key of ci-deploy"),
        (SYNC, "waits up to 30 s until a provider takes the key of ci-deploy"),
        (act.Deactivate(key=OLD, reason="", due=NOW), "waits up to 30 s until deactivate of ci-deploy can go on"),
        (None, "waits up to 30 s until AWS or a provider answers"),
    ],
)
def test_a_wait_is_shown_with_its_reason_and_the_time_that_is_left(action: act.Action | None, reason: str) -> None:
    watch = Watch(Options())
    told: list[str] = []
    clock = watch.watched(_Clock(lambda: told.append(watch.beside())))
    if action is not None:
        watch.note(an_event(EventKind.DOING, action))
    clock.sleep(30)
    clock.sleep(0.5)
    if action is not None:
        watch.note(an_event(EventKind.DONE, action))
    assert told == [f", {reason}", ""]
    assert watch.beside() == ""
    assert clock.now() == NOW + timedelta(seconds=30.5)


def test_elsewhere_than_on_a_terminal_there_is_a_line_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch(Options())
    for _ in range(4 * 60 * 3):
        watch.tick(is_terminal=False)
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_work_of_less_than_a_second_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch(Options())
    for _ in range(3):
        watch.tick(is_terminal=True)
    watch.parallel(lambda _: None, [a_subject()], 1)
    assert capsys.readouterr() == ("", "")


# --- stopped ---------------------------------------------------------------------------------------------------------

DUE = observed(a_key(age_days=91), secret=a_secret(current(), tags=[synced()]), targets=(holds(OLD),))
STOP_ERROR = Stopped("keyrota was told to stop")


def a_report(**more: Any) -> CredentialReport:
    base = CredentialReport(
        user="ci-deploy",
        account="123456789012",
        secret_name="keyrota/ci-deploy",
        now=NOW,
        observation=DUE,
        plan=plan(DUE, CLASSIC, NOW),
    )
    return replace(base, **more)


PROMOTED = Done(action=act.Promote(key=NEW, version=None, remove_from=None, reason="", due=NOW), at=NOW, key=NEW)


def test_what_is_half_way_is_said_and_the_rest_is_counted() -> None:
    half = a_report(done=(PROMOTED,), errors=(PartialFailure("1", [STOP_ERROR]),))
    before = replace(half, done=(Done(action=act.TakeClaim(reason="", due=NOW), at=NOW, key=None),))
    waiting = a_report(user="ci-web", errors=(STOP_ERROR,), left=(SYNC,))
    assert list(format_halfway([half, before, waiting, a_report()])) == [
        f"‖ half-way ci-deploy: done: rotate {NEW}; still to do: rotate {OLD}, sync {SHOP}",
        f"‖ half-way ci-deploy: done: it was begun; still to do: rotate {OLD}, sync {SHOP}",
        "stopped: 2 half-way, 1 credential not begun; the next run continues",
    ]
    assert list(format_halfway([a_report(), a_report(errors=(KeyrotaError("x"),))])) == []


def test_a_stop_is_no_failure_of_a_credential_and_what_failed_stays() -> None:
    failed = KeyrotaError("refused")
    both = a_report(errors=(PartialFailure("2", [STOP_ERROR, failed]),), left=(SYNC,))
    assert (without_stop(both).errors, without_stop(both).left) == ((failed,), ())
    other = a_report(errors=(failed,), left=(SYNC,))
    assert without_stop(other) is other


@pytest.fixture
def handled() -> Iterator[None]:
    with signals.defer():
        yield


@pytest.mark.usefixtures("handled")
@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread")
def test_the_first_ctrl_c_ends_at_the_next_step_and_the_second_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with signals.drain():
        os.kill(os.getpid(), signal.SIGINT)
        assert STOP.is_asked
        assert "waiting for the calls in flight" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signals.exit_code() == 130


@pytest.mark.usefixtures("handled")
def test_where_nothing_is_changed_the_first_ends_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("handled")
def test_while_half_a_pair_is_in_place_no_ctrl_c_ends_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with signals.drain(), STOP.whole():
        for words in ("it is made whole first", "still stopping", "still stopping"):
            os.kill(os.getpid(), signal.SIGINT)
            assert words in capsys.readouterr().err


# --- --events --------------------------------------------------------------------------------------------------------


def _events(path: Path, report: CredentialReport) -> EventsFile:
    session = SimpleNamespace(
        wiring=SimpleNamespace(settings=SimpleNamespace(run="this-run")), outcome_report=lambda *_: report
    )
    return EventsFile(path, cast("Session", session))


PREVIEW, OUTCOME = cast("Preview", None), cast("Outcome", None)


def test_events_are_lines_of_the_published_schema(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file = _events(path, a_report(done=(PROMOTED,), errors=(KeyrotaError("a\nb", remedy="c"),)))
    file(PREVIEW, OUTCOME)
    file(PREVIEW, OUTCOME)
    file.close()
    file.close()
    documents = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [one["detail-type"] for one in documents] == ["Access Key Rotated", "Access Key Failed"] * 2
    for one in documents:
        assert set(one) == {"source", "detail-type", "detail"}
        Draft202012Validator(SCHEMA).validate(one["detail"])
    assert documents[0]["detail"]["newKey"] == NEW


def test_a_file_that_cannot_take_events_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "other")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "no" / "folder", tmp_path / "link", tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(UsageError):
            _events(path, a_report())
    assert not (tmp_path / "other").exists()


def test_a_full_disk_does_not_end_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _events(tmp_path / "events.jsonl", a_report(done=(PROMOTED,)))
    os.close(file._descriptor or 0)  # what writes fails from now on
    file._descriptor = os.open(tmp_path / "events.jsonl", os.O_RDONLY)  # as above
    file(PREVIEW, OUTCOME)
    file(PREVIEW, OUTCOME)
    assert capsys.readouterr().err.count("warning: no more events are written") == 1
