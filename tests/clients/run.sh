#!/bin/sh
# Runs the stock clients against a cloud of their own: first everything that needs no guests,
# against a simulated one, then everything that looks into guests, against real ones, then clouds
# of three and of four hosts, and at last a whole distribution.
#
#   tests/clients/run.sh              all five
#   tests/clients/run.sh simulated    the first only, without privileges
#   tests/clients/run.sh guests       the second only; needs root, QEMU and libvirt
#   tests/clients/run.sh cluster      the third only: hosts are network namespaces
#   tests/clients/run.sh overlay      the fourth only: two groups, one of them behind a NAT
#   tests/clients/run.sh full         the fifth only; needs mmdebstrap as well
#
# Further arguments go to pytest. MALLEE_BIN names the binary, by default the one in target/.
set -eu
cd "$(dirname "$0")"

which=all
case "${1:-}" in
all | simulated | guests | cluster | overlay | full)
	which=$1
	shift
	;;
esac

target=$(cd ../.. && pwd)/target
venv=$target/clients-venv
wanted=$(cksum < requirements.txt)
if [ "$(cat "$venv/installed" 2>/dev/null)" != "$wanted" ]; then
	echo "installing the clients into $venv"
	mkdir -p "$target"
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
	echo "$wanted" > "$venv/installed"
fi
PATH=$venv/bin:$PATH
export PATH PYTHONDONTWRITEBYTECODE=1

# An interrupt, unlike a kill, lets the cloud be taken down.
bounded() {
	minutes=$1
	shift
	timeout --foreground --signal=INT --kill-after=120 "${minutes}m" "$@"
}

wants() {
	[ "$which" = all ] || [ "$which" = "$1" ]
}

if wants simulated; then
	MALLEE_TEST_HYPERVISOR=simulated bounded 10 python -m pytest -m 'not guests and not full' "$@"
fi
if wants guests; then
	MALLEE_TEST_HYPERVISOR=${MALLEE_TEST_HYPERVISOR:-auto} bounded 30 python -m pytest -m 'guests and not overlay' "$@"
fi
if wants cluster; then
	# The same scenario as on one host; the other clients and the filters are no different there.
	MALLEE_TEST_HYPERVISOR=${MALLEE_TEST_HYPERVISOR:-auto} MALLEE_TEST_PLACE=cluster \
		bounded 15 python -m pytest -m 'guests and not simulated' \
		test_scenario.py -k 'aws-cli or (boto3-v4 and not query)' "$@"
fi
if wants overlay; then
	MALLEE_TEST_HYPERVISOR=${MALLEE_TEST_HYPERVISOR:-auto} MALLEE_TEST_PLACE=overlay \
		bounded 15 python -m pytest -m overlay "$@"
fi
if wants full; then
	MALLEE_TEST_HYPERVISOR=${MALLEE_TEST_HYPERVISOR:-auto} bounded 25 python -m pytest -m full "$@"
fi
