//! The tables that `config` makes against those of the tree's own config(1).
//!
//! config(1) is built from `usr.bin/config` of each tree that `RUMP_TEST_TREES` names, in
//! a temporary folder, and run on every `.ioconf` file of the tree: those of rump
//! components and, because there are more of them, those of kernel modules. It needs cc,
//! flex, and byacc or bison.

mod normal;
mod oracle;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use normal::{compare, normal};
use oracle::Oracle;
use rumprun_build::config::{self, ComplaintKind, Error};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

/// Skips, or fails if `RUMP_TEST_REQUIRE` says that a tree must be there.
fn skip(reason: String) -> Result<Completion, Failed> {
    let required = std::env::var("RUMP_TEST_REQUIRE").unwrap_or_default();
    if required.split(',').any(|name| name == "netbsd") {
        return Err(format!("required by RUMP_TEST_REQUIRE, but {reason}").into());
    }
    Ok(Completion::ignored_with(reason))
}

/// Every file below `folder` that `wanted` takes, sorted.
fn find(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(path),
                Ok(_) if wanted(&entry.file_name().to_string_lossy()) => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// One description, both ways.
fn matches(oracle: &Oracle, sys: &Path, ioconf: &Path) -> Result<Completion, Failed> {
    let ours = match config::generate(sys, ioconf) {
        Ok(ours) => ours,
        // config(1) goes on; we say that the tree is not whole.
        Err(Error::Include { path, .. }) => {
            let reason = format!("{} is not in this tree", path.display());
            return Ok(Completion::ignored_with(reason));
        }
        Err(error) => return Err(error.to_string().into()),
    };
    let theirs = oracle.generate(sys, ioconf)?;
    compare(
        "ioconf.c",
        &normal(&ours.ioconf_c),
        &normal(&theirs.ioconf_c),
    )?;
    compare(
        "ioconf.h",
        &normal(&ours.ioconf_h),
        &normal(&theirs.ioconf_h),
    )?;
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    if sorted(&ours.locators_h) != sorted(&theirs.locators_h) {
        return Err(format!(
            "locators.h is\n{}\nnot\n{}",
            ours.locators_h, theirs.locators_h
        )
        .into());
    }
    let complaints: Vec<_> = ours
        .complaints
        .iter()
        .map(|c| c.at.file.to_path_buf())
        .collect();
    if complaints != theirs.complaints {
        let ours: Vec<_> = ours.complaints.iter().map(ToString::to_string).collect();
        return Err(format!("complaints {ours:#?}, not in {:#?}", theirs.complaints).into());
    }
    Ok(Completion::Completed)
}

/// Every `files` of the tree's devices parses: each is included by itself, so that a
/// device which two of them define does no harm.
fn files_parse(sys: &Path) -> Result<Completion, Failed> {
    let mut files = vec![sys.join("conf/files"), sys.join("rump/dev/files.rump")];
    files.extend(find(&sys.join("dev"), &|name| name.starts_with("files.")));
    let folder = tempfile::tempdir()?;
    let ioconf = folder.path().join("ALL.ioconf");
    let mut statements = 0;
    for file in &files {
        std::fs::write(
            &ioconf,
            format!("ioconf all\ninclude \"{}\"\n", file.display()),
        )?;
        let (model, _) = config::read(sys, &ioconf).map_err(|error| error.to_string())?;
        statements += model.files().len();
        let wrong = model
            .complaints()
            .iter()
            .find(|c| c.kind == ComplaintKind::Syntax);
        if let Some(complaint) = wrong {
            return Err(complaint.to_string().into());
        }
    }
    // A reader that skips everything would have nothing to complain about.
    if statements < 1000 {
        return Err(format!(
            "{} files hold only {statements} file statements",
            files.len()
        )
        .into());
    }
    Ok(Completion::Completed)
}

/// The tests of one tree; its config(1) is built in `folder` by the first that needs it.
fn trials(tree: &Path, folder: &Path) -> Vec<Trial> {
    let name = tree
        .file_name()
        .unwrap_or(tree.as_os_str())
        .to_string_lossy()
        .into_owned();
    let sys = tree.join("sys");
    let mut trials = Vec::new();
    let whole = sys.clone();
    trials.push(Trial::ignorable_test(
        format!("netbsd::{name}::every_files_parses"),
        move || files_parse(&whole),
    ));
    let oracle = Arc::new(OnceLock::new());
    for part in ["rump", "modules"] {
        for ioconf in find(&sys.join(part), &|name| name.ends_with(".ioconf")) {
            let short = ioconf
                .strip_prefix(&sys)
                .unwrap_or(&ioconf)
                .display()
                .to_string();
            let (oracle, tree, folder) = (oracle.clone(), tree.to_owned(), folder.to_owned());
            trials.push(Trial::ignorable_test(
                format!("netbsd::{name}::{short}"),
                move || match oracle.get_or_init(|| Oracle::build(&tree, &folder)) {
                    Ok(oracle) => matches(oracle, &tree.join("sys"), &ioconf),
                    Err(reason) => skip(reason.clone()),
                },
            ));
        }
    }
    trials
}

fn main() -> std::io::Result<ExitCode> {
    let arguments = Arguments::from_args();
    let folder = tempfile::tempdir()?;
    let trees = std::env::var("RUMP_TEST_TREES").unwrap_or_default();
    let mut all = Vec::new();
    for (index, tree) in trees.split(':').filter(|tree| !tree.is_empty()).enumerate() {
        let oracle = folder.path().join(index.to_string());
        std::fs::create_dir(&oracle)?;
        all.extend(trials(&Path::new(tree).canonicalize()?, &oracle));
    }
    if all.is_empty() {
        all.push(Trial::ignorable_test("netbsd::tables_match_config", || {
            skip("RUMP_TEST_TREES names no NetBSD tree".into())
        }));
    }
    Ok(libtest_mimic::run(&arguments, all).exit_code())
}
