#!/usr/bin/env python3
"""What is watched: flows, events, metrics, drops, traces, captures."""
import json
import os
import re
import signal
import subprocess
import time

import pcapng
from lab import HERE, KEY, WEIR, ask, lines, run


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
    assert reply["events"] == [], reply
    # above the numbers of an earlier control, which may have had many events
    assert 1e15 < reply["next"] < 2**53, reply
    assert hub.json("events", "--after", "500") == reply
    assert hub.json("events", "--after", str(2**53 - 1)) == reply
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
    # a number of an earlier control, also of one whose clock was ahead: all
    assert len(hub.json("drops", "--after", "500")["drops"]) == 3
    assert len(hub.json("drops", "--after", str(2**53 - 1))["drops"]) == 3
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


run(globals())
