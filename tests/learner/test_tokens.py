"""Text → ids and loss mask: the loss falls on the reply and its end, on nothing else, in every script."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from feedback.turns import Message
from learner.base import Base, UnsupportedBase
from learner.tokens import ChatTokens, Sample, TokenRow
from tests.fakes.tiny_gguf import TEMPLATE

CHATS = [
    [Message(role="user", content="What is the time?")],
    [Message(role="user", content="你好，世界！")],
    [Message(role="system", content="Answer in rhymes. 请押韵。"), Message(role="user", content="go on")],
    [
        Message(role="user", content="one"),
        Message(role="assistant", content="two\n"),
        Message(role="user", content="three  \n"),
    ],
]
REPLIES = ["Half past nine.", "你好！很高兴见到你。🎉", "\n\nthe  two\tlines\n", " the"]


@pytest.fixture(scope="module")
def tokens(tiny_base: Base) -> ChatTokens:
    return ChatTokens.load(tiny_base.folder)


def with_template(base: Base, template: str, *, adds_bos: bool = False) -> ChatTokens:
    fields = {name: getattr(base.record, name) for name in base.record.__struct_fields__}
    record = type(base.record)(**fields | {"chat_template": template, "adds_bos": adds_bos})
    return ChatTokens(Tokenizer.from_file(str(base.tokenizer_file)), record)


@pytest.mark.parametrize("messages", CHATS)
@pytest.mark.parametrize("reply", REPLIES)
def test_the_loss_falls_on_the_reply_and_its_end_and_the_rest_is_the_generation_prompt(
    tokens: ChatTokens, messages: list[Message], reply: str
) -> None:
    row = tokens.encode(Sample(row_id="1", messages=messages, reply=reply))
    assert isinstance(row, TokenRow)
    assert tokens.decode(row.ids[row.prompt :]) == f"{reply}<|im_end|>"
    assert row.ids[: row.prompt] == tokens.prompt_ids(messages)
    assert tokens.decode(row.ids[: row.prompt]) == tokens.prompt(messages)


def test_prompts_are_what_transformers_renders(tokens: ChatTokens, tiny_base: Base) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(tiny_base.folder)
    for messages in CHATS:
        plain = [{"role": message.role, "content": message.content} for message in messages]
        rendered = theirs.apply_chat_template(plain, add_generation_prompt=True, tokenize=False)
        assert tokens.prompt(messages) == rendered
        assert tokens.prompt_ids(messages) == theirs(rendered, add_special_tokens=False)["input_ids"]


def test_a_long_row_is_left_out_and_counted_never_cut(tokens: ChatTokens) -> None:
    samples = [Sample(row_id=str(length), messages=CHATS[0], reply="a" * length) for length in (10, 200, 11)]
    exact = len(tokens.encode_all(samples[2:], 10_000).rows[0].ids)
    found = tokens.encode_all(samples, exact)
    assert [row.row_id for row in found.rows] == ["10", "11"]
    assert found.left_out == {"too-long": 1}
    assert all(tokens.decode(row.ids).endswith("a<|im_end|>") for row in found.rows)


def test_rows_with_control_text_or_without_a_reply_are_left_out_by_reason(tokens: ChatTokens) -> None:
    said = [("ok", "fine"), ("ok", "bye<|im_end|>\n<|im_start|>user\nhi"), ("<|im_end|>", "ok"), ("ok", " \n")]
    samples = [
        Sample(row_id="1", messages=[Message(role="user", content=question)], reply=reply) for question, reply in said
    ]
    found = tokens.encode_all(samples, 500)
    assert (len(found.rows), found.left_out) == (1, {"control-text": 2, "empty": 1})


def test_a_conversation_that_the_template_refuses_is_left_out(tiny_base: Base) -> None:
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE
    found = with_template(tiny_base, strict).encode_all(
        [Sample(row_id=str(number), messages=messages, reply="ok") for number, messages in enumerate(CHATS)], 500
    )
    assert ([row.row_id for row in found.rows], found.left_out) == (["0", "1", "3"], {"template": 1})


def test_a_template_that_never_ends_a_reply_is_refused(tiny_base: Base) -> None:
    endless = TEMPLATE.replace("'<|im_end|>' + ", "")
    with pytest.raises(UnsupportedBase, match="can't be trained on"):
        with_template(tiny_base, endless)


def test_bos_is_put_before_a_prompt_that_lacks_it_and_never_twice(tiny_base: Base) -> None:
    has = with_template(tiny_base, TEMPLATE, adds_bos=True)  # ChatML opens with <|im_start|>, which is BOS here
    lacks = with_template(tiny_base, "<|endoftext|>" + TEMPLATE, adds_bos=True)
    bos, other = 1, 0
    assert has.prompt_ids(CHATS[0])[:2] != [bos, bos]
    assert lacks.prompt_ids(CHATS[0])[:3] == [bos, other, bos]
    row = lacks.encode(Sample(row_id="1", messages=CHATS[1], reply="你"))
    assert isinstance(row, TokenRow) and lacks.decode(row.ids[row.prompt :]) == "你<|im_end|>"
