//! Whether KVM truly works here, and so how guests are run.
//!
//! A `/dev/kvm` that opens proves nothing: under some nested hypervisors every guest instruction
//! is emulated one by one, a hundred times slower than native code, and a Linux guest seems to
//! hang. A handful of instructions passes in such a place, so the probe measures speed: a loop of
//! a million turns, native in about a millisecond, must end within `PROBE_LIMIT`.
//!
//! libvirt's own opinion (`domcapabilities`) only says that KVM exists, so it is not asked.

#[cfg(target_arch = "x86_64")]
mod probe;

use std::{fmt, str::FromStr, time::Duration};

/// How long the probe's loop may take before KVM counts as emulated.
pub const PROBE_LIMIT: Duration = Duration::from_millis(150);

/// What the probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvmVerdict {
    /// There is no usable `/dev/kvm`.
    Unavailable(String),
    /// It opens, and does not execute what it is given.
    Broken(String),
    /// It executes so slowly that software emulation is faster.
    Emulated {
        limit: Duration,
    },
    Works,
}

impl fmt::Display for KvmVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KvmVerdict::Unavailable(reason) => write!(f, "KVM is not available ({reason})"),
            KvmVerdict::Broken(reason) => {
                write!(f, "KVM opens, but guests do not run under it ({reason})")
            }
            KvmVerdict::Emulated { limit } => write!(
                f,
                "KVM opens, but guests hardly run under it (a million turns of a loop took more \
                 than {} ms)",
                limit.as_millis()
            ),
            KvmVerdict::Works => f.write_str("KVM works"),
        }
    }
}

impl KvmVerdict {
    /// What a person can do to have guests run under KVM.
    pub fn remedy(&self) -> &'static str {
        match self {
            KvmVerdict::Unavailable(_) => {
                "load the kernel's module (`modprobe kvm_intel` or `modprobe kvm_amd`), which needs \
                 virtualization enabled in the firmware, and let this user open `/dev/kvm` (group \
                 `kvm`)"
            }
            KvmVerdict::Broken(_) | KvmVerdict::Emulated { .. } => {
                "this host is most likely a virtual machine without nested virtualization: enable \
                 that where this host runs (on Linux load `kvm_intel` or `kvm_amd` with `nested=1` \
                 and pass the CPU through; at a provider choose a type that offers it), or use bare \
                 metal"
            }
            KvmVerdict::Works => "nothing needs to be done",
        }
    }
}

/// What runs the guests' instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    Kvm,
    /// QEMU's own translator: slow and works everywhere.
    Tcg,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "TCG",
        })
    }
}

/// The `accelerator` setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Requested {
    /// KVM where it truly works, TCG elsewhere.
    #[default]
    Auto,
    Kvm,
    Tcg,
}

impl FromStr for Requested {
    type Err = String;
    fn from_str(text: &str) -> Result<Requested, String> {
        match text {
            "auto" => Ok(Requested::Auto),
            "kvm" => Ok(Requested::Kvm),
            "tcg" => Ok(Requested::Tcg),
            other => Err(format!("`{other}` is not an accelerator: use `auto`, `kvm` or `tcg`")),
        }
    }
}

/// A choice, and why it was made, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub accelerator: Accelerator,
    pub reason: String,
}

impl Choice {
    /// Nothing was looked at.
    pub fn configured(accelerator: Accelerator) -> Choice {
        Choice { accelerator, reason: "as configured".to_owned() }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.accelerator, self.reason)
    }
}

/// KVM was asked for where it does not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "KVM was asked for: {verdict}; ask for `auto` to have guests run under TCG, slowly, or else {}",
    .verdict.remedy()
)]
pub struct KvmRefused {
    pub verdict: KvmVerdict,
}

/// Chooses, probing only where the answer matters.
pub fn choose(requested: Requested) -> Result<Choice, KvmRefused> {
    decide(requested, probe_kvm)
}

/// Measures whether KVM executes guest code at a sensible speed; ends within about `PROBE_LIMIT`.
#[cfg(target_arch = "x86_64")]
pub fn probe_kvm() -> KvmVerdict {
    probe::run(PROBE_LIMIT)
}

/// The probe's guest program is x86 code; elsewhere nobody has found a KVM that lies yet.
#[cfg(not(target_arch = "x86_64"))]
pub fn probe_kvm() -> KvmVerdict {
    match std::fs::File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_) => KvmVerdict::Works,
        Err(error) => KvmVerdict::Unavailable(format!("`/dev/kvm`: {error}")),
    }
}

fn decide(requested: Requested, probe: impl FnOnce() -> KvmVerdict) -> Result<Choice, KvmRefused> {
    let verdict = match requested {
        Requested::Tcg => return Ok(Choice::configured(Accelerator::Tcg)),
        Requested::Auto | Requested::Kvm => probe(),
    };
    match (verdict, requested) {
        (KvmVerdict::Works, _) => {
            let reason = "it was measured to work".to_owned();
            Ok(Choice { accelerator: Accelerator::Kvm, reason })
        }
        (verdict, Requested::Kvm) => Err(KvmRefused { verdict }),
        (verdict, Requested::Auto | Requested::Tcg) => {
            Ok(Choice { accelerator: Accelerator::Tcg, reason: verdict.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn emulated() -> KvmVerdict {
        KvmVerdict::Emulated { limit: PROBE_LIMIT }
    }

    #[test]
    fn auto_takes_kvm_only_where_it_works() {
        let choose = |verdict| decide(Requested::Auto, || verdict).unwrap().accelerator;
        assert_eq!(choose(KvmVerdict::Works), Accelerator::Kvm);
        assert_eq!(choose(emulated()), Accelerator::Tcg);
        assert_eq!(choose(KvmVerdict::Broken("x".into())), Accelerator::Tcg);
        assert_eq!(choose(KvmVerdict::Unavailable("x".into())), Accelerator::Tcg);
    }

    #[test]
    fn asking_for_kvm_where_it_does_not_work_is_refused_with_a_remedy() {
        let refused = decide(Requested::Kvm, emulated).unwrap_err();
        let text = refused.to_string();
        for said in ["150 ms", "ask for `auto`", "nested virtualization"] {
            assert!(text.contains(said), "{text}");
        }
        let refused = decide(Requested::Kvm, || KvmVerdict::Unavailable("absent".into()));
        assert!(refused.unwrap_err().to_string().contains("group `kvm`"));
    }

    #[test]
    fn asking_for_tcg_does_not_probe() {
        let choice = decide(Requested::Tcg, || unreachable!("TCG needs no probe")).unwrap();
        assert_eq!(choice.accelerator, Accelerator::Tcg);
    }

    #[test]
    fn the_reason_for_tcg_is_told() {
        let choice = decide(Requested::Auto, || KvmVerdict::Unavailable("`/dev/kvm`: gone".into()));
        let told = choice.unwrap().to_string();
        assert_eq!(told, "TCG: KVM is not available (`/dev/kvm`: gone)");
    }

    #[test]
    fn unknown_settings_are_refused() {
        assert_eq!("kvm".parse(), Ok(Requested::Kvm));
        assert!("hvf".parse::<Requested>().is_err());
    }

    #[test]
    fn the_probe_always_ends() {
        let begun = Instant::now();
        let verdict = probe_kvm();
        // Ten times the limit: the machine running this may be busy.
        assert!(begun.elapsed() < PROBE_LIMIT * 10, "{verdict} after {:?}", begun.elapsed());
        assert!(!matches!(verdict, KvmVerdict::Broken(_)), "{verdict}");
    }
}
