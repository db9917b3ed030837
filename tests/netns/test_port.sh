#!/usr/bin/env bash
# The exception thread by itself: two namespaces joined through two of them (port_bounce.c). TCP
# super-packets are cut up and put together again on the way, contents unchanged.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"
build=${WEIR_BUILD:-$top/build}

net_ns a
net_ns b
bounce_pid=""

# start MODE: make the devices, give them addresses.
start() {
	local side
	mkfifo "$net_dir/stdin.$1" || return 1
	"$build/tests/netns/port_bounce" "$1" "$net_tag-a" "$net_tag-b" \
		<"$net_dir/stdin.$1" >"$net_dir/bounce.$1" 2>"$net_dir/bounce.$1.log" &
	bounce_pid=$!
	net_pids+=("$bounce_pid")
	exec 7>"$net_dir/stdin.$1"
	net_wait 10 grep -q ready "$net_dir/bounce.$1" || return 1
	for side in "a 1" "b 2"; do
		net_ip "${side% *}" link set bounce0 mtu 1420 up || return 1
		net_ip "${side% *}" addr add "10.9.0.${side#* }/24" dev bounce0 || return 1
		net_ip "${side% *}" addr add "fd09::${side#* }/64" dev bounce0 nodad || return 1
	done
	echo go >&7
	net_spawn b "$net_dir/iperf.$1.log" iperf3 -s --forceflush
	iperf_pid=$net_pid
	net_wait 5 grep -q listening "$net_dir/iperf.$1.log"
}

# stop: end it orderly, so that it prints its counters.
stop() {
	net_end "$iperf_pid"
	exec 7>&-
	wait "$bounce_pid"
}

value() { sed -n "s/^$2 //p" "$net_dir/bounce.$1"; }

received_packets() { # what the kernel of a namespace counts: super-packets
	net_exec "$1" cat /proc/net/dev | awk '$1 == "bounce0:" { print $3 }'
}

throughput() { # throughput ARGS: prints Gbit/s as a TAP comment
	net_exec a iperf3 -J -t 2 "$@" >"$net_dir/iperf.json" || {
		cat "$net_dir/iperf.json"
		return 1
	}
	python3 - "$*" "$net_dir/iperf.json" >&3 <<'PY'
import json, sys
end = json.load(open(sys.argv[2]))["end"]
print("# iperf3 %s: %.1f Gbit/s" % (sys.argv[1], end["sum_received"]["bits_per_second"] / 1e9))
PY
}

contents() { # contents ADDRESS: 32 MB of random bytes arrive unchanged
	net_exec b python3 - "$1" >"$net_dir/received" <<'PY' &
import hashlib, socket, sys
s = socket.create_server((sys.argv[1], 7000), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
c, _ = s.accept()
h = hashlib.sha256()
while d := c.recv(1 << 20):
    h.update(d)
print(h.hexdigest())
PY
	local receiver=$!
	net_wait 5 listens || return 1
	net_exec a python3 - "$1" >"$net_dir/sent" <<'PY' || return 1
import hashlib, os, socket, sys
d = os.urandom(32 << 20)
c = socket.create_connection((sys.argv[1], 7000))
c.sendall(d)
c.close()
print(hashlib.sha256(d).hexdigest())
PY
	wait "$receiver"
	cmp "$net_dir/sent" "$net_dir/received"
}
listens() { net_exec b ss -ltn | net_has ':7000 '; }

# Every length, one after the other: there and back.
udp() {
	net_exec b python3 - "$1" >"$net_dir/udp" <<'PY' &
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 7000))
s.settimeout(5)
print("bound", flush=True)
for n in range(1373):
    s.sendto(*s.recvfrom(2000))
PY
	local echo=$!
	net_wait 5 grep -q bound "$net_dir/udp" || return 1
	net_exec a python3 - "$1" <<'PY' || return 1
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 7000))
s.settimeout(5)
for n in range(1373):
    d = bytes(i * n & 255 for i in range(n))
    s.send(d)
    assert s.recv(2000) == d, n
PY
	wait "$echo"
}

for mode in tun tap; do
	start $mode # in this shell, for its variables
	require "$mode: devices come up" grep -q listening "$net_dir/iperf.$mode.log"
	check "$mode: ping over IPv4" pings a 10.9.0.2 20
	check "$mode: ping over IPv6" pings a fd09::2 20
	check "$mode: UDP of every size over IPv4" udp 10.9.0.2
	check "$mode: UDP of every size over IPv6" udp fd09::2
	check "$mode: TCP contents unchanged over IPv4" contents 10.9.0.2
	check "$mode: TCP contents unchanged over IPv6" contents fd09::2
	exec 3>&1
	check "$mode: TCP at speed over IPv4" throughput -c 10.9.0.2
	check "$mode: TCP at speed over IPv6" throughput -c fd09::2 -R
	check "$mode: both ways at once" throughput -c 10.9.0.2 --bidir
	into_kernel=$(($(received_packets a) + $(received_packets b)))
	stop
	check "$mode: ends in order" test "$(value $mode moved)" -gt 0
	moved=$(value $mode moved)
	echo "# $mode: $moved packets, $(value $mode "${mode}_read") reads, $into_kernel writes, lost: $(value $mode dropped) of the loop, $(value $mode kernel_worker_full) of the ring, $(value $mode kernel_limited) by the limit"
	# Acknowledgements are small and lone, so the average is far below that of the data.
	check "$mode: a read brings several packets" test "$moved" -gt $((3 * $(value $mode "${mode}_read")))
	check "$mode: a write takes several packets" test "$(value $mode "${mode}_written")" -gt $((3 * into_kernel))
	check "$mode: nothing malformed" is "$(value $mode kernel_bad)" 0
	check "$mode: the kernel refused nothing" is "$(value $mode kernel_refused)" 0
	check "$mode: no buffer leaked" is "$(value $mode leaked)" 0
done
tap_done
