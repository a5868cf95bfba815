//! The program: arguments, the split from its reaping parent, the logger; then `cli::run`.

use clap::Parser;
use mallee::{cli, hypervisor::reaper};
use std::{env, ffi::OsString, process::ExitCode};

/// Where `nft`, `mke2fs` and their like are, and where an ordinary user's shell does not look.
const ADMINISTRATORS_PROGRAMS: &str = ":/usr/local/sbin:/usr/sbin:/sbin";

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let mut path = env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    path.push(ADMINISTRATORS_PROGRAMS);
    // SAFETY: there is no other thread yet that could be reading the environment.
    unsafe { env::set_var("PATH", path) };
    // Only the process that starts guests needs a parent to reap them; the split must come before
    // there is any thread.
    if arguments.runs_the_cloud()
        && let Err(error) = reaper::supervise()
    {
        eprintln!("mallee: {error}");
        return ExitCode::FAILURE;
    }
    let usual = if arguments.runs_the_cloud() { "info" } else { "warn" };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(usual)).init();
    cli::run(arguments, &cli::Surroundings::of_this_process())
}
