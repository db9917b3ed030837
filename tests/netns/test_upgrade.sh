#!/usr/bin/env bash
# weir upgrade: control and dataplane are replaced while tunnels and clients go on; what does not fit is
# refused, and what does not come up leaves the hub as it was.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"
# shellcheck source=tests/netns/www.sh
. "$(dirname "$0")/www.sh"

hub_with_two
require "home serves a page" www_serve "hello from behind NAT" 2000000
require "a service is published" www_publish
mkdir "$net_dir/new"
cp "$lab_build/control/weir-control" "$lab_build/dataplane/weir-dataplane" "$net_dir/new/"

upgrade() { lab_cli upgrade "$@"; }
pids() { echo "$(lab_pid control) $(lab_pid dataplane)"; }

# ---- what clients see --------------------------------------------------------------------------------

ask() { www_ask upgrade && net_wait 5 busy; } # begin, and every request is answered until www_asked
busy() { [ "$(grep -c 'GET /' "$net_dir/www.out")" -gt "${busy_from:-20}" ]; }
asked() {
	www_asked || { cat "$net_dir/ask-upgrade" && return 1; }
}
replaced() { # control|dataplane OLD_PID PATH: another runs, and it is this program
	local now
	now=$(lab_pid "$1")
	[ "$now" != "$2" ] && is "$(readlink "/proc/$now/exe")" "$3"
}

control_is_replaced() {
	local old received
	old=$(lab_pid control) && ask || return 1
	net_spawn office "$net_dir/ping-control" ping -q -c 150 -i 0.01 -W 1 10.77.0.3
	local pinger=$net_pid
	upgrade --binary-dir "$net_dir/new" --only control && replaced control "$old" "$net_dir/new/weir-control" || return 1
	busy_from=$(($(grep -c 'GET /' "$net_dir/www.out") + 20))
	net_wait 5 busy && asked || return 1
	wait "$pinger"
	read -r _ received < <(ping_counts "$net_dir/ping-control")
	is "$received received" "150 received" && net_wait 15 gone "$old"
}
gone() { ! kill -0 "$1" 2>/dev/null; }
check "control is replaced: no ping is lost, no request fails" control_is_replaced
sed 's/^/# /' "$net_dir/ask-upgrade"

dataplane_is_replaced() {
	local old status
	old=$(lab_pid dataplane)
	net_spawn office "$net_dir/ping-dataplane" ping -D -n -i 0.01 10.77.0.3
	local pinger=$net_pid
	net_wait 5 grep -q "icmp_seq=20 " "$net_dir/ping-dataplane" || return 1
	upgrade --binary-dir "$net_dir/new" --only dataplane && replaced dataplane "$old" "$net_dir/new/weir-dataplane"
	status=$?
	net_wait 5 answered_after "$(date +%s.%N)" || return 1
	kill -INT "$pinger"
	wait "$pinger"
	gap=$(awk -F'[][]' '/icmp_seq/ { if (last && $2 - last > gap) gap = $2 - last; last = $2 } END { printf "%.2f", gap }' "$net_dir/ping-dataplane")
	return $status
}
answered_after() { awk -F'[][]' -v since="$1" '/icmp_seq/ { last = $2 } END { exit !(last > since) }' "$net_dir/ping-dataplane"; }
check "the dataplane is replaced: the same ping goes on" dataplane_is_replaced
echo "# longest time between two replies: ${gap:-none} s (bound 1 s: tests/long/test_kill.sh)"
back() {
	local old
	old=$(pids)
	upgrade && replaced control "${old% *}" "$(realpath "$lab_build/control/weir-control")" &&
		replaced dataplane "${old#* }" "$(realpath "$lab_build/dataplane/weir-dataplane")"
}
check "the way back is the same command, for both" back
check "pings pass" pings office 10.77.0.3 10
killed() {
	local old
	old=$(lab_pid control) && kill -9 "$old" && net_wait 10 replaced control "$old" "$(realpath "$lab_build/control/weir-control")"
}
check "control that took over is killed: the supervisor starts it again" killed

# ---- what is refused ---------------------------------------------------------------------------------

# other PROGRAM VERSIONS [REST]: a directory with programs that say so, and do REST when they are started.
other() {
	mkdir -p "$net_dir/other"
	cp "$net_dir/new/"* "$net_dir/other/"
	rm "$net_dir/other/$1"
	printf '#!/bin/sh\n[ "$1" != --versions ] || { echo "%s"; exit 0; }\n%s\n' "$1 9.9 $2" "${3:-exit 1}" >"$net_dir/other/$1"
	chmod +x "$net_dir/other/$1"
}
abi=$("$lab_build/dataplane/weir-dataplane" --versions | sed 's/.*abi //')
store=$("$lab_build/control/weir-control" --versions | sed 's/.*store //')
not_replaced() { # TEXT [WHICH]: refused, it says so, and the same two processes run
	local old
	old=$(pids)
	refused 1 "$1" upgrade --binary-dir "$net_dir/other" "${@:2}" && is "$(pids)" "$old" && pings office 10.77.0.3 2
}
other weir-dataplane "abi 99"
check "a dataplane of another ABI is refused, both versions named" not_replaced "weir-dataplane 9.9 has ABI version 99, the running 0.1.0 has $abi:"
other weir-control "abi $abi store 99"
check "a control of another store schema is refused, both versions named" not_replaced "weir-control 9.9 has store schema 99, the running 0.1.0 has $store:"
other weir-control "nothing"
check "a program that does not know its versions is refused" not_replaced "does not say its versions"
other weir-control "abi $abi store $store"
check "a control that does not come up: the one before goes on" not_replaced "before it was ready"
rm -r "$net_dir/other"
other weir-dataplane "abi $abi"
falls_back() {
	local old
	old=$(pids)
	refused 1 "the one before is started again" upgrade --binary-dir "$net_dir/other" --only dataplane &&
		net_wait 10 restarted dataplane "${old#* }" && net_wait 10 pings office 10.77.0.3 1
}
check "a dataplane that does not come up: the one before runs again" falls_back
check "no directory, no upgrade" refused 1 "is not there" upgrade --binary-dir "$net_dir/www"

# ---- the supervisor is killed while a control takes over -----------------------------------------------

other weir-control "abi $abi store $store" "echo \$\$ >$net_dir/begun
while [ -d $net_dir ] && [ ! -e $net_dir/go ]; do sleep 0.05; done
exec $net_dir/new/weir-control \"\$@\""
supervisor_killed() { # before|after: the next supervisor begins before, or after, the other control has taken over
	local old client
	old=$(pids)
	rm -f "$net_dir/begun" "$net_dir/go"
	upgrade --binary-dir "$net_dir/other" --only control &
	client=$!
	net_wait 10 test -s "$net_dir/begun" && net_wait 5 noted "$(cat "$net_dir/begun")" && kill -9 "$lab_hub_pid" || return 1
	wait "$client" "$lab_hub_pid"
	[ "$1" = after ] || lab_hub_start || return 1
	touch "$net_dir/go"
	net_wait 15 replaced control "${old% *}" "$net_dir/new/weir-control" && net_wait 15 ended "${old% *}" || return 1
	[ "$1" = before ] || lab_hub_start || return 1
	is "$(pids)" "$(cat "$net_dir/begun") ${old#* }" && pings office 10.77.0.3 2
}
noted() { grep -q "^$1 " "$lab_run/run.lock"; }
ended() { [ -z "$(net_birth "$1")" ]; } # nobody may have asked how
check "supervisor is killed, control takes over alone: the next one takes over both" supervisor_killed after
check "supervisor is killed, the next one sees control take over" supervisor_killed before
check "and it can upgrade" back
check "every packet is accounted for" net_wait 3 balance
keep_secrets office office home home
check "H11: no key is in answers, log, store, or what processes old and new were given" no_secret_told
stopped() {
	local old
	old=$(pids)
	net_end "$lab_hub_pid" && ended "${old% *}" && ended "${old#* }" && refused 3 "no supervisor" upgrade
}
check "without a supervisor there is none" stopped
tap_done
