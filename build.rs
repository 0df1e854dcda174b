//! Turns what `rump-sys` linked into cfgs for the examples, tests and benchmarks.

fn main() {
    println!(
        "cargo::rustc-check-cfg=cfg(rump_kernel, values(\"netbsd\", \"prefix\", \"lite\", \"none\", \"image\"))"
    );
    println!("cargo::rerun-if-changed=build.rs");
    // Set by rump-sys (`links = "rump"`) for the packages that depend on it directly.
    let kernel = std::env::var("DEP_RUMP_KERNEL").unwrap_or_else(|_| "none".into());
    // The builder's benchmarks compile for the same target.
    if let Ok(target) = std::env::var("TARGET") {
        println!("cargo::rustc-env=BENCH_TARGET={target}");
    }
    println!("cargo::rustc-cfg=rump_kernel=\"{kernel}\"");
}
