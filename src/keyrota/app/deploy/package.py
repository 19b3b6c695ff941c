"""
The code package of the functions: one zip for all of them, the same bytes from the same sources.

Dependencies come as wheels, by the hashes of `requirements.txt` beside this file, for the functions' platform and
not for this machine's. Of botocore's models only the services that the functions call stay (9 of 400, 1.5 of 25 MB).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import keyrota
from keyrota.app.files import replace
from keyrota.errors import ProviderUnavailable, UsageError

PYTHON = "3.13"
"""The functions' runtime: python3.13."""
LOCK = Path(__file__).with_name("requirements.txt")
SERVICES = ("cloudtrail", "events", "iam", "s3", "secretsmanager", "sns", "ssm", "sts", "sso", "sso-oidc")
_DROPPED_FOLDERS = {"__pycache__", "tests", "test", "bin"}
_DROPPED_SUFFIXES = {".pyc", ".pyi", ".c", ".h", ".pxd"}
_DATE = (1980, 1, 1, 0, 0, 0)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Where the package is to run."""

    wheels: tuple[str, ...]
    """pip's names of the platform, the newest first; empty: this machine and this Python."""


LAMBDA = Platform(wheels=("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"))
"""arm64 on Amazon Linux 2023, whose glibc is 2.34."""
HERE = Platform(wheels=())
"""This machine: for tests, which cannot run arm64."""


def build(output: Path, platform: Platform = LAMBDA) -> str:
    """
    Write the zip.

    Args:
        output: The file; one that is there is replaced.
        platform: Where it is to run.

    Returns:
        The SHA-256 of its content, in hexadecimal digits.

    Raises:
        UsageError: There is no pip beside this Python.
        ProviderUnavailable: The wheels could not be had; nothing was written.
    """
    with tempfile.TemporaryDirectory(prefix="keyrota-") as name:
        folder = Path(name)
        _install(folder, platform)
        _copy_ourselves(folder)
        _trim(folder)
        packed = folder.parent / f"{folder.name}.zip"
        try:
            _zip(folder, packed)
            data = packed.read_bytes()
        finally:
            packed.unlink(missing_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    replace(output, data)
    return hashlib.sha256(data).hexdigest()


def _install(folder: Path, platform: Platform) -> None:
    if importlib.util.find_spec("pip") is None:
        raise UsageError(
            "there is no pip beside this Python, so the code package cannot be built",
            remedy="python -m ensurepip, or give a package that was built elsewhere with --package",
        )
    wanted = [word for wheels in platform.wheels for word in ("--platform", wheels)]
    if platform.wheels:
        wanted += ["--python-version", PYTHON, "--implementation", "cp"]
    # -I: neither the current folder nor PYTHONPATH or a user's site is looked at for modules, pip itself included.
    command = [sys.executable, "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--target", str(folder), "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(LOCK)]
    with tempfile.TemporaryDirectory(prefix="keyrota-pip-") as place:
        done = subprocess.run(  # noqa: S603  # our own arguments
            [*command, *wanted], check=False, capture_output=True, text=True, cwd=place, env=pip_environment(place)
        )
    if done.returncode:
        _log.debug("%s", done.stderr)
        last = [line for line in done.stderr.splitlines() if line.startswith("ERROR")][-1:]
        raise ProviderUnavailable(
            f"pip could not get the wheels of the code package: {' '.join(last)}",
            where=str(LOCK),
            remedy="look at your package index (pip config list), or give a package with --package",
        )


def pip_environment(temporary: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """
    Choose what pip is given of the environment: how to reach a package index, and no secret of AWS or of a provider.

    Args:
        temporary: A folder of its own.
        environment: What there is.
    """
    kept = {name: value for name, value in environment.items() if _FOR_PIP.fullmatch(name)}
    return {**kept, "PIP_NO_INPUT": "1", "TMPDIR": temporary, "TEMP": temporary, "TMP": temporary}


_FOR_PIP = re.compile(
    r"PATH|HOME|USERPROFILE|APPDATA|LOCALAPPDATA|SYSTEMROOT|LANG|LC_[A-Z]+|XDG_C(ONFIG|ACHE)_HOME|NETRC"
    r"|PIP_(INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|NO_INDEX|CERT|CLIENT_CERT|PROXY|CONFIG_FILE|CACHE_DIR|TRUSTED_HOST"
    r"|TIMEOUT|DEFAULT_TIMEOUT|RETRIES|KEYRING_PROVIDER|UPLOADED_PRIOR_TO)"
    r"|(HTTPS?|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE",
    re.IGNORECASE,
)
"""What pip reads for its index, its certificates and its proxy (pip user guide, configuration): nothing that makes it
run other code."""


def _copy_ourselves(folder: Path) -> None:
    """Copy keyrota itself, with the entry points by which targets are found."""
    source = Path(keyrota.__file__).parent
    shutil.copytree(source, folder / "keyrota", ignore=shutil.ignore_patterns("__pycache__"))
    info = folder / f"keyrota-{keyrota.__version__}.dist-info"
    info.mkdir()
    distribution = importlib.metadata.distribution("keyrota")
    for name in ("METADATA", "entry_points.txt"):
        info.joinpath(name).write_text(distribution.read_text(name) or "", "utf-8")


def _trim(folder: Path) -> None:
    data = folder / "botocore" / "data"
    for place in data.iterdir():
        if place.is_dir() and place.name not in SERVICES:
            shutil.rmtree(place)
    for place in sorted(folder.rglob("*"), reverse=True):
        if place.is_dir() and place.name in _DROPPED_FOLDERS and place.parent.name != "keyrota":
            shutil.rmtree(place)
        elif place.suffix in _DROPPED_SUFFIXES:
            place.unlink()


def _zip(folder: Path, output: Path) -> None:
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for place in _files(folder):
            info = zipfile.ZipInfo(place.relative_to(folder).as_posix(), _DATE)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(info, place.read_bytes())


def _files(folder: Path) -> Iterator[Path]:
    """List files in one order; pip's records of paths and times are no part of the code."""
    for place in sorted(folder.rglob("*"), key=lambda place: place.as_posix()):
        if place.is_file() and place.name not in {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}:
            yield place
