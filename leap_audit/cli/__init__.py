"""The command line: parse, call, print.

Data goes to stdout, messages and progress to stderr. Exit codes: 0 done, 1 a threshold failed,
2 wrong words on the command line, 3 an input refused or an audit incomplete. What is slow to
import is imported inside the commands, so that --help answers at once.
"""

from leap_audit.cli import (  # their commands enter the app
    attach,
    audit,
    compare,
    doctor,
    explain,
    graphs,
    many,
    methods,
    report,
    training_examples,
    verify,
)
from leap_audit.cli.app import app, main

__all__ = [
    "app",
    "attach",
    "audit",
    "compare",
    "doctor",
    "explain",
    "graphs",
    "main",
    "many",
    "methods",
    "report",
    "training_examples",
    "verify",
]
