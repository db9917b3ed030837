#!/usr/bin/env bash
# H13: keys that change while packets flow. One peer with two identities: its client changes its key in its
# place, and, for two clients that are there at once, the next key also runs in another namespace with the same
# inner address. Windows that a test ends itself are long; control is killed in each of the states.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

require "spokes and hub are wired" lab_up
lab_hub_conf
require "hub becomes ready" lab_hub_start
require "office is a peer" lab_client office
office=$(net_wg_device office)
require "and reaches the hub" net_wait 10 pings office 10.77.0.1 1
hub_key=$(net_exec office wg show "$office" peers)

# ---- helpers ------------------------------------------------------------------------------------------

field() { # NAME of peer.show, "." for parts
	lab_cli -o json peer show office | python3 -c '
import json, sys
value = json.load(sys.stdin)["peer"]
for part in sys.argv[1].split("."):
    value = (value or {}).get(part)
print(value)' "$1"
}
state_is() { is "$(field rotation.state)" "$1"; }
public_of() { wg pubkey <"$net_dir/$1.key"; }
new_key() { (umask 077 && wg genkey >"$net_dir/$1.key"); }
rotate() { lab_cli peer rotate office "$@"; }
# twin KEY: the same peer in the namespace home, with this key and the same addresses.
twin() {
	(umask 077 && sed "s|^PrivateKey *=.*|PrivateKey = $(cat "$net_dir/$1.key")|" "$net_dir/office-quick.conf" >"$net_dir/twin-quick.conf")
	net_wg_quick home twin "$net_dir/twin-quick.conf"
}
flows() { # both ways, 100 a second
	rm -f "$net_dir/ping-out" "$net_dir/ping-in"
	net_spawn office "$net_dir/ping-out" ping -n -i 0.01 -W 1 10.77.0.1
	ping_out=$net_pid
	net_spawn hub "$net_dir/ping-in" ping -n -i 0.01 -W 1 10.77.0.2
	ping_in=$net_pid
}
flows_end() { # PERMILLE: no more than so many were lost
	flow_ends "$1" "$ping_out" ping-out && flow_ends "$1" "$ping_in" ping-in
}
flow_ends() { # PERMILLE PID FILE
	ping_end "$2" "$net_dir/$3" || return 1
	echo "# $3: $ping_lost of $ping_sent lost"
	[ "$ping_sent" -gt 50 ] && [ $((ping_lost * 1000)) -le $((ping_sent * $1)) ]
}
grown() { # COUNTER N: by more than that since
	[ "$(lab_counter "$1")" -gt "$2" ]
}
handshake() { # NS DEVICE: its client begins one
	net_exec "$1" wg set "$2" peer "$hub_key" remove
	net_exec "$1" wg set "$2" peer "$hub_key" preshared-key "$net_dir/${3:-office}.psk" endpoint 203.0.113.2:51820 \
		allowed-ips 10.77.0.0/24 persistent-keepalive 25
}
shaken() { net_exec "$1" wg show "$2" latest-handshakes | net_has -v '	0$'; }
(umask 077 && net_exec office wg show "$office" preshared-keys | cut -f2 >"$net_dir/office.psk")
(umask 077 && net_exec office wg show "$office" private-key >"$net_dir/one.key")

# ---- in its place, under traffic ----------------------------------------------------------------------

new_key two
flows
sleep_until() { net_wait 10 eval '[ "$(field rx_packets)" -gt '"$1"' ]'; }
check "traffic runs both ways" sleep_until $(($(field rx_packets) + 60))
check "a next key is proposed" rotate --next-key "$(public_of two)" --overlap 600
check "and listed beside the old one" eval 'state_is proposed && is "$(field rotation.next_key)" "$(public_of two)" && is "$(field public_key)" "$(public_of one)"'
check "control is killed, the proposal stays" eval 'kill_control && state_is proposed'
check "the client changes its key" net_exec office wg set "$office" private-key "$net_dir/two.key"
check "its new key is in use" net_wait 20 state_is overlap
check "control is killed, the overlap stays" eval 'kill_control && state_is overlap'
check "traffic goes on" sleep_until $(($(field rx_packets) + 60))
check "H13: at most 1 % was lost" flows_end 10
cat "$net_dir/check.out"
flows
check "traffic runs both ways" sleep_until $(($(field rx_packets) + 50))
check "the window ends" rotate --confirm
check "the new key is the peer's, and the old one is not listed" eval 'state_is confirmed && is "$(field public_key)" "$(public_of two)" && is "$(field rotation.next_key)" None'
check "traffic goes on" sleep_until $(($(field rx_packets) + 60))
check "H13: nothing is lost by that" flows_end 0
cat "$net_dir/check.out"
check "H13: its address has not changed" pings office 10.77.0.1 2

# ---- two clients at once ------------------------------------------------------------------------------

new_key three
check "a third key is proposed" rotate --next-key "$(public_of three)" --overlap 600
check "a client with it shakes hands" eval 'twin three && net_wait 20 pings home 10.77.0.1 1'
check "both are good: state is overlap" net_wait 5 state_is overlap
both() {
	local i
	for i in 1 2 3; do pings office 10.77.0.1 3 && pings home 10.77.0.1 3 || return 1; done
}
check "H13: who speaks is answered, in turn" both
check "H13: what the hub begins goes to who spoke last" eval 'pings office 10.77.0.1 1 && net_exec hub ping -q -c 3 -i 0.05 -W 1 10.77.0.2'
check "H13: the old key shakes hands in the window" eval 'handshake office "$office" && net_wait 10 shaken office "$office"'
check "the window ends" rotate --confirm
check "H13: the old key is dead at once" eval '! net_exec office ping -q -c 2 -i 0.1 -W 0.5 10.77.0.1'
unanswered() {
	local responses refused
	responses=$(lab_counter hs_response_out) refused=$(lab_counter hs_refused_unknown_peer)
	handshake office "$office"
	net_wait 10 grown hs_refused_unknown_peer "$refused" || return 1
	is "$(lab_counter hs_response_out)" "$responses" && ! shaken office "$office"
}
check "H13: its initiations get no answer" unanswered
check "the new one goes on" pings home 10.77.0.1 3

# ---- a key that never comes ---------------------------------------------------------------------------

new_key four
check "a key is proposed for a second" rotate --next-key "$(public_of four)" --overlap 1
check "H13: it expires" net_wait 10 state_is expired
check "H13: the old one stays" eval 'is "$(field public_key)" "$(public_of three)" && pings home 10.77.0.1 3'
check "H13: the log says so" grep -q 'rotation expired, .* name=office' "$net_dir/hub.log"
check "H13: and audit policy does" eval 'lab_cli audit policy | net_has "warning: peer \"office\": was to get another key, which was never used"'
check "until it is put aside" eval 'rotate --cancel && ! lab_cli audit policy | net_has "was to get another key"'
# ---- preshared keys -----------------------------------------------------------------------------------

psk_of() { sed -n 's/^PresharedKey *= *//p' "$1"; }
new_psk() { (umask 077 && rotate --new-preshared-key "$@" >"$net_dir/psk.conf" && psk_of "$net_dir/psk.conf" >"$net_dir/new.psk"); }
check "a new preshared key is made" new_psk --overlap 600
check "the old one still shakes hands" eval 'handshake home "$(net_wg_device twin)" && net_wait 10 shaken home "$(net_wg_device twin)" && state_is proposed'
check "the new one does too" eval 'handshake home "$(net_wg_device twin)" new && net_wait 10 shaken home "$(net_wg_device twin)" && net_wait 10 state_is overlap'
check "nobody waits for a second try" pings home 10.77.0.1 5
check "the window ends" eval 'rotate --confirm && pings home 10.77.0.1 3'
no_session() { # a client whose preshared key is $1: answered, but no session comes of it
	local completed responses
	completed=$(lab_counter hs_completed) responses=$(lab_counter hs_response_out)
	handshake home "$(net_wg_device twin)" "$1"
	net_wait 10 grown hs_response_out "$responses" || return 1
	is "$(lab_counter hs_completed)" "$completed" && ! shaken home "$(net_wg_device twin)"
}
check "H9: with the old preshared key no session comes about" no_session office
check "H9: with the new one it does" eval 'handshake home "$(net_wg_device twin)" new && net_wait 10 shaken home "$(net_wg_device twin)"'

# ---- the hub's own key --------------------------------------------------------------------------------

hub_state() { is "$(lab_cli -o json status | python3 -c 'import json, sys; print(json.load(sys.stdin)["hub"]["rotation"]["state"])')" "$1"; }
shake() { # HUB_KEY: home's client has this key of the hub's
	hub_key=$1
	net_exec home wg set "$(net_wg_device twin)" peer "$(net_exec home wg show "$(net_wg_device twin)" peers)" remove
	handshake home "$(net_wg_device twin)" new
}
old_hub=$hub_key
check "the hub makes another key" lab_cli hub rotate --overlap 600
new_hub=$(lab_cli peer config office | sed -n 's/^PublicKey *= *//p')
check "configurations name it" eval '[ "$new_hub" != "$old_hub" ] && hub_state proposed'
check "control is killed, both are still known" eval 'kill_control && hub_state proposed'
check "the old one is answered" eval 'shake "$old_hub" && net_wait 10 shaken home "$(net_wg_device twin)"'
check "audit policy names who has to change" eval 'lab_cli audit policy | net_has "warning: peer \"office\": has not used the hub.s next key yet"'
check "the new one is answered" eval 'shake "$new_hub" && net_wait 10 shaken home "$(net_wg_device twin)" && net_wait 5 hub_state overlap && pings home 10.77.0.1 3'
check "control is killed, both are still known" eval 'kill_control && hub_state overlap && pings home 10.77.0.1 3'
check "the window ends, and the session of the new key goes on" eval 'lab_cli hub rotate --confirm && pings home 10.77.0.1 5'
deaf() { # to the old key the workers do not even listen
	local before
	before=$(lab_counter drop_wg_mac1)
	shake "$old_hub"
	net_wait 10 grown drop_wg_mac1 "$before" && ! shaken home "$(net_wg_device twin)"
}
check "the old one gets no answer" deaf
check "killed once more, the new one is the hub's" eval 'kill_control && shake "$new_hub" && net_wait 10 shaken home "$(net_wg_device twin)"'

# ---- emergency ----------------------------------------------------------------------------------------

net_spawn home "$net_dir/ping-emergency" ping -D -n -i 0.01 -W 1 10.77.0.1
net_wait 5 test -s "$net_dir/ping-emergency"
check "an emergency: another key at once" rotate --next-key "$(public_of four)" --emergency
since=$(date +%s.%N)
dead() { # the last reply came no later than a second after the answer
	net_wait 5 eval '[ "$(date +%s)" -ge $(('"${since%.*}"' + 2)) ]'
	awk -v since="$since" '/bytes from/ { sub(/^\[/, ""); last = $1 + 0 }
		END { printf "# last reply %.3f s after the answer\n", last - since; exit !(last > 0 && last - since <= 1) }' "$net_dir/ping-emergency"
}
check "H13: the old key is dead within a second" dead
cat "$net_dir/check.out"
check "H13: one key is listed" eval 'state_is confirmed && is "$(field public_key)" "$(public_of four)" && is "$(field rotation.next_key)" None'
check "the new one comes in" eval 'net_exec home wg set "$(net_wg_device twin)" private-key "$net_dir/four.key" && net_wait 20 pings home 10.77.0.1 1'
check "every packet is accounted for" net_wait 3 balance

# ---- H11: none of these keys, old or new, was told to anybody --------------------------------------------

for key in one two three four; do cp "$net_dir/$key.key" "$net_dir/secret-$key.key"; done
cp "$net_dir/office.psk" "$net_dir/secret-old.psk" && cp "$net_dir/new.psk" "$net_dir/secret-new.psk"
cp "$net_dir/hub.key" "$net_dir/secret-hub.key"
check "H11: no key before or after is in answers, log, store, or what processes were given" no_secret_told
sed 's/^/# /' "$net_dir/check.out"
tap_done
