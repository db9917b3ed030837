"""Services that come, go and move while others go on; how an edge begins and ends."""

import ssl
import subprocess
import threading
import time

from lab import HOST, PORT, SERVICES, UPGRADE, Client, Edge, ask, case, hasty_edge, other, run, websocket

edge = Edge(SERVICES)
hasty = hasty_edge()


@case
def services_come_and_go_while_others_go_on():
    download = Client()
    download.request("/bytes/%d" % (64 << 20))
    download.until(b"\r\n\r\n")
    gone = Client(host="b.example")
    gone.request("/ws", fields=UPGRADE)
    assert gone.response()[0] == 101
    idle = Client(host="b.example")
    idle.request()
    assert idle.response()[0] == 200

    start = time.monotonic()
    added = f"c=c.example=127.0.0.1:{other.port}"
    assert edge.order(f"set {SERVICES[0]} {added}") == "0"
    assert gone.is_closed() and idle.is_closed()
    assert time.monotonic() - start < 1
    try:
        Client(host="b.example")
        assert False, "a removed service was still there"
    except ssl.SSLError as error:
        assert "unrecognized name" in str(error).lower(), error
    assert ask(host="c.example")[0] == 200
    assert len(download.exactly(64 << 20)) == 64 << 20
    download.close()
    assert edge.order("set " + " ".join(SERVICES)) == "0"


@case
def new_target_serves_the_next_request_of_an_open_connection():
    client = Client()
    client.request()
    assert client.response()[0] == 200
    n = other.connections
    moved = f"a=a.example=127.0.0.1:{other.port}"
    assert edge.order("set " + " ".join([moved] + SERVICES[1:])) == "0"
    client.request()
    assert client.response()[0] == 200 and other.connections == n + 1
    client.close()
    assert edge.order("set " + " ".join(SERVICES)) == "0"


@case
def bad_table_leaves_the_old_one_in_place():
    assert edge.order("set A=A.EXAMPLE=127.0.0.1:1") == "-22"
    assert edge.order(f"set {SERVICES[0]} {SERVICES[0]}") == "-22"
    assert ask()[0] == 200
    assert edge.order("set " + " ".join(SERVICES)) == "0"


@case
def many_changes_under_load_lose_nothing():
    stop = threading.Event()
    failures = []

    def load():
        try:
            while not stop.is_set():
                client = Client(verify=False)  # certificates are new with every change
                for _ in range(5):
                    client.request()
                    if client.response()[0] != 200:
                        failures.append("status")
                client.close()
        except Exception as error:  # pylint: disable=broad-except
            failures.append(repr(error))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(60):
        extra = f"x=x.example=127.0.0.1:{other.port}" if n % 2 else ""
        assert edge.order("set " + " ".join(SERVICES + [extra])) == "0"
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]


@case
def second_edge_on_the_same_port_is_refused_by_name():
    command = [HOST, "--https", f"127.0.0.1:{PORT}"]
    result = subprocess.run(command, input=b"", capture_output=True, timeout=10)
    assert result.returncode == 1
    assert b"cannot listen on 127.0.0.1:8443" in result.stderr, result.stderr
    assert b"Address already in use" in result.stderr


@case
def both_edges_end_cleanly_with_connections_open():
    held = [websocket(), Client()]
    waiting = Client(port=hasty.port)
    waiting.request("/never")
    assert edge.quit() == 0, edge.log_text()[-3000:]
    assert hasty.quit() == 0, hasty.log_text()[-3000:]
    assert all(client.is_closed() for client in held)


run()
