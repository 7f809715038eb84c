"""A plain client of memcached's binary protocol: packets in, packets out, nothing hidden."""

import struct
from typing import NamedTuple

HEADER = struct.Struct(">BBHBBHIIQ")

GET, SET, ADD, REPLACE, DELETE, INCR, DECR, QUIT, FLUSH, GETQ, NOOP, VERSION, GETK, GETKQ, APPEND, PREPEND = range(16)
STAT, SETQ, ADDQ, REPLACEQ, DELETEQ, INCRQ, DECRQ, QUITQ, FLUSHQ, APPENDQ, PREPENDQ, VERBOSITY = range(0x10, 0x1c)
TOUCH, GAT, GATQ, SASL_LIST, SASL_AUTH, SASL_STEP, GATK, GATKQ = 0x1c, 0x1d, 0x1e, 0x20, 0x21, 0x22, 0x23, 0x24

OK, NOT_FOUND, EXISTS, TOO_LARGE, INVALID, NOT_STORED, NON_NUMERIC = range(7)
AUTH_ERROR, AUTH_CONTINUE, UNKNOWN, NO_MEMORY = 0x20, 0x21, 0x81, 0x82


def packet(opcode, key=b"", value=b"", extras=b"", opaque=0, cas=0, *, magic=0x80, keylen=None, extlen=None,
           bodylen=None, vbucket=0):
    """A request; the lengths are true unless given."""
    keylen = len(key) if keylen is None else keylen
    extlen = len(extras) if extlen is None else extlen
    bodylen = len(extras) + len(key) + len(value) if bodylen is None else bodylen
    return HEADER.pack(magic, opcode, keylen, extlen, 0, vbucket, bodylen, opaque, cas) + extras + key + value


def store(opcode, key, value, flags=0, exptime=0, **options):
    return packet(opcode, key, value, struct.pack(">II", flags, exptime), **options)


def count(opcode, key, delta=1, initial=0, exptime=0, **options):
    return packet(opcode, key, extras=struct.pack(">QQI", delta, initial, exptime), **options)


class Answer(NamedTuple):
    opcode: int
    status: int
    opaque: int
    cas: int
    extras: bytes
    key: bytes
    value: bytes


class BinaryConnection:
    """Binary packets over a `server.Connection`."""

    def __init__(self, connection):
        self.connection = connection

    def send(self, data):
        self.connection.send(data)

    def read(self):
        magic, opcode, keylen, extlen, datatype, status, bodylen, opaque, cas = HEADER.unpack(
            self.connection.read_exactly(HEADER.size))
        assert (magic, datatype) == (0x81, 0)
        body = self.connection.read_exactly(bodylen)
        return Answer(
            opcode, status, opaque, cas, body[:extlen], body[extlen:extlen + keylen], body[extlen + keylen:])

    def ask(self, request):
        self.send(request)
        return self.read()

    def read_until_noop(self):
        """The answers to a batch that ends with a noop."""
        answers = []
        while (answer := self.read()).opcode != NOOP:
            answers.append(answer)
        return answers

    def stats(self, key=b""):
        self.send(packet(STAT, key))
        result = {}
        while (answer := self.read()).key:
            result[answer.key.decode()] = answer.value.decode()
        assert (answer.status, answer.value) == (OK, b"")
        return result

    def authenticate(self, user, password):
        return self.ask(packet(SASL_AUTH, b"PLAIN", b"\0" + user + b"\0" + password)).status

    def is_closed(self):
        return self.connection.read_until_closed() == b""

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
