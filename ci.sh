#!/usr/bin/env bash
# What CI runs. Without arguments: every step of the default suite. With arguments:
# the steps named.
#
#   fmt clippy nostd test npf fs loom doc     the default suite, in this order
#   trees                                     everything on real NetBSD; RUMP_TEST_TREES=a:b
#   qemu                                      tests in a Linux guest in QEMU
#   xen                                       images under a real Xen in QEMU, both from Debian;
#                                             downloads 90 MB the first time
#   fuzz-back                                 hostile front ends of these, 30 minutes of each kind
#   guest                                     fetches kernels for that guest from Debian
#   drivers                                   a kernel with drivers by name boots; NETBSD_SRC
#   shmif                                     against upstream's shmif(4); NETBSD_SRC
#   random                                    ten minutes of system calls at random
#   suites [MODULE…]                          CPython's tests of sockets, beside Linux (Debian's
#                                             libpython3.11-testsuite); as root
#   faults                                    a minute of transfers over bad links
#   switches                                  a thousand switches in a row under load; as root
#   stress                                    images with 1, 2 and 4 CPUs, 1,000 threads, a minute each
#   kills                                     a network server killed a hundred times; as root
#   bench [PATTERN]                           benchmarks; adds to target/ratios.jsonl
#   figures                                   table and plot of the README from that file
#
# RUMP_TEST_REQUIRE=netbsd,root turns tests that would be skipped into failures.
set -euo pipefail
cd "$(dirname "$0")"

# What is compiled here is compiled once; incremental state would be half of all that is written.
export CARGO_INCREMENTAL=${CARGO_INCREMENTAL:-0}

target=${CARGO_TARGET_DIR:-$PWD/target}
log=$target/ci/tests.log
mkdir -p "$target/ci"

say() { printf '\n== %s\n' "$*"; }

# The default suite is the same on every machine: it looks for no tree, and runs what
# needs a kernel on rump-lite.
if [ -z "${RUMP_CI_TREE:-}" ]; then
    export RUMP_KERNEL=${RUMP_KERNEL:-lite}
fi

step_fmt() { cargo fmt --all --check; }
step_clippy() { cargo clippy --workspace --features async,bridge,dns,fs,network,npf,server,storage,vlan --all-targets -- -D warnings; }
step_nostd() {
    cargo check -p rump-hyper --no-default-features
    cargo check -p rump-linux -p rump-ring
    # The kernel of an image, as `cargo rumprun` compiles it.
    cargo clippy -p rumprun --features image -- -D warnings
    # On a target that has no std, where rustup has it.
    if rustc --print target-libdir --target x86_64-unknown-none | xargs test -d; then
        cargo build -p rump-lite -p rump-linux -p rump-ring --target x86_64-unknown-none
    else
        cargo check -p rump-lite
        echo "skipped: nostd::x86_64-unknown-none: rustup target add x86_64-unknown-none" | tee -a "$log"
    fi
}
step_test() {
    # Tests start the command, and programs with the library that is loaded into them.
    cargo build --workspace --features async
    cargo test --workspace --features async 2>&1 | tee -a "$log"
}
step_loom() {
    RUSTFLAGS="${RUSTFLAGS:-} --cfg loom" CARGO_TARGET_DIR=$target/loom \
        cargo test -p rump-hyper -p rump-ring --release --test loom 2>&1 | tee -a "$log"
}
step_doc() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --features dns,fs,network,npf,server,storage,vlan --no-deps; }

step_trees() {
    : "${RUMP_TEST_TREES:?names the NetBSD trees to test on, separated by colons}"
    local IFS=:
    for tree in $RUMP_TEST_TREES; do
        local version
        version=$(awk '$1 == "#define" && $2 == "__NetBSD_Version__" && $3 ~ /^[0-9]+$/ { print $3 }' "$tree/sys/sys/param.h")
        say "tree $version"
        RUMP_CI_TREE=1 RUMP_KERNEL=netbsd NETBSD_SRC=$tree \
            RUMP_TEST_REQUIRE=${RUMP_TEST_REQUIRE:-netbsd} \
            CARGO_TARGET_DIR=$target/trees/$version ./ci.sh test npf fs
    done
}

# Without a tree in the environment they run on rump-lite, and what needs drivers is skipped.
step_qemu() {
    [ -z "${NETBSD_SRC:-}" ] || unset RUMP_KERNEL
    cargo build --example http_on_nic
    RUMP_TEST_REQUIRE=${RUMP_TEST_REQUIRE:-qemu} \
        cargo test --workspace --features async -- qemu 2>&1 | tee -a "$log"
    RUMP_TEST_REQUIRE=${RUMP_TEST_REQUIRE:-qemu} \
        cargo test --features fs --test pci_block 2>&1 | tee -a "$log"
}
# Where the testbed is, which is made if need be.
testbed() {
    cargo build -p rumprun-build --features cargo
    "$target/debug/cargo-rumprun" rumprun testbed --only-make
}
step_xen() {
    local folder
    folder=$(testbed)
    # The command `rump`, which dom0 runs.
    cargo build -p rump-cli
    RUMP_TEST_XEN=$folder RUMP_TEST_REQUIRE=${RUMP_TEST_REQUIRE:-xen} \
        cargo test --features async,bridge,fs --test image_xen --test image_service --test image_restart --test image_storage --test image_server --test image_fuzz 2>&1 | tee -a "$log"
}
step_fuzz-back() {
    local folder seed
    folder=$(testbed)
    for seed in ${RUMP_TEST_SEEDS:-1 2 3 4 5}; do
        RUMP_TEST_LONG=1 RUMP_TEST_SEED=$seed RUMP_TEST_XEN=$folder RUMP_TEST_REQUIRE=${RUMP_TEST_REQUIRE:-xen,netbsd} \
            cargo test --features async,bridge,fs --test image_fuzz -- --nocapture 2>&1 | tee -a "$log"
    done
}
# Debian's kernels, unpacked into the cache folder and not installed: the small one that
# guests boot, and the one that has Linux's drivers of network cards.
step_guest() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/rump/guest scratch
    scratch=$(mktemp -d)
    (
        cd "$scratch"
        for flavour in linux-image-cloud-amd64 linux-image-amd64; do
            package=$(apt-cache depends "$flavour" | awk '$1 == "Depends:" && /linux-image/ { print $2; exit }')
            apt-get download "$package"
            dpkg -x "$package"_*.deb new
        done
    )
    mkdir -p "$(dirname "$cache")"
    rm -rf "$cache"
    mv "$scratch/new" "$cache"
    rm -r "$scratch"
    ls -d "$cache"/boot/vmlinuz-*
}

step_drivers() {
    RUMP_KERNEL=netbsd RUMP_DRIVERS=${RUMP_DRIVERS:-wm,nvme,ixg,pcn,virtio} RUMP_TEST_REQUIRE=drivers \
        cargo test --test kernel_drivers 2>&1 | tee -a "$log"
}
step_shmif() { cargo test --features shmif --test iface_shmif 2>&1 | tee -a "$log"; }
step_npf() {
    cargo test -p rump --features npf 2>&1 | tee -a "$log"
    # NetBSD 7 has no component for VLANs.
    local vlan=vlan
    [ -z "${NETBSD_SRC:-}" ] || [ -d "$NETBSD_SRC/sys/rump/net/lib/libvlan" ] || vlan=npf
    cargo test --features npf,bridge,$vlan --test npf --test iface_bridge --test iface_vlan 2>&1 | tee -a "$log"
}
step_fs() {
    cargo test -p rump --features fs 2>&1 | tee -a "$log"
    cargo build --features fs --example mount_disk
    cargo test --features fs --test fs --test fs_corrupt --test block --test examples_once 2>&1 | tee -a "$log"
}
step_faults() {
    RUMP_TEST_LONG=1 cargo test --release --test iface_backends -- faults 2>&1 | tee -a "$log"
}
step_switches() {
    RUMP_TEST_LONG=1 cargo test --release --test switch -- --nocapture 2>&1 | tee -a "$log"
}
step_kills() {
    cargo build --release -p rump-cli
    RUMP_TEST_LONG=1 cargo test --release --test server --test server_command 2>&1 | tee -a "$log"
}
step_stress() {
    RUMP_TEST_LONG=1 cargo test --test image_machine -- stress registers 2>&1 | tee -a "$log"
}
step_random() {
    RUMP_TEST_LONG=1 cargo test --release --test linux_random -- --nocapture 2>&1 | tee -a "$log"
}

step_suites() {
    cargo build --workspace
    unshare --net sh -c 'ip link set lo up && exec /usr/bin/python3.11 tests/suites/python.py "$@"' \
        suites "$target/debug/rump" "$@"
}

step_bench() {
    unset RUMP_KERNEL
    # File systems and disks are NetBSD's.
    RUMP_BENCH_OUT=$target/ratios.jsonl \
        cargo bench ${NETBSD_SRC:+--features fs} --bench ratios -- "$@"
}
step_figures() { cargo run --release --example figures -- "$target/ratios.jsonl"; }

# Counts from the closing lines of the test runners, and why tests were skipped.
summary() {
    [ -s "$log" ] || return 0
    say "skipped tests, by reason"
    sed -n 's/^skipped: .*: //p' "$log" | sort | uniq -c | sort -rn
    awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
         END { printf "\n%d passed, %d failed, %d skipped\n", passed, failed, ignored }' "$log"
}

case ${1:-all} in
    bench) shift; step_bench "$@"; exit ;;
    figures) step_figures; exit ;;
    guest) step_guest; exit ;;
    suites) shift; step_suites "$@"; exit ;;
    trees) step_trees; exit ;;
    all) steps="fmt clippy nostd test npf fs loom doc" ;;
    *) steps=$* ;;
esac
: > "$log"
for step in $steps; do
    say "$step"
    "step_$step"
    printf '%s of disk in all, %s free\n' "$(du -sh "$target" | cut -f1)" \
        "$(df -h --output=avail "$target" | tail -1 | tr -d ' ')"
done
summary
