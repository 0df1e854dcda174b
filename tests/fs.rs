//! File systems: what NetBSD writes, Linux's programs find clean and read back; the same
//! calls have the same results as std's; what was synchronised survives a power cut.

mod common;

#[cfg(feature = "fs")]
#[path = "fs/basics.rs"]
mod basics;
#[cfg(feature = "fs")]
#[path = "fs/behaviour.rs"]
mod behaviour;
#[cfg(feature = "fs")]
#[path = "fs/image.rs"]
mod image;
#[cfg(feature = "fs")]
#[path = "fs/power.rs"]
mod power;
#[cfg(feature = "fs")]
#[path = "fs/tree.rs"]
mod tree;

#[cfg(not(feature = "fs"))]
fn main() {
    let reason = "without the feature fs";
    let trial = common::trial_if(false, "fs", reason, "fs", || Ok(()));
    common::run(vec![trial]);
}

#[cfg(feature = "fs")]
fn main() {
    image::run_tests([
        ("is_there_or_says_so", basics::is_there_or_says_so),
        ("netbsd::tmpfs::files", basics::tmpfs),
        ("netbsd::ext2::of_linux", basics::ext2_of_linux),
        ("netbsd::msdos::of_linux", basics::msdos_of_linux),
        ("netbsd::cd9660::of_linux", basics::cd9660_of_linux),
        ("netbsd::ffs::of_makefs", basics::ffs_of_makefs),
        ("netbsd::errors_say_what_failed", basics::errors),
        ("netbsd::tmpfs::like_std", behaviour::tmpfs),
        ("netbsd::ext2::like_std", behaviour::ext2),
        ("netbsd::ffs::like_std", behaviour::ffs),
        ("netbsd::ext2::tree", tree::on_ext2),
        ("netbsd::msdos::tree", tree::on_msdos),
        ("netbsd::ffs::tree", tree::on_ffs),
        ("netbsd::ffs::tree_with_a_log", tree::on_ffs_with_a_log),
        (
            "root::ext2::loop::linux_reads_the_tree",
            tree::linux_reads_ext2,
        ),
        (
            "netbsd::msdos::mtools::read_the_tree",
            tree::mtools_read_msdos,
        ),
        ("netbsd::ffs::power_cut_with_a_log", power::with_a_log),
        (
            "netbsd::ffs::power_cut_with_synchronous_writes",
            power::with_synchronous_writes,
        ),
        (
            "netbsd::ffs::a_disk_that_lies_is_found_out",
            power::a_disk_that_lies_is_found_out,
        ),
    ]);
}
