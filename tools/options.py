"""docs/options.md, made from the classes of options and the registry of methods.

`python -m tools.options` writes it again.
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from leap_audit.cli.documented import default_of
from leap_audit.config import AuditOptions
from leap_audit.measure.methods import KINDS, load_methods

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "options.md"
HEAD = """# Options

Every option of an audit, made from the source by `make options`. A configuration file
(`--config`, TOML or JSON) and `leap_audit.audit(...)` take these names; `leap-audit audit --help`
lists those that are flags. An empty default means that the value is chosen for the model.
"""


def page() -> str:
    """Return the page: the options of an audit, then those of each method."""
    return "\n".join([HEAD, *_groups(AuditOptions, ""), *_methods()]).rstrip() + "\n"


def _groups(owner: type[BaseModel], path: str) -> Iterator[str]:
    """The table of a class of options, then those of the classes in it."""
    inner = {
        name: field.annotation
        for name, field in owner.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    yield from [f"## {f'`[{path}]`' if path else 'An audit'}\n", _table(owner, set(inner)), ""]
    for name, each in inner.items():
        yield from _groups(each, f"{path}.{name}".strip("."))


def _methods() -> Iterator[str]:
    yield "# Methods\n"
    for method in load_methods().values():
        needs = ", ".join(need.name for need in method.needs) or "nothing else"
        yield f"## {method.name}\n"
        yield f"{method.summary} It is {KINDS[method.kind]}.\n"
        yield f"Needs: {needs}. Cost: {method.cost or 'not stated'}. Source: {method.source}.\n"
        if method.kind == "attribution":
            yield f"Run it with `--methods {method.name}`. Its options:\n"
            yield from [_table(method.options, set()), ""]


def _table(owner: type[BaseModel], left_out: set[str]) -> str:
    lines = ["| option | default | what it does |", "|---|---|---|"]
    for name, field in owner.model_fields.items():
        if name not in left_out:
            text = " ".join((field.description or "").split()).replace("|", "or")
            lines.append(f"| `{name}` | {default_of(field)} | {text} |")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
