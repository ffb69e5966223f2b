"""leap-audit doctor: what works on this machine."""

import typer

from leap_audit.cli import flags
from leap_audit.cli.answers import answering
from leap_audit.cli.app import Command, app

__all__: list[str] = []

ABOUT_DOCTOR = (
    "Say what is installed, what of it works, and what is missing for which kind of model.\n\n"
    "A small graph with its gradient runs on every execution provider. The exit code is 3 if an "
    "ONNX file cannot be audited here."
)


@app.command(
    cls=Command,
    short_help="Say what works on this machine, and what is missing.",
    help=ABOUT_DOCTOR,
)
def doctor(as_json: flags.Json = False, debug: flags.Debug = False) -> None:
    """Print what is installed and what works."""
    with answering(debug=debug, as_json=as_json):
        from leap_audit.cli.checkup import checkup, said_of

        found = checkup()
        print(said_of(found, as_json=as_json), flush=True)
    if not found.can_audit:
        raise typer.Exit(3)
