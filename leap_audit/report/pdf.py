"""HTML to PDF, without letting the document reach for anything."""

import hashlib
from typing import Any

from weasyprint import HTML
from weasyprint.urls import FatalURLFetchingError, URLFetcher

__all__ = ["data_only", "render_pdf"]

_DATA = URLFetcher(allowed_protocols=("data",), allow_redirects=False, fail_on_errors=True)


def data_only(url: str) -> Any:
    """Return what a `data:` URL holds.

    Raises FatalURLFetchingError: for any other URL, which ends the rendering: a report that
    asks for a file or the network is not one to finish.
    """
    if url[:5].lower() != "data:":
        raise FatalURLFetchingError(f"the report asked for {url[:80]!r}, which is not embedded")
    try:
        return _DATA.fetch(url)
    except Exception as error:
        raise FatalURLFetchingError(
            f"a picture embedded in the report is broken: {error}"
        ) from None


def render_pdf(html: str) -> bytes:
    """Return the report as tagged PDF; the same `html` gives the same bytes.

    The dates in the PDF are those of the audit, which `html` carries in its metadata.
    """
    document = HTML(string=html, url_fetcher=data_only, base_url=None)
    identifier = hashlib.sha256(html.encode("utf-8")).digest()[:16]
    pdf: bytes = document.write_pdf(pdf_identifier=identifier, pdf_tags=True)
    return pdf
