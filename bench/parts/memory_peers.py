"""Add many peers over the control socket: memory_peers.py SOCKET PEERS. Prints the seconds it took;
progress on stderr."""

import base64
import json
import os
import socket
import sys
import time

WINDOW = 32  # requests on their way at a time


def request(number):
    key = base64.b64encode(os.urandom(32)).decode()
    return json.dumps({"id": number, "method": "peer.add", "params": {
        "name": f"many-{number}", "public_key": key}}) + "\n"


def add(path, peers):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(path)
        replies = client.makefile("r", encoding="utf-8")
        sent = 0
        for answered in range(peers):
            while sent < min(peers, answered + WINDOW):
                client.sendall(request(sent).encode())
                sent += 1
            line = replies.readline()
            if "result" not in json.loads(line or "{}"):
                raise SystemExit(f"memory_peers.py: peer {answered}: {line.strip() or 'closed'}")
            if answered % 1000 == 999:
                print(f"{answered + 1} of {peers} peers", file=sys.stderr, flush=True)


if __name__ == "__main__":
    began = time.monotonic()
    add(sys.argv[1], int(sys.argv[2]))
    print(round(time.monotonic() - began, 3))
