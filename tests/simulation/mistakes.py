"""
Deliberate mistakes: each a small change to keyrota's own text, which the simulation has to notice.

A check that finds nothing may be blind. `test_sabotage.py` makes each of these mistakes in a copy of the package and
plays histories until a promise breaks; the seeds that it took are in docs/explanation/proof.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RUN_STATE = "executor/run_state.py"
CLAIMS = "executor/claims.py"
ACTIONS, SYNC, VERIFY, OBSERVE = "executor/actions.py", "executor/sync.py", "executor/verify.py", "executor/observe.py"
SUBJECT, FLEET, PLAN, DISCARDING = "executor/subject.py", "executor/fleet.py", "core/plan.py", "core/discarding.py"
HEALTH, LIFECYCLE, RENEWAL, RETIREMENT = "core/health.py", "core/lifecycle.py", "core/renewal.py", "core/retirement.py"
OWNERSHIP = "core/ownership.py"
OVERVIEW, SCREEN = "core/overview.py", "executor/screen.py"
OWN_KEY = "core/own_key.py"
WAVES = "core/waves.py"
PLACES, EVIDENCE, READERS, PAIRS = "core/places.py", "core/evidence.py", "core/readers.py", "executor/pairs.py"
HOUSEKEEPING, SCHEDULE, CORE_SYNC, PLANNER, RUN = (
    "core/housekeeping.py",
    "core/schedule.py",
    "core/sync.py",
    "core/planner.py",
    "executor/run.py",
)

_REWRITE = "    wanted = record.since + situation.policy.overlap\n"
_THE_NOTE = "        if wanted is not None:\n            walk.begin(wanted, chosen)\n"
_THE_SECRET = "        version, credential = subject.store.current(subject.secret_name)\n"
_DELETE = """            is_ours = subject.access_keys.delete(subject.user, action.key)
            memory.deleted.add(action.key)
"""
_ITS_LABEL = """            if action.version is not None:
                take_off(subject, action.key, action.version)
"""
_WHO_REMOVES_LABELS = """\
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.ROTATE})
    is_bookkeeping: ClassVar[bool] = True
    acts_on: ClassVar[tuple[str, ...]] = ("key", "label", "version")
"""
_UNTIL_THE_CLAIM_ENDS = """\
            is_over = pause is None or settings.clock.now() + timedelta(seconds=pause) >= claim.at + CREATED_WITHIN
            if pause is None or is_over:
                take_off(subject, CLAIM, claim.version)
                raise
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One change of text."""

    file: str
    """Under src/keyrota."""
    old: str
    """Occurs once."""
    new: str

    def make(self, package: Path) -> None:
        """Change a copy of the package."""
        path = package / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise LookupError(f"{self.file}: {text.count(self.old)} places read\n{self.old}")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """What somebody might do."""

    name: str
    edits: tuple[Edit, ...]
    breaks: str
    """A promise that must be among the broken ones."""
    is_searched: bool = False
    """The search over all interleavings notices it as well; it takes more of a coincidence than histories meet."""
    scene: str = ""
    """The scene that notices it; where there is none, histories do."""
    first: int = 1
    """The history that is played first: the one that noticed it the last time, where that is far from the beginning."""


def _mistake(
    name: str, breaks: str, *edits: tuple[str, str, str], is_searched: bool = False, scene: str = "", first: int = 1
) -> Mistake:
    changes = tuple(Edit(file=file, old=old, new=new) for file, old, new in edits)
    return Mistake(name=name, breaks=breaks, edits=changes, is_searched=is_searched, scene=scene, first=first)


MISTAKES = (
    _mistake(
        "skip verify",
        "verified-before-served",
        (ACTIONS, "    verify(subject, credential, settings)\n    memory.verified.add", "    memory.verified.add"),
    ),
    _mistake(
        "one yes of STS is enough",
        "verified-before-served",
        (VERIFY, "if in_a_row >= settings.verify_times:", "if in_a_row >= 1:"),
    ),
    _mistake(
        "serve a key that was not verified",
        "verified-before-served",
        (SYNC, "if credential.id not in verified:", "if credential.id in verified:"),
    ),
    _mistake(
        "promote without RemoveFromVersionId of the version that was observed",
        "one-winner",
        (
            ACTIONS,
            "AWSCURRENT, to=action.version, remove_from=action.remove_from)",
            "AWSCURRENT, to=action.version, remove_from=find_labelled(subject, AWSCURRENT))",
        ),
        scene="a value is stored before the promotion",
    ),
    _mistake(
        "the SDK's retries are on for CreateAccessKey",
        "converges",
        (
            CLAIMS,
            "            if not error.is_undone:\n                raise\n",
            "            if not error.is_undone:\n                continue\n",
        ),
        scene="the answer to a new key is lost",
    ),
    _mistake(
        "an unreadable last use counts as never used",
        "proof-before-off",
        (
            RETIREMENT,
            "    use, policy = key.last_use, situation.policy\n    if use.evidence is Evidence.UNKNOWN:",
            "    use, policy = key.last_use, situation.policy\n    if False:",
        ),
        scene="a last use cannot be read",
    ),
    _mistake(
        "no look at AWSCURRENT after a sync, neither the sync's own nor the loop's",
        "newest-wins",
        (SYNC, "        wanted = _current(state)\n        if wanted == version:", "        if True:"),
        (
            RUN,
            "                self._do(action, observation, emit)\n",
            (
                "                self._do(action, observation, emit)\n"
                "                if isinstance(action, act.Sync):\n                    break\n"
            ),
        ),
    ),
    _mistake(
        "a target that was not written counts as written",
        "proof-before-off",
        (
            SYNC,
            "            error.target = target.address\n            return target.address, error",
            "            pass",
        ),
        scene="a place refuses every write",
    ),
    _mistake(
        "deactivate before all targets are confirmed",
        "proof-before-off",
        (SYNC, "        is_whole = self.written >= addresses\n", "        is_whole = True\n"),
        (
            RETIREMENT,
            "if target.evidence is TargetEvidence.FAILED or is_drifted(situation.view, target, successor):",
            "if False:",
        ),
        (RETIREMENT, "    wanted = _rewritten_after(situation, key)\n", "    wanted = None\n"),
    ),
    _mistake(
        "delete a foreign key",
        "hands-off",
        (
            LIFECYCLE,
            "            return KeyState.ADOPTABLE\n        return KeyState.FOREIGN",
            "            return KeyState.ADOPTABLE\n        return KeyState.ORPHAN",
        ),
        scene="a key that a person made",
    ),
    _mistake(
        "count the overlap from creation instead of from sync",
        "proof-before-off",
        (SCHEDULE, "max(view.synced.since + policy.overlap, min", "max(successor.created + policy.overlap, min"),
        (RETIREMENT, _REWRITE, "    wanted = record.since\n"),
    ),
    _mistake(
        "no overlap: the old key goes by its age alone",
        "proof-before-off",
        (SCHEDULE, "max(view.synced.since + policy.overlap, min(by_age, for_the_slot))", "min(by_age, for_the_slot)"),
        (RETIREMENT, _REWRITE, "    wanted = record.since\n"),
    ),
    _mistake(
        "the overlap begins anew with every sync",
        "converges",
        (SYNC, "since=self._since(before, index.note(held), known, now, is_untouched=is_untouched)", "since=now"),
    ),
    _mistake(
        "trust IAM's quota as a lock",
        "converges",
        (RENEWAL, "    if not _holds_claim(situation, seen):\n", "    if False:\n"),
        (
            CLAIMS,
            "    if claim is None or settings.clock.now() >= claim.at + CREATED_WITHIN:",
            "    if claim is not None and settings.clock.now() >= claim.at + CREATED_WITHIN:",
        ),
        (
            CLAIMS,
            "    if settings.clock.now() >= claim.lease_until - SIGNED",
            "    if claim and settings.clock.now() >= claim.lease_until - SIGNED",
        ),
        (CLAIMS, "            take_off(subject, CLAIM, claim.version)\n            raise", "            raise"),
        (CLAIMS, _UNTIL_THE_CLAIM_ENDS, "            if pause is None:\n                raise\n"),
        first=13,
    ),
    _mistake(
        "forget pagination: the first key is all there is",
        "converges",
        (OBSERVE, "in subject.access_keys.list(subject.user)\n", "in subject.access_keys.list(subject.user)[:1]\n"),
    ),
    _mistake(
        "write a secret into an error",
        "nothing-leaks",
        (VERIFY, '"it was written to no target in this step; the next run tries again"', "credential.secret.reveal()"),
        scene="a new key is not accepted",
    ),
    _mistake(
        "delete as soon as it is off",
        "off-before-gone",
        (SCHEDULE, "    return max(seen_used + policy.grace, by_age)", "    return off"),
    ),
    _mistake(
        "leave orphans where they are",
        "converges",
        (DISCARDING, "    elif off is None or situation.now < due:\n", "    elif True:\n"),
    ),
    _mistake(
        "delete an orphan as soon as it is off",
        "off-before-gone",
        (DISCARDING, "    elif off is None or situation.now < due:\n", "    elif off is None:\n"),
    ),
    _mistake(
        "take whatever was never used for an orphan at once",
        "seen-key-lives",
        (DISCARDING, "        return key.created + USE_IS_SHOWN_WITHIN\n", "        return key.created\n"),
        scene="a key is made in the minute of a claim",
    ),
    _mistake(
        "take the label off a key that targets still hold",
        "converges",
        (
            HOUSEKEEPING,
            "if key_id and version is not view.current and _is_gone(situation, key_id):",
            "if key_id and version is not view.current:",
        ),
    ),
    _mistake(
        "a changed target is nobody's business",
        "proof-before-off",
        (
            CORE_SYNC,
            "        return target.key != key.id\n    return target.evidence is TargetEvidence.ABSENT",
            "        return False\n    return False",
        ),
        scene="a place is changed",
    ),
    _mistake(
        "a key that came back keeps its old dates",
        "proof-before-off",
        (SCHEDULE, "    return max(due, back_on + policy.overlap) if back_on else due", "    return due"),
        scene="a key comes back",
    ),
    _mistake(
        "do more than was planned",
        "plan-is-honest",
        (RUN, "or _kind(action) in promised or", "or True or"),
    ),
    _mistake(
        "write over what somebody put there, `drift: hold` or not",
        "hands-off",
        (
            CORE_SYNC,
            "    return situation.policy.drift is Drift.OVERWRITE if mends is None else mends",
            "    return mends is None or mends",
        ),
        scene="a change is held",
    ),
    _mistake(
        "say nothing of a place that holds a dead key",
        "says-broken",
        (HEALTH, '    return f"it holds {key_id}, which is deleted" if is_deleted else ""', '    return ""'),
        (
            HEALTH,
            '        return f"it holds {key_id}, which is Inactive" if key.status is KeyStatus.INACTIVE else ""',
            '        return ""',
        ),
        scene="a dead key where no write arrives",
    ),
    _mistake(
        "a current key that works nowhere is a person's matter, and exit code 3",
        "says-broken",
        (
            RENEWAL,
            """            needs=Needs.REPAIR,
            reason=f"{view.current_key} is the key that targets hold, and IAM""",
            """            needs=Needs.PERSON,
            reason=f"{view.current_key} is the key that targets hold, and IAM""",
        ),
        scene="a dead key at a place",
    ),
    _mistake(
        "look at the secret once more between making a key and storing it",
        "secret-never-lost",
        (
            ACTIONS,
            "        created = create_under_claim(subject, settings, memory)\n",
            "        created = create_under_claim(subject, settings, memory)\n        find_current(subject)\n",
        ),
    ),
    _mistake(
        "a place that was taken out of the configuration does not count",
        "served-key-lives",
        (RETIREMENT, "    for target in situation.view.observation.left_behind:", "    for target in ():"),
        (EVIDENCE, "    for target in (*seen.targets, *seen.left_behind):", "    for target in seen.targets:"),
        scene="a place is taken out of the configuration",
    ),
    _mistake(
        "do not note that a pair was begun",
        "says-broken",
        (
            SYNC,
            "        begun = tuple((place_digest(address), doubt) for address in sorted(addresses))\n",
            "        begun = ()\n",
        ),
        scene="half a pair is left",
    ),
    _mistake(
        "half a pair is no reason to say anything",
        "says-broken",
        (HEALTH, "    yield from find_torn(situation)\n", ""),
        scene="half a pair is left",
    ),
    _mistake(
        "half a pair is whole as soon as the run that left it is over",
        "says-broken",
        (SYNC, "self._note_torn(now, pairs.torn, is_whole_again)", "self._note_torn(now, {}, is_whole_again)"),
        scene="half a pair stays",
    ),
    _mistake(
        "leave half a pair to the next run",
        "whole-pair",
        (PAIRS, "        for number, pause in enumerate(pauses):\n", "        for number, pause in ():\n"),
        (
            PAIRS,
            "        if not isinstance(last, AnotherPlace) and self._put_back(target, torn):\n            raise",
            "        if False:\n            raise",
        ),
        scene="a half is refused once",
    ),
    _mistake(
        "write over whatever a place shows, the first time too",
        "first-write-asks",
        (
            PLACES,
            "    for key in _strange_keys(situation.view, target):\n        yield _doubt",
            "    for key in ():\n        yield _doubt",
        ),
        scene="a first write over another user's key",
    ),
    _mistake(
        "a key that AWS does not know is nobody's",
        "first-write-asks",
        (
            PLACES,
            "    return tuple(key for key in _list_shown(target) if key not in _own_keys(view))",
            (
                "    asked = {owner.key: owner for owner in view.observation.owners}\n"
                "    keys = (key for key in _list_shown(target) if key not in _own_keys(view))\n"
                "    return tuple(key for key in keys if key not in asked or asked[key].account)"
            ),
        ),
        scene="a first write over an unknown key",
    ),
    _mistake(
        "a write that was begun has arrived",
        "first-write-asks",
        (PLACES, "    return known is None or known.written is not None\n", "    return True\n"),
        scene="a run dies before its first write",
    ),
    _mistake(
        "finish the half of a pair that somebody else began",
        "first-write-asks",
        (
            PLACES,
            (
                "    yield from (_as_doubt(target, conflict) for conflict in conflicts)\n"
                "    if _is_half(target) and not conflicts:"
            ),
            "    if False:",
        ),
        scene="a first write over half a pair",
    ),
    _mistake(
        "write a second pair beside one under other names",
        "first-write-asks",
        (PLACES, "(*target.conflicts, *(around.conflicts if around else ()))", "(around.conflicts if around else ())"),
        scene="a first write beside a pair under other names",
    ),
    _mistake(
        "look at the place alone before the first write, and at no level above it",
        "first-write-asks",
        (PLACES, "*(around.conflicts if around else ())", "*()"),
        scene="a first write below half a pair",
    ),
    _mistake(
        "do not look again before a late first write",
        "first-write-asks",
        (RUN, "        if self._is_read_too_long_ago(action, seen[0]):\n", "        if False:\n"),
        (SYNC, "            if state is not None and is_first_write(known, state):\n", "            if False:\n"),
        scene="half a pair comes above a place",
    ),
    _mistake(
        "a place is its name",
        "a-place-is-an-id",
        (
            PLACES,
            "    earlier, place = _earlier(situation.view, target), target.place\n",
            "    earlier, place = None, target.place\n",
        ),
        scene="a name is given to another place",
    ),
    _mistake(
        "do not ask which place it is before a late write",
        "a-place-is-an-id",
        (SYNC, "    found = target.place_now()\n", "    found = place\n"),
        scene="a name is given away before a late write",
    ),
    _mistake(
        "a place that could not be read is still the same",
        "a-place-is-an-id",
        (
            SYNC,
            "    is_known = is_young if place is not None else not written\n",
            "    is_known = place is None or is_young\n",
        ),
        scene="a name is given away, and the place is not read",
    ),
    _mistake(
        "ask the places before the key goes off in an emergency",
        "emergency-first",
        (
            RUN,
            "        self._is_unasked = isinstance(intent, Revoke) and intent.off_first\n",
            "        self._is_unasked = False\n",
        ),
        scene="an emergency",
    ),
    _mistake(
        "what other variables of the list show does not count",
        "seen-key-lives",
        (
            EVIDENCE,
            "where=shown.where) for shown in target.shown if shown.key == key)\n",
            "where=shown.where) for shown in ())\n",
        ),
        scene="another variable shows the old key",
    ),
    _mistake(
        "what other scopes of the project show does not count",
        "seen-key-lives",
        (
            EVIDENCE,
            "    for around in seen.surroundings or ():\n        yield from (Shown(",
            "    for around in ():\n        yield from (Shown(",
        ),
        scene="another scope shows the old key",
    ),
    _mistake(
        "deactivate the key that keyrota is running with",
        "right-credential",
        (OWN_KEY, "    if not seen.runs_as.runs_with(seen.credential, key):\n", "    if True:\n"),
        scene="keyrota runs with the old key",
    ),
    _mistake(
        "an older pair comes back with the fields of its own time",
        "hands-off",
        (
            ACTIONS,
            "        beside = store.other_fields(name, action.base)\n    except SecretUnusable:",
            "        beside = store.other_fields(name, action.version)\n    except SecretUnusable:",
        ),
        scene="a field is changed before a rollback",
    ),
    _mistake(
        "do not ask who else may read the secret",
        "nothing-leaks",
        (READERS, "    for other in found.others if found is not None else ():", "    for other in ():"),
        scene="a secret that others may read",
    ),
    _mistake(
        "rotate at half the age",
        "plan-is-honest",
        (SCHEDULE, "return key.created + policy.rotates_after", "return key.created + policy.rotates_after / 2"),
    ),
    _mistake(
        "sync although nobody planned it",
        "plan-is-honest",
        (RUN, "_kind(action) in promised or", "_kind(action) in promised or isinstance(action, act.Sync) or"),
        scene="a place is changed after the plan",
    ),
    _mistake(
        "one credential that cannot be read stops the others",
        "one-fails-alone",
        (
            FLEET,
            "        if preview.plan is None or preview.observation is None:\n",
            (
                "        is_any_unread = any(other.error for other in previews)\n"
                "        if is_any_unread or preview.plan is None or preview.observation is None:\n"
            ),
        ),
    ),
    _mistake(
        "deactivate takes labels off as well",
        "least-privilege",
        (PLAN, _WHO_REMOVES_LABELS, _WHO_REMOVES_LABELS.replace("ROTATE}", "ROTATE, Duty.DEACTIVATE}")),
        first=44,
    ),
    _mistake(
        "delete takes labels off as well",
        "least-privilege",
        (PLAN, _WHO_REMOVES_LABELS, _WHO_REMOVES_LABELS.replace("ROTATE}", "ROTATE, Duty.DELETE}")),
        first=44,
    ),
    _mistake(
        "name a version by its secret",
        "nothing-leaks",
        (
            ACTIONS,
            "    verify(subject, credential, settings)\n    memory.verified.add(credential.id)\n\n\ndef _restore",
            (
                "    verify(subject, credential, settings)\n    memory.verified.add(credential.id)\n"
                "    label = credential.secret.reveal()\n    wearing = find_labelled(subject, label)\n"
                "    subject.store.move_label(subject.secret_name, label, to=action.version, remove_from=wearing)\n\n\n"
                "def _restore"
            ),
        ),
    ),
    _mistake(
        "log the secret for --debug",
        "nothing-leaks",
        (
            VERIFY,
            "    clock = settings.clock\n",
            '    clock = settings.clock\n    logging.getLogger(__name__).debug("%s", credential.secret.reveal())\n',
        ),
        (VERIFY, "from collections.abc import Sequence\n", "import logging\nfrom collections.abc import Sequence\n"),
    ),
    _mistake(
        "a target that does not answer stops the sync of the others",
        "one-fails-alone",
        (
            CORE_SYNC,
            "    if key is None or not view.is_stored:\n        return\n",
            (
                "    is_any_down = any(one.evidence is TargetEvidence.FAILED for one in view.observation.targets)\n"
                "    if key is None or not view.is_stored or is_any_down:\n        return\n"
            ),
        ),
        scene="a place goes down before the sync",
    ),
    _mistake(
        "read AWSCURRENT before the note",
        "newest-wins",
        (
            SYNC,
            _THE_NOTE + _THE_SECRET,
            _THE_SECRET + _THE_NOTE,
        ),
        is_searched=True,
        scene="two syncs take turns",
    ),
    _mistake(
        "believe IAM's list against one's own memory",
        "converges",
        (
            RUN_STATE,
            "        keys = (*observation.keys, *(key for key in self.made.values() if key.id not in listed))",
            "        keys = observation.keys",
        ),
        (
            RENEWAL,
            "    yield from _hold_for_claim(situation)\n    yield from _hold_for_unlisted_key(situation)",
            "    yield from _hold_for_claim(situation)",
        ),
    ),
    _mistake(
        "do not ask whether another secret keeps the user's keys",
        "hands-off",
        (
            OWNERSHIP,
            '    return seen.user_tag is not None and seen.user_tag.secret not in {"", seen.secret_mark}',
            "    return False",
        ),
        scene="a second deployment",
    ),
    _mistake(
        "compare a provider's times with our own clock",
        "converges",
        ("http/ahead.py", "    return ahead if abs(ahead) > _SAME_TIME else timedelta()", "    return timedelta()"),
        scene="a provider's clock is ahead",
    ),
    _mistake(
        "believe a provider's clock that is behind",
        "newest-wins",
        ("http/ahead.py", "    ahead = sent - min(max(sent, asked), got)", "    ahead = max(sent, got) - got"),
        scene="a provider's clock is behind",
    ),
    _mistake(
        "believe Secrets Manager against one's own writes",
        "converges",
        ("executor/own_writes.py", "_LAG = timedelta(seconds=60)", "_LAG = timedelta()"),
        scene="secrets are shown late",
    ),
    _mistake(
        "do not note that a pair is written once more",
        "converges",
        (SYNC, "        if is_again and not addresses:\n", "        if is_again:\n"),
        scene="a run dies after it has written the same pair again",
    ),
    _mistake(
        "make a key under a claim however old",
        "converges",
        (
            CLAIMS,
            "    if claim is None or settings.clock.now() >= claim.at + CREATED_WITHIN:",
            "    if claim is None:",
        ),
        scene="a machine stands still before its key",
    ),
    _mistake(
        "take a key that the list does not show yet for gone",
        "converges",
        (
            LIFECYCLE,
            "        return until if now < until else None\n\n    def is_long_served",
            "        return None\n\n    def is_long_served",
        ),
        first=255,
    ),
    _mistake(
        "take the claim off when no answer came: nothing was made",
        "converges",
        (
            CLAIMS,
            "            if not error.is_undone:\n                raise\n",
            (
                "            if not error.is_undone:\n                take_off(subject, CLAIM, claim.version)\n"
                "                raise\n"
            ),
        ),
        scene="the answer to a new key is lost",
    ),
    _mistake(
        "take the label off before the key is deleted",
        "hands-off",
        (
            ACTIONS,
            _DELETE + _ITS_LABEL,
            _ITS_LABEL + _DELETE,
        ),
    ),
    _mistake(
        "write another version than the note says",
        "proof-before-off",
        (
            SYNC,
            "            wanted, chosen = version, _writable(subject, action)\n            continue\n",
            "            wanted, chosen = version, _writable(subject, action)\n",
        ),
        scene="AWSCURRENT goes back before the sync",
    ),
    _mistake(
        "take the age of a key from the credential report",
        "due-is-read",
        (OVERVIEW, "    if len(active) != 1 or abs(active[0] - created) > _SAME:", "    if len(active) != 1:"),
        (OVERVIEW, "        created=created,\n", "        created=active[0],\n"),
        scene="a key is switched off and on",
    ),
    _mistake(
        "take one key in the lists for rest, whatever the planner says",
        "due-is-read",
        (OVERVIEW, "    if plan.actions:\n", "    if False:\n"),
        (SCREEN, "        return seen, planned\n    seen", "        return seen, Plan()\n    seen"),
        (SCREEN, "else (seen, planned)", "else (seen, Plan())"),
        scene="a key comes of age",
    ),
    _mistake(
        "remember a last use beyond the run, as a function that stays warm might",
        "proof-before-off",
        (
            OBSERVE,
            "    return replace(key, last_use=subject.access_keys.last_use(key.id))",
            (
                "    if key.id not in _USES:\n"
                "        _USES[key.id] = subject.access_keys.last_use(key.id)\n"
                "    return replace(key, last_use=_USES[key.id])\n\n\n_USES = {}"
            ),
        ),
    ),
    _mistake(
        "let a new key wait for its turn beyond its deadline",
        "waves-end",
        (WAVES, "        pace = max(self.rollout.per_run, self.needed, level)", "        pace = self.rollout.per_run"),
        (WAVES, "            if place < quota or one.runs == 0 or", "            if place < quota or"),
        scene="a fleet that is too large for its waves",
    ),
    _mistake(
        "wait for no canary",
        "canaries-first",
        (WAVES, "            if _waits_for_canary(one, canaries):", "            if False:"),
        scene="a fleet that is too large for its waves",
    ),
    _mistake(
        "let each run of a day make as many new keys as a day may bring",
        "in-waves",
        (
            "executor/waves.py",
            "made_today=sum(_is_made_today(preview, now) for preview in previews) if waves.limit is None else 0",
            "made_today=0",
        ),
        scene="a small fleet is due",
    ),
)
