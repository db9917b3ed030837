#!/usr/bin/env bash
# A port whose link flaps passes packets again within 0.2 s of link up, 20 times over; an interface that is removed and
# made again is taken up by the same processes, and a second port loses nothing meanwhile.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/../netns/tap.sh"
# shellcheck source=tests/long/figures.sh
. "$(dirname "$0")/figures.sh"

require "laboratory comes up" eval 'lab_up && lab_wire hub wan1 hub1 203.0.114 2001:db8:7'
lab_hub_conf
sed -i 's|^ports: (|&\n\t{ name = "wan1"; driver = "af_packet"; device = "wan1"; addresses = [ "203.0.114.2/24" ]; },|' "$lab_conf"
require "hub with two ports becomes ready" lab_hub_start
require "office joins by the first port" lab_client office
require "home joins from behind NAT" lab_client home
home_device=$(net_wg_device home)
by_second_port() {
	net_ip hub route add 192.0.2.0/24 via 203.0.114.1 &&
		net_exec home wg set "$home_device" peer "$(net_exec home wg show "$home_device" peers)" endpoint 203.0.114.2:51820 &&
		net_wait 5 pings home 10.77.0.1 1
}
require "and goes to the second port" by_second_port
require "office reaches the hub" net_wait 5 pings office 10.77.0.1 1

net_spawn office "$net_dir/ping-office" ping -D -n -i 0.01 -W 1 10.77.0.1
net_spawn home "$net_dir/ping-home" ping -n -i 0.02 -W 2 10.77.0.1
home_ping=$net_pid

link_is() { net_ip hub -br link show wan0 | net_has " $1 "; }
heard_since() { awk -v since="$1" '/bytes from/ { sub(/^\[/, ""); if ($1 + 0 > since) { found = 1; exit } } END { exit !found }' "$net_dir/ping-office"; }
# first_since TIME: milliseconds until the first reply after it.
first_since() { awk -v since="$1" '/bytes from/ { sub(/^\[/, ""); if ($1 + 0 > since) { printf "%d\n", ($1 - since) * 1000; exit } }' "$net_dir/ping-office"; }
flaps() { # N: the worst time from link up to a reply
	local up n
	: >"$net_dir/flaps"
	for n in $(seq "$1"); do
		net_ip internet link set hub0 down
		net_wait 5 link_is DOWN || return 1
		sleep 0.2 # what was on its way is over
		up=$(date +%s.%N)
		net_ip internet link set hub0 up
		net_wait 10 heard_since "$up" || return 1
		first_since "$up" >>"$net_dir/flaps"
	done
}
require "the link flaps 20 times" flaps 20
sort -n "$net_dir/flaps" >"$net_dir/sorted"
echo "# median $(sed -n 10p "$net_dir/sorted") ms"
tell "link up to the first reply, worst of 20" "$(tail -n 1 "$net_dir/sorted")" ms 200

goes_and_comes() { # N: prints how long it took each time
	local n pids since
	pids="$(lab_pid control) $(lab_pid dataplane)"
	for n in $(seq "$1"); do
		net_ip internet link del hub0
		net_wait 10 gone "$n" || return 1
		lab_wire hub wan0 hub0 203.0.113 2001:db8:1 || return 1
		since=$(date +%s.%N)
		net_wait 20 heard_since "$since" || return 1
		echo "# the interface is back: a reply after $(first_since "$since") ms"
	done
	is "$(lab_pid control) $(lab_pid dataplane)" "$pids"
}
gone() { [ "$(grep -c 'interface of the port is gone' "$net_dir/hub.log")" -ge "$1" ]; }
check "its interface is removed and made again, 5 times, and the same processes take it up" goes_and_comes 5
grep '^#' "$net_dir/check.out"

check "the other port's ping ends" ping_end "$home_ping" "$net_dir/ping-home"
tell "pings lost by the other port" "$ping_lost" "" 0
check "every packet is accounted for" net_wait 5 balance
tap_done
