"""leap-audit report, policy: an audit shown again, and what it is judged by."""

from pathlib import Path
from typing import Annotated

import typer

from leap_audit.cli import flags, judging
from leap_audit.cli.answers import answering, conclude
from leap_audit.cli.app import Command, app
from leap_audit.cli.flags import option
from leap_audit.text.lists import columns

__all__: list[str] = []

ABOUT_REPORT = (
    "Write the report of an audit again from its audit.json, without measuring anything.\n\n"
    "With [bold]--policy[/] it is judged again by other thresholds. The exit code is that of the "
    "audit: 1 if a threshold failed, 3 if it is incomplete or could not be assessed."
)
ABOUT_POLICY = (
    "Print a ready policy, to use as it is or to edit.\n\n"
    "[bold]--list[/] shows every check a policy can name, with what is asked and whether higher "
    "or lower is better."
)

_Folder = Annotated[
    Path, typer.Argument(metavar="AUDIT_DIR", help="The folder of an audit, or its audit.json.")
]
_Out = Annotated[
    Path | None,
    option("--out -o", "Options", "Folder to write instead of in place.", "DIR"),
]
_Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The policy: default, first-week or release.")
]
_List = Annotated[bool, typer.Option("--list", help="Show the checks instead.")]


@app.command(cls=Command, help=ABOUT_REPORT, short_help="Write the report of an audit again.")
def report(
    audit_dir: _Folder,
    policy: judging.Policy = None,
    junit: judging.Junit = None,
    out: _Out = None,
    as_json: flags.Json = False,
    quiet: flags.Quiet = False,
    debug: flags.Debug = False,
) -> None:
    """Render an audit again, and print where its report is."""
    with answering(debug=debug, quiet=quiet, as_json=as_json) as terminal:
        from leap_audit.pipeline.again import render_again

        with judging.refusals_in(junit, out or audit_dir):
            result = render_again(audit_dir, policy=policy, junit=junit, out=out)
        conclude(result, terminal, as_json=as_json)
    if code := judging.exit_code(result.audit):
        raise typer.Exit(code)


@app.command(cls=Command, help=ABOUT_POLICY)
def policy(name: _Name = "default", listed: _List = False, debug: flags.Debug = False) -> None:
    """Print a policy, or the checks."""
    with answering(debug=debug):
        from leap_audit.policy import CHECKS, ready_text

        if listed:
            rows = [
                (kind.id, f"{kind.better} is better", kind.question) for kind in CHECKS.values()
            ]
            print("\n".join(columns(rows)), flush=True)
        else:
            print(ready_text(name), end="", flush=True)
