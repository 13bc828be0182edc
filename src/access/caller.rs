//! Who is calling, for the length of one request.

use std::{net::IpAddr, sync::Arc};

use super::{Credentials, Principal};

#[derive(Clone)]
pub struct Caller {
    pub principal: Arc<Principal>,
    /// For an authority that is asked in the caller's name.
    pub credentials: Credentials,
    /// `None` where there is no connection, as in tests.
    pub address: Option<IpAddr>,
}
