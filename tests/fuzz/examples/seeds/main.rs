//! The inputs that fuzzing begins with: what our own encoders and other libraries write, one file
//! for each thing worth telling apart.
//!
//!     cargo run --example seeds            writes them into seeds/
//!     cargo run --example seeds check      says which are not what would be written
//!
//! Other files in seeds/ are inputs that once broke something. They stay, and this leaves them alone.

// Instrumented or not: what instrumentation calls is there.
use libfuzzer_sys as _;

mod frames;
mod messages;
mod wires;

use mallee_fuzz::{api_bytes, transport_bytes};
use std::{env, fs, path::Path, process::ExitCode};

/// A target's name, and its inputs by name.
type Seeds = (&'static str, Vec<(&'static str, Vec<u8>)>);

fn main() -> ExitCode {
    let checks = env::args().nth(1).is_some_and(|word| word == "check");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut stale = 0;
    let of_the_api = vec![
        ("api_parameters", api_bytes::queries()),
        ("api_signature", api_bytes::signed()),
        ("transport_frame", transport_bytes::frames()),
        ("join_token", transport_bytes::tokens()),
    ];
    for (target, seeds) in [wires::seeds(), frames::seeds(), messages::seeds(), of_the_api].concat() {
        let directory = root.join(target);
        for (name, bytes) in seeds {
            let path = directory.join(name);
            if !checks {
                fs::create_dir_all(&directory).expect("seeds/ can be written to");
                fs::write(&path, bytes).expect("seeds/ can be written to");
            } else if fs::read(&path).ok().as_ref() != Some(&bytes) {
                eprintln!("seeds/{target}/{name} is not what `seeds` would write");
                stale += 1;
            }
        }
    }
    if stale == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
