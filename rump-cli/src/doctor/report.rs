//! The findings by level, with a verdict for each: as a table for people (`Display`) and
//! as JSON for programs (`Serialize`).

use super::finding::{Finding, Status};
use super::ladder::{Findings, Level, Need, RUNGS, Rung};
use super::system::{Kind, System};
use super::variables::Setting;
use serde::Serialize;
use std::fmt;

/// The whole answer.
#[derive(Debug, Serialize)]
pub struct Report {
    system: System,
    settings: Vec<Setting>,
    levels: Vec<LevelReport>,
    /// The levels that the exit status depends on.
    required: Vec<Level>,
    /// Whether they are ready.
    pub ok: bool,
}

#[derive(Debug, Serialize)]
struct LevelReport {
    level: Level,
    title: &'static str,
    ready: bool,
    lacks: Vec<String>,
    things: Vec<Thing>,
}

#[derive(Debug, Serialize)]
struct Thing {
    name: &'static str,
    need: Need,
    #[serde(flatten)]
    finding: Finding,
    /// How to get it, where it is not there.
    install: Vec<Line>,
    /// Whether the level lacks it, were it not there.
    #[serde(skip)]
    required: bool,
}

#[derive(Debug, Serialize)]
struct Line {
    system: Kind,
    line: String,
}

impl Report {
    /// Puts the findings in order; install lines are those of `systems`.
    pub fn new(
        findings: &Findings,
        system: System,
        settings: Vec<Setting>,
        systems: &[Kind],
        required: &[Level],
    ) -> Self {
        let levels: Vec<_> = RUNGS
            .iter()
            .map(|rung| LevelReport::new(rung, findings, systems))
            .collect();
        let ok = levels
            .iter()
            .all(|level| level.ready || !required.contains(&level.level));
        Self {
            system,
            settings,
            levels,
            required: required.to_vec(),
            ok,
        }
    }
}

impl LevelReport {
    fn new(rung: &Rung, findings: &Findings, systems: &[Kind]) -> Self {
        let lacks = rung.lacks(findings);
        let things = rung.needs.iter().map(|(item, need)| {
            let finding = findings[item].clone();
            let wanted = if finding.status == Status::Found {
                &[]
            } else {
                systems
            };
            let line = |system: &Kind| {
                Some(Line {
                    system: *system,
                    line: item.install(*system)?,
                })
            };
            Thing {
                name: item.name(),
                need: *need,
                install: wanted.iter().filter_map(line).collect(),
                required: Rung::requires(*need, findings),
                finding,
            }
        });
        Self {
            level: rung.level,
            title: rung.title,
            ready: lacks.is_empty(),
            things: things.collect(),
            lacks,
        }
    }
}

/// The width of a thing's name.
const NAME: usize = 20;
/// Where its detail starts.
const DETAIL: usize = 7 + NAME;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "system: {}", self.system.name)?;
        for Setting { name, value, from } in &self.settings {
            let from = from.as_ref().map(|from| format!(" (from {from})"));
            writeln!(f, "{name}={value}{}", from.unwrap_or_default())?;
        }
        for level in &self.levels {
            let verdict = if level.ready {
                "ready".into()
            } else {
                format!("lacks: {}", level.lacks.join(", "))
            };
            writeln!(f, "\n{:<9} {}: {verdict}", level.level.name(), level.title)?;
            for thing in &level.things {
                write!(f, "{thing}")?;
            }
        }
        if self.system.kind.is_none() {
            writeln!(
                f,
                "\nHow to install things on this system is not known here; --all-systems tells it for others."
            )?;
        }
        let names: Vec<_> = self.required.iter().map(|level| level.name()).collect();
        let verdict = if self.ok { "ready" } else { "not ready" };
        writeln!(f, "\nlevel {}: {verdict}", names.join(", "))
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.finding.status {
            Status::Found => "ok",
            Status::Wrong => "bad",
            Status::Missing if self.required => "no",
            Status::Missing => "-",
        };
        let mut lines = self.finding.detail.lines();
        let first = lines.next().unwrap_or("");
        writeln!(f, "  {mark:<4} {:<NAME$}{first}", self.name)?;
        for line in lines {
            writeln!(f, "{:DETAIL$}{line}", "")?;
        }
        for Line { system, line } in &self.install {
            let system = if self.install.len() > 1 {
                format!("{}: ", system.name())
            } else {
                String::new()
            };
            writeln!(f, "{:DETAIL$}-> {system}{line}", "")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::item::Item;
    use crate::doctor::ladder::examine;
    use crate::doctor::machine::fake::Fake;
    use crate::doctor::system::KNOWN;

    fn report(fake: &Fake, kind: Option<Kind>, systems: &[Kind], required: &[Level]) -> Report {
        let system = System {
            name: "test".into(),
            kind,
        };
        let setting = Setting {
            name: "NETBSD_SRC",
            value: "/usr/src".into(),
            from: Some(".cargo/config.toml".into()),
        };
        Report::new(&examine(fake), system, vec![setting], systems, required)
    }

    fn debian(fake: &Fake, required: &[Level]) -> Report {
        report(fake, Some(Kind::Debian), &[Kind::Debian], required)
    }

    #[test]
    fn the_table_tells_verdicts_and_what_to_install() {
        let fake = Fake::complete()
            .with(
                Item::Bmake,
                Finding::missing("`bmake` could not be started\nand more"),
            )
            .without(Item::Prefix);
        let text = debian(&fake, &[Level::Lite]).to_string();
        for line in [
            "system: test",
            "NETBSD_SRC=/usr/src (from .cargo/config.toml)",
            "0         the builder, on a miniature tree: lacks: bmake",
            "  no   bmake               `bmake` could not be started",
            "                           and more",
            "                           -> apt install bmake",
            "1         a Linux process, rump-lite: ready",
            "1-netbsd  a Linux process, NetBSD: lacks: bmake",
            "  -    RUMP_PREFIX         not there",
            "  ok   libclang            found",
            "level 1: ready",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\nin\n{text}");
        }
        assert!(!text.contains("dnf"), "{text}");
    }

    #[test]
    fn the_exit_status_follows_the_required_levels() {
        let fake = Fake::complete().without(Item::Dpkg);
        assert!(debian(&fake, &[Level::Lite, Level::Unikernel]).ok);
        let failed = debian(&fake, &[Level::Lite, Level::Xen]);
        assert!(!failed.ok);
        assert!(failed.to_string().ends_with("level 1, 3-xen: not ready\n"));
    }

    #[test]
    fn all_systems_are_told_apart_and_an_unknown_one_is_said_to_be() {
        let fake = Fake::complete().without(Item::Bmake);
        let text = report(&fake, None, KNOWN, &[Level::Lite]).to_string();
        assert!(text.contains("-> Fedora: dnf install bmake"), "{text}");
        assert!(text.contains("-> NetBSD: set BMAKE=make"), "{text}");
        let text = report(&fake, None, &[], &[Level::Lite]).to_string();
        assert!(!text.contains("-> "), "{text}");
        assert!(text.contains("--all-systems"), "{text}");
    }

    #[test]
    fn json_has_the_same() {
        let fake = Fake::complete().with(Item::Tree, Finding::wrong("half a tree"));
        let fake = fake.without(Item::Prefix);
        let value = serde_json::to_value(debian(&fake, &[Level::NetBsd])).unwrap();
        assert_eq!(value["ok"], false);
        assert_eq!(value["required"][0], "1-netbsd");
        assert_eq!(value["settings"][0]["name"], "NETBSD_SRC");
        let level = &value["levels"][2];
        assert_eq!(
            (&level["level"], &level["ready"]),
            (&"1-netbsd".into(), &false.into())
        );
        assert_eq!(level["lacks"][0], "NetBSD tree");
        let thing = &level["things"][0];
        assert_eq!(thing["status"], "wrong");
        assert_eq!(thing["detail"], "half a tree");
        assert_eq!(thing["need"], "unless-prefix");
        assert_eq!(thing["install"][0]["system"], "debian");
    }
}
