//! `rump`, the command beside the crate of that name.
//!
//! One file below this one for each subcommand; each has its own arguments and its own
//! `run`, which returns the exit status.

mod clients;
mod ctl;
mod descriptors;
mod doctor;
mod kernel;
mod place;
mod run;
mod server;

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
    Ctl(ctl::Arguments),
    Doctor(doctor::Arguments),
    Kernel(kernel::Arguments),
    Run(run::Arguments),
    Server(server::Arguments),
    /// What `doctor` asks in a process of its own.
    #[command(hide = true)]
    DoctorAsk {
        question: doctor::Question,
    },
    /// The part of `server` that frames go through.
    #[command(hide = true)]
    ServerWorker,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Ctl(arguments) => ctl::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Kernel(arguments) => kernel::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Server(arguments) => server::run(&arguments),
        Command::ServerWorker => server::work(),
        Command::DoctorAsk { question } => doctor::answer(question),
    }
}
