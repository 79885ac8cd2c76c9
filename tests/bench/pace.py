"""Contacts a minute with slow fakes of the Graph API and the model, against the original's method."""

from __future__ import annotations

import asyncio
import time

from tests.bench.analyzer_ground import Site, analyzer, until_empty, watching
from tests.bench.backfill_ground import Place, graph_api, place
from tests.bench.figures import Bench
from tests.bench.judging import Figure, Measured, Side, at_least
from tests.bench.original import seconds_for
from tests.bench.pages import PAGE_ID, Corpus
from tests.bench.processes import Handler, started
from tests.bench.wrk import BenchError
from tests.support.servers import free_port

GRAPH_MS, MODEL_SECONDS = 500, 1.5
CORPUS = Corpus(conversations=300, messages=30, latency_ms=GRAPH_MS)
OF_ORIGINAL = 8
"""Conversations on which the original's method is measured; its time for all is extrapolated."""


def pace(bench: Bench) -> Measured:
    """Run a backfill and an analyzer with default settings and no quiet time. One round: the waiting does not vary."""
    with graph_api(bench.folder / "pace.graph", CORPUS) as graph:
        of_run = place(bench.servers, graph, CORPUS, "pace")
        of = Site(bench.servers, bench.folder / "pace", "pace")
        of.folder.mkdir()
        port = free_port()
        gemini = ("-m", "tests.support.fake_gemini", "--port", str(port), "--delay", str(MODEL_SECONDS))
        model = {"gemini_api_keys": "bench-key", "gemini_endpoint": f"http://127.0.0.1:{port}"}
        (of.folder / "gemini").mkdir()
        with (
            started(gemini, {}, of.folder / "gemini"),
            analyzer(of, quiet_seconds="0", **model) as process,
        ):
            seconds = asyncio.run(_seconds(of, of_run, process))
        listing, contacts = asyncio.run(
            seconds_for(f"http://127.0.0.1:{graph.port}", PAGE_ID, OF_ORIGINAL, model_seconds=MODEL_SECONDS)
        )
    original = listing + contacts / OF_ORIGINAL * CORPUS.conversations
    ours, theirs = (CORPUS.conversations / each * 60 for each in (seconds, original))
    sides = (
        Side("contacts a minute", (ours,), f"{CORPUS.conversations} in {seconds:.0f} s"),
        Side("the original's way", (theirs,), f"from {OF_ORIGINAL} conversations"),
    )
    return Measured(sides, (Figure("contacts a minute / the original's way", ours / theirs, at_least(20)),))


async def _seconds(of: Site, run: Place, process: Handler) -> float:
    """Return the seconds from the start of the command to the last published contact.

    BenchError when the AI did not analyse one: the fallback's rate is another figure.
    """
    async with of.database() as database, watching(of) as watch:
        began = time.perf_counter()
        _, readings = await asyncio.gather(
            asyncio.to_thread(run.crawl), watch.until(watch.published, CORPUS.conversations, process)
        )
        await until_empty(database)
        await watch.require_published(CORPUS.conversations)
        read = await database.contacts.count_documents({"analysis.source": "ai"})
        if read != CORPUS.conversations:
            raise BenchError(f"the AI has read {read} of {CORPUS.conversations} conversations")
    return readings[-1].at - began
