# What dom0's shell knows in all tests of services, before what is of one.
say() { echo "dom0: $*" >&4; }
fail() {
    say "failed: $*"
    cat /tmp/xl* /var/log/xen/qemu-dm-*.log >&4 2>/dev/null
    xenstore-ls -f /local/domain >&4
    exit 1
}
# One program is all of these, and its name says which.
for name in list chmod; do ln -sf /usr/bin/xenstore-read /bin/xenstore-$name; done
# A domain's number, by its name.
number() {
    for at in $(xenstore-list /local/domain); do
        [ "$(xenstore-read /local/domain/$at/name 2>/dev/null)" != "$1" ] || { echo $at; return; }
    done
    false
}
# Begins with the service, and waits until it hears of guests.
service() {
    xl create /testbed/guest.cfg >/tmp/xl-service 2>&1 || fail "no service"
    path=/local/domain/$(number image)/control/feature-poweroff
    until xenstore-read $path >/dev/null 2>&1; do usleep 100000; done
}
# Writes the configuration of a PVH guest: its name, kernel, memory, CPUs and command line, and
# further lines.
guest() {
    cat >/tmp/$1.cfg <<EOF
name = "$1"
type = "pvh"
kernel = "/testbed/$2"
memory = $3
vcpus = $4
cmdline = "$5"
tsc_mode = "native"
on_crash = "destroy"
on_reboot = "destroy"
EOF
    to=/tmp/$1.cfg
    shift 5
    for line; do echo "$line" >>$to; done
}
# The same of an unmodified Linux, whose files are in an archive: its name, memory, CPUs, what is
# behind its command line, and further lines.
linux_guest() {
    guest $1 linux $2 $3 "console=hvc0 quiet panic=-1 $4" 'ramdisk = "/testbed/linux.cpio"' "$5" "$6"
}
linux() { xl create /tmp/linux.cfg >/tmp/xl-linux 2>&1 || fail "no Linux guest"; }
# Each side has a CPU of its own.
xl vcpu-pin Domain-0 all 0 || fail "dom0 has no CPU of its own"
echo 'vm.cpumask="1"' >>/etc/xen/xl.conf
# Frames for others reach QEMU's net where the bridge does not know whose they are, and it resets
# connections that are not its own.
[ ! -d /sys/class/net/eth0 ] || brctl delif xenbr0 eth0
