"""Small changes to the package, one at a time, and whether the tests notice each.

    python -m tools.mutants                    every mutant (minutes)
    python -m tools.mutants --only share       those whose name contains a word
    python -m tools.mutants --check            only whether each still applies to today's code

Each entry of tools/mutants.toml says where its text stands (`where`: a file, or a folder in one of
whose modules it stands once), what it is replaced by, and which tests should fail then. The tests
run in a copy of the checkout. An entry whose text no longer stands there once ends the program:
it has to follow the code. Exit code 0: all are killed; 1: some survive; 2: the list or the tests
themselves are wrong.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

__all__ = ["Mutant", "MutantWrong", "place_of", "read_mutants", "run", "verdict_of"]

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_suffix(".toml")
COPIED = ("benchmarks", "docs", "leap_audit", "sample_models", "templates", "tests", "tools")
SECONDS = 900
"""After which the tests of a mutant end; a change that makes them hang is noticed too."""
PASSED, FAILED, HUNG = 0, 1, -1
"""pytest's exit codes: all tests passed; some failed; and that it did not end in time."""


class MutantWrong(Exception):
    """A mutant does not apply, or its tests fail without it."""


@dataclass(frozen=True)
class Mutant:
    """One change of the package and the tests that should notice it."""

    name: str
    where: str
    """A module, or a folder, relative to the checkout."""
    old: str
    new: str
    tests: tuple[str, ...]


def read_mutants(path: Path = LIST) -> list[Mutant]:
    """Return the mutants of a TOML file, in its order.

    Raises MutantWrong: two have one name, one changes nothing, or one has no tests.
    """
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    mutants = [Mutant(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]
    names = [mutant.name for mutant in mutants]
    for mutant in mutants:
        if names.count(mutant.name) > 1:
            raise MutantWrong(f"{mutant.name}: two mutants have this name")
        if mutant.old == mutant.new or not mutant.tests:
            raise MutantWrong(f"{mutant.name}: changes nothing, or names no tests")
    return mutants


def place_of(mutant: Mutant, root: Path) -> Path:
    """Return the file that the mutant changes.

    Raises MutantWrong: its text does not stand exactly once in what `where` names, or one of its
    tests is no file.
    """
    for test in mutant.tests:
        if not (root / test.partition("::")[0]).exists():
            raise MutantWrong(f"{mutant.name}: there is no {test}; name the tests of today")
    place = root / mutant.where
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    times = {
        file: file.read_text(encoding="utf-8").count(mutant.old) for file in files if file.exists()
    }
    if sum(times.values()) != 1:
        raise MutantWrong(
            f"{mutant.name}: its text stands {sum(times.values())} times in {mutant.where}, not "
            f"once; bring tools/mutants.toml up to date:\n{mutant.old}"
        )
    return next(file for file, count in times.items() if count)


def run(mutant: Mutant | None, tests: Sequence[str], root: Path) -> int:
    """Return pytest's exit code of the tests in `root` with the mutant, or without one.

    root: a copy of the checkout, which is left as it was. HUNG: the tests did not end in SECONDS.
    """
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # Bytecode is recognised by the time and size of its source, which two mutants may share.
    given = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    file = place_of(mutant, root) if mutant is not None else None
    before = file.read_text(encoding="utf-8") if file is not None else ""
    try:
        if mutant is not None and file is not None:
            file.write_text(before.replace(mutant.old, mutant.new), encoding="utf-8")
        ended = subprocess.run(
            words, cwd=root, env=given, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return HUNG
    finally:
        if file is not None:
            file.write_text(before, encoding="utf-8")
    return ended.returncode


def verdict_of(code: int) -> str:
    """Return what an exit code of pytest says of a mutant.

    Only a failed test kills: a module that cannot be imported any more says nothing of the tests,
    and a hang is named apart, since a slow machine looks the same.
    """
    return {PASSED: "survived", FAILED: "killed", HUNG: "hung"}.get(code, "broken")


def _copied(folder: Path) -> Path:
    """Copy the checkout into a folder, without what was built or downloaded in it."""
    for name in COPIED:
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    for file in ROOT.iterdir():
        if (file.is_file() and file.suffix in {".toml", ".md", ".yml"}) or file.name == "Makefile":
            shutil.copy(file, folder)
    return folder


def main(words: Sequence[str] | None = None) -> int:
    """Run the mutants and print what became of each; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants")
    parser.add_argument("--only", default="", help="a word of the names of the mutants to run")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="only look whether each applies")
    asked = parser.parse_args(words)
    started = time.monotonic()
    try:
        mutants = [each for each in read_mutants() if asked.only in each.name]
        for mutant in mutants:
            place_of(mutant, ROOT)
        if asked.check:
            print(f"{len(mutants)} mutants apply")
            return 0
        verdicts = _all(mutants, asked.jobs)
    except MutantWrong as wrong:
        print(wrong, file=sys.stderr)
        return 2
    counts = {kind: list(verdicts.values()).count(kind) for kind in sorted({*verdicts.values()})}
    print(f"{counts}, {time.monotonic() - started:.0f} s")
    return int(any(verdict != "killed" for verdict in verdicts.values()))


def _all(mutants: Sequence[Mutant], jobs: int) -> dict[str, str]:
    """Return name -> verdict, each printed as it comes. Raises MutantWrong: sound code fails."""
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(jobs) as pool:
        free: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            folder = Path(temporary) / f"checkout-{number}"
            folder.mkdir()
            free.put(_copied(folder))

        def judged(mutant: Mutant | None, tests: Sequence[str]) -> int:
            root = free.get()
            try:
                return run(mutant, tests, root)
            finally:
                free.put(root)

        sound = sorted({test for mutant in mutants for test in mutant.tests})
        for test, code in zip(sound, pool.map(lambda t: judged(None, [t]), sound), strict=True):
            if code != PASSED:
                raise MutantWrong(f"{test} does not pass without any mutant (pytest: {code})")
        verdicts = {}
        codes = pool.map(lambda mutant: judged(mutant, mutant.tests), mutants)
        for mutant, code in zip(mutants, codes, strict=True):
            verdicts[mutant.name] = verdict_of(code)
            print(f"{verdicts[mutant.name]:<9} {mutant.name}", flush=True)
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
