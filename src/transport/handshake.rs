//! The first words on a link: which version of the protocol, how many questions at a time.
//!
//! The dialer greets, the listener welcomes it or says why not. Greetings are read by every version
//! there will be: fields are added at their end only, and what a reader does not know it ignores.

use super::{
    frame::codec,
    limits::{FRAME_LIMIT_BYTES, GREETING_LIMIT_BYTES},
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{io, ops::RangeInclusive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// The versions of the protocol spoken here.
const VERSIONS: RangeInclusive<u16> = 1..=1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    version_min: u16,
    version_max: u16,
    /// For the logs of the other end.
    software: String,
    questions_max: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Reply {
    Welcome {
        version: u16,
        software: String,
        questions_max: u32,
    },
    /// Turned away: why, in words for the logs of the other end.
    Refused(String),
    /// Turned away for good: its certificate is not believed any more.
    Revoked,
}

/// Why somebody with a certificate of the cloud may not come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    #[error("its certificate was revoked")]
    Revoked,
    #[error("{0}")]
    Because(String),
}

impl From<String> for NotAdmitted {
    fn from(why: String) -> NotAdmitted {
        NotAdmitted::Because(why)
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum GreetingFault {
    /// What this end told the other.
    #[error("{0}")]
    Refused(String),
    /// What the other end told this one.
    #[error("it refused: {0}")]
    RefusedByPeer(String),
    #[error("it refused: the certificate of this process was revoked")]
    Revoked,
    #[error("it sent a greeting that cannot be read")]
    Unreadable,
    #[error("it closed the connection without a greeting")]
    Silent,
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

/// A connection on which nothing large is read yet.
pub(super) fn greeting<S: AsyncRead + AsyncWrite>(stream: S) -> Framed<S, LengthDelimitedCodec> {
    Framed::new(stream, codec(GREETING_LIMIT_BYTES))
}

impl Hello {
    fn own(questions_max: usize) -> Hello {
        Hello {
            version_min: *VERSIONS.start(),
            version_max: *VERSIONS.end(),
            software: software(),
            questions_max: u32::try_from(questions_max).unwrap_or(u32::MAX),
        }
    }

    /// The version to speak with one that speaks these.
    fn version(&self) -> Result<u16, String> {
        let highest = self.version_max.min(*VERSIONS.end());
        if self.version_min <= highest && VERSIONS.contains(&highest) {
            return Ok(highest);
        }
        Err(format!(
            "`{}` speaks versions {} to {} of the protocol, `{}` versions {} to {}",
            self.software,
            self.version_min,
            self.version_max,
            software(),
            VERSIONS.start(),
            VERSIONS.end(),
        ))
    }
}

/// The dialer's part. How many questions the peer answers at a time.
pub(super) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    framed: &mut Framed<S, LengthDelimitedCodec>,
    questions_max: usize,
) -> Result<usize, GreetingFault> {
    say(framed, &Hello::own(questions_max)).await?;
    match hear(framed).await? {
        Reply::Welcome { version, questions_max, .. } if VERSIONS.contains(&version) => {
            admitted(framed);
            Ok(questions_max as usize)
        }
        Reply::Welcome { .. } => Err(GreetingFault::Unreadable),
        Reply::Refused(reason) => Err(GreetingFault::RefusedByPeer(reason)),
        Reply::Revoked => Err(GreetingFault::Revoked),
    }
}

/// The listener's part, for a peer that `admitted` says may come in, or why not.
pub(super) async fn welcome<S: AsyncRead + AsyncWrite + Unpin>(
    framed: &mut Framed<S, LengthDelimitedCodec>,
    questions_max: usize,
    may_come_in: Result<(), NotAdmitted>,
) -> Result<usize, GreetingFault> {
    let hello: Hello = hear(framed).await?;
    match may_come_in.and_then(|()| Ok(hello.version()?)) {
        Ok(version) => {
            let Hello { software, questions_max, .. } = Hello::own(questions_max);
            say(framed, &Reply::Welcome { version, software, questions_max }).await?;
            admitted(framed);
            Ok(hello.questions_max as usize)
        }
        Err(reason) => {
            let told = reason.to_string();
            let reply = match reason {
                NotAdmitted::Revoked => Reply::Revoked,
                NotAdmitted::Because(why) => Reply::Refused(why),
            };
            say(framed, &reply).await?;
            SinkExt::<Bytes>::close(framed).await?;
            Err(GreetingFault::Refused(told))
        }
    }
}

pub(super) async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    framed: &mut Framed<S, LengthDelimitedCodec>,
    words: &impl Serialize,
) -> Result<(), GreetingFault> {
    let bytes = postcard::to_stdvec(words).map_err(|_| GreetingFault::Unreadable)?;
    Ok(framed.send(Bytes::from(bytes)).await?)
}

pub(super) async fn hear<S: AsyncRead + AsyncWrite + Unpin, T: DeserializeOwned>(
    framed: &mut Framed<S, LengthDelimitedCodec>,
) -> Result<T, GreetingFault> {
    let bytes = framed.next().await.ok_or(GreetingFault::Silent)??;
    postcard::from_bytes(&bytes).map_err(|_| GreetingFault::Unreadable)
}

fn admitted<S>(framed: &mut Framed<S, LengthDelimitedCodec>) {
    framed.codec_mut().set_max_frame_length(FRAME_LIMIT_BYTES);
}

fn software() -> String {
    concat!("mallee ", env!("CARGO_PKG_VERSION")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaking(version_min: u16, version_max: u16) -> Hello {
        Hello { version_min, version_max, software: "mallee 9.9".into(), questions_max: 1 }
    }

    #[test]
    fn the_highest_version_that_both_speak_is_spoken() {
        assert_eq!(speaking(1, 1).version(), Ok(1));
        assert_eq!(speaking(0, 7).version(), Ok(1));
        for (min, max) in [(2, 7), (0, 0), (2, 1), (7, 0)] {
            let why = speaking(min, max).version().unwrap_err();
            assert!(why.contains("mallee 9.9") && why.contains("versions 1 to 1"), "{why}");
        }
    }

    #[tokio::test]
    async fn both_learn_how_many_questions_the_other_answers() {
        let (near, far) = tokio::io::duplex(1024);
        let (mut near, mut far) = (greeting(near), greeting(far));
        let (turns, offered) = tokio::join!(greet(&mut near, 3), welcome(&mut far, 5, Ok(())));
        assert_eq!((turns.unwrap(), offered.unwrap()), (5, 3));
    }

    #[tokio::test]
    async fn who_is_turned_away_is_told_why() {
        let (near, far) = tokio::io::duplex(1024);
        let (mut near, mut far) = (greeting(near), greeting(far));
        let refusal = Err(NotAdmitted::Because("not today".to_owned()));
        let (near, far) = tokio::join!(greet(&mut near, 3), welcome(&mut far, 5, refusal));
        assert_eq!(near.unwrap_err().to_string(), "it refused: not today");
        assert_eq!(far.unwrap_err().to_string(), "not today");
    }

    #[tokio::test]
    async fn who_was_revoked_is_told_so_in_no_other_words() {
        let (near, far) = tokio::io::duplex(1024);
        let (mut near, mut far) = (greeting(near), greeting(far));
        let revoked = Err(NotAdmitted::Revoked);
        let (near, far) = tokio::join!(greet(&mut near, 3), welcome(&mut far, 5, revoked));
        assert!(matches!(near.unwrap_err(), GreetingFault::Revoked));
        assert_eq!(far.unwrap_err().to_string(), "its certificate was revoked");
    }

    #[tokio::test]
    async fn a_greeting_may_have_more_fields_than_are_known() {
        let (near, far) = tokio::io::duplex(1024);
        let (mut near, mut far) = (greeting(near), greeting(far));
        let longer = (Hello::own(3), "a field of version 2");
        let (said, heard) = tokio::join!(say(&mut near, &longer), welcome(&mut far, 5, Ok(())));
        said.unwrap();
        assert_eq!(heard.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_large_greeting_is_not_read() {
        let (mut near, far) = tokio::io::duplex(1024);
        let mut far = greeting(far);
        tokio::io::AsyncWriteExt::write_u32(&mut near, 1 << 20).await.unwrap();
        let fault = welcome(&mut far, 5, Ok(())).await.unwrap_err();
        assert!(matches!(fault, GreetingFault::Io(_)), "{fault}");
    }
}
