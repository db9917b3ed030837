#!/usr/bin/env python3
"""Peers: made, shown, limited, approved, disabled, as one text, as QR code and file."""
import json
import os
import struct
import subprocess
import threading
import zlib

from lab import KEY, WEIR, Hub, ask, lines, run, trail, write


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
    hub.refused(1, 'grant "g" names 10.3.0.0/24', "peer", "remove", "a")
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
        text = hub.ok("peer", "export")
        fresh = os.path.join(hub.dir, "fresh.keys")
        hub.ok("peer", "remove", "desk")
        for words, mode in ((("--dry-run",), 0o666), ((), 0o600)):
            with open(fresh, "w", encoding="ascii") as file:
                subprocess.run([WEIR, "-s", hub.socket, "peer", "apply", write(hub, text), *words], stdout=file, stderr=subprocess.PIPE, timeout=30, check=True)
            with open(fresh, encoding="ascii") as file:
                assert ("PresharedKey" in file.read()) == (mode == 0o600), words
            assert os.stat(fresh).st_mode & 0o777 == mode, words
        with open(shell, "w", encoding="ascii") as file:
            run = subprocess.run([WEIR, "-s", hub.socket, "peer", "list"], stdout=file, stderr=subprocess.PIPE, text=True, timeout=30, check=True)
        assert run.stderr == "", run
    finally:
        os.umask(before)


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


run(globals())
