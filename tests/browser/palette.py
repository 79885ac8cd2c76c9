"""A picture in at most 256 colours: a screenshot has a third of its size then, and looks the same."""

from __future__ import annotations

import struct
import zlib
from base64 import b64decode, b64encode

from playwright.async_api import Page

MOST, EXACT = 256, 176
# The most frequent stay as they are. Of the others those that differ in their last bits only are one colour, the most
# frequent of them: in as few bits as will do.
FEWER = """async ([png, most, exact]) => {
  const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const pixels = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  const byCount = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
  for (let bits = 0; ; bits += 1) {
    const mask = 0x010101 * ((255 << bits) & 255);
    const palette = byCount.slice(0, exact);
    const places = new Map(palette.map((pixel, place) => [pixel, place]));
    const alike = new Map();
    for (const pixel of byCount.slice(exact)) {
      if (!alike.has(pixel & mask)) { alike.set(pixel & mask, palette.length); palette.push(pixel); }
      places.set(pixel, alike.get(pixel & mask));
    }
    if (palette.length > most) continue;
    const picture = Uint8Array.from(pixels, (pixel) => places.get(pixel));
    let text = "";
    for (let i = 0; i < picture.length; i += 32768) text += String.fromCharCode(...picture.subarray(i, i + 32768));
    return [width, height, palette, btoa(text)];
  }
}"""


async def with_palette(page: Page, png: bytes) -> bytes:
    """`png` anew. `page` is any whose policy lets it read a picture, as `about:blank`."""
    width, height, palette, picture = await page.evaluate(FEWER, [b64encode(png).decode(), MOST, EXACT])
    return _png(width, height, palette, b64decode(picture))


def _png(width: int, height: int, palette: list[int], picture: bytes) -> bytes:
    """Each pixel of `picture` is a place in `palette`, of which each is a colour with its red in the lowest byte."""
    colours = b"".join(struct.pack("<I", colour & 0xFFFFFF)[:3] for colour in palette)
    rows = b"".join(b"\0" + picture[start : start + width] for start in range(0, len(picture), width))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
