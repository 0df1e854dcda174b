//! What is alive: from the roots down, an instance is active if something active
//! offers the interface that it attaches to. Active devices select their attributes.

use super::error::Error;
use super::model::*;

impl Model {
    /// Marks the active instances, selects what they need, and refuses orphans.
    pub(super) fn resolve(&mut self) -> Result<(), Error> {
        self.spread(State::Active);
        if self.removals > 0 || !self.removed_pseudo.is_empty() {
            self.spread(State::Ignored);
        }
        if let Some((_, orphan)) = self.live().find(|(_, i)| i.state == State::Orphan) {
            return Err(Error::Orphan {
                at: orphan.position.clone(),
                instance: orphan.name.clone(),
                parent: orphan.at.clone().unwrap_or_else(|| "root".into()),
                reason: self.why_orphan(orphan),
            });
        }
        let active: Vec<_> = self
            .live()
            .filter(|(_, i)| i.state == State::Active)
            .map(|(_, i)| (i.device, i.attachment))
            .collect();
        for (device, attachment) in active {
            self.select_device(device, attachment);
        }
        for device in self.pseudo.clone() {
            self.select_device(device, None);
        }
        Ok(())
    }

    fn why_orphan(&self, orphan: &Instance) -> String {
        let Some(parent) = orphan.parent.map(|id| self.parents[id]) else {
            return "no `attach` statement lets it attach at the root".into();
        };
        let interface = &self.attributes[parent.interface].name;
        match parent.device {
            Some(device) => format!(
                "no `{}` that offers `{interface}` is chosen (a `pseudo-root` line would pretend that there is one)",
                self.devices[device].name
            ),
            None => format!(
                "nothing that offers `{interface}` is chosen (a `pseudo-root` line would pretend that there is)"
            ),
        }
    }

    /// Gives `state` to every orphan that has a parent in it, until none is left. For
    /// [`State::Ignored`], removed instances count as parents of what was there before.
    fn spread(&mut self, state: State) {
        // Removed instances that would have been alive.
        let mut ghosts = vec![false; self.instances.len()];
        loop {
            let reached: Vec<_> = (0..self.instances.len())
                .filter(|&id| {
                    let instance = &self.instances[id];
                    let open = if instance.removed.is_some() {
                        state == State::Ignored && !ghosts[id]
                    } else {
                        instance.state == State::Orphan
                    };
                    open && self.has_parent(instance, state, &ghosts)
                })
                .collect();
            if reached.is_empty() {
                return;
            }
            for id in reached {
                if self.instances[id].removed.is_some() {
                    ghosts[id] = true;
                } else {
                    self.instances[id].state = state;
                }
            }
        }
    }

    fn has_parent(&self, instance: &Instance, state: State, ghosts: &[bool]) -> bool {
        let Some(parent) = instance.parent.map(|id| self.parents[id]) else {
            // A live one at the root is active, never ignored.
            return self.roots.contains(&instance.device) && instance.at.is_none();
        };
        let fits =
            |unit: Unit| parent.unit == Unit::Any || unit == Unit::Star || unit == parent.unit;
        (0..self.devices.len())
            .filter(|&id| parent.device.is_none_or(|device| device == id))
            .filter(|&id| self.devices[id].attributes.contains(&parent.interface))
            .any(|id| {
                if self.devices[id].is_pseudo() {
                    let removed = state == State::Ignored && self.removed_pseudo.contains(&id);
                    return removed || self.pseudo.contains(&id);
                }
                self.instances.iter().zip(ghosts).any(|(other, &ghost)| {
                    let alive = match other.removed {
                        Some(removed) => ghost && removed >= instance.level,
                        None => other.state == State::Active || other.state == state,
                    };
                    other.device == id && alive && fits(other.unit)
                })
            })
    }

    fn select_device(&mut self, device: DeviceId, attachment: Option<AttachmentId>) {
        let name = self.devices[device].name.clone();
        self.selected.insert(name.clone());
        let own = self.mention(&name);
        let mut attributes = self.devices[device].attributes.clone();
        attributes.push(own);
        if let Some(attachment) = attachment {
            self.selected
                .insert(self.attachments[attachment].name.clone());
            attributes.extend(&self.attachments[attachment].attributes);
        }
        for attribute in attributes {
            self.select(attribute);
        }
    }

    /// The class of a device that is written out.
    pub(super) fn class(&self, device: DeviceId) -> &str {
        self.devices[device]
            .attributes
            .iter()
            .find_map(|&id| self.attributes[id].class.as_deref())
            .unwrap_or("DV_DULL")
    }
}
