//! How a program calls the kernel of its image.
//!
//! The kernel's object exports what this crate declares, each function under its name with
//! `rump_image_` before it; all else in it is local. What is behind such a name is two
//! instructions: they load the address of the kernel's function and go on at
//! `rumprun_gate`, where the crate `rumprun` takes the thread to its kernel stack, calls
//! the function, and comes back. Arguments are in registers, of which C has six.
//!
//! Which functions there are is said where they are declared, once for both sides.

/// The name that a program of an image has for a function.
#[cfg(rump_kernel = "image")]
macro_rules! image_name {
    ($name:ident) => {
        concat!("rump_image_", stringify!($name))
    };
}
#[cfg(rump_kernel = "image")]
pub(crate) use image_name;

/// Declares functions of the kernel: where the kernel of this build has them (`here`), where the
/// kernel of an image has them (`gated`), and in other builds as functions that do nothing and
/// answer `ENOSYS`, which `absent` gives the reason of.
macro_rules! functions {
    (
        here = $here:meta, gated = $gated:meta, absent = $absent:literal;
        $($(#[$meta:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*
    ) => {
        #[cfg($here)]
        unsafe extern "C" {
            $($(#[$meta])* pub fn $name($($arg: $type),*) $(-> $result)?;)*
        }
        #[cfg($gated)]
        unsafe extern "C" {
            $(
                $(#[$meta])*
                #[link_name = crate::gate::image_name!($name)]
                pub fn $name($($arg: $type),*) $(-> $result)?;
            )*
        }
        $(
            $(#[$meta])*
            ///
            /// # Safety
            #[doc = concat!($absent, ", and nothing is done with the arguments.")]
            #[cfg(not(any($here, $gated)))]
            pub unsafe extern "C" fn $name($($arg: $type),*) $(-> $result)? {
                $(let _ = $arg;)*
                $(crate::abi::ENOSYS as $result)?
            }
        )*
    };
}
pub(crate) use functions;

/// Exports functions to the program of an image, in a crate that is part of its kernel: the
/// name, and the function behind it.
#[macro_export]
#[doc(hidden)]
macro_rules! export_gates {
    ($($name:ident = $function:path;)*) => {$(
        ::core::arch::global_asm!(
            concat!(".pushsection .text.rump_image_", stringify!($name), ",\"ax\",@progbits"),
            concat!(".global rump_image_", stringify!($name)),
            concat!(".type rump_image_", stringify!($name), ",@function"),
            concat!("rump_image_", stringify!($name), ":"),
            "lea r11, [rip + {function}]",
            "jmp rumprun_gate",
            concat!(".size rump_image_", stringify!($name), ", . - rump_image_", stringify!($name)),
            ".popsection",
            function = sym $function,
        );
    )*};
}

/// The same, in this crate, which is not always part of such a kernel.
macro_rules! export {
    ($($export:tt)*) => {
        #[cfg(rump_gates)]
        $crate::export_gates! { $($export)* }
    };
}
pub(crate) use export;
