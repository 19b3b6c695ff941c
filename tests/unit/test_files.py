"""Files as keyrota reads and writes them: nobody else's through a link, nothing without end, readable by the owner."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from keyrota.app.cli import main
from keyrota.app.config import load
from keyrota.app.discovery import Scan, sort
from keyrota.app.files import Unreadable, create, read_bounded, replace
from keyrota.core.model import AccessKeyId, FoundKey
from keyrota.errors import ConfigError, UsageError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_what_is_written_is_the_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create(tmp_path / "a", b"x")
        replace(tmp_path / "b", b"x")
        (tmp_path / "c").write_bytes(b"old")
        replace(tmp_path / "c", b"x")
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in "abc"] == [0o600] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


@pytest.mark.parametrize("is_dangling", [True, False])
def test_nothing_is_written_through_a_link(tmp_path: Path, is_dangling: bool) -> None:
    other, link = tmp_path / "other", tmp_path / "link"
    if not is_dangling:
        other.write_bytes(b"theirs")
    link.symlink_to(other)
    with pytest.raises(FileExistsError):
        create(link, b"x")
    replace(link, b"x")
    assert not link.is_symlink()
    assert other.exists() is not is_dangling
    assert is_dangling or other.read_bytes() == b"theirs"


def test_a_device_a_pipe_and_a_folder_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "pipe", tmp_path / "folder", Path("/dev/null")):
        with pytest.raises(UsageError, match="not a regular file"):
            replace(path, b"x")


def test_only_regular_files_within_a_bound_are_read(tmp_path: Path) -> None:
    """A pipe that nobody writes to would be waited for, and /dev/zero has no end."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_bounded(tmp_path / "link", 5) == b"12345"
    for path, words in (
        (tmp_path / "pipe", "a pipe"),
        (tmp_path, "a folder"),
        (Path("/dev/zero"), "a device"),
    ):
        with pytest.raises(Unreadable, match=words):
            read_bounded(path, 5)
        with pytest.raises(ConfigError, match=words):
            load(path)
    with pytest.raises(Unreadable, match="too large"):
        read_bounded(tmp_path / "file", 4)
    with pytest.raises(Unreadable, match="cannot be read"):
        read_bounded(tmp_path / "link", 5, follows_links=False)
    with pytest.raises(FileNotFoundError):
        read_bounded(tmp_path / "none", 5)


def test_a_survey_is_neither_read_nor_written_through_a_link(tmp_path: Path) -> None:
    """`found.yaml.partial`, in a folder that others may write to."""
    theirs, partial = tmp_path / "theirs", tmp_path / "found.yaml.partial"
    Scan(provider="github", scope="acme", done=["planted"]).save(theirs)
    before = theirs.read_bytes()
    partial.symlink_to(theirs)
    assert Scan.resume(partial, "github", "acme").done == []
    Scan(provider="github", scope="acme").save(partial)
    assert theirs.read_bytes() == before
    assert not partial.is_symlink()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_survey_that_others_may_have_written_is_not_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int
) -> None:
    """A place that they add would be a target in the configuration, and get the key."""
    partial = tmp_path / "found.yaml.partial"
    Scan(provider="github", scope="acme", done=["planted"]).save(partial)
    assert Scan.resume(partial, "github", "acme").done == ["planted"]
    partial.chmod(mode)
    assert Scan.resume(partial, "github", "acme").done == []
    code = main(["discover", "--provider", "github", "--org", "acme", "--output", str(tmp_path / "found.yaml")])
    assert (code, "others may have written" in capsys.readouterr().err) == (1, True)


def test_a_survey_of_another_user_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = tmp_path / "found.yaml.partial"
    Scan(provider="github", scope="acme", done=["planted"]).save(partial)
    monkeypatch.setattr(os, "geteuid", lambda: partial.stat().st_uid + 1)
    assert Scan.resume(partial, "github", "acme").done == []


def test_a_name_that_no_configuration_may_hold_is_told_beside_it() -> None:
    """An environment named `..` would make the whole file unreadable."""
    key = AccessKeyId("AKIAIOSFODNN7EXAMPLE")
    places = [{"repository": "acme/shop", "environment": name} for name in ("production", "..", "a/../b", "a\nb")]
    found = tuple(FoundKey(place="x", settings=place, variable="AWS_ACCESS_KEY_ID", key=key) for place in places)
    known = sort(found, lambda _: "ci-deploy")
    assert [one.settings for one in known.certain["ci-deploy"]] == places[:1]
    assert [one.settings for _, one in known.elsewhere] == places[1:]


def test_discover_says_that_a_link_is_in_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs", "utf-8")
    (tmp_path / "found.yaml.partial").symlink_to(theirs)
    assert main(["discover", "--provider", "github", "--output", str(tmp_path / "found.yaml")]) == 1
    assert "found.yaml.partial is a link" in capsys.readouterr().err
    assert theirs.read_text("utf-8") == "theirs"
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "nowhere")
    assert main(["discover", "--provider", "github", "--output", str(tmp_path / "dangling.yaml")]) == 1
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\n# about acme-sandbox\n",
        "\n# Written by keyrota sandbox; the next one replaces it.\n",
        " # Written by keyrota sandbox; the next one replaces it.\n",
        "# Written by keyrota sandbox; the next one replaces it. Not any more\n",
        "",
    ],
)
def test_the_sandbox_replaces_its_own_files_only(tmp_path: Path, text: str) -> None:
    from keyrota_sandbox.commands.sandbox import _write  # noqa: PLC0415  # without starting one

    file = tmp_path / "keyrota.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(UsageError, match="not the sandbox's"):
        _write(file, "version: 1\n")
    assert file.read_text("utf-8") == text
    file.unlink()
    _write(file, "version: 1\n")
    _write(file, "version: 2\n")
    assert file.read_text("utf-8").endswith("version: 2\n")
    link = tmp_path / "sandbox.env"
    link.symlink_to(file)
    with pytest.raises(UsageError, match="not the sandbox's"):
        _write(link, "x")
