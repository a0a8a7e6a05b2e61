"""The gateway's client, against a small real server: what it sends, and how errors come back."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from feedback.errors import NothingToLearn, RatchetError, Unavailable
from learner.gateway import Gateway, GatewayDown


class FakeGateway:
    """Keeps tokenizers, freezes nothing, and answers as it is told."""

    def __init__(self) -> None:
        self.tokenizers: dict[str, bytes] = {}
        self.frozen: list[dict[str, Any]] = []
        self.answer: tuple[int, bytes] = (200, b'{"id": "snapshot-1"}')
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.tokenizers[self.path.rsplit("/", 1)[1]] = body
                self._say(201, b"{}")

            def do_POST(self) -> None:
                outer.frozen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._say(*outer.answer)

            def _say(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """A test's output is its own."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    made = FakeGateway()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(b'{"model": {}}')
    return path


def test_a_snapshot_is_asked_for_in_the_bases_own_tokens_and_with_the_suites_guarded(
    fake: FakeGateway, tokenizer: Path
) -> None:
    manifest = Gateway(fake.url + "/").freeze(tokenizer, ["法国的首都是哪里？"], "base.gguf")
    assert manifest == {"id": "snapshot-1"}
    sha256 = hashlib.sha256(tokenizer.read_bytes()).hexdigest()
    assert fake.tokenizers == {sha256: tokenizer.read_bytes()}
    assert fake.frozen == [{"tokenizer": sha256, "guard": ["法国的首都是哪里？"], "base_model": "base.gguf"}]


def test_the_gateways_error_is_the_same_error_here(fake: FakeGateway, tokenizer: Path) -> None:
    fake.answer = (409, b'{"error": {"code": "nothing-to-learn", "message": "Too few rows.", "mend": "Wait."}}')
    with pytest.raises(NothingToLearn) as found:
        Gateway(fake.url).freeze(tokenizer, [], "")
    assert (found.value.message, found.value.mend) == ("Too few rows.", "Wait.")


def test_an_error_of_a_newer_gateway_is_told_all_the_same(fake: FakeGateway, tokenizer: Path) -> None:
    fake.answer = (418, b'{"error": {"code": "teapot", "message": "Short and stout.", "mend": ""}}')
    with pytest.raises(RatchetError, match="Short and stout"):
        Gateway(fake.url).freeze(tokenizer, [], "")


def test_an_answer_in_nobodys_shape_is_said_to_be_one(fake: FakeGateway, tokenizer: Path) -> None:
    fake.answer = (502, b"<html>Bad gateway</html>")
    with pytest.raises(Unavailable, match="502"):
        Gateway(fake.url).freeze(tokenizer, [], "")


def test_a_gateway_that_does_not_answer_is_named(tokenizer: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    url = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(GatewayDown, match=url):
        Gateway(url).freeze(tokenizer, [], "")
