"""Deploys to several hosts: a version serves once each that answers has it, loaded and tried."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from learner.deploy import bootstrap, champion_of, promote, rollback
from learner.placing import Site, SmokeTestFailed
from learner.settings import LearnerSettings
from learner.upstream import Upstream
from learner.workshop import mirrors_of
from tests.fakes.learner import add_version, make_site
from tests.fakes.ollama import FakeOllama


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learner.deploy.GRACE_S", 0.02)
    monkeypatch.setattr("learner.upstream.PAUSES_S", (0.01,))


@pytest.fixture
def fakes() -> Iterator[list[FakeOllama]]:
    with FakeOllama(models=[]) as one, FakeOllama(models=[]) as other:
        yield [one, other]


@pytest.fixture
def site(fakes: list[FakeOllama], tmp_path: Path) -> Iterator[Site]:
    with Upstream(fakes[0].url, timeout_s=3.0) as upstream:
        made = msgspec.structs.replace(make_site(tmp_path / "data", upstream), mirrors=[fakes[1].url])
        bootstrap(made, made.registry.get("assistant", "1.0.0"))
        yield made


def on(fake: FakeOllama) -> tuple[set[str], set[str]]:
    """What a host has on its disk, and in memory."""
    with Upstream(fake.url) as upstream:
        return set(upstream.tags()), set(upstream.loaded())


def serving(site: Site) -> str:
    alias = champion_of(site)
    assert alias is not None
    return alias.champion.tag


def test_a_version_is_on_every_host_before_it_serves_and_the_old_one_leaves_memory(
    site: Site, fakes: list[FakeOllama]
) -> None:
    assert [on(fake) for fake in fakes] == [({"assistant:1.0.0"}, {"assistant:1.0.0"})] * 2
    add_version(site, "cycle-a")
    assert promote(site, "1.1.0", "test").missed == []
    both = {"assistant:1.0.0", "assistant:1.1.0"}
    assert [on(fake) for fake in fakes] == [(both, {"assistant:1.1.0"})] * 2
    assert [len(fake.chats) > 0 for fake in fakes] == [True, True]  # the smoke test was asked of each
    rollback(site, "test")
    assert serving(site) == "assistant:1.0.0"
    assert [on(fake)[1] for fake in fakes] == [{"assistant:1.0.0"}] * 2


def test_a_host_that_is_away_holds_nobody_up_and_gets_it_with_the_next_promotion(
    site: Site, fakes: list[FakeOllama]
) -> None:
    add_version(site, "cycle-a")
    port = int(fakes[1].url.rsplit(":", 1)[1])
    fakes[1].stop()
    assert promote(site, "1.1.0", "test").missed == [fakes[1].url]
    assert serving(site) == "assistant:1.1.0"
    with FakeOllama(models=[], port=port) as back:
        assert promote(site, "1.1.0", "again").missed == []
        assert on(back) == ({"assistant:1.1.0"}, {"assistant:1.1.0"})
        assert serving(site) == "assistant:1.1.0"


def test_a_host_that_answers_with_nothing_stops_the_deploy(site: Site, fakes: list[FakeOllama]) -> None:
    add_version(site, "cycle-a")
    fakes[1].answers = lambda model, messages: ""
    with pytest.raises(SmokeTestFailed):
        promote(site, "1.1.0", "test")
    assert serving(site) == "assistant:1.0.0"
    assert [on(fake)[1] for fake in fakes] == [{"assistant:1.0.0"}] * 2  # nor does the other keep it in memory


def test_the_other_hosts_are_those_of_the_settings_without_the_first() -> None:
    urls = ["http://a:1/", "http://b:1", "http://b:1/"]
    assert mirrors_of(LearnerSettings(upstream_url="http://a:1", upstream_urls=urls)) == ["http://b:1"]
    assert mirrors_of(LearnerSettings()) == []
