#!/usr/bin/env bash
# tools/lib/net.sh: which processes its clean-up ends, also in another shell than the one that started them, as
# "tools/demo stop" does.
set -u -o pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tools/lib/net.sh
. "$top/tools/lib/net.sh"
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; rm -rf "$net_dir"' EXIT

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
	fi
}
not() { ! "$@"; }
has_no_birth() { [ -z "$(net_birth "$(cat "$1")")" ]; }

# start: a process whose name looks like the end of a name; as net_spawn leaves it, without a namespace.
start() {
	"$net_dir/a) S 1" 86400 &
	net_pid=$!
	net_note_pid "$net_pid"
	pids+=("$net_pid")
}

# later_cleanup BIRTHS...: net_cleanup in a shell that knows only what was noted; BIRTHS, when given, in the place
# of what it was.
later_cleanup() {
	cp "$net_notes" "$net_dir/noted"
	[ $# -eq 0 ] || echo "net_births=( $* )" >>"$net_dir/noted"
	# shellcheck disable=SC2016 # for the other shell
	bash -c 'net_dir=$2/later && mkdir "$net_dir" && . "$1/tools/lib/net.sh" && . "$2/noted" && net_cleanup' \
		later "$top" "$net_dir"
}

lives() { kill -0 "$1" 2>/dev/null; }

cp "$(command -v sleep)" "$net_dir/a) S 1"
start
mine=$net_pid
check "a process has a birth" test -n "$(net_birth "$mine")"
check "who does not live has none" test -z "$(net_birth 4194305)"
# Its parent becomes sleep, which waits for nobody.
bash -c 'true & echo $! >"$1/ended"; exec sleep 86400' parent "$net_dir" &
pids+=($!)
net_wait 5 test -s "$net_dir/ended"
check "nor has who has ended and nobody has waited for" net_wait 5 has_no_birth "$net_dir/ended"

# As if it had ended, and the pid were another's.
later_cleanup "[$mine]=1"
check "a later shell leaves another process of the pid alone" lives "$mine"
later_cleanup "[$mine]="
check "also when the first had ended before it was noted" lives "$mine"
later_cleanup
check "a later shell ends what was started" net_wait 5 not lives "$mine"

start
net_births[$net_pid]=1
net_end "$net_pid"
check "so does the shell that started it" lives "$net_pid"
unset "net_births[$net_pid]"
net_end "$net_pid"
check "of one that was not spawned here the pid is all there is" not lives "$net_pid"

echo "1..$n"
[ "$failed" -eq 0 ]
