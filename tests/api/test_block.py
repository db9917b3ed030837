#!/usr/bin/env python3
"""Drop lists: entries, files, and imports of a million beside other requests."""
import json
import os
import socket
import subprocess
import time

from lab import WEIR, ask, lines, run, write


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


run(globals())
