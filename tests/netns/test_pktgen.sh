#!/usr/bin/env bash
# weir-pktgen against a real hub: simulated peers shake hands and send each other traffic through it,
# over an af_packet port and over a vhost-user port without the kernel between.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"
pktgen=$lab_build/tools/pktgen/weir-pktgen
hub_key=""

# generate COMMAND ARGS...: run the generator; its JSON goes to $net_dir/result.json.
generate() {
	local command=$1
	shift
	net_exec gen "$pktgen" "$command" --hub 203.0.113.2:51820 --source 203.0.113.100/24 \
		--hub-key "$hub_key" --peers "$PEERS" --idle nap --hugepages no --json --quiet "$@" >"$net_dir/result.json"
}
veth() {
	local command=$1
	shift
	generate "$command" --port net_af_packet0,iface=gen0,qdisc_bypass=1,blocksz=65536,framesz=2048,framecnt=1024 "$@"
}

# holds PYTHON: an expression over the JSON, with t for the first trial and h for the handshakes.
holds() {
	python3 - "$1" "$net_dir/result.json" <<'PY'
import json, sys
r = json.load(open(sys.argv[2]))
h = r["handshakes"]
t = r["trials"][0] if r["trials"] else None
if not eval(sys.argv[1]):
    print("does not hold:", sys.argv[1])
    print(json.dumps(r, indent=1))
    sys.exit(1)
PY
}
whole='t["sent"] > 300 and t["lost"] == t["reordered"] == t["duplicated"] == t["corrupted"] == t["misdelivered"] == t["forged"] == t["unsent"] == t["no_session"] == 0'

# Without a kernel's queue between them, a process that is not run for some milliseconds loses packets, so
# how many arrive is the machine's; the balance says that the hub lost none without counting it.
nothing_wrong='t["received"] > 300 and t["reordered"] == t["duplicated"] == t["corrupted"] == t["misdelivered"] == t["forged"] == t["no_session"] == 0'

hub_ready() {
	lab_hub_start 20 || return 1
	hub_key=$(net_exec hub wg pubkey <"$net_dir/hub.key")
}

# ---- through the kernel: af_packet on a veth pair ------------------------------------------------

PEERS=64
net_ns hub
net_ns gen
require "a wire" net_link hub wan0 gen gen0
LAB_EXTRA=$("$pktgen" config --peers "$PEERS")
LAB_HUB='preshared_key = "optional";' # of simulated peers
lab_hub_conf
require "hub with 64 peers from weir-pktgen config" hub_ready
check "handshakes of all peers" veth handshake
check "each completes" holds 'h["completed"] == 64 and h["failed"] == h["refused"] == 0 and h["per_second"] > 0'
check "peer to peer at a modest rate" veth traffic --rate 5000pps --time 2 --pattern ring --flows 2 --size 512
check "nothing lost, reordered, duplicated or changed" holds "$whole"
check "and measured" holds 't["latency_us"]["n"] == t["received"] and t["latency_us"]["p50"] > 0 and 2500 < t["sent_pps"] < 5500'
check "both ways, mixed sizes" veth traffic --rate 5000pps --time 1 --pattern pairs --direction both --size imix
check "nothing lost, reordered, duplicated or changed" holds "$whole"
check "pings of the hub's own address" veth traffic --rate 1000pps --time 1.5 --pattern hub --size 100
check "nothing lost, reordered, duplicated or changed" holds "$whole"
check "the hub's packets are all accounted for" net_wait 3 balance
# The hub gives its peers IPv6 addresses in their order.
check "IPv6 inside" veth traffic --rate 2000pps --time 1 --inner fd77::2 --size 200 --direction both
check "nothing lost, reordered, duplicated or changed" holds "$whole"
check "pings of the hub's own IPv6 address" veth traffic --rate 1000pps --time 1.5 --inner fd77::2 --pattern hub --size 1000
check "nothing lost, reordered, duplicated or changed" holds "$whole"
check "over IPv6 outside" net_exec gen "$pktgen" traffic --hub '[2001:db8:1::2]:51820' --source 2001:db8:1::100/64 \
	--hub-key "$hub_key" --peers 64 --idle nap --hugepages no --quiet --rate 2000pps --time 1 \
	--port net_af_packet0,iface=gen0,framesz=2048
check "a bad argument is exit code 2" refused 2 "--peers is \"0\"" "$pktgen" traffic --peers 0
stops_early() { # an operator's Ctrl-C: what there is, and a code that says it is not all
	local pid
	veth traffic --rate 2000pps --time 60 &
	pid=$!
	# 0.2 s of 2000 pps are not counted.
	net_wait 5 counter_above forwarded $(($(lab_counter forwarded) + 2000)) || return 1
	pkill -INT -P "$pid" -x weir-pktgen
	wait "$pid"
	is $? 1 && holds 't["sent"] > 400 and t["seconds"] < 30 and t["lost"] == 0'
}
counter_above() { [ "$(lab_counter "$1")" -gt "$2" ]; }
check "an interrupted run tells what it saw" stops_early
net_end "$lab_hub_pid"

# ---- without a kernel between: vhost-user, then memif; ordinary memory will do on both sides -------

without_kernel() { # without_kernel HUB_DEVICE OUR_DEVICE
	LAB_PORT="driver = \"vdev\"; device = \"$1\";" LAB_DATAPLANE="hugepages = false;" lab_hub_conf
	hub_ready || return 1
	device=$2
}
direct() {
	local command=$1
	shift
	generate "$command" --port "$device" "$@"
}
require "hub with a vhost-user port" without_kernel "net_vhost0,iface=$net_dir/vhost.sock,queues=1" \
	"net_virtio_user0,path=$net_dir/vhost.sock,queues=1,queue_size=1024,mac=02:00:00:00:77:01"
check "peer to peer over vhost-user" direct traffic --rate 20kpps --time 1 --size imix --direction both
check "nothing reordered, duplicated or changed" holds "$nothing_wrong"
check "the other side may go and come back" direct traffic --rate 20kpps --time 0.5 --size 1420
check "nothing reordered, duplicated or changed" holds "$nothing_wrong"
check "a search ends with a rate" direct search --max-rate 20kpps --loss 10 --resolution 25 --time 0.3
check "which it tried" holds 'r["found_pps"] > 0 and len(r["trials"]) >= 1'
check "loss at multiples of a rate" direct loss --rate 5kpps --steps 1,2 --time 0.3 --open-every 4
check "one trial each" holds '[x["rate_pps"] for x in r["trials"]] == [5000, 10000]'
check "the hub's packets are all accounted for" net_wait 3 balance
net_end "$lab_hub_pid"
LAB_WORKERS=2
require "hub with two workers on a vhost-user port" without_kernel "net_vhost0,iface=$net_dir/vhost.sock,queues=2" \
	"net_virtio_user0,path=$net_dir/vhost.sock,queues=2,queue_size=1024,mac=02:00:00:00:77:01"
check "from worker to worker" direct traffic --rate 20kpps --time 1 --size imix --direction both --queues 2
check "nothing reordered, duplicated or changed" holds "$nothing_wrong"
handed_over() { [ "$(lab_counter rx_handoff)" -gt 1000 ]; }
check "packets went from one worker to the other" net_wait 3 handed_over
check "the hub's packets are all accounted for" net_wait 3 balance
net_end "$lab_hub_pid"
LAB_WORKERS=1
require "hub with a memif port" without_kernel "net_memif0,role=server,socket=$net_dir/memif.sock,socket-abstract=no" \
	"net_memif0,role=client,socket=$net_dir/memif.sock,socket-abstract=no"
check "peer to peer over memif" direct traffic --rate 20kpps --time 1 --size imix
check "nothing reordered, duplicated or changed" holds "$nothing_wrong"
tap_done
