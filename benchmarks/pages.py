"""Write what a benchmark measured into a page of the documentation, between two marks."""

from pathlib import Path

__all__ = ["write_section"]


def write_section(page: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- /NAME -->` in a page.

    Raises SystemExit: the page has no such marks.
    """
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, opened, rest = page.read_text(encoding="utf-8").partition(first)
    _, closed, after = rest.partition(last)
    if not opened or not closed:
        raise SystemExit(f"{page}: there is no line {first} with {last} after it")
    page.write_text(f"{before}{first}\n\n{text.strip()}\n\n{last}{after}", encoding="utf-8")
