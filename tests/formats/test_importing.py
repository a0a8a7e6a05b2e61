"""What an import refuses and how it says so, what the word filter does, and that nothing is there twice or in half."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from service.cli.settings import load
from service.cli.transfer import export_feedback, import_feedback
from tests.formats.test_round_trips import added, exported, imported


def chat(prompt, reply):
    return json.dumps({"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}]})


def turns_of(gateway, project):
    return [json.loads(line)["turn"] for line in exported(gateway, "jsonl", project=project).splitlines()]


def test_bad_lines_are_told_by_number_and_cost_nobody_else(gateway):
    lines = [chat("a1", "b1"), '{"messages": [', chat("a2", ""), "", '{"messages": [{"role": "king", "content": "x"}]}',
             "[1]", chat("a3", "b3"), chat("a4", "\\ud83d").replace("\\\\", "\\")]  # fmt: skip
    report = imported(gateway, "openai", "\n".join(lines).encode(), project="bad")
    assert (report["records"], report["failed"], report["turns"]) == (7, 5, 2)
    assert sorted(one["line"] for one in report["problems"]) == [2, 3, 5, 6, 8]
    assert {one["code"] for one in report["problems"]} <= {"invalid-record", "invalid-input"}
    assert all(one["message"] and one["mend"] for one in report["problems"])
    assert {turn["reply"] for turn in turns_of(gateway, "bad")} == {"b1", "b3"}


def test_only_a_hundred_refusals_are_told_in_full(gateway):
    report = imported(gateway, "alpaca", b'{"instruction": ""}\n' * 700, project="many")
    assert report["failed"] == 700 and [one["line"] for one in report["problems"]] == list(range(1, 101))


def test_a_record_is_taken_whole_or_not_at_all(gateway):
    answers = {"accuracy": [{"value": 1, "user_id": "u"}], "fluency": [{"value": 3, "user_id": "u"}]}
    record = {"fields": {"prompt": "Q?", "reply": "R."}, "responses": answers}
    blocked = {**record, "responses": {**answers, "corrected_reply": [{"value": "oh fudge", "user_id": "u"}]}}
    half = {**record, "responses": {"accuracy": [{"value": 1, "user_id": "u"}]}}
    high = {**record, "responses": {**answers, "accuracy": [{"value": 9, "user_id": "u"}]}}
    nobody = {**record, "responses": {name: [{"value": one[0]["value"]}] for name, one in answers.items()}}
    report = imported(gateway, "argilla", json.dumps([blocked, half, high, nobody]).encode(), project="whole")
    codes = [one["code"] for one in sorted(report["problems"], key=lambda one: one["message"])]
    assert report["failed"] == 4 and added(report) == {} and turns_of(gateway, "whole") == []
    assert sorted(codes) == ["blocked-text", "invalid-annotation", "invalid-annotation", "invalid-record"]
    assert added(imported(gateway, "argilla", json.dumps([record]).encode(), project="whole")) == {
        "turns": 1,
        "annotations": 1,
    }


def test_texts_go_through_the_word_filter(gateway):
    content = "\n".join([chat("what fudge is", "A sweet."), chat("你是谁", "笨蛋一个"), chat("fine", "fine")])
    report = imported(gateway, "openai", content.encode(), project="words")
    assert report["turns"] == 3
    found = {turn["messages"][0]["content"]: turn for turn in turns_of(gateway, "words")}
    assert {asked: (turn["reply"], turn["status"]) for asked, turn in found.items()} == {
        "what ***** is": ("A sweet.", "blocked"),
        "你是谁": ("**一个", "whole"),
        "fine": ("fine", "whole"),
    }
    (hit,) = found["你是谁"]["filter_hits"]
    assert (hit["field"], hit["direction"], hit["start"], hit["end"]) == ("reply", "out", 0, 2)


def test_two_at_once_add_what_one_adds(gateway):
    content = "\n".join(chat(f"question {at}", f"answer {at}") for at in range(600)).encode()
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: imported(gateway, "openai", content, project="race"), range(4)))
    assert sum(one["turns"] for one in reports) == 600 and len(turns_of(gateway, "race")) == 600
    assert all(one["turns"] + one["known"] == 600 for one in reports)


def test_a_dry_run_stores_nothing(gateway):
    report = imported(gateway, "openai", chat("dry", "run").encode(), project="dry", dry_run="true")
    assert report["turns"] == 1 and report["dry_run"] and turns_of(gateway, "dry") == []


def test_an_upload_that_is_cut_leaves_whole_batches_and_is_sent_again(gateway):
    content = "\n".join(chat(f"cut {at}", "x" * 4000) for at in range(400)).encode()

    def half():
        yield content[: len(content) * 3 // 4]
        raise InterruptedError

    with pytest.raises(InterruptedError):
        httpx.post(f"{gateway.url}/imports", params={"format": "openai", "project": "cut"}, content=half())
    report = imported(gateway, "openai", content, project="cut")
    assert report["turns"] + report["known"] == 400 and len(turns_of(gateway, "cut")) == 400


def test_more_than_a_body_may_have_is_taken_in_a_stream(gateway):
    content = "\n".join(chat(f"long {at}", "长" * 2000) for at in range(500)).encode()
    assert len(content) > 2 * gateway.gateway.body_limit_bytes
    assert imported(gateway, "openai", content, project="long")["turns"] == 500
    assert len(exported(gateway, "openai", project="long", which="all").splitlines()) == 500


@pytest.mark.parametrize(
    ("path", "asked"),
    [("/imports", {}), ("/imports", {"format": "csv"}), ("/imports", {"format": "openai", "tier": "king"}),
     ("/exports/feedback", {"format": "csv"}), ("/exports/feedback", {"which": "best"}),
     ("/exports/feedback", {"since": "yesterday"})],
)  # fmt: skip
def test_what_is_asked_wrongly_is_refused(gateway, path, asked):
    method = "POST" if path == "/imports" else "GET"
    answer = httpx.request(method, gateway.url + path, params=asked)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "invalid-input"


def test_exports_are_bounded_by_time(gateway):
    imported(gateway, "openai", chat("when", "now").encode(), project="time")
    assert len(exported(gateway, "jsonl", project="time", since="2020-01-01").splitlines()) == 1
    assert exported(gateway, "jsonl", project="time", until="2020-01-01") == ""
    assert json.loads(exported(gateway, "argilla", project="time", until="2020-01-01")) == []


def test_the_commands_say_what_became_of_a_file(gateway, tmp_path, capsys):
    toml = tmp_path / "ratchet.toml"
    port = gateway.url.rpartition(":")[2]
    toml.write_text(f'[gateway]\nport = {port}\n[store]\ndata_dir = "{gateway.data_dir}"\n')
    settings = load(toml, {})
    file, to = tmp_path / "in.jsonl", tmp_path / "out.json"
    file.write_text("\n".join([chat("命令", "行"), "{"]), "utf-8")
    assert import_feedback(settings, file, {"format": "openai", "project": "cli"}) == 1
    said = capsys.readouterr()
    assert said.out.startswith("2 records: 1 turns, 0 ratings") and f"{file}:2: " in said.err
    assert export_feedback(settings, to, {"format": "sharegpt", "project": "cli", "which": "all"}) == 0
    assert json.loads(to.read_text("utf-8"))[0]["conversations"][1] == {"from": "gpt", "value": "行"}
    with pytest.raises(Exception, match="never overwritten"):
        export_feedback(settings, to, {"format": "sharegpt"})
