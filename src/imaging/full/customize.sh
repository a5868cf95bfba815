#!/bin/sh
# Turns a bare Debian ($1 is its root) into an EC2 image: cloud-init with the Ec2 datasource, ssh, and
# nothing in it that two instances may not share.
set -eu
root=$1

mkdir -p "$root/boot/grub" "$root/etc/cloud/cloud.cfg.d"
cat > "$root/etc/fstab" <<'FSTAB'
LABEL=mallee-root / ext4 defaults,noatime 0 1
FSTAB
cat > "$root/etc/cloud/cloud.cfg.d/90_mallee.cfg" <<'CFG'
datasource_list: [ Ec2, None ]
datasource: { Ec2: { strict_id: false, max_wait: 120, timeout: 10 } }
apt: { preserve_sources_list: true }
# The only locale there is besides C; cloud-init's own, en_US, would be an error at every first boot.
locale: C.UTF-8
system_info:
  default_user:
    name: ec2-user
    gecos: EC2 user
    groups: [ adm, sudo ]
    sudo: [ "ALL=(ALL) NOPASSWD:ALL" ]
    shell: /bin/bash
    lock_passwd: true
CFG
echo debian > "$root/etc/hostname"
: > "$root/etc/machine-id"
rm -f "$root"/etc/ssh/ssh_host_*
for unit in systemd-networkd.service serial-getty@ttyS0.service; do
	chroot "$root" systemctl enable "$unit"
done
