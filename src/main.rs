use clap::Parser;
use mallee::{cli, hypervisor::reaper};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
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
