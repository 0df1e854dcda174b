//! Corrupt images: what is on them is overwritten at random, and the kernel mounts, reads and
//! writes what is left.
//!
//! Each run of a child goes on until the kernel panics or stands still: NetBSD trusts a file
//! system that it mounts. What it must not do is end the program without a word. The counts
//! are printed. `RUMP_TEST_LONG` makes it twenty times as many, `RUMP_TEST_SEEDS=FIRST..LAST`
//! says which.

mod common;
#[cfg(feature = "fs")]
#[path = "fs/corrupt.rs"]
mod corrupt;
#[cfg(feature = "fs")]
#[path = "fs/image.rs"]
mod image;

#[cfg(not(feature = "fs"))]
fn main() {
    let reason = "without the feature fs";
    let trial = common::trial_if(false, "fs", reason, "fs_corrupt", || Ok(()));
    common::run(vec![trial]);
}

#[cfg(feature = "fs")]
fn main() {
    if corrupt::child() {
        return;
    }
    image::run_tests([
        ("netbsd::ext2::corrupt", corrupt::ext2),
        ("netbsd::msdos::mtools::corrupt", corrupt::msdos),
        ("netbsd::cd9660::corrupt", corrupt::cd9660),
        ("netbsd::ffs::corrupt", corrupt::ffs),
    ]);
}
