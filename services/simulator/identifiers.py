"""Makes ids in the forms that Facebook uses, as far as they are known. Pure.

Messenger's `m_…` is 64 bytes, of which 16 are equal in a whole thread. Instagram's ids are base64 of a path, escaped.
Neither form is documented: both are derived from ids in public logs and test data, so no code may depend on them.
"""

from __future__ import annotations

import base64
import random
import re

from shared.contract.ids import Platform

_ESCAPES = {"Z": "ZA", "+": "ZB", "/": "ZC", "=": "ZD"}
_UNESCAPES = {escaped: letter for letter, escaped in _ESCAPES.items()}


def new_thread_id(rng: random.Random, platform: Platform, account_id: str) -> str:
    if platform is Platform.MESSENGER:
        return f"t_{rng.randint(10**14, 10**15 - 1)}"
    return _escaped(f"ig_dm:1:IGMessageThread:{account_id}:{rng.randint(10**38, 10**39 - 1)}")


def new_message_id(rng: random.Random, platform: Platform, account_id: str, thread_id: str) -> str:
    if platform is Platform.MESSENGER:
        thread = random.Random(thread_id).randbytes(16)  # noqa: S311
        return "m_" + base64.urlsafe_b64encode(rng.randbytes(16) + thread + rng.randbytes(32)).decode().rstrip("=")
    thread_number = _unescaped(thread_id).rpartition(":")[2]
    return _escaped(f"ig_dm_item:1:IGMessageID:{account_id}:{thread_number}:{rng.randint(10**34, 10**35 - 1)}")


def _escaped(path: str) -> str:
    return "".join(_ESCAPES.get(letter, letter) for letter in base64.b64encode(path.encode()).decode())


def _unescaped(identifier: str) -> str:
    encoded = re.sub("Z[ABCD]", lambda match: _UNESCAPES[match[0]], identifier)
    return base64.b64decode(encoded).decode()
