//! Questions about the drivers of a description, for those who choose among them.

use super::model::{Device, Model};
use super::syntax::DeviceKind;

/// A driver, as the description knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Driver<'a> {
    /// Its name, `wm`.
    pub name: &'a str,
    /// Its device class, `ifnet`.
    pub class: Option<&'a str>,
    /// The interfaces it offers to other devices.
    pub offers: Vec<&'a str>,
    /// Its attachments.
    pub attachments: Vec<Place<'a>>,
}

/// How a driver finds its devices, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place<'a> {
    /// The attachment, which is the driver's name or the one that `with` gives.
    pub attachment: &'a str,
    /// The interfaces it attaches to; `root` is the root.
    pub at: Vec<&'a str>,
}

impl Driver<'_> {
    /// Whether it attaches to `interface`.
    pub fn attaches_to(&self, interface: &str) -> bool {
        self.attachments
            .iter()
            .any(|place| place.at.contains(&interface))
    }
}

impl Model {
    /// Every driver of hardware that is defined, in the order of the description.
    pub fn drivers(&self) -> impl Iterator<Item = Driver<'_>> {
        self.devices
            .iter()
            .filter(|device| device.kind == Some(DeviceKind::Device) && !device.invented)
            .map(|device| self.describe(device))
    }

    /// The driver of this name.
    pub fn driver(&self, name: &str) -> Option<Driver<'_>> {
        let device = &self.devices[*self.device_names.get(name)?];
        let real = device.kind == Some(DeviceKind::Device) && !device.invented;
        real.then(|| self.describe(device))
    }

    /// Whether `name` is a pseudo-device, which has no hardware.
    pub fn is_pseudo_device(&self, name: &str) -> bool {
        let id = self.device_names.get(name);
        id.is_some_and(|&id| self.devices[id].is_pseudo())
    }

    fn describe<'a>(&'a self, device: &'a Device) -> Driver<'a> {
        let attributes = || device.attributes.iter().map(|&id| &self.attributes[id]);
        let interface = |id: Option<usize>| id.map_or("root", |id| &*self.attributes[id].name);
        Driver {
            name: &device.name,
            class: attributes()
                .find(|attribute| attribute.class.is_some())
                .map(|attribute| attribute.name.as_str()),
            offers: attributes()
                .filter(|attribute| attribute.interface.is_some())
                .map(|attribute| attribute.name.as_str())
                .collect(),
            attachments: device
                .attachments
                .iter()
                .map(|&id| &self.attachments[id])
                .map(|attachment| Place {
                    attachment: &attachment.name,
                    at: attachment.at.iter().map(|&id| interface(id)).collect(),
                })
                .collect(),
        }
    }
}
