//! The statements of config(5), as they are written, before they mean anything.

/// A condition on what is selected, as files and makeoptions carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The name is selected.
    Selected(String),
    /// The condition does not hold.
    Not(Box<Condition>),
    /// Each of them holds.
    All(Vec<Condition>),
    /// One of them holds.
    Any(Vec<Condition>),
}

impl Condition {
    /// Does it hold, given which names do?
    pub fn holds(&self, selected: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Selected(name) => selected(name),
            Self::Not(inner) => !inner.holds(selected),
            Self::All(parts) => parts.iter().all(|part| part.holds(selected)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(selected)),
        }
    }

    /// Every name in it, left to right.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Selected(name) => vec![name],
            Self::Not(inner) => inner.names(),
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().flat_map(Condition::names).collect()
            }
        }
    }
}

/// One locator of an interface attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locator {
    /// Its name; further elements of an array are `name#1`, `name#2`, ...
    pub name: String,
    /// Its value where none is given.
    pub default: Option<String>,
    /// May a device leave it out?
    pub optional: bool,
}

/// What a `device`-like statement defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// `device`
    Device,
    /// `defpseudo`
    Pseudo,
    /// `defpseudodev`: a pseudo-device with a driver structure.
    PseudoDriver,
}

/// What an option statement defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// `defopt`: with or without a value.
    Either,
    /// `defflag`: no value.
    Flag,
    /// `defparam`: with a value.
    Parameter,
}

/// One option of `defflag`, `defparam` or `defopt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionDefinition {
    /// Its name.
    pub name: String,
    /// Its value where none is given.
    pub default: Option<String>,
    /// A value for checking configurations.
    pub lint: Option<String>,
}

/// The second operand of `makeoptions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeOption {
    /// Only if this holds.
    pub condition: Option<Condition>,
    /// The make variable.
    pub variable: String,
    /// `+=` rather than `=`.
    pub append: bool,
    /// The value.
    pub value: String,
}

/// `file` or `object`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileStatement {
    pub path: String,
    pub condition: Option<Condition>,
    pub needs_count: bool,
    pub needs_flag: bool,
    pub rule: Option<String>,
    pub object: bool,
}

/// `X* at Y? loc val flags n`, and what `no` takes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InstanceStatement {
    pub name: String,
    /// `None` is the root.
    pub at: Option<String>,
    /// Values; `None` is `?`.
    pub locators: Vec<(String, Option<String>)>,
    pub flags: i32,
}

/// What a `no` statement removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Removal {
    Attribute(String),
    Options(Vec<String>),
    FileSystems(Vec<String>),
    PseudoDevice(String),
    /// A name with or without unit.
    Device(String),
    /// One instance at one parent.
    Attachment {
        name: String,
        at: Option<String>,
    },
    /// Everything at a parent.
    Children {
        at: Option<String>,
    },
    /// Something that only a whole kernel has.
    KernelOnly,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Statement {
    Ioconf(String),
    /// `source`, `build`, `ident`, `config`, `maxusers`, `maxpartitions`: read, and of no
    /// consequence for a component.
    KernelOnly,
    Machine,
    Version(i32),
    Prefix(Option<String>),
    BuildPrefix(Option<String>),
    DeviceClass(String),
    FileSystems {
        names: Vec<String>,
    },
    Attribute {
        name: String,
        interface: Option<Vec<Locator>>,
        depends: Vec<String>,
    },
    Options {
        kind: OptionKind,
        obsolete: bool,
        header: Option<String>,
        options: Vec<OptionDefinition>,
    },
    Device {
        kind: DeviceKind,
        name: String,
        interface: Option<Vec<Locator>>,
        depends: Vec<String>,
    },
    Attach {
        device: String,
        at: Vec<Option<String>>,
        with: Option<String>,
        depends: Vec<String>,
    },
    File(FileStatement),
    DeviceMajor {
        name: String,
        character: Option<i32>,
        block: Option<i32>,
        condition: Option<Condition>,
    },
    Major(Vec<String>),
    MakeOptions(Vec<MakeOption>),
    Select(String),
    SelectFileSystems(Vec<String>),
    SelectOptions(Vec<(String, Option<String>)>),
    PseudoDevice {
        name: String,
        count: i32,
    },
    PseudoRoot(String),
    Instance(InstanceStatement),
    Remove {
        removal: Removal,
        quiet: bool,
    },
}
