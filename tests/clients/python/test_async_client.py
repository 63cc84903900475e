"""The asynchronous client of python-socketio, on aiohttp."""

import asyncio

import pytest
import socketio

TIMEOUT_S = 20
# This client refuses polling payloads of more than 16 packets.
CALLS = 12


def run(scenario, url, transports, **options):
    """Runs `scenario(client)` with a connected client and disconnects it afterwards."""

    async def main():
        client = socketio.AsyncClient(reconnection=False)
        await client.connect(url, transports=transports, wait_timeout=TIMEOUT_S, **options)
        try:
            await asyncio.wait_for(scenario(client), TIMEOUT_S)
        finally:
            await client.disconnect()

    asyncio.run(main())


transports = pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]], ids=str)


@transports
def test_events_and_acknowledgements(testbed, transports):
    async def scenario(client):
        back = asyncio.get_running_loop().create_future()
        client.on("message-back", lambda *args: back.set_result(args))
        await client.emit("message", ("é", {"n": [1]}))
        assert await back == ("é", {"n": [1]})
        assert await client.call("ack", {"x": None}) == {"x": None}

    run(scenario, testbed.url, transports)


@transports
def test_binary(testbed, transports):
    async def scenario(client):
        tree = [b"\x00\x01", {"deep": b"y" * 5_000}]
        assert await client.call("ack", (tree,)) == tree

    run(scenario, testbed.url, transports)


@transports
def test_many_calls_at_once(testbed, transports):
    async def scenario(client):
        assert await asyncio.gather(*(client.call("ack", number) for number in range(CALLS))) == list(range(CALLS))

    run(scenario, testbed.url, transports)


@transports
def test_the_server_asks_and_the_client_answers(testbed, transports):
    async def scenario(client):
        async def answer(number):
            return number * 2

        client.on("question", answer)
        assert list(await client.call("ask", ("question", 21))) == [None, 42]

    run(scenario, testbed.url, transports)


def test_many_clients_hear_one_broadcast(testbed):
    async def main():
        clients = [socketio.AsyncClient(reconnection=False) for _ in range(20)]
        heard = [asyncio.get_running_loop().create_future() for _ in clients]
        for index, client in enumerate(clients):
            client.on("bcast", heard[index].set_result, namespace="/dyn-20")
            ways = [["polling"], ["websocket"], ["polling", "websocket"]][index % 3]
            await client.connect(testbed.url, namespaces=["/dyn-20"], transports=ways, wait_timeout=TIMEOUT_S)
        await clients[0].emit("bcast", "hello", namespace="/dyn-20")
        assert await asyncio.wait_for(asyncio.gather(*heard), TIMEOUT_S) == ["hello"] * len(clients)
        await asyncio.gather(*(client.disconnect() for client in clients))

    asyncio.run(main())
