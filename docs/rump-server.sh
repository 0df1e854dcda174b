#!/bin/sh
# Keeps a network server in a domain of Xen's running, in dom0: when the domain has gone, another is
# made, and applications get their network interfaces again, at the new one (docs/services.md).
#
#     rump-server.sh CONFIGURATION
#
# It wants xl, xenstore-read and xenstore-ls. What becomes of applications is told on standard
# output, with seconds since the machine was started.

say() { echo "$(cut -d' ' -f1 /proc/uptime) $name: $*"; }

# A node of xenstore's; nothing if there is none.
node() { xenstore-read "$1" 2>/dev/null; }

# The interfaces that a domain of this number has served, as GUEST/DEVICE/ADDRESS. What libxl knows
# of them is kept when the back end's domain has gone.
interfaces() {
    xenstore-ls -f /libxl |
        sed -n "s|^/libxl/\([0-9]*\)/device/vif/\([0-9]*\)/backend = \"/local/domain/$1/.*|\1 \2|p" |
        while read -r guest device; do
            echo "$guest/$device/$(node /libxl/$guest/device/vif/$device/mac)"
        done
}

# Interfaces that were taken away and not made again yet, as GUEST/ADDRESS.
owed=

# Makes those.
give() {
    left=
    for each in $owed; do
        guest=${each%%/*}
        if xl network-attach $guest type=vif mac=${each#*/} backend="$name"; then
            say "domain $guest has its interface again"
        elif xl domname $guest >/dev/null 2>&1; then
            say "domain $guest gets no interface"
            left="$left $each"
        fi
    done
    owed=$left
}

# Gives the interfaces of all that have gone to the domain that there is.
again() {
    give
    for old in $former; do
        for each in $(interfaces $old); do
            rest=${each#*/}
            xl network-detach ${each%%/*} ${rest%%/*} || continue
            owed="$owed ${each%%/*}/${rest#*/}"
            give
        done
    done
}

# Whether a domain of this number is there, by its name.
is_there() { [ "$(node /local/domain/$1/name)" = "$name" ]; }

[ -r "$1" ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
name=$(sed -n 's/^ *name *= *"\(.*\)".*/\1/p' "$1")
# All that have gone: one may have done so before all interfaces were there.
former=
while :; do
    made= ready=
    number=$(xl domid "$name" 2>/dev/null) || {
        # It ends when xl has done all that is to be done after the domain: only then are devices
        # that it was given free for the next.
        xl create -F "$1" &
        made=$!
        until number=$(xl domid "$name" 2>/dev/null); do
            kill -0 $made 2>/dev/null || exit 1
            sleep 0.1
        done
    }
    while is_there $number; do
        node /local/domain/$number/data/feature-rump-ring >/dev/null && {
            say "domain $number takes applications"
            ready=yes
            again
            break
        }
        sleep 0.1
    done
    if [ "$made" ]; then
        wait $made || [ "$ready" ] || exit 1
    else
        while is_there $number; do sleep 0.5; done
    fi
    say "domain $number has gone"
    former="$former $number"
done
