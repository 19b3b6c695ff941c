"""Secret values that the configuration refers to, and never holds."""

from __future__ import annotations

import logging
import os
import re
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from keyrota.app.config.trust import NOTHING_KEPT, leads_to_credentials, reference_fault, refuse_own_credentials
from keyrota.app.files import Unreadable, read_bounded
from keyrota.core.secret import Secret
from keyrota.errors import NO_TOKEN, ConfigError, Fault, KeyrotaError, ProviderRefused
from keyrota.http.own_secrets import note

_REFERENCE = re.compile(r"(?P<kind>env|file|secretsmanager|ssm):(?P<rest>\S(?:.*\S)?)")
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[A-Za-z0-9+/=\s\\]+-----END [A-Z ]*PRIVATE KEY-----")
"""A private key may have several lines (or `\\n` for each, as some variables hold it)."""
_KEY_ID = re.compile(r"(?<![A-Z0-9])A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Z0-9])")
"""An access key ID, long-term or temporary (IAM user guide, unique identifiers): whatever holds one is not a token."""
_MAX_BYTES = 64 * 1024
"""A private key has 3 KB, a JSON Web Token up to 16 KB; Secrets Manager takes 64 KB."""
_log = logging.getLogger(__name__)


def is_reference(text: str) -> bool:
    """Return whether a text is a reference and not a value."""
    return _REFERENCE.fullmatch(text) is not None


class References:
    """Resolves each reference once, when its value is first needed."""

    def __init__(
        self, remote: Mapping[str, Callable[[str], Secret]], environment: Mapping[str, str] = os.environ
    ) -> None:
        self._remote = remote
        self._environment = environment
        self._known: dict[str, Secret] = {}
        self.refusals: dict[str, KeyrotaError] = {}
        """By reference: why there is no value, or none that is a token; each is asked for once in a run."""
        self._lock = threading.Lock()

    def __call__(self, reference: str) -> Secret:
        """
        Return the value.

        Raises:
            ConfigError: A variable or file is not there, or is empty.
            ProviderRefused, ProviderUnavailable: AWS does not give it.
        """
        with self._lock:
            if reference in self.refusals:
                raise self.refusals[reference]
            if reference not in self._known:
                try:
                    self._known[reference] = self._resolve(reference)
                # ProviderUnavailable is not kept: what did not answer may answer the next target.
                except (ConfigError, ProviderRefused) as error:
                    self.refusals[reference] = _name_reference(reference, error)
                    raise self.refusals[reference] from None
            return self._known[reference]

    def _resolve(self, reference: str) -> Secret:
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise RuntimeError("a literal value passed for a reference")
        # Once more, although the configuration was checked: settings also come from tags of a secret (`Wiring.reach`),
        # which other people may write.
        refused = reference_fault(reference, NOTHING_KEPT)
        if refused is not None:
            raise _make_missing(reference, refused, "refer to the provider's token")
        kind, rest = match["kind"], match["rest"]
        if kind == "env":
            return self._from_environment(rest)
        if kind == "file":
            return _from_file(rest)
        return _token(self._remote[kind](rest), reference)

    def _from_environment(self, name: str) -> Secret:
        if not self._environment.get(name):
            raise _make_missing(f"env:{name}", "the environment variable is not set", f"export {name}=…")
        return _token(Secret(self._environment[name]), f"env:{name}")


def _name_reference(reference: str, error: ConfigError | ProviderRefused) -> KeyrotaError:
    """Name the reference: what was found behind it does not say which line of the configuration asked for it."""
    what = f"{NO_TOKEN} {reference} cannot be resolved: {error.what}"
    if isinstance(error, ConfigError):
        told = error.what if reference in error.what else what
        return ConfigError([Fault(where=reference, what=told, remedy=error.remedy)])
    service = "the secret" if reference.startswith("secretsmanager:") else "the parameter"
    remedy = f"create {service} in the account and region that keyrota runs in, or correct the reference"
    return type(error)(what, where=reference, remedy=error.remedy or remedy)


def _from_file(name: str) -> Secret:
    where = f"file:{name}"
    try:
        path = Path(name).expanduser().resolve()
        # After the links are resolved: a link that was put there after the configuration was read leads elsewhere.
        if leads_to_credentials(path):
            raise _make_missing(where, "it leads to AWS credentials or to this machine's own state", "correct the path")
        secret = Secret(read_bounded(path, _MAX_BYTES).decode("utf-8-sig"))
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            _log.warning("%s can be read by others; chmod 600 makes it yours alone", path)
    except Unreadable as error:
        raise _make_missing(where, error.what, "correct the path") from None
    except OSError as error:
        raise _make_missing(where, f"it cannot be read: {error.strerror}", "correct the path") from None
    except UnicodeDecodeError:
        raise _make_missing(where, "it is not UTF-8", "store the token as text") from None
    except (RuntimeError, ValueError):
        raise _make_missing(where, "it is no path", "correct the path") from None
    return _token(secret, where)


def _token(secret: Secret, where: str) -> Secret:
    """Take the white space off both ends; a token has none within."""
    stripped = Secret(secret.reveal().strip())
    if not stripped:
        raise _make_missing(where, "it is empty", "store the token in it")
    if _KEY_ID.search(stripped.reveal()):
        raise _make_missing(where, "it holds an AWS access key, not a token", "refer to the provider's token")
    # Before anything can raise: from here on no text shows it.
    note(stripped)
    refuse_own_credentials(stripped, where)
    if _PEM.fullmatch(stripped.reveal()):
        return stripped
    if any(char.isspace() or not char.isprintable() or not char.isascii() for char in stripped.reveal()):
        raise _make_missing(where, "it holds white space, several lines or letters that no token has", "store it alone")
    return stripped


def _make_missing(where: str, what: str, remedy: str) -> KeyrotaError:
    return ConfigError([Fault(where=where, what=what, remedy=remedy)])
