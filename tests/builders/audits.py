"""A small audit with synthetic pictures, whole and in the shapes that break layouts."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from leap_audit.artifacts import (
    Audit,
    Coverage,
    Entanglement,
    EntanglementMatrix,
    Environment,
    Isolation,
    ModelIdentity,
    Prediction,
    Preprocessing,
    Prototype,
    Sample,
    TensorInfo,
)
from leap_audit.findings import Evidence, find
from leap_audit.findings.evidence import read_rankings
from leap_audit.report import write_report


def with_pictures(folder: Path) -> Path:
    """Return `folder`, with the pictures that the audits below name."""
    images = folder / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for name, side in {"small": 28, "large": 160}.items():
        colours = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
        Image.fromarray(colours).save(images / f"{name}.png")
        ramp = np.linspace(0, 255, side * side).reshape(side, side).astype(np.uint8)
        Image.fromarray(ramp).save(images / f"{name}-mask.png")
    return folder


def make_audit(
    folder: Path,
    *,
    classes: tuple[str, ...] = ("cat", "dog", "owl"),
    prototypes: int = 2,
    isolations: int = 2,
    samples: int = 1,
    picture: str = "small",
    **changes: Any,
) -> Audit:
    """Return an audit with pictures in `folder` (see `with_pictures`), with these `changes`."""
    parts = tuple(_isolation(classes, n, picture) for n in range(isolations))
    made = tuple(
        _prototype(classes, index % len(classes), picture, parts) for index in range(prototypes)
    )
    seen = tuple(
        Sample(
            file=f"photo {n}.jpg",
            sha256=f"{n:064x}",
            image=f"images/{picture}.png",
            predicted=(Prediction(class_=0, name=classes[0], prob=0.91),),
            isolations=parts,
        )
        for n in range(samples)
    )
    audit = Audit(
        status="complete",
        model=a_model(),
        classes=classes,
        environment=Environment(
            versions={"onnx": "1.23.2"},
            provider="CPUExecutionProvider",
            seed=0,
            threads=2,
            command="leap-audit model.onnx",
            started="2026-03-04T05:06:07+00:00",
            seconds=12.5,
        ),
        config={"seed": 0, "prototype": {"steps": 192, "scale": None}},
        coverage=Coverage(
            classes_audited=len({each.target for each in made}),
            classes_in_all=len(classes),
            operators={"Conv": 3, "Relu": 2},
            engine="ONNX gradient graph",
            batch={"prototypes": 2},
        ),
        methods={"prototypes": {"method": "Adam on the logit", "steps": 192}},
        notes=("A note.",),
        prototypes=made,
        matrix=_matrix(made),
        samples=seen,
        findings=find(Evidence(classes, made, seen, read_rankings(folder, [*made, *seen]))),
    )
    return changed(audit, **changes)


def seen_once(audit: Audit) -> tuple[Prototype, ...]:
    """Return its prototypes as one seed and too few classes leave them: without ranges."""
    unknown = dict.fromkeys(("standardised", "low", "high"))
    return tuple(
        each.model_copy(
            update={
                "entanglements": tuple(e.model_copy(update=unknown) for e in each.entanglements)
            }
        )
        for each in audit.prototypes
    )


def changed(audit: Audit, **changes: Any) -> Audit:
    """Return the audit with these changes, without a matrix that would not fit its prototypes."""
    if "prototypes" in changes:
        changes = {"matrix": None} | changes
    return audit.model_copy(update=changes)


def _matrix(prototypes: tuple[Prototype, ...]) -> EntanglementMatrix:
    classes = tuple(dict.fromkeys(k for each in prototypes for k in each.target))
    rows = [[0.6 if k in p.target else 0.1 * (k - 1) for k in classes] for p in prototypes]
    return EntanglementMatrix(classes=classes, cosines=tuple(map(tuple, rows)))


def _isolation(classes: tuple[str, ...], n: int, picture: str) -> Isolation:
    index = n % len(classes)
    return Isolation(
        class_=index,
        name=classes[index],
        image=f"images/{picture}.png",
        mask=f"images/{picture}-mask.png",
        area=0.12,
        prob=0.97,
        prob_keep=0.91,
        prob_delete=0.03,
        enough=True,
    )


def _prototype(
    classes: tuple[str, ...], index: int, picture: str, parts: tuple[Isolation, ...]
) -> Prototype:
    return Prototype(
        target=(index,),
        name=classes[index],
        replicate=0,
        image=f"images/{picture}.png",
        logit=12.25,
        prob=0.97,
        rank=1,
        steps=192,
        converged=True,
        curve=(0.0, 5.0, 12.0),
        entanglements=(
            Entanglement(
                class_=index,
                name=classes[index],
                entanglement=0.6,
                logit=12.25,
                prob=0.97,
                standardised=-12.34,
                low=-0.22,
                high=-0.19,
            ),
        ),
        isolations=parts,
    )


def write_pictured_report(folder: Path) -> None:
    """Write a report with pictures that are embedded as JPEG and as PNG."""
    with_pictures(folder)
    large = make_audit(folder, prototypes=1, samples=0, picture="large")
    small = make_audit(folder, prototypes=1)
    write_report(small.model_copy(update={"prototypes": large.prototypes}), folder)


def a_model() -> ModelIdentity:
    return ModelIdentity(
        file="model.onnx",
        sha256="ab" * 32,
        opset=17,
        parameters=12_345,
        inputs=(TensorInfo(name="input", dtype="float32", shape=("N", 3, 28, 28)),),
        outputs=(TensorInfo(name="logits", dtype="float32", shape=("N", 3)),),
        layout="NCHW",
        preprocessing=Preprocessing(
            layout="NCHW",
            channel_order="RGB",
            range=(0, 1),
            mean=(0.5,),
            std=(0.5,),
            resize="crop",
            input_size=(28, 28),
            assumed={"mean": "the middle of the range"},
        ),
        task="classification",
        size_bytes=98_765,
        logits='output "logits"',
        classes_file="classes.txt",
        classes_sha256="cd" * 32,
    )
