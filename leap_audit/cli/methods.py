"""leap-audit methods: the registry of measurements, as a table and one by one."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from leap_audit.cli import flags
from leap_audit.cli.answers import answering
from leap_audit.cli.app import Command, app
from leap_audit.cli.documented import default_of

if TYPE_CHECKING:
    from leap_audit.measure.methods import Method

__all__: list[str] = []

ABOUT_METHODS = (
    "List the methods of measurement: what each gives, needs and costs, and its options."
)


@app.command(cls=Command, help=ABOUT_METHODS, short_help="List the methods of measurement.")
def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Everything about this one.")
    ] = None,
    debug: flags.GradientDebug = False,
) -> None:
    """Print the methods, or one of them."""
    with answering(debug=debug):
        from leap_audit.measure.methods import load_methods, require

        if name is not None:
            print("\n".join(_lines(require(name))))
            return
        for each in load_methods().values():
            print(f"{each.name:<20} {each.kind:<12} {each.summary}")


def _lines(method: "Method") -> Iterator[str]:
    from leap_audit.measure.methods import KINDS

    yield f"{method.name}: {KINDS[method.kind]}"
    yield method.summary
    facts = {
        "Needs": ", ".join(need.name for need in method.needs),
        "Cost": method.cost,
        "Check": method.check,
        "Source": method.source,
    }
    yield from (f"{fact}: {text}" for fact, text in facts.items() if text)
    for option, field in method.options.model_fields.items():
        default = default_of(field)
        ending = f" (default {default})" if default else ""
        yield f"  {option}: {' '.join((field.description or '').split())}{ending}"
