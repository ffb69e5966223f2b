"""HTML to archival PDF, without letting the document reach for anything."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from weasyprint import CSS, HTML, Attachment
from weasyprint.urls import FatalURLFetchingError, URLFetcher

__all__ = ["data_only", "render_pdf"]

_VARIANT = "pdf/a-3b"
"""What the PDF declares to be; docs/adr/0012-archival-pdf.md says what checked that."""
_STYLE = "img { image-rendering: crisp-edges }"
"""Archival PDF forbids a viewer to smooth pictures; a browser that prints the page may."""
_NO_DAY = datetime(1970, 1, 1, tzinfo=UTC)

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


def render_pdf(html: str, sources: Mapping[str, bytes] | None = None) -> bytes:
    """Return the report as tagged PDF/A-3b; the same arguments give the same bytes.

    sources: what the report was made from, by file name: embedded as associated files. The dates
    in the PDF are those of the audit, which `html` carries in its metadata (`dcterms.created`,
    in UTC); without them there are none.

    Raises FatalURLFetchingError: `html` asks for something that is not embedded in it.
    """
    document = HTML(string=html, url_fetcher=data_only, base_url=None).render(
        stylesheets=[CSS(string=_STYLE)], pdf_variant=_VARIANT, pdf_tags=True
    )
    created = document.metadata.created
    dated = datetime.fromisoformat(created) if created else None
    digest = hashlib.sha256(html.encode("utf-8"))
    attachments = []
    for name, content in (sources or {}).items():
        digest.update(hashlib.sha256(content).digest())
        attachments.append(_attachment(name, content, dated))
    pdf: bytes = document.write_pdf(
        pdf_variant=_VARIANT,
        pdf_tags=True,
        pdf_identifier=digest.digest()[:16],
        attachments=attachments,
        finisher=_Finish(dated),
    )
    return pdf


def _attachment(name: str, content: bytes, dated: datetime | None) -> Attachment:
    day = dated or _NO_DAY  # WeasyPrint would take the time of this moment
    return Attachment(
        file_obj=io.BytesIO(content),
        name=name,
        description="What this report was made from, for programs to read",
        created=day,
        modified=day,
        relationship="Source",
        url_fetcher=data_only,
    )


@dataclass(frozen=True)
class _Finish:
    """Puts right what WeasyPrint writes and archival PDF does not allow, or nobody knows."""

    dated: datetime | None

    def __call__(self, _document: Any, pdf: Any) -> None:
        for each in pdf.objects:
            if isinstance(each, dict):
                for name in ("Pattern", "Shading"):
                    if name in each and not each[name]:
                        del each[name]
            elif (
                self.dated is None and each.__dict__.get("extra", {}).get("Type") == "/EmbeddedFile"
            ):
                del each.extra["Params"]["CreationDate"], each.extra["Params"]["ModDate"]
        # WeasyPrint lists every associated file twice.
        if "AF" in pdf.catalog:
            pdf.catalog["AF"][:] = dict.fromkeys(pdf.catalog["AF"])
