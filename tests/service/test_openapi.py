"""The document tells of every route with shapes and examples that are right, and its page needs nobody else."""

import re

import httpx
import msgspec
import pytest
from litestar import Litestar
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from feedback.settings import PoolSettings, StoreSettings
from service.app import create_app
from service.errors import Failure
from service.openapi.document import ERROR_SHAPES, document_of, routes_of
from service.openapi.operations import OPERATIONS
from service.settings import GatewaySettings
from tests.fakes.browser import open_browser


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> Litestar:
    return create_app(GatewaySettings(), StoreSettings(data_dir=tmp_path_factory.mktemp("data")), PoolSettings())


def test_every_route_is_told_of_and_nothing_else(app):
    assert {name for name, _, _ in routes_of(app)} == OPERATIONS.keys()


@pytest.mark.parametrize("name", OPERATIONS)
def test_bodies_have_examples_in_their_shape(name):
    operation = OPERATIONS[name]
    bodies = [*([operation.body] if operation.body else []), *(b for some in operation.answers.values() for b in some)]
    for body in bodies:
        if body.type == "application/json":
            assert body.example is not None
        if body.shape is not None:
            msgspec.json.decode(msgspec.json.encode(body.example), type=body.shape)


def test_errors_are_in_the_shapes_that_it_tells(app):
    failure = Failure(status=400, code="invalid-input", message="No.", mend="Yes.")
    for speech, shape in ERROR_SHAPES.items():
        msgspec.json.decode(msgspec.json.encode(failure.body(speech)), type=shape)
    document = document_of(app)
    for path, method in (("/api/chat", "post"), ("/v1/models/{name}", "get"), ("/turns", "get")):
        schema = document["paths"][path][method]["responses"]["400"]["content"]["application/json"]["schema"]
        assert schema["$ref"].endswith({"/api": "OllamaError", "/v1/": "OpenAIError"}.get(path[:4], "OurError"))


def test_every_reference_leads_somewhere_and_ids_are_unique(app):
    document = document_of(app)
    text = msgspec.json.encode(document).decode()
    for name in re.findall(r'"#/components/schemas/([^"]+)"', text):
        assert name in document["components"]["schemas"], name
    operations = [one for path in document["paths"].values() for one in path.values()]
    ids = [one["operationId"] for one in operations]
    assert len(set(ids)) == len(ids) and all(one["summary"] and one["description"] for one in operations)


def test_parameters_are_those_of_the_routes(app):
    paths = document_of(app)["paths"]
    listed = {one["name"]: one for one in paths["/turns"]["get"]["parameters"]}
    assert listed["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}
    assert listed["cursor"]["in"] == "query"
    assert {one["name"] for one in paths["/api/chat"]["post"]["parameters"]} >= {"Idempotency-Key", "X-Store"}
    assert paths["/turns/{turn_id}"]["get"]["parameters"][0]["in"] == "path"
    assert paths["/health"]["get"]["security"] == [{}] and len(paths["/keys"]["get"]["security"]) > 1


def test_the_page_is_whole_and_names_no_other_host(gateway):
    page = httpx.get(f"{gateway.url}/schema")
    assert page.headers["content-type"].startswith("text/html") and "//" not in page.text.replace("<!doctype", "")
    assert "http" not in page.headers["content-security-policy"]
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    files = re.findall(r'(?:href|src)="(/schema/[^"]+)"', page.text)
    assert len(files) == 3
    for file in files:
        plain = httpx.get(gateway.url + file, headers={"accept-encoding": "identity"})
        packed = httpx.get(gateway.url + file, headers={"accept-encoding": "gzip"})
        assert plain.status_code == 200 and plain.content == packed.content and len(plain.content) > 100
        assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert "https:" not in httpx.get(f"{gateway.url}/schema/start.js").text
    assert "Apache License" in httpx.get(f"{gateway.url}/schema/LICENSE.txt").text
    for name in ("nosuch.js", "..%2f__init__.py", "swagger-ui.css.gz"):
        assert httpx.get(f"{gateway.url}/schema/{name}").status_code == 404


def test_the_document_is_served(gateway):
    answer = httpx.get(f"{gateway.url}/schema/openapi.json")
    assert answer.headers["content-type"] == "application/json" and answer.json()["openapi"] == "3.1.0"


def test_a_browser_reads_and_tries_it_and_asks_nobody_else(gateway):
    with open_browser() as browser:
        wait = WebDriverWait(browser, 20)
        browser.get(f"{gateway.url}/schema#/Operation/health")
        button = wait.until(lambda _: browser.find_element(By.CSS_SELECTOR, ".try-out__btn"))
        browser.execute_script("arguments[0].click()", button)
        button = wait.until(lambda _: browser.find_element(By.CSS_SELECTOR, ".execute"))
        browser.execute_script("arguments[0].click()", button)
        said = wait.until(lambda _: browser.find_element(By.CSS_SELECTOR, ".live-responses-table .microlight"))
        assert '"status": "up"' in said.text
        asked = browser.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
        assert len(asked) >= 4 and all(one.startswith((gateway.url, "data:")) for one in asked)
        assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
