//! XML from a stranger: what is read of it can be written plainly, and is then read as the same.
#![no_main]

use mallee_fuzz::soap::Element;
use mallee_fuzz::soap::document::{Document, Limits};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::parse(bytes, &Limits::default()) else { return };
    let Ok(element) = document.element(document.root()) else { return };
    let mut written = String::new();
    write(&element, &mut written);
    // As deep as before; references in the place of characters make it longer.
    let limits = Limits {
        bytes_max: usize::MAX,
        tags_max: usize::MAX,
        attributes_max: usize::MAX,
        value_bytes_max: usize::MAX,
        prefixes_max: usize::MAX,
        ..Limits::default()
    };
    let document = Document::parse(written.as_bytes(), &limits).expect("it is plain");
    assert_eq!(document.element(document.root()), Ok(element));
});

fn write(element: &Element, out: &mut String) {
    let Element { namespace, name, children, text, nil } = element;
    out.push_str(&format!("<{name} xmlns=\""));
    write_text(namespace, out);
    out.push('"');
    if *nil {
        let instance = "http://www.w3.org/2001/XMLSchema-instance";
        out.push_str(&format!(" xmlns:i=\"{instance}\" i:nil=\"1\""));
    }
    out.push('>');
    children.iter().for_each(|child| write(child, out));
    write_text(text, out);
    out.push_str(&format!("</{name}>"));
}

fn write_text(text: &str, out: &mut String) {
    for character in text.chars() {
        if character.is_alphanumeric() {
            out.push(character);
        } else {
            out.push_str(&format!("&#{};", u32::from(character)));
        }
    }
}
