//! A whole message from a stranger, who knows what others have signed but has no key: nothing is
//! taken but what was signed, and that as it was meant.
#![no_main]

use mallee_fuzz::domain::time::Timestamp;
use mallee_fuzz::soap::certificate::fingerprint;
use mallee_fuzz::soap::document::Limits;
use mallee_fuzz::soap::{Certificates, Element, Receiver, Version};
use std::sync::LazyLock;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../src/soap/fixtures/", $name)).as_slice()
    };
}

/// A minute after all of them were made.
const NOW: Timestamp = Timestamp(1_795_435_260_000);

struct Registered;

impl Certificates for Registered {
    type Holder = ();

    fn find(&self, wanted: &[u8; 32]) -> Option<()> {
        static KNOWN: LazyLock<[[u8; 32]; 3]> = LazyLock::new(|| {
            [fixture!("rsa.cert.der"), fixture!("p256.cert.der"), fixture!("p384.cert.der")]
                .map(fingerprint)
        });
        KNOWN.contains(wanted).then_some(())
    }
}

/// What their makers meant by the messages that were signed.
static MEANT: LazyLock<[Element; 2]> = LazyLock::new(|| {
    [fixture!("zeep_binary_sha256.xml"), fixture!("tools_2008.xml")]
        .map(|message| taken(message).expect("it was signed"))
});

fn taken(message: &[u8]) -> Option<Element> {
    let receiver = Receiver::new(Limits::default(), Timestamp(0));
    let received = receiver.receive(message, Version::Soap11, &Registered, NOW).ok()?;
    let again = receiver.receive(message, Version::Soap11, &Registered, NOW);
    assert!(again.is_err(), "taken twice");
    Some(received.payload)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(payload) = taken(bytes) {
        assert!(MEANT.contains(&payload), "{payload:?}");
    }
});
