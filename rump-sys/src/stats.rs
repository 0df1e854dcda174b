//! What the hypercalls below the kernel have counted.

use crate::hyper::Stats;

#[cfg(rump_kernel = "image")]
unsafe extern "C" {
    #[link_name = crate::gate::image_name!(stats)]
    fn image_stats(stats: *mut core::ffi::c_void);
}

/// Reads all counters. They are not read at one instant.
pub fn stats() -> Stats {
    #[cfg(rump_kernel = "image")]
    {
        let mut stats = Stats::default();
        // SAFETY: it writes the counters there.
        unsafe { image_stats((&raw mut stats).cast()) };
        stats
    }
    #[cfg(not(rump_kernel = "image"))]
    crate::hyper::stats()
}

#[cfg(rump_gates)]
unsafe extern "C" fn tell(to: *mut Stats) {
    // SAFETY: the program's side gives room for them.
    unsafe { to.write(crate::hyper::stats()) };
}
crate::gate::export! { stats = tell; }
