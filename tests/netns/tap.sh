# shellcheck shell=bash
# What every namespace test sources: the laboratory, and TAP lines. A test script calls check for
# each thing it shows and tap_done at the end; whatever happens, the trap removes everything.
set -u -o pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [ "$(id -u)" -ne 0 ]; then
	echo "1..1"
	echo "not ok 1 - must run as root: it makes network namespaces"
	exit 1
fi
# shellcheck source=tools/lib/net.sh
. "$top/tools/lib/net.sh"
# shellcheck source=tools/lib/lab.sh
. "$top/tools/lib/lab.sh"

tap_n=0
tap_failed=0

tap_exit() {
	local status=$?
	if [ "$tap_failed" -ne 0 ] || [ "$status" -ne 0 ]; then
		for log in "$net_dir"/*.log; do
			[ -s "$log" ] && sed "s|^|# $(basename "$log"): |" "$log" | tail -n 60
		done
	fi
	net_cleanup
	exit "$status"
}
trap tap_exit EXIT
trap 'exit 130' INT TERM

# check NAME COMMAND...: one test case; the command's output is shown when it fails. The command
# runs in this shell, not in a subshell, so that what it starts and makes is known to the clean-up.
check() {
	local name=$1
	shift
	tap_n=$((tap_n + 1))
	if "$@" >"$net_dir/check.out" 2>&1; then
		echo "ok $tap_n - $name"
	else
		tap_failed=$((tap_failed + 1))
		echo "not ok $tap_n - $name"
		tail -n 20 "$net_dir/check.out" | sed 's/^/#   /'
		return 1
	fi
}

# require NAME COMMAND...: a check without which the rest makes no sense.
require() {
	check "$@" || exit 1
}

tap_done() {
	echo "1..$tap_n"
	[ "$tap_failed" -eq 0 ] || exit 1
	exit 0
}

# ---- common observations -------------------------------------------------------------------------

# pings NS ADDRESS COUNT [INTERVAL]: all of them answered.
pings() {
	net_exec "$1" ping -q -c "$3" -i "${4:-0.05}" -W 1 "$2"
}

# pings_of_size NS ADDRESS BYTES: ICMP payload, not to be fragmented.
pings_of_size() {
	net_exec "$1" ping -q -M "do" -s "$3" -c 3 -i 0.05 -W 1 "$2"
}

# is LEFT RIGHT: equal, and says both when not.
is() {
	[ "$1" = "$2" ] || {
		echo "is \"$1\", expected \"$2\""
		return 1
	}
}

# grows COUNTER BY COMMAND...: the command succeeds and the counter grows by exactly so much
# within two seconds of it.
grows() {
	local counter=$1 by=$2 before
	shift 2
	before=$(lab_counter "$counter")
	"$@" || return 1
	net_wait 2 counter_is "$counter" $((before + by)) ||
		is "$counter $(lab_counter "$counter")" "$counter $((before + by))"
}

# balance: what came = what went + what was dropped, over all workers. For net_wait.
balance() {
	lab_cli -o json counters | python3 -c '
import json, sys
c = json.load(sys.stdin)["counters"]
came = sum(c[k] for k in ("rx_wan", "rx_tun", "rx_tap", "rx_handoff", "rx_inject", "rx_wait"))
went = sum(c[k] for k in ("tx_wan", "to_tun", "to_tap", "to_control", "to_handoff", "to_wait", "keepalive_in"))
drops = sum(v for k, v in c.items() if k.startswith("drop_"))
print(f"in {came} = out {went} + drops {drops}; difference {came - went - drops}")
sys.exit(came != went + drops)'
}

counter_is() { [ "$(lab_counter "$1")" = "$2" ]; }

# no_drift: the workers hold what is wanted. For net_wait.
no_drift() { lab_cli -o json audit drift | python3 -c 'import json,sys; sys.exit(len(json.load(sys.stdin)["findings"]))'; }

# ping_counts FILE: "SENT ANSWERED" of a ping that has ended.
ping_counts() { sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) received.*/\1 \2/p' "$1"; }

# ping_end PID FILE: stop a ping that would go on for ever. ping_sent, ping_lost: what it sent, and how much of that was
# lost. Not lost is what was under way when it was stopped: at most the last three.
ping_end() {
	kill -INT "$1" || return 1
	wait "$1" 2>/dev/null
	read -r ping_sent ping_lost < <(awk '
		/bytes from/ && !/DUP!/ && match($0, /icmp_seq=[0-9]+/) {
			seq = substr($0, RSTART + 9, RLENGTH - 9) + 0
			last = seq > last ? seq : last
			n++
		}
		/packets transmitted/ { sent = $1 }
		END { print sent + 0, sent - n - (n > 0 && sent - last <= 3 ? sent - last : 0) }' "$2")
	[ "$ping_sent" -gt 0 ]
}

# later SINCE SECONDS: so many have passed since that "date +%s.%N". For net_wait.
later() { awk -v now="$(date +%s.%N)" -v since="$1" -v by="$2" 'BEGIN { exit !(now - since >= by) }'; }

# ---- what many stories begin with, or do -----------------------------------------------------------

# hub_with_two: the laboratory, a hub as LAB_* say, and two clients who reach each other through it.
hub_with_two() {
	require "laboratory comes up" lab_up
	lab_hub_conf
	require "hub becomes ready" lab_hub_start
	require "office joins" lab_client office
	require "home joins from behind NAT" lab_client home
	require "office reaches home through the hub" net_wait 5 pings office 10.77.0.3 1
}

# restarted control|dataplane PID: another one runs in its place. For net_wait.
restarted() {
	local now
	now=$(lab_pid "$1" 2>/dev/null) && [ "$now" -gt 0 ] && [ "$now" != "$2" ]
}
# kill_process control|dataplane SECONDS: -9, and another one runs within that.
kill_process() {
	local old
	old=$(lab_pid "$1") && kill -9 "$old" && net_wait "$2" restarted "$1" "$old"
}
# kill_control: the next one has the dataplane again, too.
kill_control() { kill_process control 20 && net_wait 20 dataplane_ready; }
dataplane_ready() { lab_cli status | net_has '^dataplane .* ready'; }

# raw_peer NAME [OPTION...]: a peer for rawpeer, its keys in NAME.key and NAME.psk, its configuration in NAME.conf.
raw_peer() {
	local name=$1
	shift
	(
		umask 077
		[ -s "$net_dir/$name.key" ] || wg genkey >"$net_dir/$name.key"
		lab_cli peer add "$name" --public-key "$(wg pubkey <"$net_dir/$name.key")" "$@" >"$net_dir/$name.conf" || exit 1
		sed -n 's/^PresharedKey *= *//p' "$net_dir/$name.conf" >"$net_dir/$name.psk"
	)
}

# raw_as NAME NS COMMAND...: rawpeer as that peer, from there.
raw_as() {
	local name=$1 ns=$2
	shift 2
	net_exec "$ns" "$lab_build/tests/netns/rawpeer" -k "$net_dir/$name.key" -s "$net_dir/$name.psk" \
		-p "$(sed -n 's/^PublicKey *= *//p' "$net_dir/$name.conf")" -e 203.0.113.2:51820 "$@"
}

# keep_secrets NS ID...: the keys of their clients, and the hub's, as files for no_secret_told.
keep_secrets() {
	local device
	while [ $# -gt 0 ]; do
		device=$(net_wg_device "$2")
		(
			umask 077
			net_exec "$1" wg show "$device" private-key >"$net_dir/secret-$2.key"
			net_exec "$1" wg show "$device" preshared-keys | cut -f2 >"$net_dir/secret-$2.psk"
		)
		shift 2
	done
	cp "$net_dir/hub.key" "$net_dir/secret-hub.key"
}

# no_secret_told [--weir] [FILE...]: no secret that was kept is in an answer to any operation, the log, the store, the
# arguments and environment of processes, or those files; and no process of the hub leaves a core. Operations that
# take away are among those asked: the last thing of a test.
no_secret_told() {
	local pid pids options=() files=("$net_dir/hub.log" "$net_dir"/store/*)
	pids="$(lab_pid control) $(lab_pid dataplane)" || return 1
	if [ "${1:-}" = --weir ]; then
		options=("--weir=$lab_weir")
		shift
	fi
	for pid in $pids $lab_hub_pid; do files+=("/proc/$pid/cmdline" "/proc/$pid/environ"); done
	for pid in $pids; do grep '^Max core file size  *0  *0 ' "/proc/$pid/limits" || is "core of $pid" "none" || return 1; done
	python3 "$top/tests/netns/canary.py" "${options[@]}" "$top/control/model/methods.json" "$lab_run/control.sock" "$net_dir"/secret-* -- "${files[@]}" "$@"
}

refused() { # refused EXIT_CODE TEXT COMMAND...: fails with this code and says TEXT
	local code=$1 text=$2 output status
	shift 2
	output=$("$@" 2>&1)
	status=$?
	[ "$status" = "$code" ] && printf '%s' "$output" | net_has -F -- "$text" && return 0
	echo "exit $status, expected $code with \"$text\"; output:"
	printf '%s\n' "$output"
	return 1
}
