"""The word filter against its peers: pyahocorasick behind a loop over characters, ahocorasick_rs and flashtext2.

    python -m tests.bench.words [--json FILE]

CPU time of one thread, the best of interleaved rounds. The peers are installed into a folder of the bench's own,
and LLM Guard's and LiteLLM's filters into venvs of theirs (see words_guards). Texts and lists are made up, from
characters as frequent as Zipf has them. Ours does more than the peers in each row: it makes hits and a masked text.
"""

from __future__ import annotations

import functools
import importlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import opencc

from service.words.automaton import Automaton
from service.words.filter import WordFilter, compile_rules
from service.words.folded import Profile
from service.words.folding import fold_table
from service.words.kept import keep, load
from service.words.rules import Folding, ListOptions, Rule, RuleSet
from tests.bench import words_million
from tests.bench.report import Row, arguments, compared, figure, publish
from tests.bench.words_guards import GUARDS, beside
from tests.bench.words_million import must

PEERS = ("pyahocorasick", "ahocorasick_rs", "flashtext2")
ROUNDS = 7
EVERYTHING = ListOptions(folding=Folding(confusables=True), noise=True, repeat=True)


def main() -> None:
    """Run it all."""
    given = arguments(__doc__ or "")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", folder, *PEERS], check=True)
        sys.path.append(folder)
        rows = [*_hundred_thousand(Path(folder)), *_guards(), *_million(Path(folder))]
    publish("words", rows, ["daachorse", "numpy", "google-re2", "opencc"], given.json)


def made_up(number: int, seed: int) -> list[str]:
    """Different words of two to six Chinese characters."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 7, 2 * number)
    codes = 0x4E00 + np.minimum(rng.zipf(1.2, int(lengths.sum())) - 1, 6_000) * 7 % 20_000
    text = codes.astype("<u4").tobytes().decode("utf-32-le")
    ends = np.cumsum(lengths).tolist()
    words = dict.fromkeys(text[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True))
    return list(words)[:number]


def sentences(number: int, length: int, seed: int, mixed: bool) -> list[str]:
    """Texts; mixed ones have Latin, full-width and styled letters, Traditional characters and digits in them."""
    source = random.Random(seed)
    others = "abcdefg hijklm ABC ｆｕｌｌ Ⓢⓣ 0123 ①②三 國紅鄉 ，。！\u200b"
    common = [chr(0x4E00 + code * 7 % 20_000) for code in range(2_500)]
    return [
        "".join(source.choice(others if mixed and source.random() < 0.3 else common) for _ in range(length))
        for _ in range(number)
    ]


def filter_of(words: list[str], options: ListOptions, cache: Path | None = None) -> WordFilter:
    """Our filter of a list."""
    rules = [Rule(rule=f"list:{number}", word=word, options=options) for number, word in enumerate(words, 1)]
    return compile_rules(RuleSet(rules=rules), cache)


def interleaved(runs: list[Callable[[], Any]]) -> list[float]:
    """CPU seconds of each, best of rounds in which all take turns."""
    took = [[] for _ in runs]  # type: list[list[float]]
    for _ in range(ROUNDS):
        for number, run in enumerate(runs):
            began = time.process_time()
            run()
            took[number].append(time.process_time() - began)
    return [min(times) for times in took]


class Looped:
    """What one would write: fold character by character, then pyahocorasick over the words."""

    def __init__(self, words: list[str]) -> None:
        ahocorasick = importlib.import_module("ahocorasick")

        self._simplified = opencc.OpenCC("t2s")
        self._known: dict[str, str] = {}
        self.automaton = ahocorasick.Automaton()
        for number, word in enumerate(words):
            folded = "".join(map(self.fold, word))
            self.automaton.add_word(folded, (number, len(folded)))
        self.automaton.make_automaton()

    def fold(self, char: str) -> str:
        known = self._known.get(char)
        if known is None:
            # The same table as ours, so that the spans can be compared; what differs is the loop.
            known = self._known[char] = fold_table(Folding(), False).fold(char)
        return known

    def spans(self, text: str) -> list[tuple[int, int]]:
        folded: list[str] = []
        places: list[int] = []
        for place, char in enumerate(text):
            for part in self.fold(char):
                folded.append(part)
                places.append(place)
        found = self.automaton.iter("".join(folded))
        return [(places[end - length + 1], places[end] + 1) for end, (_, length) in found]


class Rust:
    """Our folding with ahocorasick_rs."""

    def __init__(self, words: list[str]) -> None:
        ahocorasick_rs = importlib.import_module("ahocorasick_rs")

        self._table = fold_table(Folding(), False)
        self.automaton = ahocorasick_rs.AhoCorasick([self._table.word(word) for word in words])

    def spans(self, text: str) -> list[tuple[int, int]]:
        folded, places = self._table.text(text)
        found = self.automaton.find_matches_as_indexes(folded, overlapping=True)
        if places is None:
            return [(start, end) for _, start, end in found]
        where = places.data
        return [(where[start], where[end - 1] + 1) for _, start, end in found]


def _hundred_thousand(folder: Path) -> Iterator[Row]:
    words = made_up(100_000, 1)
    ours, looped, rust = filter_of(words, ListOptions()), Looped(words), Rust(words)
    long = sentences(60, 1_000, 2, mixed=True)
    for text in long:
        spans = sorted({(hit.start, hit.end) for hit in ours.check(text, "in").hits})
        assert spans == sorted(set(looped.spans(text))) == sorted(set(rust.spans(text))), "the peers find other spans"
    hits = sum(len(ours.check(text, "in").hits) for text in long)
    yield figure("hits in 1,000 mixed characters", hits / len(long), "hits")
    mine, loop, same = interleaved(
        [
            lambda: [ours.check(text, "in") for text in long],
            lambda: [looped.spans(text) for text in long],
            lambda: [rust.spans(text) for text in long],
        ]
    )
    per = 1e6 / len(long)
    name = "check of 1,000 mixed characters"
    yield compared(name, mine * per, "µs", peer="character loop + pyahocorasick", peer_value=loop * per, at_most=1 / 12)
    yield compared(name, mine * per, "µs", peer="same folding + ahocorasick_rs", peer_value=same * per, at_most=1 / 2.5)
    yield from _short(ours, words)
    yield from _loading(words, folder)
    yield from _streamed("folding", ours)
    everything = filter_of(words, EVERYTHING)
    yield from _streamed("folding, noise and repeats", everything)
    short = sentences(4_000, 24, 3, mixed=False)
    (all_on,) = interleaved([lambda: [everything.check(text, "in") for text in short]])
    yield figure("24 Chinese characters, noise and repeats too", len(short) / all_on, "texts/s")


def _short(ours: WordFilter, words: list[str]) -> Iterator[Row]:
    flashtext2 = importlib.import_module("flashtext2")

    flash = flashtext2.KeywordProcessor(case_sensitive=False)
    for word in words:
        flash.add_keyword(word)
    short = sentences(4_000, 24, 3, mixed=False)
    mine, peer = interleaved(
        [lambda: [ours.check(text, "in") for text in short], lambda: [flash.extract_keywords(text) for text in short]]
    )
    rate = len(short) / mine
    yield must("24 Chinese characters, all folded", rate, "texts/s", at_least=150_000)
    yield compared(
        "24 Chinese characters, all folded", rate, "texts/s",
        peer="flashtext2 (whole words only, nothing folded)", peer_value=len(short) / peer,
    )  # fmt: skip


def _loading(words: list[str], folder: Path) -> Iterator[Row]:
    ahocorasick = importlib.import_module("ahocorasick")

    profile, file = Profile(folding=Folding()), folder / "hundred-thousand.words"
    keep(file, *Automaton.build(profile, [words]))

    def peer() -> None:
        automaton = ahocorasick.Automaton()
        for number, word in enumerate(words):
            automaton.add_word(word, number)
        automaton.make_automaton()

    mine, theirs = interleaved([lambda: load(file, profile), peer])
    name = "100,000 words from the compiled file"
    yield compared(name, mine, "s", peer="pyahocorasick's build", peer_value=theirs, at_most=1 / 10)


def _streamed(how: str, words: WordFilter) -> Iterator[Row]:
    text = "".join(sentences(20, 1_000, 5, mixed=True))
    chunks = [text[start : start + 4] for start in range(0, len(text), 4)]
    best = [9e9] * len(chunks)
    for _ in range(ROUNDS):
        stream = words.stream("out")
        for number, chunk in enumerate(chunks):
            began = time.perf_counter()
            stream.feed(chunk)
            best[number] = min(best[number], time.perf_counter() - began)
    yield must(f"chunk of 4 characters, {how}: median", statistics.median(best) * 1e6, "µs", at_most=5)
    quiet = words.stream("out")
    held = sum(quiet.feed(chunk) != chunk for chunk in ["…… ", "，。", "\n\n", "？！"] * 100)
    yield must(f"chunks held of text that begins no word, {how}", held, "chunks", at_most=0)


def _guards() -> Iterator[Row]:
    texts = {
        "24 Chinese characters": sentences(4_000, 24, 3, mixed=False),
        "1,000 mixed characters": sentences(60, 1_000, 2, mixed=True),
    }
    for guard in GUARDS:
        for number in guard.numbers:
            words = made_up(number, 1)
            check = filter_of(words, ListOptions()).check
            yield from beside(guard, words, functools.partial(check, direction="in"), texts)


def _million(folder: Path) -> Iterator[Row]:
    text = sentences(1, 1_000, 2, mixed=True)[0]
    yield from words_million.rows(made_up(1_000_000, 7), made_up(1_000_000, 8), text, folder)


if __name__ == "__main__":
    main()
