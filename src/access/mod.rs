//! Layer 5: who may do what, and how often. Keys with their roles and origins, the file that keeps them, the log of changes.
//!
//! Invariant: knows nothing of HTTP, of experiments or of what time it is. A key's secret is there while it is made and while
//! it is compared; what is kept is its hash.

pub mod audit;
pub mod file;
pub mod key;
mod keys;
mod origin;
pub mod rate;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::access::audit::Audit;
use crate::access::key::{Key, Role};
pub use crate::access::keys::{KeyError, Keys, Seen};
use crate::access::rate::{AddressLimit, TooOften};

/// Who needs no key as long as none was ever made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Whoever reaches the port, but for pages of other machines, under whatever name they reach it: a page that somebody visits
    /// must not reach into a server that listens on that machine alone.
    Here,
    /// Whoever reaches the port, from any page.
    Everywhere,
    /// Nobody.
    Nobody,
}

/// Decides who is let in.
#[derive(Debug)]
pub struct Access {
    keys: Keys,
    open: Open,
    rates: Rates,
    audit: Audit,
}

/// How often somebody may ask, beyond what each key says.
#[derive(Debug, Default)]
pub struct Rates {
    /// For every address, unless it has a key of a site's own; `None`: not limited.
    pub addresses: Option<AddressLimit>,
    /// Proxies that are believed whose request it is.
    pub trusted: Vec<IpNet>,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sender<'a> {
    /// The origin of the page, as a browser says it; what is no browser says none.
    pub origin: Option<&'a str>,
    /// What the sender calls this server: its name, and a port.
    pub host: Option<&'a str>,
    /// The other end of the connection.
    pub peer: Option<IpAddr>,
    /// What a proxy says in `X-Forwarded-For`.
    pub forwarded: Option<&'a str>,
}

/// Who was let in.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Somebody without a key, where none is asked for.
    Anyone,
    /// The holder of a key.
    Holder(Arc<Key>),
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// A key is asked for, and none came.
    NoKey,
    /// There is no such key, or not any more.
    UnknownKey,
    /// The key is for pages of other origins.
    Origin,
    /// Without keys, only pages of this machine are let in.
    OriginWithoutKeys,
    /// Without keys, the server answers to names of this machine only.
    HostWithoutKeys,
    /// The key is used too often; how many seconds to wait.
    KeyTooOften(u64),
    /// The address asks too often; how many seconds to wait.
    AddressTooOften(u64),
}

impl Access {
    /// Lets in the holders of these keys, and others where it is open.
    #[must_use]
    pub fn new(keys: Keys, open: Open, rates: Rates) -> Self {
        Self { keys, open, rates, audit: Audit::default() }
    }

    /// Tells changes there.
    #[must_use]
    pub fn with_audit(self, audit: Audit) -> Self {
        Self { audit, ..self }
    }

    /// Where changes are told.
    #[must_use]
    pub const fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The keys.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether everybody is let in, as no key was ever made.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open != Open::Nobody && !self.keys.are_asked_for()
    }

    /// Who this is. Whoever has a key of a site's own is limited by that alone: behind one address may be a whole site.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit(&self, key: Option<&str>, from: Sender<'_>) -> Result<Caller, Denied> {
        let admitted = self.identify(key, from);
        if !matches!(&admitted, Ok(Caller::Holder(key)) if key.role >= Role::Write) {
            self.pace(from)?;
        }
        if let Ok(Caller::Holder(key)) = &admitted
            && let Some(limit) = &key.limit
        {
            limit.check().map_err(|TooOften(seconds)| Denied::KeyTooOften(seconds))?;
        }
        admitted
    }

    /// Forgets what has no meaning any more; to be called every second or so.
    pub fn sweep(&self) {
        if let Some(addresses) = &self.rates.addresses {
            addresses.sweep();
        }
    }

    /// Counts a request of somebody who is not to be admitted, since nothing can be answered.
    ///
    /// # Errors
    /// [`Denied::AddressTooOften`].
    pub fn pace(&self, from: Sender<'_>) -> Result<(), Denied> {
        let Some((addresses, address)) = self.rates.addresses.as_ref().zip(self.address(from)) else { return Ok(()) };
        // Of this machine: a proxy that is not trusted, behind which is everybody, or whoever measures.
        if address.to_canonical().is_loopback() {
            return Ok(());
        }
        addresses.check(address).map_err(|TooOften(seconds)| Denied::AddressTooOften(seconds))
    }

    /// The other end of the connection, or, where that is a trusted proxy, the last address it names that is none.
    fn address(&self, from: Sender<'_>) -> Option<IpAddr> {
        let is_trusted =
            |address: &IpAddr| self.rates.trusted.iter().any(|network| network.contains(&address.to_canonical()));
        let mut address = from.peer?;
        // What stands before an address that is not trusted, anybody could have written.
        for named in from.forwarded.into_iter().flat_map(|list| list.rsplit(',')) {
            let Some(named) = named.trim().parse().ok().filter(|_| is_trusted(&address)) else { break };
            address = named;
        }
        Some(address)
    }

    fn identify(&self, key: Option<&str>, Sender { origin, host, .. }: Sender<'_>) -> Result<Caller, Denied> {
        if self.is_open() {
            let here = self.open == Open::Here;
            if here && origin.is_some_and(|origin| !origin::is_of_this_machine(origin)) {
                return Err(Denied::OriginWithoutKeys);
            }
            // A page that was loaded from here says no origin where it only reads.
            if here && host.is_some_and(|host| !origin::is_host_of_this_machine(host)) {
                return Err(Denied::HostWithoutKeys);
            }
            return Ok(Caller::Anyone);
        }
        let key = self.keys.find(key.ok_or(Denied::NoKey)?).ok_or(Denied::UnknownKey)?;
        match origin {
            Some(origin) if !key.is_for(origin) => Err(Denied::Origin),
            Some(_) | None => Ok(Caller::Holder(key)),
        }
    }
}

impl Default for Access {
    /// No keys yet, and open here.
    fn default() -> Self {
        Self::new(Keys::in_memory(), Open::Here, Rates::default())
    }
}

impl Caller {
    /// What it may do.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::Anyone => Role::Admin,
            Self::Holder(key) => key.role,
        }
    }
}

#[cfg(test)]
mod tests;
