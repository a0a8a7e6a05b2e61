"""Languages and topics of prompts."""

from __future__ import annotations

import pytest

from feedback.facets import Topics, facets_of, language_of
from feedback.turns import Message


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("图书馆几点开门？", "zh"),
        ("圖書館幾點開門？", "zh"),
        ("用 Python 写一个排序函数 def sort", "zh"),
        ("図書館は何時に開きますか", "ja"),
        ("도서관은 몇 시에 열어요?", "ko"),
        ("Во сколько открывается библиотека?", "ru"),
        ("О котрій відчиняється бібліотека?", "uk"),
        ("متى تفتح المكتبة؟", "ar"),
        ("ห้องสมุดเปิดกี่โมง", "th"),
        ("पुस्तकालय कब खुलता है", "hi"),
        ("What time does the library open?", "en"),
        ("Translate 你好 into English, please", "en"),
        ("Um wie viel Uhr öffnet die Bibliothek?", "de"),
        ("À quelle heure ouvre la bibliothèque ?", "fr"),
        ("¿A qué hora abre la biblioteca?", "es"),
        ("A que horas abre a biblioteca? Obrigado", "pt"),
        ("A che ora apre la biblioteca?", "it"),
        ("Mấy giờ thư viện mở cửa?", "vi"),
        ("Kütüphane saat kaçta açılıyor, neden geç?", "tr"),
        ("O której godzinie jest otwarta biblioteka?", "pl"),
        ("Xyzzy plugh", "latin"),
        ("```python\nthe = which(of)\n```", "other"),
        ("12 × 12 = ?", "other"),
        ("", "other"),
    ],
)
def test_the_language_of_a_text(text: str, language: str) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("Write a Python function that sorts", "code"),
        ("这段代码为什么报错", "code"),
        ("Solve the equation x + 2 = 5", "mathematics"),
        ("请证明这个定理", "mathematics"),
        ("Translate this into Chinese", "translation"),
        ("把这句话翻译成英文", "translation"),
        ("Write a poem about the harbour", "writing"),
        ("帮我写一封邮件", "writing"),
        ("What is the capital of France?", "facts"),
        ("法国的首都是哪里", "facts"),
        ("I feel decoded today", "other"),
        ("", "other"),
    ],
)
def test_the_topic_of_a_prompt(text: str, topic: str) -> None:
    assert Topics().of(text) == topic


def test_topics_come_from_the_settings() -> None:
    topics = Topics({"harbour": ["ferry", "渡轮"], "empty": []})
    assert topics.names == ["harbour", "other"]
    assert topics.of("When does the FERRY leave?") == "harbour"
    assert topics.of("渡轮几点开") == "harbour"
    assert topics.of("Write Python code") == "other"


def test_a_turn_has_the_facets_of_its_prompt_and_its_replys_language_where_the_prompt_has_none() -> None:
    history = [Message(role="user", content="写代码"), Message(role="assistant", content="好"), _asked("12 × 12?")]
    found = facets_of("turn-1", history, "It is 144, as you would have it.", Topics())
    assert (found.language, found.topic) == ("en", "other")
    assert facets_of("turn-1", [_asked("请写代码")], "Yes, of course.", Topics()).language == "zh"
    assert facets_of("turn-1", [], "", Topics()).language == "other"


def _asked(text: str) -> Message:
    return Message(role="user", content=text)
