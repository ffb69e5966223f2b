"""Small DICOM files, made here: every element that may name a patient holds a planted word."""

from pathlib import Path
from typing import Any

import numpy as np

PLANTED = ("Zweig", "Ottokar", "19370211", "Klinikum", "9988776655", "QXJ77", "1.2.3.4.5.6.7.8.9")
"""Name, birth date, institution, numbers: none of these may be found in anything written."""


def write_dicom(
    path: Path, pixels: Any = None, *, compress: str = "", cut: int = 0, **elements: Any
) -> Path:
    """Write pixels, (height, width) or (height, width, 3), with `elements`; None leaves one out."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    array = np.arange(64, dtype=np.uint16).reshape(8, 8) if pixels is None else np.asarray(pixels)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    meta.MediaStorageSOPInstanceUID = UID(f"{PLANTED[6]}.1")
    meta.TransferSyntaxUID = UID(compress) if compress else ExplicitVRLittleEndian
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID = meta.MediaStorageSOPClassUID
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID = f"{PLANTED[6]}.2"
    data.SeriesInstanceUID = generate_uid(prefix=f"{PLANTED[6]}.")
    data.PatientName = "Zweig^Ottokar"
    data.PatientID = "9988776655"
    data.PatientBirthDate = "19370211"
    data.InstitutionName = "Klinikum Zweig"
    data.ReferringPhysicianName = "Klinikum^Ottokar"
    data.AccessionNumber = data.StudyID = "QXJ77"
    data.ImageComments = data.PatientComments = "Zweig Ottokar 19370211"
    data.StudyDate = "19370211"
    data.Rows, data.Columns = array.shape[:2]
    data.SamplesPerPixel = 1 if array.ndim == 2 else 3
    data.PhotometricInterpretation = "MONOCHROME2" if array.ndim == 2 else "RGB"
    if array.ndim == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = array.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(array.dtype.kind == "i")
    data.PixelData = array.tobytes()
    data["PixelData"].VR = "OW" if data.BitsAllocated > 8 else "OB"
    for name, value in elements.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    if "BitsStored" in elements and "HighBit" not in elements:
        data.HighBit = data.BitsStored - 1
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    return path
