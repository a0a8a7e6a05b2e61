"""Tokenizers, snapshots, the pool, versions, requests, cycles, backups."""

import datetime as dt
import hashlib

import duckdb
import httpx
import msgspec
import pytest

from feedback.files import append_line, replace_file
from feedback.mint import new_id
from feedback.settings import PoolSettings
from learner.records import JournalEntry, Request, VersionManifest
from tests.fakes.gateway import RunningGateway
from tests.service.test_bad_requests import told

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def gateway(fake, tmp_path_factory):
    rules = PoolSettings(min_tokens=1, heldout_percent=0, validation_percent=0, min_train_rows=2)
    with RunningGateway(tmp_path_factory.mktemp("data"), fake.url, pool=rules) as running:
        yield running


def learn_from(gateway, prompt):
    ask = {"model": "assistant", "messages": [{"role": "user", "content": prompt}], "stream": False}
    turn_id = httpx.post(f"{gateway.url}/api/chat", json=ask).json()["turn_id"]
    assert httpx.post(f"{gateway.url}/turns/{turn_id}/ratings", json={"verdict": "up"}).status_code == 201
    return turn_id


def test_a_snapshot_is_asked_for_over_http(gateway, fake):
    assert told("ours", httpx.post(f"{gateway.url}/snapshots", json={})) == (409, "nothing-to-learn")
    for prompt in ("How tall is the Eiffel tower in metres?", "Which river flows through Vienna and Budapest?"):
        learn_from(gateway, prompt)
    assert httpx.get(f"{gateway.url}/pool").json()["in"] == 2
    answer = httpx.post(f"{gateway.url}/snapshots", json={"guard": ["Something else entirely?"]})
    assert answer.status_code == 201, answer.text
    manifest = answer.json()
    assert (gateway.data_dir / "snapshots" / manifest["id"] / "manifest.json").is_file()
    assert httpx.get(f"{gateway.url}/snapshots/{manifest['id']}").json() == manifest


@pytest.mark.parametrize("body", [{"guard": "x"}, {"tokeniser": "x"}, {"tokenizer": 5}])
def test_a_snapshot_of_a_wrong_shape(gateway, body):
    assert told("ours", httpx.post(f"{gateway.url}/snapshots", json=body)) == (400, "invalid-input")


@pytest.mark.parametrize("sha", ["0" * 64, "nosuch", "../../etc/passwd"])
def test_an_unknown_tokenizer(gateway, sha):
    assert told("ours", httpx.post(f"{gateway.url}/snapshots", json={"tokenizer": sha})) == (404, "unknown-tokenizer")


@pytest.mark.parametrize("name", ["nosuch", "%2e%2e", "..%2Fregistry", "a%00b"])
def test_unknown_snapshots_and_cycles(gateway, name):
    for kind in ("snapshots", "cycles"):
        answer = httpx.get(f"{gateway.url}/{kind}/{name}")
        assert answer.status_code == 404 and answer.json()["error"]["code"].startswith("unknown-")


def test_a_tokenizer_is_kept_under_its_hash(gateway):
    data = b'{"version": "1.0"}' + b" " * 2_000_000  # larger than ordinary bodies may be
    sha = hashlib.sha256(data).hexdigest()
    assert httpx.put(f"{gateway.url}/tokenizers/{sha}", content=data).json() == {"sha256": sha}
    assert (gateway.data_dir / "tokenizers" / f"{sha}.json").read_bytes() == data
    for wrong in ("0" * 64, "short", sha.upper()):
        assert told("ours", httpx.put(f"{gateway.url}/tokenizers/{wrong}", content=data)) == (400, "invalid-input")
    assert [file.name for file in (gateway.data_dir / "tokenizers").iterdir()] == [f"{sha}.json"]


def test_versions_are_what_the_learner_registered(gateway):
    for version in ("1.10.0", "1.2.0"):
        manifest = VersionManifest(
            model="assistant", version=version, created_at=NOW, kind="trained", parent="1.0.0", base_sha256="b" * 64,
            gguf="model.gguf", gguf_sha256="c" * 64,
        )  # fmt: skip
        file = gateway.data_dir / "registry" / "assistant" / version / "manifest.json"
        replace_file(file, msgspec.json.encode(manifest))
    (gateway.data_dir / "registry" / "assistant" / "2.0.0").mkdir()  # no manifest: not a version yet
    found = httpx.get(f"{gateway.url}/versions").json()
    assert [manifest["version"] for manifest in found["versions"]] == ["1.2.0", "1.10.0"]
    assert found["aliases"]["assistant"]["champion"]["version"] == "1.0.0"


def test_an_operators_request_becomes_a_file(gateway):
    file = gateway.data_dir / "registry" / "assistant" / "1.3.0" / "manifest.json"
    replace_file(file, b"{}")
    wish = {"kind": "promote", "alias": "assistant", "version": "1.3.0", "reason": "又好又快"}
    answer = httpx.post(f"{gateway.url}/requests", json=wish)
    assert answer.status_code == 202
    written = gateway.data_dir / "requests" / f"{answer.json()['request_id']}.json"
    kept = msgspec.json.decode(written.read_bytes(), type=Request)
    assert (kept.kind, kept.alias, kept.version, kept.reason) == ("promote", "assistant", "1.3.0", "又好又快")
    file.unlink()


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({"kind": "dance"}, (400, "invalid-input")),
        ({"kind": "promote", "version": "9.9.9"}, (404, "unknown-version")),
        ({"kind": "promote", "version": "../.."}, (400, "invalid-input")),
        ({"kind": "rollback", "alias": "../x"}, (400, "invalid-input")),
        ({"kind": "cycle", "when": "now"}, (400, "invalid-input")),
    ],
)
def test_requests_that_make_no_sense(gateway, wish, expected):
    before = set((gateway.data_dir / "requests").glob("*"))
    assert told("ours", httpx.post(f"{gateway.url}/requests", json=wish)) == expected
    assert set((gateway.data_dir / "requests").glob("*")) == before


def test_cycles_are_read_from_their_journals(gateway):
    ids = [new_id("cycle") for _ in range(2)]
    for cycle in sorted(ids):
        file = gateway.data_dir / "journal" / f"{cycle}.jsonl"
        append_line(file, msgspec.json.encode(JournalEntry(at=NOW, event="started", detail={"reason": "by hand"})))
        append_line(file, msgspec.json.encode(JournalEntry(at=NOW, event="step", step="train")))
    assert [state["cycle"] for state in httpx.get(f"{gateway.url}/cycles").json()["items"]] == sorted(ids, reverse=True)
    state = httpx.get(f"{gateway.url}/cycles/{ids[0]}").json()
    assert (state["status"], state["step"], state["reason"]) == ("running", "train", "by hand")


def test_a_backup_is_a_database_of_its_own(gateway, tmp_path):
    learn_from(gateway, "Which metal is liquid at room temperature?")
    answer = httpx.post(f"{gateway.url}/backups")
    assert answer.status_code == 201 and answer.json()["bytes"] > 0
    assert answer.json()["file"].startswith(str(gateway.data_dir / "backups"))
    with duckdb.connect(answer.json()["file"], read_only=True) as copy:
        assert copy.execute("SELECT count(*) FROM ratings").fetchone()[0] >= 1


def test_every_route_is_in_the_schema_with_a_summary(gateway):
    schema = httpx.get(f"{gateway.url}/schema/openapi.json").json()
    assert {"/api/chat", "/v1/chat/completions", "/turns/{turn_id}/ratings", "/snapshots", "/ready"} <= set(
        schema["paths"]
    )
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    assert all(operation.get("summary") for operation in operations)
    assert httpx.get(f"{gateway.url}/schema").status_code == 200


def read_all(gateway, path, field="items"):
    """Every page, two items each."""
    found, cursor = [], ""
    while cursor is not None:
        page = httpx.get(f"{gateway.url}{path}", params={"cursor": cursor, "limit": 2}).raise_for_status().json()
        assert len(page[field]) <= 2
        found += page[field]
        cursor = page["next_cursor"]
    return found


def test_lists_come_in_pages(gateway):
    for number in range(3):
        new = new_id("cycle")
        entry = JournalEntry(at=NOW, event="started", detail={"reason": f"{number}"})
        append_line(gateway.data_dir / "journal" / f"{new}.jsonl", msgspec.json.encode(entry))
        httpx.post(f"{gateway.url}/requests", json={"kind": "cycle"}).raise_for_status()
    cycles = [state["cycle"] for state in read_all(gateway, "/cycles")]
    assert len(cycles) >= 3 and cycles == sorted(set(cycles), reverse=True)
    requests = read_all(gateway, "/requests")
    ids = [one["request"]["request_id"] for one in requests]
    assert len(ids) >= 3 and ids == sorted(set(ids), reverse=True) and {one["state"] for one in requests} == {"waiting"}
    httpx.get(f"{gateway.url}/requests/{ids[0]}").raise_for_status()
    versions = [manifest["version"] for manifest in read_all(gateway, "/versions", "versions")]
    assert versions == ["1.2.0", "1.10.0"]
    assert read_all(gateway, "/words/hits") == []


@pytest.mark.parametrize("cursor", ["x", "????", "dHVybnMKdHVybi0x", "\u00e9", "A" * 5000])
def test_a_cursor_of_nobodys(gateway, cursor):
    for path in ("/cycles", "/requests", "/versions", "/words/hits", "/keys"):
        answer = httpx.get(f"{gateway.url}{path}", params={"cursor": cursor})
        assert told("ours", answer) == (400, "invalid-input")
