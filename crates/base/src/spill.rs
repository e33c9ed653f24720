//! Where parts of a state go that do not fit in memory: a seam, so that those who keep state know no files.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard};

/// What a store calls a part. Never used again for other bytes.
pub type PartId = u64;

/// Keeps parts of state as bytes that never change. Bytes that come back are those that were put, or it is an error.
pub trait SpillStore: Send + Sync + std::fmt::Debug {
    /// Keeps the bytes; not yet safe from a loss of power.
    fn put(&self, bytes: &[u8]) -> io::Result<PartId>;

    fn get(&self, id: PartId) -> io::Result<Vec<u8>>;

    /// A state that was restored uses a part that a snapshot names, too.
    fn adopt(&self, id: PartId) -> io::Result<()>;

    /// The running state no longer needs the part (a snapshot may).
    fn remove(&self, id: PartId);
}

/// A store in memory, for tests.
#[derive(Debug, Default)]
pub struct MemoryStore {
    parts: Mutex<Parts>,
}

/// The last id, and users and bytes of each part.
type Parts = (PartId, HashMap<PartId, (u32, Vec<u8>)>);

impl MemoryStore {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Parts that are held.
    pub fn len(&self) -> usize {
        self.parts().1.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl SpillStore for MemoryStore {
    fn put(&self, bytes: &[u8]) -> io::Result<PartId> {
        let mut parts = self.parts();
        parts.0 += 1;
        let id = parts.0;
        parts.1.insert(id, (1, bytes.to_vec()));
        Ok(id)
    }

    fn get(&self, id: PartId) -> io::Result<Vec<u8>> {
        let parts = self.parts();
        let found = parts.1.get(&id).map(|part| part.1.clone());
        found.ok_or_else(|| missing(id))
    }

    fn adopt(&self, id: PartId) -> io::Result<()> {
        let mut parts = self.parts();
        let part = parts.1.get_mut(&id).ok_or_else(|| missing(id))?;
        part.0 += 1;
        Ok(())
    }

    fn remove(&self, id: PartId) {
        let mut parts = self.parts();
        if let Some(part) = parts.1.get_mut(&id) {
            part.0 -= 1;
            if part.0 == 0 {
                parts.1.remove(&id);
            }
        }
    }
}

fn missing(id: PartId) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no part {id}"))
}
