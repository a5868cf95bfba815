#!/bin/sh
# Before the kernel is installed into $1: a ramdisk for every virtual machine, under names that stay.
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/etc/kernel"
printf 'MODULES=most\nCOMPRESS=zstd\n' > "$1/etc/initramfs-tools/conf.d/mallee"
printf 'do_symlinks = yes\nlink_in_boot = yes\n' > "$1/etc/kernel-img.conf"
