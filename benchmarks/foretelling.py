"""Does one table of scores foretell another? Rank correlation, precision, and chance."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from leap_audit.run.session import Array

__all__ = ["Foretold", "foretold", "permuted", "spearman"]

MOST, STRONGEST = 3, 10
"""The precision: the share of so many most entangled that are among so many strongest, or, of few
classes, among a third of them."""
PERMUTATIONS = 10_000


@dataclass(frozen=True)
class Foretold:
    """How well each row of a reading foretells each row of what was seen."""

    spearman: Array
    """(readings, seen): rank correlation over the classes other than that of the row seen."""
    precision: Array
    """(readings, seen): share of the MOST entangled others among the STRONGEST others seen."""


def spearman(a: Array, b: Array) -> Array:
    """Return Spearman's rank correlation of rows of `a` with rows of `b`, (len(a), len(b)).

    Ties share their mean rank. NaN where a row is constant.
    """
    ranks = [pd.DataFrame(rows).rank(axis=1).to_numpy(float) for rows in (a, b)]
    centred = [rows - rows.mean(1, keepdims=True) for rows in ranks]
    norms = [np.linalg.norm(rows, axis=1) for rows in centred]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(centred[0] @ centred[1].T / np.outer(*norms))


def foretold(reading: Array, seen: Array, classes: Array, left_out: Array) -> Foretold:
    """Compare each row of `reading` with each row of `seen`, both (n, classes).

    classes: (n,), the class of each row of `seen`. It is left out of the comparison, and so are
    the classes `left_out` that mean nothing.
    """
    rank, share = np.empty((2, len(reading), len(seen)))
    for j, own in enumerate(classes):
        others = np.setdiff1d(np.arange(reading.shape[1]), [own, *left_out])
        rank[:, j] = spearman(reading[:, others], seen[j : j + 1, others])[:, 0]
        strongest = np.argsort(-seen[j, others])[: min(STRONGEST, len(others) // 3)]
        most = np.argsort(-reading[:, others], axis=1)[:, :MOST]
        share[:, j] = np.isin(most, strongest).mean(1)
    return Foretold(rank, share)


def permuted(table: Array, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return the mean of the diagonal, that of permuted rows, and the chance to reach the first.

    table: (n, n), how well row i of a reading foretells row j of what was seen. The chance is
    that of a random assignment of rows, itself among those counted (Phipson and Smyth 2010).
    """
    n = len(table)
    orders = rng.permuted(np.tile(np.arange(n), (PERMUTATIONS, 1)), axis=1)
    means = table[orders, np.arange(n)].mean(1)
    found = float(np.trace(table) / n)
    # The same rows summed in another order are the same mean, but for the last digits.
    reached = int((means >= found - 1e-12).sum())
    return found, float(means.mean()), (1 + reached) / (1 + PERMUTATIONS)
