"""Load the templates of reports, comparisons and notebooks, with their filters."""

import base64
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

import leap_audit
from leap_audit.report import experiments, key_regions, wording
from leap_audit.report.charts import curve
from leap_audit.report.icons import icon_rules
from leap_audit.text.names import distinct_names, shortened, visible
from leap_audit.text.numbers import count, percent

__all__ = [
    "ENTANGLEMENTS_SHOWN",
    "ROWS_LIMIT",
    "setting_rows",
    "started_at",
    "template",
    "template_folder",
]

ENTANGLEMENTS_SHOWN = 8
"""Classes listed below a prototype; the others are in the table of results."""
TEXT_LIMIT = 4000
"""Characters of any one text of the audit that are displayed."""
ROWS_LIMIT = 200
"""Rows of any one table that are displayed."""


def template_folder() -> Path:
    """Return where the templates lie: inside the package, or beside it in a source checkout."""
    package = Path(leap_audit.__file__).parent
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


def template(name: str) -> Template:
    """Return a template of Jinja, which shows every value escaped, visible and of bounded length.

    What a page is about is given to its `render`; the templates import macros with that context.
    """
    return _environment().get_template(name)


def started_at(moment: str) -> datetime | None:
    """Return when an audit began, UTC, as a date; None where `moment` is not one."""
    try:
        started = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return started.replace(tzinfo=UTC) if started.tzinfo is None else started.astimezone(UTC)


def setting_rows(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as rows of (dotted name, value)."""
    return list(_flat(value, prefix))


@cache
def _environment() -> Environment:
    """Made once in a process: reading the templates takes longer than filling them."""
    environment = Environment(
        loader=FileSystemLoader(template_folder()),
        # select_autoescape() looks at the file's ending and would leave report.html.j2 unescaped.
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {
        "css": _css,
        "fonts": _fonts,
        "icons": icon_rules,
        "count": count,
        "wording": wording,
        "experiments": experiments,
        "key_regions": key_regions,
        "curve": curve,
        "ENTANGLEMENTS_SHOWN": ENTANGLEMENTS_SHOWN,
        "ROWS_LIMIT": ROWS_LIMIT,
    }
    environment.filters |= {
        "apart": distinct_names,
        "breakable": _breakable,
        "day": _day,
        "name": shortened,
        "number": wording.number,
        "percent": percent,
        "rows": setting_rows,
        "signed": wording.signed,
        "size": wording.file_size,
    }
    return environment


def _css(name: str) -> Markup:
    return Markup((template_folder() / name).read_text(encoding="utf-8"))


FONTS = (
    ("Inter", 400, "inter-400.ttf"),
    ("Inter", 600, "inter-600.ttf"),
    ("IBM Plex Mono", 400, "plex-mono-400.ttf"),
)
"""Family, weight and file of the fonts that every page brings along."""


@cache
def _fonts() -> Markup:
    """The style rules that embed the fonts."""
    return Markup("\n".join(_font_face(*each) for each in FONTS))


def _font_face(family: str, weight: int, name: str) -> str:
    data = base64.b64encode((template_folder() / "fonts" / name).read_bytes()).decode("ascii")
    return (
        f'@font-face {{ font-family: "{family}"; font-weight: {weight}; font-style: normal; '
        f'src: url("data:font/ttf;base64,{data}") format("truetype"); }}'
    )


def _shown(value: Any) -> Any:
    """Make every value that a template prints visible and of bounded length."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return "not measured" if value is None else value
    if len(value) > TEXT_LIMIT:
        return shortened(value, TEXT_LIMIT)
    return visible(value)


def _breakable(name: str) -> Markup:
    """The name of a file, which may end a line after each of its parts."""
    parts = re.findall(r"[^_./-]*[_./-]*", visible(name))
    return Markup("<wbr>").join(part for part in parts if part)


def _day(moment: datetime) -> str:
    return moment.strftime("%d %B %Y").lstrip("0")


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple) and all(not isinstance(v, Mapping) for v in value):
        yield prefix, ", ".join(_scalar(each) for each in value) or "none"
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value, 1):
            yield from _flat(inner, f"{prefix} {position}".strip())
    else:
        yield prefix, "none" if isinstance(value, Mapping) else _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
