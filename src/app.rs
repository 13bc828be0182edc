//! The composition root: configuration in, running service out.

use crate::config::Config;

/// Why the service did not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("this build has no {0}")]
    Absent(&'static str),
}

/// Runs the service until it is told to stop.
pub async fn serve(config: Config) -> Result<(), AppError> {
    let _ = config;
    Err(AppError::Absent("service"))
}

/// Prepares the data folder and every store.
pub async fn setup(config: Config) -> Result<(), AppError> {
    let _ = config;
    Err(AppError::Absent("set-up"))
}
