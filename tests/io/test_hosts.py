import pytest

from tipcap.io.hosts import Hosts

URL, OTHER = "http://slow/a", "http://other/a"


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def hosts(clock):
    return Hosts(clock.now, clock.sleep)


def test_a_host_that_answers_is_asked_at_once(hosts, clock):
    for _ in range(100):
        hosts.wait(URL)
        hosts.answered(URL)
    assert clock.seconds == 0


def test_a_pause_is_of_all_questions_to_a_host_and_of_no_others(hosts, clock):
    hosts.pause(URL, 7.0)
    hosts.wait(OTHER)
    assert clock.seconds == 0
    hosts.wait(URL)
    assert clock.seconds == 7
    hosts.wait(URL)  # and then it is asked less often
    assert clock.seconds > 7


def test_many_refusals_of_one_moment_count_once(hosts, clock):
    for _ in range(16):
        hosts.pause(URL, 7.0)
    hosts.wait(URL)
    hosts.wait(URL)
    assert clock.seconds == pytest.approx(7.05)


def test_a_limit_is_found(hosts, clock):
    """A host that takes three questions a second is asked about as often, not refused all the time."""
    refused, last = 0, -1.0
    for _ in range(400):
        hosts.wait(URL)
        if clock.seconds - last < 1 / 3:
            refused += 1
            hosts.pause(URL, 1.0)
        else:
            hosts.answered(URL)
        last = clock.seconds
    assert refused < 80
    assert clock.seconds < 400


def test_a_host_that_recovers_is_asked_at_once_again(hosts, clock):
    hosts.pause(URL, 1.0)
    for _ in range(200):
        hosts.wait(URL)
        hosts.answered(URL)
    before = clock.seconds
    hosts.wait(URL)
    assert clock.seconds == before


def test_what_is_no_address_is_left_to_who_asks(hosts):
    hosts.wait("http://[::1")


def test_a_host_is_down_when_it_left_many_questions_in_a_row_unanswered(hosts):
    for _ in range(19):
        hosts.unanswered(URL)
    assert not hosts.is_down(URL)
    hosts.reached(URL)
    for _ in range(20):
        hosts.unanswered(URL)
    assert hosts.is_down(URL)
    assert not hosts.is_down(OTHER)
    hosts.reached(URL)
    assert not hosts.is_down(URL)
