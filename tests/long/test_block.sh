#!/usr/bin/env bash
# A million networks are in force within 2 s of the command, five times over, and an address more soon
# after, while office pings the hub 100 times a second, and somebody else asks for its status. Not one ping is
# lost, nor does the other one wait.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/../netns/tap.sh"

require "laboratory comes up" lab_up
lab_hub_conf
require "hub becomes ready" lab_hub_start
require "office joins" lab_client office
require "office reaches the hub" net_wait 5 pings office 10.77.0.1 1

# Not those of the laboratory.
python3 - >"$net_dir/million.txt" <<'PY'
import random
random.seed(4)
n = 0
while n < 1000000:
    a = random.getrandbits(32)
    if a >> 24 in (10, 192, 198, 203):
        continue
    n += 1
    if n % 5 == 0:
        bits = random.randrange(22, 32)
        a &= ~((1 << (32 - bits)) - 1)
        print(f"{a >> 24}.{a >> 16 & 255}.{a >> 8 & 255}.{a & 255}/{bits}")
    else:
        print(f"{a >> 24}.{a >> 16 & 255}.{a >> 8 & 255}.{a & 255}")
PY
# On the disk now: the system would write it a few seconds later, and the hub's commits wait for it.
sync

net_spawn office "$net_dir/ping.log" ping -i 0.01 -W 1 10.77.0.1
ping_pid=$net_pid
load() {
	python3 - "$lab_run/control.sock" "$lab_weir" "$net_dir/million.txt" <<'PY'
import json, socket, subprocess, sys, threading, time
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); f = s.makefile("rw")
def call(method, params):
    f.write(json.dumps({"id": 0, "method": method, "params": params}) + "\n"); f.flush()
    reply = json.loads(f.readline())
    assert "result" in reply, reply
    return reply["result"]
def in_force(begin):
    while not call("block.list", {"limit": 1})["in_force"]:
        assert time.monotonic() < begin + 20, "not in force after 20 s"
        time.sleep(0.002)
    return time.monotonic() - begin
imported = threading.Event()
slowest = 0
def others():
    global slowest
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(sys.argv[1])
        lines = other.makefile("rw")
        while not imported.wait(0.002):
            begin = time.monotonic()
            lines.write('{"method": "status"}\n'); lines.flush()
            assert "result" in json.loads(lines.readline())
            slowest = max(slowest, time.monotonic() - begin)
asker = threading.Thread(target=others); asker.start()
for turn in range(5):
    begin = time.monotonic()
    subprocess.run([sys.argv[2], "-s", sys.argv[1], "block", "import", sys.argv[3], "--source", "feed", "--replace"],
                   check=True, stdout=subprocess.DEVNULL)
    done = time.monotonic() - begin
    print(f"# turn {turn + 1}: answered after {done:.2f} s, in force after {in_force(begin):.2f}")
imported.set(); asker.join()
print(f"# status meanwhile, of another client: the slowest after {slowest * 1000:.0f} ms")
time.sleep(2)
begin = time.monotonic()
call("block.add", {"prefix": "192.0.2.200"})
print(f"# one address more: in force after {in_force(begin) * 1000:.0f} ms")
begin = time.monotonic()
before = call("block.list", {"limit": 1})["generation"]
for i in range(500):
    call("block.add", {"prefix": f"192.0.3.{i % 250 + 1}", "source": "a" if i < 250 else "b"})
done = time.monotonic() - begin
last = in_force(begin)
tables = call("block.list", {"limit": 1})["generation"] - before
print(f"# 500 addresses in {done:.2f} s: in force after {last:.2f} s, with {tables} tables")
assert call("block.list", {"limit": 1})["total"] > 999000
PY
}
require "a million networks, five times" load
cp "$net_dir/check.out" "$net_dir/check-load.out"
grep '^#' "$net_dir/check-load.out"
check "the ping ends" ping_end "$ping_pid" "$net_dir/ping.log"
grep -E 'transmitted|rtt' "$net_dir/ping.log" | sed 's/^/# /'
check "no ping was lost of $ping_sent" is "$ping_lost" 0
median=$(awk '/^# turn/ { print $NF }' "$net_dir/check-load.out" | sort -n | sed -n 3p)
within() { awk -v s="$median" 'BEGIN { exit !(s <= 2) }' || is "$median s" "at most 2 s"; }
check "a million networks in force within 2 s (median $median)" within
echo "# memory: control $(($(lab_rss_kb "$(lab_pid control)") / 1024)) MB, dataplane $(($(lab_rss_kb "$(lab_pid dataplane)") / 1024)) MB"
slowest=$(awk '/^# status meanwhile/ { print $(NF - 1) }' "$net_dir/check-load.out")
prompt() { [ "${slowest:-1000}" -le 100 ] || is "$slowest ms" "at most 100 ms"; }
check "others are answered within 100 ms meanwhile (slowest ${slowest:-none} ms)" prompt
check "nothing was dropped that is not listed" counter_is drop_block_all 0
check "every packet is accounted for" net_wait 3 balance
tap_done
