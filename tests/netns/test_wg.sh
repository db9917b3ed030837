#!/usr/bin/env bash
# Debian's wg(8) on weir: what it shows of the hub is what the clients' own wg shows of the other end,
# what it would change is refused, and no key comes out that should not.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

device=wg$$ # wg's sockets share a folder with those of other tests
hub_wg() { net_exec hub wg show "$device" "$@"; }

require "laboratory comes up" lab_up
LAB_WG_SOCKET=read-only LAB_HUB="tunnel_device = \"$device\";" lab_hub_conf
require "hub becomes ready" lab_hub_start
check "wg finds the interface" eval 'wg show interfaces | tr " " "\n" | net_has -x "$device"'
check "a hub without peers is shown" eval 'is "$(hub_wg peers)" "" && is "$(hub_wg listen-port)" 51820'
require "office joins" lab_client office
require "home joins from behind NAT" lab_client home --keepalive 21
require "office reaches home" net_wait 5 pings office 10.77.0.3 1

public_key() { net_exec "$1" wg show "$(net_wg_device "$1")" public-key; }
both="$(printf '%s\n' "$(public_key office)" "$(public_key home)" | sort)"
office_key=$(public_key office)
home_key=$(public_key home)
of() { hub_wg "$1" | awk -v key="$2" -F'\t' '$1 == key { print $2 }'; } # FIELD KEY
check "the peers are the clients' public keys" eval 'is "$(hub_wg peers | sort)" "$both"'
check "allowed IPs are their addresses" eval 'is "$(of allowed-ips "$office_key")" "10.77.0.2/32 fd77::2/128"'
office_endpoint() { is "$(of endpoints "$office_key")" "198.51.100.2:$(net_exec office wg show "$(net_wg_device office)" listen-port)"; }
check "the endpoint is where office sends from" office_endpoint
check "home's is its NAT's address" eval 'of endpoints "$home_key" | net_has "^192\.0\.2\.2:"'
check "keepalives as they were given" eval 'is "$(of persistent-keepalive "$home_key") $(of persistent-keepalive "$office_key")" "21 off"'
same_handshake() { # the client's clock and ours are one; it notes it when it gets the response
	local theirs ours
	theirs=$(net_exec office wg show "$(net_wg_device office)" latest-handshakes | cut -f2)
	ours=$(of latest-handshakes "$office_key")
	if [ $((ours - theirs)) -lt -2 ] || [ $((ours - theirs)) -gt 2 ]; then is "$ours" "$theirs"; fi
}
check "the last handshake is the client's, within 2 s" same_handshake
# Handshakes count at the client and not in the hub's data counters: compare what pings add.
transfer_grows() {
	local before after theirs_before theirs_after
	before=$(hub_wg transfer | awk -v key="$office_key" '$1 == key { print $2 }')
	theirs_before=$(net_exec office wg show "$(net_wg_device office)" transfer | awk '{ print $3 }')
	pings office 10.77.0.3 20 || return 1
	grown() {
		after=$(hub_wg transfer | awk -v key="$office_key" '$1 == key { print $2 }')
		theirs_after=$(net_exec office wg show "$(net_wg_device office)" transfer | awk '{ print $3 }')
		[ $((after - before)) = $((theirs_after - theirs_before)) ] && [ "$after" -gt "$before" ]
	}
	net_wait 3 grown || is "$((after - before))" "$((theirs_after - theirs_before))"
}
check "what office sends is what the hub counts" transfer_grows
columns() { # interface line of 5, each peer of 9: what exporters read
	wg show all dump | awk -F'\t' -v d="$device" '$1 == d { print NF }' | tr '\n' ' '
}
check "wg show all dump has the usual columns" eval 'is "$(columns)" "5 9 9 "'
in_order() { # of each field what weir itself says of it, where exporters look for it
	lab_cli -o json peer show office >"$net_dir/show.json"
	wg show all dump | grep "^$device	$office_key	" >"$net_dir/dump.line"
	python3 - "$net_dir/show.json" "$net_dir/dump.line" <<'PY'
import calendar, json, sys, time
peer = json.load(open(sys.argv[1]))["peer"]
_, key, psk, endpoint, ips, handshake, rx, tx, keepalive = open(sys.argv[2]).read().rstrip("\n").split("\t")
shook = calendar.timegm(time.strptime(peer["last_handshake_at"][:19], "%Y-%m-%dT%H:%M:%S"))
have = (key, psk, endpoint, set(ips.split(",")), int(handshake), int(rx), int(tx), keepalive)
want = (peer["public_key"], "(none)", peer["endpoint"], {a + ("/128" if ":" in a else "/32") for a in peer["addresses"]} | set(peer["allowed_ips"]),
        shook, peer["rx_bytes"], peer["tx_bytes"], str(peer["keepalive"] or "off"))
print(have, want)
sys.exit(have != want)
PY
}
check "in the usual order" net_wait 5 in_order
check "wg show is as people read it" eval 'hub_wg | net_has "latest handshake: .* ago" && hub_wg | net_has "transfer: .* received"'

secret_free() {
	local out
	out="$(hub_wg dump; net_exec hub wg showconf "$device")"
	! printf '%s' "$out" | net_has -F -e "$(cat "$net_dir/hub.key")" -e "$(sed -n 's/^PresharedKey *= *//p' "$net_dir/office-quick.conf")"
}
check "neither the hub's private key nor a preshared key is told" secret_free
check "wg set is refused, and counted" grows wg_refused_mode 1 refused 1 "Operation not permitted" net_exec hub wg set "$device" peer "$home_key" remove
check "and changes nothing" eval 'is "$(hub_wg peers | sort)" "$both" && pings office 10.77.0.3 2'
stranger() { ! setpriv --reuid 65534 --regid 65534 --clear-groups wg show "$device" peers; }
check "it is root's alone" stranger

# A request that is none, one that never ends, one cut short: no harm to the next.
nonsense() {
	python3 - "/var/run/wireguard/$device.sock" <<'PY'
import socket, sys
def ask(data, end=True):
    s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sys.argv[1])
    try:
        s.sendall(data)
        if end: s.shutdown(socket.SHUT_WR)
        out = b""
        while True:
            piece = s.recv(65536)
            if not piece: return out
            out += piece
            if out.endswith(b"\n\n"): return out
    except (BrokenPipeError, ConnectionResetError):
        return b"closed"
    finally:
        s.close()
assert ask(b"fetch=1\n\n", False) == b"errno=-71\n\n"
assert ask(b"set=1\nprivate_key=" + b"ab" * 32 + b"\n\n", False) == b"errno=-1\n\n"
assert ask(b"x" * 100000) in (b"closed", b"")
assert ask(b"get=1\n") == b""
assert b"errno=0\n\n" in ask(b"get=1\n\n", False)
s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sys.argv[1])
s.sendall(b"get=1\n\nget=1\n\n")
out = b""
while out.count(b"errno=0\n\n") < 2: out += s.recv(65536)
PY
}
check "nonsense is answered or closed, and the next is served" nonsense

# Many peers come in slices.
add_many() {
	local i
	python3 - "$lab_run/control.sock" <<'PY'
import base64, json, os, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); f = s.makefile("rw")
for i in range(200):
    key = base64.b64encode(os.urandom(31) + b"\x40").decode()
    f.write(json.dumps({"id": i, "method": "peer.add", "params": {"name": f"many-{i}", "public_key": key}}) + "\n"); f.flush()
    reply = json.loads(f.readline())
    assert "result" in reply, reply
PY
	is "$(hub_wg peers | wc -l) $(hub_wg allowed-ips | grep -c '/32.*/128')" "202 202"
}
check "200 more peers are all shown" add_many
check "a removed one is not" eval 'lab_cli peer remove many-7 && is "$(hub_wg peers | wc -l)" 201'
check "nor a disabled one" eval 'lab_cli peer disable many-8 && is "$(hub_wg peers | wc -l)" 200'

second() { # another WireGuard of this name
	net_end "$lab_hub_pid"
	net_wait 5 eval '! net_ip hub link show "$device"' || return 1
	[ ! -e "/var/run/wireguard/$device.sock" ] || return 1 # the end of a hub removes it
	net_spawn hub "$net_dir/second.log" wireguard-go -f "$device"
	local pid=$net_pid
	net_wait 5 test -S "/var/run/wireguard/$device.sock" || return 1
	sed -i "s/tunnel_device = \"$device\"/tunnel_device = \"x$device\"/" "$lab_conf"
	lab_hub_start && net_exec hub wg show "x$device" peers | wc -l | net_has -x 200
	local result=$?
	net_end "$pid"
	return "$result"
}
check "another hub name is another socket" second
switched_off() {
	net_end "$lab_hub_pid"
	[ ! -e "/var/run/wireguard/x$device.sock" ] || return 1
	sed -i 's/wg_socket = "read-only"/wg_socket = "off"/' "$lab_conf"
	lab_hub_start && [ ! -e "/var/run/wireguard/x$device.sock" ]
}
check "it can be turned off" switched_off
tap_done
