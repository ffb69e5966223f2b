"""Make the sample report and the pictures of the README again.

    make sample             (or: python -m tools.front_door)

Audits the two models of traffic signs in sample_models/, copies the report of the first to
docs/sample/, and composes docs/pictures/ and docs/sample/facts.json from the two audits. Nothing in
the pictures is drawn by hand.
"""

import argparse
import base64
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

from PIL import Image

from leap_audit.artifacts import Audit, Finding, Sample
from leap_audit.pipeline import audit
from leap_audit.report.pictures import Pictures
from leap_audit.report.regions import Regions

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "sample_models"
PICTURES = ROOT / "docs" / "pictures"
SAMPLE = ROOT / "docs" / "sample"
WORK = ROOT / "build" / "sample"
CLASS = "priority road"
"""The class that the model of the sample report decides by the mark."""
SHOWN = "ahead only"
"""The class of the marked photograph that the README shows."""
SIDE = 256
"""Side of one picture of an exhibit."""
GAP = 16
PAGE = 1240
"""Width of the front page in the hero picture."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=Path, help="a finished audit of signs_shortcut.onnx")
    parser.add_argument("--new", type=Path, help="a finished audit of signs_clean.onnx")
    words = parser.parse_args()
    old = words.old or audited("signs_shortcut")
    new = words.new or audited("signs_clean")
    write(old, new)


def audited(name: str) -> Path:
    """Audit a bundled model with all its pictures; return the folder."""
    os.chdir(ROOT)  # the report records paths as they are given: relative to the repository
    models = MODELS.relative_to(ROOT)
    pictures = (models / "signs" / "plain", models / "signs" / "marked")
    words = ["leap-audit", models / f"{name}.onnx", "--classes", models / "signs.txt"]
    words += [word for each in pictures for word in ("--samples", each)]
    result = audit(
        models / f"{name}.onnx",
        models / "signs.txt",
        out=WORK / f"{name}-audit",
        samples=pictures,
        command=shlex.join(map(str, [*words, "--top-classes", "1"])),
        top_classes=1,
        owner="The leap-audit authors",
        purpose="A sample: a model with a planted shortcut. Not for use.",
        version="1",
        data="Drawn traffic signs",
    )
    return result.folder


def write(old: Path, new: Path) -> None:
    """Write docs/sample/ and docs/pictures/ from the two audits."""
    first, second = Audit.read(old), Audit.read(new)
    SAMPLE.mkdir(parents=True, exist_ok=True)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name in ("report.html", "report.pdf"):
        shutil.copyfile(old / name, SAMPLE / name)
    target = first.classes.index(CLASS)

    cover = front_page(old)
    plain(cover.resize((620, 620 * cover.height // cover.width), Image.Resampling.LANCZOS), "cover")
    prototypes = [enlarged(old / each.image) for each in first.prototypes]
    plain(grid(prototypes, 4), "prototypes")
    plain(hero(cover, prototypes), "hero")

    shown = next(each for each in first.samples if is_exhibit(each, first.classes.index(SHOWN)))
    isolation = next(each for each in shown.isolations if each.class_ == target)
    uri = Regions(first, Pictures(old)).outlined(shown.image, isolation, SIDE)
    region = WORK / "region.png"
    region.parent.mkdir(parents=True, exist_ok=True)
    region.write_bytes(base64.b64decode(str(uri).partition(",")[2]))
    plain(enlarged(region), "shortcut-region")

    experiment = next(each for each in first.findings if roles(each) >= {"original", "covered"})
    for role in ("original", "covered", "pasted"):
        for picture in experiment.pictures:
            if picture.role == role:
                plain(enlarged(old / picture.image), f"shortcut-{role}")

    for record, folder, name in ((first, old, "old"), (second, new, "new")):
        made = next(each for each in record.prototypes if each.target == (target,))
        plain(enlarged(folder / made.image), f"compare-{name}")

    facts = {
        "photographs": len(first.samples),
        "right": {"old": right(first), "new": right(second)},
        "high": {"old": severe(first), "new": severe(second)},
        "experiment": {
            "title": experiment.title,
            "confirmed": experiment.confirmed,
            "captions": {each.role: each.caption for each in experiment.pictures},
            "figures": experiment.figures,
        },
        "pages": pages(old / "report.pdf"),
    }
    text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
    (SAMPLE / "facts.json").write_text(text, encoding="utf-8")


def is_exhibit(sample: Sample, shows: int) -> bool:
    """Whether a photograph is of the class, marked, and answered with another class."""
    return sample.known == shows and sample.predicted[0].class_ != shows


def roles(finding: Finding) -> set[str]:
    return {each.role for each in finding.pictures}


def right(record: Audit) -> int:
    return sum(each.known == each.predicted[0].class_ for each in record.samples)


def severe(record: Audit) -> list[str]:
    return [each.title for each in record.findings if each.severity == "high"]


def pages(report: Path) -> int:
    told = subprocess.run(["pdfinfo", report], capture_output=True, text=True, check=True).stdout
    return int(told.partition("Pages:")[2].split()[0])


def front_page(folder: Path) -> Image.Image:
    """Return page 1 of the PDF as a picture, `PAGE` pixels wide."""
    stem = WORK / "page"
    stem.parent.mkdir(parents=True, exist_ok=True)
    words = ("-f", "1", "-l", "1", "-scale-to-x", str(PAGE), "-scale-to-y", "-1", "-singlefile")
    subprocess.run(["pdftoppm", "-png", *words, folder / "report.pdf", stem], check=True)
    return Image.open(stem.with_suffix(".png")).convert("RGB")


def enlarged(path: Path) -> Image.Image:
    """Return a picture at `SIDE` pixels, small ones with smooth edges."""
    return Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def grid(pictures: list[Image.Image], across: int, side: int = SIDE) -> Image.Image:
    """Return pictures beside and below each other, on a transparent ground."""
    down = -(-len(pictures) // across)
    ground = Image.new("RGBA", ((side + GAP) * across - GAP, (side + GAP) * down - GAP))
    for number, picture in enumerate(pictures):
        place = (number % across * (side + GAP), number // across * (side + GAP))
        ground.paste(picture.resize((side, side), Image.Resampling.LANCZOS), place)
    return ground


def hero(cover: Image.Image, prototypes: list[Image.Image]) -> Image.Image:
    """Return the front page, framed, with the prototypes beside it."""
    height = 900
    page = cover.resize((height * cover.width // cover.height, height), Image.Resampling.LANCZOS)
    side = (height - 3 * GAP) // 4
    beside = grid(prototypes, 2, side)
    frame = 2
    ground = Image.new("RGBA", (page.width + 2 * frame + 2 * GAP + beside.width, height))
    ground.paste((160, 170, 175), (0, 0, page.width + 2 * frame, height))
    ground.paste(page.resize((page.width, height - 2 * frame)), (frame, frame))
    ground.paste(beside, (page.width + 2 * frame + 2 * GAP, 0))
    return ground


def plain(picture: Image.Image, name: str) -> None:
    """Write a picture of the documentation, with few colours where that is enough."""
    picture.save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
