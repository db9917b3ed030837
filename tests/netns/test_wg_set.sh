#!/usr/bin/env bash
# Debian's wg(8) changes weir: what it sets is so at once, what it may not is refused whole, and what it reads
# and writes back is no change.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

device=ws$$ # wg's sockets share a folder with those of other tests
hub_wg() { net_exec hub wg "$1" "$device" "${@:2}"; }
of() { hub_wg show "$1" | awk -v key="$2" -F'\t' '$1 == key { print $2 }'; } # FIELD KEY
state() { hub_wg show allowed-ips | awk '{ for (i = 2; i <= NF; i++) print $1, $i }' | sort | md5sum; hub_wg show persistent-keepalive | sort; hub_wg show endpoints | sort; }

require "laboratory comes up" lab_up
(umask 077 && wg genpsk >"$net_dir/fixed.psk")
LAB_WG_SOCKET=read-write LAB_DATAPLANE="max_peers = 4096;" LAB_HUB="tunnel_device = \"$device\"; peer_to_peer = false;" LAB_EXTRA="peers: (
	{ name = \"fixed\"; public_key = \"$(wg genkey | wg pubkey)\"; allowed_ips = [ \"10.77.0.99/32\" ];
	  preshared_key_file = \"$net_dir/fixed.psk\"; }
);" lab_hub_conf
require "hub becomes ready" lab_hub_start

lab_private_keys c office home
(umask 077 && for f in office home; do wg genpsk >"$net_dir/$f.psk"; done && wg genkey >"$net_dir/other.key")
office=$(lab_public_key c-office)
home=$(lab_public_key c-home)

client() { # NS ADDRESS...: of its own making, the hub hears of it by wg alone
	local ns=$1
	{
		printf '[Interface]\nPrivateKey = %s\n' "$(cat "$net_dir/c-$ns.key")"
		printf '[Peer]\nPublicKey = %s\nEndpoint = 203.0.113.2:51820\nAllowedIPs = 10.77.0.0/24, 10.50.0.0/16\nPersistentKeepalive = 1\n' "$(wg pubkey <"$net_dir/hub.key")"
		[ "$ns" = home ] || echo "PresharedKey = $(cat "$net_dir/office.psk")"
	} >"$net_dir/$ns.wg"
	net_wg_up "$ns" "$ns" 1420 "$net_dir/$ns.wg" "${@:2}"
}
count() { lab_cli counters --nonzero | awk -v name="$1" '$1 == name { n = $2 } END { print n + 0 }'; }
name_of() { lab_cli -o json peer list | python3 -c 'import json,sys; print(next(p["name"] for p in json.load(sys.stdin)["peers"] if p["public_key"] == sys.argv[1]))' "$1"; }
hub_reaches() { pings hub "$1" 1; }

check "wg adds a peer" hub_wg set peer "$office" preshared-key "$net_dir/office.psk" allowed-ips 10.77.0.20/32
check "it has what was said and no more" eval 'is "$(of allowed-ips "$office")" "10.77.0.20/32"'
check "it is a peer like others, named by its key" eval 'name_of "$office" | net_has -x "wg-[0-9a-f]\{20\}"'
require "its client comes up" client office 10.77.0.20/24
check "it connects" net_wait 10 hub_reaches 10.77.0.20
check "wg adds another, without a preshared key" hub_wg set peer "$home" allowed-ips 10.77.0.30/32 persistent-keepalive 21
require "its client comes up" client home 10.77.0.30/24 10.50.1.1/32
check "which connects from behind its NAT" net_wait 10 hub_reaches 10.77.0.30
check "keepalive as it was said" eval 'is "$(of persistent-keepalive "$home")" 21'
check "without a grant they do not reach each other" eval '! pings office 10.77.0.30 1'
check "with one they do" eval 'lab_cli grant add o-h --who "peer:$(name_of "$office")" --to "peer:$(name_of "$home")" --protocol any >/dev/null && net_wait 5 pings office 10.77.0.30 1'
check "the audit names who came by wg" eval 'lab_cli audit policy >"$net_dir/audit"; grep -q "$(name_of "$home").*that wg(8) gave it" "$net_dir/audit" || { cat "$net_dir/audit"; false; }'
check "H9: that one has no preshared key is an error of the audit" grep -q "error: peer \"$(name_of "$home")\": has no preshared key" "$net_dir/audit"
check "H9: it alone" is "$(grep -c "has no preshared key" "$net_dir/audit")" 1
check "H9: and the log warns of it" grep -q "wg left a peer without a preshared key .*peer=$(name_of "$home")" "$net_dir/hub.log"
check "and the log who did it" grep -q "changed by wg uid=0 pid=[0-9]* peer=$(name_of "$home") what=added" "$net_dir/hub.log"

# ---- reading and writing back ------------------------------------------------------------------------
handshakes() { hub_wg show latest-handshakes | sort; }
writes_back() { # syncconf|setconf|addconf
	local before handshakes_before added
	hub_wg showconf >"$net_dir/shown.wg"
	before=$(state) handshakes_before=$(handshakes)
	added=$(count wg_set)
	net_spawn office "$net_dir/pings" ping -q -i 0.02 -c 40 -W 1 10.77.0.30
	local ping_pid=$net_pid
	for _ in 1 2 3; do hub_wg "$1" "$net_dir/shown.wg" || return 1; done
	wait "$ping_pid" || true
	grep -q ' 0% packet loss' "$net_dir/pings" || is "$(grep loss "$net_dir/pings")" "no loss" || return 1
	is "$(state)" "$before" && is "$(handshakes)" "$handshakes_before" && is "$(count wg_set)" $((added + 3))
}
for verb in syncconf setconf addconf; do
	check "$verb of what showconf shows changes nothing and loses no packet" writes_back $verb
done
check "no table of a worker is another than the hub wants" eval 'lab_cli audit drift >/dev/null'

# ---- single changes ----------------------------------------------------------------------------------
net_ip hub route add 10.50.0.0/16 dev "$device"
check "a network behind a peer" eval 'hub_wg set peer "$home" allowed-ips 10.77.0.30/32,10.50.1.0/24 && net_wait 5 hub_reaches 10.50.1.1'
sorted_of() { of "$@" | tr ' ' '\n' | sort | tr '\n' ' '; }
moves() { # at once from home to office
	hub_wg set peer "$office" allowed-ips 10.77.0.20/32,10.50.1.0/24 || return 1
	is "$(sorted_of allowed-ips "$home")" "10.77.0.30/32 " && is "$(sorted_of allowed-ips "$office")" "10.50.1.0/24 10.77.0.20/32 "
}
check "a prefix that moves leaves its old holder at once" moves
check "whom it does not reach any more" eval '! hub_reaches 10.50.1.1'
check "and who keeps its session" hub_reaches 10.77.0.30
endpoint() {
	hub_wg set peer "$home" endpoint 192.0.2.2:4242 && is "$(of endpoints "$home")" 192.0.2.2:4242 || return 1
	net_wait 15 eval '[ "$(of endpoints "$home")" != 192.0.2.2:4242 ]' # until it is heard again
}
check "an endpoint, until the peer is heard from elsewhere" endpoint
quiet() { net_exec home nft 'table inet hush { chain output { type filter hook output priority 0; udp dport 51820 drop; }; }'; }
looped() { # the hub's own address as an endpoint: what is for that peer is dropped by name
	quiet && hub_wg set peer "$home" endpoint 203.0.113.2:51820 || return 1
	grows drop_endpoint_loop 3 no_answer 10.77.0.30 3 || return 1
	grep "error: peer \"$(name_of "$home")\": .*endpoint" < <(lab_cli audit policy)
}
no_answer() { ! net_exec hub ping -q -c "$2" -i 0.05 -W 0.2 "$1"; }
check "an endpoint that is the hub itself loops nothing, and is an error of the audit" looped
net_exec home nft delete table inet hush
check "until the peer is heard from elsewhere" net_wait 15 hub_reaches 10.77.0.30
check "keepalive off" eval 'hub_wg set peer "$home" persistent-keepalive off && is "$(of persistent-keepalive "$home")" off'
preshared() {
	hub_wg set peer "$home" preshared-key "$net_dir/home.psk" || return 1
	! hub_reaches 10.77.0.30 || return 1 # the client does not know it yet
	net_exec home wg set "$(net_wg_device home)" peer "$(net_exec home wg show "$(net_wg_device home)" peers)" preshared-key "$net_dir/home.psk"
	net_wait 20 hub_reaches 10.77.0.30
}
check "a preshared key: nothing passes until the client has it" preshared
removal() {
	hub_wg set peer "$office" remove || return 1
	! hub_reaches 10.77.0.20 && ! pings office 10.77.0.30 1 && is "$(of allowed-ips "$office")" ""
}
office_at=$(of endpoints "$office")
check "removal cuts at once" removal
check "adding back needs nothing of the client" eval 'hub_wg set peer "$office" endpoint "$office_at" preshared-key "$net_dir/office.psk" allowed-ips 10.77.0.20/32,10.50.1.0/24 && net_wait 5 hub_reaches 10.77.0.20 && net_wait 20 pings office 10.77.0.30 1'

# ---- what is refused changes nothing -----------------------------------------------------------------
fixed=$(sed -n 's/.*"fixed"; public_key = "\([^"]*\)".*/\1/p' "$lab_conf")
k1=$(wg genkey | wg pubkey)
refuses() { # COUNTER TEXT WG-ARGUMENTS...: refused, counted, told in the log, and nothing has changed
	local counter=$1 text=$2 before n
	shift 2
	before=$(state) n=$(count "$counter")
	! hub_wg "$@" 2>"$net_dir/refused" || return 1
	is "$counter $(count "$counter")" "$counter $((n + 1))" && is "$(state)" "$before" || return 1
	net_wait 2 grep -qF -- "$text" "$net_dir/hub.log"
}
check "another private key" refuses wg_refused_hub "private_key is another than the hub's" set private-key "$net_dir/other.key"
check "another port" refuses wg_refused_hub "listen_port is 4000" set listen-port 4000
check "a mark" refuses wg_refused_hub "fwmark is 7" set fwmark 7
check "its own private key is no change" hub_wg set private-key "$net_dir/hub.key" listen-port 51820
check "everything behind a peer" refuses wg_refused_network "never everything" set peer "$k1" allowed-ips 0.0.0.0/0
check "the tunnel net behind a peer" refuses wg_refused_network "overlaps the hub's tunnel net" set peer "$home" allowed-ips 10.77.0.0/25
check "a part of another's network" refuses wg_refused_network "overlaps 10.50.1.0/24, which belongs to peer" set peer "$home" allowed-ips 10.77.0.30/32,10.50.1.128/25
check "the hub's own address" refuses wg_refused_network "is the hub's own address" set peer "$k1" allowed-ips 10.77.0.1/32
check "a declared peer's removal" refuses wg_refused_peer 'peer "fixed" is declared in' set peer "$fixed" remove
check "its address, with a peer that could be added" refuses wg_refused_peer 'peer "fixed" is declared in' set peer "$k1" allowed-ips 10.77.0.40/32 peer "$office" allowed-ips 10.77.0.99/32
printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.77.0.41/32\n' "$k1" >"$net_dir/short.wg"
check "a file without the declared peer" refuses wg_refused_peer 'peer "fixed" is declared in' setconf "$net_dir/short.wg"
check "a disabled peer" eval 'lab_cli peer disable "$(name_of "$home")" >/dev/null && refuses wg_refused_peer "is disabled" set peer "$home" allowed-ips 10.77.0.30/32'
lab_cli peer enable "$(name_of "$home")" >/dev/null
check "who is left is as he was" net_wait 20 pings office 10.77.0.30 1

raw() { # TEXT: a request that wg of today does not write; says what is answered
	python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode().decode("unicode_escape").encode())
out = b""
while not out.endswith(b"\n\n"): out += s.recv(65536)
print(out.decode().strip())' "/var/run/wireguard/$device.sock" "$1"
}
hex_key() { printf '%s' "$1" | base64 -d | od -An -tx1 | tr -d ' \n'; }
check "one network less, in the newer words" eval 'is "$(raw "set=1\npublic_key=$(hex_key "$home")\nallowed_ip=10.51.0.0/16\nallowed_ip=10.52.0.0/16\n\n")" errno=0 &&
	is "$(raw "set=1\npublic_key=$(hex_key "$home")\nallowed_ip=-10.51.0.0/16\nprotocol_version=1\n\n")" errno=0 && is "$(sorted_of allowed-ips "$home")" "10.52.0.0/16 10.77.0.30/32 "'
check "update_only of a stranger is nothing" eval 'is "$(raw "set=1\npublic_key=$(hex_key "$k1")\nupdate_only=true\nallowed_ip=10.53.0.0/16\n\n")" errno=0 && is "$(of allowed-ips "$k1")" ""'
unread=$(count wg_refused_text)
check "nonsense in the last line undoes the others" eval 'is "$(raw "set=1\npublic_key=$(hex_key "$k1")\nallowed_ip=10.53.0.0/16\npersistent_keepalive_interval=70000\n\n")" errno=-22 && is "$(of allowed-ips "$k1")" "" && is "$(count wg_refused_text)" $((unread + 1))'

check "each peer that wg changed is in the audit trail, with who did" eval 'lab_cli audit trail --last 1000 | net_has "wg uid=0 pid=[0-9]*  wg.set peer .*: added key="'

# ---- control is replaced or killed in the middle of it -----------------------------------------------
batches() { # seven of three hundred peers with ten networks each
	python3 - "$net_dir" <<'PY'
import base64, os, sys
for batch in range(7):
    with open(f"{sys.argv[1]}/cut.{batch}.wg", "w") as out:
        for n in range(300):
            ips = ", ".join(f"100.{64 + batch}.{n // 2}.{n % 2 * 128 + ip * 8}/29" for ip in range(10))
            key = base64.b64encode(bytes([batch, n // 256, n % 256]) + os.urandom(28) + b"@").decode()
            out.write(f"[Peer]\nPublicKey = {key}\nAllowedIPs = {ips}\n")
PY
}
hub_wg_answers() { hub_wg show listen-port >/dev/null 2>&1; }
another() { [ "$(lab_pid control)" != "$1" ] && hub_wg_answers; }
whole() { # what there is of each, by what wg said of it
	hub_wg show allowed-ips >"$net_dir/cut.there" && python3 - "$net_dir" <<'PY'
import sys
there = {line.split()[0]: len(line.split()) - 1 for line in open(f"{sys.argv[1]}/cut.there")}
bad = good = lost = 0
for line in open(f"{sys.argv[1]}/cut.said"):
    batch, status = map(int, line.split()[:2])
    keys = [line.split()[2] for line in open(f"{sys.argv[1]}/cut.{batch}.wg") if line.startswith("PublicKey")]
    n = sum(there.get(key, 0) for key in keys)
    good += status == 0
    lost += status != 0 and n == 0
    if n != 3000 and (status == 0 or n != 0):
        print(f"batch {batch}: wg said {status}, {n} of 3000 networks are there")
        bad += 1
print(f"{good} were said to be done, {lost} were not, and {bad} are neither")
sys.exit(bad or not good)
PY
}
cut() {
	local old batch=0 how adder status
	for how in upgrade 0 0.02 upgrade 0.04 0.08 upgrade; do # or the seconds until control is killed
		old=$(lab_pid control)
		hub_wg addconf "$net_dir/cut.$batch.wg" &
		adder=$!
		if [ "$how" = upgrade ]; then
			lab_cli upgrade --only control || return 1
		else
			sleep "$how" # somewhere in the middle, or behind it
			kill -9 "$old"
		fi
		wait "$adder"
		status=$?
		echo "$batch $status $how" >>"$net_dir/cut.said"
		net_wait 20 another "$old" || return 1
		batch=$((batch + 1))
	done
	cat "$net_dir/cut.said"
	old=$(lab_pid control)
	kill -9 "$old" # what there is is what was stored
	net_wait 20 another "$old" && whole
}
networks() { hub_wg show allowed-ips | tr '[:blank:]' '\n' | sort | md5sum; }
hub_wg showconf >"$net_dir/uncut.wg"
uncut=$(networks)
check "thousands of peers while control is upgraded and killed: what wg says is so, and no request is done in part" eval 'batches && cut'
sed -n 's/^[0-9]* were .*/# &/p' "$net_dir/check.out"
check "all of them go at once" eval 'hub_wg syncconf "$net_dir/uncut.wg" && is "$(networks)" "$uncut"'

# ---- it lasts, and there may be many -----------------------------------------------------------------
many() { # three thousand networks in one request, behind one peer
	{
		printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.77.0.30/32' "$home"
		for i in $(seq 0 2999); do printf ', 10.%s.%s.0/24' $((100 + i / 256)) $((i % 256)); done
		echo
	} >"$net_dir/many.wg"
	hub_wg addconf "$net_dir/many.wg" && is "$(of allowed-ips "$home" | wc -w)" 3001
}
check "three thousand networks behind a peer" many
check "which carry on" eval 'pings office 10.77.0.30 3 && lab_cli audit drift >/dev/null'
lasts() {
	local before
	before=$(state)
	net_end "$lab_hub_pid" && lab_hub_start || return 1
	is "$(state)" "$before" && net_wait 20 pings office 10.77.0.30 1
}
check "all of it is there after a restart" lasts
check "the audit trail is whole" lab_cli audit verify
check "the balance holds" net_wait 5 balance
for what in c-office.key c-home.key office.psk home.psk fixed.psk other.key hub.key; do cp "$net_dir/$what" "$net_dir/secret-$what"; done
hub_wg show dump >"$net_dir/dump" && hub_wg showconf >>"$net_dir/dump"
check "H11: no key that wg set, or tried to, is told to anybody, nor by wg" no_secret_told "$net_dir/dump"
sed 's/^/# /' "$net_dir/check.out"
rm -f "/var/run/wireguard/$device.sock"
tap_done
