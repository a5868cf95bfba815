#!/bin/sh
# Every test there is, the quick ones first; stops at the first stage that fails.
#
# What makes networks and guests runs as root, through sudo if need be.
set -eu
cd "$(dirname "$0")/.."

as_root=
[ "$(id -u)" = 0 ] || as_root="sudo --preserve-env=PATH,HOME,CARGO_HOME,RUSTUP_HOME"

stage() {
	name=$1
	shift
	echo "== $name" >&2
	begun=$(date +%s)
	"$@"
	echo "== $name: passed in $(($(date +%s) - begun)) s" >&2
}

# The test programs of the stage, run by root but built by whoever this is.
cargo_test_as_root() {
	if [ -z "$as_root" ]; then
		cargo test --locked "$@"
		return
	fi
	host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
	env "CARGO_TARGET_${host}_RUNNER=$as_root" cargo test --locked "$@"
}

stage "units and house rules" cargo test --locked --lib --bins --test tidy
stage "bytes that strangers may send" scripts/fuzz.sh
stage "stories of the whole cloud, simulated" cargo test --locked --test scenarios -- --skip partitions
stage "stories of links that fail" cargo_test_as_root --test scenarios partitions -- --nocapture
stage "links between processes" cargo test --locked --test transport
stage "records under kills and power cuts" cargo test --locked --test store_kill --test store_full --test power_cut
stage "networks" cargo_test_as_root --test network
stage "networks of an ordinary user" cargo_test_as_root --test rootless
stage "guests under libvirt" cargo_test_as_root --test libvirt
stage "images" cargo_test_as_root --test images
stage "building for the clients" cargo build --locked --release
stage "stock clients, simulated" tests/clients/run.sh simulated
stage "stock clients, real guests" $as_root tests/clients/run.sh guests
stage "a cloud of three hosts, real guests" $as_root tests/clients/run.sh cluster
stage "two groups and a NAT, real guests" $as_root tests/clients/run.sh overlay
stage "a whole distribution with cloud-init" $as_root tests/clients/run.sh full
