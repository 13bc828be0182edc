//! The reference implementation, for tests.
