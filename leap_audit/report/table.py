"""results.csv: the audit as one table, in the columns of the API's DataFrame."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from leap_audit.artifacts import Audit, Isolation, Prototype, Sample
from leap_audit.text.names import joined, visible

__all__ = ["COLUMNS", "result_rows", "results_table", "write_table"]

COLUMNS = (
    "project",
    "target_class",
    "output_class",
    "target_index",
    "output_index",
    "kind",
    "sample",
    "logits",
    "probs",
    "entanglement",
    "step",
    "prototype",
    "isolation",
    "mask",
)
_TEXT = ("project", "target_class", "output_class", "sample", "prototype", "isolation", "mask")
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def results_table(audit: Audit) -> pd.DataFrame:
    """Return one row per prototype, entanglement and isolation, with the columns COLUMNS.

    `kind` says which it is; what does not apply to a row is missing. `output_class` is the
    class measured, `target_class` the one the prototype was made for; a photograph has no
    target and names its file in `sample`. The classes of a hybrid are joined by '+'.
    """
    project = PurePosixPath(audit.model.file).stem
    rows = [
        {"project": project, **row}
        for row in result_rows(audit.classes, audit.prototypes, audit.samples)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def write_table(audit: Audit, path: Path) -> None:
    """Write the table as UTF-8 CSV, missing values empty.

    Names are hostile input: hidden characters are spelt out, and text that a spreadsheet would
    run as a formula gets an apostrophe in front. The indices are the keys to join by.
    """
    table = results_table(audit)
    for column in _TEXT:
        table[column] = table[column].map(_harmless, na_action="ignore")
    path.write_bytes(table.to_csv(index=False, lineterminator="\n").encode("utf-8"))


def result_rows(
    classes: Sequence[str], prototypes: Sequence[Prototype], samples: Sequence[Sample]
) -> Iterator[dict[str, Any]]:
    """Yield the cells of each row, without the project; a cell left out is missing."""
    for prototype in prototypes:
        target = _target(classes, prototype)
        own = [e for e in prototype.entanglements if e.class_ in prototype.target]
        yield {
            **target,
            "output_class": target["target_class"],
            "output_index": target["target_index"],
            "kind": "prototype",
            "logits": prototype.logit,
            "probs": prototype.prob,
            "entanglement": own[0].entanglement if len(own) == 1 else None,
            "step": prototype.steps,
            "prototype": prototype.image,
        }
        for each in prototype.entanglements:
            yield {
                **target,
                "output_class": each.name,
                "output_index": each.class_,
                "kind": "entanglement",
                "logits": each.logit,
                "probs": each.prob,
                "entanglement": each.entanglement,
                "step": prototype.steps,
                "prototype": prototype.image,
            }
        for isolation in prototype.isolations:
            yield {**target, **_isolation(isolation), "prototype": prototype.image}
    for sample in samples:
        for isolation in sample.isolations:
            yield {**_isolation(isolation), "sample": sample.file}


def _isolation(isolation: Isolation) -> dict[str, Any]:
    return {
        "output_class": isolation.name,
        "output_index": isolation.class_,
        "kind": "isolation",
        "logits": isolation.logit,
        "probs": isolation.prob,
        "isolation": isolation.image,
        "mask": isolation.mask,
    }


def _target(classes: Sequence[str], prototype: Prototype) -> dict[str, Any]:
    if len(prototype.target) == 1:
        return {"target_class": prototype.name, "target_index": prototype.target[0]}
    return {
        "target_class": joined(classes[index] for index in prototype.target),
        "target_index": joined(prototype.target),
    }


def _harmless(text: str) -> str:
    shown = visible(text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown
