//! Images on their way from the cloud through a group: fetched once, kept, and passed on while they
//! are still coming.

use super::{
    local::{named, whole},
    remote::RemoteImages,
};
use crate::{
    blobs::{BlobFault, BlobSource, Progress, repository::Blobs},
    domain::blob::BlobId,
    transport::{
        bulk::{Blob, Provide},
        dial::Dial,
        identity::Peer,
    },
};
use futures_util::future::LocalBoxFuture;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};
use tokio::{
    io::{AsyncWriteExt, DuplexStream},
    sync::watch,
};

const CHUNK_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub struct Relay {
    blobs: Blobs,
    upstream: RemoteImages,
    limit_bytes: u64,
    coming: Mutex<BTreeMap<BlobId, watch::Receiver<Stage>>>,
}

/// How far a blob has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Asked,
    Coming { done: u64, total: u64 },
    There,
    Failed(String),
}

impl Relay {
    pub fn open(directory: &Path, limit_bytes: u64, upstream: Dial) -> Result<Relay, BlobFault> {
        let lock = directory.with_extension("lock");
        fs::create_dir_all(directory).map_err(BlobFault::io("created", directory))?;
        Ok(Relay {
            blobs: Blobs::open(directory, &lock)?,
            upstream: RemoteImages(upstream),
            limit_bytes,
            coming: Mutex::default(),
        })
    }

    async fn provide(self: Arc<Self>, name: String, offset: u64) -> Result<Blob, String> {
        let blob = named(&name)?;
        if let Ok(file) = self.blobs.reader(&blob) {
            // When it was used last; whoever makes room looks at it.
            let _ = file.set_modified(SystemTime::now());
            return whole(file, offset).await;
        }
        let mut stage = self.fetch(blob);
        let begun = |stage: &Stage| *stage != Stage::Asked;
        let begun = stage.wait_for(begun).await.map_err(|_| "its fetching has ended")?.clone();
        match begun {
            Stage::Failed(why) => Err(why),
            Stage::Coming { total, .. } => {
                let file = File::open(self.blobs.receiving(&blob));
                // It may be there whole by now.
                let file = file.or_else(|_| self.blobs.reader(&blob).map_err(io::Error::other));
                let file = file.map_err(|error| error.to_string())?;
                let (near, far) = tokio::io::duplex(CHUNK_BYTES);
                tokio::spawn(follow(file, offset, total, stage, far));
                Ok(Blob { length: total, content: Box::new(near) })
            }
            Stage::There | Stage::Asked => {
                let file = self.blobs.reader(&blob).map_err(|fault| fault.to_string())?;
                whole(file, offset).await
            }
        }
    }

    /// One transfer for however many ask.
    fn fetch(self: &Arc<Self>, blob: BlobId) -> watch::Receiver<Stage> {
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stage) = coming.get(&blob) {
            return stage.clone();
        }
        // It may have come since the asker looked.
        if self.blobs.path(&blob).is_ok() {
            return watch::channel(Stage::There).1;
        }
        let (tell, stage) = watch::channel(Stage::Asked);
        coming.insert(blob, stage.clone());
        let relay = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut progress = |done, total: Option<u64>| {
                tell.send_replace(Stage::Coming { done, total: total.unwrap_or(done) });
            };
            let outcome = relay.blobs.receive(&blob, &relay.upstream, &mut progress);
            let mut coming = relay.coming.lock().unwrap_or_else(PoisonError::into_inner);
            coming.remove(&blob);
            tell.send_replace(match outcome {
                Ok(()) => {
                    log::info!("blob `{blob}` is kept for the nodes of this group");
                    Stage::There
                }
                Err(fault) => {
                    log::warn!("blob `{blob}` cannot be passed on: {fault}");
                    Stage::Failed(fault.to_string())
                }
            });
            drop(coming);
            if let Err(fault) = relay.make_room(&blob) {
                log::warn!("no room can be made among the images kept: {fault}");
            }
        });
        stage
    }

    /// Gives up the least recently used beyond the limit, and never the newest. Who reads one that
    /// is given up reads on.
    fn make_room(&self, newest: &BlobId) -> Result<(), BlobFault> {
        let mut kept = Vec::new();
        for (blob, bytes) in self.blobs.list()? {
            let used = self.blobs.reader(&blob)?.metadata().and_then(|facts| facts.modified());
            kept.push((used.unwrap_or(SystemTime::UNIX_EPOCH), blob, bytes));
        }
        kept.sort();
        let mut bytes: u64 = kept.iter().map(|(_, _, bytes)| bytes).sum();
        for (_, blob, length) in kept {
            if bytes <= self.limit_bytes {
                break;
            }
            if blob != *newest {
                self.blobs.remove(&blob)?;
                bytes -= length;
            }
        }
        Ok(())
    }
}

/// Passes on what of a file is there, until all of it is.
async fn follow(
    file: File,
    offset: u64,
    total: u64,
    mut stage: watch::Receiver<Stage>,
    mut into: DuplexStream,
) {
    let file = Arc::new(file);
    let mut at = offset;
    while at < total {
        let enough = |stage: &Stage| match stage {
            Stage::Asked => false,
            Stage::Coming { done, .. } => *done > at,
            Stage::There | Stage::Failed(_) => true,
        };
        let there = match stage.wait_for(enough).await.as_deref() {
            Ok(Stage::Coming { done, .. }) => *done,
            Ok(Stage::There) => total,
            // The reader finds the end too early, and says so.
            Ok(Stage::Failed(_) | Stage::Asked) | Err(_) => return,
        };
        let (file, count) = (file.clone(), (there - at).min(CHUNK_BYTES as u64) as usize);
        let read = tokio::task::spawn_blocking(move || read_at(&file, at, count)).await;
        let Ok(Ok(bytes)) = read else { return };
        if into.write_all(&bytes).await.is_err() {
            // Nobody reads any more.
            return;
        }
        at += count as u64;
    }
}

/// Beyond the end of the file are zeroes that were not written yet.
fn read_at(file: &File, at: u64, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while filled < count {
        match file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// As its listener has it.
#[derive(Debug)]
pub struct RelayedImages(pub Arc<Relay>);

impl Provide for RelayedImages {
    fn open(
        &self,
        _: Rc<Peer>,
        name: String,
        offset: u64,
    ) -> LocalBoxFuture<'static, Result<Blob, String>> {
        Box::pin(self.0.clone().provide(name, offset))
    }
}

/// For nodes in the group's own process.
#[derive(Debug)]
pub struct RelaySource(pub Arc<Relay>);

impl BlobSource for RelaySource {
    fn fetch(
        &self,
        blob: &BlobId,
        into: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<(), BlobFault> {
        let relay = &self.0;
        if relay.blobs.path(blob).is_err() {
            let mut stage = relay.fetch(*blob);
            let over = |stage: &Stage| matches!(stage, Stage::There | Stage::Failed(_));
            let waited = tokio::runtime::Handle::current().block_on(stage.wait_for(over));
            if let Ok(Stage::Failed(why)) = waited.as_deref() {
                return Err(BlobFault::Unreachable { blob: *blob, why: why.clone() });
            }
        }
        relay.blobs.fetch(blob, into, progress)
    }
}
