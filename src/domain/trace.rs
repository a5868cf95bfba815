//! What a request is called while it is carried out: its id here, and its trace's everywhere.
//!
//! A trace is W3C's (Trace Context, level 1): a client that has one says so with `traceparent`, and
//! its id is then in what is told of the request, down to the node. Not here: spans of our own,
//! and what else a client says of its trace (`tracestate`).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// Not all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// The operation of a client's that a request is a part of. Not all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// What a client's `traceparent` says. Its flags are advice on what to keep of a trace, and all
/// that is told here is kept alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    pub trace: TraceId,
    pub span: SpanId,
}

/// Which request something is done for, as logs and events name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Of what no request asked for, a word for the occasion.
    pub request_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
}

impl Cause {
    /// Something that no request asked for.
    pub fn occasion(word: impl Into<String>) -> Cause {
        Cause { request_id: word.into(), trace_id: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not the id of a trace")]
pub struct NotATrace;

impl TraceId {
    /// A trace that begins here. `None` for the one value that is no id.
    pub fn of(bytes: [u8; 16]) -> Option<TraceId> {
        (bytes != [0; 16]).then_some(TraceId(bytes))
    }
}

impl FromStr for TraceParent {
    type Err = NotATrace;

    fn from_str(text: &str) -> Result<TraceParent, NotATrace> {
        let (this, further) = text.split_at_checked(55).ok_or(NotATrace)?;
        let [version, trace, span, flags]: [&str; 4] =
            this.split('-').collect::<Vec<_>>().try_into().map_err(|_| NotATrace)?;
        let [version] = bytes(version)?;
        let [_] = bytes(flags)?;
        // Later versions may say more, after a dash; what this one says they say alike.
        let is_known = match version {
            0 => further.is_empty(),
            0xff => false,
            _ => further.is_empty() || further.starts_with('-'),
        };
        let (trace, span) = (bytes(trace)?, bytes(span)?);
        match (is_known, TraceId::of(trace)) {
            (true, Some(trace)) if span != [0; 8] => Ok(TraceParent { trace, span: SpanId(span) }),
            _ => Err(NotATrace),
        }
    }
}

/// Exactly as many as there are, in lower case.
fn bytes<const N: usize>(hex: &str) -> Result<[u8; N], NotATrace> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Ok(c - b'0'),
        b'a'..=b'f' => Ok(c - b'a' + 10),
        _ => Err(NotATrace),
    };
    if hex.len() != 2 * N {
        return Err(NotATrace);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(bytes)
}

macro_rules! hex {
    ($($id:ty),+) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match serializer.is_human_readable() {
                    true => serializer.collect_str(self),
                    false => self.0.serialize(serializer),
                }
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$id, D::Error> {
                match deserializer.is_human_readable() {
                    true => {
                        let text = String::deserialize(deserializer)?;
                        bytes(&text).map(Self).map_err(de::Error::custom)
                    }
                    false => Deserialize::deserialize(deserializer).map(Self),
                }
            }
        }
    )+};
}

hex!(TraceId, SpanId);

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(text: &str) -> Option<(String, String)> {
        let parent: TraceParent = text.parse().ok()?;
        Some((parent.trace.to_string(), parent.span.to_string()))
    }

    #[test]
    fn a_parent_has_the_id_of_its_trace_and_of_its_span() {
        let expected = ("0af7651916cd43dd8448eb211c80319c".into(), "b7ad6b7169203331".into());
        assert_eq!(parse(GIVEN), Some(expected));
        assert_eq!(parse(&GIVEN.replace("-01", "-00")), parse(GIVEN));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = GIVEN.replacen("00", "cc", 1);
        assert_eq!(parse(&later), parse(GIVEN));
        assert_eq!(parse(&format!("{later}-what-the-future-will-be-like")), parse(GIVEN));
        assert_eq!(parse(&format!("{later}.what-the-future-will-be-like")), None);
    }

    #[test]
    fn what_is_malformed_is_no_parent() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        for wrong in [
            "".to_owned(),
            "00".to_owned(),
            GIVEN.to_uppercase(),
            format!("{GIVEN}-00"),
            format!("{GIVEN} "),
            GIVEN.replacen("00", "ff", 1),
            GIVEN.replace(trace, "00000000000000000000000000000000"),
            GIVEN.replace("b7ad6b7169203331", "0000000000000000"),
            GIVEN.replace(trace, &format!("{}g", &trace[1..])),
            GIVEN.replace('-', "_"),
            GIVEN.replacen("00-", "0-0", 1),
            "é".repeat(60),
        ] {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_id_is_a_text_to_people_and_bytes_between_processes() {
        let id = GIVEN.parse::<TraceParent>().unwrap().trace;
        let cause = Cause { request_id: "r".into(), trace_id: Some(id) };
        let text = serde_json::to_string(&cause).unwrap();
        assert_eq!(text, format!("{{\"request_id\":\"r\",\"trace_id\":\"{id}\"}}"));
        assert_eq!(serde_json::from_str::<Cause>(&text).unwrap(), cause);
        let packed = postcard::to_stdvec(&id).unwrap();
        assert_eq!(packed.len(), 16);
        assert_eq!(postcard::from_bytes::<TraceId>(&packed).unwrap(), id);
    }
}
