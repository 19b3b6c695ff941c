"""Two deployments, each with its own secret and pipeline, for one IAM user: the real executor, run by run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from checkers import A_DAY
from rig import SECRET, SHOP, USER, Rig, a_rig

from keyrota.core.adoption import Adoption
from keyrota.core.model import SECRET_TAG, VersionId
from keyrota.core.outcome import Outcome
from keyrota.core.plan import Duty
from keyrota.core.planner import Intent, Only
from keyrota.errors import ProviderRefused
from keyrota.executor import CredentialContext, Settings, apply_all, plan_all
from keyrota.executor.native import Step, rotate
from keyrota_sandbox.memory import World

WEB = "github acme/web"
OTHER = "ci/second"
FIRST_MARK, SECOND_MARK = f":{SECRET}", f":{OTHER}"


def second(rig: Rig) -> CredentialContext:
    """The same user, as the second deployment configures it."""
    return replace(rig.subject_of(USER, OTHER, [WEB]), is_secret_named=True)


def run(rig: Rig, subject: CredentialContext, intent: Intent | None = None) -> Outcome:
    rig.runs += 1
    settings = Settings(clock=rig.world.clock, run=f"run-{rig.runs}")
    (outcome,) = apply_all(plan_all([subject], settings, intent=intent))
    return outcome


def said(outcome: Outcome) -> str:
    holds = [hold.reason for hold in outcome.plan.holds] if outcome.plan else []
    notices = [notice.reason for notice in outcome.plan.notices] if outcome.plan else []
    return " ".join([*holds, *notices, *(str(error) for error in outcome.errors)])


def mark(rig: Rig) -> str:
    return rig.world.user_tags.get(USER, {}).get(SECRET_TAG, "")


def test_a_second_deployment_ends_no_key_of_the_first_one() -> None:
    """It comes when only the key that the first one serves is left, and its pipeline runs rarely."""
    rig = a_rig()
    for _ in range(30):
        rig.day()
    assert len(rig.world.users[USER]) == 1
    words = both(rig, 200)
    assert rig.world.deploy(SHOP)
    assert rig.watch.broken == []
    assert OTHER not in rig.world.secrets
    assert f"the secret {FIRST_MARK} keeps the keys of {USER}" in words
    assert mark(rig) == FIRST_MARK


def both(rig: Rig, days: int, *, is_untagged: bool = False) -> str:
    """Let both run each day, the second one first; return what that said."""
    words = ""
    for _ in range(days):
        if is_untagged:
            rig.world.user_tags.clear()
        words += said(run(rig, second(rig)))
        rig.run()
        rig.world.clock.travel(A_DAY)
    return words


def test_without_the_tag_it_did() -> None:
    """The same two deployments, and something that removes the tag each day: the world can show the harm."""
    rig = a_rig()
    for _ in range(30):
        rig.day()
    both(rig, 100, is_untagged=True)
    assert not rig.world.deploy(SHOP)
    assert "served-key-lives" in str(rig.watch.broken)


def test_a_quiet_run_asks_nothing() -> None:
    """ListUserTags is called where something is due, and not in the daily run of a credential that is quiet."""
    rig = a_rig()
    rig.day()
    rig.world.journal.clear()
    for _ in range(8):
        rig.day()
    assert not [name for name in rig.world.journal if "UserTag" in name or name == "iam:TagUser"]
    rig.world.journal.clear()
    for _ in range(12):
        rig.day()
    asked = rig.world.journal.count("iam:ListUserTags")
    ended = rig.world.journal.count("iam:UpdateAccessKey") + rig.world.journal.count("iam:DeleteAccessKey")
    assert (asked, ended) == (2, 2), "one question a run in which a key ends"


def test_the_user_is_marked_before_anything_else_is_written() -> None:
    rig = a_rig()
    rig.run()
    writes = [name for name in rig.world.journal if not name.startswith(("target:", "sts:")) and not _reads(name)]
    assert writes[0] == "iam:TagUser"
    assert rig.world.journal.count("iam:TagUser") == 1
    assert mark(rig) == FIRST_MARK


def _reads(name: str) -> bool:
    return name.partition(":")[2].startswith(("List", "Get", "Describe"))


def test_of_two_that_mark_at_once_one_goes_on() -> None:
    """The last one wins, and the other one sees it when it reads its mark back: before it writes anything more."""
    rig = a_rig()

    def also(name: str, world: World) -> None:
        if name == "iam:TagUser":
            world.user_tags[USER][SECRET_TAG] = SECOND_MARK

    rig.world.after = also
    outcome = rig.run()
    assert SECRET not in rig.world.secrets
    assert "iam:CreateAccessKey" not in rig.world.journal
    assert f"the secret {SECOND_MARK} keeps the keys" in said(outcome)
    assert outcome.errors == ()


def test_a_mark_that_iam_does_not_show_yet_counts() -> None:
    """IAM is eventually consistent; the next question is asked before a key is deactivated."""
    rig = a_rig()
    kept: dict[str, str] = {}

    def hide(name: str, world: World) -> None:
        if name == "iam:TagUser":
            kept.update(world.user_tags[USER])
            world.user_tags[USER].clear()

    rig.world.after = hide
    outcome = rig.run()
    assert outcome.errors == ()
    assert "iam:CreateAccessKey" in rig.world.journal
    assert kept == {SECRET_TAG: FIRST_MARK}
    assert rig.world.journal.count("iam:TagUser") == 1


def refusing(*names: str) -> Callable[[str, World], None]:
    def refuse(name: str, _: World) -> None:
        if name in names:
            raise ProviderRefused(f"{name} is not allowed")

    return refuse


def test_without_the_permission_to_tag_it_rotates_and_says_so() -> None:
    rig = a_rig()
    rig.world.before = refusing("iam:TagUser")
    outcome = rig.run()
    assert outcome.errors == ()
    assert "could not be given the tag keyrota:secret" in said(outcome)
    assert rig.world.deploy(SHOP)
    assert "iam:CreateAccessKey" in rig.world.journal


def test_without_the_permission_to_read_tags_a_known_credential_rotates_and_ends_no_key() -> None:
    rig = a_rig()
    rig.run()
    rig.world.before = refusing("iam:ListUserTags")
    for _ in range(40):
        outcome = rig.day()
    assert [key.status.value for key in rig.world.users[USER].values()] == ["Active", "Active"]
    assert "is not known: iam:ListUserTags is not allowed" in said(outcome)
    assert rig.deployments_failed == []


@pytest.mark.parametrize("duty", list(Duty))
def test_no_function_of_the_second_deployment_writes(duty: Duty) -> None:
    """Also where someone put the very key that the first one serves into the second one's secret."""
    rig = a_rig()
    rig.day()
    for _ in range(25):
        rig.day()
    pair = rig.world.places[SHOP].pair
    rig.world.person_puts(OTHER, pair)
    rig.world.journal.clear()
    outcome = run(rig, second(rig), Only(duty=duty))
    assert [
        name for name in rig.world.journal if name.startswith(("iam:", "secretsmanager:")) and not _reads(name)
    ] == []
    assert rig.world.places[WEB].pair is None
    if duty in {Duty.ROTATE, Duty.SYNC}:
        assert "keeps the keys of" in said(outcome)


def test_secrets_manager_s_own_rotation_of_a_second_secret_makes_no_key() -> None:
    rig = a_rig()
    rig.run()
    rig.world.person_puts(OTHER, rig.world.places[SHOP].pair, labels=("AWSCURRENT", rig.world.places[SHOP].pair.id))  # type: ignore[union-attr]
    token = rig.world.begin_rotation(OTHER, "a" * 36)
    settings = Settings(clock=rig.world.clock, run="native")
    with pytest.raises(ProviderRefused, match="keeps the keys of"):
        rotate(second(rig), settings, Step.CREATE, VersionId(token))


def test_a_person_takes_the_user_over_and_back() -> None:
    rig = a_rig()
    for _ in range(30):
        rig.day()
    outcome = run(rig, second(rig), Adoption(takes_over=True))
    assert outcome.errors == ()
    assert mark(rig) == SECOND_MARK
    rig.world.clock.travel(A_DAY * 80)
    assert f"the secret {SECOND_MARK} keeps the keys" in said(rig.run())
    assert rig.world.journal.count("iam:CreateAccessKey") == 1
    rig.run(Adoption(takes_over=True))
    assert mark(rig) == FIRST_MARK
    rig.run()
    assert rig.world.journal.count("iam:CreateAccessKey") == 2
    assert rig.world.deploy(SHOP)
