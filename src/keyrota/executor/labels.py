"""Staging labels of a secret's versions, as a run reads and takes them off."""

from __future__ import annotations

from keyrota.core.model import AWSCURRENT, VersionId
from keyrota.errors import LostRace
from keyrota.executor.subject import CredentialContext


def find_current(subject: CredentialContext) -> VersionId:
    """Return the version with AWSCURRENT; raises LostRace where someone has taken it off."""
    version = find_labelled(subject, AWSCURRENT)
    if version is None:
        raise LostRace(f"the secret {subject.secret_name} has no AWSCURRENT version")
    return version


def find_labelled(subject: CredentialContext, label: str) -> VersionId | None:
    """Ask which version a label is on; None: on none."""
    state = subject.store.describe(subject.secret_name)
    versions = state.versions if state else ()
    return next((version.id for version in versions if label in version.labels), None)


def take_off(subject: CredentialContext, label: str, version: VersionId) -> None:
    """Take a label off a version; one that is not there any more is success."""
    try:
        subject.store.move_label(subject.secret_name, label, to=None, remove_from=version)
    except LostRace:
        return  # someone took it off, or moved it on, before us: that is what we wanted
