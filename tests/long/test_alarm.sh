#!/usr/bin/env bash
# H17 at its true times: the UDP of a peer that should be up is cut; its age grows by a second a second, there is no alarm at
# 179 s and one by 195 s, exactly one, and it is over within 30 s of the end of the cut. A peer that never came is told
# likewise, and one that need not be up never. 220 s.
# This one waits: run starts it beside others that do.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/../netns/tap.sh"
# shellcheck source=tests/netns/alarm.sh
. "$top/tests/netns/alarm.sh"

require "laboratory comes up" lab_up
lab_hub_conf
require "hub becomes ready" lab_hub_start
require "office joins and should be up" lab_client office --expected-up yes
require "home joins" lab_client home
require "ghost should be up and never comes" lab_cli peer add ghost --expected-up yes
expected_since=$(date +%s.%N)
require "office reaches the hub" net_wait 10 pings office 10.77.0.1 1
require "home reaches the hub" net_wait 10 pings home 10.77.0.1 1
check "office's last handshake is the one its own wg shows, within 2 s" agrees office 2
sed 's/^/# /' "$net_dir/check.out"
require "office and home are cut" eval 'cut_off office && cut_off home'

# One scrape a second: "READ_AT AGE ALARM", until both alarms stand.
samples=$net_dir/samples
ghost_alarm=""
sample() {
	lab_cli metrics >"$net_dir/scrape" || return 1
	awk -v now="$(date +%s.%N)" '/name="office"/ && /^weir_peer_handshake_age_seconds/ { age = $2 }
		/name="office"/ && /^weir_peer_alarm/ { alarm = $2 } END { print now, age, alarm }' "$net_dir/scrape" >>"$samples"
	[ -n "$ghost_alarm" ] || ! grep -q '^weir_peer_alarm{.*name="ghost".* 1$' "$net_dir/scrape" || ghost_alarm=$(date +%s.%N)
}
enough() { sleep 0.9; sample && [ -n "$ghost_alarm" ] && awk 'END { exit !($3 == 1 && $2 > 190) }' "$samples"; }
check "the alarms come" net_wait 240 enough

judge() {
	awk -v since="$expected_since" -v ghost="$ghost_alarm" '
		NR == 1 { t = $1; a = $2 }
		{ off = ($2 - a) - ($1 - t); if (off < 0) off = -off; if (off > worst) worst = off }
		$3 == 0 { last_quiet = $2 }
		$3 == 1 && !first { first = $2 }
		END {
			printf "%d readings; age against the clock: at most %.2f s off (bound 1)\n", NR, worst
			printf "office: no alarm at %.1f s (bound 179), alarm at %.1f s (bound 195)\n", last_quiet, first
			printf "ghost: alarm %.1f s after it was expected (bound 195)\n", ghost - since
			exit !(worst <= 1 && last_quiet >= 179 && first > 180 && first <= 195 && ghost - since <= 195)
		}' "$samples"
}
check "as old as it should be, and then at once" judge
sed 's/^/# /' "$net_dir/check.out"
check "exactly one each, and none for home" eval 'is "$(times stale office) $(times never ghost) $(times stale home)" "1 1 0"'

mended=$(date +%s.%N)
check "the cut ends" eval 'mend office && mend home'
check "office's alarm is over within 30 s" net_wait 30 told up office
awk -v now="$(date +%s.%N)" -v since="$mended" 'BEGIN { printf "# after %.1f s (bound 30)\n", now - since }'
check "told once, and nothing else of it" eval 'is "$(times stale office) $(times up office)" "1 1"'
check "its last handshake is the one its own wg shows, within 2 s" agrees office 2
tap_done
