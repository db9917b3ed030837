#!/usr/bin/env python3
"""Clients that must not notice an upgrade: askers.py CONTROL_SOCKET ADDRESS HOST SIZE.

Until standard input ends: over HTTPS a new connection for each request, one that is kept open as long as the other
side likes, and slow downloads of /big.bin (SIZE bytes); over the control socket a new connection for each request, and
one for all. Prints a line for each: its name, how many were answered, and the first failure. Exit code 1 with any.
"""
import http.client
import json
import socket
import ssl
import sys
import threading
import time

CONTROL, ADDRESS, HOST, SIZE = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
stop = threading.Event()


def web():
    """A connection to the published service."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(HOST, timeout=20, context=context)
    raw = socket.create_connection((ADDRESS, 443), timeout=20)
    connection.sock = context.wrap_socket(raw, server_hostname=HOST)
    return connection


def get(connection, path="/", pause=0.0):
    """One request; returns whether the connection stays."""
    connection.request("GET", path)
    response = connection.getresponse()
    n = 0
    while chunk := response.read(65536):
        n += len(chunk)
        time.sleep(pause)
    assert response.status == 200 and n == (SIZE if path == "/big.bin" else n) and n > 0, (response.status, n)
    return not response.will_close


def https_each():
    connection = web()
    get(connection)
    connection.close()


class Kept:
    """One connection for as long as it lasts; the other side says when it is over."""

    def __init__(self):
        self.connection = None

    def __call__(self):
        self.connection = self.connection or web()
        if not get(self.connection):
            self.connection.close()
            self.connection = None


def https_slow():
    connection = web()
    get(connection, "/big.bin", 0.03)
    connection.close()


def dial():
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(CONTROL)
    return client.makefile("rwb")


def ask(file):
    file.write(b'{"method": "status"}\n')
    file.flush()
    line = file.readline()
    assert "result" in json.loads(line or b"{}"), line


def control_each():
    with dial() as file:
        ask(file)


class ControlKept:
    def __init__(self):
        self.file = dial()

    def __call__(self):
        ask(self.file)


def run(name, what, results):
    """Again and again, until the end or the first failure."""
    n, why = 0, ""
    while not stop.is_set() and not why:
        try:
            what()
            n += 1
            time.sleep(0.002)
        except (OSError, AssertionError, ValueError, http.client.HTTPException) as error:
            why = f"FAILED after {n}: {error!r}"
    results[name] = (n, why)


def main():
    """All of them at once."""
    results, threads = {}, []
    for name, what in (("https, each its connection", https_each), ("https, one connection", Kept()), ("https, slow", https_slow),
                       ("control, each its connection", control_each), ("control, one connection", ControlKept())):
        threads.append(threading.Thread(target=run, args=(name, what, results)))
        threads[-1].start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    for name, (n, why) in results.items():
        print(name, n, why)
    sys.exit(any(why or n == 0 for n, why in results.values()))


main()
