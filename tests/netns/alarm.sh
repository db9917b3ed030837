# shellcheck shell=bash
# Handshake ages and alarms, as the hub tells them and as a client has them; over tap.sh.

# metric NAME PEER: its value; hub_metric NAME: one without labels.
metric() { lab_cli metrics | awk -v name="$1" -v peer="name=\"$2\"" 'index($0, name "{") == 1 && index($0, peer) { print $2 }'; }
hub_metric() { lab_cli metrics | awk -v name="$1" '$1 == name { print $2 }'; }

agrees() { # NS SECONDS: the last handshake, within so many with what its own wg shows
	local ours theirs
	ours=$(metric weir_peer_last_handshake_seconds "$1")
	theirs=$(net_exec "$1" wg show "$(net_wg_device "$1")" latest-handshakes | cut -f2)
	awk -v a="$ours" -v b="$theirs" -v most="$2" 'BEGIN { d = a - b; printf "%.3f s apart\n", d; exit !(a > 0 && b > 0 && d >= -most && d <= most) }' || is "hub $ours" "client $theirs"
}
agrees_with_show() { # PEER: nothing of it moves meanwhile
	local name
	lab_cli -o json peer show "$1" >"$net_dir/show.json"
	for name in rx_bytes tx_bytes rx_packets tx_packets; do
		is "$name $(metric "weir_peer_${name}_total" "$1")" "$name $(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["peer"][sys.argv[2]])' "$net_dir/show.json" "$name")" || return 1
	done
}
has_key() { # NS: the label is the key that the client has
	lab_cli metrics | net_has "name=\"$1\",public_key=\"$(net_exec "$1" wg show "$(net_wg_device "$1")" public-key | sed 's/[+]/[+]/g')\""
}
# age_grows PEER SECONDS: in so many seconds its age grows by as many, to what reading it takes.
age_grows() {
	local first last before after least
	before=$(date +%s.%N) first=$(metric weir_peer_handshake_age_seconds "$1") after=$(date +%s.%N)
	net_wait $(($2 + 3)) later "$before" "$2"
	least=$(date +%s.%N) last=$(metric weir_peer_handshake_age_seconds "$1")
	awk -v a="$first" -v b="$last" -v least="$least" -v after="$after" -v before="$before" -v now="$(date +%s.%N)" '
		BEGIN { grown = b - a; low = least - after - 0.01; high = now - before + 0.01
			printf "grew by %.2f s in %.2f to %.2f s\n", grown, low, high; exit !(grown >= low && grown <= high) }'
}

# times WHAT PEER: how often the log says so; told WHAT PEER: it does. The log outlives control, events do not.
times() { grep -c "wg-alarm: $1 peer=$2 " "$net_dir/hub.log"; }
told() { [ "$(times "$1" "$2")" -ge 1 ]; }
raised_at_least() { # SECONDS: no alarm was raised for a younger handshake
	awk -v least="$1" 'match($0, /wg-alarm: stale .*age_s=[0-9]+/) { age = substr($0, RSTART); sub(/.*age_s=/, "", age); n++
		if (age + 0 < least) bad = 1 } END { exit bad || n == 0 }' "$net_dir/hub.log"
}

cut_off() { net_exec "$1" nft "table inet cut { chain out { type filter hook output priority 0; udp dport 51820 drop; }; chain in { type filter hook input priority 0; udp sport 51820 drop; }; }"; }
mend() { net_exec "$1" nft delete table inet cut; }

# handshake_anew NS: its client forgets the hub and knows it again, which it greets at once with keepalives on.
handshake_anew() {
	local device key
	device=$(net_wg_device "$1") key=$(net_exec "$1" wg show "$device" peers)
	(umask 077 && net_exec "$1" wg show "$device" preshared-keys | cut -f2 >"$net_dir/anew.psk")
	net_exec "$1" wg set "$device" peer "$key" remove
	net_exec "$1" wg set "$device" peer "$key" preshared-key "$net_dir/anew.psk" endpoint 203.0.113.2:51820 \
		allowed-ips 10.77.0.0/24,fd77::/64 persistent-keepalive 25
}
