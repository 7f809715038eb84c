"""Certificates for tests, made with the `openssl` program: an authority, what it signs, and a stranger's."""

import pathlib
import ssl
import subprocess


class Certificates:
    """Files in `directory`: authority.pem; server.pem and server.key; client.pem and client.key; and the same of
    somebody whom the authority does not know: stranger.pem and stranger.key."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self._authority("authority")
        self._authority("other")
        self.issue("server")
        self.issue("client")
        self.issue("stranger", authority="other")

    def path(self, name):
        return str(self.directory / name)

    def issue(self, name, authority="authority", subject=None, names="DNS:localhost,IP:127.0.0.1"):
        """Writes NAME.pem and NAME.key, anew if they are there."""
        request = self.path(f"{name}.csr")
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n")
        new_key = self.path(f"{name}.key.new")
        self._run("req", "-new", *self._key(new_key), "-out", request, "-subj", f"/CN={subject or name}")
        self._run("x509", "-req", "-in", request, "-CA", self.path(f"{authority}.pem"),
                  "-CAkey", self.path(f"{authority}.key"), "-CAcreateserial", "-days", "30", "-sha256",
                  "-extfile", str(extensions), "-out", self.path(f"{name}.pem.new"))
        pathlib.Path(new_key).rename(self.path(f"{name}.key"))
        pathlib.Path(self.path(f"{name}.pem.new")).rename(self.path(f"{name}.pem"))

    def _authority(self, name):
        self._run("req", "-x509", *self._key(self.path(f"{name}.key")), "-out", self.path(f"{name}.pem"),
                  "-days", "30", "-subj", f"/CN={name}")

    @staticmethod
    def _key(path):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path

    @staticmethod
    def _run(*arguments):
        subprocess.run(["openssl", *arguments], check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)

    def server_options(self, *more):
        """`-Z` and the `-o` that it needs; `more` are further ssl_ options."""
        return "-Z", "-o", ",".join([
            f"ssl_chain_cert={self.path('server.pem')}", f"ssl_key={self.path('server.key')}", *more])

    def context(self, client=None, version=None):
        """What a client needs that trusts the authority; `client` names the certificate that it shows."""
        context = ssl.create_default_context(cafile=self.path("authority.pem"))
        if client is not None:
            context.load_cert_chain(self.path(f"{client}.pem"), self.path(f"{client}.key"))
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context
