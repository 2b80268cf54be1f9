//! The roster as a web needs it: whom to ask, whom to expect to have been heard, and what to call them.

use proto::ids::{Environment, NodeId};
use proto::roster::{Environments, Peer, Role, Roster, Standing};
use std::collections::BTreeSet;

/// Bucks that may hold something, the retiring among them.
pub fn bucks(roster: &Roster) -> impl Iterator<Item = NodeId> {
    present(roster, Role::Buck).map(|peer| peer.id)
}

pub fn porters(roster: &Roster) -> impl Iterator<Item = NodeId> {
    present(roster, Role::Porter).filter(|peer| peer.address.is_some()).map(|peer| peer.id)
}

/// Tailers that may write into one of these, and nobody said that they are gone.
pub fn tailers<'a>(roster: &'a Roster, environments: &'a [Environment]) -> impl Iterator<Item = &'a Peer> {
    present(roster, Role::Tailer).filter(|peer| environments.iter().any(|wanted| peer.environments.hold(wanted)))
}

/// Whether this node is still a tailer of the cluster.
#[must_use]
pub fn is_tailer(roster: &Roster, node: NodeId) -> bool {
    roster.by_id(node).is_some_and(|peer| peer.role == Role::Tailer && is_here(peer))
}

fn present(roster: &Roster, role: Role) -> impl Iterator<Item = &Peer> {
    roster.with_role(role).filter(|peer| is_here(peer))
}

fn is_here(peer: &Peer) -> bool {
    !matches!(peer.standing, Standing::Lost(_))
}

/// Every environment that somebody writes and the node `own` may read.
#[must_use]
pub fn environments(roster: &Roster, own: NodeId) -> Vec<Environment> {
    let written = roster.with_role(Role::Tailer).filter_map(|peer| match &peer.environments {
        Environments::Only(some) => Some(some.iter().cloned()),
        Environments::All => None,
    });
    let mut all: BTreeSet<Environment> = written.flatten().collect();
    let granted = roster.by_id(own).map(|peer| &peer.environments);
    match granted {
        Some(Environments::Only(some)) => all.extend(some.iter().cloned()),
        Some(Environments::All) => all.extend([Environment::default()]),
        None => {}
    }
    all.into_iter().filter(|environment| may_read(roster, own, environment)).collect()
}

/// Whether the node `own` may read this environment.
#[must_use]
pub fn may_read(roster: &Roster, own: NodeId, environment: &Environment) -> bool {
    roster.by_id(own).is_some_and(|peer| peer.environments.hold(environment))
}

/// What people call a node: its host for a tailer, its address for who listens, else its number.
#[must_use]
pub fn name(roster: &Roster, node: NodeId) -> String {
    let Some(peer) = roster.by_id(node) else { return node.to_string() };
    match (peer.role, peer.hosts.first(), &peer.address) {
        (Role::Tailer, Some(host), _) => host.clone(),
        (role, _, Some(address)) => format!("{role} {address}"),
        (role, _, None) => format!("{role} {node}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proto::seal::{Keys, Seed};
    use std::fmt::Write;

    /// `bucks` bucks from 1, one porter 50, one web 60, `tailers` tailers from 100 in `main`, on hosts `host-N`.
    pub(crate) fn roster(bucks: u64, tailers: u64) -> Roster {
        let mut text = String::new();
        let mut add = |role: Role, id: u64, rest: String| {
            let key = Keys::from_seed(&Seed::from_bytes([id as u8; 32])).public();
            let _ = writeln!(text, "{role} {key} id={} {rest}", NodeId(id));
        };
        for id in 1..=bucks {
            add(Role::Buck, id, format!("addr=10.0.0.{id}:4433"));
        }
        add(Role::Porter, 50, "addr=10.0.0.50:4433".into());
        add(Role::Web, 60, String::new());
        for id in 100..100 + tailers {
            add(Role::Tailer, id, format!("host=host-{id}"));
        }
        Roster::parse(text.as_bytes()).expect("a good roster")
    }

    #[test]
    fn a_web_knows_whom_to_ask_and_what_to_call_them() {
        let roster = roster(2, 1);
        assert_eq!(bucks(&roster).collect::<Vec<_>>(), [NodeId(1), NodeId(2)]);
        assert_eq!(porters(&roster).collect::<Vec<_>>(), [NodeId(50)]);
        assert_eq!(name(&roster, NodeId(1)), "buck 10.0.0.1:4433");
        assert_eq!(name(&roster, NodeId(100)), "host-100");
        assert_eq!(name(&roster, NodeId(999)), "00000000000003e7");
        assert_eq!(environments(&roster, NodeId(60)), [Environment::default()]);
        assert!(environments(&roster, NodeId(999)).is_empty());
        assert_eq!(tailers(&roster, &[Environment::default()]).count(), 1);
        assert_eq!(tailers(&roster, &["prod".parse().expect("a name")]).count(), 0);
    }
}
