//! Writes the trampolines through which this crate calls libvirt.
//!
//! Linking libvirt in the ordinary way would demand its headers and `.pc` file on every machine
//! that builds Mallee, and the library itself on every machine that runs it, even for a command
//! that never touches a guest. Instead each libvirt function the `virt` crate names becomes one
//! jump through a table, and `src/hypervisor/libvirt/loader.rs` fills the table from
//! `libvirt.so.0` at run time, or says plainly that libvirt is not installed.
//!
//! The names are a checked-in list and not read out of `virt-sys`, which tells dependants nothing
//! about where its bindings are. A name the list lacks is a link error, so the list cannot fall
//! behind unnoticed.

use std::{env, error::Error, fmt::Write, fs, path::Path};

const NAMES: &str = "src/hypervisor/libvirt/symbols.txt";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={NAMES}");
    let list = fs::read_to_string(NAMES)?;
    let names: Vec<&str> = list.lines().filter(|line| !line.is_empty()).collect();
    let architecture = env::var("CARGO_CFG_TARGET_ARCH")?;
    let generated = Path::new(&env::var("OUT_DIR")?).join("libvirt_trampolines.rs");
    fs::write(generated, source(&names, &architecture)?)?;
    Ok(())
}

/// A Rust file with `NAMES` and the assembly that defines each of them.
fn source(names: &[&str], architecture: &str) -> Result<String, Box<dyn Error>> {
    let (jump, options): (fn(&str, usize) -> String, &str) = match architecture {
        "x86_64" => (x86_64_jump, ", options(att_syntax)"),
        "aarch64" => (aarch64_jump, ""),
        other => return Err(format!("no libvirt trampolines for `{other}` yet").into()),
    };
    let mut out = String::new();
    writeln!(out, "static NAMES: [&std::ffi::CStr; {}] = [", names.len())?;
    for name in names {
        writeln!(out, "    c\"{name}\",")?;
    }
    writeln!(out, "];\nstd::arch::global_asm!(r#\"")?;
    // Hidden: were these exported, libvirt's own calls to its public functions would come back
    // through us. The table starts out full of `mallee_libvirt_absent`, so that a call before
    // loading ends with a message and not with a jump to address zero.
    writeln!(out, ".pushsection .data.mallee_libvirt_table,\"aw\"\n.balign 8")?;
    writeln!(out, ".globl mallee_libvirt_table\n.hidden mallee_libvirt_table")?;
    writeln!(out, "mallee_libvirt_table:")?;
    for _ in names {
        writeln!(out, ".quad mallee_libvirt_absent")?;
    }
    writeln!(out, ".popsection\n.pushsection .text.mallee_libvirt,\"ax\"\n.balign 16")?;
    for (index, name) in names.iter().enumerate() {
        writeln!(out, ".globl {name}\n.hidden {name}\n.type {name},%function\n{name}:")?;
        writeln!(out, "{}", jump("mallee_libvirt_table", index * 8))?;
    }
    writeln!(out, ".popsection\n\"#{options});")?;
    Ok(out)
}

fn x86_64_jump(table: &str, offset: usize) -> String {
    format!("jmp *{table}+{offset}(%rip)")
}

/// `x16` is the register the procedure call standard sets aside for veneers such as this.
fn aarch64_jump(table: &str, offset: usize) -> String {
    format!("adrp x16, {table}+{offset}\nldr x16, [x16, :lo12:{table}+{offset}]\nbr x16")
}
