"""Boxes on the photographs of a report: which, with whose names, and where they stand."""

import base64
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leap_audit.artifacts import Coincident, Detection, EvidencePicture, Finding, Prediction, Sample
from leap_audit.findings.evidence import labelled_answers
from leap_audit.report import render_html
from leap_audit.report.boxes import Boxes
from leap_audit.report.pictures import Pictures
from leap_audit.report.regions import ORANGE, WHITE, Regions
from leap_audit.report.wording import coincidence, confirmed_pairs, object_number
from leap_audit.text.names import ClassLabels
from tests.builders import records
from tests.builders.pages import Page
from tests.report.conftest import Build

NAMES = ("cat", "dog", "bird")
FOUND = tuple(
    Detection(class_=k, name=NAMES[k], prob=0.9 - 0.1 * k, box=(0.1 * k, 0.2, 0.5, 0.8))
    for k in range(3)
)
PHOTO = "images/photo.png"


@pytest.fixture
def photographed(folder: Path) -> Sample:
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(folder / PHOTO)
    return Sample(file="p.jpg", sha256="", image=PHOTO, predicted=(), detections=FOUND)


def drawing_of(uri: str) -> str:
    assert uri.startswith("data:image/svg+xml")
    return base64.b64decode(uri.split("base64,")[1]).decode() if "base64," in uri else uri


def frames(drawn: str) -> int:
    """How many boxes are drawn: each has a dark line and one in its colour."""
    return len(re.findall(r'fill="none"', drawn)) // 2


def test_boxes_have_names_where_a_few_classes_are_asked_for(
    folder: Path, photographed: Sample
) -> None:
    boxes = Boxes(Pictures(folder), ClassLabels(NAMES), [photographed])
    assert boxes.are_of(PHOTO)
    assert not boxes.are_of("")
    assert not boxes.are_of("images/other.png")
    every = drawing_of(boxes.framed(PHOTO, 160))
    assert (frames(every), "<text" in every) == (3, False)
    two = drawing_of(boxes.framed(PHOTO, 300, (0, 2)))
    assert frames(two) == 2
    assert "cat 90" in two
    assert "dog" not in two


def test_a_photograph_without_detections_has_no_boxes(folder: Path, photographed: Sample) -> None:
    empty = photographed.model_copy(update={"detections": ()})
    assert not Boxes(Pictures(folder), ClassLabels(NAMES), [empty]).are_of(PHOTO)


def test_findings_and_the_index_show_boxes(
    build: Build, folder: Path, photographed: Sample
) -> None:
    audit = build()
    shown = Finding(
        id="two-classes:0+1",
        rule="two-classes",
        severity="medium",
        title="‘cat’ and ‘dog’ are found at one place",
        evidence="",
        limits="",
        classes=(0, 1),
        pictures=(EvidencePicture(image=PHOTO, caption="photograph p.jpg"),),
    )
    model = audit.model.model_copy(update={"task": "detection"})
    several = tuple(
        photographed.model_copy(update={"image": PHOTO, "file": f"{i}.jpg"}) for i in range(9)
    )
    made = {"model": model, "samples": several, "findings": (shown,)}
    page = Page(render_html(audit.model_copy(update=made), folder))
    every = [str(each["alt"]) for each in page.all("img")]
    alts = [alt for alt in every if "with the boxes of what is found" in alt]
    assert sum(alt.startswith("photograph p.jpg") for alt in alts) == 2  # and on the first page
    assert sum(alt.startswith("Photograph ‘") for alt in alts) == 9
    drawn = [
        drawing_of(str(each["src"]))
        for each in page.all("img")
        if str(each["alt"]).startswith("photograph p.jpg")
    ]
    assert [frames(each) for each in drawn] == [2, 2]  # those of the finding's classes


def test_the_region_of_an_object_has_its_box(build: Build, folder: Path) -> None:
    audit = build()
    (plain, *_) = audit.prototypes[0].isolations
    boxed = plain.model_copy(update={"box": (0.25, 0.25, 0.75, 0.75)})
    regions = Regions(audit, Pictures(folder))
    source = audit.prototypes[0].image

    def white(uri: str) -> int:
        picture = uri.split(",", 1)[1]
        with Image.open(BytesIO(base64.b64decode(picture))) as image:
            pixels = np.asarray(image.convert("RGB"), np.int64)
        assert (np.abs(pixels - ORANGE).max(2) < 40).any()
        return int((np.abs(pixels - WHITE).max(2) < 25).sum())

    assert (
        white(regions.outlined(source, boxed, 200))
        > white(regions.outlined(source, plain, 200)) + 200
    )


@pytest.mark.parametrize(
    ("prob", "rank", "said"),
    [
        (0.8, 1, "In the middle of this picture ‘cat’ is first of 3 classes, with a confidence"),
        (0.2, 1, "with a confidence of 20 %: too little to be found (25 %)."),
        (0.8, 3, "is only in place 3 of 3, with a confidence of 80 %. The search did not"),
    ],
)
def test_a_prototype_of_a_detector_is_an_object_in_the_middle(
    build: Build, folder: Path, prob: float, rank: int, said: str
) -> None:
    audit = build(prototypes=1)
    first = audit.prototypes[0].model_copy(update={"prob": prob, "rank": rank, "target": (0,)})
    model = audit.model.model_copy(update={"task": "detection"})
    model = model.model_copy(update={"threshold": 0.25})
    changed = {"model": model, "prototypes": (first,)}
    changed["classes"] = NAMES
    text = Page(render_html(audit.model_copy(update=changed), folder)).text.replace("\u00a0", " ")
    assert said in text
    assert "the model answers" not in text.split("Prototypes")[1].split("Method")[0]


def test_only_pairs_that_held_up_are_said() -> None:
    """Two classes where they are found again mirrored, one class where covering loses both."""
    pairs = tuple(
        Coincident(first=first, second=second, held=held, covered=not held)
        for first, second in ((0, 1), (1, 2))
        for held in (True, False)
    )
    found = tuple(FOUND[k] for k in (0, 0, 1))
    sample = Sample(file="p", sha256="", image="", predicted=(), detections=found, coincident=pairs)
    said = [(pair.first, pair.held) for pair in confirmed_pairs(sample)]
    assert said == [(0, False), (1, True)]
    labels = ClassLabels(NAMES)
    assert [coincidence(sample, pair, labels) for pair in confirmed_pairs(sample)] == [
        "Objects 1 and 2 may be one ‘cat’: covering what they share loses both.",
        "Objects 2 and 3 are ‘cat’ and ‘dog’ at one place, and again on the mirrored picture.",
    ]


def test_an_isolation_has_the_number_of_its_object(photographed: Sample) -> None:
    plain = records.isolation()
    second = plain.model_copy(update={"box": FOUND[1].box, "class_": 1})
    assert object_number(photographed, second) == 2
    assert object_number(photographed, second.model_copy(update={"class_": 0})) == 0
    assert object_number(photographed, plain) == 0
    assert object_number(None, second) == 0


@pytest.mark.parametrize("paper", [True, False])
def test_print_says_which_objects_have_no_key_region_on_it(
    build: Build, folder: Path, photographed: Sample, paper: bool
) -> None:
    audit = build()
    (plain, *_) = audit.prototypes[0].isolations
    of_objects = tuple(
        plain.model_copy(update={"class_": k % 3, "box": each.box})
        for k, each in enumerate((*FOUND, FOUND[0]))
    )
    several = photographed.model_copy(
        update={"isolations": of_objects, "detections": (*FOUND, *FOUND)}
    )
    model = audit.model.model_copy(update={"task": "detection"})
    made = audit.model_copy(update={"model": model, "samples": (several,), "classes": NAMES})
    text = Page(render_html(made, folder, paper=paper)).text
    assert "dog, no. 2" in text
    assert ("For 1 more object, the key region is in report.html." in text) == paper
    assert ("The first 4 of 6 objects were isolated." in text) != paper


def test_a_labelled_photograph_without_the_object_is_not_right(
    build: Build, folder: Path, photographed: Sample
) -> None:
    audit = build()
    said = Prediction(class_=0, name="cat", prob=0.1, share=0.0)
    several = tuple(
        photographed.model_copy(update={"known": 0, "detections": found, "predicted": (said,)})
        for found in (FOUND, FOUND[1:], ())
    )
    assert [each.right for each in labelled_answers(several)] == [True, False]
    model = audit.model.model_copy(update={"task": "detection"})
    made = audit.model_copy(update={"model": model, "samples": several, "classes": NAMES})
    text = Page(render_html(made, folder)).text
    assert "The labelled object is found on 1 of 3 labelled photographs" in text
    assert (text.count("label: cat; not found"), text.count("label: cat; found")) == (2, 1)


def test_a_report_says_which_objects_count(build: Build, folder: Path) -> None:
    audit = build()
    assert "Objects counted" not in render_html(audit, folder)
    for update, said in (
        ({"threshold": 0.65, "overlap": 0.45}, "share more than 45 % are one object"),
        ({"threshold": 0.5}, "from a confidence of 50 % on; each row is an object of its own"),
    ):
        model = audit.model.model_copy(update={"task": "detection", **update})
        text = Page(render_html(audit.model_copy(update={"model": model}), folder)).text
        assert said in text.replace("\u00a0", " ")


def test_a_detector_of_one_class_is_compared_with_no_other(build: Build, folder: Path) -> None:
    audit = build(prototypes=1)
    again = records.stability(None).model_copy(update={"images": ()})
    first = audit.prototypes[0].model_copy(update={"target": (0,), "rank": 1, "stability": again})
    model = audit.model.model_copy(update={"task": "detection", "threshold": 0.5})
    alone = audit.model_copy(
        update={"model": model, "prototypes": (first,), "classes": ("face",), "matrix": None}
    )
    text = Page(render_html(alone, folder)).text.replace("\u00a0", " ")
    own = text.split("Computer-generated examples")[1].split("Method")[0]
    assert "In the middle of this picture ‘face’ has a confidence of" in own
    assert "Compare the repeat runs by eye" in own
    assert "Confidence97" in own.replace(" ", "")
    for words in ("of 1", "Entanglement", "Overlap", "Rank1"):
        assert words not in own.split("Photographs")[0]
    assert "class overlap" not in text
