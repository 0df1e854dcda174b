//! `rump`, the command beside the crate of that name.
//!
//! One file below this one for each subcommand; each has its own arguments and its own
//! `run`, which returns the exit status.

mod clients;
mod descriptors;
mod doctor;
mod kernel;
mod place;
mod run;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// NetBSD's kernel as a library
#[derive(Parser)]
#[command(name = "rump", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Doctor(doctor::Arguments),
    Kernel(kernel::Arguments),
    Run(run::Arguments),
    /// What `doctor` asks in a process of its own.
    #[command(hide = true)]
    DoctorAsk {
        question: doctor::Question,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Kernel(arguments) => kernel::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::DoctorAsk { question } => doctor::answer(question),
    }
}
