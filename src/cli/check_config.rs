//! `mallee check-config`: every fault of a configuration file, and nothing started.

use super::{fault::Fault, output};
use crate::config::check;
use clap::Args;
use std::{fs, path::PathBuf, process::ExitCode};

#[derive(Debug, Args)]
pub struct CheckConfig {
    file: PathBuf,
}

impl CheckConfig {
    pub fn perform(self) -> Result<ExitCode, Fault> {
        let shown = self.file.display().to_string();
        let text = fs::read_to_string(&self.file).map_err(Fault::io("read", &self.file))?;
        match check(&text, &shown) {
            Ok(_) => {
                output::print(&format!("{shown}: correct\n"))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(faults) => {
                for fault in faults {
                    eprintln!("mallee: {fault}");
                }
                Ok(ExitCode::FAILURE)
            }
        }
    }
}
