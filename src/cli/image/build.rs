//! `mallee image build`: the demo image, or with `--full` a Debian with cloud-init.
//!
//! Built in the state directory from Debian's packages, kept there so that a second build of the
//! same is quick, and added as kernel, ramdisk and root: that starts faster than a whole disk.

use super::{
    super::{CallerArguments, Context, fault::Fault, progress::Progress},
    add::Addition,
};
use crate::imaging::{
    ImageFiles, ImagingFault,
    demo::{self, DemoOptions},
    full::{self, FullOptions},
};
use clap::Args;
use std::{fs, path::Path, process::ExitCode};

#[derive(Debug, Args)]
pub struct Build {
    /// Make a full Debian with cloud-init, which takes minutes
    #[arg(long)]
    full: bool,
    /// The Debian release of the full image [default: this host's]
    #[arg(long, value_name = "NAME", requires = "full")]
    suite: Option<String>,
    /// What to call it [default: mallee-demo, or debian-<release>]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    caller: CallerArguments,
}

const OS_RELEASE: &str = "/etc/os-release";
const FULL_MIB: u64 = 2048;

impl Build {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        // Asked before the work: nobody likes to hear of it afterwards.
        let client = context.client(&self.caller)?;
        let images = context.state.images();
        let (usual_name, description, files) = match self.full {
            false => (super::DEMO.to_owned(), "Mallee's demo system", build_demo(&images)?),
            true => {
                let suite = match self.suite {
                    Some(suite) => suite,
                    None => this_suite()?,
                };
                let files = build_full(&images, &suite)?;
                (format!("debian-{suite}"), "Debian with cloud-init", files)
            }
        };
        let addition = Addition {
            name: self.name.unwrap_or(usual_name),
            root: files.root,
            kernel: Some(files.kernel),
            ramdisk: Some(files.ramdisk),
            architecture: "x86_64".to_owned(),
            public: true,
            description: Some(description.to_owned()),
        };
        addition.perform(&client, &context.state)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn build_demo(images: &Path) -> Result<ImageFiles, Fault> {
    let options = DemoOptions { work: images.join("work"), output: images.join("demo") };
    let mut progress = Progress::begin();
    demo::build_demo(&options, &mut |doing| progress.step(doing)).map_err(told)
}

fn build_full(images: &Path, suite: &str) -> Result<ImageFiles, Fault> {
    let options = FullOptions {
        work: images.join("work"),
        output: images.join(format!("full-{suite}")),
        suite: suite.to_owned(),
        size_mib: FULL_MIB,
    };
    let mut progress = Progress::begin();
    full::build_full(&options, &mut |doing| progress.step(doing)).map_err(told)
}

fn told(fault: ImagingFault) -> Fault {
    let told = Fault::of(&fault);
    match &fault {
        ImagingFault::ToolsMissing(tools) => {
            let mut packages: Vec<&str> = tools.iter().map(|tool| tool.package).collect();
            packages.sort_unstable();
            packages.dedup();
            told.remedy(format!("as root: apt-get install {}", packages.join(" ")))
        }
        _ => told,
    }
}

fn this_suite() -> Result<String, Fault> {
    let path = Path::new(OS_RELEASE);
    let text = fs::read_to_string(path).map_err(Fault::io("read", path))?;
    codename(&text).ok_or_else(|| {
        Fault::failed(format!("`{OS_RELEASE}` names no release")).remedy("name one with `--suite`")
    })
}

fn codename(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    let value = value.trim().trim_matches('"');
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::tool::{GZIP, QEMU_IMG};

    #[test]
    fn the_host_s_release_is_known_by_its_code_name() {
        let text = "ID=debian\nVERSION_CODENAME=bookworm\n";
        assert_eq!(codename(text).as_deref(), Some("bookworm"));
        assert_eq!(codename("VERSION_CODENAME=\"trixie\"").as_deref(), Some("trixie"));
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=\n"), None);
    }

    #[test]
    fn missing_tools_are_told_as_one_line_to_install_them() {
        let fault = told(ImagingFault::ToolsMissing(vec![QEMU_IMG, GZIP, QEMU_IMG]));
        assert!(fault.to_string().contains("apt-get install gzip qemu-utils"), "{fault}");
    }
}
