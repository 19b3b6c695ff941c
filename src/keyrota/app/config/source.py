"""Where a configuration lies: in a file, in a parameter of SSM, or in an object of S3."""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path

from keyrota import __version__
from keyrota.app.config.load import load_expanded, load_text_expanded
from keyrota.app.config.model import Configuration
from keyrota.app.config.tree import Expanded
from keyrota.errors import ConfigError, Fault

_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>.+)")
_SSM = re.compile(r"ssm:(?P<name>[A-Za-z0-9_.:/-]*[A-Za-z0-9_.-])")
"""A name, or an ARN, perhaps with a version or a label (Systems Manager, "Parameter names")."""
_WRITTEN_BY = re.compile(r"# written by keyrota (?P<version>[0-9]+\.[0-9]+\.[0-9]+)")
_MAX_SIZE = 16 * 1024 * 1024


def load_from(reference: str | Path, *, sha256: str = "") -> Configuration:
    """
    Read and check a configuration.

    Args:
        reference: A path, `ssm:NAME`, or `s3://BUCKET/KEY`; the latter two with the caller's own AWS credentials.
        sha256: The fingerprint that its text must have; empty: any.

    Raises:
        ConfigError: With every fault that was found; where a newer keyrota wrote it; or it has another fingerprint.
        ProviderRefused, ProviderUnavailable: AWS does not give it.
    """
    return load_expanded_from(reference, sha256=sha256)[0]


def load_expanded_from(reference: str | Path, *, sha256: str = "") -> tuple[Configuration, Expanded]:
    """
    Read and check a configuration, and return also what it stands for, with the place of each value.

    Raises:
        ConfigError, ProviderRefused, ProviderUnavailable: As for `load_from`.
    """
    name = str(reference)
    if name.startswith(("ssm:", "s3:")):
        text = read_reference_text(name)
        _refuse_changed(text, name, sha256)
        return _check(text, name)
    return load_expanded(Path(reference))


def fingerprint(text: str) -> str:
    """Return the SHA-256 of a configuration's text, in hexadecimal digits: what `keyrota deploy` pins."""
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse_changed(text: str, name: str, sha256: str) -> None:
    # Whoever may write the parameter could otherwise send tokens and keys to another place than the one that was
    # deployed (decision 0038).
    if sha256 and not hmac.compare_digest(fingerprint(text), sha256):
        fault = Fault(
            where=name,
            what="this configuration is not the one that was deployed: it was changed where it is stored",
            remedy="look at the change, and run `keyrota deploy` with the file that you want; "
            "`keyrota deploy --config-unpinned` lets functions take changes without it",
        )
        raise ConfigError([fault])


def read_reference_text(name: str) -> str:
    """
    Read the text behind `ssm:NAME` or `s3://BUCKET/KEY`.

    Raises:
        ConfigError: It has neither of these forms; AWS is not asked.
        ProviderRefused, ProviderUnavailable: AWS does not give it.
    """
    s3, ssm = _S3.fullmatch(name), _SSM.fullmatch(name)
    if s3 is not None:
        return _object(s3["bucket"], s3["key"], name)
    if ssm is not None:
        return _parameter(ssm["name"])
    what = "this names no parameter and no object"
    raise ConfigError([Fault(where=name, what=what, remedy="write ssm:NAME or s3://BUCKET/KEY, or a path (./ssm:…)")])


def stamp_version(text: str) -> str:
    """Note on top of a configuration which version of keyrota stored it."""
    return f"# written by keyrota {__version__}\n{without_stamp(text)}"


def without_stamp(text: str) -> str:
    """Take that note off again."""
    return text.split("\n", 1)[1] if _WRITTEN_BY.match(text) and "\n" in text else text


def _check(text: str, name: str) -> tuple[Configuration, Expanded]:
    try:
        return load_text_expanded(name, text)
    except ConfigError as error:
        writer = _WRITTEN_BY.match(text)
        # Only where the file cannot be read: a newer version that writes what this one knows is no fault.
        if writer is None or _order(writer["version"]) <= _order(__version__):
            raise
        newer = Fault(
            where=name,
            what=f"keyrota {writer['version']} wrote it, and this is keyrota {__version__}",
            remedy="deploy the newer code (keyrota deploy), or store the configuration with this version",
        )
        raise ConfigError([newer, *error.faults]) from None


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _parameter(name: str) -> str:
    from keyrota.aws.account import Account  # noqa: PLC0415  # botocore is imported only when it is needed
    from keyrota.aws.secretsmanager import read_parameter  # noqa: PLC0415

    return read_parameter(Account(), name).reveal()


def _object(bucket: str, key: str, name: str) -> str:
    from keyrota.aws.account import Account  # noqa: PLC0415  # botocore is imported only when it is needed
    from keyrota.aws.objects import read_object  # noqa: PLC0415

    data = read_object(Account(), bucket, key, at_most=_MAX_SIZE)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError([Fault(where=name, what="it is not UTF-8", remedy="save it as UTF-8")]) from None
