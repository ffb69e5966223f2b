"""Upload a card and its files to a repository of the Hugging Face Hub."""

from dataclasses import dataclass
from typing import Any

from leap_audit.attach.card import CardFiles, no_hub
from leap_audit.errors import CardRefused, LeapAuditError, reason_of

__all__ = ["Upload", "planned_upload", "push"]

CARD = "README.md"
"""What the Hub takes for the card of a repository."""


@dataclass(frozen=True)
class Upload:
    """An upload: its files and its destination."""

    repository: str
    files: dict[str, bytes]
    create_pr: bool

    def lines(self) -> list[str]:
        """Return what the upload does, before it does it."""
        how = "as a pull request to" if self.create_pr else "straight into the main branch of"
        said = [f"This uploads {how} {self.repository}, over files of the same names there:"]
        return said + [f"  {name}, {len(data):,} bytes" for name, data in self.files.items()]


def planned_upload(files: CardFiles, repository: str, *, create_pr: bool) -> Upload:
    """Return the upload of a card with the files beside it.

    Raises CardRefused: the card is not called README.md.
    """
    if files.card.name != CARD:
        raise CardRefused(
            f"{files.card}: only {CARD} is the card of a repository; give that to --push it."
        )
    return Upload(repository, files.contents, create_pr)


def push(upload: Upload, api: Any = None) -> str:
    """Upload in one commit, bytes as they are, and return the address of the result.

    api: an HfApi; None: one with the token of this machine.

    Raises RuntimeMissing: huggingface_hub is not installed. LeapAuditError: the Hub refuses.
    """
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
    except ImportError:
        raise no_hub() from None
    operations = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=data)
        for name, data in upload.files.items()
    ]
    try:
        made = (api or HfApi()).create_commit(
            repo_id=upload.repository,
            operations=operations,
            commit_message="Attach the audit of the model",
            create_pr=upload.create_pr,
        )
    except Exception as error:  # of the network, of the token, of the Hub
        raise LeapAuditError(
            f"{upload.repository}: the Hub refuses the upload ({reason_of(error)}); check the name "
            "and `hf auth login`."
        ) from None
    return str(made.pr_url or made.commit_url)
