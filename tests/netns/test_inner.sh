#!/usr/bin/env bash
# What becomes of inner packets, on a WAN of jumbo frames: large ones pass, those that are too large are answered or
# cut, TCP that lost its ICMP opens with what fits; a peer that was disabled comes back without a change at its client; a
# link that flaps is used again, and an interface that was removed and made anew, while a second port goes on; and whose
# frames come cut off is told why.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

jumbo() { # every interface of the laboratory takes more than the hub's port
	local ns device
	for ns in internet hub office nat home; do
		for device in $(net_ip "$ns" -o link show type veth | sed 's/^[0-9]*: \([^@:]*\).*/\1/'); do
			net_ip "$ns" link set "$device" mtu 9500 || return 1
		done
	done
}
require "laboratory comes up" eval 'lab_up && lab_wire hub wan1 hub1 203.0.114 2001:db8:7 && jumbo'
LAB_PORT='driver = "af_packet"; device = "wan0"; mtu = 9000;' LAB_HUB="tunnel_mtu = 8920; clamp_mss = true;" lab_hub_conf
sed -i 's|^ports: (|&\n\t{ name = "wan1"; driver = "af_packet"; device = "wan1"; mtu = 9000; addresses = [ "203.0.114.2/24" ];},|' "$lab_conf"
require "hub becomes ready with jumbo frames" lab_hub_start
require "office joins" lab_client office
require "home joins from behind NAT" lab_client home
require "office reaches home" net_wait 5 pings office 10.77.0.3 1
office_device=$(net_wg_device office)
home_device=$(net_wg_device home)

check "what fills the tunnel passes, IPv4" pings_of_size office 10.77.0.3 8892
check "what fills the tunnel passes, IPv6" pings_of_size office fd77::3 8872
check "and to the hub itself" pings_of_size office 10.77.0.1 8892
contents() { # 4 MB of TCP arrive unchanged
	head -c 4194304 /dev/urandom >"$net_dir/sent"
	net_spawn home "$net_dir/contents.log" python3 -c '
import socket, sys
s = socket.create_server(("10.77.0.3", 7000))
c, _ = s.accept()
with open(sys.argv[1], "wb") as f:
    while d := c.recv(1 << 20):
        f.write(d)
c.close()' "$net_dir/received"
	net_wait 5 net_listening home 7000 || return 1
	net_exec office python3 -c '
import socket, sys
c = socket.create_connection(("10.77.0.3", 7000))
c.sendall(open(sys.argv[1], "rb").read())
c.shutdown(1)
c.recv(1)' "$net_dir/sent" && cmp "$net_dir/sent" "$net_dir/received"
}
check "TCP in jumbo segments arrives unchanged" contents

# A client that believes in more than the hub's tunnel carries.
net_ip office link set "$office_device" mtu 9300
told() { # ADDRESS SIZE TEXT: the hub says what fits
	net_exec office ping -M "do" -s "$2" -c 1 -W 2 "$1" >"$net_dir/told" 2>&1
	cat "$net_dir/told"
	grep -qi "$3" "$net_dir/told"
}
check "too big for the tunnel, IPv4: fragmentation needed" told 10.77.0.3 9000 'From 10.77.0.1.*Frag needed.*8920'
check "too big for the tunnel, IPv6: packet too big" told fd77::3 9000 'From fd77::1.*too big.*8920'
check "both are counted" is "$(lab_counter icmp_too_big) $(lab_counter drop_tunnel_mtu)" "2 2"
net_ip office route flush cache
net_ip office -6 route flush cache
cut() { net_exec office ping -M dont -s 9000 -c 3 -i 0.05 -W 2 10.77.0.3; }
check "IPv4 that may be cut is cut, and answered" cut
check "and counted" eval '[ "$(lab_counter fragmented)" -ge 3 ]'
mss() {
	[ "$(lab_counter mss_clamped)" -gt "$clamped" ]
}
clamped=$(lab_counter mss_clamped)
net_spawn home "$net_dir/iperf.log" iperf3 -s -p 7001
net_wait 5 net_listening home 7001
check "TCP of such a client passes" net_exec office iperf3 -c 10.77.0.3 -p 7001 -n 4M
check "its MSS was lowered" mss
net_ip office link set "$office_device" mtu 8920

# Cut off at once, and back with its next packet. (Packets that wait for a handshake: tests/flow/test_wait.c.)
forgotten() {
	lab_cli peer disable home && lab_cli peer enable home
}
check "a peer is disabled and enabled" forgotten
check "it is reached again without a change at its client" net_wait 20 net_exec home ping -q -c 1 -W 1 10.77.0.1
check "office reaches it" net_wait 5 pings office 10.77.0.3 1

# A link that goes and comes. How fast it is used again is printed; the bound is the issue's to set, not CI's.
flap() {
	local began
	net_ip internet link set hub0 down
	net_wait 5 link_is DOWN || return 1
	net_ip internet link set hub0 up
	net_wait 5 link_is UP || return 1
	began=$(date +%s%N)
	net_wait 10 net_exec office ping -q -c 1 -W 0.05 10.77.0.3 || return 1
	echo "# a packet through the hub $((($(date +%s%N) - began) / 1000000)) ms after link up" >&3
}
link_is() { net_ip hub -br link show wan0 | net_has " $1 "; }
exec 3>&1
check "after a link flap packets pass again" flap
check "no packet is lost from then on" pings office 10.77.0.3 20
check "what came is what went and what was dropped" net_wait 5 balance

# The interface itself goes, and one of its name comes: the same processes go on with it. home is on the other port
# meanwhile.
other_port() {
	net_ip hub route add 192.0.2.0/24 via 203.0.114.1 || return 1
	net_exec home wg set "$home_device" peer "$(net_exec home wg show "$home_device" peers)" endpoint 203.0.114.2:51820
	net_wait 5 pings home 10.77.0.1 1 && net_exec home wg show "$home_device" endpoints | net_has 203.0.114.2
}
check "home moves to the hub's second port" other_port
goes_on() { # nothing of what passed by the other port was lost
	ping_end "$home_ping" "$net_dir/ping-home" && tail -n 3 "$net_dir/ping-home" && is "$ping_lost" 0 && [ "$ping_sent" -gt 20 ]
}
gone_and_back() {
	local pids began
	pids=$(pgrep -f -d ' ' "weir-(dataplane|control) .*$net_dir")
	net_ip internet link del hub0
	net_wait 10 grep -q 'interface of the port is gone' "$net_dir/hub.log" || return 1
	{ lab_wire hub wan0 hub0 203.0.113 2001:db8:1 && jumbo; } || return 1
	began=$(date +%s%N)
	net_wait 20 net_exec office ping -q -c 1 -W 0.2 10.77.0.3 || return 1
	echo "# a packet through the hub $((($(date +%s%N) - began) / 1000000)) ms after the interface is back" >&3
	is "$(pgrep -f -d ' ' "weir-(dataplane|control) .*$net_dir")" "$pids"
}
net_spawn home "$net_dir/ping-home" ping -n -i 0.02 -W 2 10.77.0.1
home_ping=$net_pid
check "an interface that is removed and made again is taken up by the same processes" gone_and_back
check "the other port lost nothing meanwhile" goes_on
cat "$net_dir/check.out" | sed 's/^/# /'
check "no packet is lost from then on" pings office 10.77.0.3 20
check "the kernel keeps quiet on it" net_exec hub nft list table netdev weir_wan0
check "what came is what went and what was dropped" net_wait 5 balance

# The other end leaves segmentation to hardware that is not there.
truncated() {
	net_exec internet ethtool -K hub0 tx on tso on >/dev/null 2>&1
	net_exec internet python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_UDP if hasattr(socket, "SOL_UDP") else 17, 103, 8000)  # UDP_SEGMENT
for _ in range(3):
    s.sendto(bytes(60000), ("203.0.113.2", 51820))' || return 1
	[ "$(lab_counter drop_frame_truncated)" -gt 0 ] || net_wait 2 counter_is drop_frame_truncated 3 || return 1
	net_wait 10 grep -q 'ethtool -K INTERFACE tx off' "$net_dir/hub.log"
}
check "frames that come cut off are told with the remedy" truncated
net_offloads_off internet hub0
check "which helps" pings_of_size office 10.77.0.3 8892
tap_done
