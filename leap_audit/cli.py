"""The command line: parse, call, print.

Data goes to stdout, messages and progress to stderr. Exit codes: 0 done, 1 a threshold failed,
2 wrong words on the command line, 3 an input refused or an audit incomplete. What is slow to
import is imported inside the commands, so that --help answers at once.
"""

import io
import json
import shlex
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from leap_audit import flags
from leap_audit.answers import answering, columns, lines_of, summary_of
from leap_audit.errors import GradientUnavailable, GradientWarning, OutputRefused

if TYPE_CHECKING:
    from leap_audit.config import AuditOptions

__all__ = ["app", "main"]

_WORDS = "leap_audit.words"
_OWN_OPTIONS = ("--help", "-h", "--version")

# A line break in a help text is kept at every width: one line a paragraph.
_ABOUT = (
    "What has this model learned, and can you trust how it decides?\n\n"
    "leap-audit writes a report on a vision model. An ONNX file is enough: no training data, "
    "no framework."
)
_ABOUT_AUDIT = (
    "Audit a model and write the report. The word [bold]audit[/] may be left out.\n\n"
    "What is not said about the input is inferred, and what was assumed is printed before any "
    "long work. Ctrl-C keeps what is finished, marked INCOMPLETE."
)
_ABOUT_GRADIENT = (
    "Write the model with its gradient, as one ONNX graph of standard operators.\n\n"
    "Its inputs are the model's own and [bold]cotangent[/]; its outputs the model's own and "
    "[bold]INPUT_grad[/]. Any ONNX runtime can run it. Tensors inside the graph can be named with "
    "--wrt and --of, and become outputs as well."
)
_ABOUT_OPERATORS = (
    "Say which operators can be differentiated.\n\n"
    "Of every operator of ONNX, or of those of a [bold]MODEL[/], with its nodes; then the exit "
    "code is 3 if there is no gradient of it."
)
_ABOUT_DOCTOR = (
    "Say what is installed, what of it works, and what is missing for which kind of model.\n\n"
    "A small graph with its gradient runs on every execution provider. The exit code is 3 if an "
    "ONNX file cannot be audited here."
)


class _Group(TyperGroup):
    """Commands of which audit need not be named: `leap-audit MODEL` is `leap-audit audit MODEL`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_WORDS] = list(args)
        if args and args[0] not in self.commands and args[0] not in _OWN_OPTIONS:
            args = ["audit", *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from leap_audit.examples import print_examples

        super().format_help(ctx, formatter)
        print_examples("leap-audit")


class _Command(TyperCommand):
    """A command whose help ends with examples."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from leap_audit.examples import print_examples

        super().format_help(ctx, formatter)
        print_examples(self.name or "")


app = typer.Typer(
    cls=_Group,
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    subcommand_metavar="MODEL | COMMAND ...",
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from leap_audit import __version__

        typer.echo(f"leap-audit {__version__}")
        raise typer.Exit


@app.callback(help=_ABOUT)
def _top(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Answer --version; everything else is a command's."""


@app.command(cls=_Command, help=_ABOUT_AUDIT)
def audit(
    ctx: typer.Context,
    model: flags.Model,
    classes: flags.Classes = None,
    targets: flags.Targets = None,
    samples: flags.Samples = None,
    labels: flags.Labels = None,
    top_classes: flags.TopClasses = None,
    task: flags.Task = None,
    region: flags.Region = None,
    layout: flags.Layout = None,
    channel_order: flags.ChannelOrder = None,
    value_range: flags.Range = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
    resize: flags.Resize = None,
    input_size: flags.InputSize = None,
    preprocessing: flags.PreprocessingFile = None,
    seed: flags.Seed = None,
    seeds: flags.Seeds = None,
    steps: flags.Steps = None,
    threads: flags.Threads = None,
    batch: flags.Batch = None,
    provider: flags.Provider = None,
    config: flags.Config = None,
    out: flags.Out = None,
    photographs: flags.Photographs = None,
    as_json: flags.Json = False,
    quiet: flags.Quiet = False,
    debug: flags.Debug = False,
) -> None:
    """Audit a model as the words say, and print where the report is."""
    declared = {
        "layout": layout,
        "channel_order": channel_order,
        "range": flags.numbers(ctx, "--range", value_range, 2),
        "mean": flags.numbers(ctx, "--mean", mean),
        "std": flags.numbers(ctx, "--std", std),
        "resize": resize,
        "input_size": flags.size(ctx, input_size),
    }
    said = {
        "targets": targets or None,
        "samples": samples or None,
        "labels": labels,
        "photographs": photographs,
        "top_classes": top_classes,
        "task": task,
        "region": flags.numbers(ctx, "--region", region, 4),
        "preprocessing": _given(declared),
        "prototype": _given({"steps": steps}),
        "seed": seed,
        "seeds": seeds,
        "threads": threads,
        "batch": batch,
        "provider": provider,
    }
    with answering(debug=debug, quiet=quiet, as_json=as_json) as terminal:
        from leap_audit import pipeline
        from leap_audit.report.folder import default_folder

        result = pipeline.audit(
            model,
            classes,
            out=out or default_folder(model),
            options=_options(config, preprocessing, _given(said)),
            progress=terminal,
            command=shlex.join(["leap-audit", *ctx.meta[_WORDS]]),
        )
        for line in lines_of(result.audit):
            terminal.note(line)
        if as_json:
            print(json.dumps(summary_of(result.audit, result.folder), indent=2), flush=True)
        else:
            print(result.folder / "report.html", flush=True)
    if result.audit.status == "incomplete":
        raise typer.Exit(3)
    if result.audit.verdict == "FAIL":
        raise typer.Exit(1)


@app.command(cls=_Command, help=_ABOUT_GRADIENT)
def gradient(
    ctx: typer.Context,
    model: flags.Model,
    out: flags.GradientOut = None,
    batch: flags.GradientBatch = 1,
    wrt: flags.GradientWrt = None,
    of: flags.GradientOf = None,
    shape: flags.GradientShape = None,
    rules: flags.GradientRules = None,
    check: flags.GradientCheck = False,
    debug: flags.GradientDebug = False,
) -> None:
    """Write the gradient graph of a model, and print what it is."""
    shapes = flags.shapes(ctx, shape)
    with answering(debug=debug) as terminal:
        from leap_audit.commands import gradient_of
        from leap_audit.ingest.contained import contained
        from leap_audit.report.folder import write_file

        place = out or Path(f"{model.stem}.grad.onnx")
        if place.exists() and model.exists() and place.samefile(model):
            raise OutputRefused(f"{place}: is the model itself; give another file as --out.")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", GradientWarning)
            asked: dict[str, Any] = {"batch": batch, "wrt": wrt, "of": of, "shapes": shapes}
            made = contained(gradient_of, model, check=check, rules=rules, **asked)
        for each in caught:
            if issubclass(each.category, GradientWarning):
                terminal.warn(str(each.message))
        if made.agreement:
            terminal.note(made.agreement)
        if not made.agrees:
            raise GradientUnavailable(f"{model}: the gradient is wrong; nothing was written.")
        write_file(place, made.data)
        ending = f", rules {rules}" if rules else ""
        outputs = ", ".join(made.outputs)
        print(f"{place}: {made.nodes} nodes, outputs {outputs}{ending}", flush=True)


@app.command(cls=_Command, help=_ABOUT_OPERATORS)
def operators(
    ctx: typer.Context,
    model: flags.OptionalModel = None,
    missing: flags.OperatorsMissing = False,
    batch: flags.GradientBatch = 1,
    wrt: flags.GradientWrt = None,
    of: flags.GradientOf = None,
    shape: flags.GradientShape = None,
    debug: flags.GradientDebug = False,
) -> None:
    """Print the operators, and what becomes of each in a gradient."""
    shapes = flags.shapes(ctx, shape)
    with answering(debug=debug) as terminal:
        from leap_audit.commands import operators_of
        from leap_audit.ingest.contained import contained

        asked: dict[str, Any] = {"batch": batch, "wrt": wrt, "of": of, "shapes": shapes}
        found = contained(operators_of, model, **asked)
        shown = [row for state, row in found.rows if state == "missing" or not missing]
        print("\n".join(columns(shown)), end="\n" if shown else "", flush=True)
        terminal.note(f"{len(found.rows)} operators: {found.counts}.")
        if found.refusal is not None:
            raise GradientUnavailable(f"{model}: {found.refusal}")


@app.command(cls=_Command, help=_ABOUT_DOCTOR)
def doctor(as_json: flags.Json = False, debug: flags.Debug = False) -> None:
    """Print what is installed and what works."""
    with answering(debug=debug, as_json=as_json):
        from leap_audit.doctor import checkup, said_of

        found = checkup()
        print(said_of(found, as_json=as_json), flush=True)
    if not found.can_audit:
        raise typer.Exit(3)


def main() -> None:
    """Run the command line and end the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if "--debug" not in sys.argv and not sys.warnoptions:
        warnings.simplefilter("ignore")
    app(prog_name="leap-audit")


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None and value != {}}


def _options(
    config: Path | None, preprocessing: str | None, said: dict[str, Any]
) -> "AuditOptions":
    """Return the options: those of the files, over them what was said in words."""
    from leap_audit.config import AuditOptions, layered, read_table
    from leap_audit.ingest.preprocess import read_preprocessing

    tables = []
    if config is not None:
        tables.append(read_table(config))
        AuditOptions.parse(tables[0], str(config))
    if preprocessing is not None:
        declared = read_preprocessing(preprocessing)
        tables.append({"preprocessing": declared.model_dump(exclude_unset=True)})
    return AuditOptions.parse(layered(*tables, said), "the command line")
