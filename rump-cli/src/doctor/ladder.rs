//! The test ladder: its levels, what each needs, and whether a machine has it.

use super::finding::{Finding, Status};
use super::item::Item;
use super::machine::Machine;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// A level, or one part of a level that needs more than the level itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
pub enum Level {
    /// The builder on a miniature tree
    #[value(name = "0")]
    #[serde(rename = "0")]
    Builder,
    /// A Linux process with rump-lite
    #[value(name = "1")]
    #[serde(rename = "1")]
    Lite,
    /// A Linux process with NetBSD
    #[value(name = "1-netbsd")]
    #[serde(rename = "1-netbsd")]
    NetBsd,
    /// Networking tests as root
    #[value(name = "1-root")]
    #[serde(rename = "1-root")]
    Root,
    /// A QEMU guest with VFIO
    #[value(name = "2")]
    #[serde(rename = "2")]
    Guest,
    /// The unikernel in QEMU
    #[value(name = "3")]
    #[serde(rename = "3")]
    Unikernel,
    /// The unikernel under Xen in QEMU
    #[value(name = "3-xen")]
    #[serde(rename = "3-xen")]
    Xen,
}

/// Whether a level can do without a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// It cannot.
    Always,
    /// It can if `RUMP_PREFIX` names a kernel that is compiled already.
    UnlessPrefix,
    /// It can; with it, more works or works faster.
    Helps,
}
use Need::{Always, Helps, UnlessPrefix};

/// A level of the table below.
pub struct Rung {
    pub level: Level,
    pub title: &'static str,
    /// The level that it stands on.
    pub on: Option<Level>,
    pub needs: &'static [(Item, Need)],
}

impl Level {
    /// As it is written on the command line.
    pub fn name(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self).expect("none is skipped");
        value.get_name().into()
    }
}

/// The ladder.
pub const RUNGS: &[Rung] = &[
    Rung {
        level: Level::Builder,
        title: "the builder, on a miniature tree",
        on: None,
        needs: &[
            (Item::Cargo, Always),
            (Item::Rustc, Always),
            (Item::RustLink, Always),
            (Item::Compiler, Always),
            (Item::Ar, Always),
            (Item::GnuLd, Always),
            (Item::RustLld, Always),
            (Item::Bmake, Always),
        ],
    },
    Rung {
        level: Level::Lite,
        title: "a Linux process, rump-lite",
        on: None,
        needs: &[
            (Item::Cargo, Always),
            (Item::Rustc, Always),
            (Item::RustLink, Always),
            (Item::Compiler, Always),
            (Item::Ar, Always),
            (Item::Settings, Always),
        ],
    },
    Rung {
        level: Level::NetBsd,
        title: "a Linux process, NetBSD",
        on: Some(Level::Lite),
        needs: &[
            (Item::Tree, UnlessPrefix),
            (Item::Prefix, Helps),
            (Item::Bmake, UnlessPrefix),
            (Item::Libclang, UnlessPrefix),
        ],
    },
    Rung {
        level: Level::Root,
        title: "a Linux process, networking tests as root",
        on: Some(Level::Lite),
        needs: &[
            (Item::Ip, Always),
            (Item::Tun, Always),
            (Item::Namespace, Always),
            (Item::TapVeth, Always),
            (Item::Iperf3, Always),
            (Item::Tshark, Always),
        ],
    },
    Rung {
        level: Level::Guest,
        title: "a Linux guest in QEMU, with VFIO",
        on: Some(Level::Lite),
        needs: &[
            (Item::Qemu, Always),
            (Item::QemuDevices, Always),
            (Item::GuestKernel, Always),
            (Item::Busybox, Always),
            // What the benchmarks compare with.
            (Item::GuestDrivers, Helps),
            (Item::Kvm, Helps),
            // The guest has an emulated IOMMU; these are for hardware of this machine.
            (Item::Vfio, Helps),
            (Item::IommuGroups, Helps),
        ],
    },
    Rung {
        level: Level::Unikernel,
        title: "the unikernel, in QEMU",
        on: Some(Level::Lite),
        needs: &[
            (Item::Qemu, Always),
            (Item::RustTarget, Always),
            (Item::RustLld, Always),
            (Item::Kvm, Helps),
        ],
    },
    Rung {
        level: Level::Xen,
        title: "the unikernel, under Xen in QEMU",
        on: Some(Level::Unikernel),
        needs: &[
            (Item::XenPackages, Always),
            (Item::Dpkg, Always),
            (Item::Gzip, Always),
            (Item::Xz, Always),
        ],
    },
];

/// What was found, by thing.
pub type Findings = BTreeMap<Item, Finding>;

/// Asks for everything that any level needs, once, several things at a time.
pub fn examine(machine: &dyn Machine) -> Findings {
    let mut items: Vec<Item> = RUNGS
        .iter()
        .flat_map(|rung| rung.needs)
        .map(|(item, _)| *item)
        .collect();
    items.sort();
    items.dedup();
    let workers = std::thread::available_parallelism().map_or(2, |count| count.get());
    let queue = Mutex::new(items.into_iter());
    let findings = Mutex::new(Findings::new());
    std::thread::scope(|scope| {
        for _ in 0..workers.clamp(4, 8) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no panic holds it").next();
                    let Some(item) = next else { break };
                    let finding = machine.find(item);
                    let mut findings = findings.lock().expect("no panic holds it");
                    findings.insert(item, finding);
                }
            });
        }
    });
    findings.into_inner().expect("no panic holds it")
}

impl Rung {
    /// Whether this level really needs `need` of a machine with these findings.
    pub fn requires(need: Need, findings: &Findings) -> bool {
        match need {
            Always => true,
            UnlessPrefix => findings[&Item::Prefix].status != Status::Found,
            Helps => false,
        }
    }

    /// What the level lacks, in the ladder's order; nothing if it is ready.
    pub fn lacks(&self, findings: &Findings) -> Vec<String> {
        let below = self.on.and_then(|on| {
            let rung = RUNGS.iter().find(|rung| rung.level == on)?;
            let ready = rung.lacks(findings).is_empty();
            (!ready).then(|| format!("level {}", on.name()))
        });
        let own = self.needs.iter().filter(|(item, need)| {
            Self::requires(*need, findings) && findings[item].status != Status::Found
        });
        below
            .into_iter()
            .chain(own.map(|(item, _)| item.name().to_string()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::machine::fake::Fake;

    fn lacks(fake: &Fake, level: Level) -> Vec<String> {
        let rung = RUNGS.iter().find(|rung| rung.level == level).unwrap();
        rung.lacks(&examine(fake))
    }

    #[test]
    fn a_machine_with_everything_is_ready_for_all() {
        for rung in RUNGS {
            assert!(lacks(&Fake::complete(), rung.level).is_empty());
        }
    }

    #[test]
    fn what_is_missing_is_missed_where_it_is_needed_and_above() {
        let fake = Fake::complete().without(Item::Qemu);
        for (level, expected) in [
            (Level::Builder, &[][..]),
            (Level::Lite, &[]),
            (Level::Root, &[]),
            (Level::Guest, &["QEMU"]),
            (Level::Unikernel, &["QEMU"]),
            (Level::Xen, &["level 3"]),
        ] {
            assert_eq!(lacks(&fake, level), expected, "{level:?}");
        }
    }

    #[test]
    fn a_wrong_thing_is_as_good_as_none() {
        let fake = Fake::complete().with(Item::Settings, Finding::wrong("RUMP_KERNEL=x"));
        assert_eq!(lacks(&fake, Level::Lite), ["settings"]);
        assert_eq!(lacks(&fake, Level::NetBsd), ["level 1"]);
        assert!(lacks(&fake, Level::Builder).is_empty());
    }

    #[test]
    fn a_prefix_stands_in_for_the_tree_and_its_tools() {
        let tree = Fake::complete().without(Item::Prefix);
        assert!(lacks(&tree, Level::NetBsd).is_empty());
        let prefix = Fake::complete()
            .without(Item::Tree)
            .without(Item::Bmake)
            .without(Item::Libclang);
        assert!(lacks(&prefix, Level::NetBsd).is_empty());
        let neither = prefix.without(Item::Prefix);
        assert_eq!(
            lacks(&neither, Level::NetBsd),
            ["NetBSD tree", "bmake", "libclang"]
        );
    }

    #[test]
    fn what_only_helps_is_not_lacked() {
        let fake = Fake::complete()
            .without(Item::Kvm)
            .without(Item::Vfio)
            .without(Item::IommuGroups);
        assert!(lacks(&fake, Level::Guest).is_empty());
        assert!(lacks(&fake, Level::Unikernel).is_empty());
    }
}
