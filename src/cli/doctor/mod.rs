//! `mallee doctor`: what is missing or odd on this host, in words and with the remedy.
//!
//! Each check is a look at the host and a decision about what was seen; the decisions are pure and
//! tested. Nothing is changed. A check that could not look says so, and is no problem by itself.

mod network;
mod privileges;
mod room;
mod tools;
mod virtualization;

use super::{Context, configuration, fault::Fault, output::OutputArguments};
use crate::config::HypervisorChoice;
use clap::Args;
use serde::Serialize;
use std::{path::PathBuf, process::ExitCode};

#[derive(Debug, Args)]
pub struct Doctor {
    /// The configuration to look with [default: the one the cloud was last started with]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    about: &'static str,
    verdict: Verdict,
    finding: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// Works, but not as it might.
    Warn,
    /// The cloud, or a part of it, cannot work.
    Problem,
}

impl Check {
    fn ok(about: &'static str, finding: impl Into<String>) -> Check {
        Check { about, verdict: Verdict::Ok, finding: finding.into(), remedy: None }
    }

    fn warn(about: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Check {
        let finding = finding.into();
        Check { about, verdict: Verdict::Warn, finding, remedy: Some(remedy.into()) }
    }

    fn problem(
        about: &'static str,
        finding: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Check {
        Check { verdict: Verdict::Problem, ..Check::warn(about, finding, remedy) }
    }
}

impl Doctor {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let state = &context.state;
        let configuration = match &self.config {
            Some(file) => configuration::read(Some(file))?,
            None => configuration::last_used(state)?,
        };
        let simulated = |choice| choice == HypervisorChoice::Simulated;
        let has_guests = configuration.nodes.iter().any(|node| !simulated(node.hypervisor));
        let mut checks = Vec::new();
        if has_guests {
            checks.extend(virtualization::checks(context.surroundings.is_root));
            checks.extend(privileges::checks());
            checks.extend(network::checks_for_guests(&configuration, state)?);
            checks.extend(tools::checks());
        }
        checks.extend(network::port_checks(&configuration, state)?);
        checks.extend(room::checks(state, has_guests));
        self.output.output.show(&checks, |checks| text(checks))?;
        Ok(match checks.iter().any(|check| check.verdict == Verdict::Problem) {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        })
    }
}

fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let mark = match check.verdict {
            Verdict::Ok => "ok     ",
            Verdict::Warn => "warn   ",
            Verdict::Problem => "PROBLEM",
        };
        text.push_str(&format!("{mark}  {}: {}\n", check.about, check.finding));
        if let Some(remedy) = &check.remedy {
            text.push_str(&format!("         -> {remedy}\n"));
        }
    }
    text
}

/// As root or through sudo; which of the two, the reader knows.
fn install(packages: &str) -> String {
    format!("as root: apt-get install {packages}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_a_line_and_its_remedy_another() {
        let checks = [
            Check::ok("QEMU", "version 7.2.22"),
            Check::problem("nft", "not installed", "as root: apt-get install nftables"),
        ];
        assert_eq!(
            text(&checks),
            "ok       QEMU: version 7.2.22\n\
             PROBLEM  nft: not installed\n         -> as root: apt-get install nftables\n"
        );
        let json = serde_json::to_value(&checks).unwrap();
        assert_eq!(json[1]["verdict"], "problem");
        assert!(json[0].get("remedy").is_none());
    }
}
