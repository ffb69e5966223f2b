"""Identify a file by its magic bytes."""

import re

__all__ = ["HEAD", "identify"]

HEAD = 4096
"""How many bytes of a file `identify` wants to see: the first ones."""

BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs.github.com/spec",
        "a Git LFS pointer (git lfs pull brings the file)",
    ),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x7fELF", "an ELF executable"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O executable"),
    (b"\xca\xfe\xba\xbe", "a Mach-O executable or Java class"),
    (b"MZ", "a Windows executable"),
    (b"#!", "a script"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, such as Keras wrote"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"SQLite format 3\x00", "an SQLite database"),
)
MARKUP = re.compile(
    rb"\s*(?:<!--.*?-->\s*|<\?xml.*?\?>\s*)*<(!doctype html|html|head|body|svg)\b", re.I | re.S
)
PICKLE = re.compile(rb"\x80[\x02-\x05](?:\x95.{8})?[\x8c\x8acX}\]()qKG]", re.S)


def identify(head: bytes) -> str | None:
    """Identify a file by its first bytes; None: an ONNX model, or an unknown format.

    The words are a noun with its article ("a ZIP archive"), in brackets behind it what to do.
    """
    for beginning, words in BEGINNINGS:
        if head.startswith(beginning):
            return words
    if head[257:262] == b"ustar":
        return "a tar archive"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP picture"
    if markup := MARKUP.match(head):
        return "an SVG picture" if markup[1].lower() == b"svg" else "a web page"
    if PICKLE.match(head):
        return "a Python pickle"
    if re.match(rb'\s*[{\[]\s*["{\[\]}]', head):
        return "a JSON file"
    return None
