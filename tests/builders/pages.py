"""Pages that were made: what is in them, and whether each is one sound file that needs no other."""

import re
from html.parser import HTMLParser
from itertools import pairwise

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(2)</script>',
    "a\u202egnp.exe",
    "nul\x00\x1b[31m\nbreak",
    "{{ 7 * 7 }}",
    "x" * 10_000,
    "crane",
    "crane",
    "",
)


class Page(HTMLParser):
    """The tags of a report, and its text without the styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.text = re.sub(r"\s+", " ", "".join(self.data))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br", "wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.data.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def assert_sound(page: Page) -> None:
    """Check tags, links, pictures, headings and anchors, and that nothing acts or is fetched."""
    assert page.open == []
    names = {name for name, _ in page.tags}
    assert not names & {"script", "iframe", "object", "embed", "link", "form", "base", "svg"}
    for tag, attributes in page.tags:
        assert not [key for key in attributes if key.startswith("on")], tag
        for key in ("src", "href"):
            assert (attributes.get(key) or "#").startswith(("data:image/", "#")), attributes
    (policy,) = [m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy["content"] == (
        "default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'"
    )
    assert all((image.get("alt") or "").strip() for image in page.all("img"))
    levels = [int(name[1]) for name, _ in page.tags if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [each["id"] for _, each in page.tags if "id" in each]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        assert (link["href"] or "")[1:] in ids
