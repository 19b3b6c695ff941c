"""Whatever a provider answers: a value or a clear error, nothing else, and never a secret in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_rigs import RIGS
from standin_rig import CANARY_TOKEN, AnyRig, a_pair, unjudged

from keyrota.errors import KeyrotaError
from keyrota_sandbox.faults import Fault, FaultKind

_FIELDS = """
values next uuid key value secured name state stage secrets variables environments repositories workflow_runs
total_count key_id id visibility selected_repository_ids updated_at created_at status permissions archived
environment_scope masked hidden raw variable_type message data kind details immutable scopes expires_at revoked
full_name path_with_namespace full_path slug workspace item
attributes category sensitive type meta pagination errors policy isSecret providerData description
variableGroupProjectReferences
"""
FIELDS = tuple(re.findall(r"\w+", _FIELDS))
NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "KEYROTA_AWS_ACCESS_KEY_ID", "Production", "api")
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([*NAMES, "Secret", "\x1b[31m", "2026-01-01T00:00:00Z", "AKIA0000000000000OLD", "AAAA"]),
)
ANSWERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6)),
    max_leaves=20,
)


@pytest.fixture(scope="module", params=RIGS)
def rig(request: pytest.FixtureRequest) -> Iterator[AnyRig[Any]]:
    """An emulator for each provider in turn, one for all examples."""
    with unjudged(), RIGS[request.param]() as made:
        yield made


@settings(max_examples=60)
@given(content=ANSWERS, status=st.sampled_from([200, 200, 200, 201, 204, 400, 404, 409, 418]), skip=st.integers(0, 4))
def test_no_answer_makes_anything_but_a_value_or_a_clear_error(
    rig: AnyRig[Any], content: object, status: int, skip: int
) -> None:
    """Wrong types, missing fields, hostile texts, at any call of any road."""
    rig.standin.faults.clear()
    body = json.dumps(content)
    rig.standin.faults.add(Fault(operation="*", kind=FaultKind.BODY, status=status, body=body, skip=skip, times=3))
    target = rig.target()
    told = [repr(target.read()), repr(target.preflight()), repr(target.is_busy())]
    told.append(repr(target.runs_with_old_key(datetime(2026, 1, 1, tzinfo=UTC))))
    for road in (lambda: target.write(a_pair()), lambda: target.clear(frozenset({a_pair().id}))):
        try:
            road()
        except KeyrotaError as error:
            told.append(f"{error} {error.remedy}")
    rig.standin.faults.add(Fault(operation="*", kind=FaultKind.BODY, status=status, body=body, skip=skip, times=3))
    try:
        told += [repr(tuple(rig.connection.scan(scope))) for scope in rig.connection.scopes("acme")]
    except KeyrotaError as error:
        told.append(str(error))
    rig.standin.faults.clear()
    words = "\n".join(told)
    assert a_pair().secret.reveal() not in words
    assert CANARY_TOKEN not in words
