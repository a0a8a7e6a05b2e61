"""The official `ollama` and `openai` clients, unmodified, chat through the gateway, streaming and not."""

import ollama
import openai
import pytest

SAID = "The capital of France is Paris. 法国的首都是巴黎。"
ASK = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture
def by_ollama(gateway):
    with ollama.Client(gateway.url) as client:
        yield client


@pytest.fixture
def by_openai(gateway):
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_ollama_whole(fake, gateway, by_ollama):
    fake.will_say(SAID)
    answer = by_ollama.chat("assistant", ASK, options={"temperature": 0, "num_predict": 99}, keep_alive="10m")
    assert (answer.model, answer.message.content, answer.done, answer.done_reason) == ("assistant", SAID, True, "stop")
    assert answer.eval_count and answer.total_duration
    asked = fake.chats[0].body
    assert asked["model"] == "assistant:1.0.0" and asked["messages"][0]["content"] == ASK[0]["content"]
    assert asked["options"] == {"temperature": 0, "num_predict": 99} and asked["keep_alive"] == "10m"
    assert asked["stream"] is True  # always: a silence can't be told from a long answer otherwise


def test_ollama_streamed(fake, by_ollama):
    fake.will_say(SAID)
    fake.chunk_delay_s = 0.01
    try:
        chunks = list(by_ollama.chat("assistant:latest", ASK, stream=True))
    finally:
        fake.chunk_delay_s = 0
    assert "".join(chunk.message.content for chunk in chunks) == SAID
    assert len(chunks) > 10 and {chunk.model for chunk in chunks} == {"assistant:latest"}
    assert [chunk.done for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


async def test_ollama_async(fake, gateway):
    fake.will_say(SAID)
    async with ollama.AsyncClient(gateway.url) as client:
        said = [chunk.message.content async for chunk in await client.chat("assistant", ASK, stream=True)]
    assert "".join(said) == SAID


def test_openai_whole_keeps_the_turns_id(fake, gateway, by_openai):
    fake.will_say(SAID)
    answer = by_openai.chat.completions.create(
        model="assistant", messages=ASK, temperature=0.5, top_p=0.9, max_completion_tokens=50, stop="\n\n", seed=7,
        frequency_penalty=0.1, presence_penalty=0.2, user="anna",
    )  # fmt: skip
    assert (answer.model, answer.choices[0].message.content, answer.choices[0].finish_reason) == (
        "assistant",
        SAID,
        "stop",
    )
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    options = {
        "temperature": 0.5, "top_p": 0.9, "num_predict": 50, "stop": ["\n\n"], "seed": 7, "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
    }  # fmt: skip
    assert fake.chats[0].body["options"] == options
    turn = gateway.store.turn(answer.turn_id)  # the client keeps the extra field
    assert (turn.reply, turn.options, turn.subject, turn.dialect) == (SAID, options, "anna", "openai")


def test_openai_streamed(fake, gateway, by_openai):
    fake.will_say(SAID)
    stream = by_openai.chat.completions.create(
        model="assistant", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == SAID
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage.completion_tokens > 0 and chunks[-1].choices == []
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert gateway.store.turn(chunks[-2].turn_id).reply == SAID


def test_openai_length_and_json_schema(fake, by_openai):
    schema = {"type": "object", "properties": {"capital": {"type": "string"}}}
    fake.will_say("one two three")
    answer = by_openai.chat.completions.create(
        model="assistant", messages=ASK, max_tokens=2,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )  # fmt: skip
    assert answer.choices[0].finish_reason == "length" and answer.choices[0].message.content == "one two"
    assert fake.chats[0].body["format"] == schema


def test_openai_text_parts_are_joined_and_developer_is_system(fake, by_openai):
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "this?"}]
    by_openai.chat.completions.create(
        model="assistant", messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]
    )
    assert fake.chats[0].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is this?"},
    ]


def test_clients_find_the_aliases_and_never_a_tag(by_ollama, by_openai):
    listed = by_ollama.list().models
    assert [model.model for model in listed] == ["assistant:latest"] and listed[0].details.family == "llama"
    assert by_ollama.show("assistant").template
    assert [model.id for model in by_openai.models.list()] == ["assistant"]
    assert by_openai.models.retrieve("assistant").id == "assistant"


def test_headers_say_turn_version_and_conversation(fake, gateway, by_openai):
    raw = by_openai.chat.completions.with_raw_response.create(model="assistant", messages=ASK)
    turn = gateway.store.turn(raw.headers["x-turn-id"])
    assert raw.headers["x-model-version"] == turn.version == "1.0.0"
    assert raw.headers["x-conversation-id"] == turn.conversation_id != ""
    given = by_openai.chat.completions.with_raw_response.create(
        model="assistant", messages=ASK, extra_headers={"X-Conversation-Id": "mine-7"}
    )
    assert given.headers["x-conversation-id"] == "mine-7"
    assert gateway.store.turn(given.headers["x-turn-id"]).conversation_id == "mine-7"


def test_tools_and_thinking_pass_in_ollamas_dialect(fake, gateway):
    call = {"function": {"name": "f", "arguments": {"where": "Paris"}}}
    fake.will_say_lines(
        {"message": {"role": "assistant", "content": "", "thinking": "Hm."}, "done": False},
        {"message": {"role": "assistant", "content": "", "tool_calls": [call]}, "done": False},
        {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"},
    )
    with ollama.Client(gateway.url) as client:
        tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
        answer = client.chat("assistant", ASK, tools=[tool])
    assert answer.message.thinking == "Hm." and answer.message.tool_calls[0].function.arguments == {"where": "Paris"}
    assert fake.chats[0].body["tools"][0]["function"]["name"] == "f"
