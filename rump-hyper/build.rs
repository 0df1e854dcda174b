//! Compiles the variadic hypercall; everything else is Rust.

fn main() {
    println!("cargo::rerun-if-changed=c/dprintf.c");
    // The C library is the host's: without `std` there may be none, and the
    // host that exports the hypercalls brings its own rumpuser_dprintf.
    if std::env::var_os("CARGO_FEATURE_STD").is_some() {
        cc::Build::new()
            .file("c/dprintf.c")
            .warnings(true)
            .compile("rump_hyper_dprintf");
    }
}
