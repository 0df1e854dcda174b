//! libclang, which reads the tree's headers where a constant or a layout is asked for.
//!
//! It is found and loaded the way bindgen does it, so what is told here is what a build
//! meets: `LIBCLANG_PATH` alone if it is set, else llvm-config and the usual folders.

use crate::error::{Error, Result};
use std::ffi::CStr;
use std::path::{Path, PathBuf};

/// The oldest version that bindgen works with (its book, "Requirements").
const OLDEST: u32 = 9;

/// A libclang that this thread has loaded.
#[derive(Debug, Clone)]
pub struct Libclang {
    path: PathBuf,
    version: String,
}

impl Libclang {
    /// Loads it and asks for its version.
    ///
    /// # Errors
    /// [`Error::Program`] if none can be loaded, or it is too old or something else.
    pub fn find() -> Result<Self> {
        let fail = |problem: String| Error::Program {
            program: "libclang",
            purpose: "prove the ABI against the tree's headers",
            problem,
            debian: "libclang-dev",
            fedora: "clang-devel",
            pkgsrc: "clang",
            variable: "LIBCLANG_PATH to the folder of libclang.so",
        };
        clang_sys::load().map_err(|problem| fail(format!("it could not be loaded ({problem})")))?;
        let path = clang_sys::get_library()
            .map(|library| library.path().to_path_buf())
            .unwrap_or_default();
        let version = version().ok_or_else(|| {
            fail(format!(
                "{} is another library by that name",
                path.display()
            ))
        })?;
        check(&version).map_err(|problem| fail(format!("{} {problem}", path.display())))?;
        Ok(Self { path, version })
    }

    /// The shared library.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its own words: "Debian clang version 14.0.6".
    pub fn version(&self) -> &str {
        &self.version
    }
}

#[allow(unsafe_code)]
fn version() -> Option<String> {
    if !(clang_sys::clang_getClangVersion::is_loaded()
        && clang_sys::clang_getCString::is_loaded()
        && clang_sys::clang_disposeString::is_loaded())
    {
        return None;
    }
    // SAFETY: the three functions are in the library that `load` loaded and that stays
    // loaded in this thread. The string is libclang's until it is disposed of, which is
    // done once, after the copy.
    unsafe {
        let string = clang_sys::clang_getClangVersion();
        let text = clang_sys::clang_getCString(string);
        let copy = (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned());
        clang_sys::clang_disposeString(string);
        copy
    }
}

/// A version that cannot be read is let pass; bindgen has the last word.
fn check(version: &str) -> Result<(), String> {
    let major = version.split_once("version ").and_then(|(_, number)| {
        number
            .split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse::<u32>()
            .ok()
    });
    match major {
        Some(major) if major < OLDEST => Err(format!(
            "is {}; {OLDEST} or newer is needed",
            version.trim()
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_refused() {
        for good in [
            "Debian clang version 14.0.6",
            "clang version 9.0.0 (tags/RELEASE_900/final)",
            "Apple clang version 15.0.0",
            "something else",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        let problem = check("clang version 3.9.1-9 (tags/RELEASE_391)").unwrap_err();
        assert!(problem.contains("9 or newer is needed"), "{problem}");
    }
}
