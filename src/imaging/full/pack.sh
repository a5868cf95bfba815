#!/bin/sh
# pack.sh TAR OUTPUT SIZE SCRATCH: the system in TAR as OUTPUT/{vmlinuz,initrd.img,root.img}.
# Runs as root, or as root of a user namespace: the owners in the archive must become real ones.
set -eu
tar=$1 output=$2 size=$3 scratch=$4
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch"
tar --numeric-owner --xattrs --xattrs-include='*' --exclude='./dev/*' -xf "$tar" -C "$scratch"
cp -L "$scratch/boot/vmlinuz" "$scratch/boot/initrd.img" "$output/"
chmod 644 "$output/vmlinuz" "$output/initrd.img"
rm -f "$output/root.img"
truncate -s "$size" "$output/root.img"
mke2fs -q -F -t ext4 -L mallee-root -m 1 -E root_owner=0:0,lazy_itable_init=1 -d "$scratch" "$output/root.img"
