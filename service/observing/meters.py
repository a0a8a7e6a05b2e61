"""What the gateway counts about itself, and how Prometheus reads it at `/metrics`.

Counts are plain numbers in dictionaries, added to by the one thread that knows of them, and made into Prometheus's
families only when somebody asks: a request costs about a microsecond. Labels are routes, dialects, versions, lists and
codes, whose number is bounded by what the operator set up; nothing that a client wrote is ever one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from feedback.satisfaction import VersionRatings
from feedback.store.database import Store
from service.errors import speech_of
from service.observing.calls import Call
from service.upstream.client import Upstream
from service.words.book import WordBook

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
OVERHEAD_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
NO_ROUTE = "none"
"""Stands for whatever path leads nowhere."""

Labels = tuple[str, ...]


class Spread:
    """A histogram's counts."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulated(self) -> list[tuple[str, float]]:
        """Upper bound → how many are at most that, as Prometheus has it."""
        names = [*map(str, self.bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


class Meters:
    """The counts. One for a gateway; fed by its event loop, commits by the store's writer."""

    def __init__(self) -> None:
        self.streams = 0
        """Streams under way."""
        self.satisfaction: list[VersionRatings] = []
        """As last computed."""
        self._requests: Counter[Labels] = Counter()
        self._seconds: dict[Labels, Spread] = {}
        self._overhead: dict[Labels, Spread] = {}
        self._first_token: dict[Labels, Spread] = {}
        self._tokens: Counter[Labels] = Counter()
        self._turns: Counter[Labels] = Counter()
        self._commits = Spread(SECONDS)
        self._rows = 0
        self._lost = 0

    def asking(self, call: Call) -> None:
        """The upstream is about to be asked; its hosts keep their own counts."""

    def streaming(self, call: Call) -> None:
        """A stream has begun."""
        self.streams += 1

    def over(self, call: Call) -> None:
        """A request has ended, one way or another."""
        if call.streaming:
            self.streams -= 1
        route = call.route or NO_ROUTE
        dialect = speech_of(call.route)
        method = call.method if call.route else NO_ROUTE
        self._requests[dialect, method, route, str(call.status)] += 1
        _add(self._seconds, (dialect, route), call.seconds, SECONDS)
        self._lost += call.lost
        if (turn := call.turn) is None:
            return
        self._turns[turn.alias, turn.version, turn.status] += 1
        _add(self._overhead, (dialect,), max(0.0, call.seconds - call.upstream_s), OVERHEAD_SECONDS)
        if turn.first_token_ms is not None:
            _add(self._first_token, (turn.alias, turn.version), turn.first_token_ms / 1000, SECONDS)
        if turn.prompt_tokens:
            self._tokens[turn.alias, turn.version, "in"] += turn.prompt_tokens
        if turn.reply_tokens:
            self._tokens[turn.alias, turn.version, "out"] += turn.reply_tokens

    def committed(self, rows: int, seconds: float) -> None:
        """The writer made a batch durable. Called in its thread, and by nobody else."""
        self._rows += rows
        self._commits.add(seconds)

    def families(self) -> Iterator[Metric]:
        """What was counted here, as Prometheus's families."""
        yield _counts(
            "ratchet_requests", "Requests answered.", ("dialect", "method", "route", "status"), self._requests
        )
        yield _spreads("ratchet_request_seconds", "First byte to last.", ("dialect", "route"), self._seconds)
        yield _spreads(
            "ratchet_overhead_seconds", "Of a chat, all but the waiting for the upstream.", ("dialect",), self._overhead
        )
        yield _spreads(
            "ratchet_first_token_seconds", "Until the upstream's first word.", ("alias", "version"), self._first_token
        )
        yield _counts("ratchet_tokens", "Tokens of prompts and replies.", ("alias", "version", "side"), self._tokens)
        yield _counts("ratchet_turns", "Turns by how they ended.", ("alias", "version", "status"), self._turns)
        yield CounterMetricFamily("ratchet_turns_lost", "Chats answered whose turn could not be stored.", self._lost)
        yield _gauge("ratchet_active_streams", "Streams under way.", self.streams)
        commits = HistogramMetricFamily("ratchet_commit_seconds", "Making one batch of rows durable.")
        commits.add_metric([], self._commits.cumulated(), self._commits.total)
        yield commits
        yield CounterMetricFamily("ratchet_rows_committed", "Rows made durable.", self._rows)
        yield from _satisfaction(self.satisfaction)


class Readings(Collector):
    """Everything that `/metrics` shows: the counts, the store's queue, the filter's hits, the upstream's hosts."""

    def __init__(self, meters: Meters, store: Store, words: WordBook, upstream: Upstream) -> None:
        self._meters, self._store, self._words, self._upstream = meters, store, words, upstream

    def collect(self) -> Iterable[Metric]:
        yield from self._meters.families()
        yield _gauge("ratchet_writes_queued", "Writes that wait for the disk.", self._store.queued)
        hits = self._words.statistics.by_list()
        yield _counts("ratchet_filter_hits", "Hits of the word filter.", ("list", "action", "direction"), hits)
        yield from _hosts(self._upstream)


def registry_of(meters: Meters, store: Store, words: WordBook, upstream: Upstream) -> CollectorRegistry:
    """What `/metrics` is made from: ours, this process's memory and CPU, Python's garbage."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Readings(meters, store, words, upstream))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _add(spreads: dict[Labels, Spread], labels: Labels, value: float, bounds: tuple[float, ...]) -> None:
    spread = spreads.get(labels)
    if spread is None:
        spread = spreads[labels] = Spread(bounds)
    spread.add(value)


def _counts(name: str, what: str, labels: Labels, counts: Counter[Labels]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, what, labels=labels)
    for values, count in list(counts.items()):
        family.add_metric(values, count)
    return family


def _spreads(name: str, what: str, labels: Labels, spreads: dict[Labels, Spread]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, what, labels=labels)
    for values, spread in list(spreads.items()):
        family.add_metric(values, spread.cumulated(), spread.total)
    return family


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, what, value)


def _hosts(upstream: Upstream) -> Iterator[Metric]:
    up = GaugeMetricFamily("ratchet_upstream_up", "Whether a model server answers and is asked.", labels=("host",))
    busy = GaugeMetricFamily("ratchet_upstream_outstanding", "Requests at a model server.", labels=("host",))
    failures: Counter[Labels] = Counter()
    for host in upstream.hosts:
        up.add_metric((host.name,), host.up and host.circuit.closed)
        busy.add_metric((host.name,), host.outstanding)
        failures.update({(host.name, code): count for code, count in list(host.troubles.items())})
    yield from (up, busy)
    yield _counts("ratchet_upstream_failures", "Failures of model servers.", ("host", "kind"), failures)
    yield _gauge("ratchet_upstream_waiting", "Requests that wait for a model server.", upstream.places.waiting)


def _satisfaction(found: list[VersionRatings]) -> Iterator[Metric]:
    ratings = GaugeMetricFamily("ratchet_ratings", "The latest rating of each rater.", labels=("alias", "version"))
    share = GaugeMetricFamily(
        "ratchet_satisfaction_ratio", "Share of these that call the reply good.", labels=("alias", "version")
    )
    for version in found:
        ratings.add_metric((version.alias, version.version), version.ratings)
        share.add_metric((version.alias, version.version), version.good / version.ratings)
    yield from (ratings, share)
