//! `mallee image`: machine images, made, added, listed and removed.

mod add;
mod build;
mod list;
mod remove;

use super::{
    Context,
    client::{Client, ImageAnswer, Request},
    fault::Fault,
};
use crate::domain::id::ImageId;
use clap::Subcommand;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub enum Image {
    /// Make the demo image (or a full Debian) from Debian packages, and add it
    Build(build::Build),
    /// Add a disk image, or a root file system with its kernel
    Add(add::Add),
    /// List the images that can be launched
    List(list::List),
    /// Take an image off the list
    Remove(remove::Remove),
}

/// The name of the demo image.
pub const DEMO: &str = "mallee-demo";

impl Image {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        match self {
            Image::Build(build) => build.perform(context),
            Image::Add(add) => add.perform(context),
            Image::List(list) => list.perform(context),
            Image::Remove(remove) => remove.perform(context),
        }
    }
}

/// The image with this id or name.
pub fn resolve(client: &Client, wanted: &str) -> Result<ImageAnswer, Fault> {
    let mut found = match wanted.parse::<ImageId>() {
        Ok(id) => client.describe_images(&Request::new("DescribeImages").with("ImageId.1", id))?,
        Err(_) => client.images_named(wanted)?,
    };
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => {
            let fault = Fault::failed(format!("there is no image `{wanted}`"));
            Err(match wanted {
                DEMO => fault.remedy("make it with `mallee image build`"),
                _ => fault.remedy("`mallee image list` shows those there are"),
            })
        }
        several => Err(Fault::usage(format!("{several} images are named `{wanted}`"))
            .remedy("name one by its id; `mallee image list` shows them")),
    }
}
