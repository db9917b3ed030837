#!/usr/bin/env python3
"""The control socket: what clients send, and how slow, many and mad they may be."""
import json
import os
import signal
import socket
import subprocess
import threading

from lab import HUB, WEIR, ask, lines, resident_kb, run


def replies_carry_the_id_of_their_request(hub):
    with hub.connect() as client, lines(client) as reader:
        for ident in (1, "x", None, 2**53):
            reply = ask(client, reader, {"id": ident, "method": "status"})
            assert reply["id"] == ident and "result" in reply, reply
        reply = ask(client, reader, {"method": "status"})
        assert reply["id"] is None, reply


def many_requests_in_one_write_are_answered_in_order(hub):
    with hub.connect() as client, lines(client) as reader:
        n = 300
        text = "".join(json.dumps({"id": i, "method": "peer.list"}) + "\n" for i in range(n))
        sender = threading.Thread(target=client.sendall, args=(text.encode(),))
        sender.start()
        for i in range(n):
            assert json.loads(reader.readline())["id"] == i
        sender.join()


def a_request_in_single_bytes_is_answered(hub):
    with hub.connect() as client, lines(client) as reader:
        for byte in b'{"id":7,"method":"status"}\n':
            client.sendall(bytes([byte]))
        assert json.loads(reader.readline())["id"] == 7


def a_client_that_shuts_down_its_side_still_gets_its_answers(hub):
    with hub.connect() as client, lines(client) as reader:
        client.sendall(b'{"id":1,"method":"status"}\n' * 40)
        client.shutdown(socket.SHUT_WR)
        assert len(reader.readlines()) == 40


def garbage_is_told_so_and_closed(hub):
    cases = [(b"hello\n", "not JSON"), (b"[]\n", "a request is an object"),
             (b'{"method":1}\n', "method is missing"), (b'{"id":1}\n', "method is missing"),
             (b'{"id":[],"method":"status"}\n', "id must be"),
             (b'{"id":1.5,"method":"status"}\n', "id must be"),
             (b'{"id":1,"method":"status","x":1}\n', "no members but"),
             (b'{"id":1,"id":2,"method":"status"}\n', "not JSON"),
             (b'{"id":1,"method":"\xff"}\n', "not JSON"),
             (b'{"id":1,"method":"a\\u0000b"}\n', "not JSON"),
             (b"[" * 60000 + b"\n", "not JSON"),
             (b"x" * 67200000, "longer than 67108864")]
    for text, expected in cases:
        with hub.connect() as client, lines(client) as reader:
            try:
                client.sendall(text)
            except BrokenPipeError:
                pass
            reply = json.loads(reader.readline())
            assert reply["error"]["code"] == "bad_request", reply
            assert expected in reply["error"]["message"], reply
            try:
                assert reader.readline() == "", "not closed"
            except ConnectionResetError:
                pass
    hub.ok("status")


def refusals_leave_the_connection_open(hub):
    with hub.connect() as client, lines(client) as reader:
        reply = ask(client, reader, {"id": 1, "method": "nonsense"})
        assert reply["error"] == {"code": "unknown_method", "field": None,
                                  "message": 'there is no method "nonsense"'}, reply
        reply = ask(client, reader, {"id": 2, "method": "peer.show", "params": {"name": 5}})
        assert reply["error"]["code"] == "bad_argument" and reply["error"]["field"] == "name"
        reply = ask(client, reader, {"id": 3, "method": "status", "params": None})
        assert reply["error"]["code"] == "bad_argument", reply
        assert "result" in ask(client, reader, {"id": 4, "method": "status"})


def slow_and_silent_clients_hold_nobody_up(hub):
    before = resident_kb(hub)
    slow = [hub.connect() for _ in range(20)]
    for i, client in enumerate(slow):
        client.sendall(b'{"id":1,"meth' if i % 2 else b"")
    # one that asks and never reads: its answers fill the socket, then its buffer, then it waits
    greedy = hub.connect()
    greedy.setblocking(False)
    try:
        for _ in range(2000):
            greedy.send(b'{"id":1,"method":"counters"}\n' * 50)
    except BlockingIOError:
        pass
    hub.ok("status")
    grown = resident_kb(hub) - before
    assert grown < 16 * 1024, f"{grown} kB more"
    for client in slow + [greedy]:
        client.close()


def more_clients_than_allowed_are_closed_not_queued(hub):
    clients = [hub.connect() for _ in range(64)]
    for client in clients:  # all are accepted before the next comes
        assert ask(client, lines(client), {"method": "status"})["id"] is None
    with hub.connect() as extra:
        assert extra.recv(1) == b""
    for client in clients:
        client.close()


def the_socket_is_for_its_owner_only(hub):
    assert os.stat(hub.socket).st_mode & 0o777 == 0o600
    if os.getuid() != 0:
        return
    os.chmod(hub.socket, 0o666)  # even if it were opened up: credentials are checked
    os.chmod(hub.dir, 0o755)
    run = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                          WEIR, "-s", hub.socket, "status"], capture_output=True, text=True,
                         timeout=30, check=False)
    assert run.returncode == 1 and "only root" in run.stderr, run


def a_second_hub_on_the_socket_is_refused_and_the_first_goes_on(hub):
    run = subprocess.run([HUB, hub.conf], capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 1, run
    assert f"{hub.socket}: control socket: a hub is already running here" in run.stderr, run
    hub.ok("status")


def a_stale_socket_file_is_replaced(hub):
    hub.kill(signal.SIGKILL)
    assert os.path.exists(hub.socket)
    hub.start()
    hub.ok("status")


def a_file_in_the_sockets_place_is_left_alone(hub):
    hub.kill(signal.SIGTERM)
    os.unlink(hub.socket)
    with open(hub.socket, "w", encoding="utf-8") as file:
        file.write("mine")
    run = subprocess.run([HUB, hub.conf], capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 1 and "is not a socket" in run.stderr, run
    os.unlink(hub.socket)
    hub.start()


run(globals())
