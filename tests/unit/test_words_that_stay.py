"""
What is stored, printed or promised stays as it is.

A tag, a label or a version's ID that an earlier version wrote must be found again; a state's name stands in people's
scripts, which read `--json`; and a limit was chosen for a reason that stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import timedelta
from enum import StrEnum
from typing import Any

import pytest

from builders import NOW, OLD
from keyrota.core import lifecycle, model, naming, plan, policy, records, sync
from keyrota.core.emergency import Revoke
from keyrota.core.model import VersionId, claim_token, key_token
from keyrota.executor import events, native, run
from keyrota.executor.subject import CredentialContext, Settings

STORED = {
    "AWSCURRENT": model.AWSCURRENT,
    "AWSPREVIOUS": model.AWSPREVIOUS,
    "AWSPENDING": model.AWSPENDING,
    "keyrota:pending": model.PENDING,
    "keyrota:claim": model.CLAIM,
    "keyrota:placeholder": model.PLACEHOLDER,
    "keyrota:revoked:": model.REVOKED,
    "keyrota:synced": model.SYNCED_TAG,
    "keyrota:sync-pass": model.SYNC_PASS_TAG,
    "keyrota:deactivated": model.DEACTIVATED_TAG,
    "keyrota:created": model.CREATED_TAG,
    "keyrota:targets": model.INDEX_TAG,
    "keyrota:stack": model.STACK_TAG,
    "keyrota:orphan": model.ORPHAN_TAG,
    "keyrota:adopt": model.ADOPT_TAG,
    "keyrota:user": model.OWNER_TAG,
}


def test_labels_and_tags_are_found_again() -> None:
    assert {name: name for name in STORED} == STORED
    assert [note.value for note in model.DeactivationNote] == ["", "on"]


def test_versions_are_found_again() -> None:
    assert key_token(OLD, VersionId("v1")) == "d9f776aa-34ef-5f2f-a103-e0942fe3e06b"
    assert claim_token("arn", VersionId("v1"), 0) == "c1a58a99-a34e-513a-98cb-d4d415462170"


WORDS: list[tuple[type[StrEnum], str]] = [
    (
        lifecycle.KeyState,
        (
            "no key, adoptable, foreign, unknown status, orphan, released, discarded, loser, pending, "
            "current, current; Inactive, superseded, retired, gone"
        ),
    ),
    (lifecycle.Road, "apply, revoke, rollback, adopt"),
    (model.KeyStatus, "Active, Inactive, Other"),
    (model.Evidence, "used, never, unknown"),
    (model.TargetEvidence, "holds, cannot tell, absent, failed"),
    (model.RunsEvidence, "none, some, unknown"),
    (plan.Duty, "rotate, sync, deactivate, delete"),
    (policy.OnStillUsed, "hold, deactivate"),
    (policy.Adopt, "when-due, now"),
    (policy.Drift, "overwrite, hold"),
    (events.EventKind, "doing, done, failed"),
    (native.Step, "createSecret, setSecret, testSecret, finishSecret"),
]


@pytest.mark.parametrize(("kind", "words"), WORDS, ids=lambda value: getattr(value, "__name__", ""))
def test_words_that_people_s_scripts_read(kind: type[StrEnum], words: str) -> None:
    assert ", ".join(word.value.replace(",", ";") for word in kind) == words


SHOWN = {
    "rotate": (
        plan.CreateSecret,
        plan.Preflight,
        plan.TakeClaim,
        plan.CreateKey,
        plan.Verify,
        plan.Restore,
        plan.Promote,
    ),
    "adopt": (plan.Adopt, plan.TakeOver, plan.Choose),
    "release": (plan.Release,),
    "tidy": (plan.RemoveLabel, plan.NoteActive, plan.NoteStack, plan.NoteOrphan, plan.MarkRevoked),
    "sync": (plan.Sync,),
    "look": (plan.LookAround, plan.AskFirst, plan.AskOwner, plan.AskValue),
    "deactivate": (plan.AskRuns, plan.Deactivate),
    "reactivate": (plan.Reactivate,),
    "delete": (plan.Delete,),
    "delete-orphan": (plan.DeleteOrphan,),
    "deny-sessions": (plan.DenySessions,),
    "release-quarantine": (plan.ReleaseQuarantine,),
}


def test_an_action_s_word_in_reports() -> None:
    assert {word: tuple(kind for kind in kinds if kind.shown == word) for word, kinds in SHOWN.items()} == SHOWN


LIMITS = {
    "a key is made within a minute of its claim": (lifecycle.CREATED_WITHIN, timedelta(seconds=60)),
    "clocks differ by a minute": (lifecycle.CLOCKS_DIFFER, timedelta(seconds=60)),
    "a signature is good for five minutes": (lifecycle.SIGNED_WITHIN, timedelta(minutes=5)),
    "a use is shown within a day": (lifecycle.USE_IS_SHOWN_WITHIN, timedelta(hours=24)),
    "lists lag by a quarter of an hour": (lifecycle.JUST_NOW, timedelta(minutes=15)),
    "a token that ends within a month is named": (sync.TOKEN_ENDS_SOON, timedelta(days=30)),
    "auditors look after 90 days": (policy.AUDIT_LIMIT, timedelta(days=90)),
    "with two days' margin": (policy.AUDIT_MARGIN, timedelta(days=2)),
    "a freeze of a year and a day": (policy.MAX_FREEZE, timedelta(days=366)),
    "a life of ten years": (policy.MAX_AGE, timedelta(days=3660)),
    "an hour, a day": (policy.HOUR, policy.DAY / 24),
    "pieces of an index": (records.INDEX_PIECES, 28),
    "steps of a run": (run._STEPS, 60),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit(name: str) -> None:
    found, said = LIMITS[name]
    assert found == said


DEFAULTS: list[tuple[type[Any], Mapping[str, object]]] = [
    (
        Settings,
        {"lease": timedelta(minutes=10), "verify_times": 4, "verify_span_s": 30, "verify_give_up_s": 180, "writers": 8},
    ),
    (CredentialContext, {"is_secret_named": False, "index": (), "reach": None, "services": (), "stack": ""}),
    (Revoke, {"off_first": False, "with_sessions": False, "releases_quarantine": False}),
    (policy.RotationPolicy, {"unused_for": timedelta(days=1), "freezes": (), "prove_use": False, "allow_short": False}),
    (policy.Rollout, {"per_run": 10, "canaries": (), "canary_wait": timedelta(days=3), "spread": timedelta()}),
    (records.Index, {"entries": (), "is_readable": True, "is_full": False}),
    (model.LastUse, {"at": None, "service": "", "region": "", "why": ""}),
    (model.AccessKey, {"status_word": ""}),
    (model.SecretState, {"tags": (), "deleted_at": None, "changed_at": None, "problem": "", "rotates_itself": False}),
    (model.SecretReaders, {"others": (), "why_unknown": "", "remedy": ""}),
    (
        model.TargetState,
        {"key": None, "detail": "", "remedy": "", "is_empty": False, "notice": "", "carried_for": timedelta()},
    ),
    (model.CarriedRuns, {"detail": "", "remedy": ""}),
    (model.FoundKey, {"remark": ""}),
    (model.Readiness, {"detail": "", "remedy": "", "token_expires": None}),
    (
        model.Observation,
        {
            "run": "",
            "made_here": frozenset(),
            "readiness": None,
            "left_behind": (),
            "carried": None,
            "quarantine": (),
            "are_sessions_denied": False,
            "stack": "",
            "is_secret_named": False,
        },
    ),
    (plan.Sync, {"follows": False, "is_rewrite": False, "is_repair": False, "is_urgent": False, "not_before": None}),
    (plan.Promote, {"follows": False, "is_rollback": False}),
    (plan.Deactivate, {"follows": False, "is_emergency": False}),
    (plan.Hold, {"remedy": "", "key": None, "target": None, "until": None}),
    (plan.Notice, {"remedy": "", "target": None}),
    (plan.Plan, {"actions": (), "holds": (), "upcoming": (), "notices": ()}),
]


@pytest.mark.parametrize(("kind", "said"), DEFAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_not_said_means(kind: type[Any], said: Mapping[str, object]) -> None:
    known = {one.name: one.default if one.default_factory is MISSING else one.default_factory() for one in fields(kind)}
    assert {name: known[name] for name in said} == said


def test_values_do_not_change_under_anybody_s_hands() -> None:
    seen = model.AccessKey(id=OLD, status=model.KeyStatus.ACTIVE, created=NOW)
    assert (seen.last_use.evidence, seen.last_use.why) == (model.Evidence.UNKNOWN, "not read yet")
    assert model.NEVER_USED.evidence is model.Evidence.NEVER


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (naming.USER_NAME, ("a", "ci,deploy@x=y.z+-_", "a" * 128), ("", "a b", "a" * 129, "ä")),
        (naming.SECRET_NAME, ("keyrota/ci_+=.@-1", "a" * 512), ("", "a,b", "a" * 513)),
        (lifecycle.KEY_ID, ("AKIA" + "A" * 12, "A" * 128), ("AKIA" + "A" * 11, "A" * 129, "akia" + "a" * 16)),
    ],
    ids=["user name", "secret name", "key ID"],
)
def test_a_name_is_legal(pattern: Any, yes: tuple[str, ...], no: tuple[str, ...]) -> None:
    assert all(pattern.fullmatch(text) for text in yes)
    assert not any(pattern.fullmatch(text) for text in no)


def test_the_end_of_an_arn() -> None:
    assert naming.ARN_LIKE_END.search("keyrota/deploy-abc123")
    assert not naming.ARN_LIKE_END.search("keyrota/deploy-abc123/access-key")
