//! Files that must survive a crash: small ones that are replaced atomically, and ones that are appended to.
//!
//! Everything that the service keeps on disk by itself passes these functions, so that tests can let each of their
//! system calls fail ([`faults`]).

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, IoSlice, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// A system call, as far as faults distinguish them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    CreateFolder,
    List,
    Open,
    Read,
    Remove,
    Rename,
    Sync,
    SyncFolder,
    Truncate,
    Write,
}

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "it fails in tests")]
fn attempt(_: Call, _: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
use faults::attempt;

/// Replaces the file's contents; durable on return. Only its owner can read a new file. On failure the file has its
/// old or its new contents.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, |file| file.write(&[bytes]))
}

/// Like [`replace`], with contents that are written piece by piece.
pub(crate) fn replace_with(path: &Path, write: impl FnOnce(&mut DurableFile) -> io::Result<()>) -> io::Result<()> {
    let beside = with_suffix(path, ".new");
    attempt(Call::Open, &beside)?;
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    let mut file = DurableFile { file, path: beside };
    write(&mut file)?;
    file.sync()?;
    rename(&file.path, path)?;
    sync_parent(path)
}

/// The path with a suffix added to the file's name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Makes the creation, renaming or removal of a file durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    attempt(Call::SyncFolder, parent)?;
    File::open(parent)?.sync_all()
}

/// Creates the folder and those above it, as far as absent; durable on return. Only its owner can use a new folder.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_folder(parent)?;
    }
    attempt(Call::CreateFolder, path)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if !path.is_dir() => Err(error),
        _ => sync_parent(path),
    }
}

pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    attempt(Call::Read, path)?;
    fs::read(path)
}

/// Opens a file to read parts of it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    attempt(Call::Read, path)?;
    File::open(path)
}

/// Like [`read`], but `None` if the file does not exist.
pub(crate) fn read_if_exists(path: &Path) -> io::Result<Option<Vec<u8>>> {
    unless_absent(read(path))
}

/// Reads a file piece by piece; `None` if it does not exist.
pub(crate) fn open_if_exists(path: &Path) -> io::Result<Option<File>> {
    attempt(Call::Open, path)?;
    unless_absent(File::open(path))
}

fn unless_absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Renames a file, in place of the one that has the new name, if any. Not durable before [`sync_parent`].
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    attempt(Call::Rename, to)?;
    fs::rename(from, to)
}

/// The names in a folder, in no order.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<OsString>> {
    attempt(Call::List, folder)?;
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Removes a file unless it is gone already. Not durable before [`sync_parent`].
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    attempt(Call::Remove, path)?;
    unless_absent(fs::remove_file(path)).map(Option::unwrap_or_default)
}

/// A file that is written to at its end.
pub(crate) struct DurableFile {
    file: File,
    path: PathBuf,
}

impl DurableFile {
    /// Opens an existing file.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        attempt(Call::Open, path)?;
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Opens a file, which is created if absent; its creation is not durable before [`sync_parent`]. Only its owner can
    /// read a new file.
    pub(crate) fn open_or_create(path: &Path) -> io::Result<Self> {
        attempt(Call::Open, path)?;
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// The number that distinguishes it from other files of its file system.
    pub(crate) fn inode(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.ino())
    }

    pub(crate) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all parts, if possible with one system call. On failure some of them may be written.
    pub(crate) fn write(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        if let Err(error) = attempt(Call::Write, &self.path) {
            let torn: Vec<u8> = parts.concat();
            self.file.write_all(torn.get(..torn.len() / 2).unwrap_or_default())?;
            return Err(error);
        }
        let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = slices.as_mut_slice();
        while rest.iter().any(|slice| !slice.is_empty()) {
            match self.file.write_vectored(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes the file's data and length durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        attempt(Call::Sync, &self.path)?;
        self.file.sync_data()
    }

    /// Cuts the file to this length, durably.
    pub(crate) fn truncate(&self, length: u64) -> io::Result<()> {
        attempt(Call::Truncate, &self.path)?;
        self.file.set_len(length)?;
        self.sync()
    }
}

/// Lets system calls fail.
#[cfg(test)]
pub(crate) mod faults {
    use std::{
        io,
        path::{Path, PathBuf},
        sync::{Mutex, PoisonError},
    };

    use super::Call;

    struct Plan {
        folder: PathBuf,
        /// The number of calls before the one that fails.
        before: usize,
        failed: Option<String>,
    }

    static PLANS: Mutex<Vec<Plan>> = Mutex::new(Vec::new());

    /// Lets one call on files in a folder fail, until it is dropped.
    pub(crate) struct OneFault {
        folder: PathBuf,
    }

    impl OneFault {
        /// Lets the call fail that follows after `before` others.
        pub(crate) fn after(before: usize, folder: &Path) -> Self {
            with_plans(|plans| plans.push(Plan { folder: folder.to_owned(), before, failed: None }));
            Self { folder: folder.to_owned() }
        }

        /// The call that failed, if it has come to that.
        pub(crate) fn failed(&self) -> Option<String> {
            with_plans(|plans| plans.iter().find(|plan| plan.folder == self.folder)?.failed.clone())
        }
    }

    impl Drop for OneFault {
        fn drop(&mut self) {
            with_plans(|plans| plans.retain(|plan| plan.folder != self.folder));
        }
    }

    pub(super) fn attempt(call: Call, path: &Path) -> io::Result<()> {
        with_plans(|plans| {
            for plan in plans.iter_mut().filter(|plan| plan.failed.is_none() && path.starts_with(&plan.folder)) {
                if plan.before == 0 {
                    plan.failed = Some(format!("{call:?} {}", path.display()));
                    return Err(io::Error::other("a fault of the test"));
                }
                plan.before -= 1;
            }
            Ok(())
        })
    }

    fn with_plans<T>(access: impl FnOnce(&mut Vec<Plan>) -> T) -> T {
        access(&mut PLANS.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
