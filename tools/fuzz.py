"""Mutated files against what reads them: `python -m tools.fuzz --count 5000 --seed 0`.

Each file is read in a child forked from this process, under limits, by the function that reads it
in an audit. What may come out is a result, a LeapAuditError of one sentence, or an end that the
child process of an audit would contain: a crash, too much memory, too long. Any other exception is
a defect in leap-audit, printed with its traceback; then the exit code is 1.
"""

import argparse
import importlib
import os
import pickle
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from leap_audit.artifacts import Preprocessing
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import LeapAuditError
from leap_audit.ingest.classes.lists import read_classes
from leap_audit.ingest.loading import load_file
from leap_audit.ingest.pictures.images import read_picture
from leap_audit.ingest.pictures.photographs import photograph_names, read_photographs
from leap_audit.ingest.pictures.preprocessing import read_preprocessing
from leap_audit.ingest.pictures.sandboxed import photographs_child
from leap_audit.ingest.sandbox.child import apply_limits, is_of_memory
from leap_audit.ingest.sandbox.parent import Limits
from leap_audit.run.providers import Provider, runtime
from tests.builders.mutate import mutated_bytes, mutated_model
from tests.builders.seeds import models, others

__all__ = ["Outcomes", "Read", "forked", "fuzz", "pictures_in", "reader", "reading"]

Read = Callable[[Path], object]

SAMPLES = Path(__file__).resolve().parents[1] / "sample_models"
LIMITS = Limits(memory=4 << 30, seconds=60)
CPU = Provider("CPUExecutionProvider", "cpu")
LONGEST = 2000
PLAIN = Preprocessing(
    layout="NCHW",
    channel_order="RGB",
    range=(0, 1),
    mean=(0, 0, 0),
    std=(1, 1, 1),
    resize="crop",
    input_size=(8, 8),
    assumed={},
)


@dataclass
class Outcomes:
    """How often reading ended how, and what it must not do."""

    counts: Counter[str] = field(default_factory=Counter)
    defects: dict[str, str] = field(default_factory=dict)
    """The file's number -> the traceback, or what is wrong with the sentence."""
    seconds: float = 0.0

    def __str__(self) -> str:
        lines = [f"{count:6d}  {kind}" for kind, count in sorted(self.counts.items())]
        lines.append(f"{self.counts.total():6d}  files in {self.seconds:.0f} s")
        lines += [f"\nfile {number}:\n{said}" for number, said in sorted(self.defects.items())]
        return "\n".join(lines)


def fuzz(numbers: Iterable[int], seed: int, folder: Path) -> Outcomes:
    """Return how reading the files of these numbers went; they are written into `folder`."""
    runtime()  # imported once, before the forks, as what `load_file` imports when it is called
    for name in ("model", "source"):
        importlib.import_module(f"leap_audit.ingest.{name}")
    seeds, rest = models(SAMPLES), others()
    outcomes = Outcomes()
    begun = time.monotonic()
    for number in numbers:
        path, read = _case(number, seed, seeds, rest, folder)
        kind, said = forked(read, path)
        outcomes.counts[kind] += 1
        if kind == "uncontained":
            outcomes.defects[f"{number} of seed {seed} ({path.name})"] = said
        path.unlink()
    outcomes.seconds = time.monotonic() - begun
    return outcomes


def _case(
    number: int, seed: int, seeds: list[Any], rest: dict[str, bytes], folder: Path
) -> tuple[Path, Read]:
    """Write the file of this number, and return what reads it."""
    rng = np.random.default_rng((seed, number))
    if rng.random() < 0.25:
        name = sorted(rest)[rng.integers(len(rest))]
        data = mutated_bytes(rest[name], rest[sorted(rest)[rng.integers(len(rest))]], rng)
    else:
        name = "m.onnx"
        # Mostly the small ones, which are read several times faster.
        chosen, other = (
            seeds[len(seeds) - 1 - int(len(seeds) * rng.random() ** 1.5)] for _ in "12"
        )
        if rng.random() < 0.75:
            data = mutated_model(chosen, rng)
        else:
            data = mutated_bytes(chosen.SerializeToString(), other.SerializeToString(), rng)
    path = folder / name
    path.write_bytes(data)
    return path, reader(name)


def reader(name: str) -> Read:
    if name.startswith("classes"):
        return read_classes
    if name.startswith("picture"):
        return lambda path: read_picture(path, PLAIN)
    if name.startswith("preprocessing"):
        return read_preprocessing
    return lambda path: load_file(path, DeclaredPreprocessing(), None, None, None)


def forked(read: Read, path: Path) -> tuple[str, str]:
    """Return (kind, what was said) of reading a file in a child under limits."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        _silent()
        apply_limits(LIMITS)
        with os.fdopen(send, "wb") as pipe:
            pickle.dump(reading(read, path), pipe)
            pipe.flush()
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        on_time = bool(select.select([pipe], [], [], LIMITS.seconds)[0])
        said = pipe.read() if on_time else b""
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if said:
        kind, text = pickle.loads(said)
        return str(kind), str(text)
    if not on_time:
        return "contained: took too long", ""
    return f"contained: {signal.strsignal(os.WTERMSIG(status)) or status}", ""


def _silent() -> None:
    """What native code prints says nothing that the outcome does not."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def reading(read: Read, path: Path) -> tuple[str, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(path)
    except LeapAuditError as error:
        if is_of_memory(error):
            return "contained: no more memory", ""
        sentence = str(error)
        if "\n" in sentence or len(sentence) > LONGEST or not sentence.endswith((".", "?")):
            return "uncontained", f"{traceback.format_exc()}\nis not one short sentence"
        return f"refused: {type(error).__name__}", sentence
    except MemoryError:
        return "contained: no more memory", ""
    except Exception:
        return "uncontained", traceback.format_exc()
    return "read all the same", ""


def _together(shares: Iterable[Outcomes]) -> Outcomes:
    every = Outcomes()
    for found in shares:
        every.counts += found.counts
        every.defects |= found.defects
        every.seconds = max(every.seconds, found.seconds)
    return every


def _job(numbers: range, seed: int) -> Outcomes:
    with tempfile.TemporaryDirectory() as folder:
        return fuzz(numbers, seed, Path(folder))


def main() -> int:
    """Fuzz as the words say, print what happened, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    shares = [range(job, given.count, given.jobs) for job in range(given.jobs)]
    if given.jobs == 1:
        every = _job(shares[0], given.seed)
    else:
        with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
            every = _together(pool.map(_job, shares, [given.seed] * given.jobs))
    print(every)
    return 1 if every.defects else 0


if __name__ == "__main__":
    sys.exit(main())


def pictures_in(paths: list[Path]) -> list[tuple[Any, str]]:
    """Each photograph as an audit reads it, in a child, and its SHA-256."""
    with photographs_child(paths) as ask:
        names = photograph_names(paths, ask)
        read = read_photographs(paths, names, PLAIN, ask=ask)
    return list(zip(read.pictures, names.digests, strict=True))
