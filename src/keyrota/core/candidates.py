"""Which key `revoke` and `rollback` mean, and which command leads out of a value that cannot be served."""

from __future__ import annotations

from datetime import datetime
from shlex import quote

from keyrota.core.lifecycle import JUST_NOW, KeyRing, KeyState, key_label
from keyrota.core.model import AccessKey, AccessKeyId, KeyStatus, key_token, make_restored_token
from keyrota.core.records import NEW_KEY


def current_key(view: KeyRing) -> AccessKeyId | None:
    """
    Find the key that `revoke` means when none is named.

    One whose revocation was begun and did not come to its end; else the one that targets hold, or the user's only one.
    """
    # Before the current key: run again after a failure, the same command must not revoke the key that has just replaced
    # the leaked one.
    begun = [key.id for key in view.keys if key.status is KeyStatus.ACTIVE and view.is_revoked(key.id)]
    if begun:
        return begun[0]
    if view.key_before_move is not None:
        return view.key_before_move
    if view.current_key is not None:
        return view.current_key
    held = view.key(key_label(view.recorded)) if view.recorded else None
    if held is not None and (held.status is KeyStatus.ACTIVE or view.is_foreign_version):
        return held.id  # AWSCURRENT was put there by someone else: what targets hold is what the record says
    revoked = [key.id for key in view.keys if view.is_revoked(key.id)]
    if view.is_foreign_version and revoked:
        return revoked[-1]
    only = [key for key in view.in_state(KeyState.ADOPTABLE, KeyState.FOREIGN) if key.status is KeyStatus.ACTIVE]
    # With two, a guess could end the one that pipelines use: the command asks for `--key`.
    return only[0].id if len(only) == 1 else None


def just_replaced(view: KeyRing, now: datetime) -> AccessKeyId | None:
    """
    Find the key that was revoked and replaced moments ago; None: none was.

    Who asks then for the key to be revoked, and names none, may mean that one: another run was quicker.
    """
    current = view.key(view.current_key)
    if current is None or current.status is not KeyStatus.ACTIVE or now - current.created > JUST_NOW:
        return None
    older = [key for key in view.keys if key.created < current.created and view.is_revoked(key.id)]
    return older[-1].id if older else None


def previous_key(view: KeyRing) -> AccessKeyId | None:
    """
    Find the key that `rollback` goes back to: the newest before the current that IAM and the secret still have.

    Never one that was revoked. One that was made after the current key only where AWSCURRENT was moved away from it to
    what cannot be served; otherwise the current key is what an earlier rollback went back to, and where its targets
    are not all written yet, that is what is to be finished.
    """
    candidates = view.in_state(KeyState.SUPERSEDED, KeyState.RETIRED)
    # Its pair must be in the secret: IAM shows a secret access key once, when the key is made.
    usable = [key for key in candidates if is_stored(view, key) and not view.is_revoked(key.id)]
    if view.key_before_move in {key.id for key in usable}:
        return view.key_before_move
    ours = [key for key in usable if not _is_successor(view, key)]
    # A rollback that was begun, and whose targets are not all written: asked for again, it is finished, and not undone.
    if not ours and usable and not view.is_synced():
        return view.current_key if _is_servable(view) else usable[-1].id
    if view.previous is not None:
        ours.sort(key=lambda key: view.version_of(key.id) is view.previous)
    if ours:
        return ours[-1].id
    off = [key for key in view.in_state(KeyState.CURRENT_OFF) if is_stored(view, key) and not view.is_revoked(key.id)]
    return off[0].id if off else None


def _is_servable(view: KeyRing) -> bool:
    """Return whether AWSCURRENT holds the pair of an Active key that was not revoked."""
    current = view.key(view.current_key)
    if current is None or current.status is not KeyStatus.ACTIVE:
        return False
    return view.is_stored and not view.is_revoked(current.id)


def _is_successor(view: KeyRing, key: AccessKey) -> bool:
    """
    Return whether a key was made to replace the current one.

    Its version's ID names its base; or the current version's ID says that a rollback went back from exactly that key.
    """
    version = view.version_of(key.id)
    if version is None:
        return False
    went_back = view.current_key is not None and view.current_id == make_restored_token(view.current_key, version.id)
    return went_back or version.id == key_token(key.id, view.current_id)


def is_stored(view: KeyRing, key: AccessKey) -> bool:
    """Return whether a version of the secret holds the pair of a key."""
    version = view.version_of(key.id)
    return version is not None and view.holds_secret(version)


def list_kept_keys(view: KeyRing, now: datetime) -> tuple[AccessKeyId, ...]:
    """Name the keys that a version of the secret stands for and that the user has, or may have."""
    named = (key_label(version) for version in view.versions)
    return tuple(key for key in named if key and (view.key(key) or not is_gone(view, key, now)))


def is_gone(view: KeyRing, key: AccessKeyId, now: datetime) -> bool:
    """Return whether a key that IAM does not list is deleted: IAM had the time to list it, as every target held it."""
    return view.find_wait_end(key, now) is None or view.is_long_served(key, now)


def way_out(view: KeyRing, now: datetime) -> str:
    """
    Name the command that brings a credential back to a key that works, where AWSCURRENT holds what cannot be served.

    A value that stands where no key of keyrota's ever was may be needed by someone: only a person can tell.
    """
    name, back, key = view.observation.name, previous_key(view), current_key(view)
    if back is not None:
        return f"keyrota rollback {name} makes {back} current again"
    if key is not None and (view.version_of(key) is not None or key == view.current_key):
        return f"keyrota revoke {name} makes a new key and brings it to every target"
    if view.chosen == NEW_KEY and not view.is_foreign_version:
        return f"keyrota apply {name} makes the key that was asked for"
    if not view.is_foreign_version and all(known.status is KeyStatus.INACTIVE for known in view.keys):
        return f"keyrota adopt {name} --new-key lets the next run make a key"
    secret = view.observation.secret
    if secret is None or not view.is_foreign_version or list_kept_keys(view, now):
        return ""
    return (
        "if nothing needs the value, empty it: aws secretsmanager put-secret-value "
        f"--secret-id {quote(secret.name)} --secret-string '{{}}'"
    )
