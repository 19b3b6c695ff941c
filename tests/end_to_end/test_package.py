"""The wheel: what is in it, and that each of its modules can be imported alone."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as a release does."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """Types, licence, entry points; no tests, no documentation."""
    names = zipfile.ZipFile(wheel).namelist()
    assert "keyrota/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"keyrota"}
    points = next(name for name in names if name.endswith("entry_points.txt"))
    text = zipfile.ZipFile(wheel).read(points).decode()
    assert "keyrota = keyrota.app.cli:main" in text
    assert "bitbucket = keyrota.targets.bitbucket:KIND" in text


def test_each_module_of_the_wheel_imports_alone(wheel: Path, tmp_path: Path) -> None:
    """No module needs another to be imported first, and none needs the sandbox's extra at import."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    modules = [
        ".".join(path.relative_to(tmp_path).with_suffix("").parts).removesuffix(".__init__")
        for path in (tmp_path / "keyrota").rglob("*.py")
    ]
    code = """
import importlib, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"moto", "time_machine"}:
            raise ImportError(name)
sys.meta_path.insert(0, Missing())
for name in sys.argv[1:]:
    for loaded in [loaded for loaded in sys.modules if loaded.startswith("keyrota")]:
        del sys.modules[loaded]
    importlib.import_module(name)
print(len(sys.argv) - 1)
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, *modules], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(modules)


def test_help_is_quick_because_it_imports_little() -> None:
    """`keyrota --help` loads neither botocore nor jsonschema nor YAML."""
    code = "import sys; from keyrota.app.cli import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for heavy in ("botocore", "jsonschema", "yaml", "urllib3"):
        assert f"'{heavy}'" not in done.stderr
