"""Do other networks recognise the prototypes of a network? And what do they look like together?

    python -m benchmarks.transfer MODEL --classes NAMES --targets 1,8,20-25 \\
        --judge OTHER --judge-names NAMES [--option lr=0.03] [--sheet prototypes.png]
    python -m benchmarks.transfer --matrix imagenet [--rows even] [--seeds 0 1] [--option lr=0.03]

Makes a prototype of each target with leap-audit, on the finished PNG's 8-bit levels, and asks each
judge, a classifier of another architecture, where it puts the target. Judges are matched to the
model's classes by name (the first of the synonyms that a comma parts, in any case). Their
preprocessing is what leap-audit infers; `--judge-preprocessing` gives it as JSON, `--preprocessing`
the model's own. Repeat `--judge` and its two companions for several. `--matrix` has the networks of
a suite (imagenet, cifar10, digits) judge one another (benchmarks/transfer_matrix.py), and writes a
sheet for each of them: `--sheet prototypes.jpg` becomes `prototypes-squeezenet.jpg` and so on.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.judging import ranks, resized
from benchmarks.sheets import contact_sheet
from benchmarks.transfer_matrix import add_options, print_suite
from leap_audit.config import DeclaredPreprocessing, PrototypeOptions
from leap_audit.ingest import load
from leap_audit.ingest.classes.lists import read_classes
from leap_audit.ingest.classes.targets import select_targets
from leap_audit.ingest.model import Model
from leap_audit.measure.plan import choose_batches, logit_spread
from leap_audit.measure.prototype import Request, make_prototypes, settled_for
from leap_audit.measure.run import Run
from leap_audit.run.providers import choose_provider

__all__ = ["same_class"]


def main() -> None:
    args = _arguments()
    if args.matrix:
        print_suite(args, _options(args.option))
        return
    model = _loaded(args.model, args.preprocessing)
    names = read_classes(args.classes)
    targets = select_targets(tuple(args.targets.split(",")), names)
    pictures, seconds = _prototypes(model, targets, args)
    own = Run(model, 1, args.threads).logits(pictures)
    first = np.mean([row.argmax() == k for row, k in zip(own, targets, strict=True)])
    print(f"{len(targets)} prototypes in {seconds:.0f} s; the model itself: first {first:.2f}")
    for number, path in enumerate(args.judge or []):
        given = args.judge_preprocessing or []
        judge = _loaded(path, given[number] if number < len(given) else "{}")
        judged = Run(judge, 1, args.threads)
        theirs = read_classes(args.judge_names[number])
        seen = resized(pictures, judge)
        places = ranks(judged.logits(seen), [same_class(names[k], theirs) for k in targets])
        for k, place in zip(targets, places, strict=True):
            print(f"  {names[k][:40]:42} rank {place + 1}")
        top = [np.mean(places < n) for n in (1, 5)]
        print(f"{path.name}: first {top[0]:.2f}, among the first five {top[1]:.2f}")
    if args.sheet:
        contact_sheet(pictures, args.sheet, columns=args.columns, side=args.side)


def same_class(name: str, names: tuple[str, ...]) -> int:
    """Return the place in `names` of the class that is called `name`, by the first synonym.

    Raises SystemExit: no name, or more than one, begins so.
    """
    plain = [_first(each) for each in names]
    if plain.count(_first(name)) != 1:
        raise SystemExit(f"the judge has {plain.count(_first(name))} classes called {name!r}")
    return plain.index(_first(name))


def _prototypes(
    model: Model, targets: list[int], args: argparse.Namespace
) -> tuple[NDArray[Any], float]:
    options = settled_for(_options(args.option), model, args.threads)
    batches = choose_batches(model, options.views or 1)
    spread = logit_spread(Run(model, 1, args.threads), args.seed)
    started = time.perf_counter()
    drawn = make_prototypes(
        Run(model, 1, args.threads),
        [Request((k,)) for k in targets],
        options,
        seed=args.seed,
        batch=batches.prototypes,
        spread=spread,
        advance=_uncounted,
    )
    pictures = np.stack([np.round(each.picture * 255) / 255 for each in drawn])
    return pictures.astype(np.float32), time.perf_counter() - started


def _options(words: list[str]) -> PrototypeOptions:
    given = {key: json.loads(value) for key, _, value in (word.partition("=") for word in words)}
    return PrototypeOptions.parse(given, "--option")


def _uncounted(units: int = 1) -> None:
    """Take the progress of the work and do nothing with it."""


def _loaded(path: Path, preprocessing: str) -> Model:
    declared = DeclaredPreprocessing.parse(json.loads(preprocessing), "preprocessing")
    return load(path, declared, choose_provider())


def _first(name: str) -> str:
    return name.partition(",")[0].strip().lower()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--classes", type=Path)
    parser.add_argument("--targets", default="all")
    parser.add_argument("--preprocessing", default="{}", metavar="JSON")
    parser.add_argument("--judge", type=Path, action="append")
    parser.add_argument("--judge-names", type=Path, action="append")
    parser.add_argument("--judge-preprocessing", action="append", metavar="JSON")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=JSON")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="write the prototypes, PNG or JPEG")
    parser.add_argument("--columns", type=int, default=6, help="of a sheet")
    parser.add_argument("--side", type=int, help="of each picture in a sheet, in pixels")
    add_options(parser)
    args = parser.parse_args()
    if not args.matrix and (args.model is None or args.classes is None):
        parser.error("give a model and --classes, or --matrix")
    return args


if __name__ == "__main__":
    main()
