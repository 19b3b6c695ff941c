"""Whatever a provider answers, on whichever road: a value or a clear error, soon, shown cleanly, with no secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from fuzz_rig import conforming, examples, is_clean
from hostile_wire import MOST_CALLS, SCRIPTS, Twist, hostile
from hypothesis import given
from hypothesis import strategies as st
from small_rigs import RIGS, VARIABLE_SET
from standin_rig import CANARY_TOKEN, CONTEXT, AnyRig, a_pair

from builders import NOW, a_key, a_secret, current, observed
from keyrota.app.cli.check import _target
from keyrota.app.cli.findings import Shape, format_findings
from keyrota.app.config import load_text
from keyrota.app.discovery import Scan, configuration, sort
from keyrota.app.words import format_error
from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import CarriedRuns, FoundKey, Readiness, Surroundings, TargetState
from keyrota.core.planner import plan
from keyrota.core.policy import CLASSIC
from keyrota.core.secret import Secret
from keyrota.errors import ConfigError, Fault, KeyrotaError
from keyrota.http import Http
from keyrota.http import Response as Answer
from keyrota.ports import Target
from keyrota.report.data import CredentialReport
from keyrota.report.paint import plain
from keyrota.report.text import plan_text, status_text
from keyrota.target_base.provider import Connection, Provider
from keyrota.targets import kinds
from keyrota.targets.github.connection import expiry
from keyrota_sandbox.memory import WorldClock
from keyrota_sandbox.server import Request, Response

PLACES: Mapping[str, list[Any]] = {
    "bitbucket": [{"workspace": "acme", "repository": "shop"}, {"workspace": "acme"}],
    "github": [
        {"repository": "acme/shop"},
        {"repository": "acme/shop", "environment": "Production", "wait_for_idle": "1m"},
        {"organization": "acme", "visibility": "private"},
        {"organization": "acme", "visibility": "selected", "repositories": ["shop"], "marker": True},
    ],
    "gitlab": [{"project": "acme/shop", "wait_for_idle": "1m"}, {"project": "acme/shop", "bundle": "AWS_FILE"}],
    "circleci": [{"context": CONTEXT}],
    "terraform": [{"organization": "acme", "variable_set": VARIABLE_SET}],
    "forgejo": [{"organization": "acme"}, {"token_user": True, "marker": True}],
}
"""More places that the emulators know, beside each one's usual."""
KINDS = {name: kind for name, kind in kinds().items() if "base_url" in kind.provider_schema["properties"]}
"""Every provider that is installed and reached by HTTP; the others are AWS's (test_aws_answers.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzedProvider:
    """One kind, a connection to it, and the emulator that answers where there is one."""

    name: str
    kind: Provider
    connect: Callable[[], Connection]
    usual: Mapping[str, Any] | None
    real: Callable[[Request], Response] | None
    reset: Callable[[], None]

    def settings(self) -> st.SearchStrategy[Any]:
        """Where a target may be: mostly the usual place, which the emulator knows."""
        known = [self.usual, *PLACES.get(self.name, ())] if self.usual else []
        fitting = conforming(self.kind.target_schema).filter(lambda found: not self.kind.faults(found))
        return st.one_of(*map(st.just, known), fitting)


@pytest.fixture(scope="module", params=KINDS)
def provider(request: pytest.FixtureRequest) -> Iterator[FuzzedProvider]:
    """Each provider in turn, also one that has no emulator yet."""
    name, kind = request.param, KINDS[request.param]
    with ExitStack() as stack:
        rig = stack.enter_context(RIGS[name]()) if name in RIGS else None
        base = {"bitbucket": "/2.0", "gitlab": "/api/v4"}.get(name, "")
        auth = {"token": CANARY_TOKEN}

        def connect() -> Connection:
            settings = {"base_url": f"http://127.0.0.1:9/{name}{base}", "auth": auth}
            return kind.connect(settings, secrets=Secret, clock=WorldClock())

        yield FuzzedProvider(
            name=name,
            kind=kind,
            connect=connect,
            usual=rig.usual if rig else None,
            real=rig.standin if rig else None,
            reset=(lambda: _put_back(rig)) if rig else lambda: None,
        )


def _put_back(rig: AnyRig[Any]) -> None:
    """Let the usual place hold the same key at the beginning of each example, whatever the one before sent."""
    rig.renew()
    rig.set("AWS_ACCESS_KEY_ID", "AKIA0000000000000OLD")


def tried(road: Callable[[], Any]) -> Any:
    """Go down a road; a clear error is as good as a value."""
    try:
        return road()
    except KeyrotaError as error:
        return error


def shown_state(state: TargetState) -> str:
    """Show what was read, as `plan` and `status` do."""
    seen = observed(a_key(age_days=91), secret=a_secret(current()), targets=(state,))
    base = CredentialReport(user="ci-deploy", account="123456789012", secret_name="keyrota/ci-deploy", now=NOW)
    report = replace(base, observation=seen, plan=plan(seen, CLASSIC, NOW))
    return "\n".join([*plan_text([report]), *status_text([report])])


def check_state(state: TargetState) -> str:
    assert state.key is None or KEY_ID.fullmatch(state.key)
    for time in (state.changed_at, state.token_expires):
        assert time is None or time.tzinfo is not None
    return shown_state(state)


def check_surroundings(found: Surroundings) -> str:
    assert all(KEY_ID.fullmatch(shown.key) for shown in found.shown)
    parts = [*(shown.where for shown in found.shown), *found.unread]
    parts += [text for conflict in found.conflicts for text in (conflict.what, conflict.remedy)]
    return "\n".join(line for part in parts for line in format_error(KeyrotaError(part)))


def check_readiness(answer: Readiness) -> str:
    assert answer.is_ready or answer.detail
    return "\n".join(format_findings([_target(answer)], (), plain, Shape(is_full=True)))


def check_runs(answer: CarriedRuns) -> str:
    seen = replace(observed(a_key(age_days=101), secret=a_secret(current())), carried=(answer,))
    plan(seen, CLASSIC, NOW)
    return "\n".join(format_error(KeyrotaError(answer.detail, where=answer.address, remedy=answer.remedy)))


def check_sightings(provider: FuzzedProvider, found: list[FoundKey], closed: list[str]) -> str:
    """Write the configuration that `discover` would: it reads back, or its faults are told."""
    assert all(one.key is None or KEY_ID.fullmatch(one.key) for one in found)
    known = sort(tuple(found), lambda key: "ci-deploy" if key.endswith("OLD") else None)
    scan = Scan(provider=provider.name, scope=None, closed=closed)
    settings = {"base_url": "http://127.0.0.1:9/x", "auth": {"token": "env:T"}}
    text = "\n".join(configuration(provider.name, settings, known, scan, {}))
    faults: tuple[Fault, ...] = ()
    try:
        load_text("discovered.yaml", text)
    except ConfigError as error:
        faults = error.faults
    assert not any("this is not YAML" in fault.what for fault in faults)
    return text


def walked(target: Target) -> str:
    """Go down every road of a target; returns what people would be shown."""
    shown = [check_state(target.read()), check_readiness(target.preflight())]
    shown.append(check_runs(target.runs_with_old_key(datetime(2026, 1, 1, tzinfo=UTC))))
    assert target.is_busy() in {True, False, None}
    for road in (lambda: target.write(a_pair()), lambda: target.clear(frozenset({a_pair().id}))):
        found = tried(road)
        if isinstance(found, KeyrotaError):
            shown += format_error(found)
        elif found is not None:
            assert all(isinstance(name, str) for name in found)
            shown += format_error(KeyrotaError(f"deleted {', '.join(found)}"))
    return "\n".join(shown)


def check_words(words: str) -> None:
    assert is_clean(words)
    assert a_pair().secret.reveal() not in words
    assert CANARY_TOKEN not in words


@examples(70)
@given(data=st.data(), script=SCRIPTS)
def test_a_target_takes_any_answer(provider: FuzzedProvider, data: st.DataObject, script: tuple[Twist, ...]) -> None:
    provider.reset()
    target = provider.connect().target(data.draw(provider.settings()))
    with hostile(provider.real, script) as line:
        words = walked(target)
    assert line.calls <= MOST_CALLS
    check_words(words)


def _with_ends(script: tuple[Twist, ...]) -> tuple[Twist, ...]:
    return tuple(twist for twist in script if twist.how != "on") or (Twist(),)


@examples(40)
@given(data=st.data(), script=SCRIPTS.map(_with_ends))
def test_a_look_around_takes_any_answer(
    provider: FuzzedProvider, data: st.DataObject, script: tuple[Twist, ...]
) -> None:
    """Many levels, each with lists of its own: lists without end have their own test."""
    provider.reset()
    target = provider.connect().target(data.draw(provider.settings()))
    with hostile(provider.real, script) as line:
        words = check_surroundings(target.surroundings())
    assert line.calls <= MOST_CALLS
    check_words(words)


def _scan_all(connection: Connection, scope: str) -> list[FoundKey]:
    """Walk to the end: a scan is read as it goes."""
    return list(connection.scan(scope))


@examples(50)
@given(script=SCRIPTS, scope=st.sampled_from([None, "acme", "..", "\x1b[31m"]))
def test_a_survey_takes_any_answer(provider: FuzzedProvider, script: tuple[Twist, ...], scope: str | None) -> None:
    provider.reset()
    connection = provider.connect()
    found: list[FoundKey] = []
    closed: list[str] = []
    with hostile(provider.real, script) as line:
        scopes = tried(lambda: connection.scopes(scope))
        for one in dict.fromkeys(scopes if not isinstance(scopes, KeyrotaError) else ()):
            assert isinstance(one, str)
            line.calls = 0
            sighted = tried(partial(_scan_all, connection, one))
            if isinstance(sighted, KeyrotaError):
                closed.append(f"{one}: {sighted.what}")
            else:
                found += sighted
            if len(closed) > 20:
                break
    check_words(check_sightings(provider, found, closed))


# --- what was found -------------------------------------------------------------------------------------------------

BOTH = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
EARLY = "0001-01-01T00:00:00+14:00"
FOUND: list[tuple[str, Any]] = [
    ("kubernetes", {"kind": "Secret", "data": 5}),
    ("kubernetes", {"kind": "Secret", "data": BOTH}),
    ("kubernetes", {"kind": "Secret", "items": [{"metadata": [1]}], "metadata": {"uid": [1], "ownerReferences": [5]}}),
    ("terraform", {"data": [{"id": "v", "attributes": {"key": "A", "category": [], "status": []}}]}),
    ("forgejo", [{"name": BOTH[0], "data": "x"}, 5]),
    ("circleci", {"items": [{"name": {}}]}),
    ("circleci", {"items": [{"name": BOTH[0], "updated_at": EARLY}]}),
    ("circleci", {"items": [], "next_page_token": "\ud800"}),
    ("bitbucket", {"values": [{"state": {"stage": {"name": []}}}]}),
    ("github", {"workflow_runs": [{"id": [], "status": []}]}),
    ("github", {"secrets": [{"name": BOTH[0], "updated_at": EARLY}], "workflow_runs": [{"created_at": EARLY}]}),
]
"""Each of these left keyrota as TypeError, OverflowError or UnicodeEncodeError."""


@pytest.mark.parametrize(("name", "content"), FOUND)
def test_an_answer_that_was_a_bug_once(name: str, content: Any) -> None:
    connection = KINDS[name].connect(
        {"base_url": f"http://127.0.0.1:9/{name}", "auth": {"token": CANARY_TOKEN}}, secrets=Secret, clock=WorldClock()
    )
    for settings in PLACES.get(name, [{"namespace": "acme", "secret": "shop"}]):
        with hostile(None, (Twist(how="made", body=json.dumps(content).encode()),)):
            check_words(walked(connection.target(settings)))


def test_a_list_that_leads_back_to_itself_is_left_at_once(provider: FuzzedProvider) -> None:
    """A scan of Bitbucket asked 40,000 times, once for each page of each page's workspace."""
    provider.reset()
    connection = provider.connect()
    with hostile(provider.real, (Twist(how="round"),)) as line:
        tried(lambda: [connection.scan(scope) for scope in connection.scopes(None)])
        assert line.calls < 20


@pytest.mark.parametrize("name", ["bitbucket", "circleci", "gitlab", "github"])
def test_a_list_without_end_has_one(name: str) -> None:
    """Each page names another that was not read yet."""
    connection = KINDS[name].connect(
        {"base_url": f"http://127.0.0.1:9/{name}", "auth": {"token": CANARY_TOKEN}}, secrets=Secret, clock=WorldClock()
    )
    with hostile(lambda _: Response(body=ENDLESS[name]), (Twist(how="on"),)) as line:
        state = tried(
            connection.target(PLACES[name][0]).is_busy if name == "gitlab" else lambda: read(connection, name)
        )
    assert state is None if name == "gitlab" else "pages" in state.detail
    assert line.calls < 500


def read(connection: Connection, name: str) -> TargetState:
    return connection.target(PLACES[name][0]).read()


ENDLESS = {
    "bitbucket": b'{"values": []}',
    "circleci": b'{"items": []}',
    "gitlab": b"[null]",
    "github": b'{"secrets": []}',
}


def test_links_of_a_header_are_found_in_linear_time() -> None:
    """A header of 100 lines may be six megabytes long; opening brackets alone were looked at by pairs."""
    answer = Answer(status=200, content=None, is_json=False, headers={"link": "<" * 6_000_000})
    assert answer.next_link() is None


def test_the_token_of_an_app_may_have_ended_before_the_calendar_begins() -> None:
    http = Http("http://127.0.0.1:9", clock=WorldClock())
    assert http.parse_time(EARLY) is None
    assert http.parse_time("2026-01-01T00:00:00+02:00") == datetime(2025, 12, 31, 22, tzinfo=UTC)
    assert expiry("0001-01-01 00:00:00 +1400") is None
