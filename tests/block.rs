//! Disks of the kernel: those of the program's back ends, their wedges, several transfers at
//! a time, and faults.

mod common;
#[cfg(feature = "fs")]
#[path = "block/devices.rs"]
mod devices;
#[cfg(feature = "fs")]
#[path = "fs/image.rs"]
mod image;
#[cfg(feature = "fs")]
#[path = "block/wedges.rs"]
mod wedges;

#[cfg(not(feature = "fs"))]
fn main() {
    let reason = "without the feature fs";
    let trial = common::trial_if(false, "fs", reason, "block", || Ok(()));
    common::run(vec![trial]);
}

#[cfg(feature = "fs")]
fn main() {
    image::run_tests([
        ("netbsd::memory", devices::memory),
        ("netbsd::sectors_of_4096_bytes", devices::large_sectors),
        ("netbsd::read_only", devices::read_only),
        ("netbsd::in_use", devices::in_use),
        ("netbsd::impossible", devices::impossible),
        ("netbsd::many_disks", devices::many_disks),
        ("netbsd::many_threads", devices::many_threads),
        ("netbsd::queue", devices::queue),
        ("netbsd::queue_has_its_depth", devices::queue_depth),
        ("netbsd::ext2::crew", devices::crew),
        ("netbsd::faults", devices::faults),
        ("netbsd::back_end_that_panics", devices::panics),
        ("image_is_locked", devices::image_is_locked),
        ("netbsd::wedges_by_hand", wedges::by_hand),
        ("netbsd::gpt::ext2::wedges", wedges::of_gpt),
        ("netbsd::gpt::wedges_of_mbr", wedges::of_mbr),
    ]);
}
