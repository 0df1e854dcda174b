#!/bin/busybox sh
# The guest's first process. It loads the modules and then does what comes in by the first
# port, a line at a time: TOKEN SECONDS COMMAND. What the command says goes out by the
# first port and the second, and what the kernel has logged meanwhile by the third; each
# ends with a line of the token and the exit status.
/bin/busybox mkdir -p /bin /sbin /usr/bin /usr/sbin /proc /sys /dev /tmp /run /var /etc
/bin/busybox ln -s /run /var/run
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/ TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ip link set lo up
while read -r module; do
    insmod "$module" || echo "insmod $module failed"
done < /modules/order
tries=0
# Their number is the console's among all virtio devices.
set -- /dev/vport*p3
until [ -c "$1" ] || [ $tries = 1000 ]; do
    tries=$((tries + 1))
    usleep 10000
    set -- /dev/vport*p3
done
port=${1%3}
exec 3<>"${port}1" 4<>"${port}2" 5<>"${port}3"
while read -r token seconds command <&3; do
    timeout -s KILL "$seconds" sh -c "$command" </dev/null >&3 2>&4 3>&- 4>&- 5>&-
    status=$?
    dmesg -c >&5
    printf '\n%s %s\n' "$token" "$status" >&3
    printf '\n%s %s\n' "$token" "$status" >&4
    printf '\n%s %s\n' "$token" "$status" >&5
done
poweroff -f
