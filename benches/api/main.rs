//! The EC2 endpoint under load, beside what bounds it and what one would use instead.
//!
//! Every figure stands beside a floor or a peer measured in turns with it on the same machine, and
//! the ratio is the result: seconds here say nothing about seconds elsewhere. The floor of a read
//! is a bare actix-web server that checks the signature and returns the same bytes (`floor`); of a
//! launch, one durable write; its peer is moto, if it is installed.
//!
//! `cargo bench --bench api` runs all; words after `--` choose among `size`, `start`, `reads`,
//! `flatness` and `launches`. It asserts nothing but that requests are answered: a missed target
//! is printed, not failed, since a bench on a busy machine must not be a test.

#[path = "../bed/mod.rs"]
mod bed;
mod cloud;
mod commit;
mod floor;
mod launches;
mod load;
mod moto;
mod reads;
mod start;

use std::env;

const SECTIONS: [(&str, fn()); 5] = [
    ("size", start::size),
    ("start", start::start),
    ("reads", reads::reads),
    ("flatness", reads::flatness),
    ("launches", launches::launches),
];

fn main() {
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [word, listen, body] = &words[..]
        && word == floor::WORD
    {
        return floor::serve(listen, body);
    }
    let unknown = words.iter().find(|word| !SECTIONS.iter().any(|(name, _)| name == word));
    if let Some(word) = unknown {
        panic!("no section `{word}`; there are {:?}", SECTIONS.map(|(name, _)| name));
    }
    for (name, run) in SECTIONS {
        if words.is_empty() || words.iter().any(|word| word == name) {
            run();
        }
    }
}
