"""The site: every page has its place, and links between repository and site are rewritten."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def pages_of(entry: Any) -> list[str]:
    """Return the pages of a part of the navigation."""
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [page for part in parts for page in pages_of(part)]


def configuration() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8")))


def test_every_page_has_a_place() -> None:
    """Strict builds fail on a page that mkdocs.yml does not list; this says so without mkdocs."""
    copies = re.findall(r'": "([a-z-]+\.md)"', (ROOT / "tools/site_pages.py").read_text())
    listed = pages_of(configuration()["nav"])
    listed.remove("adr/")  # the hook lists its pages
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("*.md")}
    assert len(listed) == len(set(listed))
    assert set(listed) == there | set(copies)


def test_nothing_is_loaded_from_elsewhere() -> None:
    settings = configuration()
    assert settings["theme"]["font"] is False
    assert not settings.get("extra_javascript")
    assert settings["strict"] is True


@pytest.mark.parametrize(
    ("page", "link", "becomes"),
    [
        ("security.md", "[a](../SECURITY.md)", "[a](security-policy.md)"),
        ("contributing.md", "[a](docs/glossary.md#terms)", "[a](glossary.md#terms)"),
        ("contributing.md", "[a](docs/adr)", "[a](adr/0001-layers-and-one-way-flow.md)"),
        ("adr/0004-canonical-form.md", "[a](../../SECURITY.md)", "[a](../security-policy.md)"),
        ("sample-models.md", "![a](../docs/pictures/x.png)", "![a](pictures/x.png)"),
        ("policy.md", "[a](adr/0013-verdicts.md)", "[a](adr/0013-verdicts.md)"),
        ("policy.md", "[a](https://x.y/SECURITY.md)", "[a](https://x.y/SECURITY.md)"),
        ("index.md", "[a](../CONTRIBUTING.md)", "[a](contributing.md)"),
    ],
)
def test_links_are_rewritten(page: str, link: str, becomes: str) -> None:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    from tools.site_pages import on_page_markdown

    assert on_page_markdown(link, SimpleNamespace(file=SimpleNamespace(src_uri=page))) == becomes


def test_the_site_builds_strictly(tmp_path: Path) -> None:
    mkdocs = Path(sys.executable).parent / "mkdocs"
    if not mkdocs.exists() and shutil.which("mkdocs") is None:
        pytest.skip("the extra docs is not installed")
    program = str(mkdocs) if mkdocs.exists() else "mkdocs"
    words = [program, "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="https?://(?!squidfunk)[^"]*\.(?:css|js|woff2?)"', page)
    assert (tmp_path / "site" / "sample" / "report.html").exists()
