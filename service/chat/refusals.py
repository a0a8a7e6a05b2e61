"""What a person is told instead of text that the filter blocks, in their language: Chinese if they wrote any."""

from __future__ import annotations

import re

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")

INPUT = {"en": "Sorry, I can't help with that.", "zh": "抱歉，这个问题我无法回答。"}
OUTPUT = {"en": "Sorry, I have to stop here.", "zh": "抱歉，我只能说到这里。"}


def refusal(prompt: str, *, began: bool) -> str:
    """The sentence. `began`: part of the reply was shown already."""
    language = "zh" if HAN.search(prompt) else "en"
    return f"\n\n{OUTPUT[language]}" if began else INPUT[language]
