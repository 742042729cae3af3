"""The OpenAPI document of the admin API: whole, true, and held to by Schemathesis over a real socket."""

import asyncio
import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from tests.sandbox.nagad_shop import NagadShop
from tests.sandbox.shop import FakeClock, Shop
from tests.sandbox.sslcommerz_shop import SslcommerzShop
from vextrus_payments_sandbox import SandboxServer
from vextrus_payments_sandbox.gateways import FACTS, PLAYED
from vextrus_payments_sandbox.openapi import ASSETS, OPERATIONS, PREFIX, routes_of

WITHOUT_END = "/_sandbox/events"
"""A stream: it has tests of its own (test_feed.py), and would keep Schemathesis waiting."""
EXAMPLES = 5
CASES_MIN = 350


async def document_of(http: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get("/_sandbox/openapi.json")).json()
    return found


def test_every_route_of_the_admin_api_is_described(app: Starlette) -> None:
    there = routes_of(app.routes)
    assert sorted(set(there) - set(OPERATIONS)) == [], "openapi.OPERATIONS does not describe them"
    assert sorted(set(OPERATIONS) - set(there)) == [], "openapi.OPERATIONS describes what is not there"
    assert len(there) == len(set(there)) > 20


def test_what_is_left_out_is_for_pages_alone(app: Starlette) -> None:
    """Whoever adds a route to ASSETS to please the test above would have to be seen here."""
    assert sorted(ASSETS) == ["/_sandbox/live.js", "/_sandbox/style.css"]
    below = {route.path for route in app.routes if isinstance(route, Route) and route.path.startswith(PREFIX)}
    assert below >= {"/_sandbox/style.css"}


async def test_it_names_every_outcome_that_a_gateway_approves(shop: Shop) -> None:
    nagad = await NagadShop.of(shop.http, FakeClock())
    opened = {
        "bkash": (await shop.create())["paymentID"],
        "nagad": (await nagad.ready())[0],
        "sslcommerz": await SslcommerzShop(shop.http).open(),
    }
    for gateway, reference in opened.items():
        wish = {"gateway": gateway, "reference": reference, "outcome": "no such outcome"}
        answer = await shop.http.post("/_sandbox/approve", json=wish)
        assert answer.json()["error"] == f"outcome is one of {', '.join(FACTS[gateway].approvals)}"
    approval = (await document_of(shop.http))["components"]["schemas"]["Approval"]["properties"]
    told = {outcome for facts in FACTS.values() for outcome in facts.approvals}
    assert set(approval["outcome"]["enum"]) == told > {"success", "risky", "expired"}


async def test_the_document_is_served_and_whole(shop: Shop) -> None:
    document = await document_of(shop.http)
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": "http://127.0.0.1:28600"}]
    described = {
        (method.upper(), path.removeprefix(PREFIX))
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert described == set(OPERATIONS)
    ids = [one["operationId"] for operations in document["paths"].values() for one in operations.values()]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z][a-z_]+", one) for one in ids)


async def test_every_reference_leads_somewhere_and_every_schema_is_used(shop: Shop) -> None:
    document = await document_of(shop.http)
    named = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))
    assert named == set(document["components"]["schemas"])


async def test_every_parameter_of_a_path_is_described(shop: Shop) -> None:
    for path, operations in (await document_of(shop.http))["paths"].items():
        for operation in operations.values():
            told = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"]
            assert told == re.findall(r"\{(\w+)\}", path)


def test_without_a_description_a_route_is_missed(app: Starlette) -> None:
    """The test above bites."""
    app.routes.append(Route("/_sandbox/secret_door", lambda request: None, methods=["POST"]))
    assert set(routes_of(app.routes)) - set(OPERATIONS) == {("POST", "secret_door")}


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "/_sandbox/faults", "DELETE, GET, HEAD, POST"),
        ("GET", "/_sandbox/reset", "POST"),
        ("POST", "/_sandbox/webhooks/bkash", "DELETE, GET, HEAD, PUT"),
    ],
)
async def test_a_route_says_which_methods_it_takes(shop: Shop, method: str, path: str, allow: str) -> None:
    answer = await shop.http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert allow in answer.json()["error"]


async def test_it_names_every_gateway_that_announces_and_no_other(shop: Shop) -> None:
    operations = (await document_of(shop.http))["paths"]["/_sandbox/webhooks/{gateway}"]
    named = [operations[method]["parameters"][0]["schema"]["enum"] for method in ("get", "put", "delete")]
    answers = {name: await shop.http.get(f"/_sandbox/webhooks/{name}") for name in PLAYED}
    telling = [name for name, answer in answers.items() if answer.status_code == 200]
    assert named == [telling] * 3 and set(PLAYED) - set(telling) == {"nagad"}
    assert answers["nagad"].status_code == 404
    assert all(name in answers["nagad"].json()["error"] for name in telling)


# --- Schemathesis ----------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """Two words about what it finds: a body that is too long (413) is refused as well; and a subscription that was
    ended is still shown, and says so, for it is a state and no resource that is gone."""
    path = tmp_path / "schemathesis.toml"
    path.write_text(
        "[checks.negative_data_rejection]\nexpected-statuses = [400, 403, 404, 405, 409, 413]\n"
        '[checks.positive_data_acceptance]\nexpected-statuses = ["2xx", 404, 409, 413]\n'
        '[[operations]]\ninclude-name = "DELETE /_sandbox/webhooks/{gateway}"\n'
        "checks.use_after_free.enabled = false\n",
        encoding="utf-8",
    )
    yield path


async def lived_in(http: httpx.AsyncClient, clock: Any) -> None:
    """A sandbox in which something happened, so that no list is empty."""
    shop = await Shop(http).open()
    await http.put("/_sandbox/webhooks/bkash", json={"url": "http://127.0.0.1:8000/webhook"})
    payment_id, trx_id = await shop.paid("100")
    await shop.refund(payment_id, trx_id, "10")
    await shop.paid("50", intent="authorization")
    await shop.execute(payment_id)
    await http.post("/_sandbox/walk_in", json={"amount": "5"})
    await http.post(
        "/_sandbox/faults", json={"operation": "grant", "fault": "delay", "chance": 0.5, "times": "always"}
    )
    nagad = await NagadShop.of(http, clock)
    reference = await nagad.paid("20")
    await nagad.refund(reference, "5")


async def run(url: str, config: Path, folder: Path, *more: str) -> tuple[int, str]:
    """`schemathesis run` against the sandbox at `url`: how it ended, and what it printed."""
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        *(program, "--config-file", str(config), "run", f"{url}/_sandbox/openapi.json"),
        *("--checks", "all", "--max-examples", str(EXAMPLES), "--seed", "1", "--no-color"),
        *("--generation-database", "none", "--exclude-path", WITHOUT_END, *more),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(600):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, printed.decode("utf-8", "replace")


@pytest.mark.slow
async def test_schemathesis_finds_nothing(config: Path, tmp_path: Path) -> None:
    deaf = httpx.MockTransport(lambda request: httpx.Response(200))
    clock = FakeClock()
    async with (
        SandboxServer(seed=1, clock=clock, webhook_transport=deaf) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as http,
    ):
        await lived_in(http, clock)
        code, printed = await run(server.url, config, tmp_path)
        books = (await http.get("/_sandbox/books")).json()
    assert code == 0, re.sub(r"curl -X.{2000,}", "curl ...", printed)[-6_000:]
    ran = re.search(r"(\d+) generated", printed)
    assert ran is not None and int(ran[1]) >= CASES_MIN, printed[-2_000:]
    assert books["problems"] == []


@pytest.mark.slow
async def test_schemathesis_bites(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that promises what the route does not keep is found out."""
    true = OPERATIONS["POST", "clock"]
    monkeypatch.setitem(OPERATIONS, ("POST", "clock"), replace(true, answer="Books"))  # type: ignore[arg-type]
    async with SandboxServer(seed=1) as server:
        narrowed = ("--include-path", "/_sandbox/clock", "--phases", "coverage")
        code, printed = await run(server.url, config, tmp_path, *narrowed)
    assert code == 1 and "Response violates schema" in printed, printed[-2_000:]
