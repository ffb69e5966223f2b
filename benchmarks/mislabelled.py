"""Which ranking finds labels that were changed? (Koh and Liang 2017; Pruthi et al. 2020)

    python -m benchmarks.mislabelled [--seeds 3] [--share 0.05]

Of scikit-learn's 1,797 digits, enlarged to 32 × 32 and cut to the 28 × 28 of the sample model, a
share of the labels is changed at random. Rankings of all pictures, by the area under the ROC curve
for those that were changed: self-influence on a layer that is fitted to the features of the model
without the picture; the probability of the label by that layer; how sure the model itself is of its
answer; a random order. Beside them what is listed as mislabelled.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leap_audit.ingest import load
from leap_audit.measure.examples.gathered import Gathered, softmax_rows
from leap_audit.measure.examples.last_layer import self_influence
from leap_audit.measure.examples.mislabelled import judged_labels
from leap_audit.measure.examples.probe import out_of_fold, ridge_of
from leap_audit.measure.run import Run
from leap_audit.run.session import Array

MODEL = Path(__file__).resolve().parents[1] / "sample_models" / "digits_clean.onnx"
CLASSES = 10


class Found(NamedTuple):
    """What was found of labels that were changed."""

    areas: dict[str, float]
    """Ranking -> area under the ROC curve."""
    listed: int
    right: int
    """Of those listed, how many were changed."""


def found(features: Array, logits: Array, labels: Array, changed: int, seed: int) -> Found:
    """Return what is found of so many changed labels. features, logits: (n, ...) of the model."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    given = labels.copy()
    chosen = rng.choice(len(labels), changed, replace=False)
    given[chosen] = (labels[chosen] + rng.integers(1, CLASSES, changed)) % CLASSES
    wrong = given != labels
    plain = Gathered.of(features, None, given)
    judged = out_of_fold(plain, CLASSES, ridge_of(plain))
    own = softmax_rows(judged.scores())[np.arange(len(given)), given]
    rankings = {
        "self-influence": self_influence(judged),
        "probability of the label": -own,
        "confidence of the model": -softmax_rows(logits).max(1),
        "random": rng.random(len(given)),
    }
    doubted = [each.place for each in judged_labels(judged).doubted]
    areas = {name: float(roc_auc_score(wrong, values)) for name, values in rankings.items()}
    return Found(areas, len(doubted), int(wrong[doubted].sum()))


def digits() -> tuple[Array, Array]:
    """Return scikit-learn's digits as (n, 1, 28, 28) in 0..1, and their labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    small = data.images.astype(np.float32) / 16
    return small.repeat(4, 1).repeat(4, 2)[:, None, 2:-2, 2:-2], data.target.astype(np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.05)
    said = parser.parse_args()
    pictures, labels = digits()
    run = Run(load(MODEL), 64)
    features, logits = run.features(pictures), run.logits(pictures)
    changed = round(said.share * len(labels))
    print(f"{changed} of {len(labels)} labels changed")
    for seed in range(said.seeds):
        result = found(features, logits, labels, changed, seed)
        areas = ", ".join(f"{name} {value:.4f}" for name, value in result.areas.items())
        print(f"seed {seed}: {areas}; {result.listed} listed, {result.right} of them changed")


if __name__ == "__main__":
    main()
