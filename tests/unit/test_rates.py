import pytest

from service.web.rates import CLIENTS_LIMIT, Rates, client_of


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
