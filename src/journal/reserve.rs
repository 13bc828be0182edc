//! A small reserve of disk space, released when the disk is full.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::files::{self, DurableFile};

/// More than the small files need that must be written before the journal can be trimmed.
const BYTES: usize = 256 << 10;

pub(super) struct Reserve {
    path: PathBuf,
    is_held: bool,
}

impl Reserve {
    /// Releases the reserve of an earlier run: a start may need the space.
    pub(super) fn free(folder: &Path) -> Self {
        let mut reserve = Self { path: folder.join("reserve"), is_held: true };
        reserve.release();
        reserve
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Succeeds if and only if there is room for it.
    pub(super) fn hold(&mut self) -> io::Result<()> {
        if !self.is_held {
            files::remove(&self.path)?;
            let held = DurableFile::open_or_create(&self.path).and_then(|mut file| file.write(&[&vec![0; BYTES]]));
            self.is_held = true;
            if held.is_err() {
                self.release();
            }
            return held;
        }
        Ok(())
    }

    pub(super) fn release(&mut self) {
        if self.is_held {
            // The file may not exist; if it cannot be removed, holding it again will fail with a better reason.
            let _ = files::remove(&self.path);
            self.is_held = false;
        }
    }
}
