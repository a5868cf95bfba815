//! Images given out by the host that has the cloud's repository.

use crate::{
    blobs::repository::Blobs,
    domain::blob::BlobId,
    transport::{
        bulk::{Blob, Provide},
        identity::Peer,
    },
};
use futures_util::future::LocalBoxFuture;
use std::{fs::File, io::SeekFrom, rc::Rc, sync::Arc};
use tokio::io::AsyncSeekExt;

/// To every member of the cloud: which images are there is no secret from those who run them.
#[derive(Debug)]
pub struct LocalImages(pub Arc<Blobs>);

impl Provide for LocalImages {
    fn open(
        &self,
        _: Rc<Peer>,
        name: String,
        offset: u64,
    ) -> LocalBoxFuture<'static, Result<Blob, String>> {
        let blobs = self.0.clone();
        Box::pin(async move {
            let blob = named(&name)?;
            let opened = tokio::task::spawn_blocking(move || blobs.reader(&blob)).await;
            let opened = opened.map_err(|ended| ended.to_string())?;
            whole(opened.map_err(|fault| fault.to_string())?, offset).await
        })
    }
}

pub fn named(name: &str) -> Result<BlobId, String> {
    name.parse().map_err(|_| format!("`{name}` is no blob's name"))
}

/// A file that has all its bytes.
pub async fn whole(file: File, offset: u64) -> Result<Blob, String> {
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let mut content = tokio::fs::File::from_std(file);
    content.seek(SeekFrom::Start(offset)).await.map_err(|error| error.to_string())?;
    Ok(Blob { length, content: Box::new(content) })
}
