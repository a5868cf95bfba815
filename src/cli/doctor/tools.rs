//! Programs of the host that are called by name.

use super::{Check, install};
use crate::blobs::tool::{GZIP, LZ4, QEMU_IMG, Tool, XZ, ZSTD};

const NFT: Tool = Tool { name: "nft", package: "nftables" };
const IP: Tool = Tool { name: "ip", package: "iproute2" };
const SSH: Tool = Tool { name: "ssh", package: "openssh-client" };

/// For `mallee image build`.
const IMAGE_BUILDERS: [Tool; 6] = [
    Tool { name: "apt-get", package: "apt" },
    Tool { name: "apt-cache", package: "apt" },
    Tool { name: "dpkg-deb", package: "dpkg" },
    Tool { name: "mke2fs", package: "e2fsprogs" },
    Tool { name: "debugfs", package: "e2fsprogs" },
    Tool { name: "grub-mkimage", package: "grub-common" },
];
/// Kernels come packed in one of several ways.
const UNPACKERS: [Tool; 4] = [GZIP, LZ4, XZ, ZSTD];

pub fn checks() -> Vec<Check> {
    let missing = |tools: &[Tool]| {
        let missing = tools.iter().copied().filter(|tool| !tool.is_installed());
        missing.collect::<Vec<Tool>>()
    };
    vec![
        required("packet filter", "guests would be unprotected", &missing(&[NFT])),
        required("disk images", "no guest would have a disk", &missing(&[QEMU_IMG])),
        useful("ip", "looking at what was made on the host is harder without", &missing(&[IP])),
        useful("ssh", "`mallee ssh` needs it", &missing(&[SSH])),
        useful("image builder", "`mallee image build` needs them", &missing(&IMAGE_BUILDERS)),
        useful("unpackers", "compressed kernels need one of them", &missing(&UNPACKERS)),
    ]
}

fn required(about: &'static str, why: &str, missing: &[Tool]) -> Check {
    match missing {
        [] => Check::ok(about, "installed"),
        missing => Check::problem(about, finding(missing, why), install(&packages(missing))),
    }
}

fn useful(about: &'static str, why: &str, missing: &[Tool]) -> Check {
    match missing {
        [] => Check::ok(about, "installed"),
        missing => Check::warn(about, finding(missing, why), install(&packages(missing))),
    }
}

fn finding(missing: &[Tool], why: &str) -> String {
    let names: Vec<String> = missing.iter().map(|tool| format!("`{}`", tool.name)).collect();
    format!("not installed: {} ({why})", names.join(", "))
}

fn packages(missing: &[Tool]) -> String {
    let mut packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_missing_tool_is_told_with_its_package_each_package_once() {
        assert_eq!(required("x", "y", &[]).verdict, Verdict::Ok);
        let check = required("x", "y", &[NFT]);
        assert_eq!(check.verdict, Verdict::Problem);
        assert_eq!(check.remedy.unwrap(), "as root: apt-get install nftables");
        let check = useful("image builder", "y", &IMAGE_BUILDERS[2..5]);
        assert_eq!(check.verdict, Verdict::Warn);
        assert!(check.finding.contains("`dpkg-deb`, `mke2fs`, `debugfs` (y)"));
        assert_eq!(check.remedy.unwrap(), "as root: apt-get install dpkg e2fsprogs");
    }
}
