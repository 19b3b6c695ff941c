"""The code package, built once a run, whichever worker needs it first."""

from __future__ import annotations

import fcntl
import os
import zipfile
from pathlib import Path

import pytest

from keyrota.app.deploy.package import HERE, build


def the_package(factory: pytest.TempPathFactory) -> Path:
    """Give the zip as it is deployed, for this machine; it lies unpacked beside it, in `code`."""
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "package"
    folder.mkdir(exist_ok=True)
    file = folder / "keyrota.zip"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            build(folder / "unchecked.zip", HERE)
            zipfile.ZipFile(folder / "unchecked.zip").extractall(folder / "code")  # our own file
            (folder / "unchecked.zip").rename(file)
    return file
