#!/usr/bin/env bash
# H17: handshake ages and alarms. Office should be up, its UDP is cut, and it comes back; home need not be up; ghost should
# be and never comes. Control is killed while an alarm stands. Thresholds here are seconds; the true 180 s are
# tests/long/test_alarm.sh.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"
# shellcheck source=tests/netns/alarm.sh
. "$top/tests/netns/alarm.sh"

stale_after=5

require "laboratory comes up" lab_up
net_spawn hub "$net_dir/hooked" python3 "$top/tests/api/receiver.py" 8443 "$net_dir"
require "somebody takes webhooks" net_wait 20 grep -q listening "$net_dir/hooked"
LAB_EXTRA="events: { stale_after = $stale_after; webhook = \"https://127.0.0.1:8443/weir\"; webhook_ca = \"$net_dir/receiver.pem\"; };" lab_hub_conf
require "hub becomes ready" lab_hub_start
require "office joins and should be up" lab_client office --expected-up yes
require "home joins" lab_client home
check "office reaches the hub" net_wait 10 pings office 10.77.0.1 1
check "home reaches the hub" net_wait 10 pings home 10.77.0.1 1
check "the last handshake is the one that office's own wg shows" agrees office 5
check "and home's" agrees home 5
check "who should be up is told, by number, name and real key" eval '
	is "$(metric weir_peer_expected_up office)$(metric weir_peer_expected_up home)" 10 &&
	has_key office && has_key home'
check "bytes and packets are those of weir peer show" net_wait 5 agrees_with_show office
check "the age grows by a second a second" age_grows office 1

# ---- away ---------------------------------------------------------------------------------------------

check "ghost should be up and never comes" lab_cli peer add ghost --expected-up yes
check "office's UDP is cut" cut_off office
check "office raises an alarm" net_wait 30 told stale office
check "no earlier than it should" raised_at_least "$stale_after"
check "ghost raises one for never having come" net_wait 30 told never ghost
check "both stand" eval 'is "$(metric weir_peer_alarm office)$(metric weir_peer_alarm home)$(metric weir_peer_alarm ghost)" 101 &&
	is "$(hub_metric weir_peer_alarms)" 2 && lab_cli peer show office | net_has "alarm (stale)" && lab_cli peer list | net_has "alarm"'
older() { awk -v age="$(metric weir_peer_handshake_age_seconds home)" -v than="$((2 * stale_after))" 'BEGIN { exit !(age > than) }'; }
check "home's last handshake is much older" net_wait 30 older
check "but nobody misses home" eval 'is "$(times stale home)$(times never home)" 00'
posted() { # PEER WHAT... in this order, and no other, went to the webhook
	local peer=$1
	shift
	is "$(grep '"kind":"alarm"' "$net_dir/hooked" | grep "\"peer\":\"$peer\"" | sed 's/.*"what":"\([a-z]*\)".*/\1/' | tr '\n' ' ')" "$*${1:+ }"
}
check "the webhook has them" eval 'net_wait 20 posted office stale && net_wait 20 posted ghost never && posted home'
check "control is killed, and another one comes" kill_control
check "the alarms stand" eval 'is "$(metric weir_peer_alarm office)$(metric weir_peer_alarm home)$(metric weir_peer_alarm ghost)" 101'
check "it looks: another ghost is told" eval 'lab_cli peer add another --expected-up yes && net_wait 30 told never another'
check "and has not told the old ones again" eval 'is "$(times stale office)$(times never ghost)" 11'

# ---- back ---------------------------------------------------------------------------------------------

check "office's UDP flows again" mend office
check "office shakes hands" eval 'handshake_anew office && net_wait 20 pings office 10.77.0.1 1'
check "which ends its alarm" net_wait 30 told up office
check "each was told once" eval 'is "$(times stale office)$(times up office)" 11 && is "$(metric weir_peer_alarm office)" 0'
check "the last handshake agrees again" agrees office 5
check "an alarm ends when nobody expects the peer any more" eval 'lab_cli peer set ghost --expected-up no && net_wait 30 told ended ghost'
check "weir events has them" eval 'lab_cli events | net_has "up again"'
check "and the webhook, each once" eval 'net_wait 20 posted office stale up && net_wait 20 posted ghost never ended && posted home'
check "no secret is in the metrics" eval '! lab_cli metrics | grep -F -e "$(sed -n "s/^PrivateKey *= *//p" "$net_dir/office-quick.conf")" -e "$(sed -n "s/^PresharedKey *= *//p" "$net_dir/office-quick.conf")" >&2'
tap_done
