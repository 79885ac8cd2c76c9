"""Finds the commits in the bytes of SQLite's write-ahead log (sqlite.org/fileformat2.html#walformat)."""

from __future__ import annotations

import struct

HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24
BIG_ENDIAN_CHECKSUMS = 0x377F0683

Checksum = tuple[int, int]


def commits(log: bytes) -> list[int]:
    """Return the end offset of each complete transaction, in order.

    A frame is valid if it has the header's salt and a right checksum, which covers all frames before it as well.
    """
    if len(log) < HEADER_BYTES:
        return []
    magic, _, page_bytes = struct.unpack_from(">III", log)
    words = ">II" if magic == BIG_ENDIAN_CHECKSUMS else "<II"
    checksum = _add((0, 0), log[:24], words)
    ends: list[int] = []
    for at in range(HEADER_BYTES, len(log), FRAME_HEADER_BYTES + page_bytes):
        frame = log[at : at + FRAME_HEADER_BYTES + page_bytes]
        if len(frame) < FRAME_HEADER_BYTES + page_bytes:
            break
        checksum = _add(_add(checksum, frame[:8], words), frame[FRAME_HEADER_BYTES:], words)
        if frame[8:16] != log[16:24] or struct.unpack_from(">II", frame, 16) != checksum:
            break
        if struct.unpack_from(">I", frame, 4) != (0,):
            ends.append(at + len(frame))
    return ends


def _add(checksum: Checksum, data: bytes, words: str) -> Checksum:
    first, second = checksum
    for one, other in struct.iter_unpack(words, data):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return first, second
