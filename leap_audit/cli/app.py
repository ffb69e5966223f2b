"""The program: its commands by name, its version, how it starts."""

import difflib
import io
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from leap_audit.cli.examples import EXAMPLES
from leap_audit.text.filenames import legible

__all__ = ["WORDS", "Command", "app", "main"]

WORDS = "leap_audit.words"
"""Where the words of the command line stand in typer's context."""
_OWN_OPTIONS = ("--help", "-h", "--version")
_CLOSE = 0.75
"""How alike a word and a command are, by difflib's ratio, for the word to be a misspelling."""

# A line break in a help text is kept at every width: one line a paragraph.
_ABOUT = (
    "What has this model learned, and can you trust how it decides?\n\n"
    "leap-audit writes a report on a vision model. An ONNX file is enough: no training data, "
    "no framework."
)


class _Group(TyperGroup):
    """Commands of which audit need not be named: `leap-audit MODEL` is `leap-audit audit MODEL`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[WORDS] = list(args)
        if args == ["help"] or not args:
            args = ["--help"]
        elif args[0] == "help":
            self._refuse_misspelling(ctx, args[1], 0.0)
            args = [args[1], "--help"]
        else:
            self._refuse_misspelling(ctx, args[0], _CLOSE)
        if args[0] not in self.commands and args[0] not in _OWN_OPTIONS:
            args = ["audit", *args]
        return super().parse_args(ctx, args)

    def _refuse_misspelling(self, ctx: Any, word: str, alike: float) -> None:
        """End with the nearest command where a word is close to one, and neither one nor a file."""
        near = difflib.get_close_matches(word.casefold(), self.commands, 1, alike)
        if near and word not in self.commands and not Path(word).exists():
            ctx.fail(f"There is no command '{legible(word)}'. Did you mean 'leap-audit {near[0]}'?")

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return sorted(self.commands, key=list(EXAMPLES).index)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        # Plain, because rich takes longer to import than everything that is said here.
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)
        for title, examples in EXAMPLES["leap-audit"].items():
            with formatter.section(title):
                formatter.write_dl([(words, purpose) for purpose, words in examples])


class Command(TyperCommand):
    """A command whose help is made of the options' own documentation, and ends with examples."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from leap_audit.cli.documented import document
        from leap_audit.cli.examples import print_examples

        document(self.get_params(ctx))
        super().format_help(ctx, formatter)
        print_examples(self.name or "")


app = typer.Typer(
    cls=_Group,
    rich_markup_mode="rich",
    add_completion=False,
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


def main() -> None:
    """Run the command line and end the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # What the system asks to end is ended like by Ctrl-C: what is finished is kept.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    if "--debug" not in sys.argv and not sys.warnoptions:
        warnings.simplefilter("ignore")
    app(prog_name="leap-audit")
