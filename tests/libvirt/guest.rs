//! A guest small enough to be read: one boot sector.
//!
//! It says on the serial port that it is up and then, eighteen times a second, looks whether its
//! power button was pressed or a character came in. `p` powers off, `r` reboots, `i` ignores the
//! power button from then on, anything else is echoed.
//!
//! Written for QEMU's `pc` machine under SeaBIOS: the power management ports are at 0x600.

use std::{path::Path, process::Command, slice};

/// What it writes when it is up.
pub const MARKER: &str = "conformance guest is up";

std::arch::global_asm!(
    r#"
    .pushsection .rodata.conformance_guest, "a"
    .globl conformance_guest
conformance_guest:
    .code16
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7000, %sp
    cld
    movw $0x602, %dx            # Enable the power button.
    movw $0x0100, %ax
    outw %ax, %dx
    movw $(0x7c00 + 5f - conformance_guest), %si
1:  lodsb
    testb %al, %al
    jz 2f
    movw $0x3f8, %dx
    outb %al, %dx
    jmp 1b
2:  sti                         # Sleep until the timer ticks.
    hlt
    movw $0x600, %dx            # Was the power button pressed?
    inw %dx, %ax
    testb $1, %ah
    jnz 3f
    movw $0x3fd, %dx            # Has a character come in?
    inb %dx, %al
    testb $1, %al
    jz 2b
    movw $0x3f8, %dx
    inb %dx, %al
    cmpb $'p', %al
    je 3f
    cmpb $'r', %al
    je 4f
    cmpb $'i', %al
    je 6f
    outb %al, %dx
    jmp 2b
3:  movw $0x604, %dx            # Power off.
    movw $0x2000, %ax
    outw %ax, %dx
    jmp 2b
4:  movb $0xfe, %al             # Reset, through the keyboard controller.
    outb %al, $0x64
    jmp 2b
6:  outb %al, %dx
    movw $0x602, %dx            # Disable the power button.
    xorw %ax, %ax
    outw %ax, %dx
    jmp 2b
5:  .asciz "conformance guest is up\r\n"
    .org conformance_guest + 510
    .byte 0x55, 0xaa
    .code64
    .popsection
    "#,
    options(att_syntax)
);

unsafe extern "C" {
    static conformance_guest: u8;
}

/// Writes a qcow2 disk that boots it.
pub fn write_disk(path: &Path) {
    // SAFETY: the assembly above defines exactly one sector there.
    let sector = unsafe { slice::from_raw_parts(&raw const conformance_guest, 512) };
    let raw = path.with_extension("raw");
    let mut disk = sector.to_vec();
    disk.resize(1 << 20, 0);
    std::fs::write(&raw, disk).unwrap();
    let made = Command::new("qemu-img")
        .args(["convert", "-q", "-f", "raw", "-O", "qcow2"])
        .args([&raw, path])
        .status();
    assert!(made.expect("qemu-img is installed").success());
}
