"""How a command ends: every error as one sentence with its exit code, a result as a few lines."""

import errno
import json
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from leap_audit.cli.judging import checks_of, lines_of_checks
from leap_audit.errors import AuditIncomplete, LeapAuditError, LessOptimised, lacks_memory
from leap_audit.text.filenames import legible
from leap_audit.text.lists import few
from leap_audit.text.numbers import count

if TYPE_CHECKING:
    from leap_audit.artifacts import Audit
    from leap_audit.pipeline import AuditResult, Inspection
    from leap_audit.terminal import Terminal

__all__ = ["answering", "conclude", "conclude_dry_run", "lines_of", "summary_of"]

REFUSED = 3
MEMORY = (
    "There is not enough memory; pass --batch 1, audit fewer classes, or give this process more "
    "(`ulimit -v` says what it may have)."
)


@contextmanager
def answering(
    *, debug: bool, quiet: bool = False, as_json: bool = False, trust: bool = False
) -> Iterator["Terminal"]:
    """Yield the terminal of a command, and end the command with a sentence when it fails.

    `as_json` prints that sentence on stdout as well, as {"status", "error"}. trust: models that are
    programs are opened without walls (--trust-model).
    """
    from leap_audit.ingest.sandbox.trust import trust_models
    from leap_audit.terminal import Terminal

    terminal = Terminal(quiet=quiet)

    def end(sentence: str, code: int = REFUSED, status: str = "refused") -> NoReturn:
        if debug:
            traceback.print_exc()
        terminal.error(sentence)
        if as_json:
            print(json.dumps({"status": status, "error": legible(sentence)}, indent=2), flush=True)
        raise typer.Exit(code) from None

    try:
        with trust_models(trust), _warned(terminal):
            yield terminal
    except AuditIncomplete as error:
        end(str(error), error.exit_code, "incomplete")
    except LeapAuditError as error:
        end(str(error), error.exit_code)
    except KeyboardInterrupt:
        end("Interrupted before anything was finished; nothing was written.")
    except MemoryError:
        end(MEMORY)
    except OSError as error:
        if error.errno == errno.EPIPE:
            # Whoever read stdout has gone; what is still buffered must not fail at exit.
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
            raise typer.Exit(REFUSED) from None
        end(_sentence_of(error))
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:
        if lacks_memory(str(error)):
            end(MEMORY)
        end(  # a defect: still a sentence, still not a pass
            f"leap-audit itself failed ({type(error).__name__}: {error}). This is a defect: "
            "please report it with what --debug prints."
        )


@contextmanager
def _warned(terminal: "Terminal") -> Iterator[None]:
    """Say on the terminal, once, that ONNX Runtime optimises less than it would."""
    said = False
    show = warnings.showwarning

    def shown(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        nonlocal said
        if not issubclass(category, LessOptimised):
            show(message, category, *place, **more)
        elif not said:
            said = True
            terminal.warn(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", LessOptimised)
        warnings.showwarning = shown
        yield


def _sentence_of(error: OSError) -> str:
    """What failed, where, and what to do, for an error of the system."""
    place = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return (
            f"{place}{error.strerror}: the disk is full. Make room there, or choose another place "
            "with --out; TMPDIR names the place of temporary files."
        )
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return (
            f"{place}{error.strerror}: this process may open no more files. Raise the limit "
            "(`ulimit -n 4096`) and try again."
        )
    if error.errno == errno.ENOMEM:
        return MEMORY
    return f"{place}{error.strerror or error}."


def conclude(result: "AuditResult", terminal: "Terminal", *, as_json: bool) -> None:
    """Say how an audit ended, and print where its report is or what programs need to know."""
    for line in lines_of(result.audit):
        terminal.note(line)
    if as_json:
        print(json.dumps(summary_of(result.audit, result.folder), indent=2), flush=True)
    else:
        print(result.folder / "report.html", flush=True)


def conclude_dry_run(inspection: "Inspection", terminal: "Terminal", *, as_json: bool) -> None:
    """Say that nothing was measured, and print the first names or what programs need to know."""
    names = few([repr(name) for name in inspection.classes], 6)
    terminal.note(f"{len(inspection.classes)} classes: {names}.")
    terminal.note("Dry run: nothing was measured and nothing was written.")
    if as_json:
        print(json.dumps(inspection.summary(), indent=2), flush=True)


def summary_of(audit: "Audit", folder: Path) -> dict[str, Any]:
    """Return the summary of an audit for programs: verdict, checks, findings, places."""
    from leap_audit.findings import concern_of

    reports = {
        "json": "audit.json",
        "html": "report.html",
        "pdf": "report.pdf",
        "csv": "results.csv",
    }
    severities = [finding.severity for finding in audit.findings]
    return {
        "schema": audit.schema_,
        "status": audit.status,
        "verdict": audit.verdict,
        **checks_of(audit),
        "folder": legible(folder),
        "reports": {kind: legible(folder / file) for kind, file in reports.items()},
        "classes_audited": audit.coverage.classes_audited,
        "classes_in_all": audit.coverage.classes_in_all,
        "prototypes": len(audit.prototypes),
        "samples": len(audit.samples),
        "concern": concern_of(audit).level,
        "findings": [
            finding.model_dump(
                mode="json",
                include={"id", "rule", "severity", "title", "consequence", "action", "confirmed"},
            )
            for finding in audit.findings
        ],
        "findings_by_severity": {name: severities.count(name) for name in sorted(set(severities))},
        "provider": audit.environment.provider,
        "seconds": audit.environment.seconds,
    }


def lines_of(audit: "Audit", limit: int = 5) -> list[str]:
    """Return what a person wants to know at the end: how far, verdict, checks, findings."""
    coverage = audit.coverage
    lines = [
        f"{audit.status.capitalize()}: {coverage.classes_audited} of {coverage.classes_in_all} "
        f"classes, {count(len(audit.samples), 'photograph')}. Verdict: {audit.verdict}."
    ]
    lines += lines_of_checks(audit)
    lines += [f"  {finding.severity}: {finding.title}" for finding in audit.findings[:limit]]
    if len(audit.findings) > limit:
        lines.append(f"  and {count(len(audit.findings) - limit, 'more finding')} in the report")
    return lines
