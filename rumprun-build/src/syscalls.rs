//! The names of the system calls in a tree.
//!
//! System calls are versioned: `socket` is `rump___sysimpl_socket30` in the trees seen
//! so far, and a later NetBSD may count on. The tree's own header declares each call
//! under its plain name and renames it to the symbol that a define holds.

use crate::error::{IoContext, Result};
use std::collections::BTreeMap;
use std::path::Path;

const DEFINE: &str = "RUMP_SYS_RENAME_";
const DECLARED: &str = "rump_sys_";
const RENAMED: &str = "__RENAME(";

/// Reads `rump_syscalls.h` in `include_rump`, and maps plain names to symbols.
///
/// # Errors
/// [`crate::Error::Io`].
pub fn names(include_rump: &Path) -> Result<BTreeMap<String, String>> {
    let path = include_rump.join("rump_syscalls.h");
    let text = std::fs::read_to_string(&path).context("reading", &path)?;
    Ok(parse(&text))
}

fn parse(text: &str) -> BTreeMap<String, String> {
    let symbols: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = (words.next()? == "#define").then(|| words.next())??;
            Some((name.strip_prefix(DEFINE).map(|_| name)?, words.next()?))
        })
        .collect();
    text.split(';')
        .filter_map(|declaration| {
            let name = declaration.split_once(DECLARED)?.1.split_once('(')?.0;
            let define = declaration.split_once(RENAMED)?.1.split_once(')')?.0;
            Some((name.to_string(), (*symbols.get(define)?).to_string()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn declarations_lead_to_symbols() {
        let text = "#ifndef RUMP_SYS_RENAME_SOCKET\n\
            #define RUMP_SYS_RENAME_SOCKET rump___sysimpl_socket30\n#endif\n\
            #define RUMP_SYS_RENAME_ID_AND_PARENT rump___sysimpl_id\n#define OTHER x\n\
            int rump_sys_socket(int, int,\n\tint) __RENAME(RUMP_SYS_RENAME_SOCKET);\n\
            int rump_sys_id(void) __RENAME(RUMP_SYS_RENAME_ID_AND_PARENT);\n\
            int rump_sys_pipe(int *);\n";
        let names = super::parse(text);
        assert_eq!(
            names.get("socket").map(String::as_str),
            Some("rump___sysimpl_socket30")
        );
        assert_eq!(
            names.get("id").map(String::as_str),
            Some("rump___sysimpl_id")
        );
        assert_eq!(names.len(), 2);
    }
}
