#!/bin/sh
# Orders something of a network server in a domain of Xen's, or of an application of one, where
# there is no `rump ctl --control xen:DOMAIN`:
#
#     rump-ctl.sh DOMAIN list
#     rump-ctl.sh DOMAIN switch APPLICATION direct|shared
#     rump-ctl.sh DOMAIN stop
#
# The answer is JSON. What it wants of dom0 is xl, xenstore-write and xenstore-read
# (docs/services.md).
[ $# -ge 2 ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
domain=$1
shift
number=$(xl domid "$domain") || exit 1
folder=/local/domain/$number
# Another than the one before is all that is wanted of it.
order=$(date +%s)$$
xenstore-write $folder/control/rump-ctl "$order $*" || exit 1
left=150
until
    said=$(xenstore-read $folder/data/rump-ctl/answered 2>/dev/null)
    [ "${said% *}" = "$order" ]
do
    [ $((left -= 1)) -gt 0 ] || { echo "$domain does not answer" >&2; exit 1; }
    sleep 0.1
done
pieces=${said#* }
at=0
answer=
while [ $at -lt "$pieces" ]; do
    answer=$answer$(xenstore-read -R $folder/data/rump-ctl/$at) || exit 1
    at=$((at + 1))
done
echo "$answer"
case $answer in '{"error"'*) exit 1 ;; esac
