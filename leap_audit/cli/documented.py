"""The help of options, made from the fields that hold them and the registry of methods."""

from collections.abc import Iterable, Iterator
from typing import Any

from leap_audit.cli.flags import OF_FIELD

__all__ = ["default_of", "document", "documentation"]


def document(parameters: Iterable[Any]) -> None:
    """Write the documentation and the default of its field into the help of each flag.

    Types that the name says already (<bool> of a flag, <list[Path]> of an argument) are not shown.
    """
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        elif parameter.param_type_name == "argument":
            parameter.display_type_rich = _no_type
        text = getattr(parameter, "help", None) or ""
        if text.startswith(OF_FIELD):
            parameter.help = documentation(text.removeprefix(OF_FIELD))


def _no_type(**_context: Any) -> None:
    """What typer shows in the column of types."""


def documentation(path: str) -> str:
    """Return what an option does, and its default, as sentences.

    path: of a field of `AuditOptions`, such as "prototype.steps".
    """
    from leap_audit.config import AuditOptions

    owner: Any = AuditOptions
    *groups, name = path.split(".")
    for group in groups:
        owner = owner.model_fields[group].annotation
    field = owner.model_fields[name]
    return " ".join(_sentences(field))


def default_of(field: Any) -> str:
    """Return the default of a field of options as it is written; empty where it has none."""
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}, ""):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(each if isinstance(each, str) else f"{each:g}" for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sentences(field: Any) -> Iterator[str]:
    yield " ".join((field.description or "").split())
    default = default_of(field)
    if default and default != "no":
        yield f"Default: {default}."
