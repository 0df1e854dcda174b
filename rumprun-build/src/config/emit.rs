//! The three files: `ioconf.c`, `ioconf.h` and `locators.h`.
//!
//! config(1) in ioconf mode makes everything in `ioconf.c` static, because a component
//! includes that file and hands the tables over when it attaches; a whole kernel's root
//! table and pseudo-device table have no place in it. Declarations of interface
//! attributes are sorted by name here (config(1) prints them in the order of a hash).

use super::model::*;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A row of `cfdata`, and where its locators start.
struct Row {
    instance: InstanceId,
    locators: Option<usize>,
}

impl Model {
    /// `ioconf.h`: declarations for the component's C code.
    pub(super) fn ioconf_h(&self) -> String {
        let mut text = String::from("\n/* pseudo-devices */\n");
        for &id in &self.pseudo {
            put(
                &mut text,
                format_args!("void {}attach(int);\n", self.devices[id].name),
            );
        }
        text.push_str("\n/* driver structs */\n");
        for device in self.used_devices() {
            put(
                &mut text,
                format_args!("extern struct cfdriver {}_cd;\n", device.1.name),
            );
        }
        text
    }

    /// `locators.h`: the index of each locator in its interface, and its default.
    pub(super) fn locators_h(&self) -> String {
        let mut text = String::new();
        for (name, &id) in &self.attribute_names {
            let Some(locators) = self.attributes[id]
                .interface
                .as_ref()
                .filter(|l| !l.is_empty())
            else {
                continue;
            };
            let upper = name.to_ascii_uppercase();
            for (index, locator) in locators.iter().enumerate() {
                if locator.name.contains([' ', '\t']) {
                    continue;
                }
                let macro_name = locator.name.to_ascii_uppercase().replace('#', "_");
                put(
                    &mut text,
                    format_args!("#define {upper}CF_{macro_name} {index}\n"),
                );
                if let Some(default) = &locator.default {
                    put(
                        &mut text,
                        format_args!("#define {upper}CF_{macro_name}_DEFAULT {default}\n"),
                    );
                }
            }
            put(
                &mut text,
                format_args!("#define {upper}CF_NLOCS {}\n", locators.len()),
            );
        }
        text
    }

    /// `ioconf.c`: the tables.
    pub(super) fn ioconf_c(&self) -> String {
        let mut text = format!(
            "#include \"ioconf.h\"\n#define IOCONF {}\n/* Generated; do not edit. */\n\n",
            self.name
        );
        for header in ["param", "conf", "device", "mount"] {
            put(&mut text, format_args!("#include <sys/{header}.h>\n"));
        }
        let (rows, locators) = self.rows();
        self.put_interfaces(&mut text);
        self.put_drivers(&mut text);
        text.push('\n');
        for (id, attachment) in self.attachments.iter().enumerate() {
            if self.attachment_is_used(id) {
                put(
                    &mut text,
                    format_args!("extern struct cfattach {}_ca;\n", attachment.name),
                );
            }
        }
        if !locators.is_empty() {
            put(
                &mut text,
                format_args!("\n/* locators */\nstatic int loc[{}] = {{", locators.len()),
            );
            for (index, value) in locators.iter().enumerate() {
                text.push_str(if index % 8 == 0 { "\n\t" } else { " " });
                put(&mut text, format_args!("{value},"));
            }
            text.push_str("\n};\n");
        }
        self.put_parents(&mut text, &rows);
        self.put_rows(&mut text, &rows);
        self.put_attachments(&mut text);
        text
    }

    fn used_devices(&self) -> impl Iterator<Item = (DeviceId, &Device)> {
        self.devices
            .iter()
            .enumerate()
            .filter(|&(id, _)| self.device_is_used(id))
    }

    /// The rows of `cfdata` in order, and all locators. Numbered units come before
    /// starred ones; rows of one name that say the same are one row. Rows with more
    /// locators have theirs first.
    fn rows(&self) -> (Vec<Row>, Vec<&str>) {
        let mut rows: Vec<Row> = Vec::new();
        for device in &self.devices {
            let (starred, numbered): (Vec<_>, Vec<_>) = device
                .instances
                .iter()
                .partition(|(name, _)| name.ends_with('*'));
            for (_, ids) in numbered.into_iter().chain(starred) {
                let first = rows.len();
                for &id in ids.iter().filter(|&&id| self.is_emitted(id)) {
                    let instance = &self.instances[id];
                    let same = rows[first..].iter().any(|row| {
                        let known = &self.instances[row.instance];
                        known.parent == instance.parent
                            && known.attachment == instance.attachment
                            && known.flags == instance.flags
                            && known.locators == instance.locators
                    });
                    if !same {
                        rows.push(Row {
                            instance: id,
                            locators: None,
                        });
                    }
                }
            }
        }
        let mut order: Vec<_> = (0..rows.len()).collect();
        order.sort_by_key(|&row| {
            std::cmp::Reverse(self.instances[rows[row].instance].locators.len())
        });
        let mut locators = Vec::new();
        for row in order {
            let own = &self.instances[rows[row].instance].locators;
            if !own.is_empty() {
                rows[row].locators = Some(locators.len());
                locators.extend(own.iter().map(String::as_str));
            }
        }
        (rows, locators)
    }

    fn put_interfaces(&self, text: &mut String) {
        text.push('\n');
        for (name, &id) in &self.attribute_names {
            let Some(locators) = &self.attributes[id].interface else {
                continue;
            };
            if !self.selected.contains(name) {
                continue;
            }
            put(
                text,
                format_args!("static const struct cfiattrdata {name}cf_iattrdata = {{\n"),
            );
            put(text, format_args!("\t\"{name}\", {}, {{\n", locators.len()));
            if locators.is_empty() {
                text.push_str("\t\t{ NULL, NULL, 0 },\n");
            }
            for locator in locators {
                let (shown, value) = match &locator.default {
                    Some(default) => (default.as_str(), default.as_str()),
                    None => ("NULL", "0"),
                };
                put(
                    text,
                    format_args!("\t\t{{ \"{}\", \"{shown}\", {value} }},\n", locator.name),
                );
            }
            text.push_str("\t}\n};\n");
        }
    }

    fn put_drivers(&self, text: &mut String) {
        text.push('\n');
        for (id, device) in self.used_devices() {
            let name = &device.name;
            let interfaces: Vec<_> = device
                .attributes
                .iter()
                .map(|&id| &self.attributes[id])
                .filter(|attribute| attribute.interface.is_some())
                .collect();
            let mut table = "NULL".to_owned();
            if !interfaces.is_empty() {
                table = format!("{name}_attrs");
                put(
                    text,
                    format_args!("static const struct cfiattrdata * const {table}[] = {{ "),
                );
                for interface in interfaces {
                    put(text, format_args!("&{}cf_iattrdata, ", interface.name));
                }
                text.push_str("NULL };\n");
            }
            put(
                text,
                format_args!("CFDRIVER_DECL({name}, {}, {table});\n\n", self.class(id)),
            );
        }
        let name = &self.name;
        put(
            text,
            format_args!("\nstatic struct cfdriver * const cfdriver_ioconf_{name}[] = {{\n"),
        );
        for (_, device) in self.used_devices() {
            put(text, format_args!("\t&{}_cd,\n", device.name));
        }
        text.push_str("\tNULL\n};\n");
    }

    fn put_parents(&self, text: &mut String, rows: &[Row]) {
        text.push('\n');
        let used: BTreeMap<_, _> = rows
            .iter()
            .filter_map(|row| self.instances[row.instance].parent)
            .map(|id| (id, &self.parents[id]))
            .collect();
        for (id, parent) in used {
            let interface = &self.attributes[parent.interface].name;
            put(
                text,
                format_args!("static const struct cfparent pspec{id} = {{\n\t\"{interface}\", "),
            );
            match parent.device {
                None => text.push_str("NULL, 0"),
                Some(device) => {
                    put(text, format_args!("\"{}\", ", self.devices[device].name));
                    match parent.unit {
                        Unit::Number(unit) => put(text, format_args!("{unit}")),
                        // `at pci*` is as good as `at pci?`, except to config(1), which
                        // prints the number it has for a star.
                        Unit::Star => text.push_str("-1"),
                        Unit::Any => text.push_str("DVUNIT_ANY"),
                    }
                }
            }
            text.push_str("\n};\n");
        }
    }

    fn put_rows(&self, text: &mut String, rows: &[Row]) {
        text.push_str("\n#define NORM FSTATE_NOTFOUND\n#define STAR FSTATE_STAR\n\n");
        put(
            text,
            format_args!("static struct cfdata cfdata_ioconf_{}[] = {{\n", self.name),
        );
        text.push_str("    /* driver, attachment, unit, state, loc, flags, pspec */\n");
        for (index, row) in rows.iter().enumerate() {
            let instance = &self.instances[row.instance];
            let device = &self.devices[instance.device];
            let place = instance.at.as_deref().unwrap_or("root");
            put(
                text,
                format_args!("/*{index:3}: {} at {place} */\n", instance.name),
            );
            let attachment = instance
                .attachment
                .map_or("", |id| self.attachments[id].name.as_str());
            let (unit, state) = match instance.unit {
                Unit::Number(unit) => (unit, "NORM"),
                Unit::Star | Unit::Any => (device.units, "STAR"),
            };
            let locators = match row.locators {
                Some(start) => format!("loc+{start:3}"),
                None => "NULL".into(),
            };
            let parent = match instance.parent {
                Some(id) => format!("&pspec{id}"),
                None => "NULL".into(),
            };
            put(
                text,
                format_args!(
                    "    {{ \"{}\", \"{attachment}\", {unit}, {state}, {locators}, {:#x}, {parent} }},\n",
                    device.name, instance.flags
                ),
            );
        }
        text.push_str("    { NULL, NULL, 0, 0, NULL, 0, NULL }\n};\n");
    }

    fn put_attachments(&self, text: &mut String) {
        text.push('\n');
        let attached = || {
            self.used_devices()
                .filter(|(_, device)| !device.attachments.is_empty())
        };
        for (_, device) in attached() {
            put(
                text,
                format_args!(
                    "static struct cfattach * const {}_cfattachinit[] = {{\n\t",
                    device.name
                ),
            );
            for &id in device
                .attachments
                .iter()
                .filter(|&&id| self.attachment_is_used(id))
            {
                put(text, format_args!("&{}_ca, ", self.attachments[id].name));
            }
            text.push_str("NULL\n};\n");
        }
        put(
            text,
            format_args!(
                "\nstatic const struct cfattachinit cfattach_ioconf_{}[] = {{\n",
                self.name
            ),
        );
        for (_, Device { name, .. }) in attached() {
            put(
                text,
                format_args!("\t{{ \"{name}\", {name}_cfattachinit }},\n"),
            );
        }
        text.push_str("\t{ NULL, NULL }\n};\n");
    }
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("writing to a String does not fail");
}
