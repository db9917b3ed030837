#!/usr/bin/env bash
# A bad network on both sides of the hub: what is lost, late, repeated and out of order on the way to it
# must cost speed and nothing else. office and home speak to the hub through a relay each (relay.c).
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

# client NS RELAY_OPTIONS...: joins through a relay of its own.
client() {
	local ns=$1
	shift
	net_spawn "$ns" "$net_dir/$ns-relay.log" "$lab_build/tests/netns/relay" 127.0.0.1:51999 203.0.113.2:51820 "$@"
	eval "${ns}_relay=$net_pid"
	net_wait 5 grep -q '^ready' "$net_dir/$ns-relay.log" && lab_client "$ns"
}
# What a relay did, as its last line says: for the number of this name.
relay_count() { awk -v name="$2" '/^in / { for (i = 1; i < NF; i += 2) if ($i == name) print $(i + 1) }' "$net_dir/$1-relay.log"; }
did() { # NS NAME AT_LEAST
	[ "$(relay_count "$1" "$2")" -ge "$3" ] || is "$1 $2 $(relay_count "$1" "$2")" "at least $3"
}

require "laboratory comes up" lab_up
lab_hub_conf
# What every client is told: its own end of its relay.
sed -i 's/endpoint = "203.0.113.2:51820"/endpoint = "127.0.0.1:51999"/' "$lab_conf"
require "hub becomes ready" lab_hub_start
require "office joins over a bad line" client office --loss 5 --duplicate 3 --reorder 10 --delay 1 --seed 1
require "home joins over another" client home --loss 1 --duplicate 3 --reorder 10 --delay 2 --seed 2
# Handshakes get lost as well: each side tries again after 5 s.
require "office reaches home all the same" net_wait 30 pings office 10.77.0.3 1

head -c 20000000 /dev/urandom >"$net_dir/sent"
net_spawn home "$net_dir/www.log" python3 -u -m http.server 8080 --bind 10.77.0.3 --directory "$net_dir"
net_wait 5 net_listening home 8080
replays=$(lab_counter drop_replay)
download() {
	net_exec office curl -sS --max-time 100 -o "$net_dir/received" http://10.77.0.3:8080/sent &&
		is "$(sha256sum <"$net_dir/received")" "$(sha256sum <"$net_dir/sent")"
}
check "20 MB of TCP arrive with the same hash" download
repeats_refused() { [ "$(lab_counter drop_replay)" -ge $((replays + 100)) ] || is "drop_replay $(lab_counter drop_replay)" "at least $((replays + 100))"; }
check "the repeated ones were refused, counted" repeats_refused
check "nothing failed authentication" is "$(lab_counter drop_auth)" 0
check "every packet is accounted for" net_wait 3 balance

# That it was a bad line.
net_end "$office_relay"
net_end "$home_relay"
check "the relays lost" eval 'did office lost 300 && did home lost 50'
check "and repeated" eval 'did office repeated 300 && did home repeated 300'
check "and reordered" eval 'did office reordered 1000 && did home reordered 1000'
check "and had room" eval 'is "$(relay_count office full) $(relay_count home full)" "0 0"'
tap_done
