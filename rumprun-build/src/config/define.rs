//! The defining statements: what there is to choose from.
//!
//! A mistake leaves its statement out and is complained about, as config(1) does.

use super::error::Position;
use super::model::*;
use super::syntax::*;

impl Model {
    /// `define`; the implicit attribute of a device with an interface is made here too.
    /// False if there was one already.
    pub(super) fn define_attribute(
        &mut self,
        at: &Position,
        name: &str,
        interface: Option<Vec<Locator>>,
        depends: Vec<AttributeId>,
    ) -> bool {
        let id = self.mention(name);
        let attribute = &self.attributes[id];
        if !attribute.depends.is_empty()
            || attribute.interface.is_some()
            || attribute.class.is_some()
        {
            self.complain(at, format!("attribute `{name}` is defined already"));
            return false;
        }
        if let Some(&bad) = depends
            .iter()
            .find(|&&id| self.attributes[id].interface.is_some())
        {
            let bad = &self.attributes[bad].name;
            let text = format!("`{name}` depends on `{bad}`, which is an interface");
            self.complain(at, text);
            return false;
        }
        if self.depends_on(&depends, id) {
            self.complain(at, format!("attribute `{name}` depends on itself"));
        }
        let attribute = &mut self.attributes[id];
        attribute.depends = depends;
        attribute.interface = interface;
        true
    }

    fn depends_on(&self, from: &[AttributeId], target: AttributeId) -> bool {
        let mut seen = std::collections::BTreeSet::new();
        let mut open = from.to_vec();
        while let Some(id) = open.pop() {
            if id == target {
                return true;
            }
            if seen.insert(id) {
                open.extend(&self.attributes[id].depends);
            }
        }
        false
    }

    pub(super) fn mention_all(&mut self, names: &[String]) -> Vec<AttributeId> {
        // Last first: the order config(1) keeps and prints.
        names
            .iter()
            .map(|name| self.mention(name))
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect()
    }

    pub(super) fn define_class(&mut self, at: &Position, name: &str) {
        if !name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        {
            self.complain(
                at,
                format!("device class `{name}` is not lower-case alphanumeric"),
            );
        }
        if self.define_attribute(at, name, None, Vec::new()) {
            let id = self.mention(name);
            self.attributes[id].class = Some(format!("DV_{}", name.to_ascii_uppercase()));
        }
    }

    /// The device of this name, made if it is new.
    pub(super) fn mention_device(&mut self, at: &Position, name: &str) -> Option<DeviceId> {
        if !is_driver_name(name) {
            self.complain(at, format!("`{name}` cannot be the name of a device"));
            return None;
        }
        if let Some(&id) = self.device_names.get(name) {
            return Some(id);
        }
        let id = self.devices.len();
        self.devices.push(Device {
            name: name.into(),
            invented: false,
            kind: None,
            defined_at: at.clone(),
            attributes: Vec::new(),
            attachments: Vec::new(),
            instances: Vec::new(),
            units: 0,
        });
        self.device_names.insert(name.into(), id);
        Some(id)
    }

    pub(super) fn define_device(
        &mut self,
        at: &Position,
        kind: DeviceKind,
        name: &str,
        interface: Option<Vec<Locator>>,
        depends: &[String],
    ) {
        let Some(id) = self.mention_device(at, name) else {
            return;
        };
        let mut attributes = self.mention_all(depends);
        if self.devices[id].kind.is_some() {
            let before = &self.devices[id].defined_at;
            let text = format!("device `{name}` is defined already, at {before}");
            return self.complain(at, text);
        }
        self.devices[id].kind = Some(kind);
        if let Some(locators) = interface {
            if !self.define_attribute(at, name, Some(locators), Vec::new()) {
                return;
            }
            attributes.insert(0, self.mention(name));
        }
        let is_parent = attributes
            .iter()
            .any(|&id| self.attributes[id].interface.is_some());
        if is_parent && kind != DeviceKind::Device {
            // A pseudo-device that others attach to counts as attached at the root.
            if kind == DeviceKind::Pseudo {
                if self.version >= 20_080_610 {
                    self.complain(at, format!("pseudo-device `{name}` has an interface, it must be defined by `defpseudodev`"));
                } else {
                    self.devices[id].kind = Some(DeviceKind::PseudoDriver);
                }
            }
            self.roots.insert(id);
        }
        self.devices[id].attributes = attributes;
        self.mention(name);
    }

    fn mention_attachment(&mut self, at: &Position, name: &str) -> Option<AttachmentId> {
        if !is_driver_name(name) {
            self.complain(at, format!("`{name}` cannot be the name of an attachment"));
            return None;
        }
        if let Some(&id) = self.attachment_names.get(name) {
            return Some(id);
        }
        let id = self.attachments.len();
        self.attachments.push(Attachment {
            name: name.into(),
            device: None,
            defined_at: at.clone(),
            at: Vec::new(),
            attributes: Vec::new(),
        });
        self.attachment_names.insert(name.into(), id);
        Some(id)
    }

    pub(super) fn define_attachment(
        &mut self,
        at: &Position,
        device: &str,
        parents: &[Option<String>],
        with: Option<&str>,
        depends: &[String],
    ) {
        let Some(device_id) = self.mention_device(at, device) else {
            return;
        };
        let Some(id) = self.mention_attachment(at, with.unwrap_or(device)) else {
            return;
        };
        let attributes = self.mention_all(depends);
        if self.devices[device_id].kind.is_none() {
            return self.complain(at, format!("device `{device}` is not defined"));
        }
        if self.attachments[id].device.is_some() {
            let Attachment {
                name, defined_at, ..
            } = &self.attachments[id];
            let text = format!("attachment `{name}` is defined already, at {defined_at}");
            return self.complain(at, text);
        }
        if self.devices[device_id].is_pseudo() {
            return self.complain(
                at,
                format!("`{device}` is a pseudo-device, which cannot attach"),
            );
        }
        for &attribute in &attributes {
            let attribute = &self.attributes[attribute];
            if attribute.interface.is_some() || attribute.class.is_some() {
                let text = format!("`{}` is not a plain attribute", attribute.name);
                self.complain(at, text);
            }
        }
        let mut places = Vec::new();
        for parent in parents {
            let Some(parent) = parent else {
                self.roots.insert(device_id);
                places.push(None);
                continue;
            };
            let Some(&attribute) = self.attribute_names.get(parent) else {
                self.complain(at, format!("attribute `{parent}` is not defined"));
                continue;
            };
            if self.attributes[attribute].interface.is_none() {
                self.complain(
                    at,
                    format!("`{device}` cannot attach to `{parent}`, which is no interface"),
                );
            } else {
                self.attributes[attribute].children.insert(device_id);
            }
            places.push(Some(attribute));
        }
        let attachment = &mut self.attachments[id];
        attachment.device = Some(device_id);
        attachment.defined_at = at.clone();
        attachment.at = places;
        attachment.attributes = attributes;
        self.devices[device_id].attachments.push(id);
        let name = self.attachments[id].name.clone();
        self.mention(&name);
    }

    pub(super) fn define_file(&mut self, at: &Position, file: FileStatement) {
        let FileStatement {
            path,
            condition,
            needs_count,
            needs_flag,
            rule,
            object,
        } = file;
        if needs_count && needs_flag {
            return self.complain(at, "a file cannot need both a count and a flag");
        }
        if condition.is_none() && (needs_count || needs_flag) {
            return self.complain(at, format!("nothing to count for {path}"));
        }
        if path.starts_with('/') {
            return self.complain(at, format!("{path} is not relative to the source"));
        }
        let path = match self.prefixes.last() {
            Some(prefix) => format!("{prefix}/{path}"),
            None => path,
        };
        if let Some(&index) = self.file_names.get(&path) {
            // Another file of the description may only give a rule of its own.
            let known = &mut self.files[index];
            if rule.is_some() && condition.is_none() && !needs_flag && known.at.file != at.file {
                known.rule = rule;
                return;
            }
            let text = format!("{path} is named already, at {}", known.at);
            return self.complain(at, text);
        }
        self.file_names.insert(path.clone(), self.files.len());
        self.files.push(File {
            path,
            condition,
            needs_count,
            needs_flag,
            rule,
            object,
            at: at.clone(),
        });
    }

    pub(super) fn define_options(
        &mut self,
        at: &Position,
        kind: OptionKind,
        obsolete: bool,
        header: Option<&str>,
        options: Vec<OptionDefinition>,
    ) {
        if header.is_some_and(|name| name.contains('/') || !name.ends_with(".h")) {
            let header = header.unwrap_or_default();
            return self.complain(at, format!("`{header}` is no name for an option header"));
        }
        for option in options {
            let name = &option.name;
            if self.file_systems.contains(name) || self.option_names.contains_key(name) {
                let text = format!("file system or option `{name}` is defined already");
                self.complain(at, text);
                return;
            }
            let header = match header {
                Some(header) => header.to_owned(),
                None => format!("opt_{}.h", name.to_ascii_lowercase()),
            };
            self.option_names.insert(name.clone(), self.options.len());
            self.options.push(OptionFile {
                header,
                kind,
                obsolete,
                option,
            });
        }
    }

    pub(super) fn define_file_systems(&mut self, at: &Position, names: Vec<String>) {
        for name in names {
            if self.file_systems.contains(&name) || self.option_names.contains_key(&name) {
                return self.complain(
                    at,
                    format!("file system or option `{name}` is defined already"),
                );
            }
            self.mention(&name.to_ascii_lowercase());
            self.file_systems.insert(name);
        }
    }
}

/// A name that can be put before `_cd`, `_ca` or a unit number.
fn is_driver_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.ends_with(|c: char| c.is_ascii_digit())
}
