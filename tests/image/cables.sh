# What dom0 does in tests of the network server, before it does what is of one.
mac() { case $1 in three | stranger) echo 02:00:00:00:00:0b ;; *) echo 02:00:00:00:00:0a ;; esac; }
# An application: its name, its port, and whom it talks to; perhaps another program, and an interface
# of its own.
application() {
    guest $1 ${4-served} 64 1 "-- $1 $2 $3" "vif = [ \"type=vif,mac=$(mac $1),backend=image\"$5 ]"
    ln -sf /dev/ttyS1 /var/log/xen/console/guest-$1.log
    xl create /tmp/$1.cfg >/tmp/xl-$1 2>&1 || fail "no application $1"
}
# What is sent to a port comes back as it was.
echoes() {
    dd if=/dev/urandom of=/tmp/sent bs=64k count=6 2>/dev/null
    for try in $(seq 60); do
        nc -w 30 $1 $2 </tmp/sent >/tmp/back 2>/dev/null && cmp -s /tmp/sent /tmp/back && return
        sleep 1
    done
    fail "$1:$2 does not send back what it gets: $(wc -c </tmp/back) bytes"
}
# So many applications have taken the right bytes and sent them back.
right() {
    until [ "$(grep -c right /tmp/sums)" -ge $1 ]; do
        sleep 1
        [ $((waited += 1)) -lt 400 ] || fail "not $1 applications have sent the right bytes"
    done
    grep wrong /tmp/sums && fail "other bytes came"
    say "$1 times the right bytes"
}
# What has come of each connection that counts.
lines() { wc -l </tmp/count$1; }
# The connections that count have not lost anything, and go on.
counts() {
    for port in $ports; do
        before=$(lines $port)
        left=600
        until [ $(lines $port) -gt $((before + 10)) ]; do
            usleep 200000
            [ $((left -= 1)) -gt 0 ] || fail "$port: nothing is counted any more"
        done
        # What comes after is not whole yet.
        wrong=$(head -n $(lines $port) /tmp/count$port | awk '$1 != NR - 1 { print NR ": " $0; exit }')
        [ -z "$wrong" ] || fail "$port: it counts wrong: $wrong"
    done
    say "$1: all count on"
}
# Hundredths of seconds since the machine was started.
now() { read -r up idle </proc/uptime; echo ${up%.*}${up#*.}; }
# How long it takes from then on until another server is there, and each connection goes on.
gone_on() {
    for port in $ports; do eval "had$port=$(lines $port)"; done
    left=600
    until next=$(number image) && [ $next != $number ]; do
        usleep 200000
        [ $((left -= 1)) -gt 0 ] || fail "kill $kill: there is no other server"
    done
    say "kill $kill: another server after $(($(now) - $1)) hundredths of seconds"
    for port in $ports; do
        left=600
        until [ $(lines $port) -gt $((had$port + 10)) ]; do
            usleep 100000
            [ $((left -= 1)) -gt 0 ] || fail "kill $kill: $port counts no more"
        done
        say "kill $kill: $port counts after $(($(now) - $1)) hundredths of seconds"
    done
    counts "kill $kill"
}
# What dom0's stack has counted of resets.
resets() { say "$1: $(grep ^Tcp: /proc/net/snmp | cut -d' ' -f 6-9,15 | tr '\n' ' ')"; }
connected() {
    folder=/local/domain/$(number image)/backend/vif/$(number $1)/0
    [ "$(xenstore-read $folder/state)" = 4 ] || fail "$1 is not connected"
}

waited=0
mkdir -p /www
dd if=/dev/urandom of=/www/bytes bs=64k count=4 2>/dev/null
sha256sum </www/bytes >/tmp/sum
httpd -h /www
touch /tmp/sums
for port in 9001 9002 9003; do
    while :; do
        nc -l -p $port | sha256sum | cmp -s - /tmp/sum && echo right || echo wrong
    done >>/tmp/sums &
done
ports="9101 9102 9103"
for port in $ports; do nc -l -p $port >/tmp/count$port & done
nc -ll -p 9200 -e cat &
# The kernel of the server has no address.
sed '/^cmdline/d' /testbed/guest.cfg >/tmp/server.cfg
sh /testbed/rump-server.sh /tmp/server.cfg >/tmp/xl-keeper 2>&1 &
keeper=$!
left=1000
until grep -q "takes applications" /tmp/xl-keeper; do
    usleep 100000
    [ $((left -= 1)) -gt 0 ] || fail "there is no server"
done
