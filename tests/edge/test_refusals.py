"""What the edge refuses before a backend hears of it, and port 80."""

import re
import socket

from lab import A, PLAIN, SERVICES, Client, Edge, ask, backend, case, run

edge = Edge(SERVICES)


SMUGGLING = [
    (400, "both lengths", f"POST / HTTP/1.1\r\n{A}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, "two lengths", f"POST / HTTP/1.1\r\n{A}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd"),
    (400, "list of lengths", f"POST / HTTP/1.1\r\n{A}Content-Length: 4, 4\r\n\r\nabcd"),
    (400, "signed length", f"POST / HTTP/1.1\r\n{A}Content-Length: +4\r\n\r\nabcd"),
    (501, "unknown coding", f"POST / HTTP/1.1\r\n{A}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    (400, "chunked twice", f"POST / HTTP/1.1\r\n{A}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, "space before colon", f"POST / HTTP/1.1\r\n{A}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    (400, "folded line", f"POST / HTTP/1.1\r\n{A}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    (400, "bare LF", f"GET / HTTP/1.1\r\n{A}X: y\nContent-Length: 4\r\n\r\nabcd"),
    (400, "bare CR", f"GET / HTTP/1.1\r\n{A}X: y\rContent-Length: 4\r\n\r\nabcd"),
    (400, "empty name", f"GET / HTTP/1.1\r\n{A}: Content-Length: 4\r\n\r\nabcd"),
    (400, "NUL", f"GET / HTTP/1.1\r\n{A}X: a\0b\r\n\r\n"),
    (400, "no Host", "GET / HTTP/1.1\r\nX: y\r\n\r\n"),
    (400, "two Hosts", f"GET / HTTP/1.1\r\n{A}{A}\r\n"),
    (400, "other absolute form", f"GET http://b.example/ HTTP/1.1\r\n{A}\r\n"),
    (400, "coding in HTTP/1.0", f"POST / HTTP/1.0\r\n{A}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (405, "CONNECT", f"CONNECT a.example:443 HTTP/1.1\r\n{A}\r\n"),
    (505, "HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (414, "long target", f"GET /{'a' * 9000} HTTP/1.1\r\n{A}\r\n"),
    (414, "endless target", f"GET /{'a' * 20000}"),
    (431, "long field", f"GET / HTTP/1.1\r\n{A}X: {'a' * 17000}\r\n\r\n"),
    (431, "many fields", f"GET / HTTP/1.1\r\n{A}{''.join(f'X{n}: y' + chr(13) + chr(10) for n in range(200))}\r\n"),
]


@case
def smuggling_is_refused_and_reaches_no_backend():
    before = edge.counters()["refused_request"]
    n = backend.connections
    for status, name, text in SMUGGLING:
        client = Client()
        client.send(text + f"GET /smuggled HTTP/1.1\r\n{A}\r\n")
        got, fields, _ = client.response()
        assert got == status, (name, got)
        assert fields["connection"] == "close", name
        assert client.is_closed(), name
        assert b"HTTP/1.1" not in client.data, name
    assert backend.connections == n
    assert edge.counters()["refused_request"] == before + len(SMUGGLING)


@case
def bad_chunks_are_refused_and_the_backend_sees_no_end():
    before = edge.counters()["refused_request"]
    bad = [b"zz\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"3\nabc\r\n", b"ffffffffffffffffff\r\n", b"-1\r\n"]
    for body in bad:
        backend.aborted.clear()
        status, _, _ = ask("/echo", method="POST", fields="Transfer-Encoding: chunked\r\n", body=body)
        assert status == 400, body
    assert edge.counters()["refused_request"] == before + len(bad)


# ---- port 80 -----------------------------------------------------------------------------------


def plain_request(text, port=PLAIN):
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.sendall(text.encode("latin-1"))
    data = b"".join(iter(lambda: sock.recv(65536), b"")).decode("latin-1")
    location = re.search("(?im)^location: (.*?)\r$", data)
    return int(data.split(" ")[1]), location.group(1) if location else None


@case
def port_80_redirects_to_published_hosts_only():
    table = [
        ("GET /x?y=z HTTP/1.1", "a.example", 301, "https://a.example:8443/x?y=z"),
        ("HEAD / HTTP/1.1", "A.Example.:8080", 301, "https://a.example:8443/"),
        ("POST /p HTTP/1.1", "a.example", 308, "https://a.example:8443/p"),
        ("GET / HTTP/1.0", "b.example", 301, "https://b.example:8443/"),
        ("GET //evil.example/ HTTP/1.1", "a.example", 301, "https://a.example:8443//evil.example/"),
        ("GET http://a.example/q HTTP/1.1", "a.example", 301, "https://a.example:8443/q"),
        ("GET / HTTP/1.1", "evil.example", 404, None),
        ("GET / HTTP/1.1", "a.example.evil.example", 404, None),
        ("GET / HTTP/1.1", "127.0.0.1", 404, None),
        ("GET http://evil.example/ HTTP/1.1", "a.example", 400, None),
        ("GET @evil.example/ HTTP/1.1", "a.example", 400, None),
        ("GET / HTTP/1.1", "a.example@evil.example", 400, None),
        ("GET / HTTP/1.1", "a.example\r\nHost: evil.example", 400, None),
        ("GET /\r\nSet-Cookie: x HTTP/1.1", "a.example", 400, None),
    ]
    before = edge.counters()["redirects"]
    for line, host, status, location in table:
        got = plain_request(f"{line}\r\nHost: {host}\r\n\r\n")
        assert got == (status, location), (line, host, got)
    assert edge.counters()["redirects"] == before + 6


@case
def port_80_reaches_no_backend():
    n = backend.connections
    plain_request("GET /echo HTTP/1.1\r\nHost: a.example\r\n\r\n")
    assert backend.connections == n


run()
