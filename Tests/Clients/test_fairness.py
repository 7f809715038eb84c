"""One client's work is cut into shares, and what cannot be done is said."""
import pytest

pytestmark = pytest.mark.larder_only


def yields(connection):
    return int(connection.stats()["conn_yields"])


def test_a_long_retrieval_of_misses_yields(start_server):
    """Its keys produce no output, so only their number can tell that others have waited long enough."""
    server = start_server(threads=1)
    with server.connect() as connection:
        before = yields(connection)
        connection.send(b"get" + b" nothing" * 20_000 + b"\r\n")
        assert connection.read_line() == b"END"
        assert yields(connection) - before >= 10


def test_requests_beyond_the_share_wait_for_the_others(start_server):
    server = start_server("-R", 5, threads=1)
    with server.connect() as connection:
        before = yields(connection)
        connection.send(b"get nothing\r\n" * 50)
        for _ in range(50):
            assert connection.read_line() == b"END"
        assert yields(connection) - before >= 5


@pytest.mark.parametrize("request_", [b"get nothing\r\n", b"set k 0 0 1\r\nv\r\n", b"mg nothing v\r\n", b"version\r\n"])
def test_a_share_is_as_many_requests_as_it_says(start_server, request_):
    """memcached's t/issue_61.t asks it of sets."""
    server = start_server("-R", 1, threads=1)
    with server.connect() as connection:
        before = yields(connection)
        connection.send(request_ * 20)
        for _ in range(20):
            connection.read_line()
        assert yields(connection) - before >= 19


def test_long_answers_are_sent_in_shares(start_server):
    server = start_server(threads=1)
    with server.connect() as connection:
        assert connection.set(b"large", b"x" * 100_000) == b"STORED"
        connection.send(b"get large\r\n" * 100)
        for _ in range(100):
            assert len(connection.read_values()[b"large"]) == 100_000


def test_a_touch_that_finds_no_room_does_not_say_touched(start_server):
    """Under -M an item may have nowhere to move to when its time changes."""
    server = start_server("-M", "-m", 8, threads=1)
    with server.connect() as connection:
        count = 0
        while connection.set(b"key%d" % count, b"x" * 1000) == b"STORED":
            count += 1
        answers = {connection.ask(b"touch key%d %d\r\n" % (index, 1000 + 100_000 * index)) for index in range(20)}
        assert answers <= {b"TOUCHED", b"SERVER_ERROR out of memory"}
        assert b"SERVER_ERROR out of memory" in answers
        assert connection.get(b"key3") == b"x" * 1000


def test_any_accepted_factor_can_be_shown(start_server):
    server = start_server("-f", "1e30")
    with server.connect() as connection:
        assert float(connection.stats("settings")["growth_factor"]) > 1e6

