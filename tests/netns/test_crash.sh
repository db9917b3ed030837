#!/usr/bin/env bash
# Either process may be killed at any time: tunnels go on, clients are not touched.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

hub_with_two

# ping_through control|dataplane: 100 pings, 20 a second, while it is killed.
ping_through() {
	local log=$net_dir/ping-$1.log before
	before=$(lab_counter forwarded)
	net_spawn office "$log" ping -q -c 100 -i 0.05 -W 1 10.77.0.3
	pinger=$net_pid
	net_wait 5 forwarded_at_least $((before + 40)) || return 1 # 20 pings there and back
	kill_process "$1" 5 || return 1
	wait "$pinger"
	read -r _ received < <(ping_counts "$log")
	cat "$log"
}

forwarded_at_least() { [ "$(lab_counter forwarded)" -ge "$1" ]; }

control_loses_nothing() { ping_through control && is "$received" 100; }
check "control killed -9 during a ping: no packet lost, and it is back" control_loses_nothing
check "peers added before are still there" eval 'lab_cli peer show home && lab_cli peer show office'
check "a new peer can be added" eval 'lab_cli peer add third --public-key "$(wg genkey | wg pubkey)" >/dev/null'

# At most 1.5 s of 5 s may be lost: the new dataplane resumes the sessions, no client restarts.
dataplane_resumes() { ping_through dataplane && [ "$received" -ge 70 ]; }
check "dataplane killed -9 during a ping: the same ping goes on" dataplane_resumes
check "pings pass afterwards, none lost" pings office 10.77.0.3 20

both() {
	local control dataplane
	control=$(lab_pid control) && dataplane=$(lab_pid dataplane) || return 1
	kill -9 "$control" "$dataplane"
	net_wait 10 restarted dataplane "$dataplane" && net_wait 10 pings office 10.77.0.3 1
}
check "both killed -9: traffic comes back by itself" both
check "supervisor still runs" kill -0 "$lab_hub_pid"
stopped() {
	local control dataplane
	control=$(lab_pid control) && dataplane=$(lab_pid dataplane) || return 1
	net_end "$lab_hub_pid"
	! kill -0 "$control" 2>/dev/null && ! kill -0 "$dataplane" 2>/dev/null
}
check "SIGTERM to the supervisor ends both" stopped
tap_done
