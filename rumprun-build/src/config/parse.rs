//! A line's tokens to a [`Statement`].
//!
//! config(5)'s grammar never needs more than the line, so this is plain recursive
//! descent; nesting and array sizes are bounded, because the input is a user's.

use super::cursor::{KEYWORDS, Parsed, Parser};
use super::syntax::*;
use super::token::Token;

/// Locator arrays longer than this are refused.
const ARRAY: i32 = 1024;

/// Reads the statement that `tokens` spell.
pub(super) fn parse(tokens: &[Token]) -> Parsed<Statement> {
    let mut parser = Parser::new(tokens);
    let statement = parser.statement()?;
    match parser.peek() {
        None => Ok(statement),
        Some(_) => Err(parser.expected("the end of the line")),
    }
}

impl Parser<'_> {
    fn statement(&mut self) -> Parsed<Statement> {
        let Some(Token::Word(first)) = self.peek() else {
            return Err(self.expected("a statement"));
        };
        let first = first.clone();
        if !KEYWORDS.contains(&first.as_str()) {
            return self.instance();
        }
        self.at += 1;
        match first.as_str() {
            "ioconf" => Ok(Statement::Ioconf(self.word("the component's name")?)),
            "machine" => self.machine(),
            "source" | "build" => {
                self.try_file_name()
                    .ok_or_else(|| self.expected("a folder"))?;
                Ok(Statement::KernelOnly)
            }
            "version" => Ok(Statement::Version(self.integer()?)),
            "prefix" => Ok(Statement::Prefix(self.try_file_name())),
            "buildprefix" => Ok(Statement::BuildPrefix(
                self.try_file_name().or_else(|| self.try_word()),
            )),
            "devclass" => Ok(Statement::DeviceClass(self.word("a device class")?)),
            "deffs" => {
                let names = self.words("a file system")?;
                self.depends()?;
                Ok(Statement::FileSystems { names })
            }
            "define" => Ok(Statement::Attribute {
                name: self.word("an attribute")?,
                interface: self.interface()?,
                depends: self.depends()?,
            }),
            "obsolete" => {
                let kind = if self.key("defflag") {
                    OptionKind::Flag
                } else {
                    self.need_key("defparam")?;
                    OptionKind::Parameter
                };
                self.options(kind, true)
            }
            "defopt" => self.options(OptionKind::Either, false),
            "defflag" => self.options(OptionKind::Flag, false),
            "defparam" => self.options(OptionKind::Parameter, false),
            "device" => self.device(DeviceKind::Device),
            "defpseudo" => self.device(DeviceKind::Pseudo),
            "defpseudodev" => self.device(DeviceKind::PseudoDriver),
            "attach" => self.attach(),
            "file" => self.file(false),
            "object" => self.file(true),
            "device-major" => self.device_major(),
            "major" => self.major(),
            "mkflagvar" => self.words("an option").map(|_| Statement::KernelOnly),
            "maxpartitions" => self.integer().map(|_| Statement::KernelOnly),
            "maxusers" => self.maxusers(),
            "makeoptions" => Ok(Statement::MakeOptions(self.list(Self::make_option)?)),
            "select" => Ok(Statement::Select(self.word("an attribute")?)),
            "file-system" => Ok(Statement::SelectFileSystems(
                self.list(|p| p.word("a file system"))?,
            )),
            "options" => Ok(Statement::SelectOptions(self.list(|p| {
                let name = p.word("an option")?;
                let value = if p.sign('=') { Some(p.value()?) } else { None };
                Ok((name, value))
            })?)),
            "ident" => self
                .string("the kernel's name")
                .map(|_| Statement::KernelOnly),
            "config" => self.kernel(),
            "pseudo-device" => Ok(Statement::PseudoDevice {
                name: self.word("a pseudo-device")?,
                count: if self.peek().is_some() {
                    self.integer()?
                } else {
                    1
                },
            }),
            "pseudo-root" => Ok(Statement::PseudoRoot(self.device_name()?)),
            "no" => Ok(Statement::Remove {
                removal: self.removal()?,
                quiet: false,
            }),
            "-no" => Ok(Statement::Remove {
                removal: self.removal()?,
                quiet: true,
            }),
            _ => {
                self.at -= 1;
                Err(self.expected("a statement"))
            }
        }
    }

    fn machine(&mut self) -> Parsed<Statement> {
        self.words("a machine")?;
        Ok(Statement::Machine)
    }

    fn depends(&mut self) -> Parsed<Vec<String>> {
        if self.sign(':') {
            self.list(|p| p.word("an attribute"))
        } else {
            Ok(Vec::new())
        }
    }

    fn interface(&mut self) -> Parsed<Option<Vec<Locator>>> {
        if !self.sign('{') {
            return Ok(None);
        }
        if self.sign('}') {
            return Ok(Some(Vec::new()));
        }
        let locators = self.list(Self::locator)?.concat();
        self.need_sign('}')?;
        Ok(Some(locators))
    }

    /// One locator, or all elements of an array of them.
    fn locator(&mut self) -> Parsed<Vec<Locator>> {
        let optional = self.sign('[');
        let name = self.string("a locator")?;
        let locators = if self.sign('[') {
            let length = self.integer()?;
            if !(1..=ARRAY).contains(&length) {
                return Err(format!("a locator array of {length} elements"));
            }
            self.need_sign(']')?;
            let defaults = if optional || self.peek() == Some(&Token::Sign('=')) {
                self.need_sign('=')?;
                self.need_sign('{')?;
                let values = self.list(Self::value)?;
                self.need_sign('}')?;
                values
            } else {
                Vec::new()
            };
            (0..length as usize)
                .map(|index| Locator {
                    name: element(&name, index),
                    default: Some(defaults.get(index).cloned().unwrap_or_else(|| "0".into())),
                    optional: optional || index > 0,
                })
                .collect()
        } else {
            let default = if optional || self.peek() == Some(&Token::Sign('=')) {
                self.need_sign('=')?;
                Some(self.value()?)
            } else {
                None
            };
            vec![Locator {
                name,
                default,
                optional,
            }]
        };
        if optional {
            self.need_sign(']')?;
        }
        Ok(locators)
    }

    fn options(&mut self, kind: OptionKind, obsolete: bool) -> Parsed<Statement> {
        let header = self.try_file_name();
        let mut options = Vec::new();
        while let Some(name) = self.try_word() {
            let default = if self.sign('=') {
                Some(self.value()?)
            } else {
                None
            };
            let lint = self.take(|t| (*t == Token::ColonEquals).then_some(()));
            let lint = if lint.is_some() {
                Some(self.value()?)
            } else {
                None
            };
            options.push(OptionDefinition {
                name,
                default,
                lint,
            });
        }
        if options.is_empty() {
            return Err(self.expected("an option"));
        }
        if !obsolete {
            // What an option implies matters to a whole kernel's option headers only.
            self.depends()?;
        }
        Ok(Statement::Options {
            kind,
            obsolete,
            header,
            options,
        })
    }

    fn device(&mut self, kind: DeviceKind) -> Parsed<Statement> {
        Ok(Statement::Device {
            kind,
            name: self.word("a device")?,
            interface: self.interface()?,
            depends: self.depends()?,
        })
    }

    fn attach(&mut self) -> Parsed<Statement> {
        let device = self.word("a device")?;
        self.need_key("at")?;
        let at = self.list(|p| {
            if p.key("root") {
                Ok(None)
            } else {
                p.word("an attribute or `root`").map(Some)
            }
        })?;
        let with = if self.key("with") {
            Some(self.word("an attachment")?)
        } else {
            None
        };
        Ok(Statement::Attach {
            device,
            at,
            with,
            depends: self.depends()?,
        })
    }

    fn file(&mut self, object: bool) -> Parsed<Statement> {
        let path = self
            .try_file_name()
            .ok_or_else(|| self.expected("a file"))?;
        let condition = self.optional_condition()?;
        let (mut needs_count, mut needs_flag) = (false, false);
        loop {
            if self.key("needs-flag") {
                needs_flag = true;
            } else if !object && self.key("needs-count") {
                needs_count = true;
            } else {
                break;
            }
        }
        let rule = if !object && self.key("compile-with") {
            Some(self.string("a command")?)
        } else {
            None
        };
        let file = FileStatement {
            path,
            condition,
            needs_count,
            needs_flag,
            rule,
            object,
        };
        Ok(Statement::File(file))
    }

    fn device_major(&mut self) -> Parsed<Statement> {
        let name = self.word("a device")?;
        let character = if self.key("char") {
            Some(self.integer()?)
        } else {
            None
        };
        let block = if self.key("block") {
            Some(self.integer()?)
        } else {
            None
        };
        let condition = self.optional_condition()?;
        // How /dev nodes are made is no matter of the kernel's.
        let nodes = if self.key("single") {
            true
        } else if self.key("vector") {
            self.need_sign('=')?;
            self.integer()?;
            if self.sign(':') {
                self.integer()?;
            }
            true
        } else {
            false
        };
        if nodes && self.sign(',') {
            self.need_key("linkzero")?;
        }
        Ok(Statement::DeviceMajor {
            name,
            character,
            block,
            condition,
        })
    }

    fn major(&mut self) -> Parsed<Statement> {
        self.need_sign('{')?;
        let majors = self.list(|p| {
            let name = p.word("a device")?;
            p.need_sign('=')?;
            p.integer()?;
            Ok(name)
        })?;
        self.need_sign('}')?;
        Ok(Statement::Major(majors))
    }

    /// Three numbers define the limits, one chooses.
    fn maxusers(&mut self) -> Parsed<Statement> {
        self.integer()?;
        if self.peek().is_some() {
            self.integer()?;
            self.integer()?;
        }
        Ok(Statement::KernelOnly)
    }

    fn make_option(&mut self) -> Parsed<MakeOption> {
        let start = self.at;
        let plain = self.string("a make variable").ok();
        if let Some(variable) = plain {
            if self.sign('=') {
                return Ok(MakeOption {
                    condition: None,
                    variable,
                    append: false,
                    value: self.value()?,
                });
            }
            if self.plus_equals() {
                return Ok(MakeOption {
                    condition: None,
                    variable,
                    append: true,
                    value: self.value()?,
                });
            }
        }
        self.at = start;
        let condition = Some(self.condition()?);
        let variable = self.string("a make variable")?;
        if !self.plus_equals() {
            return Err(self.expected("`+=`"));
        }
        Ok(MakeOption {
            condition,
            variable,
            append: true,
            value: self.value()?,
        })
    }

    fn plus_equals(&mut self) -> bool {
        self.take(|t| (*t == Token::PlusEquals).then_some(()))
            .is_some()
    }

    /// `config NAME root on DEVICE type FS dumps on DEVICE`
    fn kernel(&mut self) -> Parsed<Statement> {
        self.word("a kernel")?;
        self.need_key("root")?;
        self.key("on");
        self.root_device()?;
        if self.key("type") && !self.sign('?') {
            self.word("a file system")?;
        }
        while self.key("dumps") {
            self.key("on");
            self.root_device()?;
        }
        Ok(Statement::KernelOnly)
    }

    fn root_device(&mut self) -> Parsed<()> {
        if self.sign('?') {
            return Ok(());
        }
        if self.key("major") {
            self.integer()?;
            self.need_key("minor")?;
            self.integer()?;
            return Ok(());
        }
        self.string("a device").map(drop)
    }

    /// `wm0`, `wm*`
    fn device_name(&mut self) -> Parsed<String> {
        let mut name = self.word("a device")?;
        if self.sign('*') {
            name.push('*');
        }
        Ok(name)
    }

    /// `root`, `pci0`, `pci?`, `pci`
    fn parent(&mut self) -> Parsed<Option<String>> {
        if self.key("root") {
            return Ok(None);
        }
        let mut name = self.word("a parent")?;
        if self.sign('?') {
            name.push('?');
        }
        Ok(Some(name))
    }

    fn instance(&mut self) -> Parsed<Statement> {
        let name = self.device_name()?;
        self.need_key("at")?;
        let at = self.parent()?;
        let mut locators = Vec::new();
        while let Some(locator) = self.try_word() {
            if self.sign('?') {
                locators.push((locator, None));
                continue;
            }
            for (index, value) in self.list(Self::value)?.into_iter().enumerate() {
                locators.push((element(&locator, index), Some(value)));
            }
        }
        let flags = if self.key("flags") {
            self.integer()?
        } else {
            0
        };
        Ok(Statement::Instance(InstanceStatement {
            name,
            at,
            locators,
            flags,
        }))
    }

    fn removal(&mut self) -> Parsed<Removal> {
        if self.key("select") {
            return Ok(Removal::Attribute(self.word("an attribute")?));
        }
        if self.key("file-system") {
            return Ok(Removal::FileSystems(
                self.list(|p| p.word("a file system"))?,
            ));
        }
        if self.key("options") {
            return Ok(Removal::Options(self.list(|p| p.word("an option"))?));
        }
        if self.key("makeoptions") {
            self.list(|p| p.word("a make variable"))?;
            return Ok(Removal::KernelOnly);
        }
        if self.key("ident") {
            return Ok(Removal::KernelOnly);
        }
        if self.key("config") {
            self.word("a kernel")?;
            return Ok(Removal::KernelOnly);
        }
        if self.key("pseudo-device") {
            return Ok(Removal::PseudoDevice(self.word("a pseudo-device")?));
        }
        if self.key("device") {
            self.need_key("at")?;
            return Ok(Removal::Children { at: self.parent()? });
        }
        let name = self.device_name()?;
        if self.key("at") {
            return Ok(Removal::Attachment {
                name,
                at: self.parent()?,
            });
        }
        Ok(Removal::Device(name))
    }
}

/// The name of an array's element.
fn element(name: &str, index: usize) -> String {
    if index == 0 {
        name.to_owned()
    } else {
        format!("{name}#{index}")
    }
}
