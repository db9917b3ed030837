#!/usr/bin/env bash
# constant_time.sh [PROGRAM]: no branch and no address of the AEAD depends on keys, payloads or tags.
# valgrind knows no AVX-512; of that backend see the notes in its files.
set -uo pipefail

program=${1:-}
n_passed=0
n_failed=0

if [ -z "$program" ] || ! command -v valgrind >/dev/null; then
	echo "skipped: valgrind is not installed, or was not when this tree was configured"
	exit 77
fi

# expect WHAT CODE ARGUMENT
expect() {
	local output code=0

	output=$(valgrind -q --error-exitcode=99 "$program" "$3" 2>&1) || code=$?
	if [ "$code" = 77 ]; then
		echo "skipped: $1: this CPU cannot"
	elif [ "$code" = "$2" ]; then
		n_passed=$((n_passed + 1))
		echo "ok: $1"
	else
		n_failed=$((n_failed + 1))
		echo "FAILED: $1: exit code $code, expected $2"
		echo "$output"
	fi
}

expect "a branch on a key is noticed" 99 leak
expect "avx2 seals and opens without one" 0 avx2
expect "avx2 opens heads, seals over rests and opens them without one" 0 rests
expect "sodium seals without one" 0 sodium
echo "$n_passed passed, $n_failed failed"
[ "$n_failed" = 0 ]
