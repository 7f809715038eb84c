"""TLS sessions are resumed at their own listener only. The clients are Python's ssl module and `openssl s_client`."""

import itertools
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

from server import poll

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
HOW = ["1.2 ticket", "1.2 id", "1.3 ticket"]
# The main listener with ssl_verify_mode, listeners with the rules btls and mtls, another of each, and a cache's
# listener.
PLACES = ["usual", "btls", "mtls", "usual again", "btls again", "mtls again", "cache"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """One set of certificates for all tests. A test that changes a file copies it first."""
    from certificates import Certificates
    return Certificates(tmp_path_factory.mktemp("certificates"))


class Client:
    """A client that shows one certificate or none, and keeps its sessions."""

    def __init__(self, certificates, shown, how):
        version, kind = how.split()
        self.context = certificates.context(shown, VERSIONS[version])
        if kind == "id":
            # Without tickets, TLS 1.2 names the session by its id and the server keeps it. TLS 1.3 has tickets only.
            self.context.options |= ssl.OP_NO_TICKET

    def talk(self, address, session=None):
        """Returns whether the server answered, whether it resumed the session, and the session for the next time."""
        try:
            with socket.create_connection(address, timeout=10) as raw:
                with self.context.wrap_socket(raw, server_hostname="localhost", session=session) as wrapped:
                    wrapped.sendall(b"version\r\n")
                    answered = wrapped.recv(100).startswith(b"VERSION")
                    return answered, bool(wrapped.session_reused), wrapped.session
        except (ssl.SSLError, ConnectionError):
            return False, False, None


def start_at_all_places(start_server, certificates, mode, authority, *options):
    """Starts a server with all kinds of listeners. Returns the server and the listeners' addresses."""
    server = start_server(
        *certificates.server_options(f"ssl_ca_cert={authority}", f"ssl_verify_mode={mode}", *options),
        "-l", "127.0.0.1:-1,btls:127.0.0.1:-1,mtls:127.0.0.1:-1,127.0.0.2:-1,btls:127.0.0.2:-1,mtls:127.0.0.2:-1",
        "--cache", "name=other,items=100,blocksize=1024,listen=127.0.0.1:0", listen=None, threads=2,
        tls=certificates.context("client"))
    ports = [int(port) for port in re.findall(r"^TCP INET: (\d+)$", server.port_file.read_text(), re.M)]
    hosts = ["127.0.0.1"] * 3 + ["127.0.0.2"] * 3 + ["127.0.0.1"]
    return server, dict(zip(PLACES, zip(hosts, ports, strict=True), strict=True))


def asks(place, mode):
    """0: asks for no certificate; 1: accepts one; 2: needs one."""
    if place.startswith("btls"):
        return 0
    return 2 if place.startswith("mtls") else min(mode, 2)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
@pytest.mark.parametrize("how", HOW)
class TestEveryPair:
    @pytest.mark.parametrize("shown", [None, "client"])
    def test_a_session_is_good_at_its_own_listener_only(self, start_server, certificates, mode, how, shown):
        server, places = start_at_all_places(
            start_server, certificates, mode, certificates.path("authority.pem"), "ssl_session_cache")
        client = Client(certificates, shown, how)
        for begun, resumed in itertools.product(PLACES, PLACES):
            served, reused, session = client.talk(places[begun])
            assert (served, reused) == (shown is not None or asks(begun, mode) < 2, False), begun
            if not served:
                continue
            served, reused, _ = client.talk(places[resumed], session)
            pair = f"begun at {begun}, resumed at {resumed}"
            assert served == (shown is not None or asks(resumed, mode) < 2), pair
            assert reused == (begun == resumed), pair
        server.assert_alive()


def replace(path, other):
    """Replaces a file by a copy of another one, by renaming."""
    new = pathlib.Path(str(path) + ".new")
    shutil.copyfile(other, new)
    new.rename(path)


@pytest.mark.parametrize("how", HOW)
class TestReload:
    @pytest.mark.parametrize("mode", [0, 1, 2])
    def test_another_authority(self, start_server, certificates, tmp_path, how, mode):
        """A certificate of the former authority is refused, in a resumed session or not."""
        authority = tmp_path / "authority.pem"
        replace(authority, certificates.path("authority.pem"))
        server, places = start_at_all_places(start_server, certificates, mode, authority, "ssl_session_cache")
        client, stranger = (Client(certificates, name, how) for name in ("client", "stranger"))
        sessions = {place: client.talk(address)[2] for place, address in places.items()}
        # These clients connect before the change, and send nothing until after it.
        waiting = {place: socket.create_connection(address, timeout=10) for place, address in places.items()}
        replace(authority, certificates.path("other.pem"))
        server.process.send_signal(signal.SIGHUP)
        poll(lambda: stranger.talk(places["mtls"])[0], "the server trusts the other authority")
        for place, address in places.items():
            expected = (asks(place, mode) == 0, False)
            assert client.talk(address, sessions[place])[:2] == expected, place
            assert client.talk(address)[:2] == expected, place
            assert stranger.talk(address)[0], place
        for place, raw in waiting.items():
            if asks(place, mode) > 0:
                assert not resume(client.context, raw, sessions[place]), place
            raw.close()
        assert server.process.poll() is None, server.stderr

    def test_the_same_authority(self, start_server, certificates, how):
        """A certificate that a listener accepts is still accepted there, after a full handshake."""
        server, places = start_at_all_places(
            start_server, certificates, 2, certificates.path("authority.pem"), "ssl_session_cache")
        client = Client(certificates, "client", how)
        session = client.talk(places["usual"])[2]
        with server.connect() as connection:
            assert connection.ask(b"refresh_certs\r\n") == b"OK"
        served, reused, session = client.talk(places["usual"], session)
        assert (served, reused) == (True, False)
        assert client.talk(places["usual"], session)[:2] == (True, True)


def resume(context, raw, session):
    """Whether a session is resumed over an open connection, and a request on it is answered."""
    try:
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as wrapped:
            wrapped.sendall(b"version\r\n")
            return wrapped.recv(100).startswith(b"VERSION") and wrapped.session_reused
    except (ssl.SSLError, ConnectionError):
        return False


@pytest.mark.parametrize("version", ["1_2", "1_3"])
def test_openssl(start_server, certificates, tmp_path, version):
    """The same with another client, which keeps its sessions in a file."""
    _, places = start_at_all_places(start_server, certificates, 0, certificates.path("authority.pem"))

    def talk(place, *options):
        host, port = places[place]
        result = subprocess.run(
            ["openssl", "s_client", "-connect", f"{host}:{port}", f"-tls{version}", "-ign_eof", *options],
            input=b"version\r\nquit\r\n", capture_output=True, timeout=20)
        return b"VERSION 1.6." in result.stdout, b"Reused, TLS" in result.stdout

    session = tmp_path / "session"
    assert talk("btls", "-sess_out", session) == (True, False)
    assert talk("btls", "-sess_in", session) == (True, True)
    assert talk("usual", "-sess_in", session) == (True, False)
    assert talk("mtls", "-sess_in", session) == (False, False)
