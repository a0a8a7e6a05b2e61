"""Split characters: what people write for them hits, with the spans of what was written, and ordinary text does not."""

from collections import defaultdict

import pytest

from feedback.errors import InvalidWords
from service.words.filter import WordFilter, compile_rules
from service.words.folding import fold_table
from service.words.radicals import split_radicals
from service.words.rules import Folding, ListOptions, Rule, RuleSet

SPLITTING = Folding(radicals=True)
SIDE_FORMS = "氵亻扌忄讠钅纟犭礻衤饣刂灬攴"
LISTED = ["强奸", "法轮功", "枪支", "习近平", "操你妈", "嫖娼", "冰毒"]


def common_characters() -> list[str]:
    """GB 2312's 6,763 characters, in its order."""
    rows = [bytes((row, column)) for row in range(0xB0, 0xF8) for column in range(0xA1, 0xFF)]
    return [char for char in (row.decode("gb2312", "ignore") for row in rows) if char]


def listing(*words: str, **more) -> WordFilter:
    options = ListOptions(folding=SPLITTING, **more)
    return compile_rules(
        RuleSet(rules=[Rule(rule=f"w:{n}", word=word, options=options) for n, word in enumerate(words)])
    )


def spans(words: WordFilter, text: str) -> list[tuple[int, int]]:
    """Where it hits: whole, padded past where short texts are folded in another way, and character by character."""
    hits = words.check(text, "in").hits
    stream = words.stream("in")
    shown = "".join([*map(stream.feed, text), stream.end()])
    assert stream.hits == hits and shown == words.check(text, "in").text
    assert words.check(text + "。" * 40, "in").hits == hits
    return [(hit.start, hit.end) for hit in hits]


@pytest.mark.parametrize(
    ("listed", "text", "hit"),
    [
        ("强奸", "他弓虽女干了", (1, 5)),
        ("强奸", "他强女干了", (1, 4)),
        ("强奸", "弓口虫女干", (0, 5)),
        ("弓虽女干", "这是强奸。", (2, 4)),
        ("法轮功", "练氵去车仑工力吗", (1, 7)),
        ("法轮功", "练水去車侖工力吗", (1, 7)),
        ("法轮功", "法輪工力", (0, 4)),
        ("枪", "买木仓", (1, 3)),
        ("枪", "买木倉吗", (1, 3)),
        ("胡锦涛", "古月钅帛氵寿", (0, 6)),
        ("习近平", "习辶斤平", (0, 4)),
        ("你妈", "亻尔女马", (0, 4)),
        ("怕他", "忄白人也", (0, 4)),
        ("打钱", "扌丁金戋", (0, 4)),
        ("论", "讠仑", (0, 2)),
        ("约炮", "纟勺火包", (0, 4)),
        ("猫被刺", "犭苗衤皮朿刂", (0, 6)),
        ("饭神", "饣反礻申", (0, 4)),
        ("草", "艹早", (0, 2)),
        ("陈", "⻖东", (0, 2)),
    ],
)
def test_what_is_written_for_a_word_hits_where_it_stands(listed, text, hit):
    assert spans(listing(listed), text) == [hit]
    assert spans(listing(listed), listed) == [(0, len(listed))]


def test_split_characters_are_found_through_noise_and_repeats_of_what_is_not_split():
    assert spans(listing("强奸", noise=True), "弓-虽 女.干") == [(0, 7)]
    assert spans(listing("平工", repeat=True), "平平平工工") == [(0, 5)]
    both = Rule(rule="c:1", both=("木仓", "弹药"), within=2, options=ListOptions(folding=SPLITTING))
    assert spans(compile_rules(RuleSet(rules=[both])), "枪和弓单药") == [(0, 5)]


def test_a_hit_begins_and_ends_where_characters_do():
    assert spans(listing("枪"), "架仓 休仓库 想木仓") == [(8, 10)]
    assert spans(listing("女干", "不日"), "安干 一定不易") == []
    assert spans(listing("女干", repeat=True), "安干 女女干") == [(3, 6)]


def test_ordinary_text_does_not_hit():
    text = (
        "人民日报社论说，今日一早，门口有个女子在广大群众面前讲话：国家的法律和土地的政策，要用心学习。"
        "火山爆发后，石头、木材和水都没有了；大家手工修路，子女也来帮忙，中心小学的老师工作到半夜。"
        "他在车间工作，力气大，每天干活，吃口饭就走。枯木逢春，女儿和马先生一起去了法国，功夫不负有心人。"
    )
    assert spans(listing(*LISTED), text) == []
    assert len(text) > 120


@pytest.mark.parametrize("char", "人口日一二三十大小女子木水火土王玉工力车门国问从林品咬好灿仲")
def test_what_is_simple_or_would_be_ordinary_words_stays_whole(char):
    assert fold_table(Folding(radicals=True, digits=False), False).fold(char) == char


def test_no_two_common_characters_count_as_one_but_side_forms():
    groups = defaultdict(list)
    for char in common_characters():
        if char not in SIDE_FORMS:
            groups[fold_table(Folding(radicals=True, simplified=False, digits=False), False).fold(char)].append(char)
    assert [group for group in groups.values() if len(group) > 1] == []
    assert len(groups) > 6_700
    assert sum(len(written) > 1 for written in groups) > 5_500


def test_parts_come_apart_as_far_as_any_do():
    table = fold_table(SPLITTING, False)
    whole = {char: table.fold(char) for char in split_radicals()}
    assert [char for char, written in whole.items() if table.word(written) != written] == []


def test_all_ways_to_fold_split_characters_agree():
    table = fold_table(SPLITTING, False)
    text = "".join(split_radicals())
    assert table.text(text)[0] == "".join(map(table.fold, text))


def test_homophones_of_split_characters_are_refused():
    options = ListOptions(folding=Folding(radicals=True, pinyin=True))
    with pytest.raises(InvalidWords, match="w:1: no homophones"):
        compile_rules(RuleSet(rules=[Rule(rule="w:1", word="强", options=options)]))
