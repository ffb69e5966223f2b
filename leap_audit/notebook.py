"""Results shown where they were computed: in a notebook as pictures, elsewhere as a table."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from leap_audit.errors import RuntimeMissing
from leap_audit.report.charts import bar_scale
from leap_audit.report.pictures import Pictures
from leap_audit.report.templates import ENTANGLEMENTS_SHOWN, template
from leap_audit.text.names import visible

__all__ = ["display_results", "pages_of"]

Row = dict[str, Any]


@dataclass
class Plate:
    """What is known of one prototype or one sample."""

    sample: str | None
    target: Row
    """Any of its rows: what names the target is the same in all."""
    prototype: Row | None = None
    entanglements: list[Row] = field(default_factory=list)
    isolations: list[Row] = field(default_factory=list)


def display_results(results: pd.DataFrame | tuple[pd.DataFrame, Mapping[str, Any]]) -> None:
    """Show the results of `generate`: in a notebook one view per prototype and per sample.

    results: the DataFrame, or the pair that `generate` returns, of which the DataFrame is shown.
    The pictures that it names, relative to the working folder, become part of the notebook.
    Outside a notebook the figures are printed as a table.

    Raises RuntimeMissing: IPython is not installed. PictureRefused: a picture is missing, or lies
    outside the working folder.
    """
    table = results[0] if isinstance(results, tuple) else results
    try:
        from IPython.core.getipython import get_ipython
        from IPython.display import HTML, display
    except ImportError:
        raise RuntimeMissing(
            "IPython is not installed, which shows results: pip install 'leap-audit[notebook]'."
        ) from None
    shell = get_ipython()
    if shell is None or getattr(shell, "kernel", None) is None:  # a terminal shows no HTML
        print(_text(table))
        return
    for page in pages_of(table, Path.cwd()):
        display(HTML(page))


def _text(table: pd.DataFrame) -> str:
    """The table as aligned text, without columns that are empty, names made visible."""
    filled = table.dropna(axis="columns", how="all").astype(object)
    shown = filled.map(lambda value: visible(value) if isinstance(value, str) else value)
    return str(shown.to_string(index=False, na_rep="", float_format="{:.4g}".format))


def pages_of(table: pd.DataFrame, folder: Path) -> list[str]:
    """Return one piece of HTML per prototype and per sample, in the order of the table.

    folder: what the paths of the table are relative to. Raises PictureRefused.
    """
    plates = _plates(table)
    page = template("notebook.html.j2")
    values = [row["entanglement"] for plate in plates for row in plate.entanglements]
    return [
        page.render(
            plate=plate,
            pictures=Pictures(folder),
            scale=bar_scale(values),
            most=ENTANGLEMENTS_SHOWN,
        )
        for plate in plates
    ]


def _plates(table: pd.DataFrame) -> list[Plate]:
    plates: dict[tuple[Any, ...], Plate] = {}
    for row in _rows(table):
        sample = None if row["sample"] is None else str(row["sample"])
        key = (sample, None, None) if sample else (None, row["target_index"], row["prototype"])
        plate = plates.setdefault(key, Plate(sample, row))
        if row["kind"] == "prototype":
            plate.prototype = row
        elif row["kind"] == "entanglement" and row["entanglement"] is not None:
            plate.entanglements.append(row)
        elif row["kind"] == "isolation":
            plate.isolations.append(row)
    for plate in plates.values():
        plate.entanglements.sort(key=lambda row: -float(row["entanglement"]))
    return list(plates.values())


def _rows(table: pd.DataFrame) -> list[Row]:
    """The rows, with None for what is missing or no number."""
    return [
        {str(column): None if _missing(value) else value for column, value in row.items()}
        for row in table.to_dict("records")
    ]


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
