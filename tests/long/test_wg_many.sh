#!/usr/bin/env bash
# 130,560 allowed IPs through wg(8), behind one peer and spread over 2040: set and read back within a second each
# (issue 5), twice over, while office pings the hub. Then 100,000 peers in one request, with keys that are counted up:
# wg says that they are there, and five times the peers take at most eight times as long.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/../netns/tap.sh"

device=wl$$
hub_wg() { net_exec hub wg "$1" "$device" "${@:2}"; }
require "laboratory comes up" lab_up
LAB_WG_SOCKET=read-write LAB_HUB="tunnel_device = \"$device\";" LAB_DATAPLANE="max_peers = 4096;" lab_hub_conf
require "hub becomes ready" lab_hub_start
require "office joins" lab_client office
require "office reaches the hub" net_wait 5 pings office 10.77.0.1 1

files() { # PEERS EACH FILE: networks /26 from 100.0.0.0 on
	python3 - "$@" <<'PY'
import base64, os, sys
n_peers, each = int(sys.argv[1]), int(sys.argv[2])
n = 0
with open(sys.argv[3], "w") as out:
    for _ in range(n_peers):
        out.write(f"[Peer]\nPublicKey = {base64.b64encode(os.urandom(31) + b'@').decode()}\n")
        for _ in range(each):
            a = 0x64000000 + n * 64
            out.write(f"AllowedIPs = {a >> 24}.{a >> 16 & 255}.{a >> 8 & 255}.{a & 255}/26\n")
            n += 1
PY
}
ms() { # NAME COMMAND...: how long it takes, into the file NAME
	local begin
	begin=$(date +%s%N)
	"${@:2}" || return 1
	echo $((($(date +%s%N) - begin) / 1000000)) >"$net_dir/$1"
	echo "# $1 ms $(cat "$net_dir/$1")"
}
dump() { hub_wg show dump >"$net_dir/dump"; }
within() { [ "$(cat "$net_dir/$1")" -le 1000 ] || is "$(cat "$net_dir/$1") ms" "at most 1000 ms"; }
networks() { tr ',\t' '\n' <"$net_dir/dump" | grep -c '/26$'; }

story() { # NAME PEERS EACH
	local name=$1
	files "$2" "$3" "$net_dir/$name.wg"
	net_spawn office "$net_dir/$name-ping" ping -i 0.05 -W 2 10.77.0.1
	local ping_pid=$net_pid
	for step in add again; do
		check "$name: $step" ms "$name-$step" hub_wg addconf "$net_dir/$name.wg"
		sed -n '/^#/p' "$net_dir/check.out"
		check "$name: $step within a second" within "$name-$step"
	done
	check "$name: read" ms "$name-read" dump
	sed -n '/^#/p' "$net_dir/check.out"
	check "$name: read within a second" within "$name-read"
	check "$name: all of them" eval 'is "$(networks)" 130560'
	check "$name: the audit looks at them" ms "$name-audit" eval 'lab_cli audit policy >"$net_dir/audit"; [ $? -le 1 ] && grep -q "gateway" "$net_dir/audit"'
	sed -n '/^#/p' "$net_dir/check.out"
	check "$name: the workers have them" ms "$name-workers" net_wait 20 no_drift
	sed -n '/^#/p' "$net_dir/check.out"
	check "$name: the ping ends" ping_end "$ping_pid" "$net_dir/$name-ping"
	check "$name: no ping was lost of $ping_sent" is "$ping_lost" 0

	grep '^PublicKey' "$net_dir/$name.wg" | awk '{ print "peer", $3, "remove" }' | tr '\n' ' ' >"$net_dir/removal"
	# shellcheck disable=SC2046 # words
	check "$name: removed" ms "$name-removal" hub_wg set $(cat "$net_dir/removal")
	sed -n '/^#/p' "$net_dir/check.out"
}
story one 1 130560
story many 2040 64
check "resident memory is told" eval 'echo "# control $(lab_rss_kb "$(lab_pid control)") kB"'

larger() { net_end "$lab_hub_pid" && sed -i 's/max_peers = 4096/max_peers = 131072/' "$lab_conf" && lab_hub_start; }
require "the hub starts again, with more room" larger
all_there() { is "$(hub_wg show allowed-ips | grep -c '101[.]')" "$1"; }
counted() { # PEERS: their keys and addresses differ in a few bits only
	python3 - "$1" "$net_dir/counted.wg" <<'PY'
import base64, sys
with open(sys.argv[2], "w") as out:
    for n in range(int(sys.argv[1])):
        key = base64.b64encode(n.to_bytes(8, "big") + bytes(23) + b"@").decode()
        out.write(f"[Peer]\nPublicKey = {key}\nAllowedIPs = 101.{n >> 16}.{n >> 8 & 255}.{n & 255}/32\n")
PY
	hub_wg showconf >"$net_dir/before.wg"
	check "$1 peers with keys that are counted up" ms "counted-$1" hub_wg addconf "$net_dir/counted.wg"
	sed -n '/^#/p' "$net_dir/check.out"
	check "$1 peers: all of them" all_there "$1"
	check "$1 peers: removed" ms "counted-$1-removal" hub_wg syncconf "$net_dir/before.wg"
	sed -n '/^#/p' "$net_dir/check.out"
}
counted 20000
counted 100000
check "time grows as the peers do" test "$(cat "$net_dir/counted-100000")" -le $((8 * $(cat "$net_dir/counted-20000")))
rm -f "/var/run/wireguard/$device.sock"
tap_done
