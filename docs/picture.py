"""Draw docs/demo.svg: what `keyrota demo` prints in a terminal. Run it after the demo's words changed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

DAYS, WIDTH = "112", 128
_STYLES = ((r"rotated:|synced:", "cyan"), (r"held:", "yellow"), (r"deactivated|deleted", "green"), (r"dies|503", "red"))


def main() -> None:
    """Play, and draw."""
    command = [sys.executable, "-m", "keyrota", "demo", "--days", DAYS]
    played = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  # our own command
    console = Console(record=True, width=WIDTH, file=Path("/dev/null").open("w"))  # noqa: SIM115  # ends with the script
    console.print(Text(f"$ keyrota demo --days {DAYS}", style="bold"))
    for line in played.stdout.splitlines():
        shown = Text(line if len(line) <= WIDTH else line[: WIDTH - 1] + "…")
        for pattern, style in _STYLES:
            shown.highlight_regex(pattern, style)
        console.print(shown)
    drawn = console.export_svg(title="keyrota demo")
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)  # no asset from elsewhere
    (Path(__file__).parent / "demo.svg").write_text(drawn, "utf-8")


if __name__ == "__main__":
    main()
