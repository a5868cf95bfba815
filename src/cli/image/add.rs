//! `mallee image add`: bytes become an image.
//!
//! Each file is looked at, copied into the cloud's blob store under its digest, and registered by
//! an ordinary RegisterImage, whose `ImageLocation` names the blob (`client::image` says how). A
//! kernel and a ramdisk become images of their own, named after the machine's. An image that has
//! the name and the bytes already is left as it is; other bytes under a name that is taken are
//! refused.

use super::super::{
    CallerArguments, Context,
    client::{Client, Location, Request, register_image},
    fault::Fault,
    progress::Progress,
};
use crate::blobs::{digest::digest_file, repository::Blobs};
use crate::config::state_directory::StateDirectory;
use crate::domain::{
    blob::BlobId,
    image::{DiskFormat, ImageKind},
};
use crate::imaging::inspect::{Format, Inspection, Role, inspect};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Debug, Args)]
pub struct Add {
    /// A whole disk (raw or qcow2), or with --kernel a root file system
    file: PathBuf,
    /// What to call it [default: the file's name without its ending]
    #[arg(long)]
    name: Option<String>,
    /// The kernel that boots the root
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The kernel's ramdisk
    #[arg(long, value_name = "FILE", requires = "kernel")]
    ramdisk: Option<PathBuf>,
    /// The processors it runs on
    #[arg(long, default_value = "x86_64")]
    architecture: String,
    /// Only this account may launch it, until it is shared
    #[arg(long)]
    private: bool,
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    caller: CallerArguments,
}

/// What is to be registered.
#[derive(Debug)]
pub struct Addition {
    pub name: String,
    pub root: PathBuf,
    pub kernel: Option<PathBuf>,
    pub ramdisk: Option<PathBuf>,
    pub architecture: String,
    pub public: bool,
    pub description: Option<String>,
}

impl Add {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let name = match self.name {
            Some(name) => name,
            None => name_of(&self.file)?,
        };
        let addition = Addition {
            name,
            root: self.file,
            kernel: self.kernel,
            ramdisk: self.ramdisk,
            architecture: self.architecture,
            public: !self.private,
            description: self.description,
        };
        let client = context.client(&self.caller)?;
        addition.perform(&client, &context.state)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn name_of(file: &Path) -> Result<String, Fault> {
    let name = file.file_stem().and_then(|stem| stem.to_str()).filter(|name| !name.is_empty());
    name.map(str::to_owned).ok_or_else(|| {
        let shown = file.display();
        Fault::usage(format!("no name can be made from `{shown}`")).remedy("give one with `--name`")
    })
}

impl Addition {
    /// Registers what is not registered yet, and says which it was.
    pub fn perform(&self, client: &Client, state: &StateDirectory) -> Result<(), Fault> {
        let root_role = if self.kernel.is_some() { Role::Root } else { Role::Disk };
        // All files are looked at before any is copied.
        let root = looked_at(&self.root, root_role)?;
        let kernel = self.part(self.kernel.as_deref(), Role::Kernel)?;
        let ramdisk = self.part(self.ramdisk.as_deref(), Role::Ramdisk)?;
        let registrar = Registrar { addition: self, client, state };
        let kernel = registrar.add_part(kernel, ImageKind::Kernel)?;
        let ramdisk = registrar.add_part(ramdisk, ImageKind::Ramdisk)?;
        let id = registrar.add(&self.name, ImageKind::Machine, &self.root, &root, |request| {
            request.with_some("KernelId", kernel).with_some("RamdiskId", ramdisk)
        })?;
        match id {
            Found::Already(id) => {
                eprintln!("mallee: image `{}` is there already, as {id}", self.name);
            }
            Found::New(id) => eprintln!("mallee: image `{}` is added as {id}", self.name),
        }
        Ok(())
    }

    fn part<'a>(
        &self,
        file: Option<&'a Path>,
        role: Role,
    ) -> Result<Option<(&'a Path, Inspection)>, Fault> {
        file.map(|file| Ok((file, looked_at(file, role)?))).transpose()
    }
}

fn looked_at(file: &Path, role: Role) -> Result<Inspection, Fault> {
    inspect(file, role).map_err(|error| {
        let fault = Fault::failed(format!("`{}`: {error}", file.display()));
        match role {
            Role::Disk => fault.remedy("a bare file system needs its kernel: use `--kernel FILE`"),
            Role::Root | Role::Kernel | Role::Ramdisk => fault,
        }
    })
}

/// An image's id, and whether it was made just now.
enum Found {
    Already(String),
    New(String),
}

struct Registrar<'a> {
    addition: &'a Addition,
    client: &'a Client,
    state: &'a StateDirectory,
}

impl Registrar<'_> {
    /// The id of the kernel's or ramdisk's own image.
    fn add_part(
        &self,
        part: Option<(&Path, Inspection)>,
        kind: ImageKind,
    ) -> Result<Option<String>, Fault> {
        let Some((file, inspection)) = part else { return Ok(None) };
        let name = format!("{}-{}", self.addition.name, kind.as_str());
        match self.add(&name, kind, file, &inspection, |request| request)? {
            Found::Already(id) | Found::New(id) => Ok(Some(id)),
        }
    }

    fn add(
        &self,
        name: &str,
        kind: ImageKind,
        file: &Path,
        inspection: &Inspection,
        complete: impl FnOnce(Request) -> Request,
    ) -> Result<Found, Fault> {
        let own = self.client.credentials().account.as_str();
        let named = self.client.images_named(name)?;
        if let Some(image) = named.into_iter().find(|image| image.image_owner_id == own) {
            let blob = digest_file(file).map_err(|e| Fault::of(&e))?;
            return match image.is_of(&blob) {
                true => Ok(Found::Already(image.image_id)),
                false => Err(Fault::failed(format!(
                    "another image is named `{name}`: {}",
                    image.image_id
                ))
                .remedy(format!(
                    "choose another with `--name`, or `mallee image remove {}` first",
                    image.image_id
                ))),
            };
        }
        let blob = import(self.state, file)?;
        let location = location(blob, kind, inspection, self.addition.public);
        let request = register_image(name, &location)
            .with("Architecture", ec2_architecture(&self.addition.architecture))
            .with_some("Description", self.addition.description.as_ref());
        let id = self.client.register_image(&complete(request))?;
        Ok(Found::New(id))
    }
}

fn location(blob: BlobId, kind: ImageKind, inspection: &Inspection, public: bool) -> Location {
    let format = match inspection.format {
        Format::Qcow2 => DiskFormat::Qcow2,
        Format::RawDisk
        | Format::RawFileSystem
        | Format::BzImage
        | Format::ElfKernel
        | Format::Cpio
        | Format::Gzip
        | Format::Xz
        | Format::Zstd
        | Format::Lz4 => DiskFormat::Raw,
    };
    let size_gib = inspection.virtual_bytes.div_ceil(1 << 30).max(1);
    Location { blob, format, size_gib, kind, public }
}

/// EC2's word for what Debian and the kernel call otherwise.
fn ec2_architecture(named: &str) -> &str {
    match named {
        "amd64" => "x86_64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn import(state: &StateDirectory, file: &Path) -> Result<BlobId, Fault> {
    let opened = Blobs::open(&state.cloud_blobs(), &state.cloud_blobs_lock());
    let blobs = opened.map_err(|e| Fault::of(&e))?;
    let mut progress = Progress::begin();
    let doing = format!("copying {}", file.file_name().unwrap_or_default().display());
    let mut show = |done, total| progress.bytes(&doing, done, total);
    blobs.import(file, None, &mut show).map_err(|e| Fault::of(&e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_image_is_named_after_its_file_unless_it_is_given_a_name() {
        assert_eq!(name_of(Path::new("/a/debian-12.qcow2")).unwrap(), "debian-12");
        assert!(name_of(Path::new("/")).unwrap_err().to_string().contains("`--name`"));
    }

    #[test]
    fn a_size_is_what_the_guest_sees_in_whole_gibibytes() {
        let size = |virtual_bytes| {
            let inspection = Inspection { format: Format::Qcow2, virtual_bytes };
            location(BlobId::of_digest([0; 32]), ImageKind::Machine, &inspection, true).size_gib
        };
        assert_eq!((size(1), size(1 << 30), size((1 << 30) + 1)), (1, 1, 2));
    }

    #[test]
    fn a_file_that_cannot_be_an_image_is_refused_before_anything_is_copied() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f.img");
        fs::write(&file, vec![0; 4096]).unwrap();
        let fault = looked_at(&file, Role::Disk).unwrap_err().to_string();
        assert!(fault.contains("no boot sector") && fault.contains("`--kernel FILE`"), "{fault}");
        assert!(looked_at(&directory.path().join("absent"), Role::Kernel).is_err());
    }

    #[test]
    fn bytes_are_imported_once_however_often_they_are_added() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().join("state"));
        let file = directory.path().join("f.img");
        fs::write(&file, b"bytes").unwrap();
        let blob = import(&state, &file).unwrap();
        assert_eq!(import(&state, &file).unwrap(), blob);
        assert_eq!(blob, digest_file(&file).unwrap());
        let blobs = Blobs::open(&state.cloud_blobs(), &state.cloud_blobs_lock()).unwrap();
        assert_eq!(blobs.list().unwrap(), [(blob, 5)]);
    }
}
