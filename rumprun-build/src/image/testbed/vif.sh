#!/bin/busybox sh
# Joins the guest's interface in dom0 to the bridge, as xl's hotplug scripts do.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
case $1 in
online | add)
    ip link set "$vif" up && brctl addif xenbr0 "$vif" &&
        xenstore-write "$XENBUS_PATH/hotplug-status" connected
    ;;
*) xenstore-rm "$XENBUS_PATH/hotplug-status" ;;
esac
