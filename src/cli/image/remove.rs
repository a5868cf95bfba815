//! `mallee image remove`: an image goes off the list. Guests started from it keep running.
//!
//! A root's kernel and ramdisk stay, since other images may use them; they are images of their own.

use super::super::{CallerArguments, Context, fault::Fault};
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Remove {
    /// Its id or name
    image: String,
    #[command(flatten)]
    caller: CallerArguments,
}

impl Remove {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let client = context.client(&self.caller)?;
        let image = super::resolve(&client, &self.image)?;
        client.deregister_image(&image.image_id)?;
        eprintln!("mallee: image `{}` ({}) is removed", image.name, image.image_id);
        Ok(ExitCode::SUCCESS)
    }
}
