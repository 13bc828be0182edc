use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::time::advance;

use super::{reports::REPORT_INTERVAL, subjects::MAX_SUBJECTS, *};

const SECOND: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(900);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn lockout() -> Lockout {
    Lockout::new(3, MAX_WAIT).unwrap()
}

fn at(last: u8) -> Option<IpAddr> {
    Some(IpAddr::from([192, 0, 2, last]))
}

fn basic(login: &str) -> Credentials {
    Credentials::default().with_authorization(&format!("Basic {}", BASE64_STANDARD.encode(format!("{login}:x"))))
}

fn key(text: &str) -> Credentials {
    Credentials::default().with_authorization(&format!("ApiKey {text}"))
}

impl Lockout {
    fn try_begin<'a>(&'a self, address: Option<IpAddr>, credentials: &Credentials) -> BeginOutcome<'a> {
        self.begin(AttemptRequest { address, credentials, expired_key: None })
    }

    fn attempt<'a>(&'a self, address: Option<IpAddr>, credentials: &Credentials) -> Attempt<'a> {
        match self.try_begin(address, credentials) {
            BeginOutcome::Attempt(attempt) => attempt,
            BeginOutcome::Locked(wait) => panic!("locked for {wait:?}"),
            BeginOutcome::Full => panic!("full"),
        }
    }

    fn fail(&self, address: Option<IpAddr>, credentials: &Credentials) {
        self.attempt(address, credentials).failed();
    }

    fn succeed(&self, address: Option<IpAddr>, credentials: &Credentials) {
        self.attempt(address, credentials).succeeded();
    }

    /// The remaining wait; asking for it counts nothing.
    fn wait(&self, address: Option<IpAddr>, credentials: &Credentials) -> Option<Duration> {
        match self.try_begin(address, credentials) {
            BeginOutcome::Attempt(attempt) => {
                attempt.cancel();
                None
            }
            BeginOutcome::Locked(wait) => Some(wait),
            BeginOutcome::Full => panic!("full"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_each_failure_doubles_the_wait_of_its_pair_only() {
    let lockout = lockout();
    let alice = basic("alice");
    for _ in 0..2 {
        lockout.fail(at(1), &alice);
        assert_eq!(lockout.wait(at(1), &alice), None);
    }
    for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
        lockout.fail(at(1), &alice);
        assert_eq!(lockout.wait(at(1), &alice), Some(SECOND * expected));
        assert_eq!(lockout.wait(at(1), &basic("ALICE")), Some(SECOND * expected));
        assert_eq!(lockout.wait(at(2), &alice), None);
        advance(SECOND * expected).await;
        assert_eq!(lockout.wait(at(1), &alice), None);
    }
    // Forgotten after a long enough quiet time.
    advance(MAX_WAIT + SECOND).await;
    lockout.fail(at(1), &alice);
    assert_eq!(lockout.wait(at(1), &alice), None);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_tries_many_waits_but_one_persons_failures_are_their_own() {
    let lockout = lockout();
    for _ in 0..3 {
        lockout.fail(at(1), &basic("alice"));
    }
    assert!(lockout.wait(at(1), &basic("alice")).is_some());
    for shown in [basic("bob"), key("a")] {
        assert_eq!(lockout.wait(at(1), &shown), None);
    }
    for other in 0..12 {
        lockout.fail(at(1), &basic(&format!("user-{other}")));
    }
    for shown in [basic("bob"), key("a")] {
        assert_eq!(lockout.wait(at(1), &shown), Some(SECOND));
        assert_eq!(lockout.wait(at(2), &shown), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_is_locked_from_wherever_it_is_tried_but_much_later() {
    let lockout = lockout();
    for last in 0..=99 {
        for _ in 0..3 {
            assert_eq!(lockout.wait(at(200), &basic("alice")), None);
            lockout.fail(at(last), &basic("alice"));
        }
    }
    assert_eq!(lockout.wait(at(200), &basic("alice")), Some(SECOND));
    assert_eq!(lockout.wait(at(200), &basic("bob")), None);
    assert_eq!(lockout.wait(at(200), &key("a")), None);
}

#[tokio::test(start_paused = true)]
async fn after_a_success_only_own_failures_cause_waits_for_a_day() {
    let lockout = lockout();
    let (alice, session) = (basic("alice"), key("of bob"));
    lockout.succeed(at(1), &alice);
    lockout.succeed(at(1), &session);
    for last in 2..=101 {
        (0..3).for_each(|_| lockout.fail(at(last), &basic("alice")));
    }
    for other in 0..15 {
        lockout.fail(at(1), &basic(&format!("user-{other}")));
    }
    assert!(lockout.wait(at(200), &alice).is_some());
    assert!(lockout.wait(at(1), &basic("bob")).is_some());
    assert_eq!((lockout.wait(at(1), &alice), lockout.wait(at(1), &session)), (None, None));
    // Their own count.
    (0..3).for_each(|_| lockout.fail(at(1), &alice));
    assert!(lockout.wait(at(1), &alice).is_some());
    advance(MAX_WAIT).await;
    lockout.succeed(at(1), &alice);
    assert_eq!(lockout.wait(at(1), &alice), None);
    advance(DAY).await;
    (0..15).for_each(|other| lockout.fail(at(1), &basic(&format!("user-{other}"))));
    assert!(lockout.wait(at(1), &alice).is_some());
}

#[tokio::test(start_paused = true)]
async fn concurrent_attempts_cannot_exceed_the_limit_of_failures() {
    let lockout = lockout();
    let alice = basic("alice");
    let mut under_way: Vec<_> = (0..3).map(|_| lockout.attempt(at(1), &alice)).collect();
    assert!(matches!(lockout.try_begin(at(1), &alice), BeginOutcome::Full));
    assert!(matches!(lockout.try_begin(at(1), &basic("bob")), BeginOutcome::Attempt(_)));
    // A successful attempt makes room, and so does one without a result.
    under_way.pop().unwrap().cancel();
    under_way.push(lockout.attempt(at(1), &alice));
    assert!(matches!(lockout.try_begin(at(1), &alice), BeginOutcome::Full));
    for attempt in under_way {
        attempt.failed();
    }
    assert!(matches!(lockout.try_begin(at(1), &alice), BeginOutcome::Locked(_)));
    // Then one at a time.
    advance(SECOND).await;
    let one = lockout.attempt(at(1), &alice);
    assert!(matches!(lockout.try_begin(at(1), &alice), BeginOutcome::Full));
    one.succeeded();
    assert_eq!(lockout.wait(at(1), &alice), None);
}

#[tokio::test(start_paused = true)]
async fn waiting_attempts_are_woken_when_one_ends() {
    let lockout = lockout();
    let alice = basic("alice");
    let mut under_way: Vec<_> = (0..3).map(|_| lockout.attempt(at(1), &alice)).collect();
    let ended = lockout.ended();
    assert!(matches!(lockout.try_begin(at(1), &alice), BeginOutcome::Full));
    under_way.pop().unwrap().succeeded();
    ended.await;
    lockout.succeed(at(1), &alice);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_attempt_counts_as_failed() {
    let lockout = lockout();
    let alice = basic("alice");
    (0..3).for_each(|_| drop(lockout.attempt(at(1), &alice)));
    assert_eq!(lockout.wait(at(1), &alice), Some(SECOND));
    assert_eq!(
        lockout.due_reports(),
        [FailedAttempts { address: at(1), login: Some("alice".to_owned()), attempts: 4 }]
    );
}

#[tokio::test(start_paused = true)]
async fn an_ipv6_network_counts_as_one_address_and_mapped_ipv4_as_ipv4() {
    let lockout = lockout();
    let alice = basic("alice");
    for host in ["2001:db8::1", "2001:db8::2:0:0:1", "2001:db8:0:0:ffff::"] {
        lockout.fail(Some(host.parse().unwrap()), &alice);
    }
    assert!(lockout.wait(Some("2001:db8::9".parse().unwrap()), &alice).is_some());
    assert!(lockout.wait(Some("2001:db8:0:1::1".parse().unwrap()), &alice).is_none());
    for _ in 0..3 {
        lockout.fail(Some("::ffff:192.0.2.7".parse().unwrap()), &alice);
    }
    assert!(lockout.wait(at(7), &alice).is_some());
}

#[tokio::test(start_paused = true)]
async fn attempts_during_a_lockout_are_reported_too() {
    let lockout = Lockout::new(1, MAX_WAIT).unwrap();
    let alice = basic("alice");
    assert_eq!(lockout.attempt(at(1), &alice).failed().unwrap().attempts, 1);
    for _ in 0..4 {
        assert!(lockout.wait(at(1), &alice).is_some());
    }
    advance(REPORT_INTERVAL).await;
    assert_eq!(lockout.due_reports(), [FailedAttempts { address: at(1), login: None, attempts: 4 }]);
}

#[tokio::test(start_paused = true)]
async fn without_room_the_least_important_subjects_are_forgotten() {
    let lockout = lockout();
    let (locked, failed, known) = (basic("locked"), basic("failed"), basic("known"));
    let under_way = lockout.attempt(at(1), &basic("trying"));
    (0..3).for_each(|_| lockout.fail(at(1), &locked));
    (0..2).for_each(|_| lockout.fail(at(2), &failed));
    lockout.succeed(at(3), &known);
    for host in 0..u32::try_from(MAX_SUBJECTS).unwrap() {
        let address = Some(IpAddr::from((host + 1).to_be_bytes()));
        lockout.fail(address, &key("x"));
    }
    assert!(lockout.state().subjects.len() <= MAX_SUBJECTS);
    assert_eq!(lockout.wait(at(1), &locked), Some(SECOND), "it was there first, and is locked");
    lockout.fail(at(2), &failed);
    assert!(lockout.wait(at(2), &failed).is_some(), "two failures weigh more than one");
    (0..15).for_each(|other| lockout.fail(at(3), &basic(&format!("user-{other}"))));
    assert_eq!(lockout.wait(at(3), &known), None);
    under_way.failed();
    (0..2).for_each(|_| lockout.fail(at(1), &basic("trying")));
    assert!(lockout.wait(at(1), &basic("trying")).is_some());
}
