"""aiomcache: the asyncio client, over TCP."""

import asyncio

import aiomcache
import pytest


def run(server, talk):
    """Runs `talk(client)` with a client of two connections."""
    async def main():
        client = aiomcache.Client("127.0.0.1", server.port, pool_size=2)
        try:
            return await talk(client)
        finally:
            await client.close()
    return asyncio.run(main())


def test_items(tcp_server):
    async def talk(client):
        assert await client.get(b"key") is None
        assert await client.set(b"key", b"one\r\n\0") is True
        assert await client.get(b"key") == b"one\r\n\0"
        assert await client.add(b"key", b"two") is False
        assert await client.replace(b"key", b"b") is True
        assert await client.append(b"key", b"c") is True
        assert await client.prepend(b"key", b"a") is True
        assert await client.get(b"key") == b"abc"
        assert await client.touch(b"key", 100) is True
        assert await client.delete(b"key") is True
        assert await client.delete(b"key") is False
        assert await client.get(b"key", b"nothing") == b"nothing"
    run(tcp_server, talk)


def test_cas(tcp_server):
    async def talk(client):
        await client.set(b"key", b"one")
        value, token = await client.gets(b"key")
        assert value == b"one"
        assert await client.cas(b"key", b"two", token) is True
        assert await client.cas(b"key", b"three", token) is False
        assert await client.get(b"key") == b"two"
    run(tcp_server, talk)


def test_numbers(tcp_server):
    async def talk(client):
        await client.set(b"visits", b"41")
        assert await client.incr(b"visits") == 42
        assert await client.decr(b"visits", 50) == 0
        await client.set(b"text", b"abc")
        for key in (b"text", b"nobody"):
            with pytest.raises(aiomcache.ClientException):
                await client.incr(key)
    run(tcp_server, talk)


def test_many_at_once(tcp_server):
    keys = [b"key%d" % number for number in range(300)]

    async def talk(client):
        await asyncio.gather(*(client.set(key, b"value of " + key) for key in keys))
        assert list(await client.multi_get(*keys, b"nobody")) == [b"value of " + key for key in keys] + [None]
        assert (await client.version()).startswith(b"1.6")
        assert int((await client.stats())[b"curr_items"]) == len(keys)
        await client.flush_all()
        assert await client.get(keys[0]) is None
    run(tcp_server, talk)
