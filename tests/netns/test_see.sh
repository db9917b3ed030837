#!/usr/bin/env bash
# What is dropped can be seen (H7): counted to the packet, logged with its prefix and no more than so
# much, explained, captured; and what is allowed is not disturbed by any of it.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

LAB_HUB="peer_to_peer = false;"
require "laboratory comes up" lab_up
lab_hub_conf
require "hub becomes ready" lab_hub_start
require "two clients join" eval "lab_client office --whole-subnet && lab_client home --whole-subnet"
require "the hub may be pinged" lab_cli grant add ping --who any --to hub --protocol icmp
require "home pings the hub" pings home 10.77.0.1 3
require "office pings the hub" pings office 10.77.0.1 3

# ---- what is allowed ----
has_flow() { # PEER: its pings of the hub, by the grant's name
	lab_cli -o json flows --peer "$1" | python3 -c 'import json, sys
reply = json.load(sys.stdin)
assert [f for f in reply["flows"] if (f["peer"], f["to_peer"], f["protocol"], f["state"], f["grant"]) == (
    sys.argv[1], "hub", "icmp", "both-ways", "ping")], reply
assert reply["total"] >= len(reply["flows"]) > 0, reply
assert all(sys.argv[1] in (f["peer"], f["to_peer"]) for f in reply["flows"]), reply' "$1"
}
check "the flows of both are shown, by the name of their grant" eval "has_flow home && has_flow office"
check "also for people" eval "lab_cli flows | tee '$net_dir/flows' && grep -qE '^home .* icmp +both-ways +[0-9]+ s ago +ping ' '$net_dir/flows'"

log_lines() { grep -c ' wg-drop: ' "$net_dir/hub.log"; }
drops_json() { lab_cli -o json drops --peer office --limit 1000; }
# of office's drops by policy: how many there are, and the reason
dropped() { drops_json | python3 -c 'import json, sys
print(sum(c["packets"] for c in json.load(sys.stdin)["counts"] if c["reason"].startswith("policy")))'; }
reason() { drops_json | python3 -c 'import json, sys
print(*sorted({c["reason"] for c in json.load(sys.stdin)["counts"] if c["reason"].startswith("policy")}))'; }
scan() { net_exec office python3 "$top/tests/netns/scan.py" "$@"; }

check "nothing has been dropped by policy yet" is "$(dropped)" 0

scanned() {
	sent=$(scan ports 10.77.0.3 1 500) || return 1
	net_wait 3 dropped_is "$sent"
}
dropped_is() { [ "$(dropped)" = "$1" ]; }
check "of a port scan every packet is counted for its sender" scanned
why=$(reason)
echo "# $sent packets dropped: $why"
logged() {
	net_wait 3 grep -qE " wg-drop: time=[0-9T:.-]+Z peer=office src=10\.77\.0\.2 dst=10\.77\.0\.3 proto=$1 sport=[0-9]+ dport=[0-9]+ reason=policy_" "$net_dir/hub.log"
}
check "the log has the prefix and the tuple" logged udp
check "of TCP too" logged tcp
add_up() { # lines of packets, and what lines say was suppressed, of office's drops by policy
	grep ' wg-drop: ' "$net_dir/hub.log" | grep 'peer=office' | grep 'reason=policy_' | python3 -c '
import re, sys
n = 0
for line in sys.stdin:
    said = re.search(r"wg-drop: suppressed (\d+) ", line)
    n += int(said[1]) if said else 1
print(n)'
}
adds_up() { [ "$(add_up)" = "$(dropped)" ]; }
check "lines and suppressed ones add up to what was dropped, within 12 s" net_wait 12 adds_up

check "trace says the same without sending anything" eval "lab_cli trace --peer office --to home --proto tcp --port 22 | tee '$net_dir/trace' && grep -q 'DROPPED: policy_' '$net_dir/trace'"
check "and that the hub may be pinged" eval "lab_cli trace --peer office --to hub --proto icmp | net_has ALLOWED"
check "and whose a spoofed source is" eval "lab_cli trace --peer office --from-address 10.77.0.3 --to hub --proto icmp | net_has 'DROPPED: inner_source'"

# ---- a flood, and what is allowed meanwhile ----
flooded() {
	local before after lines
	before=$(dropped)
	lines=$(log_lines)
	net_spawn home "$net_dir/ping.log" ping -q -c 40 -i 0.1 -W 2 10.77.0.1
	ping_pid=$net_pid
	scan flood 10.77.0.3 9 3 >"$net_dir/flood.sent" || return 1
	wait "$ping_pid" || return 1
	after=$(dropped)
	lines=$(($(log_lines) - lines))
	echo "# flood: $(cat "$net_dir/flood.sent") sent, $((after - before)) dropped, $lines lines"
	[ $((after - before)) -gt 1000 ] && [ "$lines" -le 40 ]
}
check "a flood leaves a bounded log, and home's pings are answered meanwhile" flooded
grep '^# flood' "$net_dir/check.out"
# A wire that carries more than this machine's two cores can take loses some of everything in front of the hub.
check "nearly all of them" grep -qE '40 packets transmitted, (40|39|38|37) received' "$net_dir/ping.log"
check "the balance holds" net_wait 2 balance
check "it adds up again" net_wait 12 adds_up

# ---- captures ----
read_capture() {
	PYTHONPATH=$top/tests/api python3 -c '
import json, sys
import pcapng
interface, packets, statistics = pcapng.read(open(sys.argv[1], "rb").read())
print(json.dumps([{**p, "data": p["data"].hex()} for p in packets]), file=open(sys.argv[2], "w"))
print(interface, statistics, len(packets), packets[0]["comment"] if packets else "")' "$1" "$net_dir/packets.json"
}
said() { [ "$(grep -c "$1" "$net_dir/hub.log")" -gt "$2" ]; } # TEXT N: more than N lines have it
capture() { # FILE OPTION... : in the background
	local file=$1 before
	shift
	before=$(grep -c 'taken over kind=capture' "$net_dir/hub.log")
	net_spawn hub "$net_dir/capture.log" env WEIR_SOCKET="$lab_run/control.sock" "$lab_weir" capture --write "$file" "$@"
	capture_pid=$net_pid
	net_wait 5 said 'taken over kind=capture' "$before"
}
captured_drops() {
	capture "$net_dir/drops.pcapng" --drops --peer office --count 4 || return 1
	scan ports 10.77.0.3 22 24 && pings office 10.77.0.1 2 || return 1
	wait "$capture_pid" && read_capture "$net_dir/drops.pcapng" || return 1
	python3 - "$net_dir/packets.json" "$why" <<-'PYTHON'
		import json, sys
		packets = json.load(open(sys.argv[1]))
		assert len(packets) == 4, packets
		for p in packets:
		    data = bytes.fromhex(p["data"])
		    assert data[0] == 0x45 and data[12:20] == bytes([10, 77, 0, 2, 10, 77, 0, 3]), p
		    assert p["comment"].startswith("dropped: policy_") and "from peer office" in p["comment"], p
	PYTHON
}
check "captured drops bear their reason" captured_drops
captured_packets() {
	capture "$net_dir/packets.pcapng" --peer home --count 6 || return 1
	pings office 10.77.0.1 2 && pings home 10.77.0.1 3 || return 1
	wait "$capture_pid" && read_capture "$net_dir/packets.pcapng" || return 1
	python3 - "$net_dir/packets.json" <<-'PYTHON'
		import json, sys
		packets = json.load(open(sys.argv[1]))
		a, b = bytes([10, 77, 0, 3]), bytes([10, 77, 0, 1])
		for i, p in enumerate(packets):
		    data = bytes.fromhex(p["data"])
		    assert (data[12:16], data[16:20]) == ((b, a) if i % 2 else (a, b)), p
		    assert (p["way"], p["comment"]) == (("out", "to peer home") if i % 2 else ("in", "from peer home")), p
		assert len(packets) == 6 and [p["ns"] for p in packets] == sorted(p["ns"] for p in packets)
	PYTHON
}
check "captured packets are the chosen peer's, both ways, in order" captured_packets
check "who captured is logged" grep -qE ' info audit: capture begins .*by=uid:0,pid:[0-9]+ what="drops of office"' "$net_dir/hub.log"
gone() {
	local before
	before=$(grep -c 'audit: capture ended .*nobody reads' "$net_dir/hub.log")
	capture "$net_dir/gone.pcapng" || return 1
	kill -9 "$capture_pid"
	net_wait 8 said 'audit: capture ended .*nobody reads' "$before"
}
check "a capture whose reader is gone ends" gone
check "office still pings the hub" pings office 10.77.0.1 5
tap_done
