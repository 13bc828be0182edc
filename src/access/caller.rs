//! The caller of one request.

use std::{net::IpAddr, sync::Arc};

use super::{Credentials, Principal};

#[derive(Clone)]
pub struct Caller {
    pub principal: Arc<Principal>,
    /// For an authority that is asked on the caller's behalf.
    pub credentials: Credentials,
    /// `None` without a connection, as in tests.
    pub address: Option<IpAddr>,
}
