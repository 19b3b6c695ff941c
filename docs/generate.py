"""
Write what the pages compute: nothing that the code knows is typed by hand.

    python docs/generate.py            regenerate
    python docs/generate.py --check    fail if something is out of date
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from keyrota.app import words
from keyrota.app.cli import group
from keyrota.app.config import schema
from keyrota.app.functions.own_events import SCHEMA as EVENT_SCHEMA
from keyrota.aws.permissions import ANYWHERE, DUTIES, FUNCTIONS, LOOK, TAGGING, TAGGING_CONDITION, policy_document
from keyrota.core.lifecycle import MEANING, TRANSITIONS, KeyState, Road
from keyrota.core.policy import PRESETS, format_duration
from keyrota.report.fleet import MEANING as STATES

ROOT = Path(__file__).parent


def life_cycle() -> str:
    """Draw the transitions of `apply`, and list all of them."""
    routine = [line for line in TRANSITIONS if line.road is Road.ROUTINE]
    names = {state: state.name.lower() for state in KeyState}
    lines = ["```mermaid", "stateDiagram-v2"]
    for state in KeyState:
        if any(state in {line.source, line.target} for line in routine):
            lines += [f'    state "{state.value}" as {names[state]}']
    lines += [f"    {names[line.source]} --> {names[line.target]}: {_verb(line.action.__name__)}" for line in routine]
    lines += ["```", "", "| from | action | to | when | command |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {line.source.value} | {_verb(line.action.__name__)} | {line.target.value} | {line.when} | "
        f"{line.road.value} |"
        for line in TRANSITIONS
    ]
    lines += ["", "| state | meaning |", "| --- | --- |"]
    lines += [f"| {state.value} | {MEANING[state]} |" for state in KeyState]
    return "\n".join(lines)


def _verb(name: str) -> str:
    return "".join(f" {char.lower()}" if char.isupper() else char for char in name).strip()


def commands() -> str:
    """Print the help of every command."""
    context = group.make_context("keyrota", [], terminal_width=90, max_content_width=90, **group.context_settings)
    parts = ["## keyrota\n", _fenced(group.get_help(context))]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        inner = click.Context(command, info_name=name, parent=context, terminal_width=90, max_content_width=90)
        parts += [f"## keyrota {name}\n", _fenced(command.get_help(inner))]
    return "\n".join(parts)


def _fenced(text: str) -> str:
    return "```text\n" + "\n".join(line.rstrip() for line in text.splitlines()) + "\n```\n"


def exit_codes() -> str:
    """List the exit codes."""
    lines = ["| code | meaning |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {code} | {meaning} |" for code, meaning in words.EXIT_CODES.items())])


def states() -> str:
    """List the states of a credential."""
    lines = ["| state | what it means |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {state} | {meaning} |" for state, meaning in STATES.items())])


def configuration() -> str:
    """List every key of the configuration."""
    lines = ["| key | what it takes | what it is |", "| --- | --- | --- |"]
    return "\n".join([*lines, *_rows(schema(), "")])


_DESCRIBED_ELSEWHERE = {"defaults.credential", "defaults.target"}
"""Their fields are those of a credential and of a target."""


def _rows(part: dict[str, object], path: str) -> list[str]:
    rows: list[str] = []
    properties = part.get("properties")
    for name, inner in (properties if isinstance(properties, dict) else {}).items():
        here = f"{path}.{name}" if path else name
        rows.append(f"| `{here}` | {_takes(inner)} | {inner.get('description', '')} |")
        if here in _DESCRIBED_ELSEWHERE:
            continue
        rows += _rows(inner, here)
        named = inner.get("additionalProperties")
        if isinstance(named, dict) and "properties" in named:
            rows += _rows(named, f"{here}.NAME")
        items = inner.get("items")
        if isinstance(items, dict):
            rows += _rows(items, f"{here}[]")
        for branch in inner.get("oneOf", ()) or inner.get("anyOf", ()):
            rows += _rows(branch, here)
    return rows


def _takes(part: dict[str, object]) -> str:
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])  # type: ignore[attr-defined]  # a list in JSON Schema
    if "const" in part:
        return f"`{part['const']}`"
    if part.get("format") == "secret-reference":
        return "a reference: `env:`, `file:`, `secretsmanager:`, `ssm:`"
    if part.get("format") == "keyrota-duration":
        return "a duration"
    kinds = {
        "object": "a mapping",
        "array": "a list",
        "string": "a text",
        "integer": "a number",
        "boolean": "true, false",
    }
    default = f", default `{json.dumps(part['default'])}`" if "default" in part else ""
    kind = part.get("type")
    usual = kind[0] if isinstance(kind, list) and "null" in kind else kind
    return kinds.get(str(usual), "one of several forms") + default


def permissions() -> str:
    """List what each duty needs."""
    parts = [f"Every duty looks first: {', '.join(f'`{action}`' for action in LOOK)}.", ""]
    parts += ["| duty | actions |", "| --- | --- |"]
    parts += [f"| {duty} | {', '.join(f'`{action}`' for action in actions)} |" for duty, actions in DUTIES.items()]
    document = policy_document("sync", account="123456789012", user="ci-deploy", secret_name="keyrota/ci-deploy")  # noqa: S106  # a name
    parts += [
        "",
        "The policy of `sync` for one user, for example:",
        "",
        "```json",
        json.dumps(document, indent=2),
        "```",
    ]
    return "\n".join(parts)


def presets() -> str:
    """List the presets."""
    lines = [
        "| preset | rotate | deactivate | delete | no key Active past 90 days |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, policy in PRESETS.items():
        ages = (policy.rotate_after, policy.deactivate_after, policy.delete_after)
        columns = " | ".join(format_duration(age) for age in ages)
        lines += [f"| {name} | {columns} | {'yes' if policy.is_audit_clean() else 'no'} |"]
    return "\n".join(lines)


def operations() -> str:
    """List the operations of each provider that keyrota uses; the contract tests hold the same files."""
    folder = ROOT.parent / "tests" / "contract" / "operations"
    lines = []
    for file in sorted(folder.glob("*.txt")):
        used = file.read_text("utf-8").splitlines()
        lines += [f"## {file.stem}: {len(used)} operations", "", "```text", *used, "```", ""]
    return "\n".join(lines).rstrip()


_LAYERS = "Imports point down"
"""Name of the import contract that gives every top-level module its layer."""
_WIDTH = 76


def layout() -> str:
    """Draw the layers of the package from the import contract that enforces them, and say what each module is."""
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["name"] == _LAYERS)
    rows = [[module.strip() for module in layer.split("|")] for layer in layers]
    lines = ["```text", *_boxes(rows), "```", "", "| module | what it is |", "| --- | --- |"]
    lines += [f"| `{module}` | {_first_line(module)} |" for row in rows for module in row]
    lines += ["", "The contracts that `make check` enforces:", ""]
    lines += [f"- **{contract['name']}**" for contract in contracts]
    return "\n".join(lines)


def _boxes(rows: list[list[str]]) -> list[str]:
    edge = "+" + "-" * _WIDTH + "+"
    lines = [edge]
    for row in rows:
        width, rest = divmod(_WIDTH - len(row) + 1, len(row))
        cells = [module.center(width + (number < rest)) for number, module in enumerate(row)]
        lines += [f"|{'|'.join(cells)}|", edge]
    return lines


def _first_line(module: str) -> str:
    source = ROOT.parent / "src" / "keyrota"
    file = source / f"{module}.py" if (source / f"{module}.py").exists() else source / module / "__init__.py"
    docstring = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return docstring.partition("\n")[0]


def decisions() -> str:
    """List the decision records with status and date, as their first lines say."""
    lines = ["| number | decision | status |", "| --- | --- | --- |"]
    for page in sorted((ROOT / "adr").glob("[0-9]*.md")):
        title, _, rest = page.read_text("utf-8").removeprefix("# ").partition("\n\n")
        number, _, decision = title.partition(" ")
        status = rest.partition("\n")[0]
        if not re.match(r"Status: (accepted|replaced by \d{4}), \d{4}-\d{2}-\d{2}$", status):
            raise ValueError(f"{page}: its second paragraph must be `Status: accepted, YYYY-MM-DD`, not {status!r}")
        lines += [f"| [{number}]({page.name}) | {decision} | {status.removeprefix('Status: ')} |"]
    return "\n".join(lines)


_PROVIDER_PAGES = (
    "azure-devops",
    "bitbucket",
    "buildkite",
    "circleci",
    "codespaces",
    "forgejo",
    "github",
    "gitlab",
    "terraform",
    "kubernetes",
    "parameter-store",
)


def examples() -> str:
    """Show the complete example of each provider: the first block of its page, which tests load."""
    parts = []
    for name in _PROVIDER_PAGES:
        text = (ROOT / "how-to" / f"{name}.md").read_text("utf-8")
        title, _, rest = text.removeprefix("# ").partition("\n")
        block = rest.partition("```yaml\n")[2].partition("```")[0]
        parts += [f"### {title}", "", "```yaml", f"{block.rstrip()}", "```", "", f"[More](../how-to/{name}.md)", ""]
    return "\n".join(parts).rstrip()


def _literal(value: object) -> str:
    return json.dumps(value).replace('"', "'")


def function_actions() -> str:
    """Write the actions of each function's role for the construct."""
    head = "/** What the role of each function is allowed; written by docs/generate.py from aws/permissions.py. */"
    more = "/** What it is allowed besides, of actions that take no resource. */"
    kind = "{ readonly [name: string]: string[] }"
    lines = [head, f"export const ACTIONS: {kind} = {{", *_action_rows(FUNCTIONS), "};", ""]
    lines += [more, f"export const ANYWHERE: {kind} = {{", *_action_rows(ANYWHERE), "};", ""]
    lines += [
        "/** Allowed in a statement of their own, for one tag. */",
        f"export const TAGGING: readonly string[] = {_literal(TAGGING)};",
        "",
        "/** The condition of that statement. */",
        f"export const ONE_TAG: {{ readonly [operator: string]: any }} = {_literal(TAGGING_CONDITION)};",
    ]
    return "\n".join(lines) + "\n"


def _action_rows(duties: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [
        f"  {name}: [\n" + "".join(f"    '{action}',\n" for action in actions) + "  ],"
        for name, actions in duties.items()
    ]


FILES: dict[str, Callable[[], str]] = {
    "constructs/src/actions.ts": function_actions,
    "docs/reference/events.schema.json": lambda: json.dumps(EVENT_SCHEMA, indent=2) + "\n",
}
"""Whole files that are written by the program."""


PARTS: dict[str, Callable[[], str]] = {
    "life-cycle": life_cycle,
    "operations": operations,
    "commands": commands,
    "exit-codes": exit_codes,
    "states": states,
    "configuration": configuration,
    "permissions": permissions,
    "presets": presets,
    "layout": layout,
    "decisions": decisions,
    "examples": examples,
}


def filled(text: str) -> str:
    """Fill the marked places of a page."""
    for name, make in PARTS.items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        if begin in text:
            head, _, rest = text.partition(begin)
            _, _, tail = rest.partition(end)
            text = f"{head}{begin}\n\n{make()}\n\n{end}{tail}"
    return text


def main() -> int:
    """Regenerate, or check."""
    is_check = "--check" in sys.argv
    stale = []
    for name, make in FILES.items():
        file, after = ROOT.parent / name, make()
        if not file.exists() or file.read_text("utf-8") != after:
            stale.append(file.relative_to(ROOT.parent))
            if not is_check:
                file.write_text(after, "utf-8")
    for page in [*sorted(ROOT.parent.glob("*.md")), *sorted(ROOT.rglob("*.md"))]:
        before = page.read_text("utf-8")
        after = filled(before)
        if before != after:
            stale.append(page.relative_to(ROOT.parent))
            if not is_check:
                page.write_text(after, "utf-8")
    for page in stale:
        print(f"{page}: {'out of date: make docs' if is_check else 'written'}")  # noqa: T201  # a script
    return 1 if is_check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
