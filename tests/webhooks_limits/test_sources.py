"""The source of a request: the socket's other end, or what our own proxies wrote, and nothing a sender wrote."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vextrus_payments.errors import ConfigurationError
from vextrus_payments.webhooks.sources import (
    UNIX,
    UNREADABLE,
    ForwardedHeader,
    Networks,
    SourceFinder,
    networks_of,
)

EDGE = "10.0.0.1"
INNER = "10.0.0.2"
SENDER = "203.0.113.7"


def find(
    peer: str | None,
    *,
    xff: str | None = None,
    forwarded: str | None = None,
    trusted: Sequence[str] = (),
    header: ForwardedHeader = "x-forwarded-for",
) -> str:
    headers = {"x-forwarded-for": xff, "forwarded": forwarded}
    finder = SourceFinder(networks_of("trusted_proxies", trusted, everyone=False), header)
    return finder.find(peer, {name: text for name, text in headers.items() if text is not None}).key


def forwarded(peer: str | None, text: str, trusted: Sequence[str] = ("10.0.0.0/8",)) -> str:
    return find(peer, forwarded=text, trusted=trusted, header="forwarded")


# --- whom to believe ----------------------------------------------------------------------------------------------


def test_without_trusted_proxies_no_header_is_looked_at() -> None:
    assert find(SENDER, xff="192.0.2.1", forwarded="for=192.0.2.1") == SENDER


def test_a_spoofed_header_of_a_sender_who_is_no_proxy_counts_for_nothing() -> None:
    assert find(SENDER, xff="192.0.2.1", trusted=["10.0.0.0/8"]) == SENDER
    assert forwarded(SENDER, "for=192.0.2.1") == SENDER


@pytest.mark.parametrize("spoofed", ["192.0.2.1", "10.0.0.9", "127.0.0.1", "junk", "", '"', ",,,", "unknown"])
def test_what_a_sender_wrote_before_the_proxy_counts_for_nothing(spoofed: str) -> None:
    assert find(EDGE, xff=f"{spoofed}, {SENDER}", trusted=["10.0.0.0/8"]) == SENDER
    assert forwarded(EDGE, f"for={spoofed}, for={SENDER}") == SENDER
    assert forwarded(EDGE, f"{spoofed}, for={SENDER}") == SENDER


def test_two_proxies_are_passed_over_from_the_right() -> None:
    assert find(INNER, xff=f"192.0.2.1, {SENDER}, {EDGE}", trusted=["10.0.0.0/8"]) == SENDER
    assert forwarded(INNER, f"for=192.0.2.1, for={SENDER}, for={EDGE};by={INNER};proto=https") == SENDER


def test_a_proxy_that_is_not_trusted_is_the_source() -> None:
    assert find(INNER, xff=f"{SENDER}, {EDGE}", trusted=[INNER]) == EDGE


def test_the_other_header_is_not_looked_at() -> None:
    assert (
        find(EDGE, xff="192.0.2.1", forwarded=f"for={SENDER}", trusted=[EDGE], header="forwarded") == SENDER
    )
    assert find(EDGE, xff=SENDER, forwarded="for=192.0.2.1", trusted=[EDGE]) == SENDER


def test_a_trusted_proxy_that_wrote_nothing_is_the_source_itself() -> None:
    assert find(EDGE, trusted=[EDGE]) == EDGE
    assert find(EDGE, xff="", trusted=[EDGE]) == EDGE
    assert forwarded(EDGE, "", trusted=[EDGE]) == EDGE


def test_where_all_hops_are_ours_the_furthest_is_the_source() -> None:
    assert find(INNER, xff=f"10.9.9.9, {EDGE}", trusted=["10.0.0.0/8"]) == "10.9.9.9"


@pytest.mark.parametrize(
    "junk", ["unknown", "_hidden", "1.2.3", "01.2.3.4", "1.2.3.4:99999999", "[1.2.3.4]", "²", ""]
)
def test_a_hop_that_cannot_be_read_counts_for_the_proxy_that_wrote_it(junk: str) -> None:
    assert find(INNER, xff=f"{SENDER}, {junk}, {EDGE}", trusted=["10.0.0.0/8"]) == EDGE
    assert find(EDGE, xff=f"{SENDER}, {junk}", trusted=["10.0.0.0/8"]) == EDGE
    assert forwarded(INNER, f"for={SENDER}, for={junk}, for={EDGE}") == EDGE


def test_more_hops_than_anybody_has_proxies_are_not_read() -> None:
    assert find(EDGE, xff=", ".join([SENDER] + [INNER] * 40), trusted=["10.0.0.0/8"]) == INNER
    assert find(EDGE, xff="," * 60_000, trusted=["10.0.0.0/8"]) == EDGE


# --- RFC 7239 -------------------------------------------------------------------------------------------------------


def test_an_open_quotation_mark_of_a_sender_does_not_swallow_what_the_proxy_wrote() -> None:
    for left_open in ('for="', 'for="192.0.2.1', 'for="\\"', 'host="a, for=192.0.2.1', '"""', 'for="a\\'):
        assert forwarded(EDGE, f"{left_open}, for={SENDER}") == SENDER, left_open


def test_a_host_that_the_proxy_quotes_cannot_add_a_hop() -> None:
    assert forwarded(EDGE, f'for={SENDER};host="evil\\", for=192.0.2.1"') == SENDER
    assert forwarded(EDGE, f'for={SENDER};host="evil;for=192.0.2.1"') == SENDER


def test_an_element_says_one_address_or_none() -> None:
    assert forwarded(EDGE, f"for={SENDER};for=192.0.2.1") == EDGE
    assert forwarded(EDGE, f"by={SENDER};proto=https") == EDGE
    assert forwarded(EDGE, f'For="{SENDER}:4711" ; Proto=https') == SENDER
    assert forwarded(EDGE, f'for="{SENDER}\\"') == EDGE
    assert forwarded(EDGE, f'for={SENDER}"') == EDGE


# --- addresses ------------------------------------------------------------------------------------------------------


def test_ipv6_counts_by_its_64() -> None:
    assert find("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64"
    assert find("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert find("2001:db8:1:3::1") == "2001:db8:1:3::/64"
    assert find("fe80::1%eth0") == "fe80::/64"


def test_ipv4_written_as_ipv6_is_ipv4() -> None:
    assert find("::ffff:203.0.113.7") == SENDER
    assert find("::ffff:10.0.0.1", xff="::ffff:203.0.113.7", trusted=["10.0.0.0/8"]) == SENDER
    assert find(EDGE, xff=SENDER, trusted=["::ffff:10.0.0.0/104"]) == SENDER


@pytest.mark.parametrize("hop", ["[2001:db8::1]:443", "[2001:db8::1]", "2001:db8::1"])
def test_a_hop_may_carry_a_port(hop: str) -> None:
    assert find(EDGE, xff=hop, trusted=[EDGE]) == "2001:db8::/64"
    assert forwarded(EDGE, f'for="{hop}"', trusted=[EDGE]) == "2001:db8::/64"
    assert find(EDGE, xff=f"{SENDER}:51234", trusted=[EDGE]) == SENDER


def test_a_proxy_may_be_on_ipv6() -> None:
    assert find("2001:db8::5", xff=SENDER, trusted=["2001:db8::/32"]) == SENDER
    assert find("2001:db9::5", xff=SENDER, trusted=["2001:db8::/32"]) == "2001:db9::/64"


def test_a_unix_socket_is_trusted_only_when_it_is_named() -> None:
    assert find(None, xff=SENDER) == UNIX
    assert find(None, xff=SENDER, trusted=["10.0.0.0/8"]) == UNIX
    assert find(None, xff=SENDER, trusted=["unix"]) == SENDER
    assert find(EDGE, xff=SENDER, trusted=["unix"]) == EDGE


@pytest.mark.parametrize("peer", ["testclient", "", "1.2.3.4.5", "x" * 10_000, "١.٢.٣.٤"])
def test_a_peer_that_is_no_address_is_one_source_and_no_proxy(peer: str) -> None:
    assert find(peer, xff=SENDER, trusted=["10.0.0.0/8", "unix"]) == UNREADABLE


@given(text=st.text(st.characters(max_codepoint=255), max_size=200), tail=st.booleans())
def test_no_header_of_a_sender_moves_it_from_the_address_the_proxy_saw(text: str, tail: bool) -> None:
    separator = ", " if tail else ","
    assert find(EDGE, xff=f"{text}{separator}{SENDER}", trusted=["10.0.0.0/8"]) == SENDER
    assert forwarded(EDGE, f"{text}{separator}for={SENDER}") == SENDER


@given(text=st.text(st.characters(max_codepoint=255), max_size=200))
def test_no_header_is_too_strange(text: str) -> None:
    find(EDGE, xff=text, trusted=["10.0.0.0/8"])
    forwarded(EDGE, text)


# --- networks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["10.0.0.1/8", "10.0.0.0/33", "example.com", "", " 10.0.0.0/8", "10.0.0.0/255.0.0.1"]
)
def test_a_network_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="allow_from"):
        networks_of("allow_from", [text])


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "::ffff:0:0/96"])
def test_nobody_trusts_everybody(text: str) -> None:
    with pytest.raises(ConfigurationError, match="everybody"):
        networks_of("trusted_proxies", [text], everyone=False)
    assert networks_of("allow_from", [text])


def test_a_network_is_a_list_of_texts() -> None:
    with pytest.raises(ConfigurationError, match="one text"):
        networks_of("allow_from", "10.0.0.0/8")
    with pytest.raises(ConfigurationError):
        networks_of("allow_from", [None])  # type: ignore[list-item]
    assert not networks_of("allow_from", [])
    assert networks_of("allow_from", ["unix"]) == Networks(unix=True)


def test_only_where_no_proxy_is_trusted_a_header_is_a_hint() -> None:
    headers = {"x-forwarded-for": SENDER}
    assert SourceFinder(Networks(), "x-forwarded-for").is_unread(headers)
    assert SourceFinder(Networks(), "x-forwarded-for").is_unread({"forwarded": "for=1.2.3.4"})
    assert not SourceFinder(Networks(), "x-forwarded-for").is_unread({})
    assert not SourceFinder(Networks(unix=True), "x-forwarded-for").is_unread(headers)
