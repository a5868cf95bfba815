//! The end of what a guest has printed on its serial console.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    time::SystemTime,
};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsoleTail {
    pub bytes: Vec<u8>,
    /// None: nothing was printed yet.
    pub written_at: Option<SystemTime>,
}

impl ConsoleTail {
    /// The last bytes of a log. One that does not exist has none.
    pub fn read(log: &Path, limit: usize) -> io::Result<ConsoleTail> {
        let mut file = match fs::File::open(log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(ConsoleTail::default());
            }
            file => file?,
        };
        let facts = file.metadata()?;
        file.seek(SeekFrom::Start(facts.len().saturating_sub(limit as u64)))?;
        let mut bytes = Vec::new();
        file.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(ConsoleTail { bytes, written_at: Some(facts.modified()?) })
    }
}
