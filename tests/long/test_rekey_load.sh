#!/usr/bin/env bash
# Rekeys under load: office and home ping each other 50 times a second for 270 s, through two rekeys of each at
# least. Of more than 10,000 not one is lost.
# This one waits: run starts it beside others that do.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/../netns/tap.sh"

seconds=270
hub_with_two
require "home reaches office" net_wait 5 pings home 10.77.0.2 1
completed=$(lab_counter hs_completed)

pids=()
ping_to() { # NS ADDRESS
	net_spawn "$1" "$net_dir/ping-$1.log" ping -q -i 0.02 -W 2 -c $((seconds * 50)) "$2"
	pids+=("$net_pid")
}
ping_to office 10.77.0.3
ping_to home 10.77.0.2
wait "${pids[@]}" 2>/dev/null
sent=0
answered=0
for ns in office home; do
	read -r s a < <(ping_counts "$net_dir/ping-$ns.log")
	sent=$((sent + ${s:-0}))
	answered=$((answered + ${a:-0}))
done
rekeys=$(($(lab_counter hs_completed) - completed))
check "at least two rekeys of each: $rekeys" test "$rekeys" -ge 4
check "at least 10,000 pings: $sent" test "$sent" -ge 10000
check "none lost: $((sent - answered)) (bound 0)" test "$answered" -eq "$sent"
check "every packet is accounted for" net_wait 3 balance
tap_done
