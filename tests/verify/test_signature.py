"""A signature: made, checked, and broken by every change to the folder."""

from pathlib import Path

import pytest

from leap_audit.errors import OutputRefused, SignatureRefused
from leap_audit.verify.signature import (
    default_signature,
    is_encrypted,
    sign_folder,
    verify_signature,
)
from tests.builders.keys import ec, write_pair

pytest.importorskip("model_signing", reason="model-signing is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder such as an audit's: what is signed is bytes."""
    made = tmp_path / "audit"
    (made / "images").mkdir(parents=True)
    for name in ("audit.json", "report.html", "report.pdf", "results.csv", "images/a.png"):
        (made / name).write_bytes(name.encode())
    return made


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_pair(tmp_path, "ours", ec.SECP256R1())


@pytest.mark.parametrize("curve", ["SECP256R1", "SECP384R1", "SECP521R1"])
def test_what_was_signed_is_verified(folder: Path, tmp_path: Path, curve: str) -> None:
    private, public = write_pair(tmp_path, "key", getattr(ec, curve)())
    place = default_signature(folder)
    assert place == tmp_path / "audit.sig"
    sign_folder(folder, private, place)
    assert verify_signature(folder, place, public).state == "matches"
    moved = folder.rename(tmp_path / "moved")
    assert verify_signature(moved, place, public).state == "matches"


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_an_encrypted_key_signs_with_its_password(folder: Path, tmp_path: Path, form: str) -> None:
    private, public = write_pair(tmp_path, "key", ec.SECP256R1(), "pässword", form)
    plain, _ = write_pair(tmp_path, "plain", ec.SECP256R1(), None, form)
    assert (is_encrypted(private), is_encrypted(plain)) == (True, False)
    place = default_signature(folder)
    for wrong in (None, "password", ""):
        with pytest.raises(SignatureRefused, match=r"key\.pem: is no private key.*its password"):
            sign_folder(folder, private, place, wrong)
        assert not place.exists()
    sign_folder(folder, private, place, "pässword")
    assert verify_signature(folder, place, public).state == "matches"


def test_every_change_is_found(folder: Path, keys: tuple[Path, Path]) -> None:
    private, public = keys
    place = default_signature(folder)
    sign_folder(folder, private, place)

    def state() -> str:
        return verify_signature(folder, place, public).state

    for file in [path for path in folder.rglob("*") if path.is_file()]:
        data = file.read_bytes()
        file.write_bytes(data + b"x")
        assert state() == "differs", f"{file.name} was changed"
        file.unlink()
        assert state() == "differs", f"{file.name} was removed"
        file.write_bytes(data)
        assert state() == "matches"
    for name in ("new.txt", "images/b.png", ".gitignore", ".git/hook", ".hidden"):
        added = folder / name
        added.parent.mkdir(exist_ok=True)
        added.write_bytes(b"")
        assert state() == "differs", f"{name} was added"
        added.unlink()
    (folder / "link").symlink_to("audit.json")
    assert state() == "differs"


def test_other_keys_and_forged_signatures(folder: Path, keys: tuple[Path, Path]) -> None:
    private, public = keys
    _, theirs = write_pair(folder.parent, "theirs", ec.SECP256R1())
    place = default_signature(folder)
    sign_folder(folder, private, place)
    assert verify_signature(folder, place, theirs).state == "differs"
    text = place.read_text()
    for forged in (text[:-20], "{}", "", "[]", text.replace('"sig": "M', '"sig": "N')):
        place.write_text(forged)
        if forged != text:
            assert verify_signature(folder, place, public).state == "differs"


def test_what_is_refused(folder: Path, keys: tuple[Path, Path]) -> None:
    private, public = keys
    place = default_signature(folder)
    with pytest.raises(OutputRefused, match="in the folder it signs"):
        sign_folder(folder, private, folder / "audit.sig")
    with pytest.raises(SignatureRefused, match="is no private key"):
        sign_folder(folder, public, place)
    with pytest.raises(SignatureRefused, match="no such file; give the private key"):
        sign_folder(folder, folder / "none", place)
    weak, _ = write_pair(folder.parent, "weak", ec.SECP224R1())
    with pytest.raises(SignatureRefused, match="P-256, P-384 or P-521"):
        sign_folder(folder, weak, place)
    (folder / "link").symlink_to("audit.json")
    with pytest.raises(SignatureRefused, match="cannot be signed"):
        sign_folder(folder, private, place)
    assert not place.exists()
    with pytest.raises(SignatureRefused, match="no such file; give the signature"):
        verify_signature(folder, place, public)
    place.write_text("{}")
    with pytest.raises(SignatureRefused, match="is no public key"):
        verify_signature(folder, place, private)
