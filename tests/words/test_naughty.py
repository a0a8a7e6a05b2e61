"""No text raises, none takes more than linear time, and odd ones are cut as any other.

The Big List of Naughty Strings is by Max Woolf, MIT (blns/LICENSE).
"""

import itertools
import json
import random
import time
import unicodedata
from pathlib import Path

import pytest

from service.words.filter import compile_rules
from service.words.rules import DETECTORS, Folding, ListOptions, Rule, RuleSet

NAUGHTY = json.loads((Path(__file__).parent / "blns" / "blns.json").read_text("utf-8"))
ALL_FOLDS = Folding(confusables=True, leet=True)
LISTS = (
    ListOptions(),
    ListOptions(noise=True, repeat=True, folding=ALL_FOLDS),
    ListOptions(whole_word=True, noise=True, match="longest"),
)
WORDS = ["毛主席", "fuck", "asshole", "ab", "@@@@", "a b", "ß", "3", "三黄片", "null", "script", "x-y"]


def everything():
    """A filter with every kind of rule and every folding on."""
    rules = [
        Rule(rule=f"{number}:{line}", word=word, options=options, action=action)
        for number, options in enumerate(LISTS)
        for line, (word, action) in enumerate(zip(WORDS, ["mask", "flag", "mask", "mask"] * 3, strict=True))
    ]
    rules += [Rule(rule=f"d:{name}", detector=name) for name in (*DETECTORS, "digits:6")]
    rules += [
        Rule(rule="r:1", regex=r"(a|aa)+b"),
        Rule(rule="r:2", regex=r"\w+\s?=.*"),
        Rule(rule="r:3", regex="^$|.{3}!"),
    ]
    rules += [Rule(rule="c:1", both=("on", "al"), within=9), Rule(rule="w:1", word="黄片店", action="allow")]
    return compile_rules(RuleSet(rules=rules))


WORD_FILTER = everything()


def survives(text, cuts):
    """Check and stream a text; both must agree."""
    checked = WORD_FILTER.check(text, "in")
    stream = WORD_FILTER.stream("in")
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    chunks = [text[low:high] for low, high in itertools.pairwise(edges)]
    joined = "".join([*map(stream.feed, chunks), stream.end()])
    assert (joined, stream.hits) == (checked.text, checked.hits)
    assert all(0 <= hit.start < hit.end <= len(text) for hit in checked.hits)


@pytest.mark.parametrize("number", range(0, len(NAUGHTY), 64))
def test_the_big_list_of_naughty_strings(number):
    for text in NAUGHTY[number : number + 64]:
        survives(text, range(0, 60, 3))


ODD = [
    *"ab= !3.@*-fuck毛主席",
    *"ßﬃ㈤⑩１İſ\0\x85\n\t\u0301\u200d\ufe0f\ud800\udfff\uffff\U0010ffff\U000e0061\U000e007f\U0001f3f4",
    "👨‍👩‍👧", "13800138000", "4111111111111111", "http://", "www.", "::1", "a@b", "sk-", "DE89370400440532013000",
    "11010519491231002X",
]  # fmt: skip


def generated(random_source):
    """One odd text: runs, mixtures, and characters from all of Unicode."""
    pieces = []
    for _ in range(random_source.randrange(1, 9)):
        kind = random_source.random()
        if kind < 0.6:
            pieces.append(random_source.choice(ODD) * random_source.choice((1, 1, 1, 2, 7)))
        else:
            pieces.append(chr(random_source.randrange(0x110000)))
    return "".join(pieces)


def test_generated_texts():
    """Three thousand of them; `python -m tests.words.test_naughty` runs a million, with another seed each time."""
    fuzz(20_260, 3_000)


def fuzz(seed, number):
    source = random.Random(seed)
    for _ in range(number):
        survives(generated(source), (source.randrange(50), source.randrange(50), source.randrange(50)))


LONG = {
    "one character": "a",
    "noise after a beginning": "-",
    "words without end": "毛主席",
    "beginnings": "毛主",
    "repeats": "fuuu",
    "marks": "\u0301",
    "tags": "\U000e0061",
    "digits": "1",
    "an address without end": "a.",
    "catastrophe": "aa",
    "equals": "x=",
    "masks": "*",
}


@pytest.mark.parametrize("piece", LONG.values(), ids=LONG)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_long_texts_take_linear_time(piece, streamed):
    """Eight times the text may take at most some twenty times as long: far from the 64 of quadratic time."""

    def took(length):
        text = "毛" + piece * (length // len(piece))
        best = 9e9
        for _ in range(2):
            began = time.process_time()
            if streamed:
                stream = WORD_FILTER.stream("in")
                for start in range(0, len(text), 4):
                    stream.feed(text[start : start + 4])
                stream.end()
            else:
                WORD_FILTER.check(text, "in")
            best = min(best, time.process_time() - began)
        return best

    took(1_000)
    assert took(16_000) < 20 * max(took(2_000), 0.002)


def test_all_of_unicode_folds_alike_one_by_one_and_together():
    """Each assigned character, in a text long enough for numpy, gives the same hits as in a short one."""
    characters = [chr(code) for code in range(0x20, 0x3000) if unicodedata.category(chr(code)) != "Cn"]
    words = compile_rules(RuleSet(rules=[Rule(rule="w:1", word=word) for word in ("a", "1", "ss")]))
    for start in range(0, len(characters), 16):
        group = characters[start : start + 16]
        text = "中中".join(group)
        alone = [hit for char in group for hit in words.check(char, "in").hits]
        together = words.check(text + "中" * 60, "in").hits
        assert len(alone) == len(together) == len(words.check(text[:30], "in").hits + words.check(text[30:], "in").hits)


if __name__ == "__main__":
    fuzz(int(time.time()), 1_000_000)
