//! The position of a tail, in memory and in a file.

use std::{fs, io, path::PathBuf};

use super::CliError;
use crate::files;

/// The id to resume a tail from, and the file it is saved in, if any.
pub(super) struct ResumePosition {
    file: Option<PathBuf>,
    id: Option<String>,
    saved: Option<String>,
}

impl ResumePosition {
    /// Reads the position of an earlier tail, if the file exists.
    pub(super) fn open(file: Option<PathBuf>) -> Result<Self, CliError> {
        let Some(path) = &file else { return Ok(Self { file, id: None, saved: None }) };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(CliError::local(format!("{}: {error}", path.display()))),
        };
        let id = text.trim();
        if !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CliError::local(format!("{}: it does not contain the position of a tail", path.display()))
                .with_advice("name another file, or remove it to start over"));
        }
        let id = Some(id.to_owned()).filter(|id| !id.is_empty());
        Ok(Self { saved: id.clone(), file, id })
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn advance(&mut self, id: String) {
        self.id = Some(id);
    }

    /// Writes the file if the position has changed.
    pub(super) fn save(&mut self) -> Result<(), CliError> {
        let (Some(path), Some(id)) = (&self.file, &self.id) else { return Ok(()) };
        if self.saved.as_ref() == Some(id) {
            return Ok(());
        }
        let unwritable = |error| CliError::local(format!("{}: the position cannot be saved: {error}", path.display()));
        files::replace(path, format!("{id}\n").as_bytes()).map_err(unwritable)?;
        self.saved = Some(id.clone());
        Ok(())
    }
}
