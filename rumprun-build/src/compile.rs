//! Compiling many sources: in parallel, and only what changed.
//!
//! An object is current when it was made with the same command by the same compiler
//! and nothing changed that its dependency file (`-MD`) lists. Beside each object stand
//! `NAME.d` (dependencies) and `NAME.cmd`, the record: the command and the compiler
//! that made it, the size of the object, because a crash of the machine can leave it
//! short, and the date and size of every dependency, taken together. Any other date
//! counts as a change: what an archive is unpacked over gets older by it.

use crate::error::{Error, IoContext, Result};
use crate::object_file::{self, Naming};
use crate::remedy::{self, Remedy};
use crate::toolchain::Toolchain;
use crate::tree::Tree;
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

/// One source to compile.
#[derive(Debug, Clone)]
pub struct Unit {
    /// The component it belongs to, for messages.
    pub component: String,
    /// The C or assembly source.
    pub source: PathBuf,
    /// Where the object goes.
    pub object: PathBuf,
    /// Where the compiler runs; `-I.` means this folder.
    pub folder: PathBuf,
    /// All flags but input, output and dependency file.
    pub flags: Vec<String>,
    /// What happens to the symbols afterwards.
    pub naming: Naming,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Objects that were made.
    pub compiled: usize,
    /// Objects that were current.
    pub current: usize,
}

/// When a file was changed, and how long it is.
type State = (SystemTime, u64);

/// Compiles with one toolchain, remembering the states of files between calls.
#[derive(Debug)]
pub struct Compiler<'a> {
    toolchain: &'a Toolchain,
    tree: Option<&'a Tree>,
    jobs: usize,
    states: Mutex<HashMap<PathBuf, Option<State>>>,
    dependencies: Mutex<BTreeSet<PathBuf>>,
}

impl<'a> Compiler<'a> {
    /// A compiler that runs `jobs` processes at a time. The tree is where remedies
    /// look things up.
    pub fn new(toolchain: &'a Toolchain, tree: Option<&'a Tree>, jobs: usize) -> Self {
        Self {
            toolchain,
            tree,
            jobs: jobs.max(1),
            states: Mutex::default(),
            dependencies: Mutex::default(),
        }
    }

    /// Every file that the objects so far were made from.
    pub fn dependencies(&self) -> Vec<PathBuf> {
        lock(&self.dependencies).iter().cloned().collect()
    }

    /// Makes every object current.
    ///
    /// # Errors
    /// The first failure, in the order of `units`; [`Error::Compile`] has the
    /// compiler's own messages. Objects that were made before it stay.
    pub fn run(&self, units: &[Unit]) -> Result<Report> {
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None::<(usize, Error)>);
        let compiled = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.min(units.len()) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(unit) = units.get(index) else { break };
                        if lock(&failed).is_some() {
                            break;
                        }
                        match self.make_current(unit) {
                            Ok(made) => {
                                compiled.fetch_add(usize::from(made), Ordering::Relaxed);
                            }
                            Err(error) => {
                                let mut failed = lock(&failed);
                                if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                                    *failed = Some((index, error));
                                }
                            }
                        }
                    }
                });
            }
        });
        match failed
            .into_inner()
            .unwrap_or_else(|poison| poison.into_inner())
        {
            Some((_, error)) => Err(error),
            None => {
                let compiled = compiled.into_inner();
                Ok(Report {
                    compiled,
                    current: units.len() - compiled,
                })
            }
        }
    }

    /// Returns whether the object had to be made.
    fn make_current(&self, unit: &Unit) -> Result<bool> {
        let side =
            |extension: &str| PathBuf::from(format!("{}.{extension}", unit.object.display()));
        let (record, depfile) = (side("cmd"), side("d"));
        let command = format!(
            "{}\n{:?}\n{}\n",
            self.toolchain.identity(),
            unit.naming,
            unit.flags.join("\n")
        );
        if let Ok(old) = std::fs::read_to_string(&record) {
            let dependencies = read_depfile(&depfile).unwrap_or_default();
            if self.record(unit, &command, &dependencies, None) == Some(old) {
                self.note_dependencies(unit, dependencies);
                return Ok(false);
            }
        }
        // Without its record the object counts as stale, whatever happens from here on.
        let _ = std::fs::remove_file(&record);
        let started = SystemTime::now();
        let raw = side("raw");
        self.compile(unit, &raw, &depfile)?;
        let data = std::fs::read(&raw).context("reading", &raw)?;
        let renamed = object_file::rename(&raw, &data, &unit.naming)?;
        std::fs::write(&unit.object, renamed).context("writing", &unit.object)?;
        std::fs::remove_file(&raw).context("removing", &raw)?;
        let dependencies = read_depfile(&depfile)?;
        if let Some(text) = self.record(unit, &command, &dependencies, Some(started)) {
            std::fs::write(&record, text).context("writing", &record)?;
        }
        self.note_dependencies(unit, dependencies);
        Ok(true)
    }

    /// What the record of `unit` must be for its object to be current; `None` if a file
    /// is missing, or is newer than `started`: then it was edited while it compiled, and
    /// nobody knows what the compiler saw.
    fn record(
        &self,
        unit: &Unit,
        command: &str,
        dependencies: &[PathBuf],
        started: Option<SystemTime>,
    ) -> Option<String> {
        let mut hash = DefaultHasher::new();
        for path in dependencies.iter().chain([&unit.source]) {
            let state = self.state(unit.folder.join(path))?;
            if started.is_some_and(|started| state.0 > started) {
                return None;
            }
            state.hash(&mut hash);
        }
        let (_, size) = state(&unit.object)?;
        Some(format!("{command}{size} {:x}\n", hash.finish()))
    }

    fn state(&self, path: PathBuf) -> Option<State> {
        let known = lock(&self.states).get(&path).copied();
        known.unwrap_or_else(|| {
            let state = state(&path);
            lock(&self.states).insert(path, state);
            state
        })
    }

    fn compile(&self, unit: &Unit, raw: &Path, depfile: &Path) -> Result<()> {
        let mut remedies = Vec::new();
        loop {
            let mut command = self.toolchain.command();
            let source = remedies
                .iter()
                .rev()
                .find_map(Remedy::source)
                .unwrap_or(&unit.source);
            command
                .current_dir(&unit.folder)
                .args(&unit.flags)
                .args(remedies.iter().flat_map(Remedy::flags))
                .arg("-MD")
                .arg("-MF")
                .arg(depfile)
                .args(["-MT", "object", "-c", "-o"])
                .arg(raw)
                .arg(source);
            let output = command
                .output()
                .context("running", self.toolchain.identity())?;
            if output.status.success() {
                return Ok(());
            }
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            match remedy::find(unit, &message, self.tree, &remedies)? {
                Some(remedy) => {
                    if let Some(copy) = remedy.source() {
                        lock(&self.states).remove(copy);
                    }
                    remedies.push(remedy);
                }
                None => {
                    return Err(Error::Compile {
                        source_file: unit.source.clone(),
                        component: unit.component.clone(),
                        message: first_error(&message),
                        command: format!("{command:?}"),
                    });
                }
            }
        }
    }

    fn note_dependencies(&self, unit: &Unit, paths: Vec<PathBuf>) {
        let paths = paths.into_iter().chain([unit.source.clone()]);
        lock(&self.dependencies).extend(paths.filter(|path| path.is_absolute()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

fn state(path: &Path) -> Option<State> {
    let meta = path.metadata().ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

/// The compiler's messages from the first error on, at most thirty lines.
fn first_error(message: &str) -> String {
    let lines: Vec<_> = message.lines().collect();
    let start = lines
        .iter()
        .position(|line| line.contains("error:"))
        .unwrap_or(0);
    lines[start..]
        .iter()
        .take(30)
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}

/// The prerequisites in a dependency file as gcc and clang write it.
fn read_depfile(path: &Path) -> Result<Vec<PathBuf>> {
    let text = std::fs::read_to_string(path).context("reading", path)?;
    Ok(prerequisites(&text))
}

fn prerequisites(text: &str) -> Vec<PathBuf> {
    let text = text.replace("\\\n", " ");
    let list = text.split_once(':').map_or("", |(_, list)| list);
    let mut paths = Vec::new();
    let mut path = String::new();
    let mut characters = list.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if matches!(characters.peek(), Some(' ' | '\t' | '#' | '\\')) => {
                path.extend(characters.next())
            }
            '$' if characters.peek() == Some(&'$') => path.extend(characters.next()),
            space if space.is_whitespace() => {
                if !path.is_empty() {
                    paths.push(PathBuf::from(std::mem::take(&mut path)));
                }
            }
            other => path.push(other),
        }
    }
    if !path.is_empty() {
        paths.push(PathBuf::from(path));
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependency_files_are_unescaped() {
        let text = "object: /a/b.c \\\n /a/with\\ space.h /a/price$$.h \\\n  c.h\n";
        let expected = ["/a/b.c", "/a/with space.h", "/a/price$.h", "c.h"].map(PathBuf::from);
        assert_eq!(prerequisites(text), expected);
        assert_eq!(prerequisites(""), Vec::<PathBuf>::new());
    }

    #[test]
    fn messages_start_at_the_first_error() {
        let text = "In file included from a.c:1:\nb.h:2: note: hm\nb.h:3: error: no\nb.h:4: error: still no";
        assert_eq!(
            first_error(text),
            "b.h:3: error: no\nb.h:4: error: still no"
        );
    }
}
