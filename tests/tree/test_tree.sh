#!/usr/bin/env bash
# Rules about the tree itself that no compiler checks.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
n=0
failed=0

check() { # NAME COMMAND...: passes when the command prints nothing
	local name=$1 output
	shift
	n=$((n + 1))
	output=$("$@" 2>&1)
	if [ -z "$output" ]; then
		echo "ok $n - $name"
	else
		failed=1
		echo "not ok $n - $name"
		printf '%s\n' "$output" | head -n 30 | sed 's/^/#   /'
	fi
}

sources() { git ls-files -co --exclude-standard -- "$@"; }

relative_includes() { sources '*.c' '*.h' | xargs grep -n '#include "\.\./'; }
upward_includes() {
	# dataplane includes no header of control; the pure modules include no DPDK
	local headers
	headers=$(sources 'control/*.h' | xargs -n1 basename | sed 's/\./\\./' | paste -sd'|')
	sources 'dataplane/*.c' 'dataplane/*.h' | xargs grep -nE "#include \"($headers)\""
	sources dataplane/{base,wg,aead,abi,policy} | grep '\.[ch]$' | xargs grep -n '#include <rte_'
}
badly_formatted() {
	sources '*.c' '*.h' | xargs clang-format-14 --dry-run 2>&1 | grep warning
}
bad_shell() {
	sources tools tests bench .ci | while read -r file; do
		head -c 30 "$file" | grep -qE '^#!.*(ba)?sh|^# shellcheck' && printf '%s\n' "$file"
	done | xargs shellcheck -x -S warning
}
stray_paths() { # no path of one machine, no registry host
	sources | grep -v '^tests/tree/' | xargs grep -nIE '(^|[^a-z.])/work/|/tmp/weir/|deb\.debian\.org|registry\.npmjs'
}
long_functions() {
	# 300-line functions are what separates unreadable trees from readable ones
	sources '*.c' | xargs awk '
		/^[a-zA-Z_].*\)$/ { name = $0 }
		/^\{/ { start = FNR }
		/^\}/ { if (start && FNR - start > 120) print FILENAME ":" start ": " FNR - start " lines: " name; start = 0 }'
}
path_side_effects() {
	# no allocation, log or system call on the packet path
	sources 'dataplane/path/*.c' | xargs grep -nE '\b(malloc|calloc|realloc|free|printf|log_(err|warn|info|debug)|write|read|clock_gettime|pthread_mutex_lock)\('
}
quiet_grep_in_pipe() { # see net_has in tools/lib/net.sh; one line that is "sh -c" has no pipefail
	sources 'tests/netns/*.sh' 'tests/long/*.sh' 'tools/lib/*.sh' tools/demo |
		xargs grep -nE '\|[[:space:]]*grep -[a-zA-Z]*q' | grep -v 'sh -c'
}

check "no relative include" relative_includes
check "dataplane does not include control, pure modules do not include DPDK" upward_includes
check "sources are formatted (clang-format-14 -i)" badly_formatted
check "shell scripts pass shellcheck" bad_shell
check "no path of one machine" stray_paths
check "no function longer than 120 lines" long_functions
check "no allocation, log or system call in dataplane/path" path_side_effects
check "no grep -q behind a pipe under pipefail" quiet_grep_in_pipe
echo "1..$n"
exit $failed
