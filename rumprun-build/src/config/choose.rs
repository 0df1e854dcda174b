//! The choosing statements: which devices the component has.

use super::error::Position;
use super::model::*;
use super::syntax::*;

/// Splits `wm0`, `wm*` or `pci?` into name and unit; a name alone has none.
pub(super) fn split(name: &str) -> Option<(&str, Unit)> {
    let (base, unit) = if let Some(base) = name.strip_suffix('*') {
        (base, Unit::Star)
    } else if let Some(base) = name.strip_suffix('?') {
        (base, Unit::Any)
    } else {
        let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
        (base, Unit::Number(name[base.len()..].parse().ok()?))
    };
    (!base.is_empty() && !base.starts_with(|c: char| c.is_ascii_digit())).then_some((base, unit))
}

impl Model {
    /// Starts an instance of the device that `name` names.
    fn new_instance(&mut self, at: &Position, name: &str) -> Option<InstanceId> {
        let Some((base, unit)) = split(name) else {
            self.complain(at, format!("`{name}` is not a device with its unit"));
            return None;
        };
        let Some(&device) = self.device_names.get(base) else {
            self.complain(at, format!("{name}: there is no device `{base}`"));
            return None;
        };
        if self.devices[device].is_pseudo() {
            self.complain(at, format!("{name}: `{base}` is a pseudo-device"));
            return None;
        }
        if let Unit::Number(unit) = unit {
            let units = &mut self.devices[device].units;
            *units = (*units).max(unit.saturating_add(1));
        }
        let id = self.instances.len();
        self.instances.push(Instance {
            name: name.into(),
            unit,
            device,
            at: None,
            parent: None,
            attachment: None,
            locators: Vec::new(),
            flags: 0,
            position: at.clone(),
            state: State::Orphan,
            pseudo_root: false,
            level: self.removals,
            removed: None,
        });
        let instances = &mut self.devices[device].instances;
        match instances.iter_mut().find(|(known, _)| known == name) {
            Some((_, same)) => same.push(id),
            None => instances.push((name.into(), vec![id])),
        }
        Some(id)
    }

    /// The interface by which `device` can attach to what `at` names, and the device
    /// that `at` names, if it names one.
    fn interface_at(
        &self,
        device: DeviceId,
        at: &str,
    ) -> Result<(AttributeId, Option<DeviceId>, Unit), String> {
        let (base, unit) = split(at)
            .ok_or_else(|| format!("`{at}` is neither a device with its unit nor `NAME?`"))?;
        let parent = self.device_names.get(base).copied();
        let takes = |id: AttributeId| self.attributes[id].children.contains(&device);
        if let Some(&id) = self.attribute_names.get(base).filter(|&&id| takes(id)) {
            return Ok((id, parent, unit));
        }
        let name = &self.devices[device].name;
        let Some(parent) = parent else {
            return Err(format!(
                "`{name}` cannot attach to `{at}`: there is no `{base}`"
            ));
        };
        match self.devices[parent]
            .attributes
            .iter()
            .find(|&&id| takes(id))
        {
            Some(&id) => Ok((id, Some(parent), unit)),
            None => Err(format!("`{name}` cannot attach to `{base}`")),
        }
    }

    /// `X* at Y? loc val flags n`. A device with several attachments for the same
    /// interface gets an instance for each.
    pub(super) fn choose(&mut self, at: &Position, statement: &InstanceStatement) {
        let InstanceStatement {
            name,
            at: place,
            locators,
            flags,
        } = statement;
        let Some(first) = self.new_instance(at, name) else {
            return;
        };
        let device = self.instances[first].device;
        self.instances[first].at.clone_from(place);
        let parent = match place
            .as_deref()
            .map(|place| self.interface_at(device, place))
        {
            None => None,
            Some(Ok((interface, device, unit))) => Some(Parent {
                interface,
                device,
                unit,
            }),
            Some(Err(text)) => {
                self.instances[first].state = State::Broken;
                return self.complain(at, text);
            }
        };
        let interface = parent.map(|parent| parent.interface);
        let attachments: Vec<_> = self.devices[device]
            .attachments
            .iter()
            .copied()
            .filter(|&id| self.attachments[id].at.contains(&interface))
            .collect();
        if self.devices[device].attachments.is_empty() {
            // An orphan then, which stops everything.
            return;
        }
        if attachments.is_empty() {
            self.instances[first].state = State::Broken;
            let place = place.as_deref().unwrap_or("the root");
            return self.complain(at, format!("`{name}` cannot attach to {place}"));
        }
        let Some(values) = self.locator_values(at, name, interface, locators) else {
            self.instances[first].state = State::Broken;
            return;
        };
        let parent = parent.map(|parent| {
            self.parents
                .iter()
                .position(|&known| known == parent)
                .unwrap_or_else(|| {
                    self.parents.push(parent);
                    self.parents.len() - 1
                })
        });
        for (index, attachment) in attachments.into_iter().enumerate() {
            let id = if index == 0 {
                Some(first)
            } else {
                self.new_instance(at, name)
            };
            let Some(id) = id else { return };
            let instance = &mut self.instances[id];
            instance.at.clone_from(place);
            instance.parent = parent;
            instance.attachment = Some(attachment);
            instance.locators.clone_from(&values);
            instance.flags = *flags;
        }
    }

    /// The locators in the interface's order: given, or defaulted. `None` if one that
    /// must be given is not.
    fn locator_values(
        &mut self,
        at: &Position,
        name: &str,
        interface: Option<AttributeId>,
        given: &[(String, Option<String>)],
    ) -> Option<Vec<String>> {
        let wanted = interface
            .and_then(|id| self.attributes[id].interface.clone())
            .unwrap_or_default();
        let mut used = vec![false; given.len()];
        let (mut values, mut missing, mut without_default) = (Vec::new(), Vec::new(), Vec::new());
        for locator in &wanted {
            // The last one counts.
            let found = given.iter().rposition(|(name, _)| *name == locator.name);
            if let Some(index) = found {
                used[index] = true;
            } else if !locator.optional {
                missing.push(locator.name.as_str());
                continue;
            }
            let value = found
                .and_then(|index| given[index].1.as_ref())
                .or(locator.default.as_ref());
            match value {
                Some(value) => values.push(value.clone()),
                None => without_default.push(locator.name.as_str()),
            }
        }
        let extra: Vec<_> = given
            .iter()
            .zip(&used)
            .filter(|(_, used)| !**used)
            .map(|((n, _), _)| n.as_str())
            .collect();
        if !extra.is_empty() {
            self.complain(at, format!("{name}: no such locator: {}", extra.join(", ")));
        }
        if !missing.is_empty() {
            self.complain(
                at,
                format!("{name}: a locator must be given: {}", missing.join(", ")),
            );
        }
        if !without_default.is_empty() {
            let list = without_default.join(", ");
            self.complain(
                at,
                format!("{name}: a locator has no default, so it cannot be `?`: {list}"),
            );
        }
        (missing.is_empty() && without_default.is_empty()).then_some(values)
    }

    pub(super) fn choose_pseudo(&mut self, at: &Position, name: &str, count: i32) {
        let Some(&id) = self.device_names.get(name) else {
            return self.complain(at, format!("there is no pseudo-device `{name}`"));
        };
        if !self.devices[id].is_pseudo() {
            return self.complain(at, format!("`{name}` is a device, not a pseudo-device"));
        }
        if self.pseudo.contains(&id) {
            return self.complain(at, format!("pseudo-device `{name}` is chosen already"));
        }
        self.devices[id].units = self.devices[id].units.max(count);
        self.pseudo.push(id);
    }

    /// `pseudo-root`: pretend that a device, or something with an interface, is there.
    pub(super) fn choose_root(&mut self, at: &Position, name: &str) {
        let Some((base, unit)) = split(name) else {
            return self.complain(at, format!("`{name}` is not a device with its unit"));
        };
        let mut name = name.to_owned();
        if !self.device_names.contains_key(base) {
            let interface = self.attribute_names.get(base).copied();
            let Some(interface) = interface.filter(|&id| self.attributes[id].interface.is_some())
            else {
                return self.complain(
                    at,
                    format!("pseudo-root `{name}`: there is no such device or interface"),
                );
            };
            // A device that offers the interface and is never written out.
            let invented = format!("{base}_devattrs");
            name = match unit {
                Unit::Number(unit) => format!("{invented}{unit}"),
                Unit::Star | Unit::Any => format!("{invented}*"),
            };
            let Some(device) = self.mention_device(at, &invented) else {
                return;
            };
            self.devices[device].kind = Some(DeviceKind::Device);
            self.devices[device].invented = true;
            self.devices[device].attributes = vec![interface];
        }
        if let Some(id) = self.new_instance(at, &name) {
            let instance = &mut self.instances[id];
            instance.pseudo_root = true;
            let device = instance.device;
            self.roots.insert(device);
        }
    }

    pub(super) fn choose_options(&mut self, at: &Position, options: &[(String, Option<String>)]) {
        for (name, value) in options {
            let known = self
                .option_names
                .get(name)
                .map(|&index| &self.options[index]);
            let problem = match known {
                Some(known) if known.obsolete => Some("is obsolete"),
                Some(known) if known.kind == OptionKind::Flag && value.is_some() => {
                    Some("takes no value")
                }
                Some(known) if known.kind == OptionKind::Parameter && value.is_none() => {
                    Some("needs a value")
                }
                _ if self.file_systems.contains(name) => Some("is a file system"),
                _ => None,
            };
            match problem {
                Some(problem) => self.complain(at, format!("option `{name}` {problem}")),
                None => drop(self.selected.insert(name.to_ascii_lowercase())),
            }
        }
    }

    pub(super) fn choose_file_systems(&mut self, at: &Position, names: &[String]) {
        for name in names {
            if !self.file_systems.contains(name) {
                self.complain(at, format!("there is no file system `{name}`"));
                continue;
            }
            let attribute = self.mention(&name.to_ascii_lowercase());
            self.select(attribute);
        }
    }
}
