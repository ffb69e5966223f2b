"""Pictures of the audit as data URIs, small enough to embed and large enough to print."""

import base64
import io
from functools import lru_cache
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from leap_audit.errors import PictureRefused, reason_of
from leap_audit.text.names import visible

__all__ = ["SMALL", "Pictures", "compact", "data_uri"]

SMALL = 128
"""Pictures with a shorter side below this are enlarged pixel by pixel."""
_QUALITY = {"JPEG": 88, "WEBP": 80}
"""Of large pictures: the two look alike, and WebP takes two thirds of the bytes."""
_QUALITY_OF_PIXELS = 95
_TONES = 16


class Pictures:
    """The pictures in the folder of an audit.

    paper: whether they are for print. Pages on the screen get WebP, a PDF JPEG, the one
    photographic format that it embeds as it is.
    """

    def __init__(self, folder: Path, *, paper: bool = False) -> None:
        self._folder = folder.resolve()
        self.paper = paper
        self._open = lru_cache(maxsize=8)(self._load)

    def is_small(self, name: str) -> bool:
        """Return whether the picture must be enlarged so that its pixels stay sharp."""
        return min(self._open(name).size) < SMALL

    def read(self, name: str) -> Image.Image:
        """Return a picture without the metadata of its file, in grey or in red, green and blue.

        Raises PictureRefused: it is missing, no PNG, or outside the folder.
        """
        picture = self._open(name)
        plain = Image.new("L" if picture.mode == "L" else "RGB", picture.size)
        plain.paste(picture.convert(plain.mode))
        return plain

    def photo(self, name: str, side: int) -> Markup:
        """Return a picture as a data URI, its longer side at most `side` pixels."""
        picture = self._open(name).convert("RGB")
        if self.is_small(name):
            return compact(picture)
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        return self.photographic(picture)

    def photographic(self, picture: Image.Image) -> Markup:
        """Return a picture of many colours as a data URI, in the format that suits the page."""
        kind = "JPEG" if self.paper else "WEBP"
        return data_uri(picture, kind, quality=_QUALITY[kind])

    def ranking(self, name: str, side: int) -> Markup:
        """Return a mask as a data URI in 16 tones, so that its steps read like contour lines."""
        picture = self._open(name).convert("L")
        if not self.is_small(name):
            picture.thumbnail((side, side), Image.Resampling.BILINEAR)
        step = 256 // _TONES
        picture = picture.point([min(255, (tone // step) * 17) for tone in range(256)])
        return data_uri(picture, "PNG")

    def _load(self, name: str) -> Image.Image:
        try:
            path = (self._folder / name).resolve()
        except (OSError, ValueError) as error:
            raise PictureRefused(
                f"{visible(name)}: is no path of a picture ({reason_of(error)}); the audit "
                "was altered."
            ) from None
        if not path.is_relative_to(self._folder):
            raise PictureRefused(f"{name}: lies outside the audit's folder; the audit was altered.")
        try:
            with Image.open(path, formats=["PNG"]) as picture:
                picture.load()
                return picture
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise PictureRefused(
                f"{name}: the audit names this picture but it cannot be read from "
                f"{self._folder} ({error}); run the audit again."
            ) from None


def compact(picture: Image.Image) -> Markup:
    """Return a small picture as a data URI: PNG, or JPEG where that is smaller.

    The JPEG keeps the colour of every pixel (no chroma subsampling), because each one is shown as
    a square. A noisy photograph of 64 x 64 pixels takes half the bytes then.
    """
    fine = {"quality": _QUALITY_OF_PIXELS, "subsampling": 0}
    return min(data_uri(picture, "PNG", optimize=True), data_uri(picture, "JPEG", **fine), key=len)


def data_uri(picture: Image.Image, kind: str, **options: int | bool) -> Markup:
    """Return a picture as a data URI. kind: PNG, JPEG or WEBP. options: as Pillow takes them."""
    if kind == "JPEG":
        options = {"optimize": True, **options}
    out = io.BytesIO()
    picture.save(out, kind, **options)
    data = base64.b64encode(out.getvalue()).decode("ascii")
    return Markup(f"data:image/{kind.lower()};base64,{data}")
