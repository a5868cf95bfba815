#!/bin/sh
# Gives every parser of bytes from outside what libFuzzer thinks up, for a bounded time.
#
#   scripts/fuzz.sh                    each target for 5 seconds
#   scripts/fuzz.sh SECONDS [TARGET]…  each, or these, for so long
#
# Works with stable Rust and a C++ compiler. What a target learns is kept in target/fuzz/corpus, and
# what breaks it in target/fuzz/artifacts; tests/fuzz/README.md says what to do with that.
set -eu
cd "$(dirname "$0")/.."

here=target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
built=$here/$host/release

fuzz() {
	target=$1
	seconds=$2
	mkdir -p "$here/corpus/$target" "$here/artifacts/$target" "$here/logs"
	log=$here/logs/$target.log
	if "$built/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 \
		-print_final_stats=1 -artifact_prefix="$here/artifacts/$target/" \
		"$here/corpus/$target" "tests/fuzz/seeds/$target" >"$log" 2>&1; then
		inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
		covered=$(sed -n 's/.*DONE *cov: \([0-9]*\) .*/\1/p' "$log")
		echo "fuzz: $target: $inputs inputs, $covered edges"
	else
		tail -n 50 "$log" >&2
		echo "fuzz: $target is broken" >&2
		# xargs gives the others up.
		exit 255
	fi
}

if [ "${1:-}" = --built ]; then
	fuzz "$3" "$2"
	exit
fi

seconds=${1:-5}
[ $# = 0 ] || shift
[ $# != 0 ] || set -- $(basename -s .rs tests/fuzz/fuzz_targets/*.rs)

# As `cargo fuzz run --sanitizer none` builds, which works with stable Rust.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters
	-Cllvm-args=-sanitizer-coverage-pc-table
	-Cllvm-args=-sanitizer-coverage-trace-compares"
# shellcheck disable=SC2086 # one line
RUSTFLAGS=$(echo $coverage) cargo build --locked --release --bins --examples \
	--manifest-path tests/fuzz/Cargo.toml --target "$host" --target-dir "$here"

"$built/examples/seeds" check
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 "$0" --built "$seconds"
