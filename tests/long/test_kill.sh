#!/usr/bin/env bash
# Crashes in figures: each process is killed -9 again and again (KILLS times, 20), and both at once, under
# pings every 10 ms and TCP connections that must last; control is stopped for 10 s; 64 peers come back after
# both were killed; 2000 live peers' memory. Each figure beside its bound. Three minutes.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/../netns/tap.sh"
# shellcheck source=tests/long/figures.sh
. "$top/tests/long/figures.sh"

kills=${KILLS:-20}
hub_with_talk
require "control killed -9, $kills times" times control "$kills"
tell "control killed: back, worst of $kills" "$back_worst" s 2
tell "control killed: pings lost" "$lost" "" 0
check "both connections last" alive
require "dataplane killed -9, $kills times" times dataplane "$kills"
tell "dataplane killed: longest gap, median of $kills" "$gap_median" s 1
tell "dataplane killed: longest gap, worst of $kills" "$gap_worst" s 2
check "both connections last" alive
echo "# flows picked up in the middle, as a grant allows: $(lab_counter flows_picked_up)"

stopped() {
	local control received
	control=$(lab_pid control)
	net_spawn office "$net_dir/ping-stop" ping -q -c 1000 -i 0.01 -W 1 10.77.0.3
	local pinger=$net_pid
	kill -STOP "$control"
	wait "$pinger"
	kill -CONT "$control"
	read -r _ received < <(ping_counts "$net_dir/ping-stop")
	stop_lost=$((1000 - received))
}
check "control stopped for 10 s under 200 pings a second" stopped
tell "control stopped for 10 s: pings lost of 1000" "${stop_lost:-}" "" 0
check "both connections last" alive
require "both killed -9, $kills times" times both "$kills"
tell "both killed: longest gap, worst of $kills" "$gap_worst" s 3
# A dataplane that resumes no session picks up no flow in the middle (dataplane/README.md): clients connect again.
talk_again() { talk home 10.77.0.3 && talk hub 10.77.0.1; }
check "both killed: connections are opened anew" talk_again
check "every packet is accounted for" net_wait 3 balance
net_end "$lab_hub_pid"

# ---- many peers: simulated ones ------------------------------------------------------------------------

pktgen=$lab_build/tools/pktgen/weir-pktgen
net_ns gen
require "a wire" net_link internet gen0 gen eth0
net_ip internet addr add 198.51.77.1/24 dev gen0
many() { # PEERS: a hub that knows them
	rm -rf "$net_dir/store"
	LAB_EXTRA=$("$pktgen" config --peers "$1") # not for the environment of commands: it is too long
	LAB_HUB='preshared_key = "optional";' LAB_TUNNEL_BITS=16 LAB_DATAPLANE="max_peers = $(($1 + 64));" lab_hub_conf
	lab_hub_start 30 && hub_key=$(wg pubkey <"$net_dir/hub.key")
}
generate() { # COMMAND PEERS ARGS...
	local command=$1 peers=$2
	shift 2
	net_exec gen "$pktgen" "$command" --hub 203.0.113.2:51820 --source 198.51.77.100/24 --gateway 198.51.77.1 --hub-key "$hub_key" --peers "$peers" \
		--idle nap --hugepages no --json --quiet --port net_af_packet0,iface=eth0,qdisc_bypass=1,blocksz=65536,framesz=2048,framecnt=1024 "$@"
}
completed() { [ "$(lab_counter hs_completed 2>/dev/null || echo 0)" -ge "$1" ]; }

require "hub with 64 simulated peers" many 64
generate traffic 64 --rate 640pps --time 15 --pattern ring --size 200 >"$net_dir/result.json" 2>"$net_dir/generate.err" &
generator=$!
net_pids+=("$generator")
require "they shake hands" net_wait 10 completed 64
restart() {
	local begin control dataplane
	control=$(lab_pid control) && dataplane=$(lab_pid dataplane) || return 1
	begin=$(date +%s.%N)
	kill -9 "$control" "$dataplane"
	net_wait 3 eval '! completed 1'
	net_wait 20 completed 64 || return 1
	all_back=$(awk -v a="$begin" -v b="$(date +%s.%N)" 'BEGIN { printf "%.2f", b - a }')
}
check "both killed: all 64 have a session again" restart
tell "both killed: 64 peers have sessions again" "${all_back:-}" s 3
wait "$generator"
python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); print("# handshakes that the hub began and they answered:", r["answered"])' "$net_dir/result.json"
net_end "$lab_hub_pid"

require "hub with 2000 simulated peers" many 2000
check "they shake hands and send" eval 'generate traffic 2000 --rate 2000pps --time 3 --pattern ring --size 200 --addresses 100 >"$net_dir/result.json"'
rss() { echo $((($(lab_rss_kb "$(lab_pid control)") + $(lab_rss_kb "$(lab_pid dataplane)")) / 1024)); }
echo "# sessions made: $(lab_counter hs_completed); control $(($(lab_rss_kb "$(lab_pid control)") / 1024)) MB, dataplane $(($(lab_rss_kb "$(lab_pid dataplane)") / 1024)) MB"
tell "2000 live peers: resident memory of both processes" "$(rss)" MB 250
tap_done
