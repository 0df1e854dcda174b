logs=/var/log/xen/console
rm -f $logs/guest-image.log
uptime() { cut -d ' ' -f 1 /proc/uptime; }
# Begins with a domain, and waits until it says that it is ready: the seconds from when it is
# made, and from when it runs.
begin() {
    rm -f $logs/guest-$1.log
    made=$(uptime)
    xl create -p $2 >/tmp/xl-$1 2>&1 || fail "no $1"
    runs=$(uptime)
    xl unpause $1
    until grep -q "$3" $logs/guest-$1.log; do usleep 5000; done 2>/dev/null
    ready=$(uptime)
    say "bench: boot $1 $made $runs $ready"
}
network() { begin image /testbed/guest.cfg 'network: bridge0 is there'; }
rival() {
    begin rival-network /tmp/rival-network.cfg 'driver: ready'
    # The testbed's script knows one bridge.
    vif=vif$(number rival-network).0
    brctl delif xenbr0 $vif && brctl addif xenbr1 $vif
}
# What a domain has mapped of others it cannot grant again, and the way out of both is another
# domain's here: `trusted=0` has Linux's front ends copy what they are given.
driver() {
    parameters='xen-netfront.trusted=0 xen-blkfront.trusted=0'
    guest rival-$1 linux 128 1 "console=hvc0 quiet panic=-1 $1 $parameters" \
        "ramdisk = \"/testbed/$1.cpio\"" 'driver_domain = 1' "$2"
}
driver network 'vif = [ "type=vif,bridge=xenbr0" ]'
driver storage 'disk = [ "format=raw,vdev=xvda,access=rw,target=/dev/loop1" ]'
linux_guest linux 224 1 '' \
    'vif = [ "type=vif,mac=00:16:3e:00:00:01,backend=image", "type=vif,mac=00:16:3e:00:00:02,backend=rival-network" ]' \
    'disk = [ "vdev=xvda,backend=storage,target=data", "vdev=xvdb,backend=rival-storage,target=/dev/xvda" ]'
brctl addbr xenbr1
# Not that of its members, which those of the rival's bridge have, too.
ip link set xenbr1 address 02:00:00:00:03:99
ip link set xenbr1 up
ip address add 10.0.3.99/24 dev xenbr1
for number in 0 1; do
    dd if=/dev/zero of=/disk$number bs=1M count=24 2>/dev/null
    losetup /dev/loop$number /disk$number
done
mkdir /programs
(cd /programs && cpio -id </testbed/programs.cpio 2>/dev/null)
mkdir -p /programs/tmp /programs/dev
mount -t devtmpfs devtmpfs /programs/dev
chroot /programs /usr/bin/iperf3 -s >/tmp/iperf 2>&1 &

# The first of each warms up.
for round in 0 1 2 3 4 5; do
    network
    rival
    [ $round = 5 ] && break
    xl destroy image
    xl destroy rival-network
done
begin storage /testbed/storage.cfg 'storage: all is offered'
begin rival-storage /tmp/rival-storage.cfg 'driver: ready'
say "bench: $(grep -m 1 -o 'NetBSD [0-9][0-9.]*' $logs/guest-image.log)"
xl list >&4
linux
until [ -f $logs/guest-linux.log ]; do usleep 100000; done
tail -f $logs/guest-linux.log >&4 &
turns=0
until grep -q 'bench: done' $logs/guest-linux.log; do
    turns=$((turns + 1))
    [ $turns -lt 600 ] || fail "the guest is not done"
    [ $turns -lt 120 ] || grep -q 'bench: net' $logs/guest-linux.log || fail "the guest has not begun"
    grep -q 'bench: failed' $logs/guest-linux.log && fail "the guest has failed"
    sleep 1
done
say "all is done"
