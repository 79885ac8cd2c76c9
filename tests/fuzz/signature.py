"""atheris on `is_signed`: `python -m tests.fuzz signature`.

No mutation finds an HMAC, so the header is the right one, changed or not, as often as anything else.
"""

from __future__ import annotations

import hashlib
import hmac

import atheris

from tests.fuzz.harness import fuzz, instrumented

with instrumented():
    from tests.fuzz.oracles import check_signature

SECRETS = ("app-secret", "instagram-secret", "", "geheim \N{KEY}")
STRANGE = "other-secret"


def signed_by(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def header_for(data: atheris.FuzzedDataProvider, body: bytes) -> str:
    """Return a signature, one with a changed character, or any text (including invalid UTF-8, as aiohttp passes it)."""
    header = signed_by(data.PickValueInList([*SECRETS, STRANGE]), body)
    place = data.ConsumeIntInRange(0, len(header))
    way = data.ConsumeIntInRange(0, 3)
    if way == 0:
        return header
    if way == 1:
        return header[:place] + header[place : place + 1].upper() + header[place + 1 :]
    if way == 2:
        dead_letter: str = data.PickValueInList(["", "0", "A", "g", " ", "\x00", "é", "\udcff", header])
        return header[:place] + dead_letter + header[place + 1 :]
    text: str = data.ConsumeUnicode(80)
    return text


def check(raw: bytes) -> None:
    data = atheris.FuzzedDataProvider(raw)
    secrets = [secret for secret in SECRETS if data.ConsumeBool()]
    body = data.ConsumeBytes(data.ConsumeIntInRange(0, 256))
    check_signature(body, header_for(data, body), secrets)


if __name__ == "__main__":
    atheris.instrument_func(header_for)
    fuzz(atheris.instrument_func(check))
