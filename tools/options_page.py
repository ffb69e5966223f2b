"""The table of options in docs/from-leap-ie.md, made from `Settings`.

`python -m tools.options_page` writes it again.
"""

import ast
from pathlib import Path
from typing import Any

from leap_audit.engine import settings

__all__ = ["PAGE", "page", "table"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "from-leap-ie.md"
HEADING = "## Options\n"
THEIRS: dict[str, Any] = {
    "alpha_mask": False,
    "alpha_only": False,
    "alpha_weight": 0.0,
    "always_update": False,
    "baseline_init": 0.0,
    "blur_max": 1.0,
    "blur_min": 0.01,
    "channel_ix": None,
    "diversity_weight": 0.0,
    "equalise": 0.0,
    "hf_weight": 0.0,
    "input_dim": "[1, 3, 224, 224]",
    "isolate_classes": None,
    "isolation": False,
    "isolation_alpha_weight": 1.0,
    "isolation_hf_weight": 1.0,
    "isolation_lr": 0.05,
    "log_freq": 100,
    "logit_scale": 1,
    "lr": 0.01,
    "max_isolate_classes": 3,
    "max_steps": 1000,
    "objective_weight": 1,
    "seed": 0.0,
    "transform": "xl",
    "use_alpha": False,
    "use_baseline": False,
    "wandb_api_key": None,
    "wandb_entity": None,
}
"""Defaults of leap_ie, as the last edition of its documentation that names an option gives them."""


def table() -> str:
    """Return the options with their defaults here and there, and what each does."""
    lines = ["| option | default | leap_ie's | what it does |", "|---|---|---|---|"]
    for name, field in settings.Settings.model_fields.items():
        own = _shown(field.default)
        theirs = _shown(THEIRS[name]) if name in THEIRS else ""
        bold = (
            f"**{own or 'chosen'}**"
            if name in THEIRS and not _same(field.default, THEIRS[name])
            else own
        )
        lines.append(f"| `{name}` | {bold} | {theirs} | {_meanings()[name]} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """Return the page with its table made again; what stands above and below it stays."""
    before, _, after = text.partition(HEADING)
    paragraphs = after.split("\n\n")
    place = next((i for i, p in enumerate(paragraphs) if p.startswith("| option")), None)
    if place is None:
        return f"{before}{HEADING}\n{table()}\n"
    paragraphs[place] = table() + ("\n" if place == len(paragraphs) - 1 else "")
    return f"{before}{HEADING}" + "\n\n".join(paragraphs)


def _meanings() -> dict[str, str]:
    """Option -> the line below it in the source."""
    tree = ast.parse(Path(settings.__file__).read_text(encoding="utf-8"))
    (owner,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Settings")
    found = {}
    for field, text in zip(owner.body, owner.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field.target.id] = str(text.value.value).replace("|", "or")
    return found


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _same(own: Any, theirs: Any) -> bool:
    return own == theirs or (own is None and theirs == "[1, 3, 224, 224]")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
