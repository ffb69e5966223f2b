"""The table of producers in docs/bring-any-model.md, from the registry that the tests run.

    python -m tools.producers_page

writes it; a test holds the page against the registry.
"""

from pathlib import Path

from tests.builders.producers import PRODUCERS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "bring-any-model.md"
OUT_OF_DATE = "docs/bring-any-model.md is out of date: make producers"
BEGIN, END = "<!-- producers: written by `make producers` -->\n", "<!-- end of producers -->\n"


def table() -> str:
    """Return the table: producer, route, what is done, and the test that holds it."""
    head = "| producer | route | what leap-audit does | test |\n|---|---|---|---|\n"
    rows = (
        f"| {entry.name} | {entry.route} | {entry.treatment} | `{key}` |\n"
        for key, entry in PRODUCERS.items()
    )
    return head + "".join(rows)


def written() -> tuple[str, str]:
    """Return the page as it is, and as it is with the table of today."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return page, f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written()[1], encoding="utf-8")
