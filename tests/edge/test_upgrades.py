"""WebSockets and whatever else a connection is upgraded to."""

import os
import socket
import ssl
import time

from lab import PORT, SERVICES, UPGRADE, WORK, Client, Edge, ask, backend, case, hasty_edge, run, websocket

edge = Edge(SERVICES)
hasty = hasty_edge()


@case
def websocket_echoes_small_and_large_binary():
    before = edge.counters()["websockets"]
    client = websocket()
    client.send(b"\x81\x85mask")
    assert client.exactly(6) == b"\x81\x85mask"
    blob = os.urandom(1 << 20)
    echo = b""
    for at in range(0, 1 << 20, 1 << 15):  # two pieces under way
        client.send(blob[at : at + (1 << 15)])
        if at > 0:
            echo += client.exactly(1 << 15)
    assert echo + client.exactly(1 << 15) == blob
    client.close()
    assert edge.counters()["websockets"] == before + 1


@case
def bytes_sent_with_the_upgrade_request_are_not_lost():
    client = Client()
    client.request("/ws", fields=UPGRADE, body=b"early bird")
    assert client.response()[0] == 101
    assert client.exactly(10) == b"early bird"
    client.close()


@case
def idle_websocket_outlives_every_other_limit():
    client = websocket(port=hasty.port)
    time.sleep(3.5)  # limits of this edge are 1 and 2 s
    client.send(b"\x89\x00")
    assert client.exactly(2) == b"\x89\x00"
    client.close()


@case
def websocket_whose_client_takes_nothing_ends():
    backend.aborted.clear()
    client = websocket(port=hasty.port, path="/wsflood")
    assert backend.aborted.wait(15), "the backend still sends"  # the limit is 2 s
    client.close()


@case
def client_half_close_after_upgrade_still_gets_the_answer():
    context = ssl.create_default_context(cafile=f"{WORK}/{PORT}/a.example.pem")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="a.example")
    sock = socket.create_connection(("127.0.0.1", PORT), 10)

    def step(call):
        while True:
            try:
                result = call()
                sock.sendall(outgoing.read())
                return result
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                data = sock.recv(65536)
                incoming.write(data) if data else incoming.write_eof()

    step(tls.do_handshake)
    step(lambda: tls.write(b"GET /ws HTTP/1.1\r\nHost: a.example\r\n" + UPGRADE.encode() + b"\r\n"))
    data = b""
    while b"\r\n\r\n" not in data:
        data += step(lambda: tls.read(4096))
    step(lambda: tls.write(b"last"))
    try:
        tls.unwrap()  # writes close_notify, and wants the other side's
    except ssl.SSLWantReadError:
        pass
    sock.sendall(outgoing.read())
    sock.shutdown(socket.SHUT_WR)
    encrypted = b"".join(iter(lambda: sock.recv(65536), b""))
    # OpenSSL reads no application data after its own shutdown, so the records are weighed: "last",
    # "bye" and close_notify are 5 + 17 bytes of overhead each (TLS 1.3), 4, 3 and 2 of content.
    sizes = []
    while encrypted:
        size = int.from_bytes(encrypted[3:5], "big")
        sizes.append(size - 17)
        encrypted = encrypted[5 + size :]
    assert sizes[-1] == 2 and sum(sizes[:-1]) == 7, sizes


@case
def backend_half_close_after_upgrade_still_hears_the_client():
    backend.release.clear()
    client = Client()
    client.request("/wsclose", fields="Connection: upgrade\r\nUpgrade: x\r\n")
    assert client.response()[0] == 101
    assert client.rest() == b"last words"
    client.send(b"I still talk")
    client.close()
    assert backend.release.wait(5)
    assert backend.heard == b"I still talk"


@case
def refused_upgrade_is_an_ordinary_response():
    client = Client()
    client.request("/missing", fields=UPGRADE)
    assert client.response()[0] == 404
    client.request("/echo")
    assert client.response()[0] == 200
    client.close()


@case
def switch_that_nobody_asked_for_is_a_bad_gateway():
    assert ask("/unasked")[0] == 502


run()
