#!/bin/sh
# imds.sh DIRECTORY: answers one request of the instance metadata service, version 2, from files.
directory=$1
cr=$(printf '\r')
read -r method path _
token=
while read -r header && header=${header%"$cr"} && [ -n "$header" ]; do
	case $header in X-aws-ec2-metadata-token:*) token=${header#*: } ;; esac
done
answer() {
	printf 'HTTP/1.0 200 OK\r\nContent-Length: %s\r\n\r\n' "$(wc -c < "$1")"
	cat "$1"
}
refuse() { printf 'HTTP/1.0 %s\r\nContent-Length: 0\r\n\r\n' "$1"; }
case "$method $path" in
"PUT /latest/api/token") answer "$directory/token" ;;
"GET "*)
	if [ "$token" != "$(cat "$directory/token")" ]; then
		refuse '401 Unauthorized'
	elif [ -f "$directory$path" ]; then
		answer "$directory$path"
	else
		refuse '404 Not Found'
	fi
	;;
*) refuse '405 Method Not Allowed' ;;
esac
