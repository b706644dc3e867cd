#!/bin/sh
# Rotates PayFlux's export file where there is no logrotate, as in a container: payflux-rotate [--once] FILE PID [MIB] [KEEP]
#
# Once a minute (with --once: now, once): when FILE has more than MIB megabytes (64) it becomes FILE.1, that becomes FILE.2, and
# so on up to KEEP (8); then PID is told by SIGHUP to open FILE anew. No line is lost: until then the node writes to FILE.1.
set -eu

once=
if [ "${1:-}" = --once ]; then
    once=1
    shift
fi
if [ $# -lt 2 ] || [ $# -gt 4 ]; then
    echo "usage: payflux-rotate [--once] FILE PID [MIB] [KEEP]" >&2
    exit 2
fi
file=$1 pid=$2 mib=${3:-64} keep=${4:-8}

rotate() {
    [ "$(wc -c <"$file")" -gt $((mib * 1048576)) ] || return 0
    kill -0 "$pid" # nobody to tell: leave the file alone
    number=$keep
    while [ "$number" -gt 1 ]; do
        previous=$((number - 1))
        [ ! -e "$file.$previous" ] || mv -f "$file.$previous" "$file.$number"
        number=$previous
    done
    mv "$file" "$file.1"
    kill -HUP "$pid"
}

while :; do
    [ ! -f "$file" ] || rotate
    [ -z "$once" ] || exit 0
    sleep 60
done
