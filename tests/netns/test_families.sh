#!/usr/bin/env bash
# IPv6 outside, roaming between addresses and families, and two workers with hand-off.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

require "laboratory comes up" lab_up
LAB_WORKERS=2 lab_hub_conf
require "hub with two workers becomes ready" lab_hub_start
require "office joins" lab_client office
require "home joins from behind NAT" lab_client home
require "office reaches home" net_wait 5 pings office 10.77.0.3 1

office_device=$(net_wg_device office)
hub_key=$(net_exec office wg show "$office_device" peers)
check "office moves to the hub's IPv6 address" net_exec office wg set "$office_device" peer "$hub_key" endpoint "[2001:db8:1::2]:51820"
check "IPv4 inside IPv6" net_wait 5 pings office 10.77.0.1 1
check "IPv6 inside IPv6, through the hub" net_wait 5 pings office fd77::3 1
check "large packets inside IPv6" pings_of_size office 10.77.0.3 1392
outer_is_v6() { lab_cli -o json peer show office | net_has '2001:db8:2::2'; }
check "hub follows the move to IPv6" net_wait 5 outer_is_v6
# The client follows the hub as the hub follows it: a packet of the hub that is still on its way
# over IPv6 moves the client back, so ask until both have settled.
back_to_v4() {
	net_exec office wg set "$office_device" peer "$hub_key" endpoint 203.0.113.2:51820
	pings office 10.77.0.3 2 && net_exec office wg show "$office_device" endpoints | net_has '203.0.113.2:51820'
}
check "and back to IPv4" net_wait 5 back_to_v4

# The client's own address changes; the hub must follow without a handshake.
net_ip office -4 addr flush dev eth0
net_ip office addr add 198.51.100.77/24 dev eth0
net_ip office route add default via 198.51.100.1
# wireguard-go keeps its source address until it is told to look again.
net_exec office wg set "$office_device" peer "$hub_key" endpoint 203.0.113.2:51820
check "office roams to another address" net_wait 5 pings office 10.77.0.3 1
roamed() { lab_cli -o json peer show office | net_has '198.51.100.77'; }
check "hub knows the new address" net_wait 5 roamed
check "no packet lost after roaming" pings office 10.77.0.3 20

# NAT forgets the flow and gives another port.
rebind() {
	net_exec nat nft flush ruleset &&
		net_exec nat nft 'table ip nat { chain post { type nat hook postrouting priority srcnat; oifname "eth0" meta l4proto udp masquerade to :40000-40010; }; }'
}
check "NAT gives the flow another port" rebind
check "home is reached again after its next packet" eval 'net_wait 5 pings home 10.77.0.1 1 && net_wait 5 pings office 10.77.0.3 1'

net_spawn home "$net_dir/iperf.log" iperf3 -s
net_wait 5 net_listening home 5201
check "eight TCP flows over two workers" net_exec office iperf3 -c 10.77.0.3 -P 8 -t 2

# The kernel's hash decides which worker gets a flow. A peer that moves to twelve ports, one after the
# other, meets both: the one that owns its session, and the one that must hand over.
raw_peer raw
moves=()
for _ in $(seq 12); do moves+=(roam 203.0.113.2:51820 ping "10.77.0.4 10.77.0.1" expect-reply); done
check "a peer that moves twelve times is answered each time" raw_as raw internet handshake "${moves[@]}"
check "packets were handed between workers" eval '[ "$(lab_counter to_handoff)" -gt 0 ]'
check "nothing lost between workers" eval 'is "$(lab_counter drop_handoff_full)" 0'
tap_done
