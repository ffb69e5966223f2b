"""Audit on Ray, kill workers on the way, and compare with the audit of one process.

    python -m tools.lose_workers MODEL --kills 1 -- --threads 1 --targets 0-9 --effort quick
    python -m tools.lose_workers MODEL --kills 0 --without plain -- --targets all --minutes 10

Words after `--` are the audit's own options. First the audit runs in one process, then the same
command with `--ray local`, of which workers are killed at equal distances: the first of two when
a third of the units is finished. Both write with SOURCE_DATE_EPOCH, and every file must have the
same bytes. Prints the seconds of each run, and the most memory that its main process took: its
own (anonymous), and with files and shared memory that it had mapped. The exit code is 1 where
something differs. Linux alone: it reads /proc.

--without ray: only the run in one process; --without plain: only that on Ray.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from leap_audit.pipeline.kept import folder_of_parts
from tools.kill_and_resume import EPOCH, differing_files

__all__ = ["Watched", "main", "watched", "workers_of"]

EVERY = 0.2
"""Seconds between two looks at a run."""
WORKER = b"ray::Worker"
"""How the title of a worker's process begins."""


@dataclass(frozen=True)
class Watched:
    """What was observed of one run."""

    code: int
    seconds: float
    anonymous: int
    """The most memory of the main process, bytes."""
    resident: int
    """The same with what is mapped."""
    parts: int
    """The most finished units that lay beside the report at once."""
    killed: int


def watched(words: list[str], out: Path, kills: int = 0, units: int = 0) -> Watched:
    """Run an audit to `out`, and kill `kills` of its workers, evenly over `units` units."""
    command = [sys.executable, "-m", "leap_audit", *words, "--out", str(out), "--quiet"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    started, anonymous, resident, parts, killed = time.monotonic(), 0, 0, 0, 0
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(EVERY)
            status = _status(process.pid)
            anonymous = max(anonymous, status.get("RssAnon", 0))
            resident = max(resident, status.get("VmRSS", 0))
            finished = len(list(folder_of_parts(out).glob("*.npz")))
            parts = max(parts, finished)
            due = killed < kills and finished * (kills + 1) > units * (killed + 1)
            if due and (workers := workers_of(process.pid)):
                os.kill(workers[0], signal.SIGKILL)
                killed += 1
    seconds = time.monotonic() - started
    return Watched(process.returncode, seconds, anonymous, resident, parts, killed)


def _status(process: int) -> dict[str, int]:
    """Return the figures of a process's memory in bytes; none where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    split = [line.split() for line in lines]
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in split if words[-1] == "kB"}


def workers_of(process: int) -> list[int]:
    """Return the workers of the Ray that a process has started."""
    parents: dict[int, int] = {}
    workers = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            parents[int(folder.name)] = int(fields[1])
            if (folder / "cmdline").read_bytes().startswith(WORKER):
                workers.append(int(folder.name))
        except OSError:
            continue
    return sorted(each for each in workers if _descends(each, process, parents))


def _descends(process: int, from_: int, parents: dict[int, int]) -> bool:
    while process in parents:
        process = parents[process]
        if process == from_:
            return True
    return False


def main() -> int:
    """Run the comparison that the command line describes; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument(
        "--units",
        type=int,
        default=0,
        help="of the audit; 0: as many as the run in one process has",
    )
    parser.add_argument("--without", choices=["plain", "ray"])
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    said = parser.parse_args(given[:end])
    words = [str(said.model), *given[end + 1 :]]
    with tempfile.TemporaryDirectory() as folder:
        outs = {"plain": Path(folder, "plain"), "ray": Path(folder, "ray")}
        if said.without:
            del outs[said.without]
        codes, units = [], said.units
        for name, out in outs.items():
            more = ["--ray", "local"] if name == "ray" else []
            run = watched([*words, *more], out, said.kills if more else 0, units)
            units = units or run.parts
            codes.append(run.code)
            print(
                f"{name}: exit code {run.code}, {run.seconds:.0f} s, {run.anonymous / 1e6:.0f} MB "
                f"({run.resident / 1e6:.0f} MB with what is mapped), {run.killed} workers killed",
                flush=True,
            )
        differing = differing_files(*outs.values()) if len(outs) == 2 else []
        print(f"files that differ: {len(differing)} {differing[:5]}")
        return int(any(codes) or bool(differing))


if __name__ == "__main__":
    sys.exit(main())
