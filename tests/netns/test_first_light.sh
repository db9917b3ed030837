#!/usr/bin/env bash
# The main job: two stock WireGuard clients, one behind NAT, meet through the hub, and a browser
# reaches a service behind the NAT.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"
# shellcheck source=tests/netns/www.sh
. "$(dirname "$0")/www.sh"

require "laboratory comes up" lab_up
lab_hub_conf
require "hub becomes ready" lab_hub_start
require "office joins with a key of its own" lab_client office
require "home joins from behind NAT" lab_client home
check "office reaches the hub over IPv4" pings office 10.77.0.1 20
check "home reaches the hub over IPv6" pings home fd77::1 20
require "office reaches home through the hub" net_wait 5 pings office 10.77.0.3 1
check "twenty pings, none lost" pings office 10.77.0.3 20
check "home reaches office over IPv6 inside" pings home fd77::2 20
check "large packets up to the tunnel MTU pass" pings_of_size office 10.77.0.3 1392

net_spawn home "$net_dir/iperf.log" iperf3 -s -B 10.77.0.3
net_wait 5 net_listening home 5201
check "TCP through the hub, both ways" net_exec office iperf3 -c 10.77.0.3 -t 2 --bidir
check "UDP through the hub" net_exec office iperf3 -c 10.77.0.3 -u -b 20M -l 1300 -t 2

require "home serves a page and five megabytes" www_serve "hello from behind NAT" 5000000
check "service is published" www_publish
browser() { www_get internet "$@"; }
page() { is "$(www_page internet)" "hello from behind NAT"; }
check "browser reads the page behind NAT over HTTPS" page
download() {
	browser -k -o "$net_dir/big.out" https://www.example.test/big.bin && cmp "$net_dir/big.out" "$net_dir/www/big.bin"
}
check "five megabytes arrive unchanged" download
redirect() {
	is "$(browser -o /dev/null -w '%{http_code} %{redirect_url}' http://www.example.test/a?b=c)" \
		"301 https://www.example.test/a?b=c"
}
check "port 80 redirects to HTTPS" redirect
removed() { ! browser -k -f https://www.example.test/; }
check "a removed service is gone" eval 'lab_cli service remove web && removed'

check "every packet is accounted for" net_wait 3 balance
check "peer list shows both with a handshake" eval 'lab_cli peer list | grep -E "office|home" | wc -l | net_has -x 2'

removed_peer() {
	lab_cli peer remove home || return 1
	! pings office 10.77.0.3 2
}
check "a removed peer is cut off at once" removed_peer
tap_done
