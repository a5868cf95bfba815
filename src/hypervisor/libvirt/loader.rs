//! libvirt, found at run time.
//!
//! `build.rs` says why the library is not linked and writes a trampoline for each of its
//! functions; here the table behind the trampolines is filled, once, from `libvirt.so.0`. On a
//! machine without libvirt that is an error a person can act on, and everything else works.
//!
//! A function that an old libvirt lacks keeps its first entry, which ends the process with a
//! message: its return type is unknown here, so no honest answer could be made up. Every function
//! this driver calls is as old as libvirt 6.

use std::{
    ffi::{CStr, c_void},
    ptr,
    sync::OnceLock,
};

include!(concat!(env!("OUT_DIR"), "/libvirt_trampolines.rs"));

unsafe extern "C" {
    /// The table the trampolines jump through, in the order of `NAMES`; defined in assembly.
    static mut mallee_libvirt_table: [usize; NAMES.len()];
}

/// Loads libvirt into this process, unless it is there already.
///
/// The answer is kept for the life of the process: a library cannot be loaded differently the
/// second time, and libvirt does not support being unloaded.
pub fn load() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED.get_or_init(fill_table).clone()
}

fn fill_table() -> Result<(), String> {
    // SAFETY: the argument is a C string; libvirt's constructors are meant for any process.
    let library = unsafe { libc::dlopen(c"libvirt.so.0".as_ptr(), libc::RTLD_NOW) };
    if library.is_null() {
        return Err(format!("libvirt is not installed ({})", last_error()));
    }
    for (index, name) in NAMES.iter().enumerate() {
        // SAFETY: `library` is a live handle and `name` a C string.
        let function: *mut c_void = unsafe { libc::dlsym(library, name.as_ptr()) };
        if function.is_null() {
            log::debug!("this libvirt has no `{}`", name.to_string_lossy());
            continue;
        }
        // SAFETY: only this function writes the table, `OnceLock` runs it once, and nobody calls
        // a trampoline before `load` has returned.
        unsafe {
            ptr::addr_of_mut!(mallee_libvirt_table)
                .cast::<usize>()
                .add(index)
                .write(function as usize)
        };
    }
    Ok(())
}

fn last_error() -> String {
    // SAFETY: `dlerror` answers null or a string that stays until the next call in this thread.
    unsafe {
        let text = libc::dlerror();
        if text.is_null() {
            return "no reason given".to_owned();
        }
        CStr::from_ptr(text).to_string_lossy().into_owned()
    }
}

/// What a trampoline jumps to as long as nothing better is known.
///
/// `no_mangle` because the assembly names it; it never returns, so the caller's idea of its
/// signature does not matter.
#[unsafe(no_mangle)]
extern "C" fn mallee_libvirt_absent() -> ! {
    const TEXT: &[u8] = b"fatal: a libvirt function was called that is not loaded\n";
    // SAFETY: the buffer is valid for its whole length.
    unsafe { libc::write(libc::STDERR_FILENO, TEXT.as_ptr().cast(), TEXT.len()) };
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_libvirt_answers_through_the_trampolines() {
        load().expect("libvirt is part of the development environment");
        let version = virt::connect::Connect::get_version().unwrap();
        assert!(version >= 6_000_000, "{version}");
    }

    #[test]
    fn names_are_sorted_and_distinct() {
        assert!(NAMES.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
