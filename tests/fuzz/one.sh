#!/usr/bin/env bash
# one.sh PROGRAM NAME: fuzz one target for FUZZ_SECONDS (10), from its seeds, from what once failed
# (seeds/NAME) and from what earlier runs of this build found (corpus beside the program). An input
# that fails stays in failures/NAME beside it: commit it to seeds/NAME with the fix.
set -eu
program=$1 name=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(dirname "$program")
corpus=$work/corpus/$name seeds=$work/seeds/$name failures=$work/failures/$name
mkdir -p "$corpus" "$seeds" "$failures"
"$program" --seeds "$seeds" >/dev/null
folders=("$corpus" "$seeds")
[ ! -d "$here/seeds/$name" ] || folders+=("$here/seeds/$name")
export ASAN_OPTIONS=abort_on_error=1:detect_stack_use_after_return=0:${ASAN_OPTIONS:-}
export LSAN_OPTIONS=suppressions=$here/../lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
# The inputs that are there are all run first, however long that takes.
exec "$program" -max_total_time="${FUZZ_SECONDS:-10}" -max_len=4096 -timeout=10 -rss_limit_mb=2048 \
	-detect_leaks=0 -error_exitcode=1 -print_final_stats=1 -artifact_prefix="$failures/" "${folders[@]}"
