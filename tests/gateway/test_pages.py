from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

import toolkit
from tests.gateway.demo import FakeDesk, app
from toolkit.gateway import docs, pages
from toolkit.templates import TEMPLATES

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(app(FakeDesk()))


def get(client: TestClient, path: str, accept: str = BROWSER) -> Any:
    return client.get(path, headers={"Accept": accept})


def directives(answer: Any) -> dict[str, str]:
    policy = answer.headers["content-security-policy"]
    pairs = (item.strip().partition(" ") for item in policy.split(";"))
    return {name: value for name, _, value in pairs}


def hashes_of(page: str, tag: str) -> list[str]:
    """Of each inline element, as a browser makes them."""
    texts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts]


def test_a_browser_gets_the_page(client: TestClient) -> None:
    answer = get(client, "/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "", "application/json, text/html", "text/plain"]
)
def test_a_program_gets_the_index(client: TestClient, accept: str) -> None:
    answer = get(client, "/", accept)
    assert answer.headers["content-type"] == "application/json"
    index = answer.json()
    assert index["version"] == toolkit.__version__
    assert index["models"] == ["ocr", "ocr.det", "ocr.rec"]
    assert index["endpoints"]["predict"] == "POST /predict/{model}"


def test_the_index_tells_of_each_model_what_the_gate_chose_and_found(client: TestClient) -> None:
    details = get(client, "/", "application/json").json()["details"]
    assert details[2] == {
        "name": "ocr.rec",
        "kind": "model",
        "precision": "bf16",
        "digest": "979e5daa0fc7",
        "verdict": "inconclusive",
    }
    assert [each["kind"] for each in details] == ["pipeline", "model", "model"]


def test_the_index_tells_how_large_a_body_may_be() -> None:
    limited = TestClient(app(FakeDesk(max_body_bytes=12345)))
    assert get(limited, "/", "application/json").json()["limits"] == {"max_body_bytes": 12345}


@pytest.mark.parametrize("accept", [BROWSER, "application/json"])
def test_no_cache_takes_the_page_for_the_index_or_the_other_way_round(
    client: TestClient, accept: str
) -> None:
    answer = get(client, "/", accept)
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["cache-control"] in ("no-cache", "no-store")


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_may_load_nothing_from_elsewhere_and_be_shown_in_no_frame(
    client: TestClient, path: str
) -> None:
    allowed = directives(get(client, path))
    assert allowed["default-src"] == allowed["frame-ancestors"] == allowed["form-action"] == "'none'"
    assert allowed["connect-src"] == "'self'"
    assert "unsafe" not in str(allowed)
    sources = " ".join(value for name, value in allowed.items() if name.endswith("-src"))
    known = {"'none'", "'self'", "blob:", "data:"}
    assert all(source in known or source.startswith("'sha256-") for source in sources.split())


def test_of_scripts_and_styles_in_the_page_only_its_own_may_run(client: TestClient) -> None:
    answer = get(client, "/")
    allowed = directives(answer)
    assert hashes_of(answer.text, "script") == [allowed["script-src"]]
    assert hashes_of(answer.text, "style") == [allowed["style-src"]]
    assert allowed["require-trusted-types-for"] == "'script'"


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_names_no_address_of_another_host(client: TestClient, path: str) -> None:
    page = get(client, path).text
    # What names a kind of document is not fetched.
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}


def test_nothing_in_the_page_makes_html_of_text() -> None:
    script = "".join(path.read_text() for path in (TEMPLATES / "web").glob("*.js"))
    assert (
        re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|Function\(", script)
        == []
    )
    assert "</script" not in script


def test_both_languages_have_the_same_words() -> None:
    text = (TEMPLATES / "web" / "words.js").read_text()
    english, chinese = text.split("  zh: {")[0].split("  en: {")[1], text.split("  zh: {")[1].split("\n};")[0]
    names = [
        re.findall(r"(?:^|[ {])(\w+):(?= )", re.sub(r'"[^"]*"', '""', part)) for part in (english, chinese)
    ]
    assert len(names[0]) > 50
    assert sorted(names[0]) == sorted(names[1])


def test_words_that_the_page_asks_for_are_there() -> None:
    folder = TEMPLATES / "web"
    words = (folder / "words.js").read_text()
    asked = set(re.findall(r'data-(?:words|hint|label|touch)="(\w+)"', (folder / "index.html").read_text()))
    asked |= {
        word
        for name in ("answer", "page", "make")
        for word in re.findall(r'say\("(\w+)"', (folder / f"{name}.js").read_text())
    }
    assert {word for word in asked if f"\n    {word}:" not in words} == set()


def test_the_documentation_is_served_from_the_installed_package(client: TestClient) -> None:
    page = get(client, "/docs")
    assert page.status_code == 200
    files = re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text)
    assert sorted(files) == ["docs/swagger-ui-bundle.js", "docs/swagger-ui.css"]
    for name in files:
        answer = client.get(f"/{name}")
        assert answer.status_code == 200
        assert len(answer.content) > 100_000
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"].startswith(("text/css", "text/javascript"))


@pytest.mark.parametrize(
    "name",
    [
        "index.html",
        "swagger-ui.js",
        "swagger-ui.css.map",
        "../swagger-ui.css",
        "..%2f..%2f__init__.py",
        "%2e%2e/%2e%2e/__init__.py",
        "%2fetc%2fpasswd",
        "..%5c..%5c__init__.py",
        "",
    ],
)
def test_no_other_file_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404


def test_the_documentation_describes_the_same_as_the_openapi_document(client: TestClient) -> None:
    document, shown = client.get("/openapi.json").json(), client.get("/docs/openapi.json").json()
    # The version that Swagger UI 4 knows.
    assert shown["openapi"].startswith("3.0.")
    assert shown["paths"].keys() == document["paths"].keys() >= {"/", "/predict/{model}"}
    assert not [path for path in document["paths"] if path.startswith("/docs")]


def test_a_point_of_two_numbers_and_an_optional_text_are_told_in_the_terms_of_openapi_3_0() -> None:
    number = {"type": "number"}
    point = {"type": "array", "prefixItems": [number, number], "minItems": 2, "maxItems": 2}
    mixed = {"type": "array", "prefixItems": [number, {"type": "string"}]}
    maybe = {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "Maybe"}
    document = {"openapi": "3.1.0", "components": {"schemas": {"a": point, "b": mixed, "c": maybe}}}
    assert docs.for_swagger_4(document)["components"]["schemas"] == {
        "a": {"type": "array", "items": number, "minItems": 2, "maxItems": 2},
        "b": {"type": "array", "items": {}},
        "c": {"anyOf": [{"type": "string"}], "nullable": True, "title": "Maybe"},
    }
    assert document["openapi"] == "3.1.0"
    assert "prefixItems" in point


def test_the_index_is_described_in_the_openapi_document(client: TestClient) -> None:
    content = client.get("/openapi.json").json()["paths"]["/"]["get"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/IndexBody"}
    assert "text/html" in content


def test_every_endpoint_of_the_index_is_an_operation_or_a_page() -> None:
    assert all(re.fullmatch(r"(GET|POST) /\S*", endpoint) for endpoint in pages.ENDPOINTS.values())
