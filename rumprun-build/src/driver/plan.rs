//! Which drivers the names stand for, and where each attaches.
//!
//! - **Up**: a driver attaches to what is named beside it; else to the parent nearest to
//!   the root, which must be only one. Parents that components of the tree attach are
//!   taken from there, the others are compiled too, until the root is reached.
//! - **Down**: a named driver with an interface of its own name (a controller, whose
//!   children know it) brings the children that have a device class (disks, network
//!   interfaces), unless some of its children are named. What else can attach there
//!   comes by name only. Shared interfaces (`mii`, `scsi`) are for the components of the
//!   tree that attach to them, which come as their symbols are needed.

use super::carried::Carrier;
use crate::component::{Component, distance};
use crate::config::{Condition, Driver, File, Model};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What is compiled, and on what it stands.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The drivers.
    pub devices: BTreeSet<String>,
    /// Driver and parent.
    pub rows: BTreeSet<(String, String)>,
    /// Parents that components attach.
    pub roots: BTreeSet<String>,
    /// Those components, and the ones they stand on.
    pub carriers: BTreeSet<Component>,
    /// The names of the attachments that are used.
    pub attachments: BTreeSet<String>,
}

impl Plan {
    /// Works it out.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub fn make(model: &Model, carriers: &[Carrier], names: &[String]) -> Result<Self> {
        let named: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let mut usable: Vec<Carrier> = carriers.to_vec();
        for &name in &named {
            check(model, carriers, name)?;
        }
        // What is compiled here may be in a component that was to be stood on.
        let mut taken: BTreeSet<String> = named.iter().map(|name| name.to_string()).collect();
        loop {
            usable.retain(|c| !c.devices.iter().any(|(device, _)| taken.contains(device)));
            let search = Search::new(model, &usable, &named);
            let plan = search.run()?;
            if plan.devices.is_subset(&taken) {
                return Ok(plan);
            }
            taken.extend(plan.devices);
        }
    }

    /// The driver that a file of the description belongs to.
    pub fn owner(&self, file: &File) -> Option<String> {
        let names = file.condition.as_ref().map(Condition::names)?;
        let own = |name: &&&str| self.devices.contains(**name) || self.attachments.contains(**name);
        names.iter().find(own).map(|name| name.to_string())
    }
}

fn failed<T>(name: &str, problem: impl Into<String>) -> Result<T> {
    Err(Error::Driver {
        name: name.into(),
        problem: problem.into(),
    })
}

/// Is it the name of a driver that can be compiled?
fn check(model: &Model, carriers: &[Carrier], name: &str) -> Result<()> {
    if model.is_pseudo_device(name) {
        return failed(
            name,
            "it is a pseudo-device, which is no driver of hardware",
        );
    }
    let Some(driver) = model.driver(name) else {
        let mut alike: Vec<_> = reachable(model, carriers)
            .into_keys()
            .filter(|other| distance(other, name) <= 1 + name.len() / 4)
            .collect();
        alike.sort_by_key(|other| distance(other, name));
        alike.truncate(5);
        let hint = match alike.as_slice() {
            [] => String::new(),
            some => format!(" (it has {})", some.join(", ")),
        };
        return failed(name, format!("this tree has no driver of that name{hint}"));
    };
    let root = |device: &str| {
        let mut rows = carriers.iter().flat_map(|carrier| &carrier.devices);
        rows.any(|(name, at)| name == device && at.is_none())
    };
    let bus = carriers
        .iter()
        .flat_map(|carrier| &carrier.devices)
        .any(|(device, at)| device == name && at.as_deref().is_none_or(root));
    if bus && !driver.offers.is_empty() {
        return failed(
            name,
            "it is a bus, which comes by itself with the drivers that attach to it",
        );
    }
    Ok(())
}

/// The devices that a rump kernel can have, with how many others are between them and
/// the root.
pub(super) fn reachable(model: &Model, carriers: &[Carrier]) -> BTreeMap<String, usize> {
    let named = BTreeSet::new();
    let search = Search::new(model, carriers, &named);
    let depths = search.depth.into_iter();
    depths
        .map(|(name, depth)| (name.to_owned(), depth))
        .collect()
}

struct Search<'a> {
    model: &'a Model,
    named: &'a BTreeSet<&'a str>,
    drivers: HashMap<&'a str, Driver<'a>>,
    /// Who offers an interface.
    offering: HashMap<&'a str, Vec<&'a str>>,
    /// Devices that components attach: the component, and where.
    carried: HashMap<&'a str, Vec<(&'a Component, Option<&'a str>)>>,
    depth: HashMap<&'a str, usize>,
}

impl<'a> Search<'a> {
    fn new(model: &'a Model, carriers: &'a [Carrier], named: &'a BTreeSet<&'a str>) -> Self {
        let mut search = Self {
            model,
            named,
            drivers: HashMap::new(),
            offering: HashMap::new(),
            carried: HashMap::new(),
            depth: HashMap::new(),
        };
        for driver in model.drivers() {
            for interface in &driver.offers {
                search
                    .offering
                    .entry(interface)
                    .or_default()
                    .push(driver.name);
            }
            search.drivers.insert(driver.name, driver);
        }
        for carrier in carriers {
            for (device, at) in &carrier.devices {
                let rows = search.carried.entry(device).or_default();
                rows.push((&carrier.component, at.as_deref()));
            }
        }
        search.measure();
        search
    }

    /// What a device can attach to. The root is an empty name.
    fn parents(&self, device: &str) -> BTreeSet<&'a str> {
        let offering = |at: &'a str| self.offering.get(at).into_iter().flatten().copied();
        if let Some(rows) = self.carried.get(device) {
            let mut parents = BTreeSet::new();
            for (_, at) in rows {
                match at {
                    None => drop(parents.insert("")),
                    Some(at) if self.drivers.contains_key(at) => drop(parents.insert(*at)),
                    Some(at) => parents.extend(offering(at)),
                }
            }
            return parents;
        }
        let places = self.drivers.get(device).into_iter();
        let places = places.flat_map(|driver| &driver.attachments);
        places
            .flat_map(|place| &place.at)
            .flat_map(|at| offering(at))
            .collect()
    }

    /// Finds how deep each device is below the root, if it can be reached at all.
    fn measure(&mut self) {
        self.depth.insert("", 0);
        let all: Vec<(&str, BTreeSet<&str>)> = self
            .drivers
            .keys()
            .map(|device| (*device, self.parents(device)))
            .collect();
        loop {
            let mut changed = false;
            for (device, parents) in &all {
                let nearest = parents
                    .iter()
                    .filter_map(|parent| self.depth.get(parent))
                    .min();
                let Some(depth) = nearest.map(|depth| depth + 1) else {
                    continue;
                };
                if self.depth.get(device).is_none_or(|known| depth < *known) {
                    self.depth.insert(device, depth);
                    changed = true;
                }
            }
            if !changed {
                self.depth.remove("");
                return;
            }
        }
    }

    fn run(&self) -> Result<Plan> {
        let mut plan = Plan::default();
        let mut seen = BTreeSet::new();
        for &name in self.named {
            self.rise(name, &mut plan, &mut seen, &mut Vec::new())?;
            for child in self.children(name) {
                self.attach(child, name, &mut plan);
            }
        }
        Ok(plan)
    }

    /// Attaches a device to its parents, and those to theirs. What is named and stands on
    /// the device itself (two bridges) is no parent of it.
    fn rise(
        &self,
        device: &'a str,
        plan: &mut Plan,
        seen: &mut BTreeSet<&'a str>,
        above: &mut Vec<&'a str>,
    ) -> Result<()> {
        if !seen.insert(device) {
            return Ok(());
        }
        let parents = self.parents(device);
        let named: Vec<&str> = parents
            .iter()
            .copied()
            .filter(|parent| self.named.contains(parent))
            .filter(|parent| *parent != device && !above.contains(parent))
            .collect();
        let nearest = parents
            .iter()
            .filter_map(|parent| self.depth.get(parent))
            .min();
        let chosen = match (named.is_empty(), nearest) {
            _ if parents.contains("") => Vec::new(),
            (false, _) => named,
            (true, Some(nearest)) => parents
                .iter()
                .copied()
                .filter(|parent| self.depth.get(parent) == Some(nearest))
                .collect(),
            (true, None) => return self.unreachable(device),
        };
        if named_is_missing(&chosen, self.named) && chosen.len() > 1 {
            let mut list = chosen;
            list.sort_unstable();
            return failed(
                device,
                format!("it attaches to {}: name one of them, too", list.join(", ")),
            );
        }
        above.push(device);
        for parent in chosen {
            self.rise(parent, plan, seen, above)?;
            if !self.carried.contains_key(device) {
                self.attach(device, parent, plan);
            }
        }
        above.pop();
        let carriers = self.carried.get(device).into_iter().flatten();
        plan.carriers
            .extend(carriers.map(|(component, _)| (*component).clone()));
        Ok(())
    }

    fn attach(&self, device: &str, parent: &str, plan: &mut Plan) {
        plan.devices.insert(device.into());
        plan.rows.insert((device.into(), parent.into()));
        if self.carried.contains_key(parent) {
            plan.roots.insert(parent.into());
        }
        let offers = self
            .drivers
            .get(parent)
            .map_or(&[][..], |parent| &parent.offers);
        let places = self.drivers.get(device).into_iter();
        let places = places.flat_map(|driver| &driver.attachments);
        let used = places.filter(|place| place.at.iter().any(|at| offers.contains(at)));
        plan.attachments
            .extend(used.map(|place| place.attachment.to_owned()));
    }

    /// The disks and interfaces behind a controller, if none of its children is named.
    fn children(&self, parent: &str) -> Vec<&'a str> {
        let attached: Vec<_> = self
            .drivers
            .values()
            .filter(|driver| driver.attaches_to(parent))
            .collect();
        let own = self
            .offering
            .get(parent)
            .is_some_and(|by| by.contains(&parent));
        if !own
            || attached
                .iter()
                .any(|driver| self.named.contains(driver.name))
        {
            return Vec::new();
        }
        attached
            .into_iter()
            .filter(|driver| driver.class.is_some())
            .map(|driver| driver.name)
            .collect()
    }

    fn unreachable(&self, device: &str) -> Result<()> {
        let wanted: BTreeSet<&str> = self
            .drivers
            .get(device)
            .into_iter()
            .flat_map(|driver| &driver.attachments)
            .flat_map(|place| place.at.iter().copied())
            .collect();
        let buses: BTreeSet<&str> = self
            .carried
            .keys()
            .filter(|name| self.depth.contains_key(*name))
            .filter_map(|name| self.drivers.get(name))
            .flat_map(|driver| driver.offers.iter().copied())
            .filter(|interface| {
                let mut drivers = self.model.drivers();
                drivers.any(|driver| driver.attaches_to(interface))
            })
            .collect();
        let list = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
        let wanted = match wanted.is_empty() {
            true => "to nothing".into(),
            false => format!("to {}", list(wanted)),
        };
        failed(
            device,
            format!(
                "it attaches {wanted}, which a rump kernel of this tree does not have (it has {})",
                list(buses)
            ),
        )
    }
}

/// Whether none of `chosen` was named: then there must be only one.
fn named_is_missing(chosen: &[&str], named: &BTreeSet<&str>) -> bool {
    !chosen.iter().any(|parent| named.contains(parent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use proptest::prelude::*;
    use std::sync::OnceLock;

    const FILES: &str = "\
devclass\tdisk
devclass\tifnet
define\tbus {[slot = -1]}
define\tdeep {[slot = -1]}
define\tring {}
device\tmain: bus
attach\tmain at root
device\tbridge: bus, deep
attach\tbridge at bus
device\ttwin: bus
attach\ttwin at bus
device\tnic: ifnet
attach\tnic at bus, deep
device\tlow: ifnet
attach\tlow at deep
device\tctl {}
attach\tctl at bus
device\tctm {}
attach\tctm at bus
device\tld: disk
attach\tld at ctl with ld_ctl
attach\tld at ctm with ld_ctm
device\tfan
attach\tfan at ctl
device\tlost: ring
attach\tlost at ring
device\tnone
defpseudo loop
";
    const NAMES: &[&str] = &[
        "main", "bridge", "twin", "nic", "low", "ctl", "ctm", "ld", "fan", "lost", "none", "loop",
        "nik", "bus",
    ];

    fn model() -> &'static Model {
        static MODEL: OnceLock<Model> = OnceLock::new();
        MODEL.get_or_init(|| {
            let dir = tempfile::tempdir().expect("a folder");
            let path = dir.path().join("X.ioconf");
            std::fs::write(&path, format!("ioconf x\n{FILES}")).expect("a file");
            config::read(dir.path(), &path).expect("a description").0
        })
    }

    fn carriers() -> Vec<Carrier> {
        let of = |name: &str, device: &str, at: Option<&str>| {
            let component = Component {
                name: name.into(),
                folder: name.into(),
                faction: false,
            };
            Carrier::new(component, vec![(device.into(), at.map(String::from))])
        };
        vec![
            of("main", "main", None),
            of("ctm", "ctm", Some("bus")),
            of("ld", "ld", Some("ctm")),
        ]
    }

    fn plan(names: &[&str]) -> Result<Plan> {
        let names: Vec<_> = names.iter().map(|name| name.to_string()).collect();
        Plan::make(model(), &carriers(), &names)
    }

    fn rows(names: &[&str]) -> Vec<String> {
        let plan = plan(names).unwrap_or_else(|error| panic!("{names:?}: {error}"));
        plan.rows
            .iter()
            .map(|(device, parent)| format!("{device} at {parent}"))
            .collect()
    }

    #[test]
    fn parents_are_the_nearest_or_the_named() {
        assert_eq!(rows(&["nic"]), ["nic at main"]);
        assert_eq!(rows(&["low"]), ["bridge at main", "low at bridge"]);
        assert_eq!(
            rows(&["nic", "bridge"]),
            ["bridge at main", "nic at bridge"]
        );
        assert_eq!(rows(&["fan"]), ["ctl at main", "fan at ctl"]);
        assert_eq!(
            rows(&["bridge", "twin"]),
            ["bridge at twin", "twin at main"]
        );
    }

    #[test]
    fn children_are_disks_and_interfaces_or_the_named() {
        assert_eq!(rows(&["ctl"]), ["ctl at main", "ld at ctl"]);
        assert_eq!(rows(&["ctl", "fan"]), ["ctl at main", "fan at ctl"]);
        // Both components that have one of these are left out.
        assert_eq!(rows(&["ctm"]), ["ctm at main", "ld at ctm"]);
        let plan = plan(&["nic"]).expect("a plan");
        assert_eq!(plan.roots, ["main".to_string()].into());
    }

    proptest! {
        /// Whatever is named: an error about one of the names, or rows that hang
        /// together, from the names to what components attach.
        #[test]
        fn any_names(names in prop::collection::vec(prop::sample::select(NAMES), 0..6)) {
            let plan = match plan(&names) {
                Ok(plan) => plan,
                Err(Error::Driver { name, .. }) => {
                    assert!(NAMES.contains(&&*name), "{name}");
                    return Ok(());
                }
                Err(error) => panic!("{error}"),
            };
            for name in names {
                assert!(plan.devices.contains(name), "{name}: {plan:?}");
            }
            for (device, parent) in &plan.rows {
                assert!(plan.devices.contains(device));
                assert!(plan.devices.contains(parent) != plan.roots.contains(parent), "{plan:?}");
                let offers = model().driver(parent).expect("a parent").offers;
                let device = model().driver(device).expect("a driver");
                assert!(offers.iter().any(|at| device.attaches_to(at)));
            }
            // Down from what components attach, every driver is reached.
            let mut reached = plan.roots.clone();
            for _ in 0..plan.devices.len() {
                let rows = plan.rows.iter().filter(|(_, parent)| reached.contains(parent));
                let next: Vec<_> = rows.map(|(device, _)| device.clone()).collect();
                reached.extend(next);
            }
            assert!(plan.devices.is_subset(&reached), "{plan:?}");
            for device in &plan.devices {
                assert!(plan.rows.iter().any(|(row, _)| row == device), "{device}");
            }
        }
    }
}
