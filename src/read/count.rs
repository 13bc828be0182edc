//! Counts matching events.

use tokio::time::Instant;

use super::{ReadError, Reader, RequestedScope, Selection, error::answered};
use crate::{
    access::{self, Caller},
    audit::Action,
};

impl Reader {
    pub async fn count(
        &self,
        caller: &Caller,
        scope: RequestedScope,
        selection: &Selection,
        deadline: Instant,
    ) -> Result<u64, ReadError> {
        if scope.is_empty() {
            return Ok(0);
        }
        let (permit, record) = self.permit(caller, scope, Action::Find, deadline).await?;
        let query = access::scope(permit, |scope| selection.query(scope, Vec::new()));
        let _turn = self.turn(caller, deadline).await?;
        Ok(record.before(answered(deadline, self.index.find(&query))).await?.total)
    }
}
