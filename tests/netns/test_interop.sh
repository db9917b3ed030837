#!/usr/bin/env bash
# The protocol core alone against Debian's wireguard-go, in both roles, with and without a preshared
# key, and through its cookie. "--regenerate FILE" keeps what went over the wire as the vectors of
# tests/vectors/test_handshake.c; look at the difference before it is committed.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

interop=$lab_build/tests/netns/interop
record=-
if [ "${1:-}" = --regenerate ]; then
	record=$net_dir/record
	: >"$record"
fi
# us_public, them_private, psk
eval "$("$interop" keys)" || exit 1
n_runs=0

# fresh PSK: a wireguard-go without a past, in $ns. Not through check, whose subshell would forget it.
fresh() {
	begin "$1" || require "wireguard-go starts" false
}

begin() {
	n_runs=$((n_runs + 1))
	ns=i$n_runs
	net_ns "$ns" || return 1
	cat >"$net_dir/$ns.conf" <<-CONF
		[Interface]
		PrivateKey = $them_private
		ListenPort = 51820
		[Peer]
		PublicKey = $us_public
		AllowedIPs = 10.9.0.2/32
		Endpoint = 127.0.0.1:51821
		$([ "$1" = - ] || echo "PresharedKey = $1")
	CONF
	net_wg_up "$ns" "$ns" 1420 "$net_dir/$ns.conf" 10.9.0.1/24
}

play() { # play MODE PSK
	net_exec "$ns" "$interop" "$1" 127.0.0.1:51821 127.0.0.1:51820 "$2" "$record"
}

# respond PSK: their kernel pings us, so they begin; the ping is answered only if our response fits.
respond() {
	local pid
	net_spawn "$ns" "$net_dir/respond.log" "$interop" respond 127.0.0.1:51821 127.0.0.1:51820 "$1" "$record"
	pid=$net_pid
	net_wait 5 net_exec "$ns" sh -c 'ss -Hanu sport = 51821 | grep -q .' || return 1
	net_exec "$ns" ping -q -c 1 -s 4 -W 8 10.9.0.2 || { cat "$net_dir/respond.log"; return 1; }
	wait "$pid"
}

for with in - "$psk"; do
	called=$([ "$with" = - ] && echo "without" || echo "with")
	fresh "$with"
	check "wireguard-go answers our initiation $called preshared key" play initiate "$with"
	fresh "$with"
	check "wireguard-go accepts our response $called preshared key" respond "$with"
done
fresh -
check "wireguard-go under load gives a cookie and accepts it" play cookie -

if [ "$record" != - ] && [ "$tap_failed" -eq 0 ]; then
	{
		echo '{"made_by": "tests/netns/test_interop.sh --regenerate",'
		echo "\"other_side\": \"wireguard-go $(dpkg-query -W -f '${Version}' wireguard-go)\","
		echo '"handshakes": ['
		sed '$!s/$/,/' "$record"
		echo ']}'
	} >"$2"
fi
tap_done
