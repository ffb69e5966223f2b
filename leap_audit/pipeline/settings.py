"""Single settings of an audit in Python, by the names that the command line gives its flags."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leap_audit.config import AuditOptions, DeclaredPreprocessing, Options
from leap_audit.ingest.pictures.preprocessing import read_preprocessing
from leap_audit.tables import layered, read_table

__all__ = ["nested"]

OF_PROTOTYPES = ("steps",)
OF_PREPROCESSING = tuple(DeclaredPreprocessing.model_fields)


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as `AuditOptions` nests them.

    `steps` goes to the prototypes, `layout`, `mean`, `input_size` and their like to the
    preprocessing, as the flags of those names do; `preprocessing` may be a file or a name, and
    `config` a file of options. What is said singly wins over what is said in a group, and both
    over files.

    Raises ConfigRefused, PreprocessingRefused: a file that is not what it should be.
    """
    grouped: dict[str, Any] = {
        name: value.model_dump(exclude_unset=True) if isinstance(value, Options) else value
        for name, value in settings.items()
    }
    files: list[dict[str, Any]] = []
    if "config" in grouped:
        path = Path(grouped.pop("config"))
        files.append(read_table(path))
        AuditOptions.parse(files[0], str(path))
    if isinstance(declared := grouped.get("preprocessing"), str | Path):
        found = read_preprocessing(declared)
        files.append({"preprocessing": found.model_dump(exclude_unset=True)})
        del grouped["preprocessing"]
    single: dict[str, Any] = {}
    for group, names in (("prototype", OF_PROTOTYPES), ("preprocessing", OF_PREPROCESSING)):
        said = {name: grouped.pop(name) for name in names if name in grouped}
        if said:
            single[group] = said
    return layered(*files, grouped, single)
