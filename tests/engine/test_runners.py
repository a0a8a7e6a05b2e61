"""Loading and letting go: one load for all who wait, no reply cut by an unload, and children that die or never load."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from service.engine.server import serving
from service.settings import EngineSettings
from tests.fakes.engine_models import put_model
from tests.fakes.tiny_gguf import write_tiny_gguf

STORY = {"model": "smol", "prompt": "Once upon a time", "raw": True}
"""Goes on for as long as it may."""


@asynccontextmanager
async def client_of(models: Path, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(EngineSettings(port=0, **settings), models) as url,
        httpx.AsyncClient(base_url=url, timeout=60.0) as client,
    ):
        yield client


def children() -> list[psutil.Process]:
    return psutil.Process().children()


async def gone(seconds: float = 10.0) -> bool:
    """Whether every child ends within the time."""
    for _ in range(int(seconds / 0.05)):
        if not children():
            return True
        await asyncio.sleep(0.05)
    return False


async def loaded(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get("/api/ps")).json()["models"]
    return found


def story(tokens: int) -> dict[str, Any]:
    return STORY | {"options": {"num_predict": tokens, "temperature": 0}}


async def test_requests_that_come_at_once_share_one_load(models: Path) -> None:
    async with client_of(models) as client:
        asked = [client.post("/api/generate", json={"model": "tiny"}) for _ in range(8)]
        answers = await asyncio.gather(*asked)
        assert [answer.json()["done_reason"] for answer in answers] == ["load"] * 8
        assert len(children()) == 1
    assert children() == []


async def test_a_client_that_leaves_while_a_model_loads_does_not_spoil_it_for_others(models: Path) -> None:
    async with client_of(models) as client:
        leaving = asyncio.create_task(client.post("/api/generate", json={"model": "smol"}))
        staying = asyncio.create_task(client.post("/api/generate", json={"model": "smol"}))
        await asyncio.sleep(0.05)
        leaving.cancel()
        assert (await staying).json()["done_reason"] == "load"


async def test_an_unload_waits_for_the_reply_under_way(models: Path) -> None:
    async with client_of(models) as client:
        async with client.stream("POST", "/api/generate", json=story(60)) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            said = await client.post("/api/generate", json={"model": "smol", "keep_alive": 0})
            assert said.json()["done_reason"] == "unload"
            assert [model["name"] for model in await loaded(client)] == ["smol:latest"]
            last = [json.loads(line) async for line in lines][-1]
        assert (last["done"], last["eval_count"]) == (True, 60)
        assert await gone()
        assert await loaded(client) == []


async def test_a_reply_with_keep_alive_zero_is_whole_and_then_the_model_goes(models: Path) -> None:
    async with client_of(models) as client:
        answer = await client.post("/api/generate", json=story(5) | {"keep_alive": 0, "stream": False})
        assert answer.json()["eval_count"] == 5
        assert await loaded(client) == []
        assert await gone()


async def test_an_idle_model_goes_after_its_keep_alive_and_not_before(models: Path) -> None:
    async with client_of(models) as client:
        await client.post("/api/generate", json={"model": "tiny", "keep_alive": "2s"})
        (card,) = await loaded(client)
        left = dt.datetime.fromisoformat(card["expires_at"]) - dt.datetime.now(dt.UTC)
        assert 0.5 < left.total_seconds() <= 2.0
        assert card["size"] > 10_000_000 and card["context_length"] == 1024
        await asyncio.sleep(1.0)
        assert len(await loaded(client)) == 1
        await asyncio.sleep(1.5)
        assert await loaded(client) == []


async def test_a_negative_keep_alive_outlives_the_default(models: Path) -> None:
    async with client_of(models, keep_alive_s=0.2) as client:
        await client.post("/api/generate", json={"model": "tiny", "keep_alive": -1})
        await asyncio.sleep(0.6)
        (card,) = await loaded(client)
        assert dt.datetime.fromisoformat(card["expires_at"]).year > 2100


async def test_a_child_that_dies_ends_its_stream_with_an_error_and_is_loaded_anew(models: Path) -> None:
    async with client_of(models) as client:
        async with client.stream("POST", "/api/generate", json=story(900)) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            os.kill(children()[0].pid, signal.SIGKILL)
            last = [json.loads(line) async for line in lines][-1]
        assert "error" in last and "done" not in last
        again = await client.post("/api/generate", json=story(2) | {"stream": False})
        assert again.json()["eval_count"] == 2


async def test_a_client_that_leaves_stops_the_generation(models: Path) -> None:
    """With one reply at a time, the next would wait for the 900 tokens of the one that nobody reads."""
    async with client_of(models, parallel=1) as client:
        await client.post("/api/generate", json={"model": "smol"})
        started = time.monotonic()
        async with client.stream("POST", "/api/generate", json=story(900)) as answer:
            await anext(answer.aiter_lines())
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/api/generate", json=story(900) | {"stream": False}, timeout=0.5)
        after = (await client.post("/api/generate", json=story(20) | {"stream": False})).json()
        per_token_s = after["eval_duration"] / 1e9 / after["eval_count"]
        assert time.monotonic() - started < 300 * per_token_s


async def test_replies_beyond_the_parallel_ones_wait_and_all_come(models: Path) -> None:
    async with client_of(models, parallel=2) as client:
        asked = [client.post("/api/generate", json=story(8) | {"stream": False}) for _ in range(5)]
        assert [answer.json()["eval_count"] for answer in await asyncio.gather(*asked)] == [8] * 5


async def test_a_model_that_llama_cpp_cannot_load_is_refused_and_leaves_no_child(models: Path, tmp_path: Path) -> None:
    strange = write_tiny_gguf(tmp_path / "strange.gguf", architecture="nonsense")
    put_model(models / "engine", "strange", strange)
    async with client_of(models) as client:
        asked = [client.post("/api/generate", json={"model": "strange", "prompt": "x"}) for _ in range(3)]
        for answer in await asyncio.gather(*asked):
            assert answer.status_code == 500
            assert answer.json() == {"error": "llama-server process has terminated: exit status 1"}
        assert children() == []


async def test_a_load_that_takes_too_long_is_given_up(models: Path) -> None:
    async with client_of(models, load_timeout_s=0.01) as client:
        answer = await client.post("/api/generate", json={"model": "smol"})
        assert (answer.status_code, "timed out" in answer.text) == (500, True)
        assert await gone()


async def test_a_deleted_model_leaves_memory_and_two_tags_of_one_file_share_it(models: Path, tmp_path: Path) -> None:
    put_model(models / "engine", "doomed", write_tiny_gguf(tmp_path / "doomed.gguf", seed=9))
    async with client_of(models) as client:
        made = {"model": "doomed:too", "from": "doomed", "system": "Be brief.", "stream": False}
        assert (await client.post("/api/create", json=made)).json() == {"status": "success"}
        for name in ("doomed", "doomed:too"):
            await client.post("/api/generate", json={"model": name})
        assert len(children()) == 1
        await client.request("DELETE", "/api/delete", json={"model": "doomed:too"})
        assert len(children()) == 1, "the other tag still uses it"
        await client.request("DELETE", "/api/delete", json={"model": "doomed"})
        assert await gone()
        assert (await client.post("/api/generate", json={"model": "doomed"})).status_code == 404
