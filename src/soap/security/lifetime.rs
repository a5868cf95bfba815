//! When a message was made and until when it is good, and whether that is now.

use super::signature::children;
use crate::domain::time::Timestamp;
use crate::soap::document::{Document, Node};
use crate::soap::names::WSU;
use crate::soap::refused::Refused;
use std::time::Duration;

/// How far a sender's clock may be from ours.
const SKEW_MAX: Duration = Duration::from_secs(5 * 60);

/// How old a message may become on its way, whatever it says itself.
const AGE_MAX: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    created: Timestamp,
    expires: Option<Timestamp>,
}

impl Lifetime {
    /// Of a `Timestamp` element.
    pub fn read(document: &Document<'_>, node: Node) -> Result<Self, Refused> {
        let (mut created, mut expires) = (None, None);
        for child in children(document, node)? {
            let time = if document.is(child, WSU, "Created") {
                &mut created
            } else if document.is(child, WSU, "Expires") {
                &mut expires
            } else {
                return Err(Refused::Security("a Timestamp has Created and Expires only"));
            };
            if document.children(child).next().is_some() {
                return Err(Refused::Security("a time with an element in it"));
            }
            let read = instant(document.text(child).trim())
                .ok_or(Refused::Security("a time that is not as 2008-02-01T12:00:00Z"))?;
            if time.replace(read).is_some() {
                return Err(Refused::Security("a Timestamp with two of the same time"));
            }
        }
        let created = created.ok_or(Refused::Security("a Timestamp without Created"))?;
        if expires.is_some_and(|expires| expires <= created) {
            return Err(Refused::Security("a Timestamp that expires before it is created"));
        }
        Ok(Self { created, expires })
    }

    pub fn check(&self, now: Timestamp) -> Result<(), Refused> {
        if self.created > now + SKEW_MAX {
            return Err(Refused::Time("the Timestamp is in the future"));
        }
        if now > self.until() {
            return Err(Refused::Time("the Timestamp is too old"));
        }
        Ok(())
    }

    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// The last instant at which it is accepted.
    pub fn until(&self) -> Timestamp {
        let aged = self.created + AGE_MAX + SKEW_MAX;
        self.expires.map_or(aged, |expires| aged.min(expires + SKEW_MAX))
    }
}

/// An `xsd:dateTime` that says its zone.
fn instant(text: &str) -> Option<Timestamp> {
    const FORM: &[u8] = b"0000-00-00T00:00:00";
    let bytes = text.as_bytes();
    let (date_time, rest) = bytes.split_at_checked(FORM.len())?;
    let is_formed = date_time.iter().zip(FORM).all(|(byte, form)| match form {
        b'0' => byte.is_ascii_digit(),
        _ => byte == form,
    });
    let zone = match rest.split_first() {
        Some((b'.', fraction)) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return None;
            }
            &fraction[digits..]
        }
        _ => rest,
    };
    let is_zone = match zone {
        b"Z" => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|c| c.is_ascii_digit()),
        _ => false,
    };
    if !is_formed || !is_zone {
        return None;
    }
    let instant: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(instant.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        instant(text).unwrap()
    }

    fn lifetime(created: &str, expires: Option<&str>) -> Lifetime {
        Lifetime { created: at(created), expires: expires.map(at) }
    }

    #[test]
    fn times_are_read_with_and_without_fractions_in_any_zone() {
        let noon = at("2008-02-01T12:00:00Z");
        assert_eq!(noon, Timestamp(1_201_867_200_000));
        assert_eq!(at("2008-02-01T12:00:00.000Z"), noon);
        assert_eq!(at("2008-02-01T14:00:00+02:00"), noon);
        assert_eq!(at("2008-02-01T06:30:00.0-05:30"), noon);
        assert_eq!(at("2008-02-01T12:00:00.1234567Z"), Timestamp(noon.0 + 123));
    }

    #[test]
    fn what_does_not_say_one_instant_is_no_time() {
        for text in [
            "",
            "2008-02-01",
            "2008-02-01T12:00:00",
            "2008-02-01 12:00:00Z",
            "2008-02-01t12:00:00z",
            "2008-02-01T12:00Z",
            "2008-02-01T12:00:00.Z",
            "2008-02-01T12:00:00.1234567890Z",
            "2008-02-01T12:00:00+0200",
            "2008-02-01T12:00:00Z[UTC]",
            "2008-02-01T12:00:00+02:00[Europe/Berlin]",
            "2008-13-01T12:00:00Z",
            "2008-02-30T12:00:00Z",
            "２008-02-01T12:00:00Z",
            "-2008-02-01T12:00:00Z",
            "99999-02-01T12:00:00Z",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    #[test]
    fn a_message_is_good_for_a_quarter_of_an_hour_and_what_clocks_may_differ() {
        let made = lifetime("2008-02-01T12:00:00Z", None);
        for good in ["2008-02-01T11:55:00Z", "2008-02-01T12:20:00Z"] {
            assert_eq!(made.check(at(good)), Ok(()), "{good}");
        }
        for bad in ["2008-02-01T11:54:59.999Z", "2008-02-01T12:20:00.001Z"] {
            assert!(matches!(made.check(at(bad)), Err(Refused::Time(_))), "{bad}");
        }
    }

    #[test]
    fn a_message_that_says_when_it_expires_is_good_until_then_if_that_is_sooner() {
        let short = lifetime("2008-02-01T12:00:00Z", Some("2008-02-01T12:01:00Z"));
        assert_eq!(short.check(at("2008-02-01T12:06:00Z")), Ok(()));
        assert!(short.check(at("2008-02-01T12:06:00.001Z")).is_err());
        let long = lifetime("2008-02-01T12:00:00Z", Some("2009-02-01T12:00:00Z"));
        assert_eq!(long.until(), at("2008-02-01T12:20:00Z"));
    }
}
