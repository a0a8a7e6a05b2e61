"""Who may ask for which name: versions by number, other models, names by key; and who answers."""

import datetime as dt

import httpx
import pytest

from feedback.errors import Forbidden, UnknownAlias, UnknownVersion
from learner.alias import Alias, AliasFile, Served, write_aliases
from service.aliases import AliasBook, route
from service.callers import NOBODY, Caller
from service.settings import GatewaySettings
from tests.fakes.gateway import RunningGateway
from tests.fakes.ollama import FakeOllama

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
OLD, CHAMPION, CHALLENGER = (Served(version=f"1.{minor}.0", tag=f"assistant:1.{minor}.0") for minor in range(3))
UPSTREAM = frozenset({"assistant:1.1.0", "assistant:candidate-7-s80", "qwen3:4b", "phi:latest", "secret:1"})


def alias(share=0.0):
    return Alias(champion=CHAMPION, challenger=CHALLENGER, challenger_share=share, changed_at=NOW, previous=[OLD])


@pytest.fixture
def book(tmp_path):
    """A function that makes a book over two aliases."""
    write_aliases(tmp_path / "alias.json", AliasFile(aliases={"assistant": alias(), "tutor": alias()}))
    registered = tmp_path / "registry" / "assistant" / "1.4.0"
    registered.mkdir(parents=True)
    (registered / "manifest.json").write_text("{}")

    def make(**settings):
        return AliasBook(tmp_path / "alias.json", GatewaySettings(**settings), lambda: UPSTREAM)

    return make


def served(book, name, **caller):
    return book.resolve(name, Caller(**caller)).served("conversation-1")


def test_a_version_by_number_is_for_those_who_may(book):
    for role in ("reviewer", "expert", "operator"):
        assert served(book(), "assistant@1.0.0", role=role) == OLD
        assert served(book(), "assistant@1.2.0:latest", role=role) == CHALLENGER
        assert served(book(), "assistant@1.4.0", role=role) == Served(version="1.4.0", tag="assistant:1.4.0")
    for role in ("user", "annotator"):
        with pytest.raises(Forbidden, match="role reviewer and above"):
            served(book(), "assistant@1.0.0", role=role)
    assert served(book(pins="user"), "assistant@1.0.0", role="user") == OLD
    assert served(book(), "assistant@1.0.0", aliases=("assistant@1.0.0",)) == OLD  # a key made for just that
    with pytest.raises(Forbidden):
        served(book(), "assistant@1.2.0", aliases=("assistant", "assistant@1.0.0"))


@pytest.mark.parametrize("version", ["9.9.9", "1.4", "../../registry/assistant/1.4.0", "1.4.0/", "", "candidate-7-s80"])
def test_a_version_that_is_none_is_told_so(book, version):
    with pytest.raises((UnknownVersion, UnknownAlias)):
        served(book(allowed_models=["*"]), f"assistant@{version}", role="operator")


def test_other_models_are_those_allowed_and_there_and_have_no_version(book):
    some = book(allowed_models=["qwen3:*", "phi", "gone:*"])
    assert served(some, "qwen3:4b") == served(some, "Qwen3:4B") == Served(version="", tag="qwen3:4b")
    assert served(some, "phi").tag == "phi:latest" and some.resolve("phi").name == "phi:latest"
    assert some.others() == ["phi:latest", "qwen3:4b"]
    for name in ("secret:1", "gone:1", "qwen3:4b/../secret:1", "qwen3:4b\n", "qwen3", ""):
        with pytest.raises(UnknownAlias, match=r"Known names: assistant, tutor, phi:latest, qwen3:4b\."):
            served(some, name, role="operator")
    with pytest.raises(UnknownAlias, match=r"Known names: assistant, tutor\."):
        served(book(), "qwen3:4b", role="operator")


@pytest.mark.parametrize(
    "name",
    [
        "assistant:1.1.0", "Assistant:1.1.0", "ASSISTANT:1.1.0", "library/assistant:1.1.0", "assistant:candidate-7-s80",
        "registry.ollama.ai/library/assistant:1.1.0", "Registry.Ollama.ai/Library/Assistant:1.1.0", "assistant:1.1.0 ",
        "http://registry.ollama.ai/library/assistant:1.1.0", "library//assistant:1.1.0", "./assistant:1.1.0",
    ],
)  # fmt: skip
def test_no_spelling_of_a_versions_tag_is_a_way_around_the_alias(book, name, tmp_path):
    blind = AliasBook(tmp_path / "alias.json", GatewaySettings(allowed_models=["*"]))  # no upstream was seen yet
    for one in (book(allowed_models=["*"]), blind):
        with pytest.raises(UnknownAlias):
            served(one, name, role="operator")


def test_a_key_for_some_names_knows_of_no_other(book):
    all_allowed = book(allowed_models=["*"])
    tutor = Caller(role="operator", aliases=("tutor", "qwen3:4b"))
    assert set(all_allowed.visible(tutor)) == {"tutor"} and all_allowed.others(tutor) == ["qwen3:4b"]
    assert all_allowed.resolve("tutor:latest", tutor).name == "tutor"
    assert all_allowed.resolve("tutor@1.0.0", tutor).name == "tutor"
    for name in ("assistant", "assistant:latest", "assistant@1.0.0", "phi"):
        with pytest.raises(UnknownAlias, match=r"Known names: tutor, qwen3:4b\."):
            all_allowed.resolve(name, tutor)
    assert not all_allowed.visible(NOBODY) and not all_allowed.others(NOBODY)


def test_a_growing_share_only_moves_some_to_the_challenger(book):
    names = [f"conversation-{number}" for number in range(4000)]
    chosen = {
        share: {name for name in names if route(alias(share), name) == CHALLENGER} for share in (0, 0.05, 0.25, 1)
    }
    assert not chosen[0] and chosen[0] <= chosen[0.05] <= chosen[0.25] <= chosen[1] == set(names)
    for share, found in chosen.items():
        assert abs(len(found) / 4000 - share) < 0.03
    other = alias(0.25).__class__(
        champion=CHAMPION, challenger=Served(version="1.3.0", tag="assistant:1.3.0"), challenger_share=0.25,
        changed_at=NOW,
    )  # fmt: skip
    again = {name for name in names if route(other, name) != CHAMPION}
    assert 0.15 < len(again & chosen[0.25]) / len(again) < 0.35  # the next challenger is tried by others


def test_a_persons_share_holds_over_their_conversations(tmp_path):
    write_aliases(tmp_path / "alias.json", AliasFile(aliases={"assistant": alias(0.5)}))
    by_key = AliasBook(tmp_path / "alias.json", GatewaySettings(sticky_by="key"))
    for number in range(20):
        target = by_key.resolve("assistant", Caller(subject=f"person-{number}"))
        assert len({target.served(f"conversation-{one}") for one in range(20)}) == 1
    nobody_known = by_key.resolve("assistant", Caller())
    assert {nobody_known.served(f"conversation-{one}") for one in range(40)} == {CHAMPION, CHALLENGER}


@pytest.fixture(scope="module")
def served_here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with (
        FakeOllama(["assistant:1.1.0", "assistant:1.0.0", "qwen3:4b"]) as one,
        FakeOllama(["assistant:1.1.0", "phi:latest"]) as other,
    ):
        write_aliases(folder / "alias.json", AliasFile(aliases={"assistant": alias()}))
        urls = [one.url, other.url]
        with RunningGateway(folder, one.url, upstream_urls=urls, allowed_models=["*"], upstream_check_s=0.1) as gateway:
            one.wait(lambda: bool(gateway.state.parts.upstream.tags))
            yield gateway, one, other


def test_lists_show_all_that_any_host_has(served_here):
    gateway, _, _ = served_here
    tags = httpx.get(f"{gateway.url}/api/tags").json()["models"]
    assert [model["name"] for model in tags] == ["assistant:latest", "phi:latest", "qwen3:4b"]
    assert all(model["digest"] for model in tags)
    models = httpx.get(f"{gateway.url}/v1/models").json()["data"]
    assert {model["id"]: model["owned_by"] for model in models} == {
        "assistant": "ratchet", "phi:latest": "upstream", "qwen3:4b": "upstream",
    }  # fmt: skip
    assert httpx.post(f"{gateway.url}/api/show", json={"model": "phi"}).status_code == 200
    assert httpx.get(f"{gateway.url}/v1/models/assistant@1.0.0").json()["version"] == "1.0.0"
    for model in ("phi", "assistant"):
        ask = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": False}
        assert httpx.post(f"{gateway.url}/api/chat", json=ask).status_code == 200
    loaded = {model["name"] for model in httpx.get(f"{gateway.url}/api/ps").json()["models"]}
    assert loaded == {"assistant:latest", "phi:latest"}


@pytest.mark.parametrize(
    ("asked", "version", "tag", "header"),
    [
        ("assistant", "1.1.0", "assistant:1.1.0", "1.1.0"),
        ("assistant@1.0.0", "1.0.0", "assistant:1.0.0", "1.0.0"),
        ("qwen3:4b", "", "qwen3:4b", "qwen3:4b"),
    ],
)
def test_the_answer_and_the_turn_say_who_answered(served_here, asked, version, tag, header):
    gateway, _, _ = served_here
    ask = {"model": asked, "messages": [{"role": "user", "content": "Hi"}], "stream": False}
    answer = httpx.post(f"{gateway.url}/v1/chat/completions", json=ask)
    assert answer.status_code == 200 and answer.headers["x-model-version"] == header
    assert answer.json()["model"] == asked
    turn = gateway.store.turn(answer.headers["x-turn-id"])
    assert (turn.version, turn.model_tag) == (version, tag)


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_an_unknown_name_is_a_404_in_the_dialects_own_shape(served_here, path):
    gateway, _, _ = served_here
    answer = httpx.post(gateway.url + path, json={"model": "nobody", "messages": [{"role": "user", "content": "Hi"}]})
    assert answer.status_code == 404
    error = answer.json()["error"]
    sentence = error if path == "/api/chat" else error["message"]
    assert "nobody" in sentence and "Known names: assistant, phi:latest, qwen3:4b." in sentence
