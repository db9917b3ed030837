#!/usr/bin/env bash
# Peers that come and go by the thousand disturb nobody: five times 1000 are added and removed while
# office pings home 100 times a second. Not one ping is lost, and a thousand are there and gone in 2 s.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/../netns/tap.sh"

require "laboratory comes up" lab_up
LAB_TUNNEL_BITS=16 LAB_DATAPLANE="max_peers = 4096;" lab_hub_conf
require "hub becomes ready" lab_hub_start
require "office joins" lab_client office
require "home joins" lab_client home
require "office reaches home" net_wait 5 pings office 10.77.0.3 1

net_spawn office "$net_dir/ping.log" ping -i 0.01 -W 1 10.77.0.3
ping_pid=$net_pid
churn() {
	python3 - "$lab_run/control.sock" <<'PY'
import base64, json, os, socket, sys, time
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); f = s.makefile("rw")
def call(method, params):
    f.write(json.dumps({"id": 0, "method": method, "params": params}) + "\n"); f.flush()
    reply = json.loads(f.readline())
    assert "result" in reply, reply
for turn in range(5):
    keys = [base64.b64encode(os.urandom(31) + b"\x40").decode() for _ in range(1000)]
    begin = time.monotonic()
    for i, key in enumerate(keys): call("peer.add", {"name": f"churn-{i}", "public_key": key})
    added = time.monotonic()
    for i in range(1000): call("peer.remove", {"name": f"churn-{i}"})
    end = time.monotonic()
    print(f"# turn {turn + 1}: 1000 added in {added - begin:.2f} s, removed in {end - added:.2f} s, together {end - begin:.2f}")
PY
}
require "1000 peers come and go, five times" churn
cp "$net_dir/check.out" "$net_dir/check-churn.out"
grep '^#' "$net_dir/check-churn.out"
kill -INT "$ping_pid"
wait "$ping_pid" 2>/dev/null
grep transmitted "$net_dir/ping.log" | sed 's/^/# /'
check "no ping was lost" grep -q ', 0% packet loss' "$net_dir/ping.log"
median=$(awk '/^# turn/ { print $NF }' "$net_dir/check-churn.out" | sort -n | sed -n 3p)
within() { awk -v s="$median" 'BEGIN { exit !(s <= 2) }' || is "$median s" "at most 2 s"; }
check "a thousand added and removed within 2 s (median $median)" within
check "every packet is accounted for" net_wait 3 balance
tap_done
