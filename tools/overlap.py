"""Compare the class overlap of an audit with the mistakes that the model makes later.

    python -m tools.overlap [--audit FOLDER]

Audits sample_models/digits_clean.onnx without a photograph, then lets the model read the held-out
digits in 20 distortions each, and counts for each pair of classes how often one was taken for the
other. Writes docs/sample/overlap.json and the pictures that the README shows.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from PIL import Image

from leap_audit.artifacts import Audit
from leap_audit.pipeline import audit
from tools.front_door import MODELS, SAMPLE, WORK, enlarged, plain

DISTORTIONS = 20
SEED = 1
FIFTH = 9
"""Pairs that are a fifth of the 45."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audit", type=Path, help="a finished audit of digits_clean.onnx")
    folder = parser.parse_args().audit
    if folder is None:
        out = WORK / "digits-audit"
        folder = audit(MODELS / "digits_clean.onnx", MODELS / "digits.txt", out=out).folder
    record = Audit.read(folder)
    shared = overlap(record)
    mistakes, example = misread()
    pairs = np.triu_indices(len(record.classes), 1)
    shared, counted = shared[pairs], (mistakes + mistakes.T)[pairs]
    first = np.argsort(-shared)
    a, b = (int(each[first[0]]) for each in pairs)
    ranks = np.corrcoef(np.argsort(np.argsort(shared)), ranked(counted))[0, 1]
    facts = {
        "pair": [record.classes[a], record.classes[b]],
        "mistakes of the pair": int(counted[first[0]]),
        "mistakes": int(counted.sum()),
        "pictures": int(mistakes.sum()),
        "pairs": len(counted),
        "mean of a pair": round(float(counted.mean()), 1),
        "in the first fifth": round(float(counted[first[:FIFTH]].sum() / counted.sum()), 3),
        "rank correlation": round(float(ranks), 2),
    }
    SAMPLE.mkdir(parents=True, exist_ok=True)
    (SAMPLE / "overlap.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    for name, index in (("one", a), ("other", b)):
        made = next(each for each in record.prototypes if each.target == (index,))
        plain(enlarged(folder / made.image), f"overlap-{name}")
    picture = Image.fromarray((example[a, b] * 255).round().astype(np.uint8)).convert("RGB")
    plain(picture.resize((256, 256), Image.Resampling.BICUBIC), "overlap-mistake")


def overlap(record: Audit) -> np.ndarray:
    """Return (classes, classes): the mean of both directions of the entanglement."""
    assert record.matrix is not None
    table = np.zeros((len(record.classes), len(record.classes)))
    for made, row in zip(record.prototypes, record.matrix.cosines, strict=True):
        table[made.target[0], list(record.matrix.classes)] = row
    return (table + table.T) / 2


def misread() -> tuple[np.ndarray, dict[tuple[int, int], np.ndarray]]:
    """Return (shown, answered) counts on distorted held-out digits, and a picture of each mistake.

    The picture of a mistake is the one of which the model is surest.
    """
    sys.path.insert(0, str(MODELS))
    import build  # of sample_models, which is no package

    _, _, pictures, labels, _ = build.split()
    session = onnxruntime.InferenceSession(MODELS / "digits_clean.onnx")
    (name,) = (each.name for each in session.get_inputs())
    draw = torch.Generator().manual_seed(SEED)
    counts = np.zeros((10, 10), int)
    examples: dict[tuple[int, int], tuple[float, np.ndarray]] = {}
    for _ in range(DISTORTIONS):
        shown = build.augmented(pictures, draw).numpy()
        scores = session.run(None, {name: shown})[0]
        for truth, row, picture in zip(labels.tolist(), scores, shown, strict=True):
            said = int(row.argmax())
            counts[truth, said] += 1
            margin = float(row[said] - row[truth])
            if said != truth and margin > examples.get((truth, said), (0.0, picture))[0]:
                examples[truth, said] = (margin, picture[0])
    return counts, {pair: picture for pair, (_, picture) in examples.items()}


def ranked(values: np.ndarray) -> np.ndarray:
    """Return ranks, equal values sharing their mean rank (Spearman)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


if __name__ == "__main__":
    main()
