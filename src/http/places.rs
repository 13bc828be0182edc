//! The places for connections. When all are taken, a connection that answers no known caller makes room for the next.
//!
//! So clients that send nothing, half a head or wrong credentials cannot keep others out, health checks included, however
//! many addresses they come from. One caller has at most a share of the requests that are being answered, and all known
//! callers together leave some places to others: health checks do not wait for anybody's requests.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::limiter::{KeyedLimiter, KeyedPermit};

/// The part of all places that the requests of one caller may take: one in this many.
const SHARE: usize = 4;

/// The part of all places that requests of known callers leave to others: one in this many, but at least one.
const SPARED: usize = 16;

pub(super) struct Places {
    free: Arc<Semaphore>,
    /// Maximum number of concurrent requests of a caller.
    most_of_caller: usize,
    callers: KeyedLimiter<String>,
    /// How many more requests of known callers may run.
    running: Arc<Semaphore>,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    /// Orders connections by when they began to rest.
    clock: AtomicU64,
    rested: Notify,
}

/// A free place, reserved for the next connection.
pub(super) struct FreePlace(OwnedSemaphorePermit);

/// The place of a connection, until it is dropped.
pub(super) struct Place {
    number: u64,
    connection: Arc<Connection>,
    places: Arc<Places>,
    _permit: OwnedSemaphorePermit,
}

struct Running {
    _of_caller: KeyedPermit<String>,
    _of_all: OwnedSemaphorePermit,
}

struct Connection {
    /// `None` for a proxy, which has many clients.
    client: Option<IpAddr>,
    /// Whether a head was complete.
    has_begun: AtomicBool,
    /// Whether a caller was ever identified.
    is_known: AtomicBool,
    /// Held while a request of a known caller is being answered.
    running: Mutex<Option<Running>>,
    resting_since: AtomicU64,
    cut: CancellationToken,
}

impl Places {
    pub(super) fn new(max: usize) -> Arc<Self> {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        // With a single place there is nothing to spare.
        let spared = (max / SPARED).max(1).min(max - 1);
        Arc::new(Self {
            free: Arc::new(Semaphore::new(max)),
            most_of_caller: max.div_ceil(SHARE),
            callers: KeyedLimiter::default(),
            running: Arc::new(Semaphore::new(max - spared)),
            open: Mutex::default(),
            clock: AtomicU64::new(0),
            rested: Notify::new(),
        })
    }

    /// Waits for a free place; takes it from a resting connection if there is none. May be cancelled.
    pub(super) async fn free(self: &Arc<Self>) -> Option<FreePlace> {
        loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                return Some(FreePlace(permit));
            }
            let was_cut = self.cut_one();
            tokio::select! {
                permit = Arc::clone(&self.free).acquire_owned() => return permit.ok().map(FreePlace),
                () = self.rested.notified(), if !was_cut => {}
            }
        }
    }

    pub(super) fn take(self: &Arc<Self>, FreePlace(permit): FreePlace, client: Option<IpAddr>) -> Arc<Place> {
        let number = self.tick();
        let connection = Arc::new(Connection {
            client,
            has_begun: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
            running: Mutex::default(),
            resting_since: AtomicU64::new(number),
            cut: CancellationToken::new(),
        });
        self.open().insert(number, Arc::clone(&connection));
        Arc::new(Place { number, connection, places: Arc::clone(self), _permit: permit })
    }

    /// Cuts a resting connection: one that never had a known caller if there is any, of the client with the most of them,
    /// the one that has rested for longest.
    fn cut_one(&self) -> bool {
        let mut open = self.open();
        let resting = || open.iter().filter(|(_, connection)| connection.is_resting());
        let mut counts: HashMap<(bool, IpAddr), usize> = HashMap::new();
        for (_, connection) in resting() {
            if let Some(client) = connection.client {
                *counts.entry((connection.is_known(), client)).or_default() += 1;
            }
        }
        let rank = |connection: &Connection| {
            let is_known = connection.is_known();
            let of_client = connection.client.and_then(|client| counts.get(&(is_known, client)));
            (is_known, Reverse(of_client.copied()), connection.resting_since.load(Ordering::Relaxed))
        };
        let first = resting().min_by_key(|(_, connection)| rank(connection)).map(|(number, _)| *number);
        match first.and_then(|number| open.remove(&number)) {
            Some(connection) => {
                tracing::debug!(client = ?connection.client, "a resting connection was closed to make place for another");
                connection.cut.cancel();
                true
            }
            None => false,
        }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_resting(&self) -> bool {
        self.running().is_none()
    }

    fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }
}

impl Place {
    /// Completes when the connection has to make room for another.
    pub(super) async fn is_cut(&self) {
        self.connection.cut.cancelled().await;
    }

    /// How long an answer that was given may take to leave its buffer once the connection is cut: others wait for that.
    pub(super) fn grace(&self) -> Duration {
        if self.connection.is_known() { Duration::from_secs(1) } else { Duration::from_millis(50) }
    }

    /// Whether a head was ever complete.
    pub(super) fn has_begun(&self) -> bool {
        self.connection.has_begun.load(Ordering::Relaxed)
    }

    /// The head of a request is complete.
    pub(super) fn begin(&self) {
        self.connection.has_begun.store(true, Ordering::Relaxed);
        self.connection.resting_since.store(self.places.tick(), Ordering::Relaxed);
    }

    /// The caller is known, so the connection stays until the request is answered. Returns `false` if too many requests are
    /// running, of the caller or of all, or the connection has to make room already.
    pub(super) fn admit(&self, caller: String) -> bool {
        let Some(of_caller) = self.places.callers.try_acquire(caller, self.places.most_of_caller) else {
            return false;
        };
        let Ok(of_all) = Arc::clone(&self.places.running).try_acquire_owned() else {
            return false;
        };
        // Locked, so that it is not cut in between.
        let _open = self.places.open();
        if self.connection.cut.is_cancelled() {
            return false;
        }
        self.connection.is_known.store(true, Ordering::Relaxed);
        *self.connection.running() = Some(Running { _of_caller: of_caller, _of_all: of_all });
        true
    }

    /// The request is answered.
    pub(super) fn rest(&self) {
        self.connection.resting_since.store(self.places.tick(), Ordering::Relaxed);
        *self.connection.running() = None;
        self.places.rested.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open().remove(&self.number);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn client(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([127, 0, 0, last]))
    }

    fn taken(places: &Arc<Places>, client: Option<IpAddr>) -> Arc<Place> {
        places.take(places.free().now_or_never().unwrap().unwrap(), client)
    }

    /// Returns which of the connections is cut for the next one.
    fn next_cut(open: &[&Arc<Place>], places: &Arc<Places>) -> Option<usize> {
        assert!(places.free().now_or_never().is_none());
        open.iter().position(|place| place.connection.cut.is_cancelled())
    }

    #[test]
    fn the_client_with_the_most_unknown_connections_makes_room() {
        let places = Places::new(5);
        let open = [2, 1, 3, 1, 3].map(|last| taken(&places, client(last)));
        let [_, first_of_1, first_of_3, _, _] = &open;
        first_of_1.begin();
        first_of_3.admit("a".to_owned());
        first_of_3.rest();
        assert_eq!(
            next_cut(&open.each_ref(), &places),
            Some(3),
            "it has rested for longer than the other of its client"
        );
    }

    #[test]
    fn a_connection_that_answers_a_known_caller_stays() {
        let places = Places::new(1);
        let open = [taken(&places, client(1))];
        assert!(open[0].admit("a".to_owned()));
        assert_eq!(next_cut(&open.each_ref(), &places), None);
        let mut waiting = Box::pin(places.free());
        assert!((&mut waiting).now_or_never().is_none());
        open[0].rest();
        assert!((&mut waiting).now_or_never().is_none());
        assert!(open[0].is_cut().now_or_never().is_some());
        drop(open);
        assert!(waiting.now_or_never().is_some());
    }

    #[test]
    fn known_callers_leave_places_to_others() {
        for (max, most) in [(2, 1), (3, 2), (40, 38)] {
            let places = Places::new(max);
            let open: Vec<_> = (0..max).map(|_| taken(&places, client(1))).collect();
            let admitted = open.iter().enumerate().filter(|(at, place)| place.admit(at.to_string())).count();
            assert_eq!(admitted, most);
            let cut = next_cut(&open.iter().collect::<Vec<_>>(), &places);
            assert_eq!(cut, Some(most), "it is the first of those that were not admitted");
            open.first().unwrap().rest();
            // Where a single place is spared, the last connection is the one that was cut.
            assert_eq!(open.last().unwrap().admit("next".to_owned()), max - most > 1);
        }
    }

    #[test]
    fn the_connections_of_a_proxy_count_as_of_different_clients() {
        let places = Places::new(4);
        let open = [None, None, client(1), client(2)].map(|client| taken(&places, client));
        assert_eq!(next_cut(&open.each_ref(), &places), Some(2));
    }

    #[test]
    fn a_caller_has_a_share_of_the_places() {
        let places = Places::new(8);
        let open = [1, 1, 1].map(|last| taken(&places, client(last)));
        assert!(open[0].admit("a".to_owned()) && open[1].admit("a".to_owned()));
        assert!(!open[2].admit("a".to_owned()) && open[2].admit("b".to_owned()));
        open[2].rest();
        open[0].rest();
        assert!(open[2].admit("a".to_owned()));
    }
}
