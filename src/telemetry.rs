//! The program's own log on standard error: lines for people, or one JSON object per line.

use std::io::{self, IsTerminal};

use tracing::Dispatch;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::config::{Log, LogFormat, LogLevel};

#[derive(Debug, thiserror::Error)]
#[error("the log has already been set up")]
pub struct AlreadySetUp;

/// Sends the program's log to standard error, in the configured format and from the configured level.
pub fn init(log: &Log) -> Result<(), AlreadySetUp> {
    let colours = if io::stderr().is_terminal() { Colours::Some } else { Colours::None };
    tracing::dispatcher::set_global_default(dispatch(log, colours, io::stderr)).map_err(|_| AlreadySetUp)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Colours {
    None,
    Some,
}

fn dispatch(log: &Log, colours: Colours, writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) -> Dispatch {
    let lines = tracing_subscriber::fmt()
        // A failed write would be reported on standard error too, by a panic of the logging thread.
        .log_internal_errors(false)
        .with_env_filter(filter(log.level))
        .with_writer(writer)
        .with_ansi(colours == Colours::Some);
    match log.format {
        LogFormat::Text => Dispatch::new(lines.finish()),
        LogFormat::Json => Dispatch::new(lines.json().flatten_event(true).with_span_list(false).finish()),
    }
}

/// The configured level applies to our own lines; lines of libraries below a warning appear only at the most verbose
/// level.
fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "warn,annals=info",
        LogLevel::Debug => "warn,annals=debug",
        LogLevel::Trace => "trace",
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::sync::{Arc, Mutex, PoisonError};

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the output for our own lines at info and debug, and a library's at info.
    fn written(level: LogLevel, format: LogFormat) -> String {
        let written = Written::default();
        let writer = written.clone();
        let log = Log { level, format, events: false };
        tracing::dispatcher::with_default(&dispatch(&log, Colours::None, move || writer.clone()), || {
            tracing::info!(target: "annals", events = 3, "shipped");
            tracing::debug!(target: "annals", "detail");
            tracing::info!(target: "hyper", "noise");
        });
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn json_lines_have_level_message_and_fields_at_the_top() {
        let text = written(LogLevel::Info, LogFormat::Json);
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["level"], &line["message"], &line["events"]), (&"INFO".into(), &"shipped".into(), &3.into()));
        assert!(line["timestamp"].is_string(), "{text}");
    }

    #[test]
    fn the_level_is_for_our_own_lines_and_libraries_are_heard_at_trace() {
        let lines = |level| written(level, LogFormat::Text).lines().count();
        let counts = [LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace].map(lines);
        assert_eq!(counts, [0, 1, 2, 3]);
    }
}
