"""Whatever `keyrota.yaml` holds: a configuration, or its faults with their places; no traceback, no hang, no leak."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzz_rig import ANYTHING, CANARY, HOSTILE, TEXTS, bent, conforming, examples, is_clean, places, replaced
from hypothesis import assume, given
from hypothesis import strategies as st

from keyrota.app.cli import main
from keyrota.app.clock import SystemClock
from keyrota.app.config import Configuration, load, load_text, schema
from keyrota.errors import ConfigError
from keyrota.targets import kinds

SECONDS = 20.0
"""Of the processor, so that a busy machine counts for nothing: one file takes about one, the rest is for a slow one."""
VALID = conforming(schema())


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that each example writes anew."""
    return tmp_path_factory.mktemp("fuzz") / "keyrota.yaml"


@pytest.fixture(scope="module")
def _no_network() -> Iterator[None]:
    """No credentials, no connection, and no waiting for one."""

    def refused(*_: Any) -> None:
        raise ConnectionRefusedError

    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", "/dev/null")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        patch.setattr(socket.socket, "connect", refused)
        patch.setattr(SystemClock, "sleep", lambda *_: None)
        yield


def read(file: Path, data: bytes) -> Configuration | ConfigError:
    """Load a file; its refusal is a value."""
    file.write_bytes(data)
    began = time.process_time()
    found: Configuration | ConfigError
    try:
        found = load(file)
    except ConfigError as error:
        found = error
    assert time.process_time() - began < SECONDS
    if isinstance(found, ConfigError):
        assert found.faults
        assert all(fault.where.startswith(str(file)) and fault.what for fault in found.faults)
    return found


def run(file: Path, *arguments: str) -> tuple[int, str, str]:
    """Run a command as typed; nothing of it may look like a crash, or move a terminal's cursor."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["--config", str(file), *arguments])
    told = out.getvalue() + err.getvalue()
    assert "Traceback" not in told
    assert "this is a bug" not in told
    assert is_clean(told)
    return code, out.getvalue(), err.getvalue()


def refused(file: Path, data: bytes) -> None:
    """Load a file that may be anything; the command line says the same of it as the loader."""
    found = read(file, data)
    if not isinstance(found, ConfigError):
        return
    code, out, err = run(file, "plan")
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {file}")


# --- arbitrary ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_no_network")
@examples(40)
@given(data=st.binary(max_size=200) | st.text(max_size=120).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_configuration_or_faults(file: Path, data: bytes) -> None:
    refused(file, data)


@examples(60)
@given(text=TEXTS | st.text(st.characters(), max_size=60))
def test_any_text_of_a_parameter_is_a_configuration_or_faults(text: str) -> None:
    """What does not lie in a file came out of JSON, and may hold half a surrogate pair."""
    with pytest.raises(ConfigError):
        load_text("ssm:/keyrota", text)


# --- shaped like YAML -----------------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.sampled_from([text for text in HOSTILE if text.isprintable()]),
    st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=12),
    st.sampled_from(
        [
            *("!!int", "!!float", "!!bool", "!!null", "!!binary", "!!timestamp", "!!omap [a]", "!!set {a}", "!!pairs"),
            *('!!int ""', '!!float "."', '!!int "-"', "!!int 0b", "!!int 0x", "!!float -", "!!bool maybe"),
            *("!!python/object/apply:os.system ['true']", "!!python/name:os.system", "!custom {a: 1}", "!<tag:x> y"),
            *("2026-01-01", "2026-01-01T00:00:00Z", "9999-99-99", "190:20:30", "0o17", "017", "1_000", "+.inf", ".NaN"),
            *("1:" * 400 + "1.5", "1:" * 3000 + "1", "9" * 4400, "0x" + "f" * 3000, "1e400", "-.inf", "0b" + "1" * 900),
            *("<<: *a", "*a", "&a x", "&a", "- - -", "? x", "? [a, b]", "|", ">", "|2-", "%YAML 9.9", "---", "..."),
            *("@x", "`x`", "'", '"', '"\\x1b[31m"', '"\\u202e"', '"\\0"', '"\\ud800"', "#", "{", "}", "[", "]", "\t"),
        ]
    ),
)
KEYS = st.sampled_from(["version", "credentials", "user", "policy", "providers", "targets", "<<", "a", "a", "rollout"])


@st.composite
def nonsense(draw: st.DrawFn) -> bytes:
    """Lines that look like YAML: indents, keys, anchors, tags, documents, in any order."""
    lines = []
    for _ in range(draw(st.integers(1, 10))):
        indent = draw(st.sampled_from(["", "", "  ", "    ", "\t", "- ", "  - ", "  - - "]))
        key = draw(st.sampled_from(["", "{}: ", "{}: &a ", "? {}\n: ", "{}: !!int ", '"{}": ', "*a : ", "!!str {}: "]))
        lines.append(indent + key.format(draw(KEYS)) + draw(SCALARS))
    text = draw(st.sampled_from(["\n", "\n", "\r\n", "\n\n", "\r"])).join(lines)
    before = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"version: 1\n", b"\xc3\x28"]))
    return before + text.encode(draw(st.sampled_from(["utf-8"] * 4 + ["utf-16"])), "surrogatepass")


@pytest.mark.usefixtures("_no_network")
@examples(100)
@given(data=nonsense())
def test_nonsense_is_refused_with_its_place(file: Path, data: bytes) -> None:
    refused(file, data)


LAUGHS = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
ENTRY = "{" + ", ".join(f"x{n}: 1" for n in range(300)) + "}"
HEAD = "version: 1\ncredentials:\n"
LARGE = {
    "brackets": "[" * 200_000,
    "braces": "{a: " * 100_000,
    "dashes": "- " * 100_000 + "x",
    "indents": "".join(" " * n + "a:\n" for n in range(2000)),
    "laughs": f"a0: &a0 [x]\n{LAUGHS}\n",
    "an alias of faults": f"{HEAD} - &a {ENTRY}\n" + " - *a\n" * 600,
    "an alias of itself": "&a [*a]",
    "a mapping of itself": "&a {*a : *a}",
    "many unknown keys": f"{HEAD} - user: x\n" + "".join(f"   x{n}: 1\n" for n in range(20_000)),
    "the same key": "x: 1\n" * 20_000,
    "too many keys": "".join(f"x{n}: 1\n" for n in range(600_000)),
    "anchors": "".join(f"a{n}: &a{n} x\n" for n in range(10_000)),
    "a long text": f'{HEAD} - user: "{"a" * 4_000_000}"\n',
    "a long text for a pattern": f'{HEAD} - {{user: a, role: "{"a" * 4_000_000}!"}}\n',
    "a long key": f'? "{"a" * 4_000_000}"\n: 1\n',
    "a number to base 60": "version: " + "1:" * 1_000_000 + "1\n",
    "a fraction to base 60": "version: " + "1:" * 400 + "1.5\n",
    "an empty number": 'version: !!int ""\n',
    "an empty fraction": 'version: !!float ""\n',
    "a sign for a number": 'version: !!int "-"\n',
    "a large number": "version: 0x" + "f" * 4_000_000 + "\n",
    "documents": "--- x\n" * 100_000,
    "tabs": "\t" * 2_000_000,
    "comments": "# x\n" * 1_000_000,
}
"""Small causes of much work; LibYAML's composer ended the whole process on the first three."""


@pytest.mark.usefixtures("_no_network")
@pytest.mark.parametrize("name", LARGE)
def test_a_file_that_costs_much_is_refused_in_time(file: Path, name: str) -> None:
    data = LARGE[name].encode()
    found = read(file, data)
    assert isinstance(found, ConfigError)
    assert len(found.faults) < 1000
    code, _, err = run(file, "plan")
    assert code == 1
    assert len(err) < 1_000_000


def test_a_parameter_with_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not allow"):
        load_text("ssm:/keyrota", "version: 1 # \ud800")


# --- valid, and bent in one or two places ---------------------------------------------------------------------------


def written(content: Any, *, is_flow: bool) -> bytes:
    """Write a document as YAML: JSON is YAML's flow style."""
    if is_flow:
        return json.dumps(content, ensure_ascii=True).encode()
    return yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "surrogatepass")


@pytest.mark.usefixtures("_no_network")
@examples(30)
@given(content=VALID, is_flow=st.booleans(), command=st.sampled_from(["plan", "check", "status"]))
def test_what_fits_the_schema_is_read_or_told(file: Path, content: Any, is_flow: bool, command: str) -> None:
    """Where nothing answers, each command says so, and ends."""
    read(file, written(content, is_flow=is_flow))
    code, out, err = run(file, command)
    assert code == 1
    assert "error: " in err or "✗" in out


@pytest.mark.usefixtures("_no_network")
@pytest.mark.parametrize("kind", sorted(kinds()))
def test_a_target_that_names_no_place_is_told(file: Path, kind: str) -> None:
    """`- github: {}` fits the schema, and was a KeyError where variables are compared."""
    content = {"version": 1, "credentials": [{"user": "ci", "targets": [{kind: {}}, {kind: {}}]}]}
    assert isinstance(read(file, written(content, is_flow=True)), ConfigError)


@pytest.mark.usefixtures("_no_network")
def test_a_role_to_assume_without_credentials_is_told(file: Path) -> None:
    """The caller's own credentials are missing: it was an AttributeError, deep in botocore."""
    entry = {"user": "ci", "role": "arn:aws:iam::123456789012:role/keyrota"}
    read(file, written({"version": 1, "credentials": [entry]}, is_flow=True))
    code, _, err = run(file, "plan")
    assert code == 1
    assert "no usable AWS credentials" in err


@pytest.mark.usefixtures("_no_network")
@examples(80)
@given(content=VALID.flatmap(bent), is_flow=st.booleans())
def test_a_mistake_is_refused_with_its_place(file: Path, content: Any, is_flow: bool) -> None:
    refused(file, written(content, is_flow=is_flow))


@st.composite
def leaking(draw: st.DrawFn) -> Any:
    """A configuration with a real token where a reference belongs, and a mistake besides."""
    content = draw(VALID)
    assume("providers" in content)  # a filter would write the whole strategy out as text
    paths = [path for path in places(content["providers"]) if "auth" in path and path[-1] != "auth"]
    for path in paths:
        content = {**content, "providers": replaced(content["providers"], path, CANARY)}
    return draw(st.just(content) | bent(content, ANYTHING)) if paths else content


@pytest.mark.usefixtures("_no_network")
@examples(30)
@given(content=leaking(), is_flow=st.booleans())
def test_a_token_that_stands_in_the_file_is_not_repeated(file: Path, content: Any, is_flow: bool) -> None:
    read(file, written(content, is_flow=is_flow))
    for arguments in (("plan",), ("plan", "--json"), ("check", "--debug")):
        code, out, err = run(file, *arguments)
        assert code == 1
        assert CANARY not in out + err
