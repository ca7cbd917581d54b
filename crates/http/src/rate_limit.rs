//! How often one may ask (C-39).
//!
//! [`CLASSES`] says which limit a route has. Whoever tries credentials is counted by network address, whatever token
//! they send along; everyone else by account if their access token stands for a session that lives, and by address if
//! not. A made-up or ended token opens no bucket of its own and empties nobody else's. IPv6 addresses count by /64, of
//! which one subscriber has as many as they like.
//!
//! Each bucket is a leaky one (GCRA): a whole minute's worth at once, then one for each that has trickled in. Buckets
//! are of this process: behind several nodes, each counts by itself. They need no other server, so there is none whose
//! failure would open or close the doors.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, web};
use alivio_kernel::ids::UserId;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use ipnet::{IpNet, Ipv6Net};

use crate::cookies::Presented;
use crate::extract::{authenticated, origin};
use crate::problem::Problem;
use crate::state::State;

pub(crate) const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
pub(crate) const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
pub(crate) const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Requests per minute.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Tries of credentials, per network address.
    pub credentials: NonZeroU32,
    /// Requests that change something, per account.
    pub writes: NonZeroU32,
    /// Requests that only read, per account.
    pub reads: NonZeroU32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            credentials: const { NonZeroU32::new(30).unwrap() },
            writes: const { NonZeroU32::new(300).unwrap() },
            reads: const { NonZeroU32::new(1200).unwrap() },
        }
    }
}

/// Which limit a route has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// None: probes of load balancers, and pages that are the same for everyone.
    Free,
    /// That of [`Rates::credentials`].
    Credentials,
    /// As many as [`Rates::writes`], in a bucket of their own: whoever has spent all others still calls for help.
    Emergency,
    /// That of [`Rates::reads`] or [`Rates::writes`], by method.
    Ordinary,
}

/// The first that is the route's pattern, or stands above it, decides; all others are [`Class::Ordinary`]. What is below
/// `/auth` tries credentials unless it is named here.
const CLASSES: &[(&str, Class)] = &[
    ("/api/v1/auth/invitations", Class::Ordinary),
    ("/api/v1/auth/logout", Class::Ordinary),
    ("/api/v1/auth/logout-all", Class::Ordinary),
    ("/api/v1/auth/me", Class::Ordinary),
    // Nobody guesses a refresh token; a whole clinic behind one address swaps them every few minutes.
    ("/api/v1/auth/refresh", Class::Ordinary),
    ("/api/v1/auth/sessions", Class::Ordinary),
    ("/api/v1/auth", Class::Credentials),
    ("/api/v1/emergencies", Class::Emergency),
    ("/api/v1/health", Class::Free),
    ("/api/health", Class::Free),
    ("/dev", Class::Free),
    ("/docs", Class::Free),
    ("/openapi.json", Class::Free),
    ("/dialects.json", Class::Free),
    ("/asyncapi.json", Class::Free),
];

/// `pattern` is that of the route and not the path as asked for, which has many spellings.
fn class(pattern: &str) -> Class {
    let is_it = |named: &str| {
        pattern.strip_prefix(named).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    CLASSES.iter().find(|(named, _)| is_it(named)).map_or(Class::Ordinary, |(_, class)| *class)
}

/// Whether requests of this route are counted at all.
pub(crate) fn is_limited(pattern: &str) -> bool {
    class(pattern) != Class::Free
}

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Account(UserId),
    Network(IpNet),
    /// Without an address, as over a local socket.
    Nowhere,
    /// One of a few that everyone shares while there are too many to count each.
    Crowd(u64),
}

impl Key {
    fn network(address: Option<IpAddr>) -> Self {
        match address {
            None => Self::Nowhere,
            Some(IpAddr::V4(address)) => Self::Network(IpAddr::V4(address).into()),
            Some(IpAddr::V6(address)) => {
                let subscriber = Ipv6Net::new(address, 64).map_or(Ipv6Net::from(address), |net| net.trunc());
                Self::Network(subscriber.into())
            }
        }
    }
}

/// What one request is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Verdict {
    limit: u32,
    remaining: u32,
    /// Seconds until all is there again.
    reset: u64,
    /// Seconds to wait, if it is refused.
    retry_after: Option<u64>,
}

impl Verdict {
    fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(self.reset));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
}

/// More are not counted one by one: some 10 MB.
const MAX_KEYS: usize = 100_000;
/// Below it is not worth looking for what can be forgotten.
const MIN_SWEPT: usize = 1024;
/// How often that is looked for.
const SWEEP_EVERY: usize = 256;
/// How many buckets a crowd shares.
const CROWD: u64 = 1024;

type Limiter<C> = RateLimiter<Key, DashMapStateStore<Key>, C, StateInformationMiddleware>;

/// The buckets of one limit.
struct Buckets<C: Clock = DefaultClock> {
    per_minute: NonZeroU32,
    limiter: Limiter<C>,
    max_keys: usize,
    asked: AtomicUsize,
    is_crowded: AtomicBool,
    hasher: std::hash::RandomState,
}

impl<C: Clock> Buckets<C> {
    fn new(per_minute: NonZeroU32, clock: C, max_keys: usize) -> Self {
        let limiter = RateLimiter::dashmap_with_clock(Quota::per_minute(per_minute), clock);
        Self {
            per_minute,
            limiter: limiter.with_middleware(),
            max_keys,
            asked: AtomicUsize::new(0),
            is_crowded: AtomicBool::new(false),
            hasher: std::hash::RandomState::new(),
        }
    }

    fn check(&self, key: Key) -> Verdict {
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP_EVERY) {
            self.sweep();
        }
        let key = if self.is_crowded.load(Ordering::Relaxed) {
            Key::Crowd(self.hasher.hash_one(key) % CROWD)
        } else {
            key
        };
        let limit = self.per_minute.get();
        let (remaining, retry_after) = match self.limiter.check_key(&key) {
            Ok(state) => (state.remaining_burst_capacity().min(limit), None),
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.limiter.clock().now());
                (0, Some(seconds(wait).max(1)))
            }
        };
        let missing = u64::from(limit - remaining);
        Verdict { limit, remaining, reset: (missing * 60).div_ceil(u64::from(limit)), retry_after }
    }

    /// Forgets buckets that are full again, and tells whether there is room for new ones.
    fn sweep(&self) {
        if self.limiter.len() >= MIN_SWEPT.min(self.max_keys) {
            self.limiter.retain_recent();
        }
        self.is_crowded.store(self.limiter.len() >= self.max_keys, Ordering::Relaxed);
    }
}

fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// All buckets of the process.
pub(crate) struct RateLimits {
    credentials: Buckets,
    writes: Buckets,
    reads: Buckets,
    emergencies: Buckets,
}

impl RateLimits {
    pub(crate) fn new(rates: &Rates) -> Self {
        let buckets = |per_minute| Buckets::new(per_minute, DefaultClock::default(), MAX_KEYS);
        Self {
            credentials: buckets(rates.credentials),
            writes: buckets(rates.writes),
            reads: buckets(rates.reads),
            emergencies: buckets(rates.writes),
        }
    }
}

/// By the decoded path, as the router does: `/auth/%6Cogin` is `/auth/login`.
fn class_of(request: &ServiceRequest) -> Class {
    let path = request.match_info().as_str();
    request.resource_map().match_pattern(path).map_or_else(|| class(path), |pattern| class(&pattern))
}

/// Counts the request, and refuses it if there were too many.
pub(crate) async fn limit(
    state: web::Data<State>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let verdict = match class_of(&request) {
        Class::Free => return Ok(next.call(request).await?.map_into_boxed_body()),
        Class::Credentials => state.limits.credentials.check(network(request.request())),
        Class::Emergency => state.limits.emergencies.check(whoever_asks(request.request()).await),
        Class::Ordinary => {
            let is_read = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
            let buckets = if is_read { &state.limits.reads } else { &state.limits.writes };
            buckets.check(whoever_asks(request.request()).await)
        }
    };
    let mut response = if verdict.retry_after.is_some() {
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited");
        request.error_response(problem)
    } else {
        next.call(request).await?.map_into_boxed_body()
    };
    // An answer of its own kind, such as that of a locked account, keeps its own time to wait.
    verdict.tell(response.headers_mut());
    Ok(response)
}

fn network(request: &HttpRequest) -> Key {
    Key::network(origin(request).address)
}

async fn whoever_asks(request: &HttpRequest) -> Key {
    if let Some(presented) = Presented::of(request)
        && let Ok(live) = authenticated(request, &presented.token).await
    {
        return Key::Account(live.caller.user_id);
    }
    network(request)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn buckets(per_minute: u32, max_keys: usize) -> (Buckets<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Buckets::new(NonZeroU32::new(per_minute).unwrap(), clock.clone(), max_keys), clock)
    }

    fn from(address: &str) -> Key {
        Key::network(Some(address.parse().unwrap()))
    }

    #[test]
    fn as_many_as_the_limit_pass_and_one_more_does_not() {
        for limit in [1, 20, 30, 1200] {
            let (buckets, clock) = buckets(limit, MAX_KEYS);
            for asked in 1..=limit {
                let verdict = buckets.check(from("192.0.2.1"));
                assert_eq!(
                    (verdict.retry_after, verdict.remaining),
                    (None, limit - asked),
                    "{asked} of {limit}"
                );
                assert_eq!(verdict.limit, limit);
            }
            let refused = buckets.check(from("192.0.2.1"));
            let one_trickles_in = 60_u64.div_ceil(u64::from(limit));
            assert_eq!((refused.retry_after, refused.remaining), (Some(one_trickles_in), 0), "{limit}");
            // Who waits as told gets exactly as many as have trickled in; refusals cost nothing.
            for _ in 0..5 {
                assert!(buckets.check(from("192.0.2.1")).retry_after.is_some());
            }
            clock.advance(Duration::from_secs(60) / limit - Duration::from_millis(1));
            assert!(buckets.check(from("192.0.2.1")).retry_after.is_some(), "{limit}: a little too early");
            clock.advance(Duration::from_millis(2));
            assert_eq!(buckets.check(from("192.0.2.1")).retry_after, None, "{limit}");
            assert!(buckets.check(from("192.0.2.1")).retry_after.is_some(), "{limit}");
        }
    }

    #[test]
    fn a_quiet_minute_gives_all_back_and_no_more() {
        let (buckets, clock) = buckets(30, MAX_KEYS);
        let spend = || (0..100).filter(|_| buckets.check(from("192.0.2.1")).retry_after.is_none()).count();
        assert_eq!(spend(), 30);
        clock.advance(Duration::from_secs(60));
        assert_eq!(spend(), 30);
        clock.advance(Duration::from_secs(3600));
        assert_eq!(spend(), 30);
    }

    #[test]
    fn the_reset_is_when_all_is_there_again() {
        let (buckets, clock) = buckets(30, MAX_KEYS);
        assert_eq!(buckets.check(from("192.0.2.1")).reset, 2);
        let last = (0..29).map(|_| buckets.check(from("192.0.2.1"))).last().unwrap();
        assert_eq!(last.reset, 60);
        clock.advance(Duration::from_secs(last.reset));
        assert_eq!(buckets.check(from("192.0.2.1")).remaining, 29);
    }

    #[test]
    fn one_who_asks_too_much_takes_nothing_from_others() {
        let (buckets, _) = buckets(5, MAX_KEYS);
        let account = |n| Key::Account(UserId::from(alivio_kernel::ids::Uuid::from_u128(n)));
        for _ in 0..100 {
            buckets.check(from("192.0.2.1"));
            buckets.check(account(1));
        }
        for other in [from("192.0.2.2"), from("2001:db8::1"), account(2), Key::Nowhere] {
            assert_eq!(buckets.check(other).remaining, 4, "{other:?}");
        }
    }

    #[test]
    fn addresses_of_one_subscriber_are_one() {
        assert_eq!(from("2001:db8:0:1::1"), from("2001:db8:0:1:ffff:ffff:ffff:ffff"));
        assert_ne!(from("2001:db8:0:1::1"), from("2001:db8:0:2::1"));
        assert_ne!(from("192.0.2.1"), from("192.0.2.2"));
    }

    #[test]
    fn however_many_ask_memory_has_an_end() {
        let (buckets, clock) = buckets(30, 2000);
        for n in 0..20_000_u32 {
            buckets.check(Key::network(Some(IpAddr::from(n.to_be_bytes()))));
        }
        let most = 2000 + SWEEP_EVERY + usize::try_from(CROWD).unwrap();
        assert!(buckets.limiter.len() <= most, "{}", buckets.limiter.len());
        // Even a crowd is limited.
        let passed = (0..3000).filter(|_| buckets.check(from("203.0.113.9")).retry_after.is_none()).count();
        assert!(passed <= 30, "{passed}");
        // Some quiet time later all is forgotten, and everyone counts by themselves again.
        clock.advance(Duration::from_secs(120));
        for _ in 0..=SWEEP_EVERY {
            buckets.check(from("192.0.2.1"));
        }
        assert!(buckets.limiter.len() <= 2, "{}", buckets.limiter.len());
        assert_eq!(buckets.check(from("192.0.2.2")).remaining, 29);
    }

    #[test]
    fn each_route_has_the_limit_it_should() {
        for (pattern, expected) in [
            ("/api/v1/auth/login", Class::Credentials),
            ("/api/v1/auth/refresh", Class::Ordinary),
            ("/api/v1/auth/mfa/verify", Class::Credentials),
            ("/api/v1/auth/logout-all", Class::Ordinary),
            ("/api/v1/auth/password/forgot", Class::Credentials),
            ("/api/v1/auth/whatever-comes", Class::Credentials),
            ("/api/v1/auth/me", Class::Ordinary),
            ("/api/v1/auth/menace", Class::Credentials),
            ("/api/v1/auth/sessions/{id}", Class::Ordinary),
            ("/api/v1/conversations/{id}/messages", Class::Ordinary),
            ("/api/v1/health/ready", Class::Free),
            ("/api/v1/healthy", Class::Ordinary),
            ("/docs/{file}", Class::Free),
        ] {
            assert_eq!(class(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn of_the_api_only_health_is_free() {
        for path in crate::openapi().paths.paths.keys() {
            assert_eq!(is_limited(path), !path.contains("/health"), "{path}");
        }
    }
}
