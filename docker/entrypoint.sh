#!/bin/sh
# Runs one part of a cloud in a container, and has it join first if it is not the cloud.
#
#   mallee-entrypoint cloud [mallee up's arguments]     also invites whoever else is in the file
#   mallee-entrypoint group NAME                        the manager of a group
#   mallee-entrypoint node GROUP NAME [mallee up's arguments]
#
# Tokens are handed over in /invitations, a volume of all of them: the cloud writes one for each name
# in MALLEE_INVITE ("group:east node:east:node-1"), and each waits for its own.
set -eu

invitations=${MALLEE_INVITATIONS:-/invitations}

invite() {
	for invited in ${MALLEE_INVITE:-}; do
		[ ! -e "$invitations/$invited" ] || continue
		role=${invited%%:*}
		group=${invited#*:}
		group=${group%%:*}
		umask 077
		mallee token create --role "$role" --group "$group" > "$invitations/$invited.new"
		mv "$invitations/$invited.new" "$invitations/$invited"
	done
}

join() {
	invitation=$invitations/$1
	shift
	until [ -s "$invitation" ]; do
		sleep 1
	done
	mallee join --patience 600 "$(cat "$invitation")" "$@"
}

role=${1:?cloud, group or node}
shift
case "$role" in
cloud)
	# In the background, where it can be asked for tokens as soon as it answers.
	mallee up "$@" &
	cloud=$!
	trap 'kill -TERM "$cloud"' TERM INT
	until mallee status > /dev/null 2>&1; do
		kill -0 "$cloud"
		sleep 1
	done
	invite
	# A trapped signal ends the first wait, and the cloud the second.
	wait "$cloud" || wait "$cloud"
	;;
group)
	join "group:$1"
	exec mallee up
	;;
node)
	group=$1
	name=$2
	shift 2
	join "node:$group:$name" --name "$name"
	exec mallee up "$@"
	;;
*)
	echo "mallee-entrypoint: no such role: $role" >&2
	exit 2
	;;
esac
