//! Rulesets, and how the kernel is told of them.

use super::bpf;
use super::dictionary::Dictionary;
use super::error::Error;
use super::rule::{Host, Rule};
use super::table::{self, Table};
use crate::iface::Interface;
use rump_sys::abi::npf as abi;

/// Rules for packets on an interface, or for all.
///
/// A packet goes through the groups in their order. It is the last rule that matches it in
/// the first group with such a rule that counts.
#[derive(Debug, Clone, Default)]
pub struct Group {
    interface: Option<String>,
    rules: Vec<Rule>,
}

impl Group {
    /// Rules for packets on this interface. It may go and come again by its name.
    pub fn on(interface: &Interface) -> Self {
        Self {
            interface: Some(interface.name().into()),
            rules: Vec::new(),
        }
    }

    /// Rules for all packets.
    pub fn all() -> Self {
        Self::default()
    }

    /// The same with one more rule.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }
}

/// What the packet filter is to do.
///
/// [`Npf::load`](super::Npf::load) checks it as a whole. A packet that no rule is about is
/// dropped.
#[derive(Debug, Clone, Default)]
pub struct Ruleset {
    tables: Vec<Table>,
    groups: Vec<Group>,
    default: Group,
}

impl Ruleset {
    /// One without rules, which drops everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more table.
    #[must_use]
    pub fn table(mut self, table: Table) -> Self {
        self.tables.push(table);
        self
    }

    /// The same with one more group, behind the others.
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// The same with one more rule for packets that no group has a rule for.
    #[must_use]
    pub fn default_rule(mut self, rule: Rule) -> Self {
        self.default.rules.push(rule);
        self
    }

    /// As the kernel takes it.
    pub(super) fn encode(&self, version: i32) -> Result<Dictionary, Error> {
        let mut rules = Vec::new();
        for group in self.groups.iter().chain([&self.default]) {
            if group.rules.is_empty() {
                continue;
            }
            // All of its rules are skipped where the group itself does not match.
            let behind = rules.len() + 1 + group.rules.len();
            let attributes = abi::NPF_RULE_GROUP | abi::NPF_RULE_IN | abi::NPF_RULE_OUT;
            let head = Dictionary::new()
                .with("attr", attributes)
                .with("skip-to", behind as u64);
            rules.push(on(head, group.interface.as_deref()));
            for rule in &group.rules {
                rules.push(self.rule(rule)?);
            }
        }
        Ok(configuration(version, false)
            .with("tables", self.tables()?)
            .with("rules", rules))
    }

    fn rule(&self, rule: &Rule) -> Result<Dictionary, Error> {
        rule.check()?;
        let matcher = rule.matcher();
        for host in matcher.from.iter().chain(&matcher.to) {
            if let Host::Table(name) = host
                && self.number(name).is_none()
            {
                return Err(rule.wrong(format!("the ruleset has no table <{name}>")));
            }
        }
        let code = bpf::compile(matcher, |name| self.number(name).unwrap_or(u32::MAX)).map_err(
            |bpf::TooLong| rule.wrong("it is too long; a table can have more addresses"),
        )?;
        let made = on(
            Dictionary::new().with("attr", rule.attributes()),
            rule.interface(),
        );
        Ok(match code {
            Some(code) => made.with("code-type", abi::NPF_CODE_BPF).with("code", code),
            None => made,
        })
    }

    /// The number by which programs know a table.
    fn number(&self, name: &str) -> Option<u32> {
        let place = self.tables.iter().position(|table| table.name == name)?;
        u32::try_from(place).ok()
    }

    fn tables(&self) -> Result<Vec<Dictionary>, Error> {
        let mut tables = Vec::new();
        for (number, table) in self.tables.iter().enumerate() {
            table.check()?;
            if self.number(&table.name) != u32::try_from(number).ok() {
                return Err(table.wrong("there are two of that name"));
            }
            let entry = |net| {
                let (address, mask) = table::address_and_mask(net);
                Dictionary::new()
                    .with("addr", address)
                    .with("mask", u32::from(mask))
            };
            let entries: Vec<_> = table.entries.iter().map(entry).collect();
            tables.push(
                Dictionary::new()
                    .with("name", &*table.name)
                    .with("id", number as u64)
                    .with("type", table.kind)
                    .with("entries", entries),
            );
        }
        Ok(tables)
    }
}

fn on(dictionary: Dictionary, interface: Option<&str>) -> Dictionary {
    match interface {
        Some(name) => dictionary.with("ifname", name),
        None => dictionary,
    }
}

/// A configuration but for tables and rules.
fn configuration(version: i32, flush: bool) -> Dictionary {
    Dictionary::new()
        .with("version", u64::from(version.unsigned_abs()))
        .with("flush", flush)
        .with("algs", Vec::<Dictionary>::new())
        .with("nat", Vec::<Dictionary>::new())
        .with("rprocs", Vec::<Dictionary>::new())
}

/// No rules, tables and connections; packets pass.
pub(super) fn nothing(version: i32) -> Dictionary {
    configuration(version, true)
        .with("tables", Vec::<Dictionary>::new())
        .with("rules", Vec::<Dictionary>::new())
}
