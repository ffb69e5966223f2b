"""DICOM files: pixels as a viewer shows them; what is refused says why, and names nobody."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leap_audit.errors import PictureRefused, RuntimeMissing
from leap_audit.ingest.pictures.images import find_pictures, read_picture
from leap_audit.ingest.pictures.photographs import photograph_names, read_photographs
from tests.builders.dicoms import PLANTED, write_dicom
from tests.builders.preprocessings import asking

pydicom = pytest.importorskip("pydicom", reason="the extra medical is not installed")
GREY = asking(8, 8, channel_order="GRAY")
RAMP = np.arange(64).reshape(8, 8)
IMPLICIT = "1.2.840.10008.1.2"


def seen(path: Path, **more: Any) -> Any:
    return read_picture(path, GREY, **more)[0]


def test_bits_stored_say_what_is_white(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", (RAMP * 65).astype(np.uint16), BitsStored=12)
    np.testing.assert_allclose(seen(path), RAMP * 65 / 4095, atol=0.002)


def test_what_stands_in_unused_bits_is_left_out(tmp_path: Path) -> None:
    numbers = (RAMP * 65).astype(np.uint16)
    path = write_dicom(tmp_path / "a", numbers | 0x8000, BitsStored=12)
    np.testing.assert_allclose(seen(path), RAMP * 65 / 4095, atol=0.002)


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": 40, "WindowWidth": 400},
        {"WindowCenter": [40, 600], "WindowWidth": [400, 1500]},
        {"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "SIGMOID"},
    ],
)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_window_after_slope_and_intercept(
    tmp_path: Path, elements: dict[str, Any], signed: bool, inverted: bool
) -> None:
    numbers = (RAMP * 40 - (1000 if signed else 0)).astype(np.int16 if signed else np.uint16)
    slope, intercept = (1.0, 0.0) if signed else (1.0, -1024.0)
    path = write_dicom(
        tmp_path / "a.dcm",
        numbers,
        BitsStored=16 if signed else 12,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
        PhotometricInterpretation="MONOCHROME1" if inverted else "MONOCHROME2",
        **elements,
    )
    x, c, w = numbers * slope + intercept, 40.0, 400.0
    # DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3
    want = {
        "LINEAR": np.clip((x - (c - 0.5)) / (w - 1) + 0.5, 0, 1),
        "LINEAR_EXACT": np.clip((x - c) / w + 0.5, 0, 1),
        "SIGMOID": 1 / (1 + np.exp(-4 * (x - c) / w)),
    }[elements.get("VOILUTFunction", "LINEAR")]
    np.testing.assert_allclose(seen(path), 1 - want if inverted else want, atol=0.004)


def _lut(bits: int, numbers: list[int]) -> Any:
    from pydicom.dataset import Dataset

    lut = Dataset()
    lut.add_new("LUTDescriptor", "US", [len(numbers), 0, bits])
    lut.add_new("LUTData", "US", numbers)
    return lut


def test_a_voi_lut_comes_before_a_window(tmp_path: Path) -> None:
    lut = _lut(8, [255 - 4 * i for i in range(64)])
    path = write_dicom(
        tmp_path / "a.dcm",
        RAMP.astype(np.uint16),
        VOILUTSequence=[lut],
        WindowCenter=1,
        WindowWidth=9,
    )
    np.testing.assert_allclose(seen(path), (255 - 4 * RAMP) / 255, atol=0.004)


def test_a_modality_lut(tmp_path: Path) -> None:
    lut = _lut(16, [1000 - 10 * i for i in range(64)])
    lut.ModalityLUTType = "US"
    path = write_dicom(
        tmp_path / "a.dcm",
        RAMP.astype(np.uint16),
        ModalityLUTSequence=[lut],
        WindowCenter=500,
        WindowWidth=1000,
        VOILUTFunction="LINEAR_EXACT",
    )
    np.testing.assert_allclose(seen(path), (1000 - 10 * RAMP) / 1000, atol=0.004)


def test_a_window_in_the_groups_of_an_enhanced_object(tmp_path: Path) -> None:
    from pydicom.dataset import Dataset

    group, window = Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth, window.VOILUTFunction = 32, 64, "LINEAR_EXACT"
    group.FrameVOILUTSequence = [window]
    path = write_dicom(
        tmp_path / "a.dcm",
        RAMP.astype(np.uint16),
        NumberOfFrames=1,
        SharedFunctionalGroupsSequence=[group],
    )
    np.testing.assert_allclose(seen(path), RAMP / 64, atol=0.004)


def test_colours(tmp_path: Path) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    path = write_dicom(tmp_path / "a.dcm", red)
    np.testing.assert_allclose(
        read_picture(path, asking(8, 8))[:, 0, 0], [200 / 255, 0, 0], atol=0.01
    )
    ybr = np.zeros((8, 8, 3), np.uint8) + np.array([60, 100, 228], np.uint8)
    path = write_dicom(tmp_path / "b.dcm", ybr, PhotometricInterpretation="YBR_FULL")
    found = read_picture(path, asking(8, 8))[:, 0, 0] * 255
    np.testing.assert_allclose(found, [200, 0, 10], atol=3)


def test_a_palette(tmp_path: Path) -> None:
    ramp, none = bytes(range(64)) * 1, bytes(64)
    tables = dict(zip(("Red", "Green", "Blue"), (ramp, none, ramp[::-1]), strict=True))
    elements: dict[str, Any] = {
        f"{colour}PaletteColorLookupTableData": data for colour, data in tables.items()
    }
    elements |= {f"{colour}PaletteColorLookupTableDescriptor": [64, 0, 8] for colour in tables}
    path = write_dicom(
        tmp_path / "a.dcm",
        RAMP.astype(np.uint8),
        PhotometricInterpretation="PALETTE COLOR",
        **elements,
    )
    found = read_picture(path, asking(8, 8)) * 255
    np.testing.assert_allclose(found[0], RAMP, atol=1)
    np.testing.assert_allclose(found[2], 63 - RAMP, atol=1)


def test_a_range_that_is_asked_for_comes_before_the_window(tmp_path: Path) -> None:
    numbers = (RAMP * 40).astype(np.uint16)
    path = write_dicom(
        tmp_path / "a.dcm",
        numbers,
        RescaleIntercept=-1024,
        RescaleSlope=1,
        WindowCenter=0,
        WindowWidth=1,
    )
    names = photograph_names([path])
    read = read_photographs([path], names, GREY, (-160.0, 240.0))
    want = np.clip((numbers - 1024.0 + 160) / 400, 0, 1)
    np.testing.assert_allclose(read.pictures[0][0], want, atol=0.003)
    assert "In 1 photograph -160 is black and 240 white" in read.notes[0]
    assert "1 of them go beyond" in read.notes[0]


def test_without_window_and_bits_all_files_are_measured_together(tmp_path: Path) -> None:
    paths = [
        write_dicom(tmp_path / "a.dcm", (RAMP * 10).astype(np.uint16)),
        write_dicom(tmp_path / "b.dcm", (RAMP * 60).astype(np.uint16)),
    ]
    read = read_photographs(paths, photograph_names(paths), GREY)
    np.testing.assert_allclose(read.pictures[0][0], RAMP * 10 / 4095, atol=0.003)
    np.testing.assert_allclose(read.pictures[1][0], RAMP * 60 / 4095, atol=0.003)
    assert "numbers from 0 to 3780: 0 was taken for black and 4095 for white" in read.notes[0]


def test_files_are_found_by_how_they_begin(tmp_path: Path) -> None:
    for name in ("b", "c.dcm", "a.IMA", "x.bin", "DICOMDIR"):
        write_dicom(tmp_path / name)
    (tmp_path / "notes.txt").write_text("Zweig")
    assert [path.name for path in find_pictures([tmp_path])] == ["a.IMA", "b", "c.dcm", "x.bin"]


def test_rle_is_decoded(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", (RAMP * 65).astype(np.uint16), BitsStored=12)
    data = pydicom.dcmread(path)
    data.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    data.save_as(path)
    np.testing.assert_allclose(seen(path), RAMP * 65 / 4095, atol=0.002)


def _encapsulated() -> bytes:
    return bytes(pydicom.encaps.encapsulate([b"\xff\xd8\xff\xf7" + b"\0" * 60]))


def _refused(folder: Path) -> dict[str, tuple[Path, str]]:
    """Kind -> a file of it, and what is said of it."""
    return {
        "frames": (
            write_dicom(folder / "a.dcm", np.zeros((8, 8), np.uint16), NumberOfFrames=3, Rows=8),
            "holds 3 frames",
        ),
        "no pixels": (write_dicom(folder / "b.dcm", PixelData=None), "holds no pixels"),
        "report": (
            write_dicom(
                folder / "c.dcm", PixelData=None, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33"
            ),
            "holds a structured report",
        ),
        "document": (
            write_dicom(
                folder / "d.dcm", PixelData=None, SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1"
            ),
            "holds a PDF document",
        ),
        "cut": (write_dicom(folder / "e.dcm", cut=40), "damaged, cut off"),
        "header alone": (
            write_dicom(folder / "f.dcm", cut=9999),
            "holds no pixels",
        ),
        "JPEG-LS": (
            write_dicom(
                folder / "g.dcm", PixelData=_encapsulated(), compress="1.2.840.10008.1.2.4.80"
            ),
            r"compressed \(JPEG-LS Lossless.*nothing that is installed decodes; pip install",
        ),
        "JPEG lossless": (
            write_dicom(
                folder / "h.dcm", PixelData=_encapsulated(), compress="1.2.840.10008.1.2.4.70"
            ),
            r"compressed \(JPEG Lossless.*pip install",
        ),
        "enormous": (
            write_dicom(folder / "i.dcm", Rows=60000, Columns=60000),
            "is 60000 × 60000 pixels",
        ),
        "empty window": (
            write_dicom(folder / "j.dcm", WindowCenter=0, WindowWidth=0),
            "damaged|window is empty",
        ),
        "negative, no window": (
            write_dicom(folder / "k.dcm", (RAMP - 30).astype(np.int16)),
            "from -30 to 33, .* --photo-range",
        ),
        "other colours": (
            write_dicom(folder / "l.dcm", PhotometricInterpretation="HSV"),
            "photometric interpretation that is not read",
        ),
    }


KINDS = (
    *("frames", "no pixels", "report", "document", "cut", "header alone", "JPEG-LS"),
    *("JPEG lossless", "enormous", "empty window", "negative, no window", "other colours"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_refused_names_nobody(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "Zweig_Ottokar"
    path, says = _refused(folder)[kind]
    path = path.rename(folder / f"Zweig_{path.name}")
    if kind == "header alone":
        path.write_bytes(b"\0" * 128 + b"DICM\x02\0")
    names = photograph_names([path])
    with pytest.raises(PictureRefused, match=says) as caught:
        read_photographs([path], names, GREY)
    assert str(caught.value).startswith("dicom-0001 (number 1 of the photographs")
    assert len(str(caught.value).splitlines()) == 1
    assert not [word for word in PLANTED if word in str(caught.value)]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_without_pydicom_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_dicom(tmp_path / "a.dcm")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(RuntimeMissing, match=r"pip install 'leap-audit\[medical\]'"):
        read_picture(path, GREY)


def test_text_in_the_pixels_is_warned_of(tmp_path: Path) -> None:
    paths = [
        write_dicom(tmp_path / "a.dcm", BurnedInAnnotation="YES", WindowCenter=9, WindowWidth=9),
        write_dicom(
            tmp_path / "b.dcm",
            SOPClassUID="1.2.840.10008.5.1.4.1.1.7",
            WindowCenter=9,
            WindowWidth=9,
        ),
        write_dicom(tmp_path / "c.dcm", BurnedInAnnotation="NO", WindowCenter=9, WindowWidth=9),
    ]
    notes = read_photographs(paths, photograph_names(paths), GREY).notes
    assert "DICOM files among the photographs: 3." in notes[0]
    assert "its window (3)" in notes[0]
    assert "1 files say that they have such text, and 1 are captures" in notes[2]


def test_what_is_called_so_and_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"no DICOM")
    with pytest.raises(PictureRefused, match="lacks the mark of DICOM files"):
        read_picture(tmp_path / "a.dcm", GREY)
    for name in ("scan.nii", "scan.nii.gz"):
        (tmp_path / name).write_bytes(b"\x1f\x8b" + b"\0" * 400)
        with pytest.raises(PictureRefused, match="is a NIfTI volume, which is not read; write"):
            read_picture(tmp_path / name, GREY)
    (tmp_path / "a.dcm").unlink()
    with pytest.raises(PictureRefused, match="has NIfTI volumes"):
        find_pictures([tmp_path])
    with pytest.raises(PictureRefused, match=r"^the DICOM file given as number 1 of --samples:"):
        find_pictures([tmp_path / "Zweig.dcm"])
