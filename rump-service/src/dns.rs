//! DNS and DHCP for other guests: dnsmasq(8) itself, as it comes with Linux, from the root of the
//! image's file system.
//!
//! The image is told to run it in place of this program (the setting `exec`), which is there only
//! to say so if it was not.

use std::process::ExitCode;

/// The program.
pub fn main() -> ExitCode {
    eprintln!(
        "dns: nothing is run: the image is to be given a root with dnsmasq in it and \
         exec=/usr/sbin/dnsmasq, as `cargo rumprun service dns` writes it"
    );
    ExitCode::FAILURE
}
