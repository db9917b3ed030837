#!/usr/bin/env python3
"""Ask a hub every operation there is, and look for secrets in all that it says (H20).

usage: canary.py methods.json CONTROL_SOCKET SECRET_FILE... -- FILE...
  SECRET_FILE   a key in base64; it is looked for as such, as hexadecimal and as bytes
  FILE          what else is searched: logs, and answers kept before
"""
import base64
import json
import socket
import sys

# By type, what an operation gets; those that need more are asked all the same, and refuse.
VALUES = {"name": "laptop", "key": "8EeP+06S/GKqpp7AMWjqFScBgEhnWkUwmtQOjV1iO2A=", "prefixes": ["10.9.0.0/24"],
          "host": "www.example.test", "names": ["laptop"], "text": "laptop", "who": "peer:laptop", "to": "hub",
          "protocol": "tcp", "ports": ["443"], "windows": ["mon-fri 08:00-18:00 UTC"], "time": "2030-01-01T00:00:00Z",
          "target": "laptop:443", "file": {"name": "policy.conf", "text": "grants: ();\n"}}


def value(argument):
    return VALUES.get(argument["type"], argument.get("min", True))


def main(arguments):
    methods, path, *rest = arguments
    secrets, files = rest[:rest.index("--")], rest[rest.index("--") + 1:]
    said = {}
    with open(methods, encoding="utf-8") as file:
        listed = json.load(file)["methods"]
    # What takes away comes last, what gives keys away on purpose not at all.
    listed = [method for method in listed if method["name"] != "peer.add"]
    listed.sort(key=lambda method: method["name"].endswith((".remove", ".disable", ".apply")))
    for method in listed:
        for wanted in ("required", "help"):  # the least, then everything
            sent = [a for a in method["arguments"] if a.get(wanted) and not a.get("local")]
            request = {"id": 1, "method": method["name"], "params": {a["name"]: value(a) for a in sent}}
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(path)
                client.sendall((json.dumps(request) + "\n").encode())
                said[f"{method['name']} ({wanted})"] = client.makefile("rb").readline()
    for name in files:
        with open(name, "rb") as file:
            said[name] = file.read()
    found = 0
    for name in secrets:
        with open(name, encoding="ascii") as file:
            text = file.read().strip()
        raw = base64.b64decode(text)
        for where, data in said.items():
            if text.encode() in data or raw in data or raw.hex().encode() in data.lower():
                print(f"{where} has the secret of {name}")
                found += 1
    print(f"{len(listed)} operations, {len(said)} texts, {sum(map(len, said.values()))} bytes, {len(secrets)} secrets, {found} found")
    sys.exit(found != 0 or not secrets)


main(sys.argv[1:])
