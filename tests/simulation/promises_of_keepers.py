"""
Two configurations, each with another secret, for one IAM user: one of them keeps the user's keys (promise hands-off).

Which one that is says the user's own tag. A run that was told that another secret keeps the keys makes none, and ends
none; and no run ends a key that only another secret names. What a person takes over between a run's question and its
call cannot be known, and is counted instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from record import Record

from keyrota.core.emergency import Revoke
from keyrota.core.model import AccessKeyId, UserName
from keyrota_sandbox.memory import Call
from keyrota_sandbox.simulation import RunInfo

_MAKES = "iam:CreateAccessKey"
_ENDS = ("iam:UpdateAccessKey", "iam:DeleteAccessKey")


@dataclass(slots=True)
class KeeperPromises:
    """Judges whose keys a run touches, where two configurations name one user."""

    record: Record
    told: dict[str, str] = field(default_factory=dict)
    """Which secret keeps the keys, as a run was told last; empty: none."""

    def hear(self, call: Call, answer: object) -> None:
        """Note what a run was told of the user's tag, or has set it to."""
        if call.name == "iam:ListUserTags" and isinstance(answer, str):
            self.told[call.by] = answer

    def look(self, call: Call, answer: object) -> None:
        """Judge one call."""
        run = self.record.history.runs[call.by]
        is_about_keys = call.name == _MAKES or (call.name in _ENDS and not call.about.endswith(" Active"))
        if not is_about_keys or isinstance(answer, Exception) or not self.record.history.setup.second:
            return
        user = run.users[0]
        if call.name == _MAKES:
            self._makes(call, run, user)
        else:
            self._ends(call, run, user, AccessKeyId(call.about.split()[0]))

    def _makes(self, call: Call, run: RunInfo, user: UserName) -> None:
        if self._is_told_of_another(call, run, user):
            self.record.breaks("hands-off", f"{call.by} makes a key of {user}, which {self.told[call.by]} keeps")

    def _ends(self, call: Call, run: RunInfo, user: UserName, key: AccessKeyId) -> None:
        is_own = self.record.history.world.makers.get(key) == call.by  # it drops what it could not store
        is_known = key in self.record.named(run.keepings[user].secret)
        if is_own or (isinstance(run.intent, Revoke) and is_known):
            return
        if self._is_told_of_another(call, run, user):
            self.record.breaks("hands-off", f"{call.by} ends {key} ({call.name}), and {self.told[call.by]} keeps it")
            return
        others = self.record.history.deployments.secrets_of(user) - {run.keepings[user].secret}
        where = next((name for name in sorted(others) if key in self.record.named(name)), None)
        if where is None or is_known:
            return
        if key in self.record.history.released:
            return  # the user was moved, and a person has said of a key that the first secret knew: nothing needs it
        taken = self.record.history.deployments.taken_over.get(user)
        if taken is not None and taken >= run.began:
            self.record.statistics["a user was taken over on the way from the question to the call"] += 1
            return
        self.record.breaks("hands-off", f"{call.by} ends {key} ({call.name}), which {where} keeps")

    def _is_told_of_another(self, call: Call, run: RunInfo, user: UserName) -> bool:
        mark, own = self.told.get(call.by, ""), run.keepings[user].secret.rpartition(":")[2]
        return bool(mark) and mark.rpartition(":")[2] != own
