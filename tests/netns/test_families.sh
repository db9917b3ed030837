#!/usr/bin/env bash
# IPv6 outside, roaming between addresses and families, and two workers with hand-off; ECN and DSCP of outside and
# inside, packets that wait for a handshake, fragments.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

LAB_WORKERS=2 LAB_HUB='dscp = "copy";' hub_with_two

# ---- ECN (RFC 6040) and DSCP --------------------------------------------------------------------------

# wireguard-go sends everything without ECN and DSCP; what arrives at office is of the hub's making. A ping makes 136
# bytes of UDP; keepalives and handshakes make fewer or more.
net_exec office nft 'table inet seen { counter outer_ect { }; counter outer_ce { }; counter outer_plain { }; counter inner_ce { };
	chain input { type filter hook input priority -10;
		udp sport 51820 udp length 136 ip dscp ef ip ecn ect0 counter name outer_ect
		udp sport 51820 udp length 136 ip dscp cs1 ip ecn ce counter name outer_ce
		udp sport 51820 udp length 136 ip dscp cs0 ip ecn not-ect counter name outer_plain
		iifname "'"$(net_wg_device office)"'" icmp type echo-request ip ecn ce counter name inner_ce; }; }'
of_office() { net_exec office nft list counter inet seen "$1" | awk '$1 == "packets" { print $2 }'; }
marks() { # COUNTER BY TOS [RECEIVED]: so many pings of home's with this TOS are seen so at office
	local counter=$1 by=$2 tos=$3 before
	before=$(of_office "$counter")
	net_exec home ping -q -c "$by" -i 0.05 -W 3 -Q "$tos" 10.77.0.2 >"$net_dir/marked"
	cat "$net_dir/marked"
	is "$counter +$(($(of_office "$counter") - before))" "$counter +$by" && grep -q " ${4:-$by} received" "$net_dir/marked"
}
congested() { net_exec nat nft 'table ip congested { chain post { type filter hook postrouting priority 100; oifname "eth0" udp dport 51820 ip ecn set ce; }; }'; }
check "ECN and DSCP inside are those of the outer packets" marks outer_ect 5 0xba
check "congestion told inside is told outside" marks outer_ce 5 0x23
require "the way to the hub is congested" congested
check "congestion met outside is told inside" marks inner_ce 5 0x22
lost_by_ecn() { ! net_exec home ping -q -c 5 -i 0.05 -W 0.2 -Q 0 10.77.0.2; }
check "and what cannot be told so is dropped, by name" grows drop_ecn 5 lost_by_ecn
net_exec nat nft delete table ip congested
check "no longer" marks outer_plain 5 0

# ---- fragments ------------------------------------------------------------------------------------------

fragments() { net_exec office ping -q -M dont -s "$2" -c 3 -i 0.05 -W 3 "$1"; }
check "what the sender has cut passes, IPv4" fragments 10.77.0.3 4000
check "and IPv6" fragments fd77::3 4000
check "all pieces of it: nothing was cut or dropped by the hub" is "$(lab_counter fragmented) $(lab_counter drop_tunnel_mtu) $(lab_counter drop_policy_fragment)" "0 0 0"

# ---- what waits for a handshake ---------------------------------------------------------------------------

# The hub's first initiation is lost, so that all of them have come before there is a session.
waited() { # a hundred datagrams for a client without a session: all arrive, in their order
	net_exec office nft 'table inet deaf { chain input { type filter hook input priority -20; udp sport 51820 drop; }; }'
	lab_cli peer disable office && lab_cli peer enable office || return 1
	net_spawn office "$net_dir/waited" python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.77.0.2", 7100))
s.settimeout(20)
print("bound", flush=True)
print(*(int(s.recv(100)) for _ in range(100)), flush=True)'
	net_wait 5 grep -q bound "$net_dir/waited" || return 1
	grows to_wait 100 net_exec hub python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(100):
    s.sendto(str(i).encode(), ("10.77.0.2", 7100))' || return 1
	net_exec office nft delete table inet deaf
	net_wait 20 grep -q 99 "$net_dir/waited" && is "$(tail -n 1 "$net_dir/waited")" "$(seq -s ' ' 0 99)"
}
check "a hundred packets wait for a handshake with wireguard-go, and arrive in order" waited
check "and all that waited went on" net_wait 3 eval 'is "$(lab_counter rx_wait)" "$(lab_counter to_wait)"'

# ---- families, roaming ------------------------------------------------------------------------------------

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
check "every packet is accounted for" net_wait 5 balance
check "nothing lost between workers" eval 'is "$(lab_counter drop_handoff_full)" 0'
tap_done
