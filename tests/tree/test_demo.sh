#!/usr/bin/env bash
# tools/demo: there is one at a time, and "stop" removes what a killed one left. No demo runs in here: in its place
# is a shell that has the lock and begins as a demo does, under a name of its own.
set -u -o pipefail

if [ "$(id -u)" -ne 0 ]; then
	echo "1..0 # SKIP must run as root: it makes a network namespace"
	exit 0
fi
top=$(cd "$(dirname "$0")/../.." && pwd)
export WEIR_DEMO_NAME=demo-test-$$
state=/run/weir-$WEIR_DEMO_NAME
out=$(mktemp)
other=""
demo() { timeout 20 "$top/tools/demo" "$@" >"$out" 2>&1; }
trap '[ -z "$other" ] || kill -9 "$other"; demo stop; rm -f "$out"' EXIT

n=0
failed=0
check() { # NAME COMMAND...
	local name=$1
	shift
	n=$((n + 1))
	if "$@"; then
		echo "ok $n - $name"
	else
		failed=$((failed + 1))
		echo "not ok $n - $name"
		sed 's/^/#   /' "$out"
	fi
}

# begin: another demo, as far as it has a namespace and a process in there.
begin() {
	bash -c 'exec 9>>"$2.lock" && flock -n 9 && echo $$ >"$2.lock" && mkdir "$2" && net_tag=$3 net_dir=$2 &&
		. "$1/tools/lib/net.sh" && net_ns one && net_spawn one "$2/log" sleep 86400 && echo "$net_pid" >"$2/begun"
		while sleep 0.1 9>&-; do :; done' other "$top" "$state" "$WEIR_DEMO_NAME" &
	other=$!
	for _ in $(seq 1 100); do
		[ -s "$state/begun" ] && child=$(cat "$state/begun") && return 0
		sleep 0.1
	done
	return 1
}
kill_other() {
	kill -9 "$other"
	wait "$other" 2>/dev/null
	other=""
}
# One that has ended and whose parent has not heard has no command line.
child_lives() { [ -n "$(tr -d '\0' 2>/dev/null <"/proc/$child/cmdline")" ]; }

refused() { # WORDS ARGUMENTS...: of what it says, and what is there is as it was
	local words=$1 before
	shift
	before=$(ls -l "$state")
	! demo "$@" && grep -q "$words" "$out" && [ "$(ls -l "$state")" = "$before" ] && child_lives &&
		[ -e "/run/netns/$WEIR_DEMO_NAME-one" ]
}
stopped() {
	demo stop && grep -q "nothing is left" "$out" && ! child_lives &&
		[ -z "$(ls -d "$state"* "/run/netns/$WEIR_DEMO_NAME"* 2>/dev/null)" ]
}
nothing_to_stop() { demo stop && grep -q "nothing is running" "$out" && [ ! -e "$state.lock" ]; }

check "without a demo there is nothing to stop" nothing_to_stop
check "a demo begins" begin
check "another start is refused, and touches nothing of it" refused "a demo is running, as pid $other"
check "so is a stop" refused "a demo is running, as pid $other" stop
kill_other
check "a start after it was killed is refused, and says what to do" refused "was killed.*demo stop"
check "stop removes what it left" stopped
check "and then there is nothing" nothing_to_stop

begin && echo "kept=1" >>"$state/env" && kill_other
check "a start beside one that was kept is refused" refused "is still running.*demo stop"
check "stop removes that as well" stopped

echo "1..$n"
[ "$failed" -eq 0 ]
