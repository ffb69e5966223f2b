"""A detached signature of all files in the folder of an audit.

Made and checked by model-signing of the OpenSSF, with an elliptic key and without a network: a
Sigstore bundle whose payload is an in-toto statement with the SHA-256 of every file.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from leap_audit.errors import OutputRefused, RuntimeMissing, SignatureRefused, reason_of
from leap_audit.publish.folder import write_file
from leap_audit.verify.matches import Row

__all__ = ["default_signature", "is_encrypted", "sign_folder", "verify_signature"]


SAID_WITHIN = 4096
"""Bytes of a PEM file in whose headers it says whether it is encrypted."""


def default_signature(folder: Path) -> Path:
    """Return the default file of a signature: FOLDER.sig, beside the folder."""
    place = folder.resolve()
    return place.with_name(f"{place.name}.sig")


def is_encrypted(private_key: Path) -> bool:
    """Return whether a PEM file says that its key needs a password (RFC 1421, RFC 5958).

    Raises SignatureRefused: there is no such file.
    """
    _require_file(private_key, "private key")
    with private_key.open("rb") as file:
        return b"ENCRYPTED" in file.read(SAID_WITHIN)


def sign_folder(folder: Path, private_key: Path, out: Path, password: str | None = None) -> None:
    """Write the signature of all files in `folder` to `out`.

    private_key: PEM, of the curves P-256, P-384 or P-521. password: of a key that is encrypted.

    Raises SignatureRefused: the key cannot be used, or the folder holds links. OutputRefused: `out`
    lies in the folder. RuntimeMissing: model-signing is not installed.
    """
    if out.resolve().is_relative_to(folder.resolve()):
        raise OutputRefused(f"{out}: lies in the folder it signs; give a place outside of it.")
    signing, _, hashing = _library()
    _require_file(private_key, "private key")
    try:
        signer = signing.Config().use_elliptic_key_signer(
            private_key=private_key,
            # As bytes, which is what it hands on to cryptography, whatever its annotation says.
            password=None if password is None else password.encode(),
        )
    except Exception as error:  # of cryptography, whose kinds are many
        raise SignatureRefused(
            f"{private_key}: is no private key that can sign ({reason_of(error)}); give a PEM file "
            "of the curve P-256, P-384 or P-521 and, if it is encrypted, its password."
        ) from None
    with TemporaryDirectory() as scratch:
        made = Path(scratch) / "signature"
        try:
            signer.set_hashing_config(_everything(hashing)).sign(folder, made)
        except (ValueError, OSError) as error:
            raise SignatureRefused(
                f"{folder}: cannot be signed ({reason_of(error)}); take out what is no plain file."
            ) from None
        write_file(out, made.read_bytes())


def verify_signature(folder: Path, signature: Path, public_key: Path) -> Row:
    """Return whether the signature is of this key and of exactly the files in `folder`.

    Raises SignatureRefused: the key or the signature is no such file. RuntimeMissing: model-signing
    is not installed.
    """
    _, verifying, hashing = _library()
    for path, what in ((public_key, "public key"), (signature, "signature")):
        _require_file(path, what)
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    except Exception as error:  # of cryptography, whose kinds are many
        raise SignatureRefused(
            f"{public_key}: is no public key ({reason_of(error)}); give a PEM file of the curve "
            "P-256, P-384 or P-521."
        ) from None
    # Left to itself the library takes from the signature which files to pass over.
    verifier.set_hashing_config(_everything(hashing))
    try:
        verifier.verify(folder, signature)
    except Exception as error:  # whatever a forged signature brings about, it is not accepted
        return Row("signature", str(signature), "differs", reason_of(error))
    return Row("signature", str(signature), "matches", f"made with the key of {public_key.name}")


def _everything(hashing: Any) -> Any:
    """Hashes every file: the library's default passes over those of git."""
    return hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False)


def _require_file(path: Path, what: str) -> None:
    if not path.is_file():
        raise SignatureRefused(f"{path}: there is no such file; give the {what}.")


def _library() -> tuple[Any, Any, Any]:
    try:
        from model_signing import hashing, signing, verifying
    except ImportError:
        raise RuntimeMissing(
            "model-signing is not installed: pip install 'leap-audit[sign]'."
        ) from None
    return signing, verifying, hashing
