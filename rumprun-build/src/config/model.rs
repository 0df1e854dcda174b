//! What a description says once it is read: attributes, devices, attachments, the
//! instances asked for, and the files that implement them.
//!
//! config(1)'s vocabulary: an *attribute* is a property; an *interface attribute* is
//! one that devices can attach to, with the locators that say where; a *device* is a
//! driver; an *attachment* is the code that finds it at some interface; an *instance*
//! is one row of the configuration; a *parent spec* is what an instance attaches to.
//! Everything lives in vectors and is named by index, in order of first mention,
//! because the order of the tables follows it.

use super::error::{Complaint, ComplaintKind, Position};
use super::syntax::{Condition, DeviceKind, Locator, MakeOption, OptionDefinition, OptionKind};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Index of an attribute.
pub(super) type AttributeId = usize;
/// Index of a device.
pub(super) type DeviceId = usize;
/// Index of an attachment.
pub(super) type AttachmentId = usize;
/// Index of an instance.
pub(super) type InstanceId = usize;
/// Index of a parent spec.
pub(super) type ParentId = usize;

/// A property that devices have, need or offer.
#[derive(Debug, Default)]
pub(super) struct Attribute {
    pub name: String,
    /// The locators, if devices can attach here.
    pub interface: Option<Vec<Locator>>,
    pub depends: Vec<AttributeId>,
    /// `DV_...`, if this is a device class.
    pub class: Option<String>,
    /// The devices that can attach here.
    pub children: BTreeSet<DeviceId>,
}

/// A driver.
#[derive(Debug)]
pub(super) struct Device {
    pub name: String,
    /// Made up by `pseudo-root` for an interface, not defined by the description.
    pub invented: bool,
    /// `None` until it is defined; it may be mentioned before.
    pub kind: Option<DeviceKind>,
    pub defined_at: Position,
    /// Last named first, an interface of its own before all: the order of the tables.
    pub attributes: Vec<AttributeId>,
    pub attachments: Vec<AttachmentId>,
    /// Its instances by name (`wm*`, `wm0`), in order of first mention.
    pub instances: Vec<(String, Vec<InstanceId>)>,
    /// One more than the highest unit.
    pub units: i32,
}

impl Device {
    pub fn is_pseudo(&self) -> bool {
        matches!(
            self.kind,
            Some(DeviceKind::Pseudo | DeviceKind::PseudoDriver)
        )
    }
}

/// How a device is found at its parents.
#[derive(Debug)]
pub(super) struct Attachment {
    pub name: String,
    pub device: Option<DeviceId>,
    pub defined_at: Position,
    /// Where; `None` is the root.
    pub at: Vec<Option<AttributeId>>,
    pub attributes: Vec<AttributeId>,
}

/// The unit in a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// `*`: as many as there are.
    Star,
    /// `?`: any.
    Any,
    Number(i32),
}

/// Whether an instance can come to life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing it could attach to was found yet.
    Orphan,
    Active,
    /// What it would attach to was removed by `no`.
    Ignored,
    /// Its line has a mistake that was complained about.
    Broken,
}

/// One row of the configuration.
#[derive(Debug)]
pub(super) struct Instance {
    pub name: String,
    pub unit: Unit,
    pub device: DeviceId,
    /// As written; `None` is the root.
    pub at: Option<String>,
    pub parent: Option<ParentId>,
    pub attachment: Option<AttachmentId>,
    /// In the order of the interface's locators.
    pub locators: Vec<String>,
    pub flags: i32,
    pub position: Position,
    pub state: State,
    /// `pseudo-root`: it is there only so that others can attach to it.
    pub pseudo_root: bool,
    /// How many instances had been removed when this one was made.
    pub level: usize,
    /// How many had been removed before this one was.
    pub removed: Option<usize>,
}

/// What instances attach to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent {
    pub interface: AttributeId,
    /// A certain device that offers it.
    pub device: Option<DeviceId>,
    pub unit: Unit,
}

/// A source or object file, and when it is part of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct File {
    /// Relative to `sys`, with the prefix in effect.
    pub path: String,
    /// Which names must be selected; `None` is always.
    pub condition: Option<Condition>,
    /// A header `NAME.h` with the number of units of each name is wanted.
    pub needs_count: bool,
    /// A header `NAME.h` that says which names are selected is wanted.
    pub needs_flag: bool,
    /// A make rule instead of the usual one.
    pub rule: Option<String>,
    /// An object file rather than a source.
    pub object: bool,
    /// Where the description names it.
    pub at: Position,
}

/// An option that a header is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionFile {
    /// The header, `opt_NAME.h` unless said otherwise.
    pub header: String,
    /// Flag or parameter.
    pub kind: OptionKind,
    /// It exists only to be complained about.
    pub obsolete: bool,
    /// Its name and default.
    pub option: OptionDefinition,
}

/// A device's numbers in the device switch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceMajor {
    /// The device.
    pub name: String,
    /// As a character device.
    pub character: Option<i32>,
    /// As a block device.
    pub block: Option<i32>,
    /// When it is there.
    pub condition: Option<Condition>,
}

/// A description, read and resolved. See [`super::read`].
#[derive(Debug)]
pub struct Model {
    pub(super) name: String,
    pub(super) version: i32,
    pub(super) attributes: Vec<Attribute>,
    pub(super) attribute_names: BTreeMap<String, AttributeId>,
    pub(super) devices: Vec<Device>,
    pub(super) device_names: HashMap<String, DeviceId>,
    pub(super) attachments: Vec<Attachment>,
    pub(super) attachment_names: HashMap<String, AttachmentId>,
    pub(super) instances: Vec<Instance>,
    pub(super) parents: Vec<Parent>,
    /// Pseudo-devices asked for, in order.
    pub(super) pseudo: Vec<DeviceId>,
    pub(super) removed_pseudo: BTreeSet<DeviceId>,
    /// Devices that attach at the root, pretended roots included.
    pub(super) roots: BTreeSet<DeviceId>,
    pub(super) removals: usize,
    pub(super) selected: BTreeSet<String>,
    pub(super) file_systems: BTreeSet<String>,
    pub(super) prefixes: Vec<String>,
    pub(super) build_prefixes: Vec<String>,
    pub(super) files: Vec<File>,
    pub(super) file_names: HashMap<String, usize>,
    pub(super) options: Vec<OptionFile>,
    pub(super) option_names: HashMap<String, usize>,
    pub(super) make_options: Vec<MakeOption>,
    pub(super) majors: Vec<DeviceMajor>,
    pub(super) complaints: Vec<Complaint>,
}

impl Model {
    pub(super) fn new() -> Self {
        let mut model = Self {
            name: String::new(),
            version: 0,
            attributes: Vec::new(),
            attribute_names: BTreeMap::new(),
            devices: Vec::new(),
            device_names: HashMap::new(),
            attachments: Vec::new(),
            attachment_names: HashMap::new(),
            instances: Vec::new(),
            parents: Vec::new(),
            pseudo: Vec::new(),
            removed_pseudo: BTreeSet::new(),
            roots: BTreeSet::new(),
            removals: 0,
            selected: BTreeSet::new(),
            file_systems: BTreeSet::new(),
            prefixes: Vec::new(),
            build_prefixes: Vec::new(),
            files: Vec::new(),
            file_names: HashMap::new(),
            options: Vec::new(),
            option_names: HashMap::new(),
            make_options: Vec::new(),
            majors: Vec::new(),
            complaints: Vec::new(),
        };
        // Every kernel has this one.
        model.mention("netbsd");
        model.selected.insert("netbsd".into());
        model
    }

    /// The component's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Mistakes in the description; the lines concerned were left out.
    pub fn complaints(&self) -> &[Complaint] {
        &self.complaints
    }

    /// Every file of the description, in order.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The files whose condition holds for what is selected. One that needs a count
    /// counts as config(1) counts: its device must have units.
    pub fn selected_files(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| match &file.condition {
            None => true,
            Some(condition) if file.needs_count => condition.holds(&|name| self.count(name) > 0),
            Some(condition) => condition.holds(&|name| self.selected.contains(name)),
        })
    }

    /// The names of the selected attributes, devices, attachments and options.
    pub fn selected(&self) -> &BTreeSet<String> {
        &self.selected
    }

    /// One more than the highest unit of a device asked for by number.
    pub fn count(&self, device: &str) -> i32 {
        self.device_names
            .get(device)
            .map_or(0, |&id| self.devices[id].units)
    }

    /// The options of the description, each with its header.
    pub fn options(&self) -> &[OptionFile] {
        &self.options
    }

    /// Its make options.
    pub fn make_options(&self) -> &[MakeOption] {
        &self.make_options
    }

    /// Its device numbers.
    pub fn majors(&self) -> &[DeviceMajor] {
        &self.majors
    }

    /// The locators of an interface attribute.
    pub fn locators(&self, interface: &str) -> Option<&[Locator]> {
        self.attributes[*self.attribute_names.get(interface)?]
            .interface
            .as_deref()
    }

    pub(super) fn complain(&mut self, at: &Position, text: impl Into<String>) {
        self.complaints.push(Complaint {
            at: at.clone(),
            kind: ComplaintKind::Meaning,
            text: text.into(),
        });
    }

    /// The attribute of this name, made if it is new.
    pub(super) fn mention(&mut self, name: &str) -> AttributeId {
        if let Some(&id) = self.attribute_names.get(name) {
            return id;
        }
        let id = self.attributes.len();
        self.attributes.push(Attribute {
            name: name.into(),
            ..Attribute::default()
        });
        self.attribute_names.insert(name.into(), id);
        id
    }

    /// Selects an attribute and all that it depends on.
    pub(super) fn select(&mut self, attribute: AttributeId) {
        let mut seen = BTreeSet::new();
        let mut open = vec![attribute];
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                self.selected.insert(self.attributes[id].name.clone());
                open.extend(&self.attributes[id].depends);
            }
        }
    }

    /// The instances that are still there.
    pub(super) fn live(&self) -> impl Iterator<Item = (InstanceId, &Instance)> {
        self.instances
            .iter()
            .enumerate()
            .filter(|(_, instance)| instance.removed.is_none())
    }

    /// Does the instance get rows in the tables?
    pub(super) fn is_emitted(&self, id: InstanceId) -> bool {
        let instance = &self.instances[id];
        instance.removed.is_none() && !instance.pseudo_root && instance.state == State::Active
    }

    /// Does anything of this attachment get rows in the tables?
    pub(super) fn attachment_is_used(&self, id: AttachmentId) -> bool {
        self.instances
            .iter()
            .enumerate()
            .any(|(instance, i)| i.attachment == Some(id) && self.is_emitted(instance))
    }

    /// Does the device get a driver structure?
    pub(super) fn device_is_used(&self, id: DeviceId) -> bool {
        let device = &self.devices[id];
        match device.kind {
            Some(DeviceKind::PseudoDriver) => self.pseudo.contains(&id),
            Some(DeviceKind::Pseudo) => false,
            _ => device
                .attachments
                .iter()
                .any(|&at| self.attachment_is_used(at)),
        }
    }
}
