"""Requests and responses pass the edge as they are: which service, which fields, and how bodies are framed."""

import hashlib
import re
import ssl

from lab import SERVICES, Client, Edge, ask, backend, case, other, run

edge = Edge(SERVICES)


# ---- routing and fields ------------------------------------------------------------------------


@case
def host_is_matched_without_case_port_and_dot():
    for host in ("a.example", "A.Example", "a.example:8443", "a.example.", "A.EXAMPLE.:443"):
        client = Client()
        client.send(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n")
        status, _, body = client.response()
        assert status == 200, (host, status)
        assert f"Host: {host}\r\n".encode() in body, host
        client.close()


@case
def host_of_another_service_on_this_connection_is_misdirected():
    before = edge.counters()["refused_host"]
    n = (backend.connections, other.connections)
    for host in ("b.example", "nobody.example", "[::1]"):
        client = Client()
        client.send(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n")
        assert client.response()[0] == 421, host
        assert client.is_closed()
    assert (backend.connections, other.connections) == n
    assert edge.counters()["refused_host"] == before + 3


@case
def services_reach_their_own_backends():
    before = (backend.connections, other.connections)
    assert ask(host="a.example")[0] == 200
    assert ask(host="b.example")[0] == 200
    assert (backend.connections, other.connections) == (before[0] + 1, before[1] + 1)


@case
def spoofed_forwarding_fields_are_replaced():
    spoofed = "".join(
        f"{name}: 6.6.6.6\r\n"
        for name in (
            "X-Forwarded-For",
            "x_forwarded_for",
            "X-Forwarded-Proto",
            "X-Forwarded-Host",
            "X-Forwarded-Port",
            "X-Real-IP",
            "Forwarded",
            "Proxy",
        )
    )
    status, _, body = ask(fields=spoofed)
    text = body.decode()
    assert status == 200 and "6.6.6.6" not in text, text
    assert re.findall("(?im)^x-forwarded-for: (.*?)\r?$", text) == ["127.0.0.1"], text
    assert "X-Forwarded-Proto: https\r" in text and "X-Forwarded-Host: a.example\r" in text


@case
def hop_by_hop_fields_stay_here():
    fields = "Connection: X-Private\r\nX-Private: 1\r\nKeep-Alive: 3\r\nTE: trailers\r\n"
    fields += "Proxy-Authorization: Basic x\r\nUpgrade: h2c\r\nCookie: kept=1\r\n"
    text = ask(fields=fields)[2].decode().lower()
    for gone in ("x-private", "keep-alive", "te:", "proxy-", "upgrade"):
        assert gone not in text, gone
    assert "cookie: kept=1" in text


@case
def responses_pass_unchanged():
    status, fields, body = ask("/missing")
    assert (status, fields["x-mine"], body) == (404, "yes", b"my own 404 page")


# ---- framing -----------------------------------------------------------------------------------


@case
def chunked_responses_are_passed_on():
    status, fields, body = ask("/chunked")
    assert status == 200 and body == b"one,two,three" and "trailer" not in fields


@case
def response_until_close_is_chunked_for_1_1_and_bare_for_1_0():
    _, fields, body = ask("/untilclose")
    assert fields["transfer-encoding"] == "chunked" and body == b"all of it"
    _, fields, body = ask("/untilclose", minor=0)
    assert "transfer-encoding" not in fields and body == b"all of it"
    _, fields, body = ask("/chunked", minor=0)
    assert "transfer-encoding" not in fields and body == b"one,two,three"


@case
def bare_line_feeds_of_old_servers_are_read():
    status, fields, body = ask("/oldlf")
    assert (status, fields["server"], body) == (200, "old", b"old")


@case
def responses_without_a_body_keep_the_connection():
    client = Client()
    for path, method, status in (
        ("/nocontent", "GET", 204),
        ("/notmodified", "GET", 304),
        ("/headonly", "HEAD", 200),
        ("/echo", "GET", 200),
    ):
        client.request(path, method=method)
        got, fields, _ = client.response(bodiless=method == "HEAD")
        assert got == status, (path, got)
        if path == "/headonly":
            assert fields["content-length"] == "12345"
        if path == "/nocontent":
            assert "content-length" not in fields
    client.close()


@case
def expect_100_continue_is_answered_by_the_backend():
    client = Client()
    client.request(method="POST", fields="Expect: 100-continue\r\nContent-Length: 5\r\n")
    assert client.response()[0] == 100
    client.send("hello")
    status, _, body = client.response()
    assert status == 200 and b"body 5" in body
    client.close()


@case
def early_hints_reach_1_1_clients_only():
    client = Client()
    client.request("/hints")
    status, fields, _ = client.response()
    assert status == 103 and "link" in fields
    assert client.response()[2] == b"hinted"
    assert ask("/hints", minor=0)[0] == 200


@case
def chunked_uploads_arrive_whole():
    body = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: t\r\n\r\n"
    status, _, answer = ask(method="POST", fields="Transfer-Encoding: chunked\r\n", body=body)
    digest = hashlib.sha256(b"hello world").hexdigest()
    assert status == 200 and f"body 11 {digest}".encode() in answer


@case
def truncated_responses_are_seen_as_truncated():
    for path in ("/truncated", "/cutchunk"):
        client = Client()
        client.request(path)
        try:
            client.response()
            assert False, path
        except (EOFError, ssl.SSLError, ConnectionError):
            pass


@case
def keep_alive_serves_many_requests():
    before = edge.counters()["connections"]
    client = Client()
    for n in range(20):
        client.request(f"/echo?{n}")
        status, _, body = client.response()
        assert status == 200 and f"/echo?{n} ".encode() in body
    client.close()
    assert edge.counters()["connections"] == before + 1


@case
def pipelined_requests_are_answered_in_order():
    client = Client()
    text = ""
    for n in range(50):
        if n % 3 == 0:
            text += f"POST /echo?{n} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc"
        else:
            text += f"GET /chunked?{n} HTTP/1.1\r\nHost: a.example\r\n\r\n"
    client.send(text)
    for n in range(50):
        status, _, body = client.response()
        assert status == 200
        assert (f"/echo?{n} ".encode() in body) if n % 3 == 0 else body == b"one,two,three", n
    client.close()


@case
def connection_close_is_honoured():
    client = Client()
    client.request(fields="Connection: close\r\n")
    status, fields, _ = client.response()
    assert status == 200 and fields["connection"] == "close"
    assert client.is_closed()


@case
def request_byte_by_byte_is_served():
    client = Client()
    text = b"POST /count HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    for byte in text + b"3\r\nabc\r\n0\r\n\r\n":
        client.send(bytes([byte]))
    assert client.response()[2] == b"3"
    client.close()


run()
