"""Each format in the shape that its own documents show, in and out again, Chinese included."""

from __future__ import annotations

import json

import httpx
import pytest

from feedback.formats.registry import FORMATS

OPENAI = """{"messages": [{"role": "system", "content": "Marv is a factual chatbot that is also sarcastic."}, \
{"role": "user", "content": "What's the capital of France?"}, {"role": "assistant", "content": "Paris", "weight": 0}, \
{"role": "user", "content": "Can you be more sarcastic?"}, {"role": "assistant", "content": "Paris, as if everyone \
doesn't know that already.", "weight": 1}]}
{"messages": [{"role": "user", "content": [{"type": "text", "text": "法国的首都是哪里？"}]}, \
{"role": "assistant", "content": "巴黎。"}]}
"""
PAIRS = """{"input": {"messages": [{"role": "user", "content": "Hello, can you tell me how cold San Francisco is \
today?"}], "tools": [], "parallel_tool_calls": true}, "preferred_output": [{"role": "assistant", "content": "Today in \
San Francisco, it is not quite cold as expected."}], "non_preferred_output": [{"role": "assistant", "content": "It is \
not particularly cold in San Francisco today."}]}
"""
ALPACA = [
    {"instruction": "识别并解释两个科学理论。", "input": "细胞理论和日心说", "output": "细胞理论是生物科学的理论。"},
    {
        "instruction": "今天会下雨吗？", "input": "", "output": "今天不会下雨。", "system": "你是天气助手。",
        "history": [["今天天气怎么样？", "今天天气不错。"]],
    },
]  # fmt: skip
SHAREGPT = [
    {
        "id": "identity_0",
        "conversations": [
            {"from": "human", "value": "Who are you?"},
            {"from": "gpt", "value": "I am Vicuna."},
            {"from": "human", "value": "你能做什么？"},
            {"from": "gpt", "value": "我可以聊天。"},
        ],
    },
    {
        "conversations": [
            {"from": "human", "value": "查一下天气"},
            {"from": "function_call", "value": '{"name": "weather"}'},
            {"from": "observation", "value": "晴"},
            {"from": "gpt", "value": "今天是晴天。"},
        ],
        "system": "你是助手。",
        "tools": "[]",
    },
]
ASKED, SAID, OTHER = ("2860fdae-4c43-4f59-8217-33dfc92b47d3", "29948ec6-6975-4d3a-b019-ceb8b7f7c698", "b")
PERSON = "e12c1cb7-f768-42a5-bb45-59846d2406fa"
OPENWEBUI = [
    {
        "id": "6e6503ff-8f59-4995-a2f4-6b07f02a4723", "user_id": PERSON, "version": 0, "type": "rating",
        "data": {
            "rating": 1, "model_id": "support", "sibling_model_ids": None, "reason": "accurate_information",
            "comment": "很好", "tags": ["greeting"], "details": {"rating": 6},
        },
        "meta": {"arena": False, "model_id": "support", "message_id": SAID, "message_index": 1, "chat_id": "3cd6f38c"},
        "snapshot": {"chat": {"id": "3cd6f38c", "user_id": PERSON, "title": "New Chat", "chat": {
            "models": ["support"],
            "history": {"messages": {
                ASKED: {"id": ASKED, "parentId": None, "childrenIds": [SAID], "role": "user", "content": "你好吗",
                        "timestamp": 1760362655, "models": ["support"]},
                SAID: {"id": SAID, "parentId": ASKED, "childrenIds": [], "role": "assistant", "content": "我很好。",
                       "model": "support", "modelIdx": 0, "timestamp": 1760362655},
            }, "currentId": SAID},
        }}},
        "created_at": 1760434499, "updated_at": 1760434499,
    },
    {
        "id": "7e6503ff-8f59-4995-a2f4-6b07f02a4723", "user_id": PERSON, "version": 0, "type": "rating",
        "data": {"rating": "-1", "model_id": "one", "sibling_model_ids": ["two"], "reason": None, "comment": None},
        "meta": {"arena": True, "message_id": SAID, "chat_id": "c"},
        "snapshot": {"chat": {"chat": {"history": {"messages": {
            ASKED: {"id": ASKED, "parentId": None, "role": "user", "content": "Which is better?"},
            SAID: {"id": SAID, "parentId": ASKED, "role": "assistant", "content": "This.", "model": "one"},
            OTHER: {"id": OTHER, "parentId": ASKED, "role": "assistant", "content": "That.", "model": "two"},
        }}}}},
        "created_at": 1760434500, "updated_at": 1760434500,
    },
]  # fmt: skip
ARGILLA = [
    {
        "id": "r1",
        "fields": {"prompt": "图书馆几点开门？", "response": "八点。"},
        "metadata": {"department": "library"},
        "suggestions": {"accuracy": {"value": 2, "score": 0.9, "agent": "m"}},
        "responses": {
            "accuracy": [{"value": 1, "user_id": "u-1"}, {"value": 2, "user_id": "u-2"}],
            "fluency": [{"value": 3, "user_id": "u-1"}, {"value": 3, "user_id": "u-2"}],
            "corrected_reply": [{"value": "九点半。", "user_id": "u-1"}],
            "flags": [{"value": ["nonsense"], "user_id": "u-2"}],
        },
        "vectors": {},
        "_server_id": "0b6a",
    },
    {
        "id": "r2",
        "fields": {"chat": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]},
        "metadata": {}, "suggestions": {}, "vectors": {},
        "responses": {"rating": [{"value": 5, "user_id": "u-3"}]},
    },
]  # fmt: skip


def region(name: str, kind: str, value: object) -> dict[str, object]:
    return {"id": "x", "from_name": name, "to_name": "reply", "type": kind, "origin": "manual", "value": value}


LABELSTUDIO = [
    {
        "id": 1, "project": 83, "created_at": "2021-03-09T21:52:49.513742Z",
        "data": {"dialogue": [{"author": "user", "text": "几点关门？"}], "reply": "不知道。"},
        "annotations": [
            {
                "id": 1001, "completed_by": {"id": 1, "email": "mei@example.org"}, "lead_time": 4.288,
                "was_cancelled": False, "created_at": "2021-03-09T22:16:08.728353Z",
                "result": [
                    region("accuracy", "rating", {"rating": 1}),
                    region("fluency", "choices", {"choices": ["3"]}),
                    region("corrected_reply", "textarea", {"text": ["晚上九点。"]}),
                ],
            },
            {"id": 1002, "completed_by": 2, "was_cancelled": True, "result": []},
        ],
        "predictions": [],
    }
]  # fmt: skip
FILES = {
    "openai": OPENAI,
    "openai-preferences": PAIRS,
    "alpaca": json.dumps(ALPACA, ensure_ascii=False, indent=2),
    "sharegpt": json.dumps(SHAREGPT, ensure_ascii=False),
    "openwebui": json.dumps(OPENWEBUI),
    "argilla": json.dumps(ARGILLA, indent=1),
    "labelstudio": json.dumps(LABELSTUDIO),
}
ADDED = {
    "openai": {"turns": 2},
    "openai-preferences": {"turns": 2, "preferences": 1},
    "alpaca": {"turns": 2},
    "sharegpt": {"turns": 3},
    "openwebui": {"turns": 3, "ratings": 2, "preferences": 1},
    "argilla": {"turns": 2, "annotations": 2, "ratings": 1},
    "labelstudio": {"turns": 1, "annotations": 1},
}
COUNTS = ("turns", "ratings", "annotations", "preferences")


def imported(gateway, form, content, **asked):
    answer = httpx.post(f"{gateway.url}/imports", params={"format": form, **asked}, content=content, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def exported(gateway, form, **asked):
    answer = httpx.get(f"{gateway.url}/exports/feedback", params={"format": form, **asked}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.text


def records(form, text):
    return json.loads(text) if FORMATS[form].array else [json.loads(line) for line in text.splitlines()]


def added(report):
    return {name: report[name] for name in COUNTS if report[name]}


@pytest.mark.parametrize("form", FILES)
def test_a_file_of_the_format_comes_in_once_and_goes_out_as_it_can_come_in(gateway, form):
    first = imported(gateway, form, FILES[form].encode(), project=form)
    assert first["problems"] == [] and added(first) == ADDED[form]
    again = imported(gateway, form, FILES[form].encode(), project=form)
    assert added(again) == {} and again["known"] == again["records"] == first["records"]
    which = "judged" if form == "openai-preferences" else "all"
    out = exported(gateway, form, project=form, which=which)
    assert records(form, out)
    back = imported(gateway, form, out.encode(), project=form)
    assert back["problems"] == [] and added(back) == {}


def test_every_format_has_an_example_here():
    assert FILES.keys() | {"jsonl"} == FORMATS.keys()


def test_ours_is_whole_and_moves_to_another_gateway(gateway, tmp_path):
    from tests.fakes.gateway import RunningGateway

    imported(gateway, "argilla", FILES["argilla"].encode(), project="argilla")
    text = exported(gateway, "jsonl")
    assert added(imported(gateway, "jsonl", text.encode())) == {}
    with RunningGateway(tmp_path, "http://127.0.0.1:9") as other:
        report = imported(other, "jsonl", text.encode())
        assert report["failed"] == 0 and report["turns"] == len(text.splitlines())
        moved = exported(other, "jsonl")
    before, after = ([json.loads(line) for line in one.splitlines()] for one in (text, moved))
    for one in before + after:
        for field in ("model_tag", "options", "filter_hits"):
            del one["turn"][field]
    assert after == before


def test_what_was_read_is_what_was_written(gateway):
    imported(gateway, "openwebui", FILES["openwebui"].encode(), project="openwebui")
    line = next(
        one
        for one in map(json.loads, exported(gateway, "jsonl", project="openwebui").splitlines())
        if "你好吗" in str(one)
    )
    turn, rating = line["turn"], line["ratings"][0]
    assert turn["messages"] == [{"role": "user", "content": "你好吗"}] and turn["reply"] == "我很好。"
    assert (turn["version"], turn["model_tag"], turn["subject"]) == ("", "imported:openwebui", PERSON)
    assert turn["options"]["source"]["model"] == "support" and turn["created_at"].startswith("2025-10-13T13:37:35")
    assert rating["verdict"] == "up" and rating["stars"] is None and rating["rater"] == PERSON
    assert rating["reasons"] == ["accurate_information", "6-of-10"] and rating["comment"] == "很好"
    sent = json.loads(exported(gateway, "openwebui", project="openwebui"))
    mine = next(one for one in sent if "你好吗" in json.dumps(one, ensure_ascii=False))
    assert mine["data"]["rating"] == 1 and mine["data"]["details"] == {"rating": 6} and mine["created_at"] == 1760434499
    history = mine["snapshot"]["chat"]["chat"]["history"]
    assert history["messages"][mine["meta"]["message_id"]]["content"] == "我很好。"


def test_alpaca_keeps_history_and_system(gateway):
    imported(gateway, "alpaca", FILES["alpaca"].encode(), project="alpaca")
    found = json.loads(exported(gateway, "alpaca", project="alpaca", which="all"))
    assert ALPACA[1] in found
    assert {
        "instruction": "识别并解释两个科学理论。\n细胞理论和日心说",
        "input": "",
        "output": ALPACA[0]["output"],
    } in found


def test_labels_given_in_a_tool_come_back_to_their_turns(gateway):
    imported(gateway, "alpaca", FILES["alpaca"].encode(), project="alpaca")
    for form in ("argilla", "labelstudio"):
        tasks = json.loads(exported(gateway, form, project="alpaca"))
        if form == "argilla":
            answers = {"accuracy": 1, "fluency": 2, "corrected_reply": "改过的回答", "tier": "reviewer"}
            tasks[0]["responses"] = {name: [{"value": value, "user_id": "u-9"}] for name, value in answers.items()}
        else:
            tasks[0]["annotations"] = [{**LABELSTUDIO[0]["annotations"][0]}]
        turn_id = tasks[0]["metadata" if form == "argilla" else "data"]["turn_id"]
        count = len(gateway.store.annotations(turn_id))
        report = imported(gateway, form, json.dumps(tasks).encode())
        assert added(report) == {"annotations": 1} and report["failed"] == 0
        assert len(gateway.store.annotations(turn_id)) == count + 1
    told = {one.annotator: one for one in gateway.store.annotations(turn_id)}
    assert told["u-9"].tier == "reviewer" and told["u-9"].corrected_reply == "改过的回答"
    assert told["mei@example.org"].seconds == 4.288 and told["mei@example.org"].fluency == 3
    good = [json.loads(line) for line in exported(gateway, "openai", project="alpaca").splitlines()]
    assert [one["messages"][-1]["content"] for one in good] == ["改过的回答"]
    pairs = [json.loads(line) for line in exported(gateway, "openai-preferences", project="alpaca").splitlines()]
    assert [one["preferred_output"][0]["content"] for one in pairs] == ["改过的回答"]
