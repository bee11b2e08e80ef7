import pytest

from service.web.rates import CLIENTS_LIMIT, Proxies, Rates, client_of


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_bucket_gives_what_it_holds_and_then_what_flows_in():
    clock = Clock()
    rates = Rates(2.0, clock)

    assert [rates.take("a") for _ in range(4)] == [0.0] * 4
    assert rates.take("a") == pytest.approx(0.5)
    assert rates.take("b") == 0.0
    clock.now = 0.5
    assert rates.take("a") == 0.0
    assert rates.take("a") > 0
    clock.now = 1000.0
    assert [rates.take("a") > 0 for _ in range(5)] == [False] * 4 + [True]


def test_no_more_clients_are_remembered_than_fit():
    rates = Rates(1.0, Clock())
    for number in range(CLIENTS_LIMIT + 100):
        rates.take(str(number))

    assert len(rates._left) == CLIENTS_LIMIT
    assert "0" not in rates._left


def test_those_of_one_ipv6_network_are_one_client():
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:1")
    assert client_of("2001:db8::1") != client_of("2001:db8:0:1::1")
    assert client_of("192.0.2.1") != client_of("192.0.2.2")
    assert client_of(None) == client_of("") == "unknown"
    assert client_of("::ffff:192.0.2.1") == "192.0.2.1"


@pytest.mark.parametrize(
    ("peer", "told", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("172.18.0.2", ["192.0.2.1"], "192.0.2.1"),
        ("172.18.0.2", ["198.51.100.9, 192.0.2.1"], "192.0.2.1"),  # the first was made up
        ("172.18.0.2", ["198.51.100.9", "192.0.2.1"], "192.0.2.1"),
        ("172.18.0.2", ["192.0.2.1, 172.18.0.3"], "192.0.2.1"),  # two proxies, one behind another
        ("172.18.0.2", ["192.0.2.1, 172.18.0.3, 198.51.100.9"], "198.51.100.9"),
        ("::ffff:172.18.0.2", ["192.0.2.1:4711"], "192.0.2.1"),
        ("fd00::2", ["[2001:db8::1]:4711"], "2001:db8::/64"),
        ("172.18.0.2", ["2001:db8::1"], "2001:db8::/64"),
        ("172.18.0.2", [], "172.18.0.2"),
        ("172.18.0.2", ["192.0.2.1, unknown"], "unknown"),
        ("172.18.0.2", [""], "unknown"),
        ("172.18.0.2", ["172.18.0.3"], "172.18.0.3"),
        ("203.0.113.7", ["192.0.2.1"], "203.0.113.7"),  # no proxy of ours
        (None, ["192.0.2.1"], "unknown"),
    ],
)
def test_a_proxy_of_the_owner_says_who_asks_and_nobody_else_does(peer, told, expected):
    assert Proxies("172.18.0.0/16, fd00::2").client_of(peer, told) == expected
    assert Proxies().client_of(peer, told) == client_of(peer)


def test_what_is_no_network_is_no_proxy():
    with pytest.raises(ValueError, match="does not appear"):
        Proxies("172.18.0.0/16, proxy.lan")
