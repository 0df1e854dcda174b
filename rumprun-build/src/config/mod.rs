//! The needed part of NetBSD's config(1): from a component's `.ioconf` file and the
//! `files.*` it includes to the tables that autoconf(9) attaches devices by.
//!
//! What is followed is config(5) and config(1)'s ioconf mode. In that mode config(1)
//! prints mistakes and goes on without the line, and the trees rely on it: `files.pci`
//! attaches devices that only some ports define. So [`generate`] returns such mistakes
//! as [`Complaint`]s beside the tables, and fails only where nothing sensible is left:
//! an unreadable file, a line of the `.ioconf` file itself that does not parse, an
//! instance that can never attach.
//!
//! The same reading yields the [`Model`], which knows every `file` statement and what is
//! selected, for turning a driver without a component into one.
//!
//! Differences from config(1), all of them deliberate:
//! - a missing included file is an error (half a tree), as is a cycle of inclusions, and
//!   conditionals balance within each file and start a line;
//! - statements that only a whole kernel has (`config`, `ident`, `maxusers`) are read and
//!   ignored;
//! - `pseudo-root wm*` does not hide the row of a real `wm* at pci?` beside it;
//! - a line given twice makes one row also where the device has several attachments for
//!   the interface. Trees before 2017 refuse such devices; here each attachment gets a row;
//! - `!` applies to parentheses too.

mod choose;
mod cursor;
mod define;
mod emit;
mod error;
#[cfg(test)]
mod fuzz;
mod model;
mod outline;
mod parse;
mod query;
mod reader;
mod remove;
mod resolve;
mod syntax;
#[cfg(test)]
mod tests;
mod token;

pub use error::{Complaint, ComplaintKind, Error, Position};
pub use model::{DeviceMajor, File, Model, OptionFile};
pub use outline::Outline;
pub use query::{Driver, Place};
pub use syntax::{Condition, DeviceKind, Locator, MakeOption, OptionDefinition, OptionKind};

use reader::{Event, Line, Reader, Scope};
use std::path::{Path, PathBuf};
use syntax::Statement;

/// What config(1) would have written for a component.
#[derive(Debug)]
#[non_exhaustive]
pub struct Generated {
    /// The component's name, which the tables' names end with.
    pub name: String,
    /// The tables: `ioconf.c`.
    pub ioconf_c: String,
    /// Declarations of the drivers and pseudo-devices: `ioconf.h`.
    pub ioconf_h: String,
    /// The index of each locator: `locators.h`.
    pub locators_h: String,
    /// Every file that was read, the `.ioconf` file first: what to rebuild for.
    pub read: Vec<PathBuf>,
    /// Mistakes in the description; the lines concerned were left out.
    pub complaints: Vec<Complaint>,
}

impl Generated {
    /// The complaints about one file (the `.ioconf` file, as a rule), for callers to
    /// whom a mistake in what they wrote themselves is an error.
    pub fn complaints_in(&self, file: &Path) -> impl Iterator<Item = &Complaint> {
        self.complaints
            .iter()
            .filter(move |complaint| *complaint.at.file == *file)
    }
}

/// Makes the tables for the component that `ioconf` describes. `sys` is the tree's
/// `sys` folder, which included files are relative to.
///
/// # Errors
/// See [`Error`]; every message starts with the file and line.
pub fn generate(sys: &Path, ioconf: &Path) -> Result<Generated, Error> {
    let (model, read) = read(sys, ioconf)?;
    Ok(Generated {
        name: model.name.clone(),
        ioconf_c: model.ioconf_c(),
        ioconf_h: model.ioconf_h(),
        locators_h: model.locators_h(),
        read,
        complaints: model.complaints,
    })
}

/// Reads a component's description and works out what is selected. The second value is
/// every file that was read.
///
/// # Errors
/// As [`generate`].
pub fn read(sys: &Path, ioconf: &Path) -> Result<(Model, Vec<PathBuf>), Error> {
    let mut model = Model::new();
    let mut reader = Reader::open(sys, ioconf)?;
    let start = Position {
        file: ioconf.into(),
        line: 1,
    };
    while let Some(event) = reader.next(&model)? {
        match event {
            Event::PushPrefix(prefix) => model.prefixes.push(prefix),
            Event::PopPrefix => drop(model.prefixes.pop()),
            Event::Line(line) => model.line(line, ioconf)?,
        }
    }
    if model.name.is_empty() {
        return Err(Error::NotAComponent { at: start });
    }
    model.resolve()?;
    Ok((model, reader.read))
}

impl Scope for Model {
    fn is_attribute(&self, name: &str) -> bool {
        self.attribute_names.contains_key(name)
    }

    fn prefix(&self) -> Option<&str> {
        self.prefixes.last().map(String::as_str)
    }
}

impl Model {
    fn line(&mut self, line: Line, ioconf: &Path) -> Result<(), Error> {
        let Line { at, tokens } = line;
        let statement = match parse::parse(&tokens) {
            Ok(statement) => statement,
            // A newer tree's `files` may know statements that we do not; what the
            // component itself says must be understood.
            Err(problem) if *at.file != *ioconf => {
                let kind = ComplaintKind::Syntax;
                self.complaints.push(Complaint {
                    at,
                    kind,
                    text: problem,
                });
                return Ok(());
            }
            Err(problem) => return Err(Error::Syntax { at, problem }),
        };
        match statement {
            Statement::Ioconf(name) if self.name.is_empty() => self.name = name,
            Statement::KernelOnly => {}
            _ if self.name.is_empty() => return Err(Error::NotAComponent { at }),
            Statement::Ioconf(_) | Statement::Machine => {
                let problem = "only the first statement names what is described".into();
                return Err(Error::Syntax { at, problem });
            }
            statement => self.apply(&at, statement),
        }
        Ok(())
    }

    fn apply(&mut self, at: &Position, statement: Statement) {
        match statement {
            Statement::Ioconf(_) | Statement::Machine | Statement::KernelOnly => {}
            Statement::Version(version) => self.version = version,
            Statement::Prefix(Some(prefix)) => self.prefixes.push(prefix),
            Statement::BuildPrefix(Some(prefix)) => self.build_prefixes.push(prefix),
            Statement::Prefix(None) => {
                if self.prefixes.pop().is_none() {
                    self.complain(at, "no prefix is in effect that could end here");
                }
            }
            Statement::BuildPrefix(None) => {
                if self.build_prefixes.pop().is_none() {
                    self.complain(at, "no buildprefix is in effect that could end here");
                }
            }
            Statement::DeviceClass(name) => self.define_class(at, &name),
            Statement::FileSystems { names } => self.define_file_systems(at, names),
            Statement::Attribute {
                name,
                interface,
                depends,
            } => {
                let depends = self.mention_all(&depends);
                self.define_attribute(at, &name, interface, depends);
            }
            Statement::Options {
                kind,
                obsolete,
                header,
                options,
            } => {
                self.define_options(at, kind, obsolete, header.as_deref(), options);
            }
            Statement::Device {
                kind,
                name,
                interface,
                depends,
            } => {
                self.define_device(at, kind, &name, interface, &depends);
            }
            Statement::Attach {
                device,
                at: parents,
                with,
                depends,
            } => {
                self.define_attachment(at, &device, &parents, with.as_deref(), &depends);
            }
            Statement::File(file) => self.define_file(at, file),
            Statement::DeviceMajor {
                name,
                character,
                block,
                condition,
            } => {
                self.majors.push(DeviceMajor {
                    name,
                    character,
                    block,
                    condition,
                });
            }
            Statement::Major(majors) => {
                // Block numbers for a root device; a component has none.
                for name in majors {
                    self.mention_device(at, &name);
                }
            }
            Statement::MakeOptions(options) => self.make_options.extend(options),
            Statement::Select(name) => {
                let attribute = self.mention(&name);
                self.select(attribute);
            }
            Statement::SelectFileSystems(names) => self.choose_file_systems(at, &names),
            Statement::SelectOptions(options) => self.choose_options(at, &options),
            Statement::PseudoDevice { name, count } => self.choose_pseudo(at, &name, count),
            Statement::PseudoRoot(name) => self.choose_root(at, &name),
            Statement::Instance(instance) => self.choose(at, &instance),
            Statement::Remove { removal, quiet } => self.remove(at, &removal, quiet),
        }
    }
}
