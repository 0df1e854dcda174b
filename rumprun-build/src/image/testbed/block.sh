#!/bin/busybox sh
# Gives a guest a block device of dom0's, as xl's hotplug scripts do.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
case $1 in
add)
    device=$(xenstore-read "$XENBUS_PATH/params")
    set -- $(stat -L -c '%t %T' "$device") &&
        xenstore-write "$XENBUS_PATH/physical-device" "$1:$2" &&
        xenstore-write "$XENBUS_PATH/hotplug-status" connected
    ;;
remove) xenstore-rm "$XENBUS_PATH/hotplug-status" ;;
esac
