# shellcheck shell=bash
# What the proofs about kills and upgrades share, over tap.sh: grants and TCP connections that must last, kills.py,
# figures beside their bounds.

# tell NAME FIGURE UNIT BOUND: the figure beside its bound, which it must be within.
tell() { check "$1: $2${3:+ $3} (bound $4)" awk -v f="$2" -v b="$4" 'BEGIN { exit !(f != "" && f <= b) }'; }

# hub_with_talk: the laboratory with a strict hub, and office talking over TCP, all the time, to an echo at home (a flow that
# a grant allows) and to one at the hub, through weir0. It pings home every 10 ms into $net_dir/ping.
hub_with_talk() {
	require "laboratory comes up" lab_up
	LAB_HUB="peer_to_peer = false;" lab_hub_conf
	require "hub becomes ready" lab_hub_start
	require "office joins" lab_client office --whole-subnet
	require "home joins from behind NAT" lab_client home --whole-subnet
	require "grants, and echo at home and at the hub" grants
	require "office reaches home through the hub" net_wait 5 pings office 10.77.0.3 1
	require "a granted connection to home" talk home 10.77.0.3
	home_pid=$net_pid
	require "a connection through weir0 to the hub" talk hub 10.77.0.1
	hub_pid=$net_pid
	net_spawn office "$net_dir/ping" ping -D -n -i 0.01 10.77.0.3
}
grants() {
	lab_cli grant add ping --who any --to any --protocol icmp && lab_cli grant add echo --who peer:office --to peer:home --protocol tcp --ports 9000 &&
		lab_cli grant add hub --who peer:office --to hub --protocol tcp --ports 9000 && spoke home && spoke hub
}
spoke() { net_spawn "$1" "$net_dir/serve-$1" python3 "$top/tests/netns/spoke.py" serve 9000 && net_wait 5 net_listening "$1" 9000; }
talk() { # NAME ADDRESS
	net_spawn office "$net_dir/talk-$1.err" "$top/tests/long/talk.py" "$2" 9000 "$net_dir/talk-$1"
	net_wait 5 test -s "$net_dir/talk-$1"
}

# alive: the same connections, and they still get answers.
alive() {
	local name
	for name in home hub; do
		answered "$name" || is "$name: $(cat "$net_dir/talk-$name.err")" "answers"
	done
	kill -0 "$home_pid" && kill -0 "$hub_pid"
}
answered() {
	local n
	n=$(wc -l <"$net_dir/talk-$1")
	net_wait 20 more_than "$1" "$n"
}
more_than() { [ "$(wc -l <"$net_dir/talk-$1")" -gt "$2" ]; }

# times WHAT N: figures of kills.py in $back_median, $back_worst, $gap_median, $gap_worst, $lost
times() {
	local figures
	figures=$("$top/tests/long/kills.py" "$lab_run/control.sock" "$net_dir/ping" "$1" "$2" 2>"$net_dir/kills.err") || {
		cat "$net_dir/kills.err"
		return 1
	}
	# shellcheck disable=SC2034 # for the proof
	read -r back_median back_worst gap_median gap_worst lost <<<"$figures"
}
