//! Debian packages fetched and unpacked without installing them and without root.
//!
//! apt decides the versions and checks the lists' signatures; each package is compared with the
//! digest its list gives. What is in the work directory already is not fetched again.

use super::{ImagingFault, Step};
use crate::blobs::digest::digest_file;
use crate::blobs::tool::Tool;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub const APT_GET: Tool = Tool { name: "apt-get", package: "apt" };
pub const APT_CACHE: Tool = Tool { name: "apt-cache", package: "apt" };
pub const DPKG_DEB: Tool = Tool { name: "dpkg-deb", package: "dpkg" };

/// One version of one package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    pub file_name: String,
    pub sha256: String,
}

impl Package {
    fn name(&self) -> &str {
        self.file_name.split('_').next().expect("splitting gives at least one part")
    }
}

/// Names of the package and of all it depends on. Alternatives that are not packages are left out.
pub fn with_dependencies(roots: &[&str]) -> Result<BTreeSet<String>, ImagingFault> {
    let options = [
        "depends",
        "--recurse",
        "--no-recommends",
        "--no-suggests",
        "--no-conflicts",
        "--no-breaks",
        "--no-replaces",
        "--no-enhances",
    ];
    let listing = APT_CACHE.run(&[&options[..], roots].concat())?;
    let listing = String::from_utf8_lossy(&listing).into_owned();
    let names = listing.lines().filter(|line| !line.starts_with([' ', '<', '|']));
    Ok(names.map(|name| name.split(':').next().unwrap_or(name).to_owned()).collect())
}

/// The first package that `package` depends on: a meta-package's real one.
pub fn real_package(package: &str) -> Result<String, ImagingFault> {
    let listing = APT_CACHE.run(&["depends", "--important", package])?;
    let listing = String::from_utf8_lossy(&listing).into_owned();
    let dependency = listing.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    dependency.map(str::to_owned).ok_or_else(|| ImagingFault::FileMissing(package.to_owned()))
}

/// Whether apt has package lists; as root they are fetched if not.
pub fn require_lists(probe: &str, step: Step<'_>) -> Result<(), ImagingFault> {
    if knows(probe)? {
        return Ok(());
    }
    if !is_root() {
        return Err(ImagingFault::PackageListsMissing);
    }
    step("apt has no package lists: running `apt-get update`");
    APT_GET.run(&["update", "-q"])?;
    if knows(probe)? { Ok(()) } else { Err(ImagingFault::PackageListsMissing) }
}

pub fn is_root() -> bool {
    // SAFETY: takes no arguments, touches no memory and cannot fail; std has no such call.
    unsafe { libc::geteuid() == 0 }
}

/// `apt-cache show` fails for a package no list names, which is an answer here.
fn knows(package: &str) -> Result<bool, ImagingFault> {
    let status = Command::new(APT_CACHE.name)
        .args(["show", "--no-all-versions", package])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| APT_CACHE.not_started(&error))?;
    Ok(status.status.success() && !status.stdout.is_empty())
}

/// The versions apt would fetch now, with their digests.
pub fn resolve(names: &BTreeSet<String>) -> Result<Vec<Package>, ImagingFault> {
    let mut arguments = vec!["download", "--print-uris"];
    arguments.extend(names.iter().map(String::as_str));
    let listing = APT_GET.run(&arguments)?;
    let mut packages: Vec<Package> =
        String::from_utf8_lossy(&listing).lines().filter_map(parse_uri_line).collect();
    packages.sort();
    Ok(packages)
}

/// `'where' file size SHA256:digest`
fn parse_uri_line(line: &str) -> Option<Package> {
    let mut words = line.split_whitespace().skip(1);
    let file_name = words.next()?.to_owned();
    let sha256 = words.nth(1)?.strip_prefix("SHA256:")?.to_owned();
    Some(Package { file_name, sha256 })
}

/// Fetches what is not in `work` yet and unpacks it.
pub fn obtain(packages: &[Package], work: &Path, step: Step<'_>) -> Result<Unpacked, ImagingFault> {
    let archives = work.join("packages");
    fs::create_dir_all(&archives).map_err(ImagingFault::io("created", &archives))?;
    let missing: Vec<&str> = packages
        .iter()
        .filter(|package| !archives.join(&package.file_name).exists())
        .map(Package::name)
        .collect();
    if !missing.is_empty() {
        step(&format!("fetching {} Debian packages", missing.len()));
        download(&missing, &archives)?;
    }
    let mut roots = Vec::new();
    for package in packages {
        let archive = archives.join(&package.file_name);
        let root = work.join("unpacked").join(&package.sha256);
        if !root.exists() {
            step(&format!("unpacking {}", package.name()));
            check(package, &archive)?;
            unpack(&archive, &root)?;
        }
        roots.push(root);
    }
    Ok(Unpacked { roots })
}

fn download(names: &[&str], into: &Path) -> Result<(), ImagingFault> {
    let output = Command::new(APT_GET.name)
        // As root apt would fetch as another user, who may not write here.
        .args(["-q", "-o", "APT::Sandbox::User=root", "download"])
        .args(names)
        .current_dir(into)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| APT_GET.not_started(&error))?;
    if output.status.success() { Ok(()) } else { Err(APT_GET.failed(&output.stderr).into()) }
}

fn check(package: &Package, archive: &Path) -> Result<(), ImagingFault> {
    let actual = digest_file(archive)?.to_string();
    if actual == package.sha256 {
        return Ok(());
    }
    // So that the next attempt fetches it again.
    fs::remove_file(archive).map_err(ImagingFault::io("removed", archive))?;
    Err(ImagingFault::PackageDamaged { package: package.file_name.clone(), actual })
}

/// Unpacked beside and renamed, so that a directory that is there is whole.
fn unpack(archive: &Path, root: &Path) -> Result<(), ImagingFault> {
    let partial = root.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(ImagingFault::io("removed", &partial))?;
    }
    fs::create_dir_all(&partial).map_err(ImagingFault::io("created", &partial))?;
    DPKG_DEB.run(&["-x".as_ref(), archive.as_os_str(), partial.as_os_str()])?;
    fs::rename(&partial, root).map_err(ImagingFault::io("renamed", &partial))
}

/// Unpacked packages, searched by the end of a path: where exactly Debian keeps a file has moved
/// between `/lib` and `/usr/lib` over the years.
#[derive(Debug)]
pub struct Unpacked {
    roots: Vec<PathBuf>,
}

impl Unpacked {
    pub fn find(&self, path_end: &str) -> Result<PathBuf, ImagingFault> {
        self.search(&|path| path.ends_with(path_end))?
            .ok_or_else(|| ImagingFault::FileMissing(path_end.to_owned()))
    }

    pub fn read(&self, path_end: &str) -> Result<Vec<u8>, ImagingFault> {
        let path = self.find(path_end)?;
        fs::read(&path).map_err(ImagingFault::io("read", &path))
    }

    /// The first file, in the order of paths, whose whole path is wanted.
    pub fn search(&self, wanted: &dyn Fn(&Path) -> bool) -> Result<Option<PathBuf>, ImagingFault> {
        for root in &self.roots {
            if let Some(found) = search_below(root, wanted)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn search_below(
    directory: &Path,
    wanted: &dyn Fn(&Path) -> bool,
) -> Result<Option<PathBuf>, ImagingFault> {
    let listing = fs::read_dir(directory).map_err(ImagingFault::io("listed", directory))?;
    let mut paths = Vec::new();
    for entry in listing {
        paths.push(entry.map_err(ImagingFault::io("listed", directory))?.path());
    }
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            if let Some(found) = search_below(&path, wanted)? {
                return Ok(Some(found));
            }
        } else if wanted(&path) && path.is_file() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::{Package, parse_uri_line};

    #[test]
    fn a_line_of_apts_listing_gives_file_and_digest() {
        let line = "'http://mirror.example/x%2b1.deb' x_1%3a2+1_amd64.deb 123 SHA256:00ff";
        let package = Package { file_name: "x_1%3a2+1_amd64.deb".into(), sha256: "00ff".into() };
        assert_eq!(package.name(), "x");
        assert_eq!(parse_uri_line(line), Some(package));
        assert_eq!(parse_uri_line("W: some warning"), None);
        assert_eq!(parse_uri_line("'http://mirror.example/x.deb' x.deb 123 MD5Sum:00"), None);
    }
}
