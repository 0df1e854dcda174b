//! `no`: taking choices back.
//!
//! What attached to something removed is dropped silently, while what never had a
//! parent is an error; so removed instances are remembered.

use super::choose::split;
use super::error::Position;
use super::model::*;
use super::syntax::*;

impl Model {
    pub(super) fn remove(&mut self, at: &Position, removal: &Removal, quiet: bool) {
        match removal {
            Removal::KernelOnly => {}
            Removal::Attribute(name) => {
                let id = self.mention(name);
                self.deselect(id);
            }
            Removal::Options(names) | Removal::FileSystems(names) => {
                for name in names {
                    if !self.selected.remove(&name.to_ascii_lowercase()) && !quiet {
                        self.complain(at, format!("`{name}` is not chosen"));
                    }
                }
            }
            Removal::PseudoDevice(name) => self.remove_pseudo(at, name, quiet),
            Removal::Device(name) => self.remove_device(at, name, quiet),
            Removal::Attachment { name, at: place } => {
                let found = self
                    .live()
                    .find(|(_, i)| i.name == *name && i.at == *place && i.state != State::Broken)
                    .map(|(id, _)| id);
                match found {
                    Some(id) => self.remove_instances(vec![id]),
                    None if quiet => {}
                    None => {
                        let place = place.as_deref().unwrap_or("root");
                        self.complain(at, format!("`{name} at {place}` is not chosen"));
                    }
                }
            }
            Removal::Children { at: place } => self.remove_children(at, place.as_deref()),
        }
    }

    fn remove_pseudo(&mut self, at: &Position, name: &str, quiet: bool) {
        let Some(&id) = self.device_names.get(name) else {
            if !quiet {
                self.complain(at, format!("there is no pseudo-device `{name}`"));
            }
            return;
        };
        if !self.devices[id].is_pseudo() {
            return self.complain(at, format!("`{name}` is a device, not a pseudo-device"));
        }
        if let Some(index) = self.pseudo.iter().position(|&known| known == id) {
            self.pseudo.remove(index);
            self.devices[id].units = 0;
            self.removed_pseudo.insert(id);
        }
    }

    /// `no wm*` takes one name back, `no wm` all units.
    fn remove_device(&mut self, at: &Position, name: &str, quiet: bool) {
        if split(name).is_some() {
            let ids: Vec<_> = self
                .live()
                .filter(|(_, i)| i.name == name)
                .map(|(id, _)| id)
                .collect();
            if ids.is_empty() && !quiet {
                self.complain(at, format!("`{name}` is not chosen"));
            }
            return self.remove_instances(ids);
        }
        let Some(&device) = self.device_names.get(name) else {
            return self.complain(at, format!("there is no device `{name}`"));
        };
        if self.devices[device].is_pseudo() {
            return self.complain(at, format!("`{name}` is a pseudo-device"));
        }
        self.remove_instances_of(device);
    }

    fn remove_instances_of(&mut self, device: DeviceId) {
        let ids = self
            .live()
            .filter(|(_, i)| i.device == device)
            .map(|(id, _)| id)
            .collect();
        self.remove_instances(ids);
    }

    fn remove_children(&mut self, at: &Position, place: Option<&str>) {
        let Some(place) = place else {
            let ids = self
                .live()
                .filter(|(_, i)| i.at.is_none())
                .map(|(id, _)| id)
                .collect();
            return self.remove_instances(ids);
        };
        let split = split(place);
        let base = split.map_or(place, |(base, _)| base);
        let Some(&attribute) = self.attribute_names.get(base) else {
            return self.complain(at, format!("there is no `{base}` to attach to"));
        };
        if self.attributes[attribute].interface.is_none() {
            return self.complain(at, format!("nothing can attach to `{base}`"));
        }
        let device = self.device_names.get(base).copied();
        let ids = self
            .live()
            .filter(|(_, i)| {
                let Some(parent) = i.parent.map(|id| self.parents[id]) else {
                    return false;
                };
                self.attributes[attribute].children.contains(&i.device)
                    && match (split, device) {
                        // With a unit, only what is written the same way.
                        (Some(_), _) => i.at.as_deref() == Some(place),
                        (None, Some(_)) => parent.device == device,
                        (None, None) => parent.interface == attribute,
                    }
            })
            .map(|(id, _)| id)
            .collect();
        self.remove_instances(ids);
    }

    fn remove_instances(&mut self, ids: Vec<InstanceId>) {
        for id in ids {
            let instance = &mut self.instances[id];
            if instance.state == State::Broken {
                continue;
            }
            instance.removed = Some(self.removals);
            self.removals += 1;
            let device = &mut self.devices[instance.device];
            for (_, same) in &mut device.instances {
                same.retain(|&known| known != id);
            }
            device.instances.retain(|(_, same)| !same.is_empty());
            let names = device.instances.iter().map(|(name, _)| split(name));
            device.units = names
                .map(|unit| {
                    if let Some((_, Unit::Number(n))) = unit {
                        n.saturating_add(1)
                    } else {
                        0
                    }
                })
                .max()
                .unwrap_or(0);
        }
    }

    /// `no select`: also what depends on the attribute, and the devices that have it.
    fn deselect(&mut self, attribute: AttributeId) {
        let mut seen = std::collections::BTreeSet::new();
        let mut open = vec![attribute];
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let name = self.attributes[id].name.clone();
            self.selected.remove(&name);
            let dependents = self.attributes.iter().enumerate();
            open.extend(
                dependents
                    .filter(|(_, a)| a.depends.contains(&id))
                    .map(|(other, _)| other),
            );
            for device in 0..self.devices.len() {
                let Device {
                    attributes,
                    invented,
                    ..
                } = &self.devices[device];
                if *invented || !attributes.contains(&id) {
                    continue;
                }
                if let Some(index) = self.pseudo.iter().position(|&known| known == device) {
                    self.pseudo.remove(index);
                    self.devices[device].units = 0;
                    self.removed_pseudo.insert(device);
                }
                self.remove_instances_of(device);
                open.extend(self.attribute_names.get(&self.devices[device].name));
            }
        }
    }
}
