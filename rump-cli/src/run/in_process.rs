//! The fast mode: the program gets a library that has a kernel in it.

use super::{Arguments, loadable};
use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

/// What the library is called, and the variable that says where it is.
const LIBRARY: &str = "librump_preload.so";
const PLACE: &str = "RUMP_PRELOAD";

/// Becomes the program.
pub fn run(arguments: &Arguments) -> Result<Infallible, Box<dyn Error>> {
    let (program, rest) = arguments.program.split_first().ok_or("no program")?;
    let library = library()?;
    if let Some(file) = loadable::find(program) {
        loadable::check(&file).map_err(|problem| {
            let file = file.display();
            format!("{file}: {problem}, and would use Linux's network: leave out --in-process")
        })?;
    }
    if arguments.verbose {
        eprintln!("rump run: the library is {}", library.display());
    }
    let mut preloaded = library.into_os_string();
    if let Some(others) = env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        preloaded.push(":");
        preloaded.push(others);
    }
    let mut setup = arguments.clients.setup.clone();
    if let Some(place) = &arguments.kernel {
        // The program may be elsewhere by the time that it needs it.
        setup.kernel = Some(std::path::absolute(&place.0)?);
    }
    let mut command = Command::new(program);
    if arguments.functions_only {
        command.env(rump_run::FUNCTIONS_ONLY, "1");
    }
    let error = command
        .args(rest)
        .env("LD_PRELOAD", preloaded)
        .env(rump_run::VARIABLE, setup.to_variable())
        .exec();
    Err(format!("{}: {error}", program.display()).into())
}

/// Beside this command, where `cargo build` puts it, or where the variable says.
fn library() -> Result<PathBuf, Box<dyn Error>> {
    if let Some(place) = env::var_os(PLACE) {
        let place = PathBuf::from(place);
        if place.is_file() {
            return Ok(place);
        }
        return Err(format!("{PLACE}: there is no file {}", place.display()).into());
    }
    let command = env::current_exe()?;
    let beside = command.with_file_name(LIBRARY);
    if beside.is_file() {
        return Ok(beside);
    }
    Err(format!(
        "--in-process needs {LIBRARY} beside {}: build it with `cargo build -p rump-preload`, \
         with the same profile, or name it with {PLACE}",
        command.display()
    )
    .into())
}
