#!/usr/bin/env python3
"""The weir command: arguments, spellings, exit statuses, and what is generated of methods.json."""
import json
import os
import socket
import subprocess
import sys
import threading

from lab import COMPLETION, GENERATE, METHODS, WEIR, lines, run


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
             (("--frob",), "no option --frob"),
             (("upgrade",), "upgrade comes before every option: weir upgrade ..."),
             (("help",), "help comes before every option: weir help ..."),
             (("-o", "json", "run"), "run comes before every option: weir run ...")]
    for words, text in cases:
        hub.refused(2, text, *words)


def a_lone_dash_is_a_file_and_not_an_option(hub):
    text = hub.ok("policy", "export")
    for words in (("policy", "plan", "-"), ("policy", "plan", "--force", "-"), ("policy", "plan", "--", "-")):
        run = subprocess.run([WEIR, "-s", hub.socket, *words], input=text, capture_output=True, text=True, timeout=30, check=False)
        assert run.returncode == 0 and "0 added" in run.stdout, (words, run)
    for words, data in ((("policy", "plan", "-"), b"groups: (\n\0);\n"), (("block", "import", "-"), b"\xff")):
        run = subprocess.run([WEIR, "-s", hub.socket, *words], input=data, capture_output=True, timeout=30, check=False)
        assert run.returncode == 2 and b"FILE: - is not text in UTF-8" in run.stderr, (words, run)
    hub.refused(2, 'NAME is "-"', "peer", "show", "-")
    hub.refused(2, 'no command "-"', "-")


def a_list_with_what_is_not_text_is_refused_whole(hub):
    for words in (("group", "add", "office", "--members", b"\xff"), ("group", "add", "office", "--members", b"branch,\xff")):
        run = subprocess.run([WEIR, "-s", hub.socket, *words], capture_output=True, text=True, timeout=30, check=False)
        assert run.returncode == 2 and "--members is not text in UTF-8" in run.stderr, run
    assert hub.json("group", "list")["groups"] == []


def a_list_that_is_too_long_for_a_line_says_so(hub):
    networks = [f"10.{i}.{k}.0/24" for i in range(100, 103) for k in range(100)]
    hub.ok("peer", "add", "gate", "--gateway", "--allowed-ips", ",".join(networks))
    whole = hub.json("peer", "show", "gate")["peer"]["allowed_ips"]
    line = next(line for line in hub.ok("peer", "show", "gate").splitlines() if line.startswith("allowed IPs"))
    *shown, last = line.split(None, 2)[2].split(", ")
    assert set(networks) <= set(whole) and len(shown) > 50 and set(shown) <= set(whole), shown
    assert last == f"... ({len(whole)} in all)", last
    hub.ok("peer", "add", "few", "--gateway", "--allowed-ips", "10.9.0.0/24,10.8.0.0/24")
    assert "10.9.0.0/24" in hub.ok("peer", "show", "few") and "in all" not in hub.ok("peer", "show", "few")


def a_capture_that_is_refused_leaves_no_file(hub):
    path = os.path.join(hub.dir, "out.pcap")
    hub.refused(1, 'no peer is called "nobody"', "capture", "--peer", "nobody", "--write", path)
    assert not os.path.exists(path)
    with open(path, "w", encoding="ascii") as file:
        file.write("mine")
    hub.refused(1, "File exists", "capture", "--peer", "nobody", "--write", path)
    assert os.path.exists(path)


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


def an_answer_as_long_as_a_file_may_be_is_read(hub):
    """The peers that a file of 48 MB made: as many keys come back, this once, and peer export has them all."""
    def answer(server):
        client = server.accept()[0]
        with client, client.makefile("rb") as reader:
            reader.readline()
            client.sendall(b'{"id":1,"result":{"roster":"' + b"peer" * (12 << 20) + b'"}}\n')
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(hub.dir + "/large.sock")
        server.listen()
        thread = threading.Thread(target=answer, args=(server,), daemon=True)
        thread.start()
        run = subprocess.run([WEIR, "-s", hub.dir + "/large.sock", "peer", "export"], capture_output=True, timeout=30, check=False)
    assert run.returncode == 0 and len(run.stdout) == 48 << 20, (run.returncode, run.stderr)


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


run(globals())
