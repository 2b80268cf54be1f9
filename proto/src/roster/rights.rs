//! Who may ask what. Everything that is not in the table is denied.
//!
//! | | Put Beat Known | Receipts | Holdings Inventory | Fetch | Catalog Search Live Context | Status |
//! |---|---|---|---|---|---|---|
//! | tailer | yes | yes | | | | yes |
//! | buck | | yes | | | with `web=` | yes |
//! | porter | | | yes | yes | | yes |
//! | web, reader | | yes | | | yes | yes |
//! | admin | | yes | yes | | yes | yes |
//!
//! Beside the table: the environments asked about must be the asker's, a tailer speaks only for itself and as
//! hosts that are not another's, and a connection is let in only from where and until when its line says.

use super::{Date, Peer, Role, Roster, Standing};
use crate::ids::{Environment, NodeId, PacketId};
use crate::message::Ask;
use crate::time::Timestamp;
use std::fmt;
use std::net::IpAddr;

/// Each kind of question, by its name in `message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    Put,
    Beat,
    Known,
    Receipts,
    Holdings,
    Inventory,
    Fetch,
    Catalog,
    Search,
    Live,
    Context,
    Status,
}

impl Action {
    pub const ALL: [Self; 12] = [
        Self::Put,
        Self::Beat,
        Self::Known,
        Self::Receipts,
        Self::Holdings,
        Self::Inventory,
        Self::Fetch,
        Self::Catalog,
        Self::Search,
        Self::Live,
        Self::Context,
        Self::Status,
    ];

    #[must_use]
    pub fn of(ask: &Ask) -> Self {
        match ask {
            Ask::Put { .. } => Self::Put,
            Ask::Beat { .. } => Self::Beat,
            Ask::Known { .. } => Self::Known,
            Ask::Receipts { .. } => Self::Receipts,
            Ask::Holdings { .. } => Self::Holdings,
            Ask::Inventory { .. } => Self::Inventory,
            Ask::Fetch { .. } => Self::Fetch,
            Ask::Catalog(_) => Self::Catalog,
            Ask::Search(_) => Self::Search,
            Ask::Live(_) => Self::Live,
            Ask::Context(_) => Self::Context,
            Ask::Status => Self::Status,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Why a question is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("role {role} may not ask {action}")]
    Action { role: Role, action: Action },
    #[error("environment {environment} is not granted to {role} {id}")]
    Environment { role: Role, id: NodeId, environment: Environment },
    #[error("tailer {id} may not speak for tailer {claimed}")]
    OtherTailer { id: NodeId, claimed: NodeId },
    #[error("tailer {id} may not speak as host {host:?}")]
    OtherHost { id: NodeId, host: String },
}

/// Why a key that is known gets no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    #[error("its key expired on {0}")]
    Expired(Date),
    #[error("it may not come from {0}")]
    Elsewhere(IpAddr),
    #[error("it is lost since {0}")]
    Lost(Date),
}

impl Role {
    fn may(self, action: Action) -> bool {
        match action {
            Action::Put | Action::Beat | Action::Known => self == Self::Tailer,
            // Who searches needs them to count a packet once, when it is on the shelf and still on a buck.
            Action::Receipts => self != Self::Porter,
            Action::Holdings | Action::Inventory => matches!(self, Self::Porter | Self::Admin),
            Action::Fetch => self == Self::Porter,
            Action::Catalog | Action::Search | Action::Live | Action::Context => {
                matches!(self, Self::Web | Self::Reader | Self::Admin)
            }
            Action::Status => true,
        }
    }
}

impl Peer {
    /// `environment` is what the question is about, if it is about one.
    pub fn allows(&self, action: Action, environment: Option<&Environment>) -> Result<(), Denied> {
        if !(self.role.may(action) || self.web.is_some() && Role::Web.may(action)) {
            return Err(Denied::Action { role: self.role, action });
        }
        match environment {
            Some(environment) if !self.environments.hold(environment) => {
                Err(Denied::Environment { role: self.role, id: self.id, environment: environment.clone() })
            }
            _ => Ok(()),
        }
    }

    /// A whole question, and every environment it names. What a Put's box holds is not known here.
    pub fn may_ask(&self, ask: &Ask) -> Result<(), Denied> {
        let action = Action::of(ask);
        self.allows(action, None)?;
        let check = |environment| self.allows(action, Some(environment));
        match ask {
            Ask::Put { .. } | Ask::Known { .. } | Ask::Holdings { .. } | Ask::Status => Ok(()),
            Ask::Beat { filed } => filed.iter().map(|(environment, _)| environment).try_for_each(check),
            Ask::Receipts { buckets } => buckets.iter().map(|(environment, _)| environment).try_for_each(check),
            Ask::Inventory { environment, .. } => check(environment),
            Ask::Fetch { packets } => packets.iter().map(|packet| &packet.environment).try_for_each(check),
            Ask::Catalog(ask) => ask.environments.iter().try_for_each(check),
            Ask::Search(ask) => ask.environments.iter().try_for_each(check),
            Ask::Live(ask) => ask.environments.iter().try_for_each(check),
            Ask::Context(ask) => check(&ask.environment),
        }
    }

    /// Whether a connection with this key is let in, or stays. `from` is where it came from, if it came.
    pub fn admits(&self, from: Option<IpAddr>, now: Timestamp) -> Result<(), NotAdmitted> {
        if let Standing::Lost(date) = self.standing {
            return Err(NotAdmitted::Lost(date));
        }
        if let Some(date) = self.expires.filter(|date| now >= date.begins()) {
            return Err(NotAdmitted::Expired(date));
        }
        let elsewhere = |from: &IpAddr| !self.from.is_empty() && !self.from.iter().any(|here| here.holds(*from));
        match from.filter(elsewhere) {
            Some(from) => Err(NotAdmitted::Elsewhere(from.to_canonical())),
            None => Ok(()),
        }
    }
}

impl Roster {
    /// Whether a packet and the hosts its events bear are this tailer's to send.
    pub fn may_put<'a>(
        &self,
        peer: &Peer,
        packet: &PacketId,
        hosts: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Denied> {
        peer.allows(Action::Put, Some(&packet.environment))?;
        if packet.tailer != peer.id {
            return Err(Denied::OtherTailer { id: peer.id, claimed: packet.tailer });
        }
        match hosts.into_iter().find(|host| !self.speaks_as(peer, host)) {
            Some(host) => Err(Denied::OtherHost { id: peer.id, host: host.chars().take(64).collect() }),
            None => Ok(()),
        }
    }

    fn speaks_as(&self, peer: &Peer, host: &str) -> bool {
        if peer.hosts.is_empty() { !self.by_host.contains_key(host) } else { peer.hosts.contains(host) }
    }
}
