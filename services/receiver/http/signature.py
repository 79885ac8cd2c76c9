"""Verifies that a webhook comes from Facebook. Pure.

The HMAC is over the raw bytes: Facebook signs the body with its escapes (`\\u00e4`, `\\/`), so a body that was parsed
and serialised again has another signature (developers.facebook.com/docs/messenger-platform/webhooks).
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from shared.runtime.crypto import webhook_signature

SIGNATURE_LENGTH = len("sha256=") + 64


def is_signed(body: bytes, header: str, app_secrets: Sequence[str]) -> bool:
    """Return whether `header` (`X-Hub-Signature-256`) is the signature of `body` under any of the secrets.

    Every secret is tried in any case, so that the time does not reveal which one matched.
    """
    if len(header) != SIGNATURE_LENGTH or not header.isascii():
        return False
    matches = [hmac.compare_digest(webhook_signature(secret, body), header) for secret in app_secrets]
    return any(matches)
