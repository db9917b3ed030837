#!/usr/bin/env bash
# weir-dataplane by itself beside weir-control, without the supervisor: its start, what it keeps,
# who may replace whom, and how it ends.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"
dataplane=$lab_build/dataplane/weir-dataplane
socket=$lab_run/dataplane.sock
sanitized=$(ldd "$dataplane" | grep -c libasan)

code() { # code EXPECTED COMMAND...
	local expected=$1 status
	shift
	"$@"
	status=$?
	[ "$status" = "$expected" ] || {
		echo "exit $status, expected $expected"
		return 1
	}
}
in_hub() { nsenter --net="/run/netns/$net_tag-hub" timeout 20 "$@"; }

# The rest of this file's functions set variables, so they run in this shell, not under check.
n_logs=0
start_control() {
	net_spawn hub "$net_dir/control.log" "$lab_build/control/weir-control" -c "$lab_conf"
	control_pid=$net_pid
}
start_dataplane() { # its log is $log
	n_logs=$((n_logs + 1))
	log=$net_dir/dataplane$n_logs.log
	: >"$log"
	net_spawn hub "$log" "$dataplane" --socket "$socket"
	dataplane_pid=$net_pid
}
killed() { # killed PID: and gone
	kill -9 "$1"
	wait "$1" 2>/dev/null
}
is_ready() { net_wait 10 grep -q ' main: ready ' "$log"; }
status() { awk -v name="$1:" '$1 == name { print $2 }' "/proc/$dataplane_pid/status"; }
at_most() { # at_most VALUE LIMIT
	[ "$sanitized" -ne 0 ] && return 0 # the sanitizer's own memory and time
	[ "$1" -le "$2" ] || {
		echo "is $1, must be at most $2"
		return 1
	}
}

check "--help is exit code 0" code 0 "$dataplane" --help
check "--version is exit code 0" code 0 "$dataplane" --version
check "no socket is exit code 2" code 2 "$dataplane"
check "a wrong log level is exit code 2" refused 2 '"loud"' "$dataplane" -s x -l loud
check "an unknown user is exit code 2" refused 2 '"nobody-there"' "$dataplane" -s x -u nobody-there

require "laboratory comes up" lab_up
LAB_DATAPLANE='hugepages = false;' lab_hub_conf

start_dataplane
check "it waits for control" net_wait 5 grep -q 'waiting for control' "$log"
kill -TERM "$dataplane_pid"
wait "$dataplane_pid"
check "SIGTERM while waiting is exit code 0" is $? 0

start_dataplane
start_control
require "it becomes ready when control comes" is_ready
check "within half a second of the region" at_most "$(sed -n 's/.* start_ms=//p' "$log")" 500
check "in 120 MB, all memory counted" at_most "$(status VmRSS)" 120000
echo "# resident $(status VmRSS) kB, ready after $(sed -n 's/.* start_ms=//p' "$log") ms"
# CAP_IPC_LOCK too, where there is one to keep: rings of a port that is made again are locked memory
expected=$(printf '%016x' $((0x7000 & 16#$(awk '/^CapPrm/ { print $2 }' /proc/self/status))))
check "with CAP_NET_ADMIN, CAP_NET_RAW and CAP_IPC_LOCK alone" is "$(status CapPrm)" "$expected"
check "and no way back to others" is "$(status NoNewPrivs)" 1
no_core() { [ "$(stat -c %U "/proc/$dataplane_pid/environ")" = root ] && grep -q '^Max core file size *0 *0' "/proc/$dataplane_pid/limits"; }
check "and no core dump" no_core
check "the kernel behind the TAP answers over IPv4" net_wait 3 pings internet 203.0.113.2 3
check "and over IPv6" net_wait 3 pings internet 2001:db8:1::2 3
check "a second dataplane is exit code 3" refused 3 "another dataplane is attached" in_hub "$dataplane" -s "$socket"

# A worker that is stopped has no time: what finds no room in the port's queue meanwhile is counted.
taken() { echo $(($(lab_counter rx_wan) + $(lab_counter port_missed))); }
all_taken() { [ "$(taken)" -ge "$1" ]; }
overflow() { # overflow FRAMES
	local before
	before=$(taken)
	kill -STOP "$dataplane_pid"
	net_exec internet python3 - "$1" <<'PY'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(int(sys.argv[1])):
    s.sendto(b"too much", ("203.0.113.2", 51820))
PY
	kill -CONT "$dataplane_pid"
	net_wait 5 all_taken $((before + $1)) || return 1
	[ "$(lab_counter port_missed)" -gt 0 ]
}
before_overflow=$(taken)
check "what overflows the port's queue is counted" overflow 20000
# Neighbours say something now and then, too.
check "once" test "$(taken)" -lt $((before_overflow + 20100))

killed "$control_pid"
check "control killed: it says so" net_wait 2 grep -q 'control is gone' "$log"
check "and packets go on, none lost" pings internet 203.0.113.2 20
start_control
check "control comes back to it" net_wait 5 grep -q 'control is back' "$log"
check "and packets go on" pings internet 203.0.113.2 20

killed "$dataplane_pid"
start_dataplane
require "killed, the next one becomes ready" is_ready
check "and the kernel answers again" net_wait 3 pings internet 203.0.113.2 3
kill -TERM "$dataplane_pid"
wait "$dataplane_pid"
check "SIGTERM while running is exit code 0" is $? 0

check "no CAP_NET_RAW is exit code 1" refused 1 "CAP_NET_RAW" in_hub setpriv --bounding-set=-net_raw --inh-caps=-net_raw "$dataplane" -s "$socket"
net_ip hub link set wan0 mtu 1400
check "a small MTU is exit code 1" refused 1 'ip link set wan0 mtu 1500' in_hub "$dataplane" -s "$socket"
net_ip hub link del wan0
check "a missing interface is exit code 1" refused 1 'no interface "wan0"' in_hub "$dataplane" -s "$socket"
tap_done
