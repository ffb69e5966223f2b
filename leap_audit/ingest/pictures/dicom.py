"""Decode DICOM files as a viewer displays them, without patient data.

Only the elements in `ELEMENTS` are read. None of their text reaches a message: a file is called by
the name that the caller gives it, and what pydicom says of an error, which may quote the file, is
left out.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leap_audit.errors import PictureRefused, RuntimeMissing
from leap_audit.files import open_regular
from leap_audit.ingest.pictures.depth import PixelValues

__all__ = ["DicomRendering", "is_dicom", "read_dicom"]

PREAMBLE = 128
MARK = b"DICM"
ELEMENTS = (
    *("SOPClassUID", "ConversionType", "BurnedInAnnotation", "PixelData", "FloatPixelData"),
    *("DoubleFloatPixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *("RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"),
    *("BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData"),
    *("GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData"),
    *("SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData"),
    *("SegmentedBluePaletteColorLookupTableData", "PaletteColorLookupTableUID"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
OBJECTS = {
    "1.2.840.10008.1.3.10": "an index of other files (DICOMDIR)",
    "1.2.840.10008.5.1.4.1.1.88.": "a structured report",
    "1.2.840.10008.5.1.4.1.1.104.1": "a PDF document",
    "1.2.840.10008.5.1.4.1.1.104.": "a document",
    "1.2.840.10008.5.1.4.1.1.481.": "a plan or contours of radiotherapy",
    "1.2.840.10008.5.1.4.1.1.11.": "a presentation state",
    "1.2.840.10008.5.1.4.1.1.9.": "a waveform",
    "1.2.840.10008.5.1.4.1.1.66": "raw data, a registration or a segmentation",
}
"""Beginnings of the SOP class -> what such a file holds."""
SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary capture: what came from a screen, a scanner or a film."""
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")
DECODERS = (
    "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg, or pip install python-gdcm, may "
    "bring a decoder; or decompress the file first (dcmdjpeg, gdcmconv --raw)"
)


@dataclass(frozen=True)
class DicomRendering:
    """The rendering of a DICOM file: its pixel values, and how they were derived."""

    values: PixelValues
    how: str
    """What black and white were taken from: 'its window', 'its VOI LUT', ... in words."""
    rescaled: bool
    """Whether a slope, an intercept or a modality LUT changed the numbers."""
    burned_in: str
    """'yes' where the file says that its pixels show text, 'perhaps' where it may; else empty."""


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM: `DICM` after 128 bytes. An unreadable file is not."""
    try:
        with open_regular(path) as file:
            return file.read(PREAMBLE + len(MARK))[PREAMBLE:] == MARK
    except OSError:
        return False


def read_dicom(
    path: Path, label: str, most: int, low_high: tuple[float, float] | None = None
) -> DicomRendering:
    """Return the pixels of a DICOM file, and which of their numbers are black and white.

    Grey: after slope and intercept or the modality LUT, through the file's own VOI LUT or first
    window; without both its stored bits, where fewer than 16, say what is white. low_high: black
    and white in numbers after slope and intercept, instead. MONOCHROME1 is inverted. Colours: RGB,
    also from YBR and a palette.

    label: what the file is called in messages. most: pixels. Raises PictureRefused: several frames,
    no pixels, damaged, or compressed in a way that nothing installed decodes. RuntimeMissing:
    pydicom is not installed.
    """
    with _quiet(label):
        dataset = _dataset(path, label, most)
        pixels = _pixels(dataset, label)
        burned = _burned_in(dataset)
        kind = str(dataset.get("PhotometricInterpretation", ""))
        if kind == "PALETTE COLOR":
            from pydicom.pixels import apply_color_lut

            coloured = np.asarray(apply_color_lut(pixels, dataset))[..., :3]
            bits = 8 if coloured.dtype.itemsize == 1 else 16
            return DicomRendering(
                PixelValues(coloured, (0.0, 2.0**bits - 1)), "a palette", False, burned
            )
        if kind in COLOURS:
            white = 2.0 ** int(dataset.BitsStored) - 1
            return DicomRendering(PixelValues(pixels, (0.0, white)), "its colours", False, burned)
        if kind not in ("MONOCHROME1", "MONOCHROME2"):
            raise PictureRefused(
                f"{label}: its pixels are of a photometric interpretation that is not read; "
                "convert it to MONOCHROME2 or RGB."
            )
        return _grey(dataset, pixels, low_high, label, burned)


@contextmanager
def _quiet(label: str) -> Iterator[None]:
    """Silence pydicom, and keep its errors from quoting the file."""
    try:
        import pydicom
    except ImportError:
        raise RuntimeMissing(
            f"{label}: is a DICOM file, which needs pydicom: pip install 'leap-audit[medical]'."
        ) from None
    logger = logging.getLogger("pydicom")
    before, settings = logger.disabled, pydicom.config.settings
    mode = settings.reading_validation_mode
    logger.disabled, settings.reading_validation_mode = True, pydicom.config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (PictureRefused, RuntimeMissing, MemoryError):
        raise
    except Exception as error:  # what pydicom says may hold what stands in the file
        kind = type(error).__name__
        raise PictureRefused(
            f"{label}: the DICOM file is damaged, cut off, or of a kind that is not read ({kind})."
        ) from None
    finally:
        logger.disabled, settings.reading_validation_mode = before, mode


def _dataset(path: Path, label: str, most: int) -> Any:
    from pydicom import dcmread

    dataset = dcmread(path, specific_tags=list(ELEMENTS))
    if not any(element in dataset for element in PIXELS):
        uid = str(
            dataset.get("SOPClassUID", "") or dataset.file_meta.get("MediaStorageSOPClassUID")
        )
        words = next((w for start, w in OBJECTS.items() if uid.startswith(start)), "")
        held = f"holds {words}, no picture" if words else "holds no pixels"
        raise PictureRefused(f"{label}: {held}; leave this DICOM file out.")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise PictureRefused(
            f"{label}: holds {frames} frames; an audit reads single pictures. Write the frames "
            "that matter as files of their own (dcm2dcm or emf2sf of dcm4che, gdcmconv --split, or "
            "pydicom)."
        )
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    if not 0 < rows * columns <= most or min(rows, columns) < 1:
        raise PictureRefused(
            f"{label}: the picture is {columns} × {rows} pixels; at least 1 and at most "
            f"{most // 1_000_000} million can be read."
        )
    return dataset


def _pixels(dataset: Any, label: str) -> NDArray[np.generic]:
    """The stored numbers, colours as RGB, of (height, width) or (height, width, 3)."""
    from pydicom.pixels import get_decoder, pixel_array

    uid = dataset.file_meta.get("TransferSyntaxUID")
    if uid is None:
        raise PictureRefused(f"{label}: does not say how its pixels are stored; convert it anew.")
    name = uid.name if uid.is_transfer_syntax and not uid.is_private else "a private one"
    if uid.is_compressed and uid.name != "Deflated Explicit VR Little Endian":
        try:
            available = get_decoder(uid).is_available
        except NotImplementedError:
            available = False
        if not available:
            raise PictureRefused(
                f"{label}: its pixels are compressed ({name}), which nothing that is installed "
                f"decodes; {DECODERS}."
            )
    try:
        pixels = np.asarray(pixel_array(dataset))
    except (RuntimeError, NotImplementedError):
        if not uid.is_compressed:
            raise
        raise PictureRefused(
            f"{label}: its compressed pixels ({name}) cannot be decoded: they are damaged, or of a "
            f"form that the decoders here do not read; {DECODERS}."
        ) from None
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise PictureRefused(f"{label}: its pixels are neither grey nor of three colours.")
    return pixels


def _grey(
    dataset: Any,
    pixels: NDArray[np.generic],
    low_high: tuple[float, float] | None,
    label: str,
    burned: str,
) -> DicomRendering:
    from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing

    _from_groups(dataset)
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    stored = _used_bits(dataset, pixels, label)
    rescaled = "ModalityLUTSequence" in dataset or (
        float(dataset.get("RescaleSlope") or 1) != 1 or float(dataset.get("RescaleIntercept") or 0)
    )
    numbers = np.asarray(apply_modality_lut(stored, dataset))
    how, span = "the range that was asked for", low_high
    if low_high is None and dataset.get("VOILUTSequence"):
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        numbers, how = np.asarray(apply_voi(numbers, dataset)), "its VOI LUT"
        span = (0.0, 2.0**bits - 1)
    elif low_high is None and _has_window(dataset):
        # The two ends of what the window gives are those of numbers far outside of it.
        ends = np.array([-1e9, 1e9])
        flat = np.concatenate([numbers.astype(np.float64).ravel(), ends])
        with np.errstate(over="ignore"):
            shown = np.asarray(apply_windowing(flat, dataset))
        numbers, how = shown[:-2].reshape(numbers.shape), "its window"
        span = (float(shown[-2]), float(shown[-1]))
    elif low_high is None:
        how, span = "its stored bits", _of_bits(dataset, stored)
        if span is None:
            how = "what was measured"
    if span is not None and span[0] == span[1]:
        raise PictureRefused(f"{label}: its window is empty; pass --photo-range LOW,HIGH instead.")
    return DicomRendering(
        PixelValues(numbers, span, inverted=inverted), how, bool(rescaled), burned
    )


def _from_groups(dataset: Any) -> None:
    """Bring slope, intercept and window of an enhanced object of one frame to where others have
    them."""
    for group in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for item in (dataset.get(group) or [])[:1]:
            for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
                for inner in (item.get(name) or [])[:1]:
                    for element in ELEMENTS:
                        if element in inner and element not in dataset:
                            dataset[element] = inner[element]


def _has_window(dataset: Any) -> bool:
    return all(dataset.get(name) not in (None, "", []) for name in ("WindowCenter", "WindowWidth"))


def _used_bits(dataset: Any, pixels: NDArray[np.generic], label: str) -> NDArray[np.generic]:
    """The pixels without what stands in the bits that are not theirs, such as old overlays."""
    if pixels.dtype.kind == "f":
        return pixels
    allocated, stored = pixels.dtype.itemsize * 8, int(dataset.BitsStored)
    if int(dataset.get("HighBit", stored - 1)) != stored - 1 or not 0 < stored <= allocated:
        raise PictureRefused(
            f"{label}: its stored bits are not the low ones, a form withdrawn long ago; convert it."
        )
    # Shifted up and down again, a signed number keeps its sign.
    spare = allocated - stored
    return np.right_shift(np.left_shift(pixels, spare), spare) if spare else pixels


def _of_bits(dataset: Any, stored: NDArray[np.generic]) -> tuple[float, float] | None:
    """Black and white after slope and intercept as the stored bits say; None for all 16 or more."""
    from pydicom.pixels import apply_modality_lut

    if stored.dtype.kind == "f" or int(dataset.BitsStored) >= 16:
        return None
    if "ModalityLUTSequence" in dataset:
        return 0.0, 2.0 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    bits = int(dataset.BitsStored)
    signed = int(dataset.get("PixelRepresentation") or 0)
    ends = np.array([-(1 << (bits - 1)), (1 << (bits - 1)) - 1] if signed else [0, (1 << bits) - 1])
    low, high = sorted(float(end) for end in apply_modality_lut(ends, dataset))
    return low, high


def _burned_in(dataset: Any) -> str:
    said = str(dataset.get("BurnedInAnnotation") or "").strip().upper()
    if said in ("YES", "NO"):
        return "yes" if said == "YES" else ""
    uid = str(dataset.get("SOPClassUID") or "")
    scanned = uid.startswith((SECONDARY, ULTRASOUND)) or bool(dataset.get("ConversionType"))
    return "perhaps" if scanned else ""
