"""The signature is over the raw bytes, under any configured secret."""

from __future__ import annotations

import pytest

from services.receiver.http.signature import is_signed
from shared.runtime.crypto import webhook_signature

COMPACT = b'{"object":"whatsapp_business_account","entry":[]}'
SPACED = b'{"object": "whatsapp_business_account", "entry": []}'


@pytest.mark.parametrize(
    ("secret", "body", "digest"),
    [
        ("test_app_secret", COMPACT, "dec6a680679a968e7e0319355b23599cbfc54502c0784668e9618baa0c633756"),
        ("test_app_secret", SPACED, "56cbbaf4961c6cfdae48b7f116c047e5eb513d2c931baae63a2bc1afd26f803a"),
        ("otro_secreto", COMPACT, "769b03d8c2ae6498f2d1e1f7299c0ba55448c69d741e7b0bb243d852d8a8d8c7"),
    ],
)
def test_published_signatures_are_valid(secret: str, body: bytes, digest: str) -> None:
    assert is_signed(body, f"sha256={digest}", [secret])


def test_a_signature_under_any_secret_is_valid() -> None:
    header = webhook_signature("new", COMPACT)
    assert is_signed(COMPACT, header, ["old", "new"])
    assert not is_signed(COMPACT, header, ["old"])


def test_equal_json_in_other_bytes_has_another_signature() -> None:
    assert not is_signed(SPACED, webhook_signature("s", COMPACT), ["s"])


@pytest.mark.parametrize("header", ["", "sha256=", "sha1=" + "a" * 66, "sha256=" + "é" * 64, "sha256=" + "0" * 64])
def test_any_other_header_is_invalid(header: str) -> None:
    assert not is_signed(COMPACT, header, ["s"])


def test_without_secrets_no_signature_is_valid() -> None:
    assert not is_signed(COMPACT, webhook_signature("", COMPACT), [])
