"""docs/methods.md, made from the registry of methods, with a map of each on one picture.

`python -m tools.methods` writes the page again, `python -m tools.methods --pictures` the maps too.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from leap_audit.measure.faithfulness.checks import FAITHFULNESS_CHECKS
from leap_audit.pipeline.explain import explain, methods, opened
from leap_audit.report.overlay import overlay

__all__ = ["PAGE", "PICTURES", "page"]

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "methods.md"
PICTURES = ROOT / "docs" / "images" / "methods"
MODEL = ROOT / "sample_models" / "digits_shortcut.onnx"
PHOTOGRAPH = ROOT / "sample_models" / "pictures" / "marked" / "eight" / "0028.png"
ENLARGED = 5
HEAD = """# Methods of attribution

Every method that `leap-audit explain` and `leap_audit.explain` know, made from the registry by
`python -m tools.methods`. Each is a map of what the model's score depends on; f is that score, x
the picture, x0 a baseline, A a tensor inside the model, G the score's gradient there.

The pictures show one handwritten eight with a mark in its corner, and a model that takes whatever
has the mark for a three: a map that says what the model does lies on the mark. Red speaks for
the class, blue against it. Methods without a picture need a transformer, or another last layer.

Wrappers stand before any name: `smooth:gradcam` averages over noisy copies of the picture (mean,
mean square or variance), `tta:gradcam` over mirrored and shifted views. Targets are a class, or
`leap_audit.Difference` (a class less others, which Finer-CAM explains), `leap_audit.Place` (a part
of a segmentation) and `leap_audit.Tensor` (an element of a tensor inside the model).

Of a detector, `leap_audit.Detection` is one detection: its class, or a side of its box
([detectors](detectors.md)).

Models whose answer is a vector without classes have targets too, for every method but
`isolation_ranking`. `leap_audit.Embedding`, the default there, is the product with the explained
picture's own vector, which stays as it is while a method looks at other pictures (Crabbé and van
der Schaar 2022); `Embedding(normalised=True)` divides that vector by its length, so that pictures
with long and with short vectors compare. `leap_audit.Dimension` is one number of the vector,
`leap_audit.Direction` its product with another vector, such as that of a text, and
`leap_audit.Similarity` the cosine of the angle to the vector of another picture
(`leap-audit explain MODEL PICTURE --similar-to OTHER`). A cosine bends: its slope is computed anew
at every picture, and methods that add up on sums of scores alone, such as `fullgrad`, miss it and
say by how much.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_methods(), *_checks()]).rstrip() + "\n"


def _methods() -> Iterator[str]:
    for name, method in methods().items():
        traits = method.traits
        yield f"## {name}\n"
        if (PICTURES / _file(name)).exists():
            yield f"![{name}](images/methods/{_file(name)})\n"
        yield f"{method.summary}\n"
        rows = {
            "formula": f"`{traits.formula}`" if traits.formula else "",
            "adds up to": {
                "difference": "the score less that of the baseline",
                "score": "the score",
            }.get(traits.complete, ""),
            "needs": ", ".join(need.name for need in method.needs) or "nothing: any model",
            "cost": method.cost,
            "depends on the class": "" if traits.classes else "hardly: a control",
            "advice": traits.advice,
            "caution": traits.caution,
            "elsewhere": ", ".join(f"{peer}: {other}" for peer, other in traits.peers.items()),
            "source": method.source,
        }
        yield "| | |\n|---|---|"
        for what, text in rows.items():
            if text:
                yield f"| {what} | {text.replace('|', chr(92) + '|')} |"
        yield ""


def _checks() -> Iterator[str]:
    yield "# Checks\n"
    yield "`leap-audit explain --check` and `leap_audit.check` compute these of each map.\n"
    yield "| check | question | wanted | what it cannot say |\n|---|---|---|---|"
    for name, check in FAITHFULNESS_CHECKS.items():
        yield f"| {name} | {check.question} | {check.better or 'neither'} | {check.limits} |"


def _file(name: str) -> str:
    return f"{name.replace('+', 'p')}.png"


def _write_pictures() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    run, _ = opened(MODEL)
    for name, method in methods().items():
        if method.unmet(run.model):
            continue
        found = explain(run, PHOTOGRAPH, 3, name)
        shown = overlay(found.subject.picture, found.map)
        levels = np.rint(shown * 255).astype(np.uint8).transpose(1, 2, 0)
        large = levels.repeat(ENLARGED, 0).repeat(ENLARGED, 1)
        Image.fromarray(large).quantize(64).save(PICTURES / _file(name), optimize=True)


if __name__ == "__main__":
    if "--pictures" in sys.argv:
        _write_pictures()
    PAGE.write_text(page(), encoding="utf-8")
