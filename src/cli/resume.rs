//! How far a tail has come, in memory and in a file.

use std::{fs, io, path::PathBuf};

use super::Failure;
use crate::files;

/// The id of the last thing that a tail told, and the file that it is kept in, if any.
pub(super) struct Place {
    file: Option<PathBuf>,
    id: Option<String>,
    kept: Option<String>,
}

impl Place {
    /// Where the tail before ended, if the file is there.
    pub(super) fn open(file: Option<PathBuf>) -> Result<Self, Failure> {
        let Some(path) = &file else { return Ok(Self { file, id: None, kept: None }) };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::local(format!("{}: {error}", path.display()))),
        };
        let id = text.trim();
        if !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::local(format!("{}: it does not hold the place of a tail", path.display()))
                .advise("name another file, or remove it to begin anew"));
        }
        let id = Some(id.to_owned()).filter(|id| !id.is_empty());
        Ok(Self { kept: id.clone(), file, id })
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn reach(&mut self, id: String) {
        self.id = Some(id);
    }

    /// Writes the file if it is behind.
    pub(super) fn keep(&mut self) -> Result<(), Failure> {
        let (Some(path), Some(id)) = (&self.file, &self.id) else { return Ok(()) };
        if self.kept.as_ref() == Some(id) {
            return Ok(());
        }
        let unwritable = |error| Failure::local(format!("{}: the place cannot be kept: {error}", path.display()));
        files::replace(path, format!("{id}\n").as_bytes()).map_err(unwritable)?;
        self.kept = Some(id.clone());
        Ok(())
    }
}
