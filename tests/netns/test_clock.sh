#!/usr/bin/env bash
# The wall clock of the hub is set by an hour and by ten years, forward and back, while tunnels are in use: no ping is lost,
# handshakes of both directions go on, also after control was killed under the new clock, grants and certificates
# follow the clock, what ended by it is there again when it is set back, as is the month of a quota, and the log says it once. clock_shift.c stands in front of control and
# dataplane; the clients, which are Go programs without a libc, keep the true time.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"
# shellcheck source=tests/netns/www.sh
. "$(dirname "$0")/www.sh"

require "laboratory comes up" lab_up
clock=$net_dir/clock
set_clock() { # SECONDS ahead of the true time: in place, since it is mapped
	python3 -c 'import os, struct, sys; f = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o644); os.pwrite(f, struct.pack("<q", int(sys.argv[2])), 0)' "$clock" "$1"
}
set_clock 0
LAB_WRAP=(env LD_PRELOAD="$lab_build/tests/netns/clock_shift.so" CLOCK_SHIFT_FILE="$clock"
	ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0")
LAB_HUB="peer_to_peer = false;" lab_hub_conf
require "hub becomes ready" lab_hub_start 20
require "office joins" lab_client office --whole-subnet
require "home joins" lab_client home --whole-subnet
# office is 10.77.0.2, home 10.77.0.3
at() { date -u -d "$1" +%Y-%m-%dT%H:%M:%SZ; }
check "anybody may ping the hub" lab_cli grant add ping --who any --to hub --protocol icmp
check "office may ping home from half an hour ago to half an hour on" lab_cli grant add now --who peer:office --to peer:home \
	--protocol icmp --from "$(at '-30 min')" --until "$(at '+30 min')"
in_force() { grep -q '^policy .* in force' < <(lab_cli status); }
require "the policy is in force" net_wait 10 in_force
require "office reaches the hub" net_wait 10 pings office 10.77.0.1 1
require "office reaches home" net_wait 10 pings office 10.77.0.3 1
require "home serves a page" www_serve hello
check "a service is published" www_publish
page() { is "$(www_page internet)" hello; }
check "it is read" net_wait 5 page
certificate_fits() { # by the hub's clock
	net_exec internet openssl s_client -connect 203.0.113.2:443 -servername www.example.test </dev/null 2>/dev/null |
		openssl x509 -noout -dates >"$net_dir/dates" || return 1
	python3 - "$net_dir/dates" "$hub_year" <<'PY'
import sys
years = [int(line.split("=")[1].split()[3]) for line in open(sys.argv[1])]
sys.exit(not years[0] <= int(sys.argv[2]) <= years[1])
PY
}

check "an address is listed for half an hour" lab_cli block add 198.51.100.77 --for 30m
n_listed() { lab_cli -o json block check 198.51.100.77 | python3 -c 'import json,sys; print(len(json.load(sys.stdin)["entries"]))'; }
listed() { [ "$(n_listed)" = 1 ]; }
unlisted() { [ "$(n_listed)" = 0 ]; }
check "home has a quota" lab_cli peer limit home --quota 1G
month() { # FIELD
	lab_cli -o json peer show home | python3 -c 'import json,sys
month = json.load(sys.stdin)["peer"]["limits"]["month"]
month["used"] = month["rx_used"] + month["tx_used"]
print(month[sys.argv[1]])' "$1"
}
month_is() { is "$(month since)" "$1"; }

device=$(net_wg_device office)
office_calls() { # its sessions are thrown away
	net_exec office wg setconf "$device" "$net_dir/office.conf" && net_wait 10 pings office 10.77.0.1 1
}
hub_calls() {
	local before
	before=$(lab_counter hs_initiation_out)
	lab_cli peer disable office && lab_cli peer enable office && net_wait 10 pings hub 10.77.0.2 1 || return 1
	[ "$(lab_counter hs_initiation_out)" -gt "$before" ]
}
control_restarts() { kill_process control 20; }
reaches_home() { pings office 10.77.0.3 1; }
refused_home() { ! pings office 10.77.0.3 1; }
told() { [ "$(grep -c 'clock was set' "$net_dir/hub.log")" -gt "$1" ]; }
shown_year() { [[ $(lab_cli -o json peer show office | python3 -c 'import json,sys; print(json.load(sys.stdin)["peer"]["last_handshake_at"])') == "$hub_year"-* ]]; }

step() { # OFFSET NAME YEAR reaches_home|refused_home
	local lines before
	hub_year=$3
	lines=$(wc -l <"$net_dir/hub.log")
	before=$(grep -c 'clock was set' "$net_dir/hub.log")
	: >"$net_dir/ping.log"
	net_spawn home "$net_dir/ping.log" ping -i 0.05 -W 1 10.77.0.1
	local ping_pid=$net_pid
	set_clock "$1"
	check "$2: control notices" net_wait 10 told "$before"
	check "$2: the grant follows" net_wait 10 "$4"
	check "$2: office calls" office_calls
	check "$2: the hub calls" hub_calls
	check "$2: the handshake has the new time" net_wait 5 shown_year
	check "$2: the service is read" net_wait 5 page
	check "$2: its certificate is valid" net_wait 5 certificate_fits
	check "$2: control is killed and comes back" control_restarts
	check "$2: the hub calls again" hub_calls
	check "$2: home's ping ends" ping_end "$ping_pid" "$net_dir/ping.log"
	check "$2: home lost none of $ping_sent pings" is "$ping_lost" 0
	check "$2: the log is no flood" eval '[ $(($(wc -l <"$net_dir/hub.log") - lines)) -lt 80 ]'
}

year=$(date -u +%Y)
step 3600 "an hour on" "$(date -u -d '+1 hour' +%Y)" refused_home
check "an hour on: the address is not listed any more" net_wait 10 unlisted
step -3600 "an hour back" "$(date -u -d '-1 hour' +%Y)" refused_home
check "an hour back: the address is listed again" net_wait 10 listed
step 0 "as it was" "$year" reaches_home
this_month=$(month since)
check "home has used some of its quota" eval '[ "$(month used)" -gt 10000 ]'
used=$(month used)
step $((3652 * 86400)) "ten years on" $((year + 10)) refused_home
check "ten years on: the address is not listed any more" net_wait 10 unlisted
check "ten years on: the quota is that of another month" eval '! month_is "$this_month"'
step $((-3652 * 86400)) "ten years back" $((year - 10)) refused_home
set_clock 0
check "right again: the address is listed" net_wait 10 listed
check "right again: the quota is that of this month" net_wait 10 month_is "$this_month"
now_used=$(month used)
# Quotas are looked at each second: what passed since the last look belongs to the month that the clock says by then. That is
# at most 20 pings and answers of 84 bytes, and the last two looks may be a little late.
a_second=$((2 * 20 * 2 * 84))
check "right again: what was used in it is, and not what was in between" eval '[ "$now_used" -ge $((used - a_second)) ] && [ "$now_used" -lt $((used + 20000)) ]'
echo "# used before $used, now $now_used"
check "every packet is accounted for" net_wait 5 balance
tap_done
