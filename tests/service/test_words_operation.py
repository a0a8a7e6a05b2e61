"""Word lists while the gateway serves: reading, changing, refusing, counting, logging."""

import json
import logging
import threading
import time

import httpx
import pytest

from tests.fakes.gateway import RunningGateway
from tests.service.test_bad_requests import told

OPTIONS = '[lists.insults]\nnoise = true\n[policy.watch]\nout = "mask"\n'


@pytest.fixture
def folder(tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "insults.csv").write_text(
        "word,category,action,severity\nbadger,insult,mask,\n坏人,insult,block,4\n", "utf-8"
    )
    (lists / "watch.jsonl").write_text('{"word": "otter", "category": "watch", "action": "flag"}\n', "utf-8")
    (lists / "words.toml").write_text(OPTIONS, "utf-8")
    return lists


@pytest.fixture
def gateway(fake, folder, tmp_path):
    with RunningGateway(tmp_path / "data", fake.url, words_dir=str(folder), words_reload_s=0.05) as running:
        yield running


def say(gateway, prompt):
    body = {"model": "assistant", "messages": [{"role": "user", "content": prompt}], "stream": False}
    answer = httpx.post(f"{gateway.url}/api/chat", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["message"]["content"]


def state(gateway, **query):
    return httpx.get(f"{gateway.url}/words", params=query).json()


def check(gateway, text, direction="in"):
    return httpx.post(f"{gateway.url}/words/check", json={"text": text, "direction": direction}).json()


def wait_for(condition, timeout_s=10):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def test_the_state_tells_lists_policy_and_the_last_load(gateway):
    told_of = state(gateway)
    lists = {one["name"]: one for one in told_of["lists"]}
    assert lists.keys() == {"insults.csv", "watch.jsonl", "inducement.jsonl"}
    assert lists["insults.csv"]["rules"] == 2 and lists["insults.csv"]["options"]["noise"] is True
    assert lists["insults.csv"]["actions"] == {"mask": 1, "block": 1}
    assert lists["inducement.jsonl"]["source"] == "shipped"
    assert told_of["policy"] == {"watch": {"in": None, "out": "mask", "replacement": None}}
    assert told_of["error"] is None and told_of["rules"] == sum(one["in_force"] for one in lists.values())


def test_checking_a_text_says_what_would_hit_and_counts_nothing(gateway):
    assert check(gateway, "An o-t-t-e-r? a bad-ger, 坏人") == {
        "hits": [
            {"rule": "insults.csv:2", "category": "insult", "action": "mask", "start": 16, "end": 23, "severity": 0},
            {"rule": "insults.csv:3", "category": "insult", "action": "block", "start": 25, "end": 27, "severity": 4},
        ],
        "text": "An o-t-t-e-r? a *******, **",
        "blocked": True,
    }
    assert check(gateway, "otter", "in") | {"hits": None} == {"hits": None, "text": "otter", "blocked": False}
    assert check(gateway, "otter", "out")["text"] == "*****"
    assert state(gateway)["statistics"]["hits"] == 0
    assert told("ours", httpx.post(f"{gateway.url}/words/check", json={"txt": "x"})) == (400, "invalid-input")


def test_hits_are_counted_by_category_and_rule(gateway, fake):
    fake.will_say("ott", "er")
    say(gateway, "bad ger badger otter")
    say(gateway, "坏人")
    counted = state(gateway, top=2)["statistics"]
    assert counted["categories"] == {
        "insult": {"in mask": 2, "in block": 1}, "watch": {"in flag": 1, "out mask": 1},
    }  # fmt: skip
    assert counted["hits"] == 5 and len(counted["rules"]) == 2
    assert counted["rules"][0] == {
        "rule": "insults.csv:2", "category": "insult", "action": "mask", "direction": "in", "hits": 2,
    }  # fmt: skip
    assert told("ours", httpx.get(f"{gateway.url}/words", params={"top": 5000})) == (400, "invalid-input")


def test_each_hit_is_logged_with_its_place_and_without_its_text(gateway, fake, caplog):
    fake.will_say("an ott", "er")
    with caplog.at_level(logging.INFO):
        say(gateway, "a bad.ger")
    lines = [record.fields for record in caplog.records if record.getMessage() == "word-hit"]
    assert [(line["rule"], line["category"], line["action"], line["direction"]) for line in lines] == [
        ("insults.csv:2", "insult", "mask", "in"), ("watch.jsonl:1", "watch", "mask", "out"),
    ]  # fmt: skip
    assert [(line["field"], line["start"], line["end"]) for line in lines] == [
        ("messages[0].content", 2, 9), ("reply", 3, 8),
    ]  # fmt: skip
    assert gateway.store.turn(lines[0]["turn"]).reply == "an *****"
    everything = json.dumps([record.__dict__ for record in caplog.records], default=str)
    assert "bad.ger" not in everything and "otter" not in everything


def test_the_text_of_a_hit_is_logged_only_where_a_setting_asks(fake, folder, tmp_path, caplog):
    with RunningGateway(tmp_path / "data", fake.url, words_dir=str(folder), words_log_text=True) as gateway:
        fake.will_say("an ott", "er")
        with caplog.at_level(logging.INFO):
            say(gateway, "a bad.ger")
    assert [record.fields["text"] for record in caplog.records if record.getMessage() == "word-hit"] == [
        "bad.ger", "otter",
    ]  # fmt: skip


def test_a_flood_of_hits_does_not_flood_the_log_nor_the_turn(gateway, caplog):
    with caplog.at_level(logging.INFO):
        say(gateway, "badger " * 3000)
    assert sum(record.getMessage() == "word-hit" for record in caplog.records) == 100
    (rest,) = [record.fields for record in caplog.records if record.getMessage() == "word-hits-not-logged"]
    assert rest["hits"] == 2900 and state(gateway)["statistics"]["categories"]["insult"]["in mask"] == 3000
    assert len(gateway.store.turn(rest["turn"]).filter_hits) == 1000


def test_a_changed_file_serves_soon(gateway, folder):
    assert check(gateway, "weasel")["hits"] == []
    (folder / "insults.csv").write_text("word,category\nweasel,insult\n", "utf-8")
    wait_for(lambda: check(gateway, "weasel")["text"] == "******")
    assert check(gateway, "badger")["hits"] == []
    (folder / "watch.jsonl").unlink()
    wait_for(lambda: check(gateway, "otter")["hits"] == [])


def test_a_bad_file_is_refused_whole_and_the_old_list_stays(gateway, folder):
    (folder / "insults.csv").write_text("word,action\nweasel,mask\nstoat,hide\n", "utf-8")
    wait_for(lambda: state(gateway)["error"] is not None)
    error = state(gateway)["error"]
    assert error["code"] == "invalid-words"
    assert "insults.csv, line 3: unknown action 'hide'" in error["message"] and "block" in error["mend"]
    assert check(gateway, "badger weasel")["text"] == "****** weasel"
    assert say(gateway, "坏人") == "抱歉，这个问题我无法回答。"
    (folder / "insults.csv").write_text("weasel\n", "utf-8")
    wait_for(lambda: state(gateway)["error"] is None)
    assert check(gateway, "badger weasel")["text"] == "badger ******"


def test_a_list_is_put_by_name_and_lies_on_disk(gateway, folder):
    answer = httpx.put(f"{gateway.url}/words/insults", content="weasel,insult,block\n")
    assert answer.status_code == 200 and answer.json()["error"] is None
    assert (folder / "insults.csv").read_text() == "weasel,insult,block\n"
    assert check(gateway, "weasel")["blocked"]
    assert httpx.put(f"{gateway.url}/words/名字.txt", content="张三\n").status_code == 200
    assert check(gateway, "张三")["hits"][0]["rule"] == "名字.txt:1"
    assert httpx.put(f"{gateway.url}/words/words.toml", content='[policy.words]\nin = "flag"\n').status_code == 200
    assert check(gateway, "张三")["hits"][0]["action"] == "flag"


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("insults.csv", "weasel,insult,hide\n", "invalid-words"),
        ("insults.csv", b"weasel\xff\n", "invalid-words"),
        ("new.jsonl", "{\n", "invalid-words"),
        ("insults.txt", "two lists of one name\n", "invalid-words"),
        ("words.toml", "[lists.none]\n", "invalid-words"),
        ("new", "no ending\n", "invalid-input"),
        ("..csv", "x\n", "invalid-input"),
        (".hidden.txt", "x\n", "invalid-input"),
        ("..%2Fup.txt", "x\n", "invalid-input"),
    ],
)
def test_a_bad_list_is_not_put(gateway, folder, name, content, code):
    before = {
        path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file() and "data" not in str(path)
    }
    status, found = told("ours", httpx.put(f"{gateway.url}/words/{name}", content=content))
    assert (status, found) in [(400, code), (404, "unknown-route")]
    assert check(gateway, "badger")["text"] == "******"
    after = {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file() and "data" not in str(path)}
    assert before == after


def test_several_lists_change_together_or_not_at_all(gateway, folder):
    def put(**lists):
        return httpx.put(
            f"{gateway.url}/words", json={"lists": {name.replace("__", "."): text for name, text in lists.items()}}
        )

    assert told("ours", put(insults__csv="weasel\n", watch__jsonl="{")) == (400, "invalid-words")
    assert (
        check(gateway, "badger weasel")["text"] == "****** weasel" and "badger" in (folder / "insults.csv").read_text()
    )
    assert state(gateway)["error"]["code"] == "invalid-words"
    assert put(insults__csv="weasel\n", watch__jsonl=None).status_code == 200
    assert check(gateway, "badger weasel otter")["text"] == "badger ****** otter"
    assert not (folder / "watch.jsonl").exists() and state(gateway)["error"] is None
    assert told("ours", httpx.put(f"{gateway.url}/words", json={"list": {}})) == (400, "invalid-input")


def test_the_files_are_read_again_when_asked(fake, folder, tmp_path):
    with RunningGateway(tmp_path / "data", fake.url, words_dir=str(folder), words_reload_s=0) as gateway:
        (folder / "insults.csv").write_text("weasel\n", "utf-8")
        time.sleep(0.2)
        assert check(gateway, "weasel")["hits"] == []
        assert httpx.put(f"{gateway.url}/words").status_code == 200
        assert check(gateway, "weasel")["text"] == "******"


def test_without_a_folder_nothing_can_be_put(fake, tmp_path):
    with RunningGateway(tmp_path / "data", fake.url) as gateway:
        assert told("ours", httpx.put(f"{gateway.url}/words/a.txt", content="x")) == (400, "invalid-input")
        assert httpx.put(f"{gateway.url}/words").status_code == 200


def test_lists_are_exchanged_under_load_and_no_request_fails(gateway, fake):
    """Two lists take turns; each prompt holds both words, and exactly one of them must be masked, never half of it."""
    lists = ("badger\n", "weasel\n")
    done, seen, failures = threading.Event(), [], []

    def ask():
        with httpx.Client(timeout=30) as client:
            while not done.is_set():
                body = {"model": "assistant", "messages": [{"role": "user", "content": "badger weasel"}]}
                answer = client.post(f"{gateway.url}/api/chat", json=body)
                lines = [json.loads(line) for line in answer.text.splitlines()]
                if answer.status_code != 200 or lines[-1].get("done_reason") != "stop":
                    failures.append(answer.text)
                seen.append("".join(line["message"]["content"] for line in lines))

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        for turn in range(20):
            answer = httpx.put(f"{gateway.url}/words/insults.csv", content=lists[turn % 2], timeout=30)
            assert answer.status_code == 200, answer.text
    finally:
        done.set()
        for asker in askers:
            asker.join(30)
    assert failures == [] and len(seen) > 20
    # What the model was sent, and what it echoed: under one list each, the reply is filtered as its prompt was.
    assert set(seen) == {"You said: ****** weasel", "You said: badger ******"}


def test_a_reply_under_way_keeps_the_list_that_it_began_with(gateway, fake):
    fake.will_say(*["bad", "ger. "] * 20)
    fake.chunk_delay_s = 0.02
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Go."}]}
    said = ""
    try:
        with httpx.stream("POST", f"{gateway.url}/api/chat", json=body) as answer:
            for number, line in enumerate(answer.iter_lines()):
                said += json.loads(line)["message"]["content"]
                if number == 1:
                    assert httpx.put(f"{gateway.url}/words/insults.csv", content="weasel\n").status_code == 200
                    assert check(gateway, "badger")["hits"] == []
    finally:
        fake.chunk_delay_s = 0
    assert said == "******. " * 20
