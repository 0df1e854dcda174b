# The rival: Linux as a driver domain. It joins the interfaces of its guests to a bridge, and
# gives them its disk, as xl's scripts do in a domain that runs `xl devd`.
export PATH=/bin:/usr/bin:/usr/sbin
if [ -d /sys/class/net/eth0 ] || grep -q network /proc/cmdline; then
    until [ -d /sys/class/net/eth0 ]; do usleep 10000; done
    brctl addbr br0
    brctl addif br0 eth0
    ip link set eth0 up
    ip link set br0 up
else
    until [ -b /dev/xvda ]; do usleep 10000; done
fi
echo 'driver: ready'
pause=100000
while usleep $pause; do
    for folder in /sys/class/net/vif*; do
        [ -d "$folder" ] && [ ! -e "$folder/brport" ] || continue
        name=${folder##*/}
        number=${name#vif}
        ip link set "$name" up && brctl addif br0 "$name" &&
            xenstore-write "backend/vif/${number%.*}/${number#*.}/hotplug-status" connected
        # Nobody comes after this one.
        pause=5000000
    done
    for domain in $(xenstore-list backend/vbd 2>/dev/null); do
        for disk in $(xenstore-list "backend/vbd/$domain"); do
            path=backend/vbd/$domain/$disk
            xenstore-read "$path/physical-device" >/dev/null 2>&1 && continue
            xenstore-write "$path/physical-device" "$(stat -c '%t:%T' /dev/xvda)" &&
                xenstore-write "$path/hotplug-status" connected
            pause=5000000
        done
    done
done
