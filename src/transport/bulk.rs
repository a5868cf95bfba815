//! Bytes by the gigabyte, on a connection of their own, so that no question waits behind them.
//!
//! A child asks its parent for a blob by name, from an offset on (to go on where it was broken
//! off), and hears how long the whole is before the bytes come. Nobody reads faster than the other
//! writes: what is in flight is what the network holds and one chunk. A connection carries one
//! blob. Whether the bytes are the right ones is for whoever knows the blob's digest.

use super::{
    dial::{Dial, Stream},
    handshake::{GreetingFault, greeting, hear, say},
    identity::Peer,
    tls::Protocol,
};
use bytes::{Bytes, BytesMut};
use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use std::{fmt, io, rc::Rc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

const CHUNK_BYTES: usize = 64 << 10;

/// Who has blobs, and who may have them.
pub trait Provide {
    /// The content of a blob from `offset` on. An error is told to the peer.
    fn open(
        &self,
        peer: Rc<Peer>,
        name: String,
        offset: u64,
    ) -> LocalBoxFuture<'static, Result<Blob, String>>;
}

/// For a parent whose children need no blobs of it.
#[derive(Debug)]
pub struct NoBlobs;

impl Provide for NoBlobs {
    fn open(
        &self,
        _: Rc<Peer>,
        _: String,
        _: u64,
    ) -> LocalBoxFuture<'static, Result<Blob, String>> {
        Box::pin(async { Err("there are no blobs here".to_owned()) })
    }
}

pub struct Blob {
    /// Of the whole, whatever the offset.
    pub length: u64,
    pub content: Box<dyn AsyncRead + Unpin>,
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.length)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BulkFault {
    #[error("the parent cannot be reached: {0}")]
    Unreachable(String),
    #[error("the parent refused: {0}")]
    Refused(String),
    #[error("the offset is beyond the blob's {length} bytes")]
    Beyond { length: u64 },
    /// Ask again from where it stopped.
    #[error("the bytes stopped coming: {0}")]
    Broken(String),
}

#[derive(Serialize, Deserialize)]
struct Wanted {
    name: String,
    offset: u64,
}

#[derive(Serialize, Deserialize)]
enum Reply {
    Follows { length: u64 },
    Refused(String),
}

/// A blob on its way here.
pub struct Incoming {
    stream: Stream,
    /// What came together with the reply.
    early: BytesMut,
    length: u64,
    left: u64,
    patience: Duration,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({} of {} bytes to come)", self.left, self.length)
    }
}

/// Asks the parent for a blob.
pub async fn fetch(dial: &Dial, name: &str, offset: u64) -> Result<Incoming, BulkFault> {
    let (stream, _) = dial
        .connect(Protocol::Bulk, &dial.credentials.get())
        .await
        .map_err(BulkFault::Unreachable)?;
    let mut framed = greeting(stream);
    let exchange = async {
        say(&mut framed, &Wanted { name: name.to_owned(), offset }).await?;
        hear(&mut framed).await
    };
    let reply = timeout(dial.limits.connect_within, exchange)
        .await
        .map_err(|_| BulkFault::Unreachable("it did not answer in time".into()))?
        .map_err(|fault| BulkFault::Unreachable(fault.to_string()))?;
    let length = match reply {
        Reply::Follows { length } => length,
        Reply::Refused(reason) => return Err(BulkFault::Refused(reason)),
    };
    let left = length.checked_sub(offset).ok_or(BulkFault::Beyond { length })?;
    let parts = framed.into_parts();
    Ok(Incoming {
        stream: parts.io,
        early: parts.read_buf,
        length,
        left,
        patience: dial.limits.stall_max,
    })
}

impl Incoming {
    /// Of the whole blob.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The next bytes; `None` after the last. Bytes that stop coming before the last are a fault.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BulkFault> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.early.is_empty() {
            self.early.reserve(CHUNK_BYTES);
            let read = timeout(self.patience, self.stream.read_buf(&mut self.early))
                .await
                .map_err(|_| BulkFault::Broken(format!("none for {:?}", self.patience)))?
                .map_err(|fault| BulkFault::Broken(fault.to_string()))?;
            if read == 0 {
                return Err(BulkFault::Broken("the parent closed the connection".into()));
            }
        }
        let bytes = self.early.split().freeze();
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| BulkFault::Broken("more came than the blob has".into()))?;
        Ok(Some(bytes))
    }
}

/// The listener's part, for a peer that may fetch, or why not.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: Rc<Peer>,
    provider: &dyn Provide,
    may_fetch: Result<(), String>,
    patience: Duration,
) -> Result<(), GreetingFault> {
    let mut framed = greeting(stream);
    let Wanted { name, offset } = timeout(patience, hear(&mut framed))
        .await
        .map_err(|_| GreetingFault::Refused("it did not say which blob it wants".into()))??;
    let opened = match may_fetch {
        Ok(()) => provider.open(peer, name.clone(), offset).await,
        Err(why) => Err(why),
    };
    let blob = match opened {
        Ok(blob) if offset <= blob.length => blob,
        Ok(blob) => {
            // The same answer as for any length: the child compares.
            say(&mut framed, &Reply::Follows { length: blob.length }).await?;
            return Err(GreetingFault::Refused(format!("`{name}` ends before {offset}")));
        }
        Err(reason) => {
            say(&mut framed, &Reply::Refused(reason.clone())).await?;
            return Err(GreetingFault::Refused(format!("blob `{name}`: {reason}")));
        }
    };
    say(&mut framed, &Reply::Follows { length: blob.length }).await?;
    let mut stream = framed.into_parts().io;
    send(blob, offset, &mut stream, patience).await
}

async fn send(
    blob: Blob,
    offset: u64,
    stream: &mut (impl AsyncWrite + Unpin),
    patience: Duration,
) -> Result<(), GreetingFault> {
    let Blob { length, content } = blob;
    let mut content = content.take(length - offset);
    let mut left = length - offset;
    let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
    while left > 0 {
        chunk.clear();
        let read = content.read_buf(&mut chunk).await?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the blob ends {left} bytes early"),
            )
            .into());
        }
        left -= read as u64;
        timeout(patience, stream.write_all(&chunk))
            .await
            .map_err(|_| GreetingFault::Refused(format!("it has not read for {patience:?}")))??;
        // A fast network would keep this going, and questions share the thread.
        tokio::task::yield_now().await;
    }
    let end = async {
        stream.flush().await?;
        stream.shutdown().await
    };
    timeout(patience, end)
        .await
        .map_err(|_| GreetingFault::Refused(format!("it has not read for {patience:?}")))??;
    Ok(())
}
