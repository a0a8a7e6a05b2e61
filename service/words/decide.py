"""Which of the things found are hits: whole words, allowed phrases, combinations, and which of them are reported.

Decisions are made in the order of the text, each as soon as nothing that is still to come can change it and not before:
that is what makes a stream give the same as the whole text. Three rules keep a filtered text as it is when it is
filtered again, and keep a longer list from showing what a shorter one hid:

- an allowed phrase that something denied crosses is no phrase any more, so it allows nothing;
- a letter that is hidden parts words as the mask in its place would;
- what is hidden is all that hits; `match` only chooses what is reported.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable

from service.words.engine import HIDING, Candidate, Engine, Use
from service.words.folding import fold_table
from service.words.rules import Action
from service.words.window import Window

ENDED = math.inf
Frontier = float
"""Everything that begins before this index is known; ENDED when the text is over."""


class Decisions:
    """Decides for one text. `add` what was found, then `decide`."""

    def __init__(self, engine: Engine, window: Window) -> None:
        self._engine = engine
        self._window = window
        self._denied: list[Candidate] = []
        """Heap: what hits unless a phrase allows it."""
        self._unsure: list[Candidate] = []
        """What needs to know more of its neighbours."""
        self._allowing: list[Candidate] = []
        """Heap: phrases that may allow."""
        self._open_phrases: list[Candidate] = []
        self._parts: list[Candidate] = []
        """Parts of combinations that may still find their other part."""
        self._hits: list[Candidate] = []
        """Heap: decided, but a combination may still come before them."""
        self._hidden: set[int] = set()
        """Where the mask will stand, whatever the neighbours are."""
        self._cut: set[int] = set()
        """Places between two characters of something denied."""
        self._last = 0
        self.idle = True
        """Whether nothing waits to be decided."""

    def add(self, found: Iterable[Candidate]) -> None:
        """Something was found."""
        self.idle = False
        for candidate in found:
            if candidate.use.rule.options.folding.radicals and not self._ends_with_characters(candidate):
                continue
            if self._needs_boundaries(candidate):
                self._unsure.append(candidate)
            else:
                if candidate.use.action in HIDING and not candidate.use.part:
                    self._hidden.update(range(candidate.start, candidate.end))
                self._admit(candidate)

    def decide(self, frontier: Frontier) -> tuple[list[Candidate], Frontier]:
        """The hits that are now certain, in order, and from where on it is not certain what hits."""
        if self._unsure:
            self._unsure = [candidate for candidate in self._unsure if not self._settle(candidate, frontier)]
        sure = min([frontier, *(candidate.start for candidate in self._unsure)])
        while self._denied and self._denied[0].start < sure:
            candidate = self._denied[0]
            allowed = self._allowed(candidate, frontier)
            if allowed is None:
                sure = candidate.start
                break
            heapq.heappop(self._denied)
            if not allowed:
                self._accept(candidate)
        self._parts = [part for part in self._parts if part.end + part.use.rule.within >= sure]
        sure = min([sure, *(part.start for part in self._parts)])
        hits: list[Candidate] = []
        while self._hits and self._hits[0].start < sure:
            hit = heapq.heappop(self._hits)
            if not hits or hits[-1][:3] != hit[:3]:  # a word may have been found with noise and without
                hits.append(hit)
        self.idle = not (self._denied or self._unsure or self._allowing or self._parts or self._hits)
        return hits, sure

    def forget(self, before: int) -> None:
        """The text before this index was let out."""
        if before >= self._last:
            if self._hidden:
                self._hidden &= {self._window.last_visible}
            self._cut.clear()
        elif len(self._hidden) + len(self._cut) > 8_192 + 4 * (self._last - before):
            self._hidden = {place for place in self._hidden if place >= self._window.last_visible}
            self._cut = {place for place in self._cut if place >= before}
        if self._allowing:
            self._allowing = [phrase for phrase in self._allowing if phrase.end > before]
            heapq.heapify(self._allowing)

    def _needs_boundaries(self, candidate: Candidate) -> bool:
        options = candidate.use.rule.options
        if options.whole_word:
            return True
        if not options.noise or candidate.use.spaced:
            return False
        return any(map(str.isspace, self._window.text(candidate.start, candidate.end)))

    def _ends_with_characters(self, candidate: Candidate) -> bool:
        """Whether a word of parts begins and ends where characters do: `奸` (`女干`) is not in `安干` (`宀女干`)."""
        word, options = _word(candidate.use), candidate.use.rule.options
        table = fold_table(options.folding, True)
        folded = [table.word(text) for text in (self._window.text(candidate.start, candidate.end), word)]
        if options.repeat:
            folded = ["".join(char for char, _ in itertools.groupby(each)) for each in folded]
        return not word or folded[0] == folded[1]

    def _settle(self, candidate: Candidate, frontier: Frontier) -> bool:
        """Admit what stands at boundaries, drop what doesn't; False if that can't be told yet."""
        parted = self._parted(candidate, frontier)
        if parted:
            self._admit(candidate)
        return parted is not None

    def _parted(self, candidate: Candidate, frontier: Frontier) -> bool | None:
        window, start, end = self._window, candidate.start, candidate.end
        hidden = self._hidden if candidate.use.action != "allow" else ()  # one word more must not allow another
        before = window.visible_before(start)
        if window.wordish(start) and window.wordish(before) and before not in hidden:
            return False if frontier > before else None
        if not window.wordish(end - 1):
            return True
        after = window.visible_from(end)
        if after is None:
            return True if frontier == ENDED else None
        if not window.wordish(after) or after in hidden:
            return True
        return False if frontier > after else None

    def _admit(self, candidate: Candidate) -> None:
        if candidate.use.action == "allow":
            heapq.heappush(self._allowing, candidate)
            return
        self._last = max(self._last, candidate.end)
        if self._engine.allows and candidate.use.action in HIDING and not candidate.use.part:
            self._cut.update(range(candidate.start + 1, candidate.end))
        heapq.heappush(self._denied, candidate)

    def _allowed(self, candidate: Candidate, frontier: Frontier) -> bool | None:
        """Whether a phrase allows it; None if that can't be told yet."""
        while self._allowing and self._allowing[0].start <= candidate.start:
            self._open_phrases.append(heapq.heappop(self._allowing))
        if not self._open_phrases:
            return False
        self._open_phrases = [phrase for phrase in self._open_phrases if phrase.end > candidate.start]
        whole = [self._whole(phrase, frontier) for phrase in self._open_phrases if phrase.end >= candidate.end]
        if True in whole:
            return True
        return None if None in whole else False

    def _whole(self, phrase: Candidate, frontier: Frontier) -> bool | None:
        if phrase.start in self._cut or phrase.end in self._cut:
            return False
        known = frontier >= phrase.end and all(candidate.start >= phrase.end for candidate in self._unsure)
        return True if known else None

    def _accept(self, candidate: Candidate) -> None:
        if not candidate.use.part:
            heapq.heappush(self._hits, candidate)
            return
        self._parts = [part for part in self._parts if part.end + part.use.rule.within >= candidate.start]
        others = [
            part.start
            for part in self._parts
            if part.order == candidate.order
            and part.use.part != candidate.use.part
            and part.end <= candidate.start <= part.end + candidate.use.rule.within
        ]
        if others:
            whole = candidate.use._replace(part="")
            heapq.heappush(self._hits, Candidate(min(others), candidate.end, candidate.order, whole))
        self._parts.append(candidate)


def _word(use: Use) -> str:
    """The word that was found; empty for a pattern."""
    if use.rule.both is None:
        return use.rule.word
    return use.rule.both[use.part == "second"]


class Selection:
    """Chooses what is reported: of the overlapping hits of one list and action the longest or the shortest from the
    leftmost start on, or all."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, Action], int] = {}
        """List and action → where the last reported hit ends."""

    def reported(self, together: list[Candidate]) -> list[Candidate]:
        """Of hits that begin together, in order of their ends, those to report. Call in order of the text."""
        chosen: dict[tuple[str, Action], Candidate] = {}
        kept = []
        for hit in together:
            match = hit.use.rule.options.match
            if match == "overlap":
                kept.append(hit)
                continue
            group = (hit.use.rule.list_name, hit.use.action)
            if hit.start >= self._taken.get(group, 0) and (match == "longest" or group not in chosen):
                chosen[group] = hit
        for taken, hit in chosen.items():
            self._taken[taken] = hit.end
            kept.append(hit)
        return sorted(kept) if chosen else kept
