"""What `generate` returns: a table of rows, and the probabilities on the way."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leap_audit.artifacts import Sample
from leap_audit.ingest.outputs.answer import Answer
from leap_audit.measure.prototype import Drawn
from leap_audit.pipeline.assembly import AuditParts
from leap_audit.report.table import COLUMNS, result_rows
from leap_audit.text.names import joined

__all__ = ["results_dict", "results_frame"]

PICTURES = ("sample", "prototype", "isolation", "mask")


def results_frame(
    project: str, record: AuditParts, classes: Sequence[str], folder: Path
) -> pd.DataFrame:
    """Return one row per prototype, entanglement and isolation, with the columns COLUMNS.

    The pictures are paths relative to the working folder.
    """
    rows = []
    for row in result_rows(classes, record.prototypes, _numbered(record)):
        paths = {
            name: (folder / row[name]).as_posix() for name in PICTURES if row.get(name) is not None
        }
        rows.append({**row, **paths, "project": project})
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def _numbered(record: AuditParts) -> list[Sample]:
    """The samples, each called as its picture."""
    return [each.model_copy(update={"file": each.image}) for each in record.samples]


def results_dict(
    drawn: Sequence[Drawn], record: AuditParts, classes: Sequence[str], answer: Answer
) -> dict[str, Mapping[str, Any]]:
    """Return, for each prototype and each isolation on a sample, the probabilities on the way.

    Of a prototype: `target` (class numbers), `step` (how many steps had been made) and `probs`
    (stages, classes). Of an isolation: `target`, `step` (the whole picture, only the
    region kept, the region erased) and `probs` (3, 1), of its class.

    answer: what the logits are.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for each in drawn:
        name = joined(classes[k] for k in each.request.target)
        found[f"prototype {each.request.replicate} of {name}"] = {
            "target": list(each.request.target),
            "step": [stage.step for stage in each.stages],
            "probs": answer.probabilities(
                np.stack([stage.logits for stage in each.stages], axis=1)
            ).T,
        }
    for number, sample in enumerate(record.samples):
        for each_isolation in sample.isolations:
            found[f"sample {number}, {each_isolation.name} [{each_isolation.class_}]"] = {
                "target": [each_isolation.class_],
                "step": ["picture", "kept", "erased"],
                "probs": np.array(
                    [
                        [each_isolation.prob],
                        [each_isolation.prob_keep],
                        [each_isolation.prob_delete],
                    ]
                ),
            }
    return found
