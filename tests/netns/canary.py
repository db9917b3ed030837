#!/usr/bin/env python3
"""Ask a hub every operation there is, and look for secrets in all that it says (H11, H20).

usage: canary.py [--weir=PROGRAM] methods.json CONTROL_SOCKET SECRET_FILE... -- FILE...
  PROGRAM       ask by the command line, too
  SECRET_FILE   a key in base64; it is looked for as such, as hexadecimal and as bytes
  FILE          what else is searched: logs, the store, what processes were given, answers kept before
"""
import base64
import json
import socket
import subprocess
import sys
import tempfile

# By type, what an operation gets; those that need more are asked all the same, and refuse.
VALUES = {"name": "laptop", "key": "8EeP+06S/GKqpp7AMWjqFScBgEhnWkUwmtQOjV1iO2A=", "prefixes": ["10.9.0.0/24"],
          "host": "www.example.test", "names": ["laptop"], "text": "laptop", "who": "peer:laptop", "to": "hub",
          "protocol": "tcp", "ports": ["443"], "windows": ["mon-fri 08:00-18:00 UTC"], "time": "2030-01-01T00:00:00Z",
          "target": "laptop:443", "file": {"name": "policy.conf", "text": "grants: ();\n"}}


def value(argument):
    return VALUES.get(argument["type"], argument.get("min", True))


def asked(path, method, wanted):
    """The reply to a method with its arguments of a kind."""
    sent = [a for a in method["arguments"] if a.get(wanted) and not a.get("local")]
    request = {"id": 1, "method": method["name"], "params": {a["name"]: value(a) for a in sent}}
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(path)
        client.sendall((json.dumps(request) + "\n").encode())
        return client.makefile("rb").readline()


def typed(weir, path, method, policy):
    """What the command says, on both outputs, with the arguments that it must have."""
    words = []
    for argument in method["arguments"]:
        if not argument.get("required"):
            continue
        text = {"file": policy, "path": "-"}.get(argument["type"]) or value(argument)
        text = ",".join(text) if isinstance(text, list) else str(text)
        words += [text] if argument.get("positional") else [f"--{argument['name'].replace('_', '-')}", text]
    words += ["--seconds", "1"] if method["name"] == "capture" else []
    run = subprocess.run([weir, "-s", path, *method["name"].split("."), *words], capture_output=True, timeout=60, check=False)
    return run.stdout + run.stderr


def everything_said(methods, path, weir):
    """By where: the replies, twice each (the least arguments, then all), and with weir what that prints."""
    with open(methods, encoding="utf-8") as file:
        listed = json.load(file)["methods"]
    # What takes away comes last, what gives keys away on purpose not at all.
    listed = [method for method in listed if method["name"] != "peer.add"]
    listed.sort(key=lambda method: method["name"].endswith((".remove", ".disable", ".apply")))
    said = {}
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as policy:
        policy.write("grants: ();\n")
        policy.flush()
        for method in listed:
            if weir:
                said[f"weir {method['name']}"] = typed(weir, path, method, policy.name)
            for wanted in ("required", "help"):
                said[f"{method['name']} ({wanted})"] = asked(path, method, wanted)
    return said


def main(arguments):
    weir = arguments.pop(0).partition("=")[2] if arguments[0].startswith("--weir=") else None
    methods, path, *rest = arguments
    secrets, files = rest[:rest.index("--")], rest[rest.index("--") + 1:]
    said = everything_said(methods, path, weir)
    n = len(said)
    for name in files:
        with open(name, "rb") as file:
            said[name] = file.read()
    found = 0
    for name in secrets:
        with open(name, encoding="ascii") as file:
            text = file.read().strip()
        raw = base64.b64decode(text)
        assert len(raw) == 32, f"{name} is no key"
        for where, data in said.items():
            if text.encode() in data or raw in data or raw.hex().encode() in data.lower():
                print(f"{where} has the secret of {name}")
                found += 1
    print(f"{n} answers, {len(files)} files, {sum(map(len, said.values()))} bytes, {len(secrets)} secrets, {found} found")
    sys.exit(found != 0 or not secrets)


main(sys.argv[1:])
