//! `mallee image list`: what can be launched.

use super::super::{
    CallerArguments, Context,
    client::{ImageAnswer, Request},
    fault::Fault,
    output::{self, OutputArguments},
};
use clap::Args;
use serde::Serialize;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct List {
    /// Show kernels and ramdisks too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    caller: CallerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Serialize)]
struct Listed {
    id: String,
    name: String,
    kind: String,
    state: String,
    architecture: String,
    public: bool,
    owner: String,
    kernel: Option<String>,
    ramdisk: Option<String>,
    description: Option<String>,
}

impl List {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let client = context.client(&self.caller)?;
        let images = client.describe_images(&Request::new("DescribeImages"))?;
        let listed = listed(images, self.all);
        self.output.output.show(&listed, |listed| text(listed))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn listed(images: Vec<ImageAnswer>, all: bool) -> Vec<Listed> {
    let mut listed: Vec<Listed> = images.into_iter().map(Listed::from).collect();
    listed.retain(|image| all || image.kind == "machine");
    listed.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
    listed
}

fn text(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "no images: make one with `mallee image build`\n".to_owned();
    }
    let rows = listed.iter().map(|image| {
        let whose = if image.public { "public" } else { "private" };
        let Listed { id, name, kind, architecture, state, .. } = image;
        [id, name, kind, architecture, whose, state].map(|cell| cell.to_string()).to_vec()
    });
    output::table(&rows.collect::<Vec<_>>())
}

impl From<ImageAnswer> for Listed {
    fn from(answer: ImageAnswer) -> Listed {
        Listed {
            id: answer.image_id,
            name: answer.name,
            kind: answer.image_type,
            state: answer.image_state,
            architecture: answer.architecture,
            public: answer.is_public,
            owner: answer.image_owner_id,
            kernel: answer.kernel_id,
            ramdisk: answer.ramdisk_id,
            description: answer.description,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: &str, name: &str, kind: &str) -> ImageAnswer {
        ImageAnswer {
            image_id: id.into(),
            image_state: "available".into(),
            image_owner_id: "123456789012".into(),
            is_public: true,
            architecture: "x86_64".into(),
            image_type: kind.into(),
            kernel_id: None,
            ramdisk_id: None,
            name: name.into(),
            description: None,
            tag_set: Default::default(),
        }
    }

    #[test]
    fn machines_are_listed_by_name_and_kernels_only_when_asked_for() {
        let images = || vec![answer("ami-2", "b", "machine"), answer("aki-1", "a", "kernel")];
        let machines = listed(images(), false);
        assert_eq!(text(&machines), "  ami-2  b  machine  x86_64  public  available\n");
        let all = listed(images(), true);
        assert_eq!(all.iter().map(|image| &image.id[..]).collect::<Vec<_>>(), ["aki-1", "ami-2"]);
        assert!(text(&[]).contains("`mallee image build`"));
    }
}
