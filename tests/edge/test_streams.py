"""Bodies pass the edge while they come, in bounded memory, however slow or many the clients are."""

import socket
import ssl
import threading
import time

from lab import SERVICES, Client, Edge, backend, case, run, wait_until

edge = Edge(SERVICES)


@case
def first_byte_reaches_the_backend_before_the_last_is_sent():
    for fields, body, end in (
        ("Content-Length: 10\r\n", b"first", b"12345"),
        ("Transfer-Encoding: chunked\r\n", b"5\r\nfirst\r\n", b"5\r\n12345\r\n0\r\n\r\n"),
    ):
        backend.first_byte.clear()
        client = Client()
        client.request("/count", method="POST", fields=fields, body=body)
        assert backend.first_byte.wait(5)
        client.send(end)
        assert client.response()[2] == b"10"
        client.close()


@case
def first_byte_of_the_response_arrives_before_the_last_is_sent():
    client = Client()
    client.request("/held")
    client.until(b"\r\n\r\n")
    assert client.exactly(5) == b"first"
    backend.release.set()
    assert client.exactly(5) == b"secon"
    client.close()


@case
def big_download_in_bounded_memory():
    before = edge.rss_kb()
    client = Client()
    client.request("/bytes/%d" % (100 << 20))
    client.until(b"\r\n\r\n")
    left, peak = (100 << 20) - len(client.data), 0
    buffer = bytearray(1 << 20)
    while left > 0:
        n = client.sock.recv_into(buffer)
        assert n > 0
        left -= n
        peak = max(peak, edge.rss_kb() if left % 16 == 0 else 0)
    client.close()
    assert max(peak, edge.rss_kb()) - before < 8192, (before, peak)


@case
def big_upload_in_bounded_memory():
    before = edge.rss_kb()
    client = Client()
    client.request("/count", method="POST", fields=f"Content-Length: {100 << 20}\r\n")
    block = b"u" * (1 << 20)
    peak = 0
    for _ in range(100):
        client.send(block)
        peak = max(peak, edge.rss_kb())
    assert client.response()[2] == b"%d" % (100 << 20)
    client.close()
    assert peak - before < 8192, (before, peak)


def stalled_reader(size):
    before = edge.rss_kb()
    client = Client()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.request(f"/flood/{size}")
    client.until(b"\r\n\r\n")
    last = -1
    while backend.sent != last:  # until the backend is held up
        last = backend.sent
        time.sleep(0.3)
    grown = edge.rss_kb() - before
    assert last < 32 << 20, last
    assert grown < 4096, grown
    backend.aborted.clear()
    client.close()
    assert backend.aborted.wait(10)


@case
def reader_that_stalls_holds_the_backend_up():
    stalled_reader(1 << 16)


@case
def single_bytes_for_a_stalled_reader_take_little_memory():
    stalled_reader(1)


@case
def client_that_leaves_ends_the_backend_connection():
    backend.aborted.clear()
    client = Client()
    client.request("/never")
    assert wait_until(lambda: "/never" in backend.heads[-1])
    client.close()
    assert backend.aborted.wait(5)


@case
def early_answer_reaches_a_client_that_is_still_sending():
    client = Client()
    client.request("/early", method="POST", fields="Content-Length: 1000000000\r\n")
    try:
        for _ in range(64):
            client.send(b"x" * 65536)
    except (OSError, ssl.SSLError):
        pass
    status, _, body = client.response()
    assert status == 413 and body == b"too much"


@case
def two_hundred_connections_at_once():
    answers = []
    barrier = threading.Barrier(200)

    def one(n):
        client = Client()
        barrier.wait(60)
        client.request(f"/echo?{n}")
        status, _, body = client.response()
        answers.append(status == 200 and f"/echo?{n} ".encode() in body)
        client.close()

    threads = [threading.Thread(target=one, args=(n,)) for n in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 200 and all(answers), (len(answers), answers.count(True))


run()
