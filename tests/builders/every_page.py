"""Every kind of page that leap-audit writes, small but with all of its parts, as files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from leap_audit.artifacts import (
    AlikePart,
    Audit,
    Coincident,
    Declared,
    Detection,
    NamedPicture,
    NearestOf,
    NearPair,
    Neighbour,
    Opinion,
    OutlyingPicture,
    PolicyIdentity,
    Prediction,
    Prototype,
    Sample,
    Stability,
)
from leap_audit.compare import Side, compare, render_comparison
from leap_audit.findings import Evidence, find
from leap_audit.findings.evidence import read_rankings
from leap_audit.measure.examples.methods import EXAMPLE_METHODS
from leap_audit.measure.examples.mislabelled import DoubtedLabel
from leap_audit.measure.faithfulness.comparison import Standing
from leap_audit.measure.methods import load_methods
from leap_audit.notebook import pages_of
from leap_audit.pipeline.result import AuditResult
from leap_audit.report import render_html, results_table
from leap_audit.report.examples import ExampleRow, ShownPicture, write_examples
from leap_audit.report.explanations import ExplainedPicture, MapRecord, write_explanations
from tests.builders.audits import make_audit, with_pictures
from tests.builders.pages import HOSTILE
from tests.builders.sides import check, finding
from tests.builders.vectors import copies, linked, vectors

LONG = tuple(f"{word} with a long name, {'-'.join([word] * 12)}" for word in ("cat", "dog", "owl"))
LARGE = "images/large.png"
MODEL = {"file": "model.onnx", "sha256": "ab" * 32}
EVERY_PAGE: dict[str, "Kind"] = {}
"""By name: the pages that a browser looks at."""


@dataclass(frozen=True)
class Kind:
    """A kind of page: the template that makes it, and what writes a small one."""

    template: str
    write: Callable[[Path], Path]
    """Given a folder of its own, write the page and return its path."""


def page(name: str, template: str) -> Callable[[Callable[[Path], str]], Callable[[Path], str]]:
    """Return a decorator that enters what makes a page into `EVERY_PAGE`.

    What it decorates is given a folder with the pictures of `make_audit`, and returns HTML.
    """

    def enter(make: Callable[[Path], str]) -> Callable[[Path], str]:
        def write(folder: Path) -> Path:
            file = folder / "page.html"
            html = make(with_pictures(folder))
            file.write_text(html, encoding="utf-8", newline="\n")
            return file

        EVERY_PAGE[name] = Kind(template, write)
        return make

    return enter


@page("usual", "report.html.j2")
def _usual(folder: Path) -> str:
    return render_html(make_audit(folder, picture="large", samples=2), folder)


@page("long and hostile", "report.html.j2")
def _hostile(folder: Path) -> str:
    return render_html(
        make_audit(folder, classes=LONG + HOSTILE, prototypes=12, isolations=1), folder
    )


@page("incomplete", "report.html.j2")
def _incomplete(folder: Path) -> str:
    return render_html(make_audit(folder, status="incomplete", prototypes=0, samples=0), folder)


@page("whole", "report.html.j2")
def _whole(folder: Path) -> str:
    """All that the report on a classifier can hold: checks, findings, opinions, repeat runs."""
    return render_html(_mistaken(_full(folder), folder), folder)


@page("segmentation", "report.html.j2")
def _segmentation(folder: Path) -> str:
    levels = np.repeat(np.array([[1], [2]], np.uint8), 80, 0).repeat(160, 1)
    Image.fromarray(levels).save(folder / "images" / "map.png")
    audit = make_audit(folder, picture="large")
    (one,) = audit.samples
    answers = tuple(Prediction(class_=k, name="c", prob=0.5, share=0.5) for k in (0, 1))
    mapped = {"map": "images/map.png", "map_classes": (0, 1), "predicted": answers}
    return render_html(_changed(audit, "segmentation", one.model_copy(update=mapped)), folder)


@page("detector", "report.html.j2")
def _detector(folder: Path) -> str:
    audit = make_audit(folder, picture="large", classes=LONG)
    boxes = ((0.1, 0.1, 0.6, 0.6), (0.2, 0.2, 0.7, 0.7), (0.0, 0.0, 1.0, 1.0))
    objects = tuple(
        Detection(class_=k, name=LONG[k], prob=0.9 - k / 10, box=box) for k, box in enumerate(boxes)
    )
    (one,) = audit.samples
    parts = tuple(
        part.model_copy(update={"box": box})
        for part, box in zip(one.isolations, boxes, strict=False)
    )
    pair = Coincident(first=0, second=1, held=True, covered=True)
    found = {"detections": objects, "isolations": parts, "coincident": (pair,)}
    empty = one.model_copy(update={"file": "empty.png", "detections": (), "isolations": ()})
    return render_html(_changed(audit, "detection", one.model_copy(update=found), empty), folder)


@page("encoder", "report.html.j2")
def _encoder(folder: Path) -> str:
    first, second = (NamedPicture(file=f"{name}/1.png", image=LARGE) for name in ("a", "b"))
    part = AlikePart(
        picture=first,
        other=second,
        image=LARGE,
        mask="images/large-mask.png",
        area=0.2,
        cosine=0.9,
        kept=0.8,
        erased=0.2,
        blank=0.1,
        enough=True,
    )
    measured = vectors(
        alike=(part,),
        duplicates=(copies().model_copy(update={"first": first, "second": second}),),
        near=(NearPair(first=first, second=second, cosine=0.9),),
        far=(
            OutlyingPicture(
                picture=first, own="a", own_cosine=0.2, nearer="b" * 40, nearer_cosine=0.8
            ),
        ),
        nearest=(NearestOf(picture=first, nearest=(second,) * 3, cosines=(0.9, 0.8, 0.7)),),
        lengths=(linked(),),
        lacking=("the changes",),
    )
    audit = make_audit(folder, picture="large", samples=2, embedding=measured)
    return render_html(_changed(audit, "embedding", *audit.samples), folder)


@page("comparison", "compare.html.j2")
def _comparison(folder: Path) -> str:
    sides = []
    for name, status in (("old", "PASS"), ("new", "FAIL")):
        own = folder / name
        own.mkdir()
        audit = _full(with_pictures(own)).model_copy(
            update={"verdict": status, "checks": (check(status),)}
        )
        if name == "new":
            audit = audit.model_copy(update={"findings": (finding("border:0", "high"),)})
        audit.write(own)
        sides.append(Side.read(own))
    out = folder / "out"
    (out / "images").mkdir(parents=True)
    return render_comparison(compare(sides[0], sides[1], out), out)


@page("explanations", "explain.html.j2")
def _explanations(folder: Path) -> str:
    methods = [load_methods()[name] for name in ("saliency", "gradcam")]
    rng = np.random.default_rng(0)
    checks = {"gain_blur": 0.31, "gain_mean": 0.28}
    maps = tuple(
        MapRecord(each.name, rng.normal(size=(28, 28)), 3.2, "x", 0.41, {}, notes, {}, checks)
        for each, notes in zip(methods, ((), ("its kernel is 3 by 3",)), strict=True)
    )
    picture = rng.random((3, 28, 28))
    rows = [
        ExplainedPicture(name, "cd" * 32, picture, LONG[0], maps)
        for name in ("a.png", f"{'long-' * 12}.png")
    ]
    places = [Standing("saliency", 0.4, 0, 0, 0), Standing("gradcam", 0.3, 0.1, -0.1, 0.3)]
    write_explanations(folder, MODEL, rows, methods, {"blur": places})
    return (folder / "explain.html").read_text(encoding="utf-8")


@page("training examples", "examples.html.j2")
def _examples(folder: Path) -> str:
    rng = np.random.default_rng(0)
    shown = [
        ShownPicture(f"{name}.png", f"{k:064x}", LONG[k % 3], rng.random((3, 28, 28)))
        for k, name in enumerate(("a", "b", "long-" * 12))
    ]
    rows = [
        ExampleRow(shown[0], ((shown[1], 0.9),), ((shown[2], -0.4),), {"self-influence": 0.123}),
        ExampleRow(shown[1], ((shown[2], 0.7),), (), {}),
    ]
    doubted = [(shown[2], "owl", DoubtedLabel(0, 0, 2, 0.01, 0.97, 3.0, 0.004))]
    method = EXAMPLE_METHODS["influence"]
    write_examples(folder, MODEL, method, {}, 40, rows, doubted, ["A note."])
    return (folder / "examples.html").read_text(encoding="utf-8")


@page("notebook", "notebook.html.j2")
def _notebook(folder: Path) -> str:
    audit = make_audit(folder, picture="large", samples=2)
    return _in_a_page("".join(pages_of(results_table(audit), folder)))


@page("card", "result.html.j2")
def _card(folder: Path) -> str:
    audit = _full(folder)
    audit.write(folder)
    (folder / "report.html").write_text("", encoding="utf-8")
    return _in_a_page(AuditResult(folder, audit)._repr_html_())


def _in_a_page(part: str) -> str:
    """What a notebook does with a piece of HTML."""
    return (
        '<!DOCTYPE html><html lang="en"><title>Notebook</title><meta name="viewport" '
        f'content="width=device-width"><main><h1>Notebook</h1>{part}</main></html>'
    )


def _full(folder: Path) -> Audit:
    audit = make_audit(folder, picture="large", classes=LONG, prototypes=3, samples=3)
    return audit.model_copy(
        update={
            "prototypes": tuple(map(_repeated, audit.prototypes)),
            "samples": tuple(
                _doubted(each, number % 2) for number, each in enumerate(audit.samples)
            ),
            "checks": (check("PASS"), check("WARN", "overlap"), check("NOT ASSESSED", "leakage")),
            "policy": PolicyIdentity(name="release", file="release.toml", sha256="ef" * 32),
            "declared": Declared(owner="The owners", purpose="A purpose " * 20, version="2"),
        }
    )


def _mistaken(audit: Audit, folder: Path) -> Audit:
    """The audit of twelve classes that the model all confuses, with a table that says which."""
    classes = tuple(f"sign number {n}" for n in range(12))
    wrong = [
        audit.samples[n % 3].model_copy(
            update={
                "known": n,
                "predicted": (Prediction(class_=(n + 1) % 12, name=classes[n - 11], prob=0.9),),
            }
        )
        for n in range(12)
    ]
    findings = find(Evidence(classes, (), wrong, read_rankings(folder, wrong)))
    assert {"photographs-mistaken", "overconfident"} <= {each.rule for each in findings}
    return audit.model_copy(
        update={"classes": classes, "samples": tuple(wrong), "findings": findings}
    )


def _repeated(prototype: Prototype) -> Prototype:
    again = Stability(images=(LARGE, LARGE), logits=(9, 9, 8), similarity=0.9, agreement=0.67)
    near = Neighbour(file="photo 0.jpg", image=LARGE, similarity=0.6)
    return prototype.model_copy(update={"stability": again, "nearest": (near,)})


def _doubted(sample: Sample, known: int) -> Sample:
    opinions = tuple(
        Opinion(
            method=name, class_=0, name="cat", map="images/large-mask.png", agreement=0.4, **more
        )
        for name, more in (("gradcam", {"other_class": 0.99}), ("saliency", {}))
    )
    return sample.model_copy(update={"known": known, "opinions": opinions, "opinions_agree": 0.3})


def _changed(audit: Audit, task: Any, *samples: Sample) -> Audit:
    model = audit.model.model_copy(update={"task": task})
    return audit.model_copy(update={"model": model, "samples": samples})
