# The guest that both serve: `ours` by its first interface and disk, `rival` by the second.
export PATH=/bin:/usr/bin
fail() { echo "bench: failed: $*"; sleep 1000; }
interface() {
    until grep -q "$1" /sys/class/net/eth*/address; do usleep 100000; done 2>/dev/null
    folder=$(grep -l "$1" /sys/class/net/eth*/address)
    folder=${folder%/address}
    ip link set "${folder##*/}" up
    ip address add "$2" dev "${folder##*/}"
}
# Both directions, each in Mbit/s as its receiver counts.
net() {
    for way in '' -R; do
        iperf3 -c "$2" -t 3 -f m $way >/tmp/iperf 2>&1 || fail "$(tr '\n' ' ' </tmp/iperf)"
        echo "bench: net $1 $(grep receiver /tmp/iperf | sed 's/.* \([0-9.]*\) Mbits.*/\1/')"
    done
}
# Written and read past all caches: when it began, was written, and was read.
now() { cut -d ' ' -f 1 /proc/uptime; }
blk() {
    began=$(now)
    dd if=/tmp/bytes of="/dev/$2" bs=1M oflag=direct conv=notrunc,fsync 2>/dev/null || fail "dd $2"
    written=$(now)
    dd if="/dev/$2" of=/dev/null bs=1M count=16 iflag=direct 2>/dev/null || fail "dd $2"
    echo "bench: blk $1 $began $written $(now)"
    dd if="/dev/$2" bs=1M count=16 iflag=direct 2>/dev/null | cmp -s - /tmp/bytes || fail "other bytes on $2"
}
interface 00:16:3e:00:00:01 10.0.2.50/24
interface 00:16:3e:00:00:02 10.0.3.50/24
echo 'bench: it has interfaces'
for disk in xvda xvdb; do until [ -b /dev/$disk ]; do usleep 100000; done; done
echo 'bench: it has disks'
for address in 10.0.2.99 10.0.3.99; do until ping -c 1 -W 1 $address >/dev/null 2>&1; do :; done; done
echo 'bench: it reaches dom0'
dd if=/dev/urandom of=/tmp/bytes bs=64k count=256 2>/dev/null
# The first round warms up; who is first changes.
for round in 0 1 2 3 4 5; do
    if [ $((round % 2)) = 0 ]; then
        net ours 10.0.2.99
        net rival 10.0.3.99
        blk ours xvda
        blk rival xvdb
    else
        net rival 10.0.3.99
        net ours 10.0.2.99
        blk rival xvdb
        blk ours xvda
    fi
done
echo 'bench: done'
sleep 1000
