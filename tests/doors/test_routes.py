"""Which address is whose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vextrus_payments.webhooks.routes import (
    Door,
    Route,
    health_address,
    return_address,
    route_of,
    webhook_address,
)


@pytest.mark.parametrize(("path", "root", "wanted"), [
    ("/bkash/webhook", "", Route(Door.WEBHOOK, "bkash")),
    ("/bkash/webhook/", "", Route(Door.WEBHOOK, "bkash")),
    ("/bkash/return", "", Route(Door.RETURN, "bkash")),
    ("/t/acme/bkash/return/", "", Route(Door.RETURN, "bkash", "acme")),
    ("/t/a.b-c_9/bkash/webhook", "", Route(Door.WEBHOOK, "bkash", "a.b-c_9")),
    ("/health", "", Route(Door.HEALTH)),
    ("/health/", "", Route(Door.HEALTH)),
    # the whole path, under a mount
    ("/payments/bkash/webhook", "/payments", Route(Door.WEBHOOK, "bkash")),
    ("/payments/t/acme/bkash/webhook/", "/payments", Route(Door.WEBHOOK, "bkash", "acme")),
    ("/payments/health", "/payments/", Route(Door.HEALTH)),
    # what is left of it
    ("/bkash/webhook", "/payments", Route(Door.WEBHOOK, "bkash")),
    ("/health", "/payments", Route(Door.HEALTH)),
    # a proxy strips /api, and the server was told of it
    ("/payments/bkash/webhook", "/api/payments", Route(Door.WEBHOOK, "bkash")),
    ("/api/payments/bkash/webhook", "/api/payments", Route(Door.WEBHOOK, "bkash")),
    # mounts that look like something else
    ("/bkash/bkash/webhook", "/bkash", Route(Door.WEBHOOK, "bkash")),
    ("/t/acme/bkash/webhook", "/t/acme", Route(Door.WEBHOOK, "bkash")),
    ("/t/acme/t/other/bkash/webhook", "/t/acme", Route(Door.WEBHOOK, "bkash", "other")),
    ("/health/health", "/health", Route(Door.HEALTH)),
])  # fmt: skip
def test_what_a_path_names(path: str, root: str, wanted: Route) -> None:
    assert route_of(path, root) == wanted


@pytest.mark.parametrize("path", [
    "", "/", "//", "/bkash", "/webhook", "/bkash/webhook//", "/bkash//webhook", "//bkash/webhook", "/bkash/webhook/x",
    "/Bkash/webhook", "/bkash/Webhook", "/bkash/webhook\n", "/bkash/webhook ", "/bkash/webhook\x00", "/bkash/webhoo",
    "/t/bkash/webhook", "/t//bkash/webhook", "/t/a/b/bkash/webhook", "/t/-a/bkash/webhook", "/t/ä/bkash/webhook",
    "/t/../bkash/webhook", "/../bkash/webhook", "/bkash/../webhook", "/t/a%2Fb/bkash/webhook", "/১/webhook",
    "/t/" + "a" * 65 + "/bkash/webhook", "/" + "b" * 41 + "/webhook", "/healthz", "/bkash/health", "bkash/webhook",
    "/other/bkash/webhook", "/" * 600,
])  # fmt: skip
def test_what_is_no_address_of_ours(path: str) -> None:
    assert route_of(path) is None
    assert route_of(path, "/payments") is None
    assert not path.startswith("/") or route_of("/payments" + path, "/payments") is None


def test_a_mount_ends_at_a_slash() -> None:
    assert route_of("/paymentsbkash/webhook", "/payments") == Route(Door.WEBHOOK, "paymentsbkash")
    assert route_of("/payments-old/bkash/webhook", "/payments") is None


names = st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True)
tenants = st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)


@given(gateway=names, tenant=tenants, mount=st.sampled_from(["", "/payments", "/a/b", "/t/x", "/health"]),
       slash=st.sampled_from(["", "/"]))  # fmt: skip
def test_what_is_written_down_is_read_again(gateway: str, tenant: str | None, mount: str, slash: str) -> None:
    public = f"https://shop.example{mount}"
    for address, door in ((webhook_address, Door.WEBHOOK), (return_address, Door.RETURN)):
        path = address(public, gateway, tenant).removeprefix("https://shop.example") + slash
        assert route_of(path, mount) == Route(door, gateway, tenant)
    path = health_address(public).removeprefix("https://shop.example") + slash
    assert route_of(path, mount) == Route(Door.HEALTH)


@given(path=st.text(max_size=80), root=st.text(max_size=40))
def test_no_path_breaks_it(path: str, root: str) -> None:
    route_of(path, root)
