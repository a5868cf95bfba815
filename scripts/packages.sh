#!/bin/sh
# Installs the Debian packages that are missing here, saying so first.
#
#   scripts/packages.sh run     what building and running Mallee needs
#   scripts/packages.sh test    that, and what its tests need
#   scripts/packages.sh bench   what building, running and measuring Mallee needs
#
# Does nothing, quickly, when nothing is missing. Needs root or sudo when something is.
set -eu

# A linker and C headers for cargo; guests, their disks and networks; what `mallee image build` uses.
run="gcc libc6-dev
	qemu-system-x86 qemu-utils libvirt0 libvirt-daemon-driver-qemu
	nftables iproute2 openssh-client
	e2fsprogs grub-common gzip lz4 xz-utils zstd"
# Guests' programs, a load for wires and a look at them, the stock EC2 clients and shells, and
# libFuzzer's compiler.
test="busybox-static g++ iperf3 iputils-ping mmdebstrap openssl python3-venv slirp4netns tcpdump unzip
	zsh"
# A user who may not touch the host's network: the guests' way to the world.
[ "$(id -u)" = 0 ] || run="$run slirp4netns"
# Load generators, what a peer runs in, and the overlay's peers.
bench="python3-venv wrk ethtool iperf3 vde2 vdeplug wireguard-go wireguard-tools"

case "${1:-}" in
run) wanted=$run ;;
test) wanted="$run $test" ;;
bench) wanted="$run $bench" ;;
*)
	echo "usage: $0 run|test|bench" >&2
	exit 2
	;;
esac

say() {
	echo "mallee: $*" >&2
}

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
	# shellcheck disable=SC2086 # the list is words
	say "this is no Debian; see that what these packages hold is installed:" $wanted
	exit 0
fi

missing=
for package in $wanted; do
	is_installed "$package" || missing="$missing $package"
done
# Debian's libvirt does not start without this user, which only its daemon's package makes.
user=libvirt-qemu
! getent passwd "$user" >/dev/null || user=
# Images are built from packages, so apt must know some.
lists=$(find /var/lib/apt/lists -name '*Packages*' 2>/dev/null | head -n 1)
if [ -z "$missing$user" ] && [ -n "$lists" ]; then
	exit 0
fi

if [ "$(id -u)" = 0 ]; then
	as_root=env
elif command -v sudo >/dev/null; then
	as_root="sudo env"
else
	say "only root can install what is missing here:${missing:+ the packages$missing;}${user:+ the user $user}"
	exit 1
fi
apt() {
	$as_root DEBIAN_FRONTEND=noninteractive apt-get --quiet "$@"
}

install_missing() {
	# shellcheck disable=SC2086 # the list is words
	if apt install --simulate --no-install-recommends $missing >/dev/null 2>&1; then
		apt install --yes --no-install-recommends $missing
		return
	fi
	# A newer `qemu-utils` from backports excludes the release's own `qemu-system-x86`.
	release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	say "they do not go with the qemu-utils that is installed: taking $release's own instead"
	# shellcheck disable=SC2086
	apt install --yes --no-install-recommends --allow-downgrades $missing "qemu-utils/$release"
}

if [ -n "$missing" ] || [ -z "$lists" ]; then
	[ -z "$missing" ] || say "installing these Debian packages:$missing"
	say "asking the package archives what there is"
	apt update
	[ -z "$missing" ] || install_missing
fi
if [ -n "$user" ]; then
	say "making the system user $user, which libvirt asks for"
	$as_root useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "$user"
fi
