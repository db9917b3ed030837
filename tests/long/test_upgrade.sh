#!/usr/bin/env bash
# Upgrades in figures: control and dataplane are replaced again and again (UPGRADES times, 10), there and back, under
# pings every 10 ms, TCP connections that must last, and clients of a published service and of the control socket, on
# connections that stay and on new ones, that count each request which fails. Each figure beside its bound.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/../netns/tap.sh"
# shellcheck source=tests/long/figures.sh
. "$top/tests/long/figures.sh"
# shellcheck source=tests/netns/www.sh
. "$top/tests/netns/www.sh"

upgrades=${UPGRADES:-10}
hub_with_talk
require "home serves a page" www_serve "hello from behind NAT" 2000000
require "a service is published" www_publish
mkdir "$net_dir/new"
cp "$lab_build/control/weir-control" "$lab_build/dataplane/weir-dataplane" "$net_dir/new/"

# every second time to the copies, and back by the same command.
cat >"$net_dir/turn" <<END
#!/bin/sh
if [ -e "$net_dir/turned" ]; then rm "$net_dir/turned"; set -- "\$@"; else : >"$net_dir/turned"; set -- --binary-dir "$net_dir/new" "\$@"; fi
exec "$lab_weir" upgrade -s "$lab_run/control.sock" "\$@"
END
chmod +x "$net_dir/turn"

# asked NAME COMMAND...: requests are made while it runs. Their numbers in $requests and $failed.
asked() {
	local name=$1 status
	shift
	www_ask "$name"
	"$@"
	status=$?
	www_asked # its failures are counted
	requests=$(awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^[0-9]+$/) { n += $i; break } } END { print n + 0 }' "$net_dir/ask-$name")
	failed=$(grep -c FAILED "$net_dir/ask-$name")
	return "$status"
}
for what in control dataplane; do
	require "$what replaced $upgrades times, there and back" asked "$what" times "upgrade:$net_dir/turn --only $what" "$upgrades"
	sed 's/^/# /' "$net_dir/ask-$what"
	tell "$what replaced: of $requests requests failed" "$failed" "" 0
	check "$what replaced: requests were made" test "$requests" -gt 100
	if [ "$what" = control ]; then
		tell "$what replaced: pings lost" "$lost" "" 0
		tell "$what replaced: done after, worst of $upgrades" "$back_worst" s 5
	else
		tell "$what replaced: longest gap, median of $upgrades" "$gap_median" s 1
		tell "$what replaced: longest gap, worst of $upgrades" "$gap_worst" s 1
	fi
	check "both connections last" alive
done
require "both replaced 4 times, there and back" asked both times "upgrade:$net_dir/turn" 4
tell "both replaced: of $requests requests failed" "$failed" "" 0
tell "both replaced: longest gap, worst of 4" "$gap_worst" s 1
check "both connections last" alive
check "every packet is accounted for" net_wait 3 balance
tap_done
