#!/bin/busybox sh
# dom0's first process: starts Xen's daemons and one guest, and ends QEMU when the guest has
# ended. QEMU ends with 2 * N + 1, where N is 16 and xl's reason for the end, or 32 if there was no
# guest. With a script that is to run instead, which starts guests itself, the reason is that of
# a guest that has powered off, or crashed if the script has failed.
/bin/busybox mkdir -p /bin /sbin /proc /sys /dev /tmp /run /etc
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/ TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /var/lib/xen/dump /var/lib/xenstored /var/log/xen/console /var/lock
mount -t devpts devpts /dev/pts
ln -s /run /var/run
mkdir -p /run/xen /run/xenstored
export XEN=$(echo /usr/lib/xen-*)
export PATH=$PATH:$XEN/bin

finish() {
    sync
    printf "\\x$(printf %x "$1")" | dd of=/dev/port bs=1 seek=244 2>/dev/null
    poweroff -f
}
fail() {
    echo "testbed: $*"
    finish 32
}

while read -r module; do
    insmod "/modules/$module" || echo "testbed: insmod $module failed"
done < /modules/order
mount -t xenfs xenfs /proc/xen || fail "no xenfs: this is no Xen"
ip link set lo up

# The guest's console is the second serial port, as it is.
stty -F /dev/ttyS1 raw -echo
exec 4>/dev/ttyS1
ln -s /dev/ttyS1 /var/log/xen/console/guest-image.log

xenstored --pid-file /run/xenstored.pid || fail "xenstored does not start"
xen-init-dom0 || fail "xen-init-dom0 failed"
xenconsoled --pid-file=/run/xenconsoled.pid --log=guest --log-dir=/var/log/xen/console ||
    fail "xenconsoled does not start"

if [ -d /sys/class/net/eth0 ]; then
    brctl addbr xenbr0
    brctl addif xenbr0 eth0
    ip link set eth0 up
    ip link set xenbr0 up
    ip address add 10.0.2.99/24 dev xenbr0
fi
number=0
while [ -f /testbed/disk$number ]; do
    losetup /dev/loop$number /testbed/disk$number || fail "disk $number is no loop device"
    number=$((number + 1))
done
for device in $(cat /testbed/passthrough); do
    xl pci-assignable-add "$device" || fail "$device cannot be given away"
done

if [ -s /testbed/instead.sh ]; then
    sh /testbed/instead.sh
    failed=$?
    echo "testbed: the script has ended, status $failed"
    usleep 200000
    [ $failed = 0 ] && finish 16
    cat /var/log/xen/*.log 2>/dev/null
    finish 19
fi
echo "testbed: the guest begins"
sh /testbed/beside.sh &
xl create -F /testbed/guest.cfg >/tmp/xl 2>&1
cat /tmp/xl
reason=$(sed -n 's/.*reason code \([0-9]*\).*/\1/p' /tmp/xl | tail -n 1)
[ -n "$reason" ] || {
    cat /var/log/xen/* 2>/dev/null
    fail "xl ended, and the guest did not run to an end"
}
echo "testbed: the guest has ended, reason $reason"
usleep 200000
finish $((16 + reason))
