"""The promises that every target keeps, whatever the provider: docs/design.md, What a target must do."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from small_rigs import RIGS
from standin_rig import CANARY_SECRET, CANARY_TOKEN, AnyRig, a_pair

from keyrota.core.model import TargetEvidence
from keyrota.errors import Half, KeyrotaError, NotThere, ProviderRefused, ProviderUnavailable
from keyrota_sandbox.faults import Fault, FaultKind

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
Rig = AnyRig[Any]


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """An emulator for each provider in turn."""
    with RIGS[request.param]() as made:
        yield made


def test_a_missing_pair_is_created_and_read_back(rig: Rig) -> None:
    """First ABSENT with the names that lack, then HOLDS."""
    target, pair = rig.target(), a_pair()
    before = target.read()
    assert before.evidence is TargetEvidence.ABSENT
    assert before.detail.startswith(f"{ID} and {SECRET}")
    target.write(pair)
    after = target.read()
    is_readable = target.is_id_readable
    expected = (TargetEvidence.HOLDS, pair.id) if is_readable else (TargetEvidence.CANNOT_TELL, None)
    assert (after.evidence, after.key) == expected
    assert rig.values() == {ID: pair.id, SECRET: pair.secret.reveal()}


def test_writing_twice_changes_nothing_more(rig: Rig) -> None:
    target, pair = rig.target(), a_pair()
    target.write(pair)
    target.write(pair)
    assert rig.values() == {ID: pair.id, SECRET: pair.secret.reveal()}


@pytest.mark.parametrize("half", Half)
def test_one_half_is_deleted_alone(rig: Rig, half: Half) -> None:
    """As after a first write whose other half was refused: what is left of it goes, twice without harm."""
    target, pair = rig.target(), a_pair()
    target.write(pair)
    if not target.has_separate_variables:
        with pytest.raises(ProviderRefused, match="cannot be deleted alone"):
            target.delete_half(half)
        assert rig.values() == {ID: pair.id, SECRET: pair.secret.reveal()}
        return
    gone, left = (ID, SECRET) if half is Half.ID else (SECRET, ID)
    for _ in range(2):
        target.delete_half(half)
        assert list(rig.values()) == [left]
        state = target.read()
        assert (state.evidence, state.is_empty) == (TargetEvidence.ABSENT, False)
        shown = {variable.name: variable.is_present for variable in state.variables if not variable.is_marker}
        assert shown == {gone: False, left: True}


def test_a_pair_is_updated(rig: Rig) -> None:
    target = rig.target()
    target.write(a_pair("OLD"))
    target.write(a_pair("NEW"))
    assert rig.values()[ID] == a_pair("NEW").id


@pytest.mark.parametrize("strangers", [0, 9, 10, 35, 250])
def test_the_pair_is_found_on_the_last_page_and_strangers_stay(rig: Rig, strangers: int) -> None:
    """Other people's variables are byte for byte what they were."""
    others = {f"OTHER_{number}": f"wert ß {number}" for number in range(strangers)}
    for name, value in others.items():
        rig.set(name, value)
    rig.set(SECRET, "old", secured=True)
    rig.set(ID, "old")
    rig.target().write(a_pair())
    assert rig.values() == others | {ID: a_pair().id, SECRET: a_pair().secret.reveal()}


@pytest.mark.parametrize(
    ("headers", "waited"), [((("Retry-After", "17"),), 17.0), ((), 0.5)], ids=["as it says", "without a time"]
)
def test_too_many_requests_are_waited_out(rig: Rig, headers: tuple[tuple[str, str], ...], waited: float) -> None:
    """429 with and without Retry-After; the time passes on the given clock."""
    for operation in (rig.begins or rig.reads, rig.creates):
        rig.standin.faults.add(Fault(operation=operation, status=429, headers=headers))
    began = rig.clock.now()
    rig.target().write(a_pair())
    assert rig.values()[ID] == a_pair().id
    assert rig.clock.now() - began >= timedelta(seconds=2 * waited)


@pytest.mark.parametrize("step", ["begins", "creates"])
def test_waiting_has_an_end(rig: Rig, step: str) -> None:
    """A service that asks for an hour is left to the next run."""
    operation = rig.creates if step == "creates" else rig.begins or rig.reads
    rig.standin.faults.add(Fault(operation=operation, status=429, headers=(("Retry-After", "3600"),), times=-1))
    with pytest.raises(ProviderUnavailable) as caught:
        rig.target().write(a_pair())
    assert caught.value.retry_after_s == 3600
    assert "limits this token (429)" in caught.value.what


@pytest.mark.parametrize(("status", "kind"), [(401, ProviderRefused), (403, ProviderRefused), (404, NotThere)])
@pytest.mark.parametrize("step", ["reads", "creates"])
def test_a_refusal_names_place_scope_and_remedy(rig: Rig, status: int, kind: type[KeyrotaError], step: str) -> None:
    operation = rig.creates if step == "creates" else "*"
    rig.standin.faults.add(Fault(operation=operation, status=status, times=-1))
    with pytest.raises(kind) as caught:
        rig.target().write(a_pair())
    assert "acme" in caught.value.where
    assert "shop" in caught.value.where
    if step == "creates":
        assert SECRET in caught.value.where
    assert rig.scope in caught.value.remedy
    assert str(status) in caught.value.what


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_read_and_preflight_never_raise(rig: Rig, status: int) -> None:
    """A refusal is a value with its remedy: other targets go on."""
    rig.standin.faults.add(Fault(operation="GET *", status=status, times=-1))
    state, answer = rig.target().read(), rig.target().preflight()
    assert state.evidence is TargetEvidence.FAILED
    assert state.detail
    assert state.remedy
    assert not answer.is_ready
    assert answer.remedy


def test_preflight_writes_nothing(rig: Rig) -> None:
    assert rig.target().preflight().is_ready
    assert all(operation.startswith("GET") or operation.endswith("dry-run") for operation, _ in rig.standin.journal)
    assert rig.values() == {}


@pytest.mark.parametrize("kind", [FaultKind.LOST_BEFORE, FaultKind.LOST_AFTER, FaultKind.ERROR_AFTER, FaultKind.ERROR])
@pytest.mark.parametrize("step", ["reads", "creates", "updates"])
def test_a_cut_at_any_call_is_mended_by_looking_again(rig: Rig, step: str, kind: FaultKind) -> None:
    """The write goes through, or says that it is not known; the next one goes through."""
    rig.set(ID, "old")
    rig.standin.faults.add(Fault(operation=getattr(rig, step), kind=kind, status=500))
    try:
        rig.target().write(a_pair())
    except ProviderUnavailable:
        rig.target().write(a_pair())
    assert rig.values() == {ID: a_pair().id, SECRET: a_pair().secret.reveal()}


@pytest.mark.parametrize(
    "body", ["<html>sign in</html>", "{broken", "[]", '{"values": 5}', '"text"', "null", "[" * 20000, ""]
)
def test_an_answer_that_is_no_list_is_told_in_plain_words(rig: Rig, body: str) -> None:
    """A login page of a proxy, broken or absurd JSON: an error, no traceback."""
    rig.standin.faults.add(Fault(operation=rig.reads, kind=FaultKind.BODY, status=200, body=body, times=-1))
    state = rig.target().read()
    if body == rig.empty:
        assert (state.evidence, state.is_empty) == (TargetEvidence.ABSENT, True)
        return
    assert state.evidence is TargetEvidence.FAILED
    assert rig.no_list in state.detail


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("place", ["http://127.0.0.2:9/x", "https://evil.example/x"])
def test_no_redirect_to_another_host_is_followed(rig: Rig, status: int, place: str) -> None:
    """The token stays at home."""
    rig.standin.faults.add(
        Fault(
            operation=rig.begins or rig.reads,
            kind=FaultKind.BODY,
            status=status,
            headers=(("Location", place),),
            times=-1,
        )
    )
    with pytest.raises(ProviderRefused, match="redirects elsewhere") as caught:
        rig.target().write(a_pair())
    assert "token was not sent" in caught.value.remedy


@pytest.mark.parametrize("name", ["..", ".", "a\x1b[31mb", "a\nb"])
def test_names_that_no_url_can_carry_are_refused_before_any_call(rig: Rig, name: str) -> None:
    with pytest.raises(ProviderRefused) as caught:
        rig.target(rig.set_up(name)).write(a_pair())
    assert not any(request.method != "GET" for request in rig.seen)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["Große Umgebung", "a/b", "{x}", "50% off?", "a b", "#1"])
def test_odd_names_are_encoded(rig: Rig, name: str) -> None:
    """Spaces, slashes, umlauts and braces arrive as they were meant."""
    rig.target(rig.set_up(name)).write(a_pair())
    assert rig.values_of(name)[ID] == a_pair().id


def test_pages_that_shift_while_they_are_read_do_no_harm(rig: Rig) -> None:
    """The list loses our variable between two pages: it is found by writing, or by asking for it alone."""
    rig.set(SECRET, "old", secured=True)
    rig.set(ID, "old")
    rig.standin.faults.add(Fault(operation="GET *", kind=FaultKind.SHIFT, times=1))
    rig.target().read()
    for skip in range(3):
        rig.standin.faults.clear()
        rig.standin.faults.add(Fault(operation=rig.reads, kind=FaultKind.SHIFT, times=1, skip=skip))
        rig.target().write(a_pair())
        assert rig.values() == {ID: a_pair().id, SECRET: a_pair().secret.reveal()}


def test_a_slow_answer_is_an_answer(rig: Rig) -> None:
    rig.standin.faults.add(Fault(operation="*", kind=FaultKind.SLOW, delay_s=0.2))
    began = time.monotonic()
    rig.target().write(a_pair())
    assert time.monotonic() - began >= 0.2
    assert rig.values()[ID] == a_pair().id


def test_writers_at_once_leave_one_whole_pair(rig: Rig) -> None:
    """Four runs write the same pair at the same time."""
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(rig.target().write, a_pair()) for _ in range(4)]:
            done.result()
    assert rig.values() == {ID: a_pair().id, SECRET: a_pair().secret.reveal()}


def test_nothing_leaks(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Neither token nor secret in errors, logs at DEBUG, states or reprs."""
    caplog.set_level(logging.DEBUG, "keyrota")
    said: list[str] = []
    target = rig.target()
    for status in (401, 403, 404, 409, 422, 500):
        rig.standin.faults.add(Fault(operation=rig.creates, status=status, message=CANARY_SECRET, times=-1))
        with pytest.raises(KeyrotaError) as caught:
            target.write(a_pair())
        said += [str(caught.value), repr(caught.value), caught.value.remedy, str(caught.getrepr(style="long"))]
        rig.standin.faults.clear()
    target.write(a_pair())
    said += [repr(target), repr(target.read()), repr(target.preflight()), repr(rig.connection), caplog.text]
    told = "\n".join(said)
    assert CANARY_TOKEN not in told
    assert a_pair().secret.reveal() not in told
