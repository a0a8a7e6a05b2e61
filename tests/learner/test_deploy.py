"""Deploys against a server that behaves: what goes wrong leaves the champion, what goes right loses no request."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from feedback.errors import RatchetError, UnknownVersion, UpstreamRefused
from learner.alias import AliasFile, read_aliases, write_aliases
from learner.deploy import (
    ChampionMoved,
    NothingToRollBack,
    bootstrap,
    champion_of,
    promote,
    rollback,
)
from learner.placing import PromptMismatch, Site, SmokeTestFailed
from learner.registry import VersionCorrupt
from learner.settings import LearnerSettings
from learner.templates import Served
from learner.upstream import Upstream
from tests.fakes.learner import add_version, make_site
from tests.fakes.ollama import FakeOllama

ASK = {"messages": [{"role": "user", "content": "Hello?"}], "stream": False}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learner.deploy.GRACE_S", 0.02)
    monkeypatch.setattr("learner.upstream.PAUSES_S", (0.01, 0.01))


@pytest.fixture
def fake() -> Iterator[FakeOllama]:
    with FakeOllama(models=[]) as server:
        yield server


@pytest.fixture
def site(fake: FakeOllama, tmp_path: Path) -> Iterator[Site]:
    with Upstream(fake.url, timeout_s=3.0) as upstream:
        made = make_site(tmp_path / "data", upstream)
        bootstrap(made, made.registry.get("assistant", "1.0.0"))
        yield made


def serving(site: Site) -> str:
    alias = champion_of(site)
    assert alias is not None
    return alias.champion.tag


def test_the_first_version_is_the_base_pushed_loaded_and_named(fake: FakeOllama, tmp_path: Path) -> None:
    with Upstream(fake.url) as upstream:
        site = make_site(tmp_path / "data", upstream)
        assert champion_of(site) is None
        done = bootstrap(site, site.registry.get("assistant", "1.0.0"))
        assert done is not None
        assert (done.version, done.tag, done.previous, done.prompt_checked) == ("1.0.0", "assistant:1.0.0", None, True)
        assert serving(site) == "assistant:1.0.0"
        assert upstream.loaded() == ["assistant:1.0.0"]
        assert upstream.show("assistant:1.0.0")["system"] == "You are a small test."


def test_a_bootstrap_where_something_serves_loads_it_again_and_moves_nothing(site: Site) -> None:
    add_version(site, "cycle-1")
    promote(site, "1.1.0", "test")
    site.upstream.unload("assistant:1.1.0")
    site.upstream.delete("assistant:1.1.0")  # another host, or one that lost its disk
    before = site.alias_file.read_bytes()
    assert bootstrap(site, site.registry.get("assistant", "1.0.0")) is None
    assert site.alias_file.read_bytes() == before
    assert "assistant:1.1.0" in site.upstream.loaded()


def test_a_deploy_pushes_warms_swaps_drains_and_keeps_the_old_one_on_disk(site: Site, fake: FakeOllama) -> None:
    add_version(site, "cycle-1")
    done = promote(site, "1.1.0", "cycle-1", expected="1.0.0")
    assert (done.version, done.previous, done.drained) == ("1.1.0", "1.0.0", True)
    assert 0 < done.flip_ms < 50
    assert site.upstream.loaded() == ["assistant:1.1.0"]
    assert set(site.upstream.tags()) == {"assistant:1.0.0", "assistant:1.1.0"}
    alias = champion_of(site)
    assert alias is not None
    assert (alias.champion.version, alias.reason) == ("1.1.0", "cycle-1")
    assert [one.version for one in alias.previous] == ["1.0.0"]
    chats = [seen.body["model"] for seen in fake.history if seen.path == "/api/chat"]
    assert chats.count("assistant:1.1.0") >= 1  # the smoke test goes through the real serving path


def test_the_alias_names_a_version_only_once_it_is_loaded_and_answers(site: Site, fake: FakeOllama) -> None:
    add_version(site, "cycle-1")
    loaded_at_swap: list[list[str]] = []
    watched = threading.Event()

    def watch() -> None:
        while not watched.is_set():
            if serving(site) == "assistant:1.1.0":
                loaded_at_swap.append([name for name in fake.library.models if fake.library.is_loaded(name)])
                return
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    promote(site, "1.1.0", "test")
    watched.set()
    watcher.join()
    assert "assistant:1.1.0" in loaded_at_swap[0]


def test_requests_that_follow_the_alias_through_swaps_never_fail(site: Site, fake: FakeOllama) -> None:
    fake.chunk_delay_s = 0.002
    add_version(site, "cycle-1")
    failures: list[str] = []
    answered: list[str] = []
    stop = threading.Event()

    def ask_without_pause() -> None:
        with httpx.Client(base_url=fake.url, timeout=10) as client:
            while not stop.is_set():
                tag = serving(site)
                answer = client.post("/api/chat", json={**ASK, "model": tag})
                if answer.status_code != 200 or not answer.json()["message"]["content"]:
                    failures.append(answer.text)
                answered.append(tag)

    askers = [threading.Thread(target=ask_without_pause) for _ in range(3)]
    for asker in askers:
        asker.start()
    for _ in range(3):
        promote(site, "1.1.0", "forward")
        rollback(site, "back")
    stop.set()
    for asker in askers:
        asker.join()
    assert failures == []
    assert {"assistant:1.0.0", "assistant:1.1.0"} == set(answered)


def test_a_reply_under_way_on_the_old_version_ends_whole(site: Site, fake: FakeOllama) -> None:
    add_version(site, "cycle-1")
    promote(site, "1.1.0", "warm both")
    rollback(site, "back")
    fake.chunk_delay_s = 0.03
    fake.will_say(*["word "] * 30)
    lines: list[str] = []

    def stream() -> None:
        body = {"model": "assistant:1.0.0", "messages": ASK["messages"]}
        with httpx.stream("POST", f"{fake.url}/api/chat", json=body, timeout=10) as answer:
            lines.extend(answer.iter_lines())

    reader = threading.Thread(target=stream)
    reader.start()
    fake.wait(lambda: fake.library.busy.get("assistant:1.0.0", 0) > 0)
    done = promote(site, "1.1.0", "while it streams")
    reader.join()
    assert done.drained
    assert len(lines) == 31 and '"done": true' in lines[-1]
    assert "assistant:1.0.0" not in site.upstream.loaded()


def test_a_reply_longer_than_the_drain_does_not_hold_the_deploy_up(fake: FakeOllama, tmp_path: Path) -> None:
    with Upstream(fake.url) as upstream:
        site = make_site(tmp_path / "data", upstream, LearnerSettings(drain_timeout_s=0.2))
        bootstrap(site, site.registry.get("assistant", "1.0.0"))
        add_version(site, "cycle-1")
        fake.library.busy["assistant:1.0.0"] = 1
        done = promote(site, "1.1.0", "test")
        assert not done.drained
        assert serving(site) == "assistant:1.1.0"


def refused_create(site: Site, fake: FakeOllama) -> None:
    gguf = site.registry.gguf_path(site.registry.get("assistant", "1.1.0"))
    digest = "sha256:" + site.registry.get("assistant", "1.1.0").gguf_sha256
    fake.library.blobs[digest] = b"not what was sent"  # so HEAD finds it, and create finds it wanting
    assert gguf.exists()


def empty_smoke(site: Site, fake: FakeOllama) -> None:
    fake.will_say(" \n")


def broken_smoke(site: Site, fake: FakeOllama) -> None:
    fake.will_err_after("I am")


def tampered(site: Site, fake: FakeOllama) -> None:
    site.registry.gguf_path(site.registry.get("assistant", "1.1.0")).write_bytes(b"GGUFother")


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (refused_create, UpstreamRefused),
        (empty_smoke, SmokeTestFailed),
        (broken_smoke, UpstreamRefused),
        (tampered, VersionCorrupt),
    ],
)
def test_whatever_goes_wrong_before_the_swap_leaves_the_champion_serving(
    site: Site, fake: FakeOllama, trouble: object, error: type[RatchetError]
) -> None:
    add_version(site, "cycle-1")
    before = site.alias_file.read_bytes()
    trouble(site, fake)  # type: ignore[operator]
    with pytest.raises(error):
        promote(site, "1.1.0", "test")
    assert site.alias_file.read_bytes() == before
    assert site.upstream.loaded() == ["assistant:1.0.0"]
    fake.will_say("Still here.")
    assert site.upstream.chat("assistant:1.0.0", [{"role": "user", "content": "?"}]).text == "Still here."


def test_a_host_that_dies_in_the_middle_leaves_the_alias_and_a_second_try_succeeds(
    fake: FakeOllama, tmp_path: Path
) -> None:
    with FakeOllama(models=[]) as mortal:
        upstream = Upstream(mortal.url, timeout_s=1.0)
        site = make_site(tmp_path / "data", upstream)
        bootstrap(site, site.registry.get("assistant", "1.0.0"))
        add_version(site, "cycle-1")
        before = site.alias_file.read_bytes()
        mortal.will_stall()  # the smoke test gets no answer any more
        with pytest.raises(RatchetError):
            promote(site, "1.1.0", "test")
        assert site.alias_file.read_bytes() == before
        port = int(mortal.url.rsplit(":", 1)[1])
    with pytest.raises(RatchetError):
        promote(site, "1.1.0", "nobody there")
    assert site.alias_file.read_bytes() == before
    with FakeOllama(models=[], port=port):  # it comes back with an empty disk
        assert promote(site, "1.1.0", "again").version == "1.1.0"
        assert serving(site) == "assistant:1.1.0"
    upstream.close()


def test_a_model_prompted_otherwise_than_it_was_trained_is_not_deployed(site: Site) -> None:
    words = Served(family="chatml", template="{{ .Prompt }}", system="Be somebody else.", parameters={})
    add_version(site, "cycle-1", words=words)
    with pytest.raises(PromptMismatch, match="prompted otherwise"):
        promote(site, "1.1.0", "test")
    assert serving(site) == "assistant:1.0.0"


def test_a_version_judged_against_another_champion_is_not_swapped_in(site: Site) -> None:
    add_version(site, "cycle-1")
    add_version(site, "cycle-2")
    promote(site, "1.1.0", "by hand, meanwhile")
    with pytest.raises(ChampionMoved, match=r"judged against 1\.0\.0, but 1\.1\.0 serves"):
        promote(site, "1.2.0", "cycle-2", expected="1.0.0")
    assert serving(site) == "assistant:1.1.0"


def test_promoting_what_serves_already_changes_nothing(site: Site, fake: FakeOllama) -> None:
    before = site.alias_file.read_bytes()
    creates = sum(seen.path == "/api/create" for seen in fake.history)
    done = promote(site, "1.0.0", "again", expected="0.9.0")
    assert done.version == "1.0.0"
    assert site.alias_file.read_bytes() == before
    assert site.upstream.loaded() == ["assistant:1.0.0"]
    assert sum(seen.path == "/api/create" for seen in fake.history) == creates  # a serving name is never made anew


def test_rollbacks_walk_back_and_say_so_at_the_end(site: Site) -> None:
    add_version(site, "cycle-1")
    add_version(site, "cycle-2")
    promote(site, "1.1.0", "one")
    promote(site, "1.2.0", "two")
    assert rollback(site, "it was bad").version == "1.1.0"
    assert site.upstream.loaded() == ["assistant:1.1.0"]
    assert rollback(site, "so was this").version == "1.0.0"
    with pytest.raises(NothingToRollBack):
        rollback(site, "further")
    assert promote(site, "1.2.0", "better after all").previous == "1.0.0"
    alias = champion_of(site)
    assert alias is not None and [one.version for one in alias.previous] == ["1.0.0"]


def test_an_unknown_version_is_not_deployed(site: Site) -> None:
    with pytest.raises(UnknownVersion):
        promote(site, "7.0.0", "test")


def test_other_aliases_in_the_file_stay_as_they_are(site: Site) -> None:
    file = read_aliases(site.alias_file)
    other = file.aliases["assistant"]
    write_aliases(site.alias_file, AliasFile(aliases={**file.aliases, "helper": other}))
    add_version(site, "cycle-1")
    promote(site, "1.1.0", "test")
    assert read_aliases(site.alias_file).aliases["helper"] == other
    # 1.0.0 still serves as helper, so it must not be unloaded.
    assert set(site.upstream.loaded()) == {"assistant:1.0.0", "assistant:1.1.0"}


def test_the_same_weights_under_other_words_are_never_unloaded_under_the_champions_feet(site: Site) -> None:
    old = site.registry.get("assistant", "1.0.0")
    words = Served(family="chatml", template=old.template, system=old.system, parameters={"repeat_penalty": 1.1})
    site.registry.register_serving("assistant", "1.0.0", words)
    done = promote(site, "1.0.1", "gentler")
    assert done.drained and serving(site) == "assistant:1.0.1"
    assert set(site.upstream.loaded()) == {"assistant:1.0.0", "assistant:1.0.1"}
