"""The wheel: what is in it, and that each of its modules can be imported alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import keyrota
import keyrota_sandbox

ROOT = Path(__file__).parents[2]


def _built(source: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as a release does."""
    return _built(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sandbox_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sandbox's wheel."""
    return _built(ROOT / "sandbox", tmp_path_factory.mktemp("sandbox-wheel"))


def test_both_distributions_have_one_version() -> None:
    described = tomllib.loads((ROOT / "sandbox/pyproject.toml").read_text("utf-8"))["project"]
    assert keyrota_sandbox.__version__ == keyrota.__version__
    assert f"keyrota=={keyrota.__version__}" in described["dependencies"]


def test_the_sandbox_s_wheel_holds_its_package_and_its_entry_points(sandbox_wheel: Path) -> None:
    names = zipfile.ZipFile(sandbox_wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"keyrota_sandbox"}
    points = next(name for name in names if name.endswith("entry_points.txt"))
    text = zipfile.ZipFile(sandbox_wheel).read(points).decode()
    assert all(f"{name} = keyrota_sandbox.commands.{name}:command" in text for name in ("demo", "sandbox", "simulate"))


def _alone(wheel: Path, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line of a wheel that is installed without the sandbox beside it."""
    zipfile.ZipFile(wheel).extractall(folder)
    code = """
import importlib.metadata, sys
sys.path.insert(0, sys.argv.pop(1))
sys.meta_path.insert(0, type("No", (), {"find_spec": staticmethod(
    lambda name, *_: (_ for _ in ()).throw(ModuleNotFoundError(name)) if name == "keyrota_sandbox" else None)}))
every = importlib.metadata.distributions
importlib.metadata.distributions = lambda **of: (
    one for one in every(**of) if one.metadata["Name"] != "keyrota-sandbox")
from keyrota.app.cli import main
sys.exit(main())
"""
    command = [sys.executable, "-c", code, str(folder), *arguments]
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    return subprocess.run(command, capture_output=True, text=True, env=kept | environment, cwd=folder, check=False)


@pytest.mark.parametrize("command", ["demo", "sandbox", "simulate"])
def test_without_the_sandbox_its_commands_say_how_to_get_it(wheel: Path, tmp_path: Path, command: str) -> None:
    """They are listed all the same, and nothing else needs it."""
    done = _alone(wheel, tmp_path, command, "--help")
    assert done.returncode == 1
    assert f"`keyrota {command}` is part of the sandbox" in done.stderr
    assert 'pip install "keyrota[sandbox]"' in done.stderr
    listed = _alone(wheel, tmp_path, "--help")
    assert (listed.returncode, f"  {command} " in listed.stdout) == (0, True)
    assert _alone(wheel, tmp_path, "schema").returncode == 0


def test_without_the_sandbox_its_clock_is_refused(wheel: Path, tmp_path: Path) -> None:
    """Nothing is done at the real time that was meant for a sandbox."""
    tmp_path.joinpath("keyrota.yaml").write_text("credentials: [{user: ci, targets: []}]\n")
    sandbox = {"KEYROTA_SANDBOX": "http://127.0.0.1:1/c", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    done = _alone(wheel, tmp_path, "plan", **sandbox)
    assert done.returncode == 1
    assert "the sandbox is not installed here" in done.stderr


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
    """No module needs another to be imported first, and none needs the sandbox."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    modules = [
        ".".join(path.relative_to(tmp_path).with_suffix("").parts).removesuffix(".__init__")
        for path in (tmp_path / "keyrota").rglob("*.py")
    ]
    code = """
import importlib, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"keyrota_sandbox", "moto", "time_machine"}:
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
