"""Checks of an encoder's vectors, and of labels that look wrong."""

from leap_audit.artifacts import EmbeddingAudit
from leap_audit.findings.embedding import worst_mild
from leap_audit.policy.scope import Assessed, Assessment, NotAssessed, Scope
from leap_audit.text.numbers import count, percent

__all__ = ["duplicates_across", "found_again", "labels_in_doubt", "mean_cosine", "rank_share"]

NO_ENCODER = "the model is no encoder, or was shown too few photographs"


def mean_cosine(scope: Scope) -> Assessment:
    """The mean cosine of the vectors of two different pictures."""
    found = scope.audit.embedding
    if found is None:
        return NotAssessed(NO_ENCODER)
    return Assessed(found.mean_cosine, f"{found.mean_cosine:.3f}, {_over(found)}")


def rank_share(scope: Scope) -> Assessment:
    """The effective rank of the vectors, as a share of the highest that it could be."""
    found = scope.audit.embedding
    if found is None:
        return NotAssessed(NO_ENCODER)
    share = min(1.0, found.effective_rank / max(found.possible_rank, 1))
    return Assessed(
        share, f"{found.effective_rank:.1f} of {found.possible_rank:,} directions, {_over(found)}"
    )


def found_again(scope: Scope) -> Assessment:
    """The share of pictures found again after the mild change that loses most."""
    found = scope.audit.embedding
    if found is None:
        return NotAssessed(NO_ENCODER)
    if (worst := worst_mild(found)) is None:
        return NotAssessed("the audit was stopped before a change was tried")
    share = worst.found / worst.pictures
    return Assessed(
        share,
        f"{worst.found} of {count(worst.pictures, 'picture')} ({percent(share)}; 95 % interval "
        f"{percent(worst.low)} to {percent(worst.high)}), {worst.change}",
    )


def duplicates_across(scope: Scope) -> Assessment:
    """The pairs of near-duplicates in two folders or under two classes."""
    found = scope.audit.embedding
    if found is None:
        return NotAssessed(NO_ENCODER)
    pairs = sum(each.across or each.classes_differ for each in found.duplicates)
    return Assessed(pairs, f"{count(pairs, 'pair')}, {_over(found)}")


def labels_in_doubt(scope: Scope) -> Assessment:
    """The photographs that look mislabelled, as a share of those whose label was judged."""
    audit = scope.audit
    if not audit.judged:
        return NotAssessed("too few photographs of known classes; see --labels")
    doubted = len(audit.doubted)
    return Assessed(
        doubted / audit.judged,
        f"{doubted} of {count(audit.judged, 'labelled photograph')}",
    )


def _over(found: EmbeddingAudit) -> str:
    return f"over {count(found.pictures, 'picture')}"
