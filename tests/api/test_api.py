#!/usr/bin/env python3
"""The control socket and the weir command against a hub without packets (hub.c). Prints TAP.

usage: test_api.py api_hub weir generate.py methods.json weir.bash
"""
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

import pcapng

HERE = os.path.dirname(os.path.abspath(__file__))
HUB, WEIR, GENERATE, METHODS, COMPLETION = sys.argv[1:6]
KEY = "8EeP+06S/GKqpp7AMWjqFScBgEhnWkUwmtQOjV1iO2A="
CONF = """
hub: { tunnel = [ "10.77.0.1/24", "fd77::1/64" ]; endpoint = "vpn.example.org:51820"; preshared_key = "optional"; };
dataplane: { max_peers = 32; };
ports: ( { name = "wan0"; driver = "vdev"; device = "net_null0"; } );
control: { run_dir = "%(dir)s"; store = "%(dir)s/store/weir.db"; };
edge: { https = [ "127.0.0.1:443" ]; };
peers: ( { name = "branch"; public_key = "v8aYBD+pwWb90iRS53SJ4udFyC+dqHWR6lAUWYaxLNA="; } );
"""


class Hub:
    """One hub in a directory of its own; started again on the same store by restart()."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="weir-test-api-")
        self.conf = os.path.join(self.dir, "weir.conf")
        self.socket = os.path.join(self.dir, "control.sock")
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write(CONF % {"dir": self.dir})
        self.start()

    def start(self):
        self.process = subprocess.Popen([HUB, self.conf], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "listening\n", "hub did not start"

    def kill(self, number):
        self.process.send_signal(number)
        code = self.process.wait(10)
        self.process.stdout.close()
        return code

    def restart(self):
        self.kill(signal.SIGKILL)
        self.start()

    def end(self):
        code = self.kill(signal.SIGTERM)
        shutil.rmtree(self.dir)
        return code

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(60)
        client.connect(self.socket)
        return client

    def weir(self, *words, env=None):
        return subprocess.run([WEIR, "-s", self.socket, *words], capture_output=True, text=True,
                              timeout=30, env=env, check=False)

    def ok(self, *words):
        run = self.weir(*words)
        assert run.returncode == 0, f"{words}: {run.returncode} {run.stderr}"
        return run.stdout

    def json(self, *words):
        return json.loads(self.ok("-o", "json", *words))

    def refused(self, code, text, *words):
        run = self.weir(*words)
        assert run.returncode == code, f"{words}: exit {run.returncode}, expected {code}: {run.stderr}"
        assert text in run.stderr, f"{words}: {run.stderr!r} does not say {text!r}"
        assert run.stdout == "", f"{words}: printed {run.stdout!r}"


def lines(client):
    return client.makefile("r", encoding="utf-8")


def ask(client, reader, request):
    client.sendall(request if isinstance(request, bytes) else (json.dumps(request) + "\n").encode())
    return json.loads(reader.readline())


def resident_kb(hub):
    with open(f"/proc/{hub.process.pid}/status", encoding="utf-8") as file:
        return int(next(line.split()[1] for line in file if line.startswith("VmRSS")))


# ---- the socket ----------------------------------------------------------------------------------

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


# ---- the command ---------------------------------------------------------------------------------

def peers_are_added_listed_shown_and_removed(hub):
    text = hub.ok("peer", "add", "laptop", "--public-key", KEY, "--keepalive", "25")
    assert text.startswith("[Interface]\n") and "PrivateKey = <private-key>" in text, text
    assert "PresharedKey = " in text and "<preshared-key>" not in text
    text = hub.ok("peer", "add", "phone")
    assert "<private-key>" not in text
    names = [peer["name"] for peer in hub.json("peer", "list")["peers"]]
    assert names == ["branch", "laptop", "phone"], names
    table = hub.ok("peer", "list").splitlines()
    assert table[0].split() == ["NAME", "ADDRESS", "ENDPOINT", "HANDSHAKE", "RX", "TX"]
    assert table[2].startswith("laptop  10.77.0.3, fd77::3") and "never" in table[2], table
    peer = hub.json("peer", "show", "laptop")["peer"]
    assert peer["public_key"] == KEY and peer["keepalive"] == 25 and peer["preshared_key"] is True
    assert peer["declared_at"] is None
    assert hub.json("peer", "show", "branch")["peer"]["declared_at"] == f"{hub.conf}:7"
    assert KEY in hub.ok("peer", "show", "laptop")
    assert hub.ok("peer", "remove", "laptop") == "removed laptop\n"
    hub.refused(1, 'no peer is called "laptop"', "peer", "show", "laptop")
    hub.refused(1, f"declared in {hub.conf}:7", "peer", "remove", "branch")


def limits_are_set_shown_kept_and_taken_back(hub):
    hub.ok("peer", "add", "heavy")
    text = hub.ok("peer", "limit", "heavy", "--rx-bytes", "20Mbit", "--tx-packets", "5k", "--quota", "100G")
    for wanted in ("limits         from peer", "20.000 Mbit/s", "5000 packets/s", "0 B of 93.1 GiB", "until        "):
        assert wanted in text, (wanted, text)
    hub.restart()
    limits = hub.json("peer", "show", "heavy")["peer"]["limits"]
    assert (limits["rx_bytes"], limits["tx_packets"], limits["quota"]) == (2500000, 5000, 100 * 10**9), limits
    assert limits["rx_bytes_burst"] == 250000 and not limits["month"]["reached"], limits
    hub.refused(2, "--rx-bytes", "peer", "limit", "heavy", "--rx-bytes")
    hub.refused(2, "rx-bytes is \"1Tbit\"", "peer", "limit", "heavy", "--rx-bytes", "1Tbit")
    hub.refused(2, "stands alone", "peer", "limit", "heavy", "--tx-bytes-burst", "1M")
    hub.ok("quota", "reset", "heavy")
    hub.ok("peer", "limit", "heavy", "--quota", "0")
    hub.refused(1, "has no quota", "quota", "reset", "heavy")
    hub.ok("peer", "limit", "heavy", "--default")
    assert hub.json("peer", "show", "heavy")["peer"]["limits"] is None
    hub.ok("peer", "remove", "heavy")


def acknowledged_peers_survive_kill_9(hub):
    for i in range(10):
        hub.ok("peer", "add", f"p{i}")
        if i % 3 == 0:
            hub.restart()
    hub.restart()
    names = [peer["name"] for peer in hub.json("peer", "list")["peers"]]
    assert names == ["branch"] + [f"p{i}" for i in range(10)], names
    hub.ok("peer", "remove", "p4")
    hub.restart()
    hub.refused(1, "no peer", "peer", "show", "p4")


def changes_in_one_write_are_all_answered_and_survive_kill_9(hub):
    with hub.connect() as client, lines(client) as reader:
        asked = [("add", i) for i in range(20)] + [("add", 7), ("add", 20), ("remove", 3)]
        client.sendall("".join(json.dumps({"id": k, "method": f"peer.{what}", "params": {"name": f"p{i}"}}) + "\n"
                               for k, (what, i) in enumerate(asked)).encode())
        for k in range(len(asked)):
            reply = json.loads(reader.readline())
            assert reply["id"] == k and ("error" in reply) == (k == 20), reply
        assert len(hub.json("audit", "trail")["records"]) >= 22
    hub.restart()
    names = {peer["name"] for peer in hub.json("peer", "list")["peers"]}
    assert names == {"branch"} | {f"p{i}" for i in range(21) if i != 3}, names
    assert hub.json("audit", "verify")["failed"] is False


def concurrent_adds_give_everybody_another_address(hub):
    def add(i):
        for k in range(3):
            hub.ok("peer", "add", f"t{i}-{k}")
    threads = [threading.Thread(target=add, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    peers = hub.json("peer", "list")["peers"]
    addresses = [address for peer in peers for address in peer["addresses"]]
    assert len(peers) == 19 and len(set(addresses)) == 38, peers


def services_are_published_and_taken_back(hub):
    hub.ok("peer", "add", "home")
    text = hub.ok("service", "add", "blog", "--host", "blog.example.org", "--target", "home:8080")
    assert text == ("published https://blog.example.org/ -> home:8080 (10.77.0.3), "
                    "certificate self-signed\n"), text
    service = hub.json("service", "list")["services"][0]
    assert service["target"] == "home:8080" and service["state"] == "published"
    assert "https://blog.example.org/" in hub.ok("service", "list")
    hub.refused(1, 'service "blog" points to peer "home"', "peer", "remove", "home")
    hub.refused(1, "--host: blog.example.org belongs to service \"blog\"",
                "service", "add", "b", "--host", "BLOG.example.org", "--target", "home:1")
    hub.ok("service", "remove", "blog")
    assert hub.ok("service", "list") == "no services\n"


def status_and_counters_read_well(hub):
    status = hub.json("status")
    assert status["control"]["pid"] == hub.process.pid and status["dataplane"]["pid"] == 4711
    assert "dataplane   pid 4711, ready" in hub.ok("status")
    counters = hub.json("counters")
    assert counters["counters"]["rx_wan"] == 1000 and counters["edge"]["requests"] == 7
    text = hub.ok("counters", "--nonzero")
    assert "drop_replay" in text and "drop_auth" not in text
    assert hub.json("counters", "--worker", "0")["counters"]["rx_wan"] == 500


def wrong_usage_is_exit_2_and_names_the_argument(hub):
    cases = [((), "which command?"), (("pear",), 'no command "pear"'), (("peer",), "peer what?"),
             (("peer", "ad"), 'no command "peer ad"'),
             (("peer", "add"), "NAME is missing, must be 1 to 63"),
             (("peer", "add", "A"), 'NAME is "A", must be 1 to 63'),
             (("peer", "add", "a", "b"), '"b" is one argument too many'),
             (("peer", "add", "a", "--public-key"), "--public-key needs a value"),
             (("peer", "add", "a", "--public-key", "x"), "--public-key is a text of 1 characters"),
             (("peer", "add", "a", "--keepalive", "70000"),
              "--keepalive is 70000, must be 0 to 65535 seconds (0 turns it off)"),
             (("peer", "add", "a", "--keepalive", "1m"), '--keepalive is "1m", must be'),
             (("peer", "add", "a", "--keepalive="), '--keepalive is "", must be'),
             (("peer", "add", "a", "--keepalive", "1", "--keepalive", "2"), "given twice"),
             (("peer", "add", "a", "--allowed-ips", "10.0.0.1/8"),
              '--allowed-ips has "10.0.0.1/8", must be up to 1024 networks'),
             (("peer", "add", "a", "--frob"), "peer.add has no option --frob"),
             (("peer", "add", "a", "--no-preshared-key=1"), "takes no value"),
             (("service", "add", "a", "--target", "b:1"), "--host is missing"),
             (("service", "add", "a", "--host", "x y", "--target", "b:1"), '--host is "x y"'),
             (("-o", "xml", "status"), '-o is "xml", must be text or json'),
             (("--frob",), "no option --frob")]
    for words, text in cases:
        hub.refused(2, text, *words)


def options_may_stand_anywhere_in_every_spelling(hub):
    for words in (("-ojson", "peer", "list"), ("peer", "-o", "json", "list"),
                  ("peer", "list", "--output=json"), ("peer", "list", "--limit=1", "-ojson"),
                  ("peer", "list", "--limit", "1", "--output", "json")):
        assert json.loads(hub.ok(*words))["peers"][0]["name"] == "branch", words
    run = subprocess.run([WEIR, "status"], capture_output=True, text=True, timeout=30, check=False,
                         env={**os.environ, "WEIR_SOCKET": hub.socket})
    assert run.returncode == 0, run


def errors_are_json_on_request(hub):
    run = hub.weir("-o", "json", "peer", "show", "nobody")
    assert run.returncode == 1 and run.stdout == ""
    assert json.loads(run.stderr)["code"] == "not_found", run.stderr
    run = subprocess.run([WEIR, "-s", hub.dir + "/none", "-o", "json", "status"],
                         capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 3 and json.loads(run.stderr)["code"] == "unreachable"


def a_hub_that_is_not_there_is_exit_3(hub):
    for path, text in ((hub.dir + "/none", "there is no socket"), (hub.conf, "no hub answers"),
                       ("/" + "x" * 200, "path is too long")):
        run = subprocess.run([WEIR, "-s", path, "status"], capture_output=True, text=True,
                             timeout=30, check=False)
        assert run.returncode == 3 and "no hub answers at" in run.stderr and text in run.stderr, run
    # somebody else's socket: takes the question and hangs up
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(hub.dir + "/other.sock")
        server.listen()
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        run = subprocess.run([WEIR, "-s", hub.dir + "/other.sock", "status"], capture_output=True,
                             text=True, timeout=30, check=False)
        thread.join()
        assert run.returncode == 3, run


def help_is_there_for_every_command(hub):
    with open(METHODS, encoding="utf-8") as file:
        methods = json.load(file)["methods"]
    text = hub.ok("--help")
    for method in methods:
        words = method["name"].split(".")
        assert " ".join(words) in text, method["name"]
        page = hub.ok(*words, "--help")
        assert page == subprocess.run([WEIR, "help", *words], capture_output=True, text=True,
                                      check=True).stdout
        for argument in method["arguments"]:
            assert argument["help"].split()[0] in page, (method["name"], argument["name"])
    assert subprocess.run([WEIR, "--version"], capture_output=True, text=True,
                          check=True).stdout.startswith("weir 0.")


def a_full_disk_for_the_answer_is_an_error(hub):
    with open("/dev/full", "w", encoding="utf-8") as full:
        run = subprocess.run([WEIR, "-s", hub.socket, "status"], stdout=full,
                             stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert run.returncode == 1 and "standard output" in run.stderr, run


def long_lists_come_whole(hub):
    for i in range(31):
        hub.ok("peer", "add", f"p{i:02d}")
    assert len(hub.json("peer", "list")["peers"]) == 32
    page = hub.json("peer", "list", "--limit", "5")
    assert len(page["peers"]) == 5 and page["next"] == "p03", page
    page = hub.json("peer", "list", "--limit", "5", "--cursor", "p28")
    assert [peer["name"] for peer in page["peers"]] == ["p29", "p30"] and page["next"] is None
    hub.refused(1, "all 32 peers are taken", "peer", "add", "one-more")


# ---- what is generated ---------------------------------------------------------------------------

def completion_knows_commands_options_and_names(hub):
    script = f"""
        source {COMPLETION}
        weir() {{ {WEIR} "$@"; }}
        try() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _weir; echo "${{COMPREPLY[*]}}"; }}
        try weir pe; try weir peer ''; try weir peer add x --ke
        export WEIR_SOCKET={hub.socket}; try weir peer remove b
        try weir -s {hub.socket} peer show b; try weir -o ''; try weir service remove ''
    """
    out = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30,
                         check=True).stdout.splitlines()
    with open(METHODS, encoding="utf-8") as file:
        names = [method["name"].split(".") for method in json.load(file)["methods"]]
    verbs = " ".join(name[1] for name in names if name[0] == "peer")
    assert out == ["peer", verbs, "--keepalive", "branch", "branch", "text json", "--why -o -h"], out


def a_broken_description_is_refused(hub):
    with open(METHODS, encoding="utf-8") as file:
        good = json.load(file)
    path = os.path.join(hub.dir, "methods.json")

    def refused(change, text):
        methods = json.loads(json.dumps(good))
        change(methods["methods"])
        with open(path, "w", encoding="utf-8") as file:
            json.dump(methods, file)
        run = subprocess.run([sys.executable, GENERATE, "dispatch", path, hub.dir + "/out.c"],
                             capture_output=True, text=True, check=False)
        assert run.returncode == 1 and text in run.stderr, run

    refused(lambda m: m.append(m[0]), "bad or double name")
    refused(lambda m: m[1]["arguments"][0].update(type="colour"), "bad name or type")
    refused(lambda m: next(a for a in m[1]["arguments"] if a["type"] == "integer").pop("max"),
            "an integer needs min and max")
    refused(lambda m: m[1]["arguments"].reverse(), "positional arguments come first")
    refused(lambda m: m[1].update(frob=1), "unknown ['frob']")


# ---- the peers as text ---------------------------------------------------------------------------

def enrolled(hub):
    """Peers of every kind, beside branch, which the file declares."""
    hub.ok("peer", "add", "laptop", "--public-key", KEY)
    hub.ok("peer", "add", "desk", "--client-keepalive", "0", "--keepalive", "7", "--expected-up", "yes")
    hub.ok("peer", "add", "gate", "--gateway", "--allowed-ips", "192.168.50.0/24,192.168.7.0/24",
           "--endpoint", "gate.example.org:51820")
    hub.ok("peer", "add", "bare", "--no-preshared-key", "--whole-subnet")
    hub.ok("peer", "disable", "laptop")


def peers_are_exported_and_applied_to_an_empty_hub(hub):
    enrolled(hub)
    text = hub.ok("peer", "export")
    assert text == hub.ok("peer", "export")
    assert [line.split('"')[1] for line in text.splitlines() if "name =" in line] == ["bare", "desk", "gate", "laptop"], text
    hub.restart()
    assert hub.ok("peer", "export") == text
    same = hub.json("peer", "apply", write(hub, text))
    assert (same["added"], same["removed"], same["changed"], same["difference"]) == (0, 0, 0, ""), same
    other = Hub()
    try:
        path = write(other, text)
        other.ok("peer", "apply", path, "--dry-run")
        assert other.ok("peer", "plan", path).count("\n+ peer ") == 3
        assert "name =" not in other.ok("peer", "export"), "a plan has made peers"
        records = len(trail(other))
        done = other.json("peer", "apply", path, "--why", "a second site")
        assert done["added"] == 4 and len(done["preshared_keys"]) == 3, done
        assert other.ok("peer", "export") == text
        assert not any(one["preshared_key"] in text for one in done["preshared_keys"])
        added = trail(other)[records:]
        assert sum("added key=" in one["summary"] for one in added) == 4, added
        for one in added:
            assert (one["operation"], one["comment"]) == ("peer.apply", "a second site"), one
            assert one["actor"].startswith(f"uid={os.getuid()} "), one
        other.restart()
        assert other.ok("peer", "export") == text
        assert "PresharedKey" in other.ok("peer", "config", "gate")
    finally:
        assert other.end() == 0


def peers_that_a_file_does_not_have_go_only_when_told(hub):
    enrolled(hub)
    text = hub.ok("peer", "export")
    head, bare, rest = text.split("\n\t", 2)
    path = write(hub, head + "\n\t" + rest.replace("keepalive = 7", "keepalive = 9"))
    assert "bare" in bare
    plan = hub.ok("peer", "plan", path)
    assert "- peer bare: not in the file\n~ peer desk: keepalive 7 -> 9\n0 added, 1 removed, 1 changed" in plan.replace("nothing changed: ", ""), plan
    hub.refused(1, f"{path} does not have 1 of the peers: bare; --remove removes them", "peer", "apply", path)
    before = trail(hub)
    assert "nothing changed" in hub.ok("peer", "apply", path, "--remove", "--dry-run")
    assert trail(hub) == before
    assert hub.ok("peer", "export") == text
    hub.ok("peer", "apply", path, "--remove")
    assert "bare" not in hub.ok("peer", "export") and hub.json("peer", "show", "branch")
    assert trail(hub)[-1]["object"] in ("peer bare", "peer desk")
    hub.ok("peer", "apply", write(hub, text))
    assert hub.ok("peer", "export") == text


def a_bad_list_of_peers_changes_nothing(hub):
    enrolled(hub)
    text = hub.ok("peer", "export").replace(");\n", "").rstrip() + ",\n"
    new = '\t{ name = "new"; public_key = "GtL7fZc/bLnqZldpVofMCD6hDjrK28SsdLxevJ+qtKU="; }'
    before = hub.ok("peer", "export")
    for change, why in (
            (new + ",\n" + new, '8: peer "new": name is that of peer "new" in line 7, too'),
            (new + ',\n\t{ name = "x"; }', '8: peer "x": public_key is missing'),
            (new.replace('"; }', '"; networks = [ "192.168.0.0/16" ]; }'), '7: peer "new": addresses and networks: 192.168.0.0/16 overlaps 192.168.'),
            (new.replace('"new"', '"branch"'), f'7: peer "branch": is declared in {hub.conf}:'),
            (new.replace('"; }', '"; keepalive = -1; }'), '7: peer "new": keepalive is "-1", must be 0 to 65535 seconds')):
        path = write(hub, text.replace("keepalive = 7", "keepalive = 9") + change + "\n);\n")
        for verb in ("plan", "apply"):
            hub.refused(1, f"{path}:{why}", "peer", verb, path)
    assert hub.ok("peer", "export") == before
    path = write(hub, text + new + "\n);\n")
    assert hub.json("peer", "apply", path)["added"] == 1


# ---- groups, grants, policy ----------------------------------------------------------------------

def policed(hub):
    """Three peers, a gateway, one group and two grants."""
    for peer in ("app", "desk", "laptop"):
        hub.ok("peer", "add", peer)
    hub.ok("peer", "add", "gate", "--gateway", "--allowed-ips", "192.168.50.0/24")
    hub.ok("group", "add", "office", "--members", "laptop,desk", "--comment", "the people there")
    hub.ok("grant", "add", "web", "--who", "group:office", "--to", "peer:app", "--protocol", "tcp",
           "--ports", "8000-8080,443", "--comment", "the shop")
    hub.ok("grant", "add", "dns", "--who", "any", "--to", "hub", "--protocol", "udp", "--ports", "53")


POLICY = """# Policy of a weir hub. What no grant allows does not cross it.
groups: (
\t{ name = "office"; members = [ "desk", "laptop" ]; comment = "the people there"; }
);
grants: (
\t{ name = "dns"; who = "any"; to = "hub"; protocol = "udp"; ports = [ "53" ]; author = "root"; },
\t{ name = "web"; who = "group:office"; to = "peer:app"; protocol = "tcp"; ports = [ "443", "8000-8080" ]; comment = "the shop"; author = "root"; }
);
"""


def write(hub, text, name="policy.conf"):
    path = os.path.join(hub.dir, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def groups_are_made_changed_listed_and_removed(hub):
    policed(hub)
    group = hub.json("group", "show", "office")["group"]
    assert group["members"] == ["desk", "laptop"] and group["grants"] == ["web"], group
    hub.ok("group", "member", "office", "--add", "app", "--remove", "desk")
    assert hub.json("group", "show", "office")["group"]["members"] == ["app", "laptop"]
    hub.ok("group", "add", "empty")
    hub.restart()
    assert [g["name"] for g in hub.json("group", "list")["groups"]] == ["empty", "office"]
    assert [g["name"] for g in hub.json("group", "list", "--limit", "1", "--cursor", "empty")["groups"]] == ["office"]
    assert "app, laptop" in hub.ok("group", "list")
    hub.refused(1, 'NAME: group "office" exists already', "group", "add", "office")
    hub.refused(1, '--add has "app", which is in group "office" already', "group", "member", "office", "--add", "app")
    hub.refused(1, '--remove has "desk", which is not in group "office"', "group", "member", "office", "--remove", "desk")
    hub.refused(1, 'members has "nobody", must be the name of a peer', "group", "add", "x", "--members", "nobody")
    hub.refused(1, 'NAME: no group is called "x"', "group", "show", "x")
    hub.refused(1, 'NAME: grant "web" names group "office"; remove the grant first', "group", "remove", "office")
    hub.ok("grant", "remove", "web")
    hub.ok("group", "remove", "office")
    assert [g["name"] for g in hub.json("group", "list")["groups"]] == ["empty"]


def grants_are_made_listed_and_removed(hub):
    policed(hub)
    grant = hub.json("grant", "show", "web")["grant"]
    assert grant["ports"] == ["443", "8000-8080"] and grant["author"] == "root" and grant["holds"], grant
    shown = hub.ok("grant", "add", "wide", "--who", "any", "--to", "any", "--protocol", "any",
                   "--from", "2000-01-01T00:00:00Z", "--until", "2001-01-01T00:00:00+01:00",
                   "--windows", "mon-fri 08:00-18:00 Europe/Berlin; sat,sun 10:00-12:00 UTC")
    assert "any-any" in shown and "[over]" in shown and "(not now)" in shown, shown
    assert "mon-fri 08:00-18:00 Europe/Berlin, sat,sun 10:00-12:00 UTC" in shown, shown
    assert grant["used_at"] is None and "never" in hub.ok("grant", "list"), grant
    before = hub.json("grant", "list")
    hub.restart()
    assert hub.json("grant", "list") == before
    assert [g["name"] for g in before["grants"]] == ["dns", "web", "wide"]
    page = hub.json("grant", "list", "--limit", "2")
    assert [g["name"] for g in page["grants"]] == ["dns", "web"] and page["next"] == "web", page
    base = ("grant", "add", "x", "--who", "any", "--to", "hub", "--protocol")
    for words, code, text in (
            (("icmp", "--ports", "1"), 1, "ports are given"),
            (("tcp", "--ports", "70000"), 2, '--ports has "70000", must be up to 32 ports'),
            (("tpc",), 2, '--protocol is "tpc", must be tcp, udp, icmp or any'),
            (("tcp", "--until", "soon"), 2, '--until is "soon", must be a time'),
            (("tcp", "--until", "2026-01-01T00:00:00Z", "--from", "2026-01-01T00:00:00Z"), 1, "must be after from"),
            (("tcp", "--windows", "mon 08:00-18:00 Mars"), 2, '--windows has "mon 08:00-18:00 Mars"'),
            (("tcp", "--comment", "a\nb"), 2, "must be up to 200 bytes of text in one line")):
        hub.refused(code, text, *base, *words)
    hub.refused(1, 'who is "peer:nobody", must be a peer that there is', "grant", "add", "x", "--who", "peer:nobody",
                "--to", "hub", "--protocol", "tcp")
    hub.refused(1, 'to is "subnet:10.9.0.0/16", must be a network', "grant", "add", "x", "--who", "any",
                "--to", "subnet:10.9.0.0/16", "--protocol", "tcp")
    hub.refused(2, '--who is "hub", must be', "grant", "add", "x", "--who", "hub", "--to", "any", "--protocol", "tcp")
    hub.refused(1, 'exists already', "grant", "add", "web", "--who", "any", "--to", "hub", "--protocol", "tcp")
    assert hub.json("grant", "list") == before
    hub.ok("grant", "remove", "wide")
    assert hub.json("grant", "list")["generation"] == before["generation"] + 1


def a_peer_that_a_grant_names_stays_and_one_that_goes_leaves_its_groups(hub):
    policed(hub)
    hub.refused(1, 'NAME: grant "web" names peer "app"; remove the grant first', "peer", "remove", "app")
    hub.ok("peer", "remove", "laptop")
    assert hub.json("group", "show", "office")["group"]["members"] == ["desk"]
    hub.ok("peer", "add", "laptop")  # another one of that name is in no group
    assert hub.json("group", "show", "office")["group"]["members"] == ["desk"]


def a_connection_is_explained(hub):
    policed(hub)
    good = hub.json("grant", "explain", "laptop", "app", "--protocol", "tcp", "--port", "443")
    assert good["allowed"] and good["grant"] == "web" and good["from"]["peer"] == "laptop", good
    bad = hub.json("grant", "explain", "laptop", "app", "--protocol", "tcp", "--port", "22")
    assert not bad["allowed"] and bad["grant"] is None, bad
    assert bad["grants"][0] == {"grant": "web", "misses": ["ports"]}, bad
    text = hub.ok("grant", "explain", "app", "laptop", "--protocol", "tcp", "--port", "443")
    assert "REFUSED: no grant allows it" in text and "web: does not fit in who, to" in text, text
    assert "ALLOWED: a grant allows it: dns" in hub.ok("grant", "explain", "app", "hub", "--protocol", "udp", "--port", "53")
    assert "REFUSED" in hub.ok("grant", "explain", "laptop", "192.168.50.9", "--protocol", "icmp")
    hub.refused(1, "TO: neither the hub nor a peer has 9.9.9.9", "grant", "explain", "laptop", "9.9.9.9", "--protocol", "icmp")
    hub.refused(1, 'FROM: no peer is called "x"', "grant", "explain", "x", "hub", "--protocol", "icmp")
    hub.refused(1, "--port is missing", "grant", "explain", "laptop", "app", "--protocol", "tcp")


def a_policy_is_exported_planned_and_applied_as_a_whole(hub):
    policed(hub)
    assert hub.ok("policy", "export") == POLICY
    start = hub.json("policy", "export")["generation"]
    path = write(hub, POLICY)
    same = hub.json("policy", "apply", path)
    assert (same["added"], same["removed"], same["changed"], same["generation"]) == (0, 0, 0, start), same
    path = write(hub, POLICY.replace('"443", "8000-8080"', '"443"').replace('name = "dns"', 'name = "names"'))
    plan = hub.json("policy", "plan", path)
    assert (plan["added"], plan["removed"], plan["changed"], plan["generation"]) == (1, 1, 1, start), plan
    assert [line[:2] for line in plan["difference"].splitlines()] == ["- ", "+ ", "- ", "+ "] and "443" in plan["difference"]
    assert hub.ok("policy", "export") == POLICY, "plan has changed the policy"
    hub.refused(1, "--generation is 1, but the policy has", "policy", "apply", path, "--generation", "1")
    done = hub.json("policy", "apply", path, "--generation", str(start))
    assert done["generation"] == start + 1, done
    hub.restart()
    text = hub.ok("policy", "export")
    assert '"names"' in text and "8000" not in text
    # to another hub with the same peers
    hub.ok("policy", "apply", write(hub, ""))
    assert hub.json("grant", "list")["grants"] == [] and hub.json("group", "list")["groups"] == []
    hub.ok("policy", "apply", write(hub, text))
    assert hub.ok("policy", "export") == text


def a_bad_policy_names_its_line_and_changes_nothing(hub):
    policed(hub)
    start = hub.json("grant", "list")
    for change, line, text in (
            (('protocol = "udp"', 'protocol = "upd"'), 6, 'grant "dns": protocol is "upd", must be'),
            (('"443"', '"0"'), 7, 'grant "web": ports has "0", must be'),
            (('"desk", ', '"nobody", '), 3, 'group "office": members has "nobody"'),
            (('peer:app', 'peer:nobody'), 7, 'grant "web": to is "peer:nobody"'),
            ((");\ngrants", ")\n)grants"), 5, "syntax error"),
            (("# Policy of", '@include "/etc/passwd" #'), 1, "@include is not for a policy")):
        path = write(hub, POLICY.replace(*change))
        for verb in ("check", "plan", "apply"):
            hub.refused(1, f"{path}:{line}: {text}", "policy", verb, path)
    hub.refused(2, "No such file", "policy", "check", hub.dir + "/nothing")
    assert hub.json("grant", "list") == start
    odd = write(hub, POLICY + "# x\n".join([""]) .replace("x", "y") + "")
    assert "good" in hub.ok("policy", "check", odd)
    wide = POLICY.replace('who = "any"; to = "hub"', 'who = "any"; to = "any"')
    assert "any-any" in hub.ok("policy", "check", write(hub, wide))


def the_example_is_a_good_policy(hub):
    for peer in ("app", "desk", "laptop", "site"):
        hub.ok("peer", "add", peer)
    hub.ok("peer", "approve", "site", "192.168.50.0/24")
    example = os.path.join(os.path.dirname(METHODS), "../../conf/policy.conf")
    done = hub.json("policy", "apply", example)
    assert done["added"] == 7 and done["findings"] == [], done
    assert hub.json("policy", "plan", example)["difference"] == ""


def a_big_policy_goes_in_at_once(hub):
    hub.ok("peer", "add", "app")
    text = "grants: (\n" + ",\n".join(
        f'{{ name = "g{i:05}"; who = "peer:branch"; to = "peer:app"; protocol = "tcp"; ports = [ "{i + 1}" ]; }}'
        for i in range(0, 20000, 2)) + "\n);\n"
    done = hub.json("policy", "apply", write(hub, text))
    assert done["added"] == 10000, done["added"]
    assert [f["rule"] for f in done["findings"]] == ["not-compared"], done["findings"][:3]
    hub.restart()
    assert len(hub.json("grant", "list")["grants"]) == 10000


def a_dry_run_says_what_would_change_and_changes_nothing(hub):
    policed(hub)
    hub.ok("group", "add", "spare")
    before = hub.json("policy", "export")
    shorter = write(hub, "grants: ();\n")
    everybody = ("grant", "add", "all", "--who", "any", "--to", "any", "--protocol", "any")
    for words in (("group", "add", "new", "--members", "laptop"), ("group", "remove", "spare"),
                  ("group", "member", "office", "--remove", "laptop"), ("grant", "remove", "web"),
                  everybody, ("policy", "apply", shorter)):
        done = hub.json(*words, "--dry-run")
        assert done["dry_run"] and done["generation"] == before["generation"], (words, done)
        assert done["added"] + done["removed"] + done["changed"] > 0 and done["difference"], (words, done)
        text = hub.ok(*words, "--dry-run")
        assert "nothing changed; against generation" in text and text[0] in "+-", (words, text)
        assert hub.json("policy", "export") == before, words
    assert "any-any" in hub.ok(*everybody, "--dry-run")
    hub.refused(1, "must be a peer that there is", "grant", "add", "x", "--who", "peer:nobody", "--to", "hub",
                "--protocol", "any", "--dry-run")
    done = hub.json("policy", "apply", shorter)
    assert "dry_run" not in done and done["generation"] == before["generation"] + 1, done


def who_works_through_the_tunnel_is_not_locked_out(hub):
    policed(hub)
    address = hub.json("peer", "show", "laptop")["peer"]["addresses"][0]
    env = dict(os.environ, SSH_CONNECTION=f"{address} 50000 10.77.0.1 22")

    def as_laptop(*words):
        return subprocess.run([WEIR, "-s", hub.socket, *words], capture_output=True, text=True,
                              timeout=30, env=env, check=False)

    hub.ok("grant", "add", "admin", "--who", "peer:laptop", "--to", "hub", "--protocol", "tcp", "--ports", "22")
    path = write(hub, POLICY)
    run = as_laptop("policy", "apply", path)
    assert run.returncode == 1 and f'peer "laptop" ({address}) on port 22 of the hub' in run.stderr, run
    run = as_laptop("grant", "remove", "admin")
    assert run.returncode == 1 and "--force" in run.stderr, run
    # behind sudo: the variable is only in a parent's environment
    script = f'env -u SSH_CONNECTION {WEIR} -s {hub.socket} grant remove admin; exit $?'
    run = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=env, check=False)
    assert run.returncode == 1 and "--force" in run.stderr, run
    assert hub.json("grant", "show", "admin")
    run = as_laptop("grant", "remove", "dns")
    assert run.returncode == 0, run
    run = as_laptop("grant", "remove", "admin", "--force")
    assert run.returncode == 0, run
    hub.ok("policy", "apply", path)  # not through the tunnel


def a_peer_is_disabled_and_enabled_again(hub):
    hub.ok("peer", "add", "laptop")
    address = hub.json("peer", "show", "laptop")["peer"]["addresses"][0]
    env = dict(os.environ, SSH_CONNECTION=f"{address} 50000 10.77.0.1 22")
    for words in (("peer", "disable", "laptop"), ("peer", "remove", "laptop")):
        run = subprocess.run([WEIR, "-s", hub.socket, *words], capture_output=True, text=True,
                             timeout=30, env=env, check=False)
        assert run.returncode == 1 and "--force" in run.stderr, run
    for peer in ("laptop", "branch"):  # also one that the file declares
        assert not hub.json("peer", "disable", peer)["peer"]["enabled"]
        hub.restart()
        assert not hub.json("peer", "show", peer)["peer"]["enabled"]
        assert f'info: peer "{peer}": is disabled [disabled]' in hub.weir("audit", "policy").stdout
        assert "disabled" in hub.ok("peer", "list")
        assert hub.json("peer", "enable", peer)["peer"]["enabled"]
    hub.refused(1, "no peer is called", "peer", "disable", "nobody")


def only_an_approved_network_is_behind_a_peer(hub):
    hub.refused(1, "--allowed-ips: 10.1.0.0/24 is a network behind the peer", "peer", "add", "a", "--allowed-ips", "10.1.0.0/24")
    hub.ok("peer", "add", "a")
    hub.ok("peer", "add", "b", "--gateway", "--allowed-ips", "10.2.0.0/24")
    for network, text in (("0.0.0.0/0", "never everything"), ("10.77.0.0/24", "overlaps the hub's tunnel net"),
                          ("10.2.0.0/25", 'belongs to peer "b"'), ("10.77.0.9/32", "not a network behind")):
        hub.refused(1, text, "peer", "approve", "a", network)
        assert hub.json("peer", "show", "a")["peer"]["allowed_ips"] == []
    shown = hub.json("peer", "approve", "a", "10.3.0.0/24,10.4.0.0/24")["peer"]
    assert shown["allowed_ips"] == ["10.3.0.0/24", "10.4.0.0/24"], shown
    hub.ok("grant", "add", "g", "--who", "peer:b", "--to", "subnet:10.3.0.0/25", "--protocol", "any")
    hub.refused(1, 'grant "g" names 10.3.0.0/24', "peer", "withdraw", "a", "10.3.0.0/24")
    hub.ok("grant", "remove", "g")
    hub.ok("peer", "withdraw", "a", "10.3.0.0/24")
    hub.restart()
    assert hub.json("peer", "show", "a")["peer"]["allowed_ips"] == ["10.4.0.0/24"]
    hub.refused(1, "is declared in", "peer", "approve", "branch", "10.5.0.0/24")
    hub.ok("peer", "config", "b", "--whole-subnet")
    audit = json.loads(hub.weir("-o", "json", "audit", "policy").stdout)["findings"]
    found = {(f["severity"], f["rule"], f["name"]) for f in audit}
    assert found >= {("info", "gateway", "a"), ("info", "gateway", "b"), ("warning", "whole-subnet", "b")}, found


def no_peer_is_without_a_preshared_key_unless_that_is_optional(hub):
    """H9 (e): refused with a sentence, and as a request with the argument that is wrong."""
    hub.ok("peer", "add", "old", "--public-key", KEY, "--no-preshared-key")
    with open(hub.conf, encoding="utf-8") as file:
        text = file.read()
    with open(hub.conf, "w", encoding="utf-8") as file:
        file.write(text[:text.index("peers:")].replace(' preshared_key = "optional";', ""))
    hub.restart()
    hub.refused(1, "every peer of this hub has a preshared key", "peer", "add", "bare", "--no-preshared-key")
    with hub.connect() as client, lines(client) as reader:
        reply = ask(client, reader, {"id": 1, "method": "peer.add", "params": {"name": "bare", "no_preshared_key": True}})
    assert reply["error"]["code"] == "invalid" and reply["error"]["field"] == "no_preshared_key", reply
    assert "PresharedKey = " in hub.ok("peer", "add", "good")
    assert [p["name"] for p in hub.json("peer", "list")["peers"]] == ["good", "old"]
    hub.refused(1, "give it one too, with --new-preshared-key", "peer", "rotate", "old", "--next-key", "5Db9DsMWOLC6b7v5Jr1wpnSYFdZSLFUmmIDjyB0u0mE=", "--emergency")
    run = hub.weir("audit", "policy")
    assert run.returncode == 1 and 'error: peer "old": has no preshared key' in run.stdout and "1 error" in run.stdout, run
    hub.ok("peer", "rotate", "old", "--new-preshared-key", "--emergency")
    hub.ok("audit", "policy")


def an_audit_tells_errors_by_its_exit_status(hub):
    run = hub.weir("audit", "policy")
    assert run.returncode == 1 and 'error: peer "branch": has no preshared key' in run.stdout, run
    run = hub.weir("-o", "json", "audit", "policy")
    audit = json.loads(run.stdout)
    assert run.returncode == 1 and audit["failed"] and audit["errors"] == 1, audit
    hub.ok("peer", "add", "gate", "--gateway", "--allowed-ips", "10.1.0.0/16")
    hub.ok("grant", "add", "all", "--who", "any", "--to", "any", "--protocol", "any")
    found = {(f["severity"], f["rule"], f["name"]) for f in json.loads(hub.weir("-o", "json", "audit", "policy").stdout)["findings"]}
    assert found >= {("info", "gateway", "gate"), ("warning", "any-any", "all"), ("info", "never-seen", "gate"),
                     ("error", "no-preshared-key", "branch")}, found
    # the peer of the file goes: nothing is left that is an error
    with open(hub.conf, encoding="utf-8") as file:
        text = file.read()
    with open(hub.conf, "w", encoding="utf-8") as file:
        file.write(text[:text.index("peers:")])
    hub.restart()
    assert "0 errors" in hub.ok("audit", "policy")


def trail(hub, *words):
    return hub.json("audit", "trail", *words)["records"]


def a_thousand_networks_are_one_call(hub):
    def nets(second, n):
        return [f"10.{second}.{i >> 6 & 255}.{(i & 63) << 2}/30" for i in range(n)]

    hub.ok("peer", "add", "gate", "--gateway", "--allowed-ips", "10.77.0.9/32," + ",".join(nets(1, 1023)))
    hub.ok("peer", "approve", "gate", ",".join(nets(2, 1024)))
    hub.refused(2, "must be up to 1024 networks", "peer", "approve", "gate", ",".join(nets(3, 1025)))
    assert len(hub.json("peer", "show", "gate")["peer"]["allowed_ips"]) == 1023 + 1024
    hub.restart()
    assert len(hub.json("peer", "show", "gate")["peer"]["allowed_ips"]) == 1023 + 1024
    hub.ok("peer", "withdraw", "gate", ",".join(nets(2, 1024)))
    assert hub.json("peer", "show", "gate")["peer"]["allowed_ips"] == nets(1, 1023)


def each_change_is_one_record_of_the_audit_trail(hub):
    """Every operation that methods.json says changes something, once refused and once done."""
    with open(METHODS, encoding="utf-8") as file:
        changes = {m["name"] for m in json.load(file)["methods"] if m.get("changes") == "always"}
    other = "5Db9DsMWOLC6b7v5Jr1wpnSYFdZSLFUmmIDjyB0u0mE="
    policy = {"name": "policy.conf", "text": "grants: ();\n"}
    steps = [  # operation, what is refused, what is done, what its record is about, and says
        ("peer.add", {"name": "laptop", "public_key": "x"}, {"name": "laptop", "public_key": KEY}, "laptop", KEY),
        ("peer.approve", {"name": "nobody", "networks": ["10.9.0.0/24"]}, {"name": "laptop", "networks": ["10.9.0.0/24"]}, "laptop", "networks=10.9.0.0/24"),
        ("peer.withdraw", {"name": "laptop", "networks": ["10.8.0.0/24"]}, {"name": "laptop", "networks": ["10.9.0.0/24"]}, "laptop", "networks=10.9.0.0/24"),
        ("peer.disable", {"name": "nobody"}, {"name": "laptop"}, "laptop", " disabled"),
        ("peer.enable", {"name": "nobody"}, {"name": "laptop"}, "laptop", "changed"),
        ("peer.set", {"name": "nobody", "expected_up": True}, {"name": "laptop", "expected_up": "yes"}, "laptop", " expected-up"),
        ("peer.rotate", {"name": "laptop"}, {"name": "laptop", "next_key": other}, "laptop", f"proposed next-key={other}"),
        ("hub.rotate", {"confirm": True}, {"overlap": 600}, "hub", "next-key="),
        ("peer.limit", {"name": "nobody", "rx_bytes": "1M"}, {"name": "laptop", "quota": "1G"}, "laptop", "quota=1G"),
        ("quota.reset", {"name": "nobody"}, {"name": "laptop"}, "laptop", ""),
        ("service.add", {"name": "blog", "host": "blog.example.org", "target": "nobody:80"}, {"name": "blog", "host": "blog.example.org", "target": "laptop:80"}, "blog", "host=blog.example.org target=laptop:80"),
        ("service.remove", {"name": "none"}, {"name": "blog"}, "blog", ""),
        ("group.add", {"name": "staff", "members": ["nobody"]}, {"name": "staff", "members": ["laptop"]}, "staff", "members=laptop"),
        ("group.member", {"name": "none", "add": ["laptop"]}, {"name": "staff", "add": ["branch"]}, "staff", "add=branch"),
        ("grant.add", {"name": "ssh", "who": "group:none", "to": "hub", "protocol": "tcp", "ports": ["22"]}, {"name": "ssh", "who": "group:staff", "to": "hub", "protocol": "tcp", "ports": ["22"]}, "ssh", "who=group:staff to=hub"),
        ("grant.remove", {"name": "none"}, {"name": "ssh"}, "ssh", "removed"),
        ("group.remove", {"name": "none"}, {"name": "staff"}, "staff", "removed"),
        ("policy.apply", {"file": {"name": "bad", "text": "("}}, {"file": policy}, "policy.conf", "sha256=" + hashlib.sha256(policy["text"].encode()).hexdigest()),
        ("block.add", {"prefix": "0.0.0.0/0"}, {"prefix": "192.0.2.0/24", "reason": "a scan"}, "192.0.2.0/24", 'reason="a scan"'),
        ("block.remove", {"prefix": "198.51.100.1"}, {"prefix": "192.0.2.0/24"}, "192.0.2.0/24", ""),
        ("block.import", {"file": {"name": "list", "text": "x"}}, {"file": {"name": "list", "text": "192.0.2.1\n"}, "source": "feed"}, "feed", "file=list bytes=10"),
        ("block.clear", {"source": "none"}, {"source": "feed"}, "feed", ""),
        ("peer.remove", {"name": "nobody"}, {"name": "laptop"}, "laptop", "removed key="),
    ]
    assert changes - {step[0] for step in steps} == {"debug.route", "debug.peer", "audit.prune"}, changes  # the last has a test of its own
    assert [(r["actor"], r["operation"], r["object"]) for r in trail(hub)] == [("config", "config.peer", "peer branch")]
    n = 1
    with hub.connect() as client, lines(client) as reader:
        for operation, refused, done, about, says in steps:
            reply = ask(client, reader, {"method": operation, "params": refused})
            assert "error" in reply, (operation, reply)
            assert len(trail(hub)) == n, (operation, trail(hub)[n:])
            if operation.startswith(("group.", "grant.", "policy.")):
                reply = ask(client, reader, {"method": operation, "params": {**done, "dry_run": True}})
                assert "result" in reply and len(trail(hub)) == n, (operation, reply)
            reply = ask(client, reader, {"method": operation, "params": {**done, "why": f"ticket {n}"}})
            assert "result" in reply, (operation, reply)
            records = trail(hub)
            n += 1
            assert len(records) == n, (operation, records[n - 1:])
            last = records[-1]
            assert last["actor"] == f"uid={os.getuid()} pid={os.getpid()}" and last["operation"] == operation, last
            assert last["object"] == about and says in last["summary"] and last["comment"] == f"ticket {n - 1}", last
    assert n == len(steps) + 1
    # what only looks leaves nothing, and asking for a configuration only when that changes the peer
    for words in (("status",), ("peer", "list"), ("audit", "verify"), ("policy", "export"), ("peer", "config", "branch")):
        hub.ok(*words)
    assert len(trail(hub)) == n
    hub.ok("peer", "config", "branch", "--whole-subnet")
    assert len(trail(hub)) == n + 1


def the_oldest_records_are_taken_out_and_the_rest_is_verified(hub):
    for i in range(8):
        hub.ok("group", "add", f"g{i}", "--why", f"number {i}")
    first = trail(hub)
    hub.refused(2, "give either before or keep", "audit", "prune")
    hub.refused(1, "there are no records that old, or that many", "audit", "prune", "--before", first[0]["at"][:19] + "Z")
    assert len(trail(hub)) == len(first), "a refusal is a record"
    said = hub.json("audit", "prune", "--keep", "5", "--why", "small disk")
    assert said == {"taken_out": len(first) - 5, "sequence": first[-6]["sequence"], "hash": first[-6]["hash"]}, said
    left = trail(hub)
    assert left[:-1] == first[-5:] and left[-1]["operation"] == "audit.prune", left
    assert left[-1]["comment"] == "small disk" and said["hash"] in left[-1]["summary"], left[-1]
    assert left[0]["previous"] == said["hash"], left[0]
    assert f"records up to {said['sequence']} were taken out, the last with hash {said['hash']}" in hub.ok("audit", "verify")
    hub.restart()
    good = hub.json("audit", "verify")
    assert not good["failed"] and good["records"] == 6 and good["taken_out"]["sequence"] == said["sequence"], good
    assert good["taken_out"]["hash"] == said["hash"], good
    time.sleep(1.1)  # times of the command line are whole seconds
    hub.ok("group", "add", "last")
    hub.ok("audit", "prune", "--before", trail(hub, "--last", "1")[0]["at"][:19] + "Z")
    assert [r["operation"] for r in trail(hub)] == ["group.add", "audit.prune"], trail(hub)
    # a trail without what it says of itself
    hub.kill(signal.SIGKILL)
    with contextlib.closing(sqlite3.connect(f"{hub.dir}/store/weir.db")) as database:
        database.execute("DROP TRIGGER trail_anchor_update")
        database.execute("UPDATE trail_anchor SET hash = zeroblob(32)")
        database.commit()
    hub.start()
    assert hub.weir("audit", "verify").returncode == 1


def the_audit_trail_is_a_chain_over_restarts(hub):
    hub.ok("peer", "add", "laptop", "--why", "new hardware")
    hub.restart()
    hub.ok("peer", "remove", "laptop")
    records = trail(hub)
    assert [r["operation"] for r in records] == ["config.peer", "peer.add", "peer.remove"], records
    previous = "0" * 64
    for record in records:
        wall = wall_ns(hub, record["sequence"])
        text = "".join(f"{part}\n" for part in (previous, record["sequence"], wall, record["actor"], record["operation"],
                                                record["object"], record["summary"], record["comment"]))
        assert record["previous"] == previous and record["hash"] == hashlib.sha256(text.encode()).hexdigest(), record
        previous = record["hash"]
    said = hub.json("audit", "verify")
    assert said == {"failed": False, "records": 3, "broken": None, "why": None, "hash": previous,
                    "taken_out": None}, said
    assert "(new hardware)" in hub.ok("audit", "trail", "--last", "2")
    assert [r["sequence"] for r in trail(hub, "--last", "2")] == [2, 3]
    assert [r["sequence"] for r in trail(hub, "--after", "1", "--last", "1")] == [2]
    assert trail(hub, "--since", "2999-01-01T00:00:00Z") == [] and len(trail(hub, "--since", "2001-01-01T00:00:00Z")) == 3
    # somebody with the file at hand
    hub.kill(signal.SIGTERM)
    with contextlib.closing(sqlite3.connect(os.path.join(hub.dir, "store", "weir.db"))) as database:
        database.execute("DROP TRIGGER trail_update")
        database.execute("UPDATE trail SET comment = 'old hardware' WHERE sequence = 2")
        database.commit()
    hub.start()
    run = hub.weir("audit", "verify")
    assert run.returncode == 1 and "record 2: it is not as it was written" in run.stdout, run
    assert json.loads(hub.weir("-o", "json", "audit", "verify").stdout)["broken"] == 2


def wall_ns(of, sequence):
    """Nanoseconds of a record: the hub has its store locked, so a copy is read."""
    with tempfile.TemporaryDirectory() as copy:
        for name in ("weir.db", "weir.db-wal"):
            if os.path.exists(os.path.join(of.dir, "store", name)):
                shutil.copy(os.path.join(of.dir, "store", name), copy)
        with contextlib.closing(sqlite3.connect(os.path.join(copy, "weir.db"))) as database:
            return database.execute("SELECT time FROM trail WHERE sequence = ?", (sequence,)).fetchone()[0]


def picture(path):
    """A PNG of one bit a pixel as rows of bools, True = black, one module a pixel, margin cut."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:8]
    at, chunks = 8, {}
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        crc, = struct.unpack(">I", data[at + 8 + length:at + 12 + length])
        assert crc == zlib.crc32(kind + body), f"CRC of {kind}"
        chunks[kind] = body
        at += 12 + length
    width, height, *form = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert width == height and form == [1, 0, 0, 0, 0], (width, height, form)
    raw, row = zlib.decompress(chunks[b"IDAT"]), 1 + (width + 7) // 8
    assert len(raw) == row * height
    rows = [[not raw[y * row + 1 + x // 8] >> (7 - x % 8) & 1 for x in range(width)]
            for y in range(height)]
    assert all(rows[y][x] == rows[y - y % 6][x - x % 6] for y in range(height) for x in range(width))
    return [line[::6] for line in rows[::6]]


def a_new_peer_is_shown_as_a_qr_code(hub):
    png = os.path.join(hub.dir, "phone.png")
    shown = hub.ok("peer", "add", "phone", "--qr", "--qr-png", png)
    assert os.stat(png).st_mode & 0o777 == 0o600
    rows = picture(png)
    drawn = []
    for line in shown.splitlines():
        drawn.append([c in " \u2584" for c in line])
        drawn.append([c in " \u2580" for c in line])
    assert drawn[:len(rows)] == rows, "terminal and picture differ"
    code = [line[4:-4] for line in rows[4:-4]]
    assert not any(any(line) for line in rows[:4] + rows[-4:]), "margin is not white"
    finder = [[True] * 7, [True] + [False] * 5 + [True], [True, False, True, True, True, False, True]]
    for y in range(3):
        assert code[y][:7] == finder[y] == code[y][-7:] == code[-1 - y][:7], "no finder pattern"
    assert (len(code) - 17) % 4 == 0, len(code)
    assert "PrivateKey" not in shown
    # what cannot be shown is not made
    hub.refused(1, "File exists", "peer", "add", "tablet", "--qr-png", png)
    hub.refused(2, "leave that out", "peer", "add", "tablet", "--qr", "--public-key", KEY)
    hub.refused(2, "leave one of them out", "peer", "add", "tablet", "--qr", "--kill-switch")
    hub.refused(2, "has no option --qr", "peer", "config", "phone", "--qr")
    gone = os.path.join(hub.dir, "gone.png")
    hub.refused(1, "exists already", "peer", "add", "phone", "--qr-png", gone)
    assert not os.path.exists(gone)
    assert [p["name"] for p in hub.json("peer", "list")["peers"]] == ["branch", "phone"]
    # and the hub never hears of it
    with hub.connect() as client, lines(client) as reader:
        reply = ask(client, reader, {"id": 1, "method": "peer.add",
                                     "params": {"name": "x", "qr_png": "/tmp/x"}})
        assert 'takes no argument "qr_png"' in reply["error"]["message"], reply


def a_configuration_goes_into_a_file_of_its_owner(hub):
    """H10: with any umask; and a file that the shell made is closed to others before anything is in it."""
    before = os.umask(0)
    try:
        path = os.path.join(hub.dir, "laptop.conf")
        assert hub.ok("peer", "add", "laptop", "--save", path) == f"# saved as {path}\n"
        with open(path, encoding="ascii") as file:
            text = file.read()
        assert os.stat(path).st_mode & 0o777 == 0o600 and "PrivateKey = " in text and "PresharedKey = " in text, text
        next_path = os.path.join(hub.dir, "next.conf")
        reply = hub.json("peer", "rotate", "laptop", "--new-preshared-key", "--save", next_path)
        assert reply["config"] == f"# saved as {next_path}\n" and os.stat(next_path).st_mode & 0o777 == 0o600, reply
        # what cannot be saved is not made
        hub.refused(1, "File exists", "peer", "add", "tablet", "--save", path)
        hub.refused(2, "leave one of them out", "peer", "add", "tablet", "--save", path + "x", "--qr")
        hub.refused(2, "give --new-preshared-key", "peer", "rotate", "laptop", "--save", path + "x", "--cancel")
        hub.refused(1, "exists already", "peer", "add", "laptop", "--save", path + "x")
        assert not os.path.exists(path + "x")
        shell = os.path.join(hub.dir, "shell.conf")
        with open(shell, "w", encoding="ascii") as file:
            run = subprocess.run([WEIR, "-s", hub.socket, "peer", "add", "desk"], stdout=file, stderr=subprocess.PIPE, text=True, timeout=30, check=True)
        assert os.stat(shell).st_mode & 0o777 == 0o600 and "others could read (mode 0666): it is 0600 now" in run.stderr, run
        with open(shell, "w", encoding="ascii") as file:
            run = subprocess.run([WEIR, "-s", hub.socket, "peer", "list"], stdout=file, stderr=subprocess.PIPE, text=True, timeout=30, check=True)
        assert run.stderr == "", run
    finally:
        os.umask(before)


# ---- what is watched -----------------------------------------------------------------------------

def flows_are_collected_from_all_workers(hub):
    """The hub of this test has two flows to tell, and its second worker says that it has one more."""
    hub.ok("grant", "add", "web", "--who", "peer:branch", "--to", "hub", "--protocol", "tcp")
    reply = hub.json("flows")
    assert (reply["checking"], reply["total"]) == (False, 3), reply
    assert [w["flows"] for w in reply["workers"]] == [1, 2], reply
    newest, first = reply["flows"]
    assert (newest["peer"], newest["to_peer"], newest["protocol"], newest["source_port"], newest["state"],
            newest["grant"], newest["worker"]) == ("hub", "branch", "icmp", None, "both-ways", None, 1), newest
    assert (first["peer"], first["to_peer"], first["source"], first["source_port"], first["destination"],
            first["destination_port"], first["protocol"], first["state"], first["silent_s"],
            first["grant"], first["worker"]) == (
        "branch", "hub", "10.77.0.2", 50000, "10.77.0.1", 443, "tcp", "established", 7, "web", 0), first
    assert len(hub.json("flows", "--limit", "1")["flows"]) == 1
    text = hub.ok("flows")
    assert "2 of 3 flows; worker 0 has 1, worker 1 has 2" in text and "10.77.0.2:50000" in text, text
    hub.refused(1, 'no peer is called "nobody"', "flows", "--peer", "nobody")
    with hub.connect() as client, lines(client) as reader:
        reply = ask(client, reader, {"id": 1, "method": "flows", "params": {}})["result"]
        assert reply["checking"], reply
        hub.refused(1, "somebody else looks at the flows", "flows")
        params = {"snapshot": reply["snapshot"]}
        while reply["checking"]:
            reply = ask(client, reader, {"id": 1, "method": "flows", "params": params})["result"]
        assert reply["total"] == 3, reply
        reply = ask(client, reader, {"id": 1, "method": "flows", "params": params})
        assert reply["error"]["code"] == "not_found", reply  # it was read


def events_are_shown(hub):
    """Nothing happens on the hub of this test; what does is tested with the model."""
    reply = hub.json("events")
    assert reply == {"events": [], "next": 0}, reply
    assert "nothing has happened" in hub.ok("events")
    hub.refused(2, "must be", "events", "--limit", "257")


def scrape(text):
    """What a parser that is not ours makes of it; None without one."""
    run = subprocess.run([os.path.join(HERE, "scrape.py")], input=text, capture_output=True, text=True, check=False)
    if run.returncode == 77:
        print(f"# the text format is not read by another parser: {run.stderr.strip()}")
        return None
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def metrics_are_what_prometheus_reads(hub):
    hub.ok("peer", "add", "laptop", "--public-key", KEY, "--expected-up", "yes")
    text = hub.ok("metrics")
    assert text.endswith("\n") and hub.ok("metrics") == text, "not the same twice"
    # in pages of any size the same, none longer than asked for
    for limit in (1, 2, 3, 1000):
        pages, cursor = [], {}
        with hub.connect() as client, lines(client) as reader:
            while cursor is not None:
                result = ask(client, reader, {"method": "metrics", "params": {"limit": limit, **cursor}})["result"]
                pages.append(result["text"])
                cursor = {"cursor": result["next"]} if result["next"] else None
        assert "".join(pages) == text, limit
        assert limit > 3 or len(pages) > 5
        peers = [sum("weir_peer_rx_bytes_total{" in line for line in page.splitlines()) for page in pages]
        assert max(peers) <= limit, peers
    for cursor in ("", ":", "0", "99:", "0:" + "a" * 64, "x:laptop"):
        with hub.connect() as client, lines(client) as reader:
            assert ask(client, reader, {"method": "metrics", "params": {"cursor": cursor}})["error"]["field"] == "cursor"
    # each family once, with its help and its type, and all its samples below it
    seen, current = set(), None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in seen, line
            seen.add(current)
        elif line.startswith("# TYPE "):
            assert line.split()[2] == current, line
        else:
            assert line.split("{")[0].split()[0] == current, line
    read = scrape(text)
    if read is None:
        return
    samples = {(name, labels.get("name"), labels.get("reason")): (labels, value) for name, labels, value in read["samples"]}
    assert len(samples) >= 20 and all(help_text for _, _, help_text in read["families"])
    for peer, up, key in (("laptop", 1, KEY), ("branch", 0, "v8aYBD+pwWb90iRS53SJ4udFyC+dqHWR6lAUWYaxLNA=")):
        labels, value = samples["weir_peer_expected_up", peer, None]
        assert value == up and labels["public_key"] == key and set(labels) == {"id", "name", "public_key"}, labels
        assert samples["weir_peer_last_handshake_seconds", peer, None][1] == 0
        assert ("weir_peer_handshake_age_seconds", peer, None) not in samples
    assert samples["weir_peer_drops_total", "branch", "inner_source"][1] == 3, "both workers' drops together"
    assert not any(name == "weir_peer_drops_total" and peer == "laptop" for name, peer, _ in samples)
    assert samples["weir_peers", None, None][1] == 2
    names = {"peer", "hub", "policy", "dataplane"}
    assert all(name.split("_")[1] in names | {"info", "peers", "counters"} for name, _, _ in samples)


def the_alert_rules_name_metrics_that_exist(hub):
    rules = os.path.join(HERE, "..", "..", "conf", "weir-alerts.yml")
    families = {line.split()[2] for line in hub.ok("metrics").splitlines() if line.startswith("# TYPE ")}
    with open(rules, encoding="utf-8") as file:
        exprs = [line.split("expr:", 1)[1] for line in file if "expr:" in line]
    assert len(exprs) >= 5
    for expr in exprs:
        named = set(re.findall(r"\bweir_[a-z_]+", expr))
        assert named and named <= families, f"{expr.strip()}: {named - families}"
        for reason in re.findall(r'reason="([a-z_]+)"', expr):
            assert "drop_" + reason in hub.json("counters")["counters"], reason


def what_should_be_up_is_set_and_shown(hub):
    assert hub.json("peer", "add", "laptop", "--public-key", KEY, "--expected-up", "yes")["peer"]["expected_up"] is True
    assert "expected up    yes" in hub.ok("peer", "show", "laptop")
    assert hub.json("peer", "set", "laptop", "--expected-up", "no")["peer"]["expected_up"] is False
    hub.ok("peer", "set", "laptop", "--expected-up=yes")
    hub.restart()
    assert hub.json("peer", "show", "laptop")["peer"]["expected_up"] is True
    hub.refused(1, "change its expected_up there", "peer", "set", "branch", "--expected-up", "yes")
    hub.refused(2, "--expected-up is", "peer", "set", "laptop", "--expected-up", "perhaps")
    hub.refused(2, "nothing to set", "peer", "set", "laptop")


def drops_are_shown_counted_and_followed(hub):
    """The hub of this test has dropped 3 packets of peer branch (2 shown) and 7 of nobody's (1)."""
    reply = hub.json("drops")
    assert [d["reason"] for d in reply["drops"]] == ["inner_source", "inner_source", "auth"], reply
    assert [(c["peer"], c["reason"], c["packets"]) for c in reply["counts"]] == [
        ("-", "auth", 7), ("branch", "inner_source", 3)], reply
    first = reply["drops"][0]
    assert (first["peer"], first["source"], first["source_port"], first["destination"],
            first["destination_port"], first["protocol"], first["outer"]) == (
        "branch", "10.77.0.2", 50000, "10.77.0.9", 443, "tcp", False), first
    assert hub.json("drops", "--after", str(reply["next"]))["drops"] == []
    assert len(hub.json("drops", "--after", str(reply["next"] - 1))["drops"]) == 1
    assert [d["destination_port"] for d in hub.json("drops", "--peer", "branch")["drops"]] == [443, 22]
    reply = hub.json("drops", "--limit", "1")
    assert [d["reason"] for d in reply["drops"]] == ["auth"] and not reply["counts_complete"], reply
    assert hub.json("drops", "--peer", "hub")["counts"] == []
    hub.refused(1, 'no peer is called "nobody"', "drops", "--peer", "nobody")
    text = hub.ok("drops")
    assert "branch  10.77.0.2:50000 -> 10.77.0.9:443  tcp  inner_source" in text, text
    with subprocess.Popen([WEIR, "-s", hub.socket, "-o", "json", "drops", "--follow"],
                          stdout=subprocess.PIPE, text=True) as follow:
        assert [json.loads(follow.stdout.readline())["reason"] for _ in range(3)] == [
            "inner_source", "inner_source", "auth"]
        follow.send_signal(signal.SIGINT)
        assert follow.wait(10) == -signal.SIGINT

def step_of(reply, name):
    return next(s for s in reply["steps"] if s["step"] == name)

def a_trace_explains_every_step(hub):
    def trace(*words):
        reply = hub.json("trace", *words)
        return reply, {s["step"]: s["verdict"] for s in reply["steps"]}

    hub.ok("peer", "add", "alice", "--public-key", KEY)
    a, b = (hub.json("peer", "show", name)["peer"]["addresses"] for name in ("alice", "branch"))
    tcp = ("--proto", "tcp", "--port", "443")
    reply, steps = trace("--peer", "alice", "--to", "branch", *tcp)
    assert (reply["from"]["address"], reply["to"]["address"]) == (a[0], b[0]), reply
    assert steps["source"] == "passes" and steps["route"] == "passes" and not reply["allowed"], reply
    # somebody else's source, nobody's, the hub's
    for address, text in ((b[0], 'of peer "branch"'), ("10.77.0.200", "nobody's"), ("10.77.0.1", "of the hub")):
        reply, steps = trace("--peer", "alice", "--from-address", address, "--to", "branch", *tcp)
        assert reply["reason"] == "inner_source" and not reply["allowed"], reply
        assert text in step_of(reply, "source")["text"], reply
    # where nobody is
    reply, steps = trace("--peer", "alice", "--to", "10.77.0.200", *tcp)
    assert reply["reason"] == "no_route" and steps["route"] == "drops", reply
    # families
    assert trace("--peer", "alice", "--to-address", b[1], *tcp)[0]["from"]["address"] == a[1]
    hub.refused(1, "of the same family", "trace", "--peer", "alice", "--from-address", a[0],
                "--to-address", b[1], *tcp)
    # who is disabled has no session, and no route leads there
    hub.ok("peer", "disable", "alice")
    assert trace("--peer", "alice", "--to", "branch", *tcp)[0]["reason"] == "unknown_index"
    assert trace("--peer", "branch", "--to", "alice", *tcp)[0]["reason"] == "no_route"
    hub.ok("peer", "enable", "alice")
    # a grant, its direction, its ports, icmp; the receiver has no session here
    hub.ok("grant", "add", "web", "--who", "peer:alice", "--to", "peer:branch", "--protocol", "tcp",
           "--ports", "443")
    hub.refused(2, "must be", "trace", "--peer", "alice", "--to", "branch", "--proto", "sctp")
    hub.refused(1, "port is missing", "trace", "--peer", "alice", "--to", "branch", "--proto", "udp")
    hub.refused(1, "to is missing", "trace", "--peer", "alice", *tcp)
    hub.refused(1, 'no peer is called "bob"', "trace", "--peer", "alice", "--to", "bob", *tcp)
    hub.refused(1, "must be an IP address", "trace", "--peer", "alice", "--to-address", "x", *tcp)
    text = hub.ok("trace", "--peer", "alice", "--to", "hub", "--proto", "icmp")
    assert "is the hub's own" in text and "DROPPED: policy_no_destination" in text, text
    reply, steps = trace("--peer", "alice", "--to", "branch", *tcp)
    assert (reply["grant"], steps["policy"], reply["reason"]) == ("web", "passes", "no_session"), reply
    assert trace("--peer", "branch", "--to", "alice", *tcp)[0]["reason"] == "policy_no_source"
    assert trace("--peer", "alice", "--to", "branch", "--proto", "tcp", "--port",
                 "22")[0]["reason"] == "policy_no_grant"
    assert trace("--peer", "hub", "--to", "branch", *tcp)[1]["policy"] == "passes"
    hub.ok("grant", "add", "all", "--who", "peer:alice", "--to", "hub", "--protocol", "icmp")
    assert "ALLOWED: all" in hub.ok("trace", "--peer", "alice", "--to", "hub", "--proto", "icmp")

def a_trace_knows_lists_limits_and_flows(hub):
    """The hub of this test has one flow of TCP, from port 50000 of branch to its own 443."""
    def trace(*words):
        reply = hub.json("trace", *words, "--proto", "tcp")
        return reply, [s["step"] for s in reply["steps"]]

    forth = ("--peer", "branch", "--to", "hub", "--port", "443")
    back = ("--peer", "hub", "--to", "branch", "--port", "50000", "--from-port", "443")
    # a flow whose grant is gone ends with its next packet
    reply, steps = trace(*forth, "--from-port", "50000")
    assert reply["reason"] == "policy_revoked" and step_of(reply, "flow")["verdict"] == "passes", reply
    hub.ok("grant", "add", "web", "--who", "peer:branch", "--to", "hub", "--protocol", "tcp", "--ports", "443")
    reply, steps = trace(*forth, "--from-port", "50000")
    assert reply["allowed"] and reply["grant"] == "web", reply
    assert steps == ["lists", "sender", "source", "route", "flow", "policy", "receiver", "back"], steps
    text = step_of(reply, "flow")["text"]
    assert "port 50000 to 443, established, last packet 7 s ago" in text and 'grant "web"' in text, text
    assert "port 50000 to 443" in step_of(trace(*forth)[0], "flow")["text"]
    reply, _ = trace(*forth, "--from-port", "50001")
    assert "of no flow that stands" in step_of(reply, "flow")["text"] and reply["allowed"], reply
    # a reply in it
    reply, _ = trace(*back)
    assert "opened by the other side" in step_of(reply, "flow")["text"] and reply["grant"] == "web", reply
    # the other way
    assert "opening the same to the sender on port 443: allowed without a grant" in step_of(
        trace(*forth)[0], "back")["text"]
    hub.ok("peer", "add", "alice", "--public-key", KEY)
    reply, _ = trace("--peer", "branch", "--to", "alice", "--port", "22")
    assert 'peer "alice" opening the same to the sender on port 22: no grant' in step_of(reply, "back")["text"]
    # drop lists
    assert "not known" in step_of(trace(*forth)[0], "lists")["text"]
    wan = ("--from-wan", "192.0.2.66")
    assert step_of(trace(*forth, *wan)[0], "lists")["verdict"] == "passes"
    for scope, reason in (("published", None), ("wireguard", "block_wireguard"), ("all", "block_all")):
        hub.ok("block", "add", "192.0.2.64/29", "--scope", scope, "--reason", "test")
        reply, _ = trace(*forth, *wan)
        assert reply["reason"] == reason, reply
    assert 'drop list of "manual": test' in step_of(reply, "lists")["text"], reply
    hub.ok("block", "remove", "192.0.2.64/29")
    hub.refused(1, "must be an IP address", "trace", *forth, "--proto", "tcp", "--from-wan", "x")
    # limits
    hub.ok("peer", "limit", "branch", "--rx-packets", "100", "--quota", "1000")
    reply, _ = trace(*forth)
    assert "used 0 of 1000 bytes of the month; 100 packets/s" in step_of(reply, "limit-in")["text"], reply
    assert "limit-out" not in steps and reply["allowed"], reply
    assert "no rate" in step_of(trace(*back)[0], "limit-out")["text"]


def a_capture_is_a_pcapng_file(hub):
    """Each capture of this hub gets a packet from branch, one to it, and a drop that is nobody's."""
    path = os.path.join(hub.dir, "x.pcapng")
    begin = time.time_ns()
    run = hub.weir("capture", "--snaplen", "64", "--count", "3", "--write", path)
    assert run.returncode == 0 and "3 packets written, 0 lost" in run.stderr, run.stderr
    assert os.stat(path).st_mode & 0o777 == 0o600
    with open(path, "rb") as file:
        interface, packets, statistics = pcapng.read(file.read())
    assert interface == {"link": 101, "snaplen": 64, "name": "weir"}, interface
    assert statistics == {"received": 3, "dropped": 0}, statistics
    assert [(len(p["data"]), p["len"], p["way"]) for p in packets] == [
        (64, 100, "in"), (61, 61, "out"), (28, 28, "in")], packets
    assert [p["comment"] for p in packets] == [
        "from peer branch", "to peer branch",
        "dropped: auth: data message failed authentication; from peer -"], packets
    assert all(p["data"] == bytes(range(len(p["data"]))) for p in packets)
    assert all(abs(p["ns"] - begin) < 60e9 for p in packets), packets
    # the file is not written over; what is not there is told
    hub.refused(1, "File exists", "capture", "--write", path)
    hub.refused(1, 'no peer is called "bob"', "capture", "--peer", "bob", "--write",
                os.path.join(hub.dir, "y"))
    hub.refused(2, "--write", "capture")
    # by time, to standard output
    run = subprocess.run([WEIR, "-s", hub.socket, "capture", "--seconds", "1", "--peer", "branch",
                          "--write", "-"], capture_output=True, timeout=20, check=True)
    assert len(pcapng.read(run.stdout)[1]) == 3 and b"time is up" in run.stderr, run.stderr


def a_capture_ends_when_it_is_told_to_or_its_reader_is_gone(hub):
    def start():
        return subprocess.Popen([WEIR, "-s", hub.socket, "capture", "--write", "-"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    with start() as reader:
        head = os.read(reader.stdout.fileno(), 4096)
        hub.refused(1, "one capture at a time", "capture", "--write", os.path.join(hub.dir, "y"))
        reader.send_signal(signal.SIGINT)
        rest, said = reader.communicate(timeout=20)
        assert reader.returncode == 0 and b"stopped" in said, said
        assert len(pcapng.read(head + rest)[1]) == 3
    with start() as reader:
        os.read(reader.stdout.fileno(), 1)
        reader.kill()
        reader.communicate()
    end, n = time.monotonic() + 20, 0
    while hub.weir("capture", "--count", "1", "--write", f"{hub.dir}/y{n}").returncode != 0:
        assert time.monotonic() < end, "the capture of a reader that is gone goes on"
        time.sleep(0.2)
        n += 1


def listed(hub, *words):
    return [(e["prefix"], e["prefixes"], e["scope"], e["source"]) for e in hub.json("block", "list", *words)["entries"]]


def sources_are_listed_checked_and_let_through_again(hub):
    assert hub.ok("block", "list") == "nothing is listed\n"
    done = hub.json("block", "add", "192.0.2.7", "--reason", "scanner", "--for", "1h", "--author", "anna")
    entry = done["entry"]
    assert entry["prefix"] == "192.0.2.7" and entry["scope"] == ["all"] and entry["reason"] == "scanner", entry
    assert entry["author"] == "anna" and entry["until"] > entry["created_at"] and done["replaced"] == 0, entry
    hub.ok("block", "add", "192.0.2.0/24", "--scope", "wireguard,published", "--source", "feed")
    hub.ok("block", "add", "2001:db8::/32", "--until", "2999-01-01T00:00:00Z")
    assert hub.ok("block", "check", "192.0.2.9").splitlines()[0] == "192.0.2.9 is dropped: wireguard, published"
    both = hub.json("block", "check", "192.0.2.7")
    assert both["scope"] == ["all", "wireguard", "published"] and len(both["entries"]) == 2, both
    assert hub.ok("block", "check", "192.0.3.1") == "192.0.3.1 is not dropped\n"
    hub.restart()
    assert listed(hub) == [("192.0.2.7", 1, ["all"], "manual"),
                           ("192.0.2.0/24", 1, ["wireguard", "published"], "feed"),
                           ("2001:db8::/32", 1, ["all"], "manual")], listed(hub)
    # again: other scope, no end any more
    again = hub.json("block", "add", "192.0.2.7", "--scope", "published")
    assert again["replaced"] == 1 and again["entry"]["until"] is None and again["total"] == 3, again
    page = hub.json("block", "list", "--limit", "2")
    assert len(page["entries"]) == 2 and page["next"], page
    rest = hub.json("block", "list", "--limit", "2", "--cursor", page["next"])
    assert len(rest["entries"]) == 1 and rest["next"] is None, rest
    hub.refused(1, "192.0.2.7 is not listed by feed", "block", "remove", "192.0.2.7", "--source", "feed")
    hub.ok("block", "remove", "192.0.2.7")
    hub.refused(1, "is not listed", "block", "remove", "192.0.2.7")
    hub.ok("block", "clear", "feed")
    hub.refused(1, 'nothing is listed by "feed"', "block", "clear", "feed")
    assert listed(hub) == [("2001:db8::/32", 1, ["all"], "manual")]


def what_cannot_be_listed_is_refused(hub):
    for code, text, words in (
            (2, 'PREFIX is "10.1.2.3/8", must be an address, or a network without host bits', ("10.1.2.3/8",)),
            (2, 'PREFIX is "www.example.org", must be', ("www.example.org",)),
            (2, 'SCOPE,... has "tcp", must be all, wireguard or published', ("192.0.2.1", "--scope", "tcp")),
            (2, '--for is "soon", must be a time span', ("192.0.2.1", "--for", "soon")),
            (2, '--for is "0s", must be a time span', ("192.0.2.1", "--for", "0s")),
            (2, "which has passed", ("192.0.2.1", "--until", "2001-01-01T00:00:00Z")),
            (2, "both say when it ends", ("192.0.2.1", "--until", "2999-01-01T00:00:00Z", "--for", "1h")),
            (1, "0.0.0.0/0 is everybody", ("0.0.0.0/0",)),
            (1, "fd77::/16 has fd77::1 in it, the hub's own address", ("fd77::/16",))):
        run = hub.weir("block", "add", *words)
        assert run.returncode == code and text.split("SCOPE,... ")[-1] in run.stderr, (words, run)
    run = hub.weir("block", "add", "192.0.2.0/24", env={**os.environ, "SSH_CONNECTION": "192.0.2.9 4000 10.77.0.1 22"})
    assert run.returncode == 1 and "192.0.2.9 in it, from where this command is given" in run.stderr, run
    assert listed(hub) == []
    hub.ok("block", "add", "0.0.0.0/0", "--force", "--scope", "published")
    assert listed(hub) == [("0.0.0.0/0", 1, ["published"], "manual")]


def files_are_imported_whole_or_not_at_all(hub):
    text = ("# comment\n\n 192.0.2.1\n198.51.100.0/24 ; SBL1\n2001:db8::/32\t# x\n192.0.2.1\n"
            "create bad hash:ip family inet\nadd bad 203.0.113.9 timeout 3600\n")
    path = write(hub, text, "list.txt")
    done = hub.json("block", "import", path, "--source", "feed", "--scope", "wireguard")
    assert done["entry"]["prefixes"] == 4 and done["entry"]["list"] and done["entry"]["prefix"] is None, done
    assert [e[0] for e in listed(hub)] == [None]
    whole = [("192.0.2.1", 1, ["wireguard"], "feed"), ("198.51.100.0/24", 1, ["wireguard"], "feed"),
             ("203.0.113.9", 1, ["wireguard"], "feed"), ("2001:db8::/32", 1, ["wireguard"], "feed")]
    assert listed(hub, "--source", "feed") == whole
    assert listed(hub, "--source", "feed", "--limit", "1000") == whole
    for n, line in ((3, "192.0.2.300"), (1, "nonsense"), (2, "192.0.2.0/24 192.0.3.0/24"), (4, "192.0.2.1/33"),
                    (5, "192.0.2.7/24"), (1, "010.0.0.1"), (2, "add bad")):
        bad = write(hub, "192.0.2.99\n" * (n - 1) + line + "\n", "bad.txt")
        hub.refused(1, f"{bad}:{n}: ", "block", "import", bad, "--source", "feed", "--replace")
        assert listed(hub, "--source", "feed") == whole
    hub.refused(1, "has no prefix", "block", "import", write(hub, "# nothing\n", "none.txt"))
    # another list beside it, one out of it, and all of the source's in one step
    second = hub.json("block", "import", write(hub, "192.0.2.2\n", "two.txt"), "--source", "feed")
    assert second["total"] == 5 and second["replaced"] == 0, second
    hub.ok("block", "remove", "198.51.100.0/24")
    hub.restart()
    assert [e[0] for e in listed(hub, "--source", "feed")] == ["192.0.2.1", "203.0.113.9", "2001:db8::/32", "192.0.2.2"]
    third = hub.json("block", "import", path, "--source", "feed", "--scope", "wireguard", "--replace")
    assert third["replaced"] == 2 and listed(hub, "--source", "feed") == whole, third


def a_long_list_goes_in_at_once(hub):
    lines_of = "".join(f"{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}.7\n" for i in range(1 << 16, 3 << 16))
    done = hub.json("block", "import", write(hub, lines_of, "long.txt"), "--source", "feed")
    assert done["entry"]["prefixes"] == 2 << 16, done
    hub.restart()
    assert hub.json("block", "list")["total"] == 2 << 16
    assert hub.json("block", "check", "1.2.3.7")["scope"] == ["all"]


def importing(hub, path, *words):
    return subprocess.Popen([WEIR, "-s", hub.socket, "block", "import", path, *words], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def others_are_answered_while_a_million_networks_go_in(hub):
    path = write(hub, "".join(f"{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}.7\n" for i in range(1 << 20, (1 << 20) + 1000000)),
                 "million.txt")
    hub.ok("block", "add", "192.0.2.1", "--source", "feed")
    with hub.connect() as client, lines(client) as reader:
        waits = []

        def one(ident, method, params):
            asked = time.monotonic()
            reply = ask(client, reader, {"id": ident, "method": method, "params": params})
            waits.append(time.monotonic() - asked)
            assert reply["id"] == ident and "result" in reply, reply
            return reply["result"]

        begin = time.monotonic()
        run = importing(hub, path, "--source", "feed", "--replace")
        imported, page = None, {"total": 1}
        while imported is None or not page["in_force"]:
            assert time.monotonic() < begin + 60, page
            if imported is None and run.poll() is not None:
                imported = time.monotonic() - begin
            one(len(waits), "status", {})
            page = one("x", "block.list", {"limit": 1})
            assert page["total"] in (1, 1000000), page
        took = time.monotonic() - begin
        assert run.returncode == 0 and page["total"] == 1000000, page
        print(f"# imported after {imported:.2f} s, in force after {took:.2f}: {len(waits)} requests of another "
              f"answered meanwhile, the slowest after {max(waits) * 1000:.0f} ms")
        # how long each waited is the machine's: tests/long/test_block.sh has the bound, the next test whose work it is
        assert len(waits) > 20, f"only {len(waits)} were answered meanwhile"
        # requests of one client keep their order, and each import its own connection's answer
        text = "192.0.2.9\n" * 40000
        for ident, good in ((1, text), (2, text + "nonsense\n")):
            client.sendall((json.dumps({"id": ident, "method": "block.import", "params": {
                "source": "other", "replace": True, "file": {"name": "other.txt", "text": good}}}) + "\n").encode())
        client.sendall(b'{"id": 3, "method": "block.list", "params": {"source": "other"}}\n')
        replies = [json.loads(reader.readline()) for _ in range(3)]
        assert [reply["id"] for reply in replies] == [1, 2, 3], replies
        assert replies[0]["result"]["entry"]["prefixes"] == 1, replies[0]
        assert replies[1]["error"]["message"].startswith("other.txt:40001: "), replies[1]
        assert [e["prefix"] for e in replies[2]["result"]["entries"]] == ["192.0.2.9"], replies[2]


def ticks(hub):
    """What the hub's main thread and its other threads have worked, in ticks of CPU time."""
    spent = [0, 0]
    for task in os.listdir(f"/proc/{hub.process.pid}/task"):
        with open(f"/proc/{hub.process.pid}/task/{task}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        spent[int(task) != hub.process.pid] += int(fields[11]) + int(fields[12])
    return spent


def most_of_the_work_of_a_long_import_is_not_the_loops(hub):
    path = write(hub, "".join(f"{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}.7\n" for i in range(1 << 20, (1 << 20) + 1000000)),
                 "million.txt")
    before = ticks(hub)
    assert importing(hub, path, "--source", "feed").wait(60) == 0
    end = time.monotonic() + 60
    while not hub.json("block", "list", "--limit", "1")["in_force"]:
        assert time.monotonic() < end, "not in force"
    loop, threads = (after - then for after, then in zip(ticks(hub), before))
    print(f"# CPU time: the loop {loop}, threads {threads} ticks")
    assert loop * 2 < threads, f"{loop} ticks on the loop, {threads} in threads"


def an_import_whose_client_goes_or_shuts_down_is_whole(hub):
    request = json.dumps({"id": 1, "method": "block.import", "params": {
        "source": "feed", "replace": True, "file": {"name": "x", "text": "192.0.2.9\n" * 40000}}}) + "\n"
    with hub.connect() as client, lines(client) as reader:
        client.sendall(request.encode())
        client.shutdown(socket.SHUT_WR)
        assert [json.loads(line)["id"] for line in reader] == [1]
    for _ in range(5):
        with hub.connect() as client:
            client.sendall(request.encode())
        hub.ok("status")
    assert listed(hub, "--source", "feed") == [("192.0.2.9", 1, ["all"], "feed")]


def a_hub_killed_while_it_imports_has_either_list(hub):
    n = 1 << 17
    hub.json("block", "import", write(hub, "192.0.2.1\n192.0.2.2\n", "two.txt"), "--source", "feed")
    path = write(hub, "".join(f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}\n" for i in range(n)), "long.txt")
    ends = []
    for turn in range(8):
        before = hub.json("block", "list")["total"]
        run = importing(hub, path if before == 2 else os.path.join(hub.dir, "two.txt"), "--source", "feed",
                           "--replace", "--force")
        time.sleep(0.03 * turn)  # anywhere in it
        hub.restart()
        run.wait(30)
        page = hub.json("block", "list")
        assert page["total"] in (2, n) and len(page["entries"]) == 1, page
        assert page["entries"][0]["prefixes"] == page["total"], page
        assert run.returncode != 0 or page["total"] != before, "an import that was answered is lost"
        ends.append(page["total"])
    print(f"# prefixes after each kill: {ends}")


TESTS = [value for name, value in list(globals().items())
         if callable(value) and "_" in name and value.__code__.co_varnames[:1] == ("hub",)]


def main():
    failed = 0
    print(f"1..{len(TESTS)}")
    for n, test in enumerate(TESTS, 1):
        hub = Hub()
        try:
            test(hub)
            code = hub.end()
            assert code == 0, f"hub ended with {code}"
            print(f"ok {n} - {test.__name__}", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f"not ok {n} - {test.__name__}", flush=True)
            print(f"#   {type(error).__name__}: {error}", flush=True)
            if hub.process.poll() is None:
                hub.kill(signal.SIGKILL)
            shutil.rmtree(hub.dir, ignore_errors=True)
    sys.exit(1 if failed else 0)


main()
