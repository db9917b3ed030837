#!/usr/bin/env bash
# A quarter of a million handshake messages a second for five seconds, of three kinds: with a wrong mac1, with
# a right one from one address, with a right one from addresses that do not exist. Meanwhile office pings home
# 100 times a second, and somebody new arrives. Figures beside their bounds: 1 % of pings lost, 2 s to arrive,
# no memory, from a second into the flood on (tables of sources are touched once). What is lost without a flood is the
# machine's. Then as many as the sender can, up to a million a second: no bound is set for that.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/../netns/tap.sh"

per_s=${WEIR_FLOOD_PER_S:-250000}
seconds=${WEIR_FLOOD_S:-5}

hub_with_two
hub_key=$(net_exec office wg show "$(net_wg_device office)" peers)
net_exec internet ip route add blackhole 198.18.0.0/15

resident() { # of both processes, in KB
	local pid sum=0
	for pid in $(pgrep -P "$lab_hub_pid"); do
		sum=$((sum + $(awk '/VmRSS/ { print $2 }' "/proc/$pid/status")))
	done
	echo "$sum"
}
counters="rx_wan drop_wg_mac1 drop_mac1_limit to_control hs_cookie_out drop_cookie_limit drop_control_limit under_load port_missed"
shown() { for c in $counters; do printf '%s ' "$(lab_counter "$c")"; done; }

# under_flood KIND [PER_S]: lost pings in 1/1000, ms of the newcomer, its initiations and cookies, KB grown. Who floods is
# elsewhere, so it need not wait for a CPU here.
under_flood() {
	local id=$1${2:+-$2} count=$((per_s * seconds)) per_s=${2:-$per_s} before after memory lost
	raw_peer "new-$id" || return 1
	before=$(shown)
	net_spawn internet "$net_dir/flood-$id.log" nice -n -10 "$lab_build/tests/netns/flood" -p "$hub_key" -e 203.0.113.2:51820 \
		"$1" "$per_s" "$count"
	local flood_pid=$net_pid
	net_spawn office "$net_dir/ping-$id.log" ping -q -i 0.01 -c $((seconds * 100 - 50)) -W 1 10.77.0.3
	local ping_pid=$net_pid
	sleep 1 # into the flood: it is what is measured
	memory=$(resident)
	raw_as "new-$id" nat arrive >"$net_dir/arrive-$id" || return 1
	wait "$ping_pid"
	wait "$flood_pid" || return 1
	after=$(shown)
	lost=$(awk '/packets transmitted/ { printf "%d", ($1 - $4) * 1000 / $1 }' "$net_dir/ping-$id.log")
	echo "$lost $(cat "$net_dir/arrive-$id") $(($(resident) - memory))" >"$net_dir/figures-$id"
	echo "# $id: sent $(rate "$id") a second"
	paste <(tr ' ' '\n' <<<"$counters") <(tr ' ' '\n' <<<"$before") <(tr ' ' '\n' <<<"$after") |
		awk 'NF == 3 { printf "#   %-20s +%d\n", $1, $3 - $2 }'
}
rate() { awk '{ printf "%d", $1 * 1000 / $2 }' "$net_dir/flood-$1.log"; }
field() { cut -d' ' -f"$2" "$net_dir/figures-$1"; }
at_most() { [ "$1" -le "$2" ] || is "$1" "at most $2"; }

# quiet: pings lost without a flood, of as many.
quiet() {
	net_exec office ping -q -i 0.01 -c $((seconds * 100 - 50)) -W 1 10.77.0.3 >"$net_dir/ping-quiet"
	quiet_lost=$(awk '/packets transmitted/ { printf "%d", ($1 - $4) * 1000 / $1 }' "$net_dir/ping-quiet")
}
require "pings without a flood" quiet
echo "# none: $quiet_lost of 1000 pings lost; load of the machine $(cut -d' ' -f1 /proc/loadavg)"
for kind in ${WEIR_FLOOD_KINDS:-wrong known spoofed}; do
	require "$kind: the flood runs, pings go on, somebody arrives" under_flood "$kind"
	grep '^#' "$net_dir/check.out"
	echo "# $kind: $(field "$kind" 1) of 1000 pings lost (10); arrived in $(field "$kind" 2) ms (2000) after" \
		"$(field "$kind" 3) initiations and $(field "$kind" 4) cookies; memory grew by $(field "$kind" 5) KB"
	check "$kind: nearly all of the flood was sent, $(rate "$kind") a second ($((per_s * 4 / 5)))" test "$(rate "$kind")" -ge $((per_s * 4 / 5))
	check "$kind: at most 1 % of the pings is lost" at_most "$(field "$kind" 1)" 10
	check "$kind: a new peer arrives within 2 s" at_most "$(field "$kind" 2)" 2000
	check "$kind: memory stays as it is (1 MB)" at_most "$(field "$kind" 5)" 1024
done

require "wrong, as many as can be sent" under_flood wrong 1000000
id=wrong-1000000
echo "# wrong, $(rate $id) a second: $(field $id 1) of 1000 pings lost; arrived in $(field $id 2) ms; memory grew by $(field $id 5) KB"
check "every packet is accounted for" net_wait 5 balance
tap_done
