//! The folder of the component: description, makefile, headers and glue.
//!
//! The glue does what a module's or a kernel's own tables would: it hands over the
//! tables of config(1), puts block and character switches into devsw(9), and makes nodes
//! for the disks that were found. `rump_drivers_makenodes` does the last again, for disks
//! that came later, and `rump_drivers_units` tells how many devices a driver has.

use super::files::Files;
use super::plan::Plan;
use crate::component::write_if_changed;
use crate::config::{self, Model, OptionFile};
use crate::error::{Error, IoContext, Result};
use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

const IOCONF: &str = "DRIVERS.ioconf";

/// What there is to choose from: all that components of the tree include.
pub(super) fn all(tree: &Tree, folder: &Path, includes: &[String]) -> Result<Model> {
    read(tree, &folder.join("ALL.ioconf"), &with_includes(includes))
}

/// Writes the component's description and reads it with all that it includes. `all` tells
/// which locators there are.
pub(super) fn chosen(
    tree: &Tree,
    folder: &Path,
    includes: &[String],
    plan: &Plan,
    all: &Model,
) -> Result<Model> {
    let mut text = with_includes(includes);
    for root in &plan.roots {
        text.push_str(&format!("pseudo-root {root}*\n"));
    }
    for (device, parent) in &plan.rows {
        let locators = locators(all, device, parent);
        text.push_str(&format!("{device}* at {parent}?{locators}\n"));
    }
    let path = folder.join(IOCONF);
    let model = read(tree, &path, &text)?;
    let mut wrong = model.complaints().iter().filter(|c| *c.at.file == *path);
    match wrong.next() {
        Some(complaint) => Err(failed(complaint)),
        None => Ok(model),
    }
}

fn with_includes(includes: &[String]) -> String {
    let includes = includes.iter().map(|path| format!("include \"{path}\"\n"));
    format!(
        "ioconf {}\n\n{}\n",
        super::NAME,
        includes.collect::<String>()
    )
}

fn read(tree: &Tree, path: &Path, text: &str) -> Result<Model> {
    write_if_changed(path, text)?;
    let (model, _) = config::read(&tree.sys(), path).map_err(failed)?;
    Ok(model)
}

fn failed(message: impl ToString) -> Error {
    Error::Config {
        component: super::NAME.into(),
        message: message.to_string(),
    }
}

/// A `?` for each locator that must be given where `device` attaches to `parent`.
fn locators(model: &Model, device: &str, parent: &str) -> String {
    let (Some(device), Some(parent)) = (model.driver(device), model.driver(parent)) else {
        return String::new();
    };
    let interface = parent.offers.iter().find(|at| device.attaches_to(at));
    let locators = interface.and_then(|interface| model.locators(interface));
    let needed = locators.unwrap_or_default().iter().filter(|l| !l.optional);
    needed
        .map(|locator| format!(" {} ?", locator.name))
        .collect()
}

/// The headers that sources include: one of each option file, empty because the options
/// of a rump kernel are set for all its sources; one of each flag or count.
fn config_headers(model: &Model) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = model
        .options()
        .iter()
        .map(|OptionFile { header, .. }| (header.clone(), String::new()))
        .collect();
    let counted = model
        .files()
        .iter()
        .filter(|file| file.needs_count || file.needs_flag);
    let names: BTreeSet<&str> = counted
        .filter_map(|file| file.condition.as_ref())
        .flat_map(|condition| condition.names())
        .collect();
    for name in names {
        let selected = i32::from(model.selected().contains(name));
        let count = model.count(name).max(selected);
        let text = format!("#define N{} {count}\n", name.to_ascii_uppercase());
        headers.insert(format!("{name}.h"), text);
    }
    headers
}

/// Writes those that a rump kernel does not have.
pub(super) fn headers(tree: &Tree, folder: &Path, model: &Model) -> Result<()> {
    let folder = folder.join("opt");
    std::fs::create_dir_all(&folder).context("making", &folder)?;
    let theirs = tree.rump().join("include/opt");
    for (name, text) in config_headers(model) {
        if !theirs.join(&name).exists() {
            write_if_changed(&folder.join(name), &text)?;
        }
    }
    Ok(())
}

/// The makefile: lines that stay, and the list of sources.
pub(super) fn makefile(folder: &Path, model: &Model, files: &Files) -> Result<()> {
    let mut options = String::new();
    for option in model.make_options() {
        let selected = |name: &str| model.selected().contains(name);
        if option
            .condition
            .as_ref()
            .is_some_and(|c| c.holds(&selected))
        {
            writeln!(options, "{}+=\t{}", option.variable, option.value).ok();
        }
    }
    let name = super::NAME;
    let text = format!(
        "LIB=\trumpdev_{name}
IOCONF=\t{IOCONF}
SRCS=\t{name}.c

S=\t${{NETBSDSRCDIR}}/sys
.include \"${{.CURDIR}}/sources.mk\"

RUMPTOP=\t${{TOPRUMP}}
.include \"${{RUMPTOP}}/Makefile.rump\"

CPPFLAGS+=\t-I${{RUMPTOP}}/librump/rumpkern -I${{.CURDIR}}/opt
CPPFLAGS+=\t-include ${{.CURDIR}}/builtin.h
{options}
.include <bsd.lib.mk>
.include <bsd.klinks.mk>
"
    );
    write_if_changed(&folder.join("Makefile"), &text)?;
    makefile_again(folder, files)
}

/// The list of sources alone.
pub(super) fn makefile_again(folder: &Path, files: &Files) -> Result<()> {
    let mut text = String::new();
    for file in &files.chosen {
        writeln!(text, "SRCS+=\t${{S}}/{}", file.path).ok();
    }
    write_if_changed(&folder.join("sources.mk"), &text)
}

/// C that is read before each source.
const BUILTIN_H: &str = "\
/*
 * The machine's headers are read as a module reads them, which asks functions for the
 * CPU and the lwp, and not the hardware. The driver itself is built in.
 */
#include <sys/param.h>
#include <sys/cpu.h>
#undef _MODULE
";

const GLUE_C: &str = "\
#include <sys/param.h>
#include <sys/conf.h>
#include <sys/device.h>
#include <sys/disklabel.h>
#include <sys/stat.h>
#include <sys/systm.h>

#include <rump/rump.h>

#include <rump-sys/kern.h>
#include <rump-sys/vfs.h>

#include \"ioconf.c\"

/* What a driver of a disk is known by. */
struct driver {
	struct cfdriver *cd;
	const struct bdevsw *bdev;
	const struct cdevsw *cdev;
	devmajor_t bmajor, cmajor;
	int nodes;		/* units that have theirs */
};

";

const GLUE_FUNCTIONS: &str = "
/* For the host, which calls them with no virtual CPU. */
int	rump_drivers_makenodes(void);
int	rump_drivers_units(const char *);
RUMP_COMPONENT(RUMP_COMPONENT_DEV)
{
	struct driver *driver;
	int error;

	error = config_init_component(cfdriver_ioconf_NAME,
	    cfattach_ioconf_NAME, cfdata_ioconf_NAME);
	if (error != 0)
		panic(\"drivers: their tables are refused: %d\", error);

	for (driver = drivers; driver->cd != NULL; driver++) {
		driver->bmajor = driver->cmajor = -1;
		if (driver->cdev == NULL)
			continue;
		error = devsw_attach(driver->cd->cd_name, driver->bdev,
		    &driver->bmajor, driver->cdev, &driver->cmajor);
		/* A driver may have done it by itself. */
		if (error != 0 && error != EEXIST)
			panic(\"%s: no device numbers: %d\",
			    driver->cd->cd_name, error);
	}
}

/* Makes the nodes of the units that are there and have none yet. */
static int
makenodes(void)
{
	struct driver *driver;
	char name[32];
	int error, unit;

	for (driver = drivers; driver->cd != NULL; driver++) {
		if (driver->bmajor == -1 || driver->cmajor == -1 ||
		    driver->cd->cd_class != DV_DISK)
			continue;
		for (unit = driver->nodes; unit < driver->cd->cd_ndevs; unit++) {
			if (device_lookup(driver->cd, unit) == NULL)
				break;
			snprintf(name, sizeof(name), \"/dev/%s%d\",
			    driver->cd->cd_name, unit);
			error = rump_vfs_makedevnodes(S_IFBLK, name, 'a',
			    driver->bmajor, DISKMINOR(unit, 0), MAXPARTITIONS);
			if (error != 0)
				return error;
			snprintf(name, sizeof(name), \"/dev/r%s%d\",
			    driver->cd->cd_name, unit);
			error = rump_vfs_makedevnodes(S_IFCHR, name, 'a',
			    driver->cmajor, DISKMINOR(unit, 0), MAXPARTITIONS);
			if (error != 0)
				return error;
			driver->nodes = unit + 1;
		}
	}
	return 0;
}

RUMP_COMPONENT(RUMP_COMPONENT_POSTINIT)
{
	int error;

	error = makenodes();
	if (error != 0)
		panic(\"drivers: no device nodes: %d\", error);
}

int
rump_drivers_makenodes(void)
{
	int error;

	rump_schedule();
	KERNEL_LOCK(1, NULL);
	error = makenodes();
	KERNEL_UNLOCK_ONE(NULL);
	rump_unschedule();
	return error;
}

int
rump_drivers_units(const char *name)
{
	struct cfdriver *driver;
	int unit, units = -1;

	rump_schedule();
	KERNEL_LOCK(1, NULL);
	driver = config_cfdriver_lookup(name);
	if (driver != NULL)
		for (units = 0, unit = 0; unit < driver->cd_ndevs; unit++)
			if (device_lookup(driver, unit) != NULL)
				units++;
	KERNEL_UNLOCK_ONE(NULL);
	rump_unschedule();
	return units;
}
";

/// The C of the component.
pub(super) fn glue(folder: &Path, plan: &Plan) -> Result<()> {
    write_if_changed(&folder.join("builtin.h"), BUILTIN_H)?;
    let mut text = GLUE_C.to_string();
    // Which of them have switches the linker knows.
    for name in &plan.devices {
        for kind in ["bdevsw", "cdevsw"] {
            writeln!(
                text,
                "extern const struct {kind} {name}_{kind} __attribute__((weak));"
            )
            .ok();
        }
    }
    text.push_str("\nstatic struct driver drivers[] = {\n");
    for name in &plan.devices {
        writeln!(text, "\t{{ &{name}_cd, &{name}_bdevsw, &{name}_cdevsw }},").ok();
    }
    text.push_str("\t{ NULL }\n};\n");
    text.push_str(&GLUE_FUNCTIONS.replace("NAME", super::NAME));
    write_if_changed(&folder.join(format!("{}.c", super::NAME)), &text)
}
