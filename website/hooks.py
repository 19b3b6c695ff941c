"""
What the site has beside the pages of docs/: pages at the root of the repository, and the unreleased changes.

Links are written as they work in the repository. A page that is elsewhere on the site is found by `PAGES`.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing/index.md",
    "SECURITY.md": "contributing/security.md",
    "CODE_OF_CONDUCT.md": "contributing/conduct.md",
    "constructs/README.md": "how-to/constructs.md",
    "sandbox/README.md": "contributing/sandbox.md",
    "bench/results.md": "explanation/measured.md",
}
"""Where the site has a page of the repository that is not in docs/."""

_LINK = re.compile(r"\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")
_MODULES = Path(__file__).parent / "node_modules"
_SCRIPTS = {
    "assets/mermaid.js": _MODULES / "@mermaid-js/tiny/dist/mermaid.tiny.js",
    "assets/iframe-worker.js": _MODULES / "iframe-worker/shim/index.js",
    "assets/site.css": Path(__file__).parent / "site.css",
}
_SHIM = "https://unpkg.com/iframe-worker/shim"
"""What the theme's plugin `offline` would load from elsewhere."""
_ELSEWHERE = re.compile(
    r"""
    <(?:script|img|iframe)[^>]*\ssrc="?(?:https?:)?//[^\s>"]+
    | <link[^>]*rel="?stylesheet[^>]*//[^\s>"]+
    """,
    re.VERBOSE,
)
_RELEASES_BEGIN = "<!-- towncrier release notes start -->"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Write every decision into the navigation: `adr/*.md` stands for all of them."""
    for section in config.nav or ():
        for title, pages in section.items():
            if isinstance(pages, list) and "adr/*.md" in pages:
                found = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
                section[title] = [page for page in pages if page != "adr/*.md"]
                section[title] += [f"adr/{page.name}" for page in found]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository that are not in docs/, and the programs that pages load."""
    for source, place in PAGES.items():
        text = (ROOT / source).read_text("utf-8")
        if source == "CHANGELOG.md":
            text = text.replace(_RELEASES_BEGIN, _unreleased())
        files.append(File.generated(config, place, content=text))
    for place, script in _SCRIPTS.items():
        files.append(File.generated(config, place, content=script.read_text("utf-8")))
    return files


def _unreleased() -> str:
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "Not yet released"]
    drafted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603  # our own
    return re.sub(r"(?m)^(## Not yet released) .*$", r"\1", drafted.stdout)  # without today's date


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Let links to pages lead to where the site has them."""
    place = page.file.src_uri
    source = next((source for source, target in PAGES.items() if target == place), f"docs/{place}")

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match["path"]))
        on_site = PAGES.get(target, target.removeprefix("docs/"))
        return f"]({posixpath.relpath(on_site, posixpath.dirname(place) or '.')}{match['anchor'] or ''})"

    return _LINK.sub(moved, markdown)


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Let a page load nothing from elsewhere."""
    return _loading_own(output, posixpath.relpath(".", posixpath.dirname(page.url) or "."), page.file.src_uri)


def on_post_template(output: str, template_name: str, **_: Any) -> str:
    """Let pages that the theme adds (404) load nothing from elsewhere either."""
    return _loading_own(output, "", template_name)


def _loading_own(output: str, to_root: str, name: str) -> str:
    """
    Load the site's own copy of what the theme would load from elsewhere.

    Raises:
        PluginError: There is more of that.
    """
    output = output.replace(_SHIM, f"{to_root}/assets/iframe-worker.js")
    if found := _ELSEWHERE.search(output):
        raise PluginError(f"{name} loads something from elsewhere: {found[0]}")
    return output
