#!/usr/bin/env python3
"""Groups, grants, the policy as one text, explained and audited."""
import json
import os
import subprocess

from lab import METHODS, WEIR, run, write


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


run(globals())
