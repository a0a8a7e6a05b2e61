"""Mending noise in text that is about to be learnt, by named rules whose work is counted.

Noise is what no one meant to write: half characters, invisible ones, blanks that nobody sees, and the markup that an
editor leaves in pasted text. Chinese punctuation, full-width forms, code and honest HTML are meant, and must never be
harmed: a rule that can't be sure leaves the text alone. Inside fenced code only characters are mended, never layout;
inside code spans no markup is touched either.

Pure, and cleaning twice changes nothing more.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable

import msgspec

Rule = Callable[[str], tuple[str, int]]


class Cleaned(msgspec.Struct, frozen=True):
    text: str
    counts: dict[str, int]
    """Spots mended, by rule; rules that found nothing are left out."""


def clean(text: str) -> Cleaned:
    """The text mended by every rule, until none finds anything more."""
    if _tidy(text):
        return Cleaned(text, {})
    counts: Counter[str] = Counter()
    while True:
        before = text
        for name, rule in RULES.items():
            text, mended = rule(text)
            if mended:
                counts[name] += mended
        if text == before:
            return Cleaned(text, dict(counts))


def _tidy(text: str) -> bool:
    """Whether plainly no rule has anything to find, which is so for most texts, and is seen ten times faster. Python
    calls exactly those characters unprintable that the rules for characters look for, and some more."""
    return (
        not text[:1].isspace()
        and not text[-1:].isspace()
        and not any(noise in text for noise in ("<", "&", " \n", "\t\n", "\n\n\n"))
        and text.replace("\n", "").replace("\t", "").isprintable()
        and unicodedata.is_normalized("NFC", text)
    )


def surrogates(text: str) -> tuple[str, int]:
    """Halves of surrogate pairs: two that belong together become their character, a lone one goes."""
    if text.isascii() or not (found := _SURROGATE.findall(text)):
        return text, 0
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return _SURROGATE.sub("", joined), len(found)


def line_ends(text: str) -> tuple[str, int]:
    r"""Every kind of line end becomes `\n`, page breaks and Unicode's own separators too."""
    return _LINE_END.subn("\n", text)


def controls(text: str) -> tuple[str, int]:
    """Control characters but tab and newline."""
    return _CONTROL.subn("", text)


def invisible(text: str) -> tuple[str, int]:
    """Characters without width or ink. Joiners and direction marks between letters or signs that need them stay:
    family emoji, Persian, the scripts of India, Arabic and Hebrew."""
    if text.isascii():
        return text, 0
    text, plain = _INVISIBLE.subn("", text)
    text, stray = _STRAY_JOINER.subn("", text)
    return text, plain + stray


def composed(text: str) -> tuple[str, int]:
    """Unicode NFC: a letter and its accent become one character. Full-width forms are not touched by it."""
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text, 0
    return unicodedata.normalize("NFC", text), 1


def pasted_markup(text: str) -> tuple[str, int]:
    """What an editor leaves in pasted text, and only that, outside code.

    Where the text bears an editor's own traces (Word's, Google Docs', the clipboard's fragment marks), all layout tags
    and entities in it are such remains. Without them only `&nbsp;` and `<br>` glued between words are, and only where
    no other tag says that the text may be HTML on purpose.
    """
    if "<" not in text and "&" not in text:
        return text, 0
    prose = _CODE.sub("", text)
    if _TRACE.search(prose):
        return _outside(_CODE, text, _strip_layout)
    return (text, 0) if _OTHER_TAG.search(prose) else _outside(_CODE, text, _unglue)


def trailing_spaces(text: str) -> tuple[str, int]:
    """Blanks before a line's end."""
    return _outside(_FENCED, text, lambda part: _TRAILING.subn("", part)) if _TRAILING.search(text) else (text, 0)


def blank_lines(text: str) -> tuple[str, int]:
    """More than one blank line in a row."""
    return _outside(_FENCED, text, lambda part: _BLANKS.subn("\n\n", part)) if "\n\n\n" in text else (text, 0)


def ends(text: str) -> tuple[str, int]:
    """Blank lines before the text, blanks and newlines after it. The first line's indent stays: it may be code."""
    return _ENDS.subn("", text)


RULES: dict[str, Rule] = {
    "surrogates": surrogates,
    "line-ends": line_ends,
    "controls": controls,
    "invisible": invisible,
    "composed": composed,
    "pasted-markup": pasted_markup,
    "trailing-spaces": trailing_spaces,
    "blank-lines": blank_lines,
    "ends": ends,
}
"""In the order in which they run: characters first, so that layout is seen as it is."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_INVISIBLE = re.compile(  # soft hyphen, zero-width spaces, BOM, embeddings and isolates, annotation marks
    "[\u00ad\u180e\u200b\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)
_JOINER = "\u200c-\u200f"
_PLAIN = "\x00-\x7f\u3000-\u303f\u3040-\u30ff\u3400-\u9fff\uff00-\uffef"  # scripts that no joiner belongs to
_STRAY_JOINER = re.compile(f"(?<![^{_PLAIN}])[{_JOINER}]+|[{_JOINER}]+(?![^{_PLAIN}])")

_FENCED = re.compile(r"(?:^|(?<=\n))[ \t]*(```+|~~~+)[^\n]*(?:\n.*?(?:\n[ \t]*\1[`~]*[ \t]*(?=\n|$)|$)|$)", re.DOTALL)
_CODE = re.compile(_FENCED.pattern + r"|(?<!`)(`+)(?!`)[^\n]*?(?<!`)\2(?!`)", re.DOTALL)
_TRACE = re.compile(
    r"<!--\s*(?:Start|End)Fragment\s*-->|</?o:p\s*/?>|<[a-z][^<>]*?(?:class=[\"']?Mso|style=[\"'][^\"'<>]*mso-|"
    r"id=[\"']?docs-internal-guid)[^<>]*>",
    re.IGNORECASE,
)
_COMMENT = re.compile(
    r"<!--\s*(?:Start|End)Fragment\s*-->|<!--\[if[^<>]*\]>.*?<!\[endif\]-->", re.IGNORECASE | re.DOTALL
)
_BREAK_TAG = re.compile(r"<br\s*/?>|</(?:p|div)\s*>", re.IGNORECASE)
_LAYOUT_TAG = re.compile(r"</?(?:p|div|span|font|b|i|u|em|strong|o:p|meta|br)(?:\s[^<>]*)?/?>", re.IGNORECASE)
_OTHER_TAG = re.compile(r"<(?!br\s*/?>)[/!a-z]", re.IGNORECASE)
_GLUED = re.compile(r"(?<=\w)(?:&nbsp;)+(?=\w)|(?:&nbsp;){2,}", re.IGNORECASE)
_GLUED_BREAK = re.compile(r"(?<=[^\s\"'(<>])(?:<br\s*/?>)+(?=[^\s\"')<>])", re.IGNORECASE)
_TRAILING = re.compile(r"(?<![ \t])[ \t]++(?=\n)")  # begins at a run's start only: linear on a long run
_BLANKS = re.compile(r"\n{3,}")
_ENDS = re.compile(r"\A(?:[ \t]*+\n)++|(?<![ \t\n])[ \t\n]++\Z")


def _outside(code: re.Pattern[str], text: str, mend: Rule) -> tuple[str, int]:
    """Apply `mend` to the parts of the text that are not code."""
    parts: list[str] = []
    mended, at = 0, 0
    for found in code.finditer(text):
        part, count = mend(text[at : found.start()])
        parts += [part, found.group()]
        mended, at = mended + count, found.end()
    part, count = mend(text[at:])
    return "".join([*parts, part]), mended + count


def _strip_layout(part: str) -> tuple[str, int]:
    part, comments = _COMMENT.subn("", part)
    part, breaks = _BREAK_TAG.subn("\n", part)
    part, tags = _LAYOUT_TAG.subn("", part)
    plain = html.unescape(part).replace("\u00a0", " ")
    return plain, comments + breaks + tags + (plain != part)


def _unglue(part: str) -> tuple[str, int]:
    part, spaces = _GLUED.subn(" ", part)
    part, breaks = _GLUED_BREAK.subn("\n", part)
    return part, spaces + breaks
