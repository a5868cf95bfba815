//! Images fetched from the parent, for whoever caches them.

use crate::{
    blobs::{BlobFault, BlobSource, Progress},
    domain::blob::BlobId,
    transport::{
        bulk::{self, BulkFault},
        dial::Dial,
    },
};
use std::{io::Write, thread, time::Duration};

/// How often a transfer that brings nothing is tried before it is given up, and how long in between.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Blocks its caller, as every source does, and goes on where it was broken off.
#[derive(Debug)]
pub struct RemoteImages(pub Dial);

impl BlobSource for RemoteImages {
    fn fetch(
        &self,
        blob: &BlobId,
        into: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<(), BlobFault> {
        let unreachable = |why: String| BlobFault::Unreachable { blob: *blob, why };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unreachable(error.to_string()))?;
        let mut done = 0;
        let mut failures = 0;
        loop {
            let before = done;
            let transfer = transfer(&self.0, blob, into, &mut done, progress);
            let why = match tokio::task::LocalSet::new().block_on(&runtime, transfer) {
                Ok(()) => return Ok(()),
                Err(Broken::Off(why)) => why,
                Err(Broken::ForGood(why)) => return Err(unreachable(why)),
            };
            failures = if done > before { 1 } else { failures + 1 };
            if failures >= ATTEMPTS {
                return Err(unreachable(why));
            }
            log::warn!(
                "blob `{blob}` stopped coming after {done} bytes, and is asked for again: {why}"
            );
            thread::sleep(PAUSE);
        }
    }
}

enum Broken {
    /// Worth another try.
    Off(String),
    ForGood(String),
}

impl From<BulkFault> for Broken {
    fn from(fault: BulkFault) -> Broken {
        match fault {
            BulkFault::Unreachable(_) | BulkFault::Broken(_) | BulkFault::Refused(_) => {
                Broken::Off(fault.to_string())
            }
            BulkFault::Beyond { .. } => Broken::ForGood(fault.to_string()),
        }
    }
}

async fn transfer(
    dial: &Dial,
    blob: &BlobId,
    into: &mut dyn Write,
    done: &mut u64,
    progress: Progress<'_>,
) -> Result<(), Broken> {
    let mut incoming = bulk::fetch(dial, &blob.to_string(), *done).await?;
    progress(*done, Some(incoming.length()));
    while let Some(bytes) = incoming.chunk().await? {
        into.write_all(&bytes).map_err(|error| Broken::ForGood(error.to_string()))?;
        *done += bytes.len() as u64;
        progress(*done, Some(incoming.length()));
    }
    Ok(())
}
