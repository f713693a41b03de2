//! How often: limits of a key, and of an address. Neither takes a lock that others wait for, and what they remember is bounded.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota, RateLimiter};

/// Most requests a second that can be asked for.
pub const MAX_RATE: u32 = 1_000_000;
/// Addresses that are told apart. Beyond, those not seen lately share what they have.
const MAX_ADDRESSES: usize = 100_000;
/// Shares of those beyond.
const SHARES: u64 = 1 << 16;

/// A rate that can be asked for.
#[must_use]
pub fn checked(rate: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(rate).filter(|rate| rate.get() <= MAX_RATE)
}

/// Too often; the whole seconds to wait, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooOften(pub(crate) u64);

/// The limit of one key.
#[derive(Debug)]
pub(crate) struct KeyLimit(RateLimiter<NotKeyed, InMemoryState, DefaultClock>);

impl KeyLimit {
    pub(crate) fn new(rate: NonZeroU32) -> Self {
        Self(RateLimiter::direct(Quota::per_second(rate)))
    }

    pub(crate) fn check(&self) -> Result<(), TooOften> {
        self.0.check().map_err(|until| too_often(&until, self.0.clock()))
    }
}

/// Two keys are the same however often each was used.
impl PartialEq for KeyLimit {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for KeyLimit {}

/// The limit that every address has.
#[derive(Debug)]
pub struct AddressLimit {
    limiter: RateLimiter<u64, DashMapStateStore<u64>, DefaultClock>,
    /// Under a key of the process: nobody can choose addresses that fall together, and none is kept.
    hash: RandomState,
    crowded: AtomicBool,
    most: usize,
}

impl AddressLimit {
    /// Requests a second, and as many at once.
    #[must_use]
    pub fn new(rate: NonZeroU32) -> Self {
        Self::with(Quota::per_second(rate), MAX_ADDRESSES)
    }

    fn with(quota: Quota, most: usize) -> Self {
        Self { limiter: RateLimiter::dashmap(quota), hash: RandomState::new(), crowded: AtomicBool::new(false), most }
    }

    pub(crate) fn check(&self, address: IpAddr) -> Result<(), TooOften> {
        let network = match address.to_canonical() {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            // Whoever has one address has all of its network.
            IpAddr::V6(address) => address.to_bits() >> 64 << 64,
        };
        let mut key = self.hash.hash_one(network);
        if self.crowded.load(Ordering::Relaxed) {
            key %= SHARES;
        }
        self.limiter.check_key(&key).map_err(|until| too_often(&until, self.limiter.clock()))
    }

    /// Forgets addresses that have all of their requests again.
    pub(crate) fn sweep(&self) {
        self.limiter.retain_recent();
        self.crowded.store(self.limiter.len() >= self.most, Ordering::Relaxed);
    }
}

fn too_often(until: &NotUntil<<DefaultClock as governor::clock::Clock>::Instant>, clock: &DefaultClock) -> TooOften {
    let wait: Duration = until.wait_time_from(clock.now());
    TooOften((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
}

#[cfg(test)]
mod tests {
    //! What is let through, what is forgotten, and that a flood of addresses costs no more than its bound.

    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const FEW: NonZeroU32 = NonZeroU32::new(3).expect("not 0");

    fn flood(limit: &AddressLimit, numbers: std::ops::Range<u32>) {
        for number in numbers {
            // A flood does not care.
            let _ = limit.check(v4(number));
        }
    }

    fn v4(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn each_address_has_its_own() {
        let limit = AddressLimit::with(Quota::per_hour(FEW), 1_000);
        for address in [v4(1), v4(2)] {
            assert!((0..3).all(|_| limit.check(address).is_ok()));
            let TooOften(seconds) = limit.check(address).expect_err("a fourth");
            assert!((1_000..=1_200).contains(&seconds), "a third of an hour: {seconds}");
        }
        let network: u128 = 0x2001_0db8_0000_0001 << 64;
        let of_network = |number: u128| IpAddr::from(Ipv6Addr::from_bits(network | number));
        assert!((0..3).all(|number| limit.check(of_network(number)).is_ok()));
        assert!(limit.check(of_network(77)).is_err(), "of the same network");
        assert!(
            limit.check(IpAddr::from(Ipv4Addr::from_bits(1).to_ipv6_mapped())).is_err(),
            "the first in other clothes"
        );
        assert!(limit.check(v4(3)).is_ok());
    }

    #[test]
    fn a_flood_of_addresses_is_bounded() {
        let limit = AddressLimit::with(Quota::per_hour(FEW), 1_000);
        flood(&limit, 0..2_000);
        limit.sweep();
        flood(&limit, 2_000..302_000);
        limit.sweep();
        let kept = limit.limiter.len();
        assert!((60_000..=2_000 + 65_536).contains(&kept), "{kept} are kept");
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let limit = AddressLimit::with(Quota::with_period(Duration::from_millis(1)).expect("not 0"), 10);
        flood(&limit, 0..100);
        limit.sweep();
        std::thread::sleep(Duration::from_millis(20));
        limit.sweep();
        assert_eq!((limit.limiter.len(), limit.crowded.load(Ordering::Relaxed)), (0, false));
    }

    #[test]
    fn a_key_waits_for_whole_seconds() {
        let limit = KeyLimit::new(NonZeroU32::MIN);
        let TooOften(seconds) = (0..1_000).find_map(|_| limit.check().err()).expect("more than one a second");
        assert_eq!(seconds, 1);
    }
}
