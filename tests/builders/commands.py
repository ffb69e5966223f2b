"""Several commands in one process: each would import everything again."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_RUN = """
import json, sys
from typer.testing import CliRunner
from leap_audit.cli import app
for words in json.loads(sys.argv[1]):
    done = CliRunner().invoke(app, words)
    print(json.dumps([done.exit_code, done.stdout, done.stderr]))
"""


class Said(NamedTuple):
    """What a command said, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


def run_commands(
    *commands: Sequence[str],
    env: dict[str, Any],
    cwd: Path,
    before: Callable[[], None] | None = None,
) -> list[Said]:
    """Return what each said. before: called in the new process before Python starts."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, json.dumps(commands)],
        env=env,
        cwd=cwd,
        preexec_fn=before,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Said(*json.loads(line)) for line in done.stdout.splitlines()]
