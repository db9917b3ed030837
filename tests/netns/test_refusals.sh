#!/usr/bin/env bash
# What is wrong gets no answer on the wire and is counted by its reason, exactly once.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

require "laboratory comes up" lab_up
lab_hub_conf
require "hub becomes ready" lab_hub_start
require "a real client joins" lab_client office

require "raw peer is added" raw_peer raw
raw() { raw_as raw nat "$@"; }
hub_key=$(sed -n 's/^PublicKey *= *//p' "$net_dir/raw.conf")
me=10.77.0.3
hub=10.77.0.1

require "the raw peer's handshake and ping are answered" raw handshake ping "$me $hub" expect-reply

# counted COUNTER NAME COMMANDS...: no answer, the counter +1, no other refusal counted.
refusal_sum() {
	lab_cli counters --nonzero | awk '$1 ~ /^(drop|hs_refused)_/ { n += $2 } END { print n + 0 }'
}
only() {
	local counter=$1 sum
	shift
	sum=$(refusal_sum)
	grows "$counter" 1 "$@" && is "refusals $(refusal_sum)" "refusals $((sum + 1))"
}
silent() { raw "$@" silence 150; }

check "wrong mac1" only drop_wg_mac1 silent initiate-bad-mac1
check "static key that no peer has" only hs_refused_unknown_peer silent initiate-stranger
check "ephemeral changed on the way" only hs_refused_decrypt silent initiate-flipped 10
check "static changed on the way" only hs_refused_decrypt silent initiate-flipped 50
check "timestamp changed on the way" only hs_refused_decrypt silent initiate-flipped 100
check "timestamp a minute old" only hs_refused_timestamp silent initiate-old 60
check "replayed initiation" only hs_refused_timestamp silent handshake replay-initiation

# ---- H9: preshared keys -------------------------------------------------------------------------------

field() { lab_cli -o json peer show "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["peer"][sys.argv[1]])' "$2"; }
never() { is "$(field "$1" last_handshake_at) $(field "$1" rx_packets)" "None 0"; } # NAME: no handshake counts as made
arrived() { [ "$(field "$1" last_handshake_at)" != None ]; }
no_further() { # PRESHARED-KEY: whoever has that one is answered, and nothing comes of it
	echo "$1" >"$net_dir/keyed.psk"
	grows hs_response_out 1 refused 1 "response does not fit" raw_as keyed nat initiate response &&
		grows drop_auth 2 raw_as keyed nat initiate guess keepalive ping "10.77.0.4 $hub" silence 150 && never keyed
}
none=$(printf '%043d=' 0 | tr 0 A)
require "a peer with a preshared key" raw_peer keyed
psk=$(cat "$net_dir/keyed.psk")
check "H9: with the right keys and no preshared key nothing comes about" no_further "$none"
check "H9: nor with another one" no_further "$(wg genpsk)"
echo "$psk" >"$net_dir/keyed.psk"
check "H9: with the right one the response alone is no handshake" eval 'raw_as keyed nat initiate response silence 150 && never keyed'
check "H9: the first packet makes it one" eval 'raw_as keyed nat handshake ping "10.77.0.4 $hub" expect-reply && net_wait 5 arrived keyed'
check "H9: no peer can be added without one" refused 1 "every peer of this hub has a preshared key" lab_cli peer add bare --no-preshared-key
check "H9: every peer has another" is "$(cat "$net_dir"/{raw,keyed}.psk <(sed -n 's/^PresharedKey *= *//p' "$net_dir/office-quick.conf") | sort -u | wc -l)" 3

check "empty datagram" only drop_wg_short silent junk "1 0"
check "three bytes" only drop_wg_short silent junk "1 3"
check "type 0" only drop_wg_type silent junk "0 148"
check "type 5" only drop_wg_type silent junk "5 148"
check "type 255" only drop_wg_type silent junk "255 64"
check "reserved byte set in an initiation" only drop_wg_reserved silent raw "01000001$(printf '%0288d' 0)"
check "reserved byte set in a data message" only drop_wg_reserved silent raw "04010000$(printf '%056d' 0)"
for wrong in "1 147" "1 149" "1 4" "2 91" "2 93" "3 63" "3 65" "4 31" "4 4"; do
	check "length: type and bytes $wrong" only drop_wg_length silent junk "$wrong"
done
check "response to nothing" only drop_wg_mac1 silent junk "2 92"
check "cookie reply to nothing" only hs_refused_no_handshake silent junk "3 64"
check "index of no session" only drop_unknown_index silent junk "4 32"

check "payload changed on the way" only drop_auth silent handshake send-flipped 20
check "tag changed on the way" only drop_auth silent handshake send-flipped 63
check "counter changed on the way" only drop_auth silent handshake send-flipped 9
check "receiver index changed on the way" only drop_unknown_index silent handshake send-flipped 7
check "replayed and changed" only drop_replay silent handshake keepalive silence 50 replay-flipped 20
check "replayed data" only drop_replay silent handshake keepalive replay-data
check "inner source of another peer" only drop_inner_source silent handshake ping "10.77.0.2 $hub"
check "inner source of nobody" only drop_inner_source silent handshake ping "192.0.2.77 $hub"
check "inner source is the hub's own address" only drop_inner_source silent handshake ping "$hub 10.77.0.2"
check "inner length larger than the payload" only drop_inner_length silent handshake ping-long "$me $hub"
check "inner version 5" only drop_inner_header silent handshake send "55$(printf '%078d' 0)"
check "destination that no peer has" only drop_no_route silent handshake ping "$me 10.77.0.200"

# Many at once: what the port had no room for counts too. Nobody is answered, and nothing of it is load.
junk() {
	local before
	before=$(junk_counted)
	net_exec nat "$lab_build/tests/netns/flood" -p "$hub_key" -e 203.0.113.2:51820 wrong 10000 5000 || return 1
	net_wait 10 junk_is $((before + 5000)) || is "$(junk_counted)" $((before + 5000)) || return 1
	is "$(lab_counter hs_cookie_out) $(lab_counter under_load)" "0 0"
}
junk_counted() { echo $(($(lab_counter drop_wg_mac1) + $(lab_counter drop_mac1_limit) + $(lab_counter port_missed))); }
junk_is() { [ "$(junk_counted)" = "$1" ]; }
check "5000 with a wrong mac1 are counted, and that is all" junk
check "who comes then is asked for no cookie" eval 'raw arrive >"$net_dir/arrived" && is "$(cut -d" " -f3 "$net_dir/arrived")" 0'

# ---- a real client at a hub under load -------------------------------------------------------------------

# From office's own address, which so has nothing left that it need not prove; bursts are what makes the load.
press() {
	net_spawn office "$net_dir/press.log" timeout 60 "$lab_build/tests/netns/flood" -p "$hub_key" -e 203.0.113.2:51820 known 2000 120000
	press_pid=$net_pid
	net_spawn office "$net_dir/bursts.log" timeout 60 bash -c "while :; do '$lab_build/tests/netns/flood' -p '$hub_key' -e 203.0.113.2:51820 known 1000000 1000; sleep 0.3; done"
	bursts_pid=$net_pid
	net_wait 10 eval '[ "$(lab_counter hs_cookie_out)" -gt 0 ]'
}
office_device=$(net_wg_device office)
office_port=$(net_exec office wg show "$office_device" listen-port)
# mac2 is the last 16 of an initiation's 148 bytes.
net_exec office nft "table inet seen { counter cookies { }; counter plain { }; counter proven { }; counter responses { };
	chain input { type filter hook input priority 0;
		udp dport $office_port udp length 72 counter name cookies
		udp dport $office_port udp length 100 counter name responses; };
	chain output { type filter hook output priority 0;
		udp sport $office_port udp length 156 @th,1120,64 0 counter name plain
		udp sport $office_port udp length 156 @th,1120,64 != 0 counter name proven; }; }"
seen() { net_exec office nft list counter inet seen "$1" | awk '$1 == "packets" { print $2 }'; }
shaken() { net_exec office wg show "$office_device" latest-handshakes | net_has -v '	0$'; }
knock() { # a handshake of office's, from nothing
	net_exec office wg set "$office_device" peer "$hub_key" remove &&
		net_exec office wg set "$office_device" peer "$hub_key" preshared-key "$net_dir/office.psk" endpoint 203.0.113.2:51820 \
			allowed-ips 10.77.0.0/24 persistent-keepalive 25 && net_wait 30 shaken
}
proves_itself() { # now and then one of its messages is looked at without proof: the flood had left that much
	local n completed
	(umask 077 && sed -n 's/^PresharedKey *= *//p' "$net_dir/office-quick.conf" >"$net_dir/office.psk")
	for n in 1 2 3 4; do
		completed=$(lab_counter hs_completed)
		net_exec office nft reset counters table inet seen >/dev/null
		knock || return 1
		echo "# cookies $(seen cookies), initiations without $(seen plain) and with $(seen proven), responses $(seen responses)"
		net_wait 3 counter_is hs_completed $((completed + 1)) || return 1
		[ "$(seen responses)" -ge 1 ] || return 1
		[ "$(seen cookies)" = 0 ] || break
	done
	[ "$(seen cookies)" -ge 1 ] && [ "$(seen proven)" -ge 1 ] && [ "$(lab_counter hs_cookie_out)" -gt "$(seen cookies)" ]
}
check "known messages are load, and are asked for cookies" press
check "wireguard-go takes its cookie, and its next initiation completes the handshake" proves_itself
grep '^#' "$net_dir/check.out"
net_end "$bursts_pid"
net_end "$press_pid"

check "the real client was not disturbed" pings office 10.77.0.1 20
check "roaming to another port is followed" raw handshake ping "$me $hub" expect-reply roam 203.0.113.2:51820 ping "$me $hub" expect-reply
tap_done
