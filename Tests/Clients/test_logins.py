"""Clients that have not logged in: how fast they can guess, their time limit, and how much they may send."""

import signal
import threading
import time

import pytest

from binary_protocol import AUTH_ERROR, NO_MEMORY, NOOP, OK, SASL_AUTH, SASL_LIST, VERSION, BinaryConnection, packet
from server import poll, run

GUESSES_PER_SECOND_MAX = 10
WRONG, RIGHT = b"set a 0 0 7\r\nfoo baz\r\n", b"set a 0 0 7\r\nfoo bar\r\n"
FAILURE = b"CLIENT_ERROR authentication failure"
WRONG_SASL = packet(SASL_AUTH, b"PLAIN", b"\0foo\0baz")


@pytest.fixture
def user_file(tmp_path):
    path = tmp_path / "users"
    path.write_text("foo:bar\n")
    return path


@pytest.fixture(params=["text", "sasl"])
def method(request):
    return request.param


@pytest.fixture
def start(start_server, user_file, method):
    """Returns a function that starts a server with logins by text or by SASL."""
    def start(*arguments, **options):
        if method == "sasl":
            return start_server("-S", "-Y", user_file, *arguments, binary_only=True, **options)
        return start_server("-Y", user_file, *arguments, login=(b"foo", b"bar"), **options)
    return start


def stranger(server, **options):
    return server.connect(login=None, **options)


def attempt(server, connection, password=b"baz"):
    """Whether the server accepts the password."""
    if server.is_binary:
        return BinaryConnection(connection).authenticate(b"foo", password) == OK
    answer = connection.set(b"a", b"foo " + password)
    assert answer in (b"STORED", FAILURE), answer
    return answer == b"STORED"


def is_served(server, connection):
    """Whether the server answers a client that has logged in."""
    if server.is_binary:
        return BinaryConnection(connection).ask(packet(NOOP)).status == OK
    return connection.ask(b"mn\r\n") == b"MN"


class Guesser:
    """Guesses over some connections at once, until `stop`. A closed connection is opened again."""

    def __init__(self, server, count):
        self.server = server
        self.failures = [0] * count
        self.is_over = False
        self.began = time.monotonic()
        self.threads = [threading.Thread(target=self._run, args=(place,)) for place in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self, place):
        while not self.is_over:
            try:
                with stranger(self.server) as connection:
                    while not self.is_over:
                        assert not attempt(self.server, connection)
                        self.failures[place] += 1
            except (OSError, EOFError):
                pass

    def count(self):
        return sum(self.failures)

    def stop(self):
        """Returns the number of answered guesses, and the seconds that they took."""
        self.is_over = True
        for thread in self.threads:
            thread.join()
        return self.count(), time.monotonic() - self.began


class TestGuesses:
    @pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
    def test_over_many_connections(self, start, unix):
        """At most ten guesses a second from one address. The right password is accepted in between."""
        server = start(unix=unix, threads=2)
        guesser = Guesser(server, 12)
        poll(lambda: guesser.count() >= 5, "guesses are answered", 20)
        with stranger(server, timeout=30) as friend:
            assert attempt(server, friend, b"bar") and is_served(server, friend)
        poll(lambda: guesser.count() >= 15, "more guesses are answered", 20)
        count, seconds = guesser.stop()
        assert count <= GUESSES_PER_SECOND_MAX * seconds + 1, (count, seconds)

    def test_over_one_connection(self, start):
        """All attempts are sent at once. Each is answered, and so is the request after them."""
        server = start(threads=1)
        with stranger(server) as connection:
            connection.send((WRONG_SASL if server.is_binary else WRONG) * 6)
            for _ in range(6):
                if server.is_binary:
                    assert BinaryConnection(connection).read().status == AUTH_ERROR
                else:
                    assert connection.read_line() == FAILURE
            assert attempt(server, connection, b"bar") and is_served(server, connection)

    def test_guesses_that_are_given_up(self, start):
        """A client that does not wait for its answer cannot make the next attempt earlier."""
        server = start(threads=2)
        began = time.monotonic()
        for _ in range(300):
            with stranger(server) as connection:
                connection.send(WRONG_SASL if server.is_binary else WRONG)
        with stranger(server) as friend:
            assert attempt(server, friend, b"bar")
            seconds = time.monotonic() - began
            failures = statistics(server, friend)["auth_errors"]
        assert int(failures) <= GUESSES_PER_SECOND_MAX * seconds + 1

    def test_an_encrypted_client(self, start, certificates):
        server = start(*certificates.server_options(), tls=certificates.context())
        with stranger(server) as connection:
            assert not attempt(server, connection) and not attempt(server, connection)
            assert attempt(server, connection, b"bar") and is_served(server, connection)

    def test_stop_while_answers_wait(self, start):
        server = start(threads=2)
        strangers = [stranger(server) for _ in range(20)]
        for connection in strangers:
            connection.send((WRONG_SASL if server.is_binary else WRONG) * 3)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        for connection in strangers:
            connection.close()

    def test_clients_that_leave_while_answers_wait(self, start):
        server = start(threads=2)
        for _ in range(3):
            strangers = [stranger(server) for _ in range(30)]
            for connection in strangers:
                connection.send((WRONG_SASL if server.is_binary else WRONG) * 3)
            for connection in strangers:
                connection.reset()
        with stranger(server, timeout=30) as friend:
            assert attempt(server, friend, b"bar") and is_served(server, friend)


def statistics(server, connection, argument=""):
    if server.is_binary:
        return BinaryConnection(connection).stats(argument.encode())
    return connection.stats(argument)


class TestTime:
    def test_silent_clients_give_up_their_places(self, start):
        """With -c 50, fifty silent clients keep other clients out until the time limit for logins."""
        server = start("-c", 50, "-o", "login_timeout=2", threads=2)
        silent = [stranger(server) for _ in range(50)]

        def gets_in():
            with stranger(server) as friend:
                try:
                    attempt(server, friend, b"bar")
                    # The connection of the readiness check may have had the fiftieth place for a moment.
                    return int(statistics(server, friend, "larder")["login_timeouts"]) > 0
                except (AssertionError, EOFError, OSError):
                    return None

        poll(gets_in, "another client gets in", 20, interval=0.1)
        poll(lambda: all(connection.is_closed() for connection in silent), "all silent clients are closed", 10)

    @pytest.mark.parametrize("begun", [b"", b"set a 0 0 7\r\nfo", b"version\r\n", b"wrong"])
    def test_unfinished_logins(self, start, begun):
        server = start("-o", "login_timeout=1")
        with stranger(server) as connection:
            if server.is_binary:
                begun = {b"": b"", b"version\r\n": packet(VERSION), b"wrong": WRONG_SASL}.get(begun, WRONG_SASL[:30])
            elif begun == b"wrong":
                begun = WRONG
            connection.send(begun)
            poll(connection.is_closed, "it is closed", 10)

    def test_off(self, start):
        server = start("-o", "login_timeout=0,relaxed_privileges")
        with stranger(server) as friend, stranger(server) as silent:
            assert attempt(server, friend, b"bar")
            if not server.is_binary:
                assert friend.ask(b"debugtime 100\r\n") == b"OK"
            assert int(statistics(server, friend, "larder")["login_timeouts"]) == 0
            assert attempt(server, silent, b"bar")

    def test_a_client_that_has_logged_in_stays(self, start):
        server = start("-o", "login_timeout=1", threads=1)
        with stranger(server) as friend:
            assert attempt(server, friend, b"bar")
            with stranger(server) as other:
                poll(other.is_closed, "another one is closed", 10)
            assert is_served(server, friend)

    def test_without_users_no_login_is_needed(self, start_server):
        server = start_server("-o", "login_timeout=1,relaxed_privileges")
        with server.connect() as silent, server.connect() as other:
            assert other.ask(b"debugtime 100\r\n") == b"OK"
            assert silent.ask(b"version\r\n").startswith(b"VERSION")

    @pytest.mark.parametrize("value", ["=", "=x", "=-1", ""])
    def test_values_that_cannot_be(self, value):
        assert run("-p", "-1", "-o", "login_timeout" + value).returncode in (1, 64)


class TestBytesOverSasl:
    """16 KB in all, as for text logins (`test_access.py`)."""

    @pytest.fixture
    def server(self, start_server, user_file):
        return start_server("-S", "-Y", user_file, "-o", "login_timeout=0", binary_only=True)

    @pytest.mark.parametrize(
        "request_packet", [packet(VERSION), packet(SASL_LIST), packet(SASL_AUTH, b"X" * 40)],
        ids=["version", "mechanisms", "long name"])
    def test_many_requests(self, server, request_packet):
        with server.connect() as connection:
            connection.send(request_packet * 2000)
            answers = connection.read_until_closed()
            assert 24 * 100 < len(answers) < 2 * 16_384

    def test_messages_that_come_to_more(self, server):
        """The third message of 6 KB is above the limit."""
        with BinaryConnection(server.connect()) as connection:
            message = packet(SASL_AUTH, b"PLAIN", b"\0foo\0" + b"x" * 6_000)
            assert [connection.ask(message).status for _ in range(3)] == [AUTH_ERROR, AUTH_ERROR, NO_MEMORY]
            assert connection.is_closed()

    def test_a_message_that_is_too_long(self, server):
        """The server neither waits for the message nor skips it: a gigabyte could follow."""
        with BinaryConnection(server.connect()) as connection:
            connection.send(packet(SASL_AUTH, b"PLAIN", b"x", bodylen=1 << 29))
            assert connection.read().status == NO_MEMORY
            assert connection.is_closed()

    def test_a_login_resets_the_count(self, server):
        with BinaryConnection(server.connect()) as connection:
            for _ in range(4):
                message = packet(SASL_AUTH, b"PLAIN", b"\0foo\0" + b"x" * 9_000)
                assert connection.ask(message).status == AUTH_ERROR
                assert connection.authenticate(b"foo", b"bar") == OK
            for _ in range(2000):
                assert connection.ask(packet(NOOP)).status == OK
