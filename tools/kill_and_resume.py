"""Kill an audit again and again, let it go on, and compare it with one that nobody disturbed.

    python -m tools.kill_and_resume MODEL --kills 20 --terms 10 -- --targets 0-3 --samples photos/

Words after `--` are the audit's own options. First the audit runs undisturbed. Then the same
command is started and ended at random moments with SIGKILL and SIGTERM, and at last left to finish.
Both write with SOURCE_DATE_EPOCH, and every file must have the same bytes; and no unit of work but
the one at hand may be done twice. Prints what happened; the exit code is 1 where something differs.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from leap_audit.pipeline.kept import folder_of_parts

__all__ = ["differing_files", "main"]

EPOCH = "1700000000"
LONGEST = 3600.0


def differing_files(one: Path, other: Path) -> list[str]:
    """Return the files, by their paths in the folder, that are missing or differ in either."""
    names = {
        file.relative_to(folder).as_posix()
        for folder in (one, other)
        for file in folder.rglob("*")
        if file.is_file()
    }
    return sorted(name for name in names if _bytes(one / name) != _bytes(other / name))


def _bytes(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def _start(words: list[str], out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "leap_audit", *words, "--out", str(out), "--quiet"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )


def _parts(out: Path) -> dict[str, int]:
    """Name -> when it was written, of each finished part."""
    files = folder_of_parts(out).glob("*.npz")
    return {file.name: file.stat().st_mtime_ns for file in files}


def _disturbed(words: list[str], out: Path, signals: list[int], seconds: float, seed: int) -> int:
    """Start the audit and end it by each of the signals; return how many parts were rewritten."""
    draw, rewritten, sofar = random.Random(seed), 0, _parts(out)
    for number, how in enumerate(signals, 1):
        process = _start(words, out)
        # What is finished is passed over, so that the moments of the whole run are all reached.
        wait = draw.uniform(0.0, 1.1 * seconds)
        try:
            if code := process.wait(wait):
                raise SystemExit(f"the audit itself ended with exit code {code}")
            early = True
        except subprocess.TimeoutExpired:
            early = False
            process.send_signal(how)
            process.wait(LONGEST)
        now = _parts(out)
        again = sum(now.get(name, time_) != time_ for name, time_ in sofar.items() if name in now)
        rewritten += again
        name = signal.Signals(how).name
        said = "had finished" if early else f"{name} after {wait:.1f} s"
        print(f"{number}: {said}; {len(now)} parts, {again} of them done again", flush=True)
        sofar = now
    return rewritten


def main() -> int:
    """Run the comparison that the command line describes; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--kills", type=int, default=20, help="by SIGKILL")
    parser.add_argument("--terms", type=int, default=10, help="by SIGTERM")
    parser.add_argument("--seed", type=int, default=0)
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    said = parser.parse_args(given[:end])
    words = [str(said.model), *given[end + 1 :]]
    signals = [signal.SIGKILL] * said.kills + [signal.SIGTERM] * said.terms
    random.Random(said.seed).shuffle(signals)
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder, "whole"), Path(folder, "broken")
        started = time.monotonic()
        if code := _start(words, whole).wait(LONGEST):
            print(f"the undisturbed audit ended with exit code {code}")
            return 1
        seconds = time.monotonic() - started
        print(f"undisturbed: {seconds:.1f} s", flush=True)
        rewritten = _disturbed(words, broken, list(signals), seconds, said.seed)
        started = time.monotonic()
        code = _start(words, broken).wait(LONGEST)
        print(f"the last run: {time.monotonic() - started:.1f} s, exit code {code}")
        differing = differing_files(whole, broken)
        left = sorted(path.name for path in Path(folder).iterdir())
        print(f"files that differ: {differing or 'none'}; parts done again: {rewritten}")
        print(f"left beside each other: {left}")
        return int(bool(code or differing or rewritten or left != ["broken", "whole"]))


if __name__ == "__main__":
    sys.exit(main())
