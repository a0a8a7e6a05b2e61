"""Compiled files, and large lists that a process of its own compiles: what comes of it, and what when it fails."""

import asyncio
import subprocess
import sys
import time

import msgspec
import pytest

from feedback.errors import InvalidWords
from service.words import apart, book, compile
from service.words.apart import COMMAND, Order, compile_apart
from service.words.automaton import Automaton
from service.words.book import WordBook
from service.words.filter import WordFilter, compile_rules
from service.words.folded import Profile
from service.words.kept import load, name_of
from service.words.rules import Folding, ListOptions, Rule, RuleSet
from service.words.sources import Sources

PROFILE = Profile(folding=Folding())
KILLED = ("-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
NO_SPACE = (
    "-c",
    "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64));"
    "runpy.run_module('service.words.apart', run_name='__main__', alter_sys=True)",
)
TEXT = "毛主席 毛-主-席 assssert a.s.s.e.r.t ab a\nb 甲乙"


@pytest.fixture
def all_large(monkeypatch):
    for module in (compile, book):
        monkeypatch.setattr(module, "LARGE", 0)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "a.txt").write_text("badger\n", "utf-8")
    return tmp_path / "lists"


def rule_set() -> RuleSet:
    everything = ListOptions(noise=True, repeat=True)
    words = ["毛主席", "assert", "ab", "a\nb", "毛主席", "\ud800x", "aab"]
    rules = [Rule(rule=f"w:{n}", word=word, options=everything) for n, word in enumerate(words)]
    return RuleSet(rules=[*rules, Rule(rule="c:1", both=("甲", "乙")), Rule(rule="c:2", word="甲", only="out")])


def seen(words: WordFilter):
    streams = [words.stream(way) for way in ("in", "out")]
    return [words.check(TEXT, "in"), words.check(TEXT, "out")] + [
        ("".join([*map(stream.feed, TEXT), stream.end()]), stream.hits) for stream in streams
    ]


@pytest.mark.parametrize(("word", "text"), [("f**k", "fxxk"), ("**k", "xxk")])
def test_a_word_with_asterisks_is_known_as_one_when_it_is_loaded_again(tmp_path, monkeypatch, word, text):
    rules = RuleSet(rules=[Rule(rule="w:1", word=word), Rule(rule="w:2", word="xx")])
    shown = compile_rules(rules, tmp_path).check(text, "out").text
    monkeypatch.setattr(Automaton, "build", None)
    again = compile_rules(rules, tmp_path)
    assert again.check(text, "out").text == again.check(shown, "out").text == shown


def test_compiled_apart_and_loaded_again_is_the_same(tmp_path, all_large, monkeypatch):
    here = seen(compile_rules(rule_set()))
    assert len(here[0].hits) > 5
    assert seen(compile_rules(rule_set(), tmp_path)) == here
    monkeypatch.setattr(Automaton, "build", None)  # neither compiled nor folded again
    monkeypatch.setattr(compile, "compile_apart", None)
    assert seen(compile_rules(rule_set(), tmp_path)) == here
    assert all(file.suffix == ".words" for file in tmp_path.iterdir()), "something was left behind"


@pytest.mark.parametrize("place", [0, 1_000, -200, -1])
@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_file_is_never_used_and_made_anew(tmp_path, place, cut):
    words = compile_rules(RuleSet(rules=[Rule(rule="w:1", word="毛主席"), Rule(rule="w:2", word="ab")]), tmp_path)
    (file,) = tmp_path.glob("*.words")
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data[:place] if cut else data)
    assert load(file, PROFILE) is None
    again = compile_rules(RuleSet(rules=[Rule(rule="w:1", word="毛主席"), Rule(rule="w:2", word="ab")]), tmp_path)
    assert seen(again) == seen(words) and load(file, PROFILE) is not None


def test_a_file_is_found_only_for_the_same_words_folded_the_same_way():
    chunks = ["毛主席\nab", ["x", "y"]]
    others = [["毛主席\nab", ["xy"]], ["毛主席\nab\nx", ["y"]], [["毛主席\nab"], ["x", "y"]]]
    names = {name_of(PROFILE, each) for each in [chunks, *others]}
    names.add(name_of(Profile(folding=Folding(pinyin=True)), chunks))
    names.add(name_of(Profile(folding=Folding(), repeat=True), chunks))
    assert len(names) == 6 and name_of(PROFILE, [*chunks]) in names


def test_the_child_tells_which_word_can_not_be(tmp_path, all_large):
    rules = RuleSet(rules=[Rule(rule="w:1", word="fine"), Rule(rule="w:2", word="\u200b")])
    with pytest.raises(InvalidWords, match="w:2: nothing is left"):
        compile_rules(rules, tmp_path)


@pytest.mark.parametrize(("command", "reason"), [(KILLED, "SIGKILL"), (NO_SPACE, "too large")])
def test_while_serving_a_child_that_fails_changes_nothing(folder, tmp_path, all_large, monkeypatch, command, reason):
    words = WordBook(Sources(folder=folder, inducement=False), tmp_path / "cache")
    monkeypatch.setattr(apart, "COMMAND", command)
    with pytest.raises(InvalidWords, match=reason) as raised:
        asyncio.run(words.change({"a.txt": b"weasel\n"}))
    assert raised.value.mend and words.state(0).error is not None
    assert words.filter.check("badger weasel", "in").text == "****** weasel"
    assert (folder / "a.txt").read_text("utf-8") == "badger\n"
    monkeypatch.setattr(apart, "COMMAND", COMMAND)
    asyncio.run(words.change({"a.txt": b"weasel\n"}))
    assert words.filter.check("badger weasel", "in").text == "badger ******" and words.state(0).error is None
    assert not list((tmp_path / "cache").glob(".*")), "the failed one left something behind"


def test_a_full_disk_does_not_stop_a_start(folder, tmp_path, all_large, monkeypatch, caplog):
    monkeypatch.setattr(apart, "COMMAND", NO_SPACE)
    words = WordBook(Sources(folder=folder, inducement=False), tmp_path / "cache")
    assert words.filter.check("badger", "in").text == "******"
    assert "words-not-kept" in caplog.messages


def test_a_child_ends_with_its_parent(tmp_path):
    file = tmp_path / "f.words"
    order = msgspec.json.encode(Order(PROFILE, str(file)))
    many = "\n".join(f"{n}词" for n in range(300_000)).encode()
    with subprocess.Popen([sys.executable, *COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        for data in (order, b"t" + many):
            child.stdin.write(len(data).to_bytes(4, "little") + data)
        child.stdin.write(b"\xff" * 4)
        child.stdin.close()
        began = time.monotonic()
        assert child.wait(30) == 1 and time.monotonic() - began < 5
    assert not file.exists()


def test_the_list_itself_goes_through_the_child_unharmed(tmp_path):
    file = tmp_path / "f.words"
    compile_apart(PROFILE, ["甲\n乙", ["a\nb", "\ud800"], "甲"], file)
    automaton, numbers = load(file, PROFILE)
    assert automaton.size == 4 and numbers.first.tolist() == [0, 1, 2, 3]
    assert (numbers.again.tolist(), numbers.again_at.tolist()) == ([0], [4])
    assert automaton.find("乙 a\nb") == [(0, 1, 1), (2, 5, 2)]
