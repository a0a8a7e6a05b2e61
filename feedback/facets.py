"""What a turn is about, coarsely: the language of its prompt and a topic. Cheap enough to be worked out for every turn.

The script tells most languages apart; languages in Latin letters are told by their commonest words and own letters. A
model would tell more of them, but the good small ones cost as much memory as the rest of the gateway. What can't be
told is `latin`, or `other`: a queue that shows somebody one turn too many is better than one that guesses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from feedback.turns import Message

LOOKED_AT = 2_000
"""Characters of a prompt that are looked at."""
OTHER = "other"
TOPICS: dict[str, list[str]] = {
    "code": [
        "code", "python", "javascript", "java", "sql", "html", "css", "regex", "function", "compile", "bug", "debug",
        "script", "api", "git", "bash", "linux", "docker", "algorithm", "```", "代码", "编程", "程序", "函数", "脚本",
        "报错", "算法", "数据库",
    ],
    "mathematics": [
        "calculate", "equation", "integral", "derivative", "probability", "theorem", "proof", "solve", "algebra",
        "geometry", "matrix", "sum of", "percent", "计算", "方程", "积分", "导数", "概率", "定理", "证明", "几何",
        "矩阵", "求和", "数学",
    ],
    "translation": [
        "translate", "translation", "in english", "in chinese", "into english", "into chinese", "翻译", "译成", "译为",
        "用英语", "用英文", "用中文",
    ],
    "writing": [
        "write a", "write an", "rewrite", "essay", "poem", "story", "letter", "email", "summarise", "summarize",
        "proofread", "draft", "slogan", "写一", "改写", "润色", "作文", "诗", "故事", "邮件", "总结", "摘要", "文案",
    ],
    "facts": [
        "who is", "who was", "what is", "when did", "when does", "when is", "where is", "which country", "capital of",
        "how many", "how far", "what time", "谁是", "是谁", "哪里", "哪个", "什么时候", "几点", "多少", "首都",
        "是什么",
    ],
}  # fmt: skip
"""Names and key words, where the settings name none. Of equally many hits the first topic's count."""


class Facets(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn is about."""

    turn_id: str
    language: str
    """`zh`, `en`, `ja`, `ko`, … (ISO 639-1); `latin`, some language in Latin letters; `other`."""
    topic: str
    """A topic's name, or `other`."""


_SCRIPTS: dict[str, re.Pattern[str]] = {
    "han": re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"),
    "kana": re.compile(r"[\u3041-\u30ff]"),
    "ko": re.compile(r"[\u1100-\u11ff\uac00-\ud7af]"),
    "cyrillic": re.compile(r"[\u0400-\u04ff]"),
    "arabic": re.compile(r"[\u0600-\u06ff]"),
    "he": re.compile(r"[\u0590-\u05ff]"),
    "th": re.compile(r"[\u0e00-\u0e7f]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
    "el": re.compile(r"[\u0370-\u03ff]"),
    "latin": re.compile(r"[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff]"),
}
_WEIGHT = {"han": 3, "kana": 2, "ko": 2}
"""A character of these says as much as so many letters."""
_KANA_SHARE = 0.1
"""From this share of kana among Chinese characters and kana on it is Japanese."""
_NO_LANGUAGE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.S)
"""Code and addresses."""
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_COMMON: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the of and to is are was were what when where who why how which do does did can could would should will "
        "you your my me i it this that these with for from about please write hello hi thanks give tell explain make "
        "not have has be if there their they we an by or on at as name list find help between",
        "de": "der die das und ist sind nicht ich du sie wir ihr ein eine einen dem den des mit für von zu auf wie was "
        "wo wer warum wann kann bitte auch im am es haben hat wird war hallo danke über",
        "fr": "le la les des et est sont pas je tu vous nous une un du au aux avec pour dans que qui quoi où quand "
        "comment pourquoi ce cette mon votre bonjour merci sur il elle être s'il c'est",
        "es": "el la los las y es son no yo tú usted un una unos del al con para por que qué quién cómo cuándo dónde "
        "cuál hola gracias está mi su se lo puedes hay como",
        "pt": "o a os as e é são não eu você um uma do da dos das ao com para por que quem como quando onde qual olá "
        "oi obrigado obrigada está meu sua se tudo bem em",
        "it": "il lo la gli le e è sono non io tu un uno una del della dei con per che chi come quando dove quale "
        "quanto ciao grazie mio sua si di da nel perché cosa",
        "nl": "de het een en is zijn niet ik jij je u wij met voor van naar op hoe wat waar wie waarom wanneer kan "
        "alstublieft ook dit dat er hallo dank",
        "pl": "i w z na do się nie jest są co kto gdzie kiedy jak dlaczego czy to ten ta jestem proszę dzień dobry "
        "cześć dziękuję dla po o",
        "tr": "ve bir bu ne nerede nasıl neden kim için ile mi mı var yok ben sen merhaba teşekkürler nasılsın da de "
        "değil çok lütfen",
        "id": "yang dan di ke dari ini itu apa siapa mana kapan bagaimana mengapa adalah tidak saya anda kamu untuk "
        "dengan bisa terima kasih halo tolong",
        "vi": "là và của có không tôi bạn gì ai đâu khi như thế nào tại sao cho với một các được này xin chào cảm ơn",
        "sv": "och är inte jag du vi ett en det som på för med av till hur vad var vem varför när kan hej tack att har",
    }.items()
}
_OWN_LETTERS: dict[str, str] = {
    "de": "ßäöü", "fr": "çêèœûîëï", "es": "ñ¿¡", "pt": "ãõ", "pl": "łżźśćńęą", "tr": "ışğ",
    "vi": "ơưđạảấầậẹệịọộợụủ", "sv": "å",
}  # fmt: skip


def facets_of(turn_id: str, messages: Sequence[Message], reply: str, topics: Topics) -> Facets:
    """The facets of a turn, by its prompt; by its reply too where the prompt has no language of its own."""
    prompt = next((one.content for one in reversed(messages) if one.role == "user"), "")[:LOOKED_AT]
    language = language_of(prompt)
    if language in (OTHER, "latin"):
        told = language_of(reply[:LOOKED_AT])
        language = told if told != OTHER else language
    return Facets(turn_id=turn_id, language=language, topic=topics.of(prompt))


def language_of(text: str) -> str:
    """The language that most of a text is in; code and addresses don't count."""
    text = _NO_LANGUAGE.sub(" ", text) if "`" in text or "://" in text else text
    if text.isascii():
        return _in_latin(text) if any(map(str.isalpha, text)) else OTHER
    weights = {name: len(found.findall(text)) * _WEIGHT.get(name, 1) for name, found in _SCRIPTS.items()}
    kana, han = weights.pop("kana"), weights["han"]
    weights["han"] += kana
    name = max(weights, key=lambda one: weights[one])
    if not weights[name]:
        return OTHER
    match name:
        case "han":
            return "ja" if kana and kana >= _KANA_SHARE * (kana + han) else "zh"
        case "cyrillic":
            return "uk" if re.search("[іїєґ]", text, re.I) else "ru"
        case "arabic":
            return "fa" if re.search("[پچژگ]", text) else "ar"
        case "latin":
            return _in_latin(text)
        case _:
            return name


def _in_latin(text: str) -> str:
    """Which language in Latin letters: the one whose common words and letters it has most of, if there is just one."""
    lower = text.lower()
    words = _WORD.findall(lower)
    hits = {language: sum(word in common for word in words) for language, common in _COMMON.items()}
    if not lower.isascii():
        for language, letters in _OWN_LETTERS.items():
            hits[language] += 2 * sum(letter in lower for letter in letters)
    (second, _), (best, first) = sorted(((count, name) for name, count in hits.items()))[-2:]
    return first if best > second else "latin"


class Topics:
    """Named topics, each with its key words. Latin key words hit as whole words, others wherever they stand."""

    def __init__(self, topics: Mapping[str, Sequence[str]] | None = None) -> None:
        """None named: the built-in ones."""
        self._patterns = {
            name: re.compile("|".join(_pattern(word) for word in words), re.I)
            for name, words in (topics or TOPICS).items()
            if words
        }

    @property
    def names(self) -> list[str]:
        return [*self._patterns, OTHER]

    def of(self, text: str) -> str:
        """The topic of which a text has most different key words; `other` where it has none of any."""
        hits = {
            name: len({hit.lower() for hit in found.findall(text[:LOOKED_AT])})
            for name, found in self._patterns.items()
        }
        best = max(hits, key=lambda name: hits[name], default=OTHER)
        return best if hits.get(best) else OTHER


def _pattern(word: str) -> str:
    escaped = re.escape(word)
    return rf"\b{escaped}\b" if word.isascii() and word[:1].isalnum() and word[-1:].isalnum() else escaped
