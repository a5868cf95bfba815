#!/bin/sh
# Every bench there is, one after the other; a busy machine gives busy figures.
#
# What makes networks and guests runs as root, through sudo if need be.
set -eu
cd "$(dirname "$0")/.."

as_root=
[ "$(id -u)" = 0 ] || as_root="sudo --preserve-env=PATH,HOME,CARGO_HOME,RUSTUP_HOME"

# The peer of launches: what one would point a test at today.
moto=target/bench/moto
if [ ! -x "$moto/bin/moto_server" ]; then
	echo "mallee: installing moto into $moto, to compare with" >&2
	python3 -m venv "$moto"
	"$moto/bin/pip" install --quiet --requirement benches/api/requirements.txt
fi
export MALLEE_BENCH_MOTO="$PWD/$moto/bin/moto_server"

# One of the overlay's, which Debian does not have.
boringtun=target/bench/boringtun
if [ ! -x "$boringtun/bin/boringtun-cli" ]; then
	echo "mallee: installing boringtun into $boringtun, to compare with" >&2
	cargo install --quiet --locked --root "$boringtun" boringtun-cli
fi
export MALLEE_BENCH_BORINGTUN="$PWD/$boringtun/bin/boringtun-cli"

cargo bench --locked --bench decisions
cargo bench --locked --bench store
cargo bench --locked --bench link
cargo bench --locked --bench soap
cargo bench --locked --bench simulation
cargo bench --locked --bench api
cargo bench --locked --bench cluster
if [ -z "$as_root" ]; then
	cargo bench --locked --bench launch --bench overlay
else
	host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
	env "CARGO_TARGET_${host}_RUNNER=$as_root" cargo bench --locked --bench launch --bench overlay
fi
