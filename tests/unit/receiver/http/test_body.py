"""Reading of bodies that arrive in parts."""

from __future__ import annotations

import asyncio
import time
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader, web
from aiohttp.test_utils import make_mocked_request

from services.receiver.http.body import MAX_BODY_BYTES, BodyError, BodyReader


class Upload:
    """A request whose body the test sends."""

    def __init__(self, **headers: str) -> None:
        self.content = StreamReader(Mock(connected=True), 2 * MAX_BODY_BYTES, loop=asyncio.get_running_loop())
        self.request: web.BaseRequest = make_mocked_request("POST", "/webhook", headers=headers, payload=self.content)

    def send(self, part: bytes, *, is_last: bool = False) -> None:
        self.content.feed_data(part)
        if is_last:
            self.content.feed_eof()


async def status_of(reading: asyncio.Task[bytes]) -> int:
    with pytest.raises(BodyError) as raised:
        await asyncio.wait_for(reading, 30)
    return raised.value.status


def begin(bodies: BodyReader, upload: Upload) -> asyncio.Task[bytes]:
    return asyncio.create_task(bodies.read(upload.request))


async def test_a_body_is_read_when_complete_or_still_arriving() -> None:
    bodies, there, comes = BodyReader(60), Upload(), Upload()
    there.send(b"whole", is_last=True)
    assert await bodies.read(there.request) == b"whole"
    reading = begin(bodies, comes)
    comes.send(b"in ")
    await asyncio.sleep(0)
    comes.send(b"parts", is_last=True)
    assert await reading == b"in parts"


async def test_one_byte_above_the_limit_is_too_large_in_every_form() -> None:
    bodies, there, comes = BodyReader(60), Upload(), Upload()
    for upload in (there, comes):
        reading = begin(bodies, upload) if upload is comes else None
        upload.send(b" " * (MAX_BODY_BYTES + 1), is_last=True)
        assert await status_of(reading or begin(bodies, upload)) == 413
    assert await status_of(begin(bodies, Upload(**{"Content-Length": str(MAX_BODY_BYTES + 1)}))) == 413


async def test_a_slow_or_broken_body_raises_its_status() -> None:
    assert await status_of(begin(BodyReader(0.01), Upload())) == 408
    gone, broken = Upload(), Upload()
    for upload, error in ((gone, ConnectionResetError()), (broken, web.RequestPayloadError())):
        reading = begin(BodyReader(60), upload)
        upload.send(b"half")
        upload.content.set_exception(error)
        assert await status_of(reading) == 400


async def test_an_unfinished_body_is_refused_when_the_process_stops() -> None:
    bodies, slow = BodyReader(600), Upload()
    reading = begin(bodies, slow)
    await asyncio.sleep(0)
    bodies.shorten_timeouts(0)
    assert await status_of(reading) == 408


async def test_shortening_a_timeout_that_just_expired_is_no_error() -> None:
    bodies, slow, slower = BodyReader(0.01), Upload(), Upload()
    loop = asyncio.get_running_loop()
    reading = [begin(bodies, slow), begin(bodies, slower)]
    await asyncio.sleep(0)
    hurried = loop.create_future()

    def shorten_timeouts() -> None:
        try:
            bodies.shorten_timeouts(60)
            hurried.set_result(None)
        except RuntimeError as error:
            hurried.set_exception(error)

    loop.call_later(0.01, shorten_timeouts)
    time.sleep(0.05)  # both are due in the next turn of the event loop
    await hurried
    assert [await status_of(each) for each in reading] == [408, 408]


async def test_unfinished_bodies_share_a_memory_limit() -> None:
    bodies, first, second = BodyReader(60, max_held_bytes=100), Upload(), Upload()
    holding = begin(bodies, first)
    first.send(b" " * 60)
    await asyncio.sleep(0)
    second.send(b" " * 60)
    assert await status_of(begin(bodies, second)) == 503
    first.send(b" ", is_last=True)
    assert len(await holding) == 61
    third = Upload()
    reading = begin(bodies, third)
    third.send(b" " * 60, is_last=True)
    assert len(await reading) == 60
