#!/bin/sh
# What the DHCP client found out, applied. One client runs per network interface; eth0's has the
# default route and the resolver.
metric=100
[ "$interface" = eth0 ] && metric=0

routes() {
	# Classless routes come as pairs and, where they are given, the router option does not count.
	while [ $# -ge 2 ]; do
		case $2 in
		0.0.0.0) ip route replace "$1" dev "$interface" metric $metric ;;
		*) ip route replace "$1" via "$2" dev "$interface" metric $metric ;;
		esac
		shift 2
	done
}

case $1 in
deconfig)
	ip addr flush dev "$interface"
	ip link set "$interface" up
	;;
bound | renew)
	[ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
	ifconfig "$interface" "$ip" netmask "${subnet:-255.255.255.0}"
	if [ -n "$staticroutes" ]; then
		routes $staticroutes
	else
		for gateway in $router; do
			ip route replace default via "$gateway" dev "$interface" metric $metric
			break
		done
	fi
	if [ "$interface" = eth0 ]; then
		{
			[ -n "${search:-$domain}" ] && echo "search ${search:-$domain}"
			for server in $dns; do echo "nameserver $server"; done
		} > /etc/resolv.conf.new
		mv /etc/resolv.conf.new /etc/resolv.conf
	fi
	;;
esac
