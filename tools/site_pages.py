"""A hook of mkdocs: the pages of the repository's root stand in the site as well.

CONTRIBUTING.md, SECURITY.md, CHANGELOG.md and the README of the sample models stay where people
look for them in a repository. The site takes copies, and links between the two places are
rewritten, so that each page is right in both.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

__all__ = ["decisions", "on_config", "on_files", "on_page_markdown"]

ROOT = Path(__file__).resolve().parents[1]
COPIES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
    "SECURITY.md": "security-policy.md",
    "sample_models/README.md": "sample-models.md",
}
"""File of the repository -> its page in the site."""
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def decisions(entry: Any) -> Any:
    """Return a part of the navigation with the folder `adr/` as the list of its pages."""
    if entry == "adr/":
        return [f"adr/{each.name}" for each in sorted((ROOT / "docs" / "adr").glob("*.md"))]
    if isinstance(entry, dict):
        return {title: decisions(part) for title, part in entry.items()}
    return [decisions(part) for part in entry] if isinstance(entry, list) else entry


def on_config(config: Any) -> Any:
    """List the decisions in the navigation."""
    config["nav"] = decisions(config["nav"])
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the copies; README.md is copied only where docs/ has no page of that name."""
    for source, page in COPIES.items():
        if files.get_file_from_path(page) is None:
            text = (ROOT / source).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the page with links to files of the repository as links to pages of the site."""
    own = page.file.src_uri
    source = next((each for each, name in COPIES.items() if name == own), f"docs/{own}")
    if own == "index.md" and (ROOT / "docs" / "index.md").exists():
        source = "docs/index.md"
    return _LINK.sub(lambda match: _rewritten(match, source, own), markdown)


def _rewritten(match: re.Match[str], source: str, own: str) -> str:
    opened, target, anchor, closed = match.groups(default="")
    if ":" in target or target.startswith("/"):
        return match[0]
    meant = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if meant in COPIES:
        place = COPIES[meant]
    elif meant == "docs/adr":
        place = "adr/0001-layers-and-one-way-flow.md"
    elif meant.startswith("docs/"):
        place = meant.removeprefix("docs/")
    else:
        return match[0]
    return f"{opened}{posixpath.relpath(place, posixpath.dirname(own) or '.')}{anchor}{closed}"
