#!/usr/bin/env bash
# Two workers behind one af_packet port, which the kernel spreads by the flow's hash: packets that
# come to the wrong one arrive in order, are counted to the packet, and cease to be handed over when
# the next keypair has gone to the worker where they come.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"
# shellcheck source=tests/netns/wrong_worker.sh
. "$top/tests/netns/wrong_worker.sh"

require "laboratory comes up" lab_up
LAB_WORKERS=2 lab_hub_conf
require "hub becomes ready with two workers" lab_hub_start
require "office joins" lab_client office
require "home joins" lab_client home
check "a peer that is never there" lab_cli peer add nobody
nobody=10.77.0.4
require "office reaches home" net_wait 5 pings office 10.77.0.3 1

check "packets come to their owner at first" none_handed
require "after roaming they come to the other worker and are handed over, to the packet" roam_to_the_other
check "none of them is lost" pings office 10.77.0.3 50
in_order() {
	net_exec office iperf3 -c 10.77.0.3 -u -b 30M -l 1200 -t 2 -J >"$net_dir/udp.json" || return 1
	python3 -c '
import json, sys
udp = json.load(open(sys.argv[1]))["end"]["streams"][0]["udp"]
print(udp["packets"], "packets,", udp["out_of_order"], "out of order")
sys.exit(udp["packets"] < 1000 or udp["out_of_order"] != 0)' "$net_dir/udp.json"
}
net_spawn home "$net_dir/iperf.log" iperf3 -s -B 10.77.0.3
net_wait 5 net_listening home 5201
check "a stream through both workers stays in order" in_order

# A client that starts anew makes a new handshake from where it is.
client_restarts() {
	local key
	key=$(net_exec office wg show "$office_device" peers)
	net_exec office wg set "$office_device" peer "$key" remove || return 1
	net_exec office wg addconf "$office_device" "$net_dir/office-peer.conf" || return 1
	net_wait 5 pings office 10.77.0.1 1
}
sed -n '/^\[Peer\]/,$p' "$net_dir/office.conf" >"$net_dir/office-peer.conf"
check "the client makes a new handshake" client_restarts
check "its keypair lives where it arrives: nothing is handed over" none_handed

# The hub makes the next one: nothing is heard from office for 15 s while it is sent to. The hub never
# had a handshake message from where office is now; only data tells where it arrives.
require "office roams again" roam_to_the_other
hub_rekeys() {
	local completed
	completed=$(lab_counter hs_completed)
	net_exec internet nft 'table ip mute { chain f { type filter hook forward priority filter; iifname "office0" drop; }; }' || return 1
	net_exec hub ping -q -i 0.5 -c 34 10.77.0.2 >/dev/null
	net_exec internet nft delete table ip mute || return 1
	net_wait 15 grown_completed "$completed"
}
grown_completed() { [ "$(lab_counter hs_completed)" -gt "$1" ]; }
check "the hub makes a new handshake" hub_rekeys
check "office is reached again" net_wait 10 pings office 10.77.0.3 3
check "the keypair followed the data: nothing is handed over" none_handed
check "no ring was full" is "$(lab_counter drop_handoff_full)" 0
tap_done
