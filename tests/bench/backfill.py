"""Every figure of the backfill, one after the other, against a Graph API of a stated latency."""

from __future__ import annotations

import asyncio
import math
import statistics

from shared.runtime.settings import BackfillSettings
from tests.bench.backfill_ground import Place, graph_api, place, said
from tests.bench.figures import Bench, Say, measure_each
from tests.bench.ground import Rate, side
from tests.bench.judging import Figure, Measured, Side, at_least, at_most
from tests.bench.original import seconds_for
from tests.bench.pages import PAGE_ID, Corpus
from tests.bench.wrk import BenchError

LATENCY_MS = 150
COMMON = Corpus(conversations=200, messages=120, latency_ms=LATENCY_MS)
FAST = Corpus(conversations=80, messages=1_000)
INSTAGRAM = Corpus(conversations=60, messages=20, latency_ms=LATENCY_MS, platform="instagram")
LARGE, USUAL = 200_000, 100
"""Messages of the one large conversation, and of each of the others, where memory is measured."""
OF_ORIGINAL = 8
"""Conversations that the original's way is measured on; the time of all is reckoned from them."""
PARALLELISM, PAGE_SIZE = (
    BackfillSettings.model_fields[f"backfill_{name}"].default for name in ("parallelism", "page_size")
)
WARM_UP_REQUESTS = 3
"""Rounds until the broker has compiled its code: until then it takes most of the other core for that."""
MAX_MEGABYTES, FLAT_PERCENT = 150, 5


def measure_backfill(bench: Bench, say: Say) -> Measured:
    return measure_each(
        "backfill", {"latency": latency, "events": events, "budget": budget, "memory": memory}, bench, say
    )


def latency(bench: Bench) -> Measured:
    """How near a run comes to what its calls must take, how far it is from the original, what a second one costs."""
    with graph_api(bench.folder / "latency", COMMON) as graph:
        rounds = [place(bench.servers, graph, COMMON, f"latency{number}") for number in range(bench.rounds)]
        runs = [each.crawl() for each in rounds]
        before = rounds[0].stats()
        rounds[0].crawl()
        after = rounds[0].stats()
        listing, contacts = asyncio.run(seconds_for(f"http://127.0.0.1:{graph.port}", PAGE_ID, OF_ORIGINAL))
    seconds = statistics.median(run.seconds for run in runs)
    least = statistics.median(run.calls * LATENCY_MS / 1000 / PARALLELISM for run in runs)
    original = listing + contacts / OF_ORIGINAL * COMMON.conversations
    pages = math.ceil(COMMON.conversations / PAGE_SIZE)
    sides = (
        Side("a run, s", tuple(run.seconds for run in runs), f"{runs[0].calls} calls, at the least {least:.1f} s"),
        Side("the original's way, s", (original,), f"from {OF_ORIGINAL} of {COMMON.conversations} conversations"),
    )
    figures = (
        Figure("run / (calls × latency / parallelism)", seconds / least, at_most(1.15)),
        Figure("the original's way / a run", original / seconds, at_least(20)),
        Figure("unchanged: calls / pages of the listing", _more(before, after, "conversations") / pages, at_most(1)),
        Figure("unchanged: calls for messages", _more(before, after, "messages"), at_most(0)),
    )
    return Measured(sides, figures)


def _more(before: dict[str, float], after: dict[str, float], edge: str) -> float:
    return after.get(edge, 0) - before.get(edge, 0)


def events(bench: Bench) -> Measured:
    """Onto a real broker, against the same records sent by aiokafka from memory, after rounds that only warm up."""
    ours, raw = list[Rate](), list[Rate]()
    with graph_api(bench.folder / "events", FAST) as graph:
        for number in range(WARM_UP_REQUESTS + bench.rounds):
            of_round = place(bench.servers, graph, FAST, f"events{number}")
            run = of_round.crawl()
            ours.append(Rate(run.events / run.seconds, run.cpu * 1e6 / run.events))
            raw.append(_raw(of_round, run.events))
    sides = side("crawled, events a second", ours[WARM_UP_REQUESTS:]), side("raw aiokafka", raw[WARM_UP_REQUESTS:])
    return Measured(
        sides, (Figure("events a second / raw aiokafka", sides[0].median / sides[1].median, at_least(0.7)),)
    )


def _raw(source: Place, events: int) -> Rate:
    """Return the rate of sending the same bytes. BenchError if the run has published other than it counted."""
    target = place(source.servers, source.graph, FAST, f"{source.name}raw").topic
    sent = said("tests.bench.raw", source.servers.kafka, source.topic, target, settings={})
    if sent["records"] != events:
        raise BenchError(f"the run has counted {events} events, and {sent['records']:.0f} are on the topic")
    return Rate(events / sent["seconds"], sent["cpu"] * 1e6 / events)


def budget(bench: Bench) -> Measured:
    """Measure which share of two calls a second is used, and whether a call was one too many or too early."""
    with graph_api(bench.folder / "budget", INSTAGRAM) as graph:
        of_account = place(bench.servers, graph, INSTAGRAM, "budget")
        run = of_account.crawl()
        stats = of_account.stats()
    share = (run.calls - 1) / (2 * stats["seconds"])
    figures = (
        Figure("two calls a second: share that is used", share, at_least(0.95)),
        Figure("two calls a second: refused, or a third", stats["throttled"] + stats["crowded"], at_most(0)),
        Figure("two calls a second: made while throttled", stats["while_throttled"], at_most(0)),
    )
    return Measured((Side("Instagram's calls", (run.calls,), f"in {stats['seconds']:.1f} s"),), figures)


def memory(bench: Bench) -> Measured:
    """Over `messages` in all, one conversation of 200,000 among them; flat from a fifth of the time on."""
    large = min(LARGE, bench.messages // 5)
    corpus = Corpus((bench.messages - large) // USUAL, USUAL, large)
    with graph_api(bench.folder / "memory", corpus) as graph:
        run = place(bench.servers, graph, corpus, "memory").crawl()
    figures = [Figure(f"peak of memory over {bench.messages:,} messages", run.peak, at_most(MAX_MEGABYTES), "MB")]
    tenth = len(run.resident) // 10
    if tenth > 0:
        settled, last = run.resident[2 * tenth : 3 * tenth], run.resident[-tenth:]
        growth = (statistics.median(last) / statistics.median(settled) - 1) * 100
        figures.append(Figure("its growth from the third tenth to the last", growth, at_most(FLAT_PERCENT), "%"))
    shown = tuple(run.resident[:: max(1, tenth)])
    rate = f"peak {run.peak:.0f}; {run.events / run.seconds:.0f} events a second"
    return Measured((Side("resident MB, each tenth", shown, rate),), tuple(figures))
