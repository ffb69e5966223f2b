"""Pairs of keys that sign an audit and check its signature."""

from pathlib import Path
from typing import Any

import pytest

ec = pytest.importorskip(
    "cryptography.hazmat.primitives.asymmetric.ec", reason="cryptography is not installed"
)


def write_pair(
    folder: Path, name: str, curve: Any, password: str | None = None, form: str = "PKCS8"
) -> tuple[Path, Path]:
    """Write a private and a public key as PEM and return where they are."""
    from cryptography.hazmat.primitives import serialization as s

    key = ec.generate_private_key(curve)
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    cipher = s.BestAvailableEncryption(password.encode()) if password else s.NoEncryption()
    private.write_bytes(key.private_bytes(s.Encoding.PEM, getattr(s.PrivateFormat, form), cipher))
    public.write_bytes(
        key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public
