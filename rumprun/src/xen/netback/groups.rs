//! Groups of Ethernet that a front end wants to hear of (io/netif.h, "feature-multicast-control"):
//! where it has asked to say so, what goes to other groups is not brought to it.

use alloc::collections::BTreeSet;

/// Groups of one front end at most.
const MOST: usize = 64;

/// An address of Ethernet.
type Address = [u8; 6];

/// What is to become of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub joins: bool,
    pub address: Address,
}

/// The groups; all, where it has not asked.
#[derive(Debug)]
pub(super) struct Groups(Option<BTreeSet<Address>>);

/// IEEE 802.3, 3.2.3: an address of several, and that of all.
fn is_group(address: Address) -> bool {
    address[0] & 1 != 0 && address != [0xff; 6]
}

impl Groups {
    pub(super) fn new(asked: bool) -> Self {
        Self(asked.then(BTreeSet::new))
    }

    /// Does what is asked; whether that can be.
    pub(super) fn change(&mut self, group: Group) -> bool {
        let Some(wanted) = &mut self.0 else {
            return false;
        };
        if !group.joins {
            wanted.remove(&group.address);
            return true;
        }
        let has_room = wanted.len() < MOST || wanted.contains(&group.address);
        is_group(group.address) && has_room && {
            wanted.insert(group.address);
            true
        }
    }

    /// Whether all groups are wanted.
    pub(super) fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a frame to this address is brought to it.
    pub(super) fn wants(&self, address: Address) -> bool {
        let Some(wanted) = &self.0 else {
            return true;
        };
        !is_group(address) || wanted.contains(&address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Address = [1, 0, 0x5e, 0, 0, 1];

    #[test]
    fn who_does_not_ask_hears_of_all() {
        let mut groups = Groups::new(false);
        let joins = Group {
            joins: true,
            address: GROUP,
        };
        assert!(!groups.change(joins));
        assert!(groups.is_all() && groups.wants(GROUP));
    }

    #[test]
    fn who_asks_hears_of_its_groups() {
        let mut groups = Groups::new(true);
        let change = |groups: &mut Groups, joins, address| groups.change(Group { joins, address });
        assert!(!groups.wants(GROUP) && !groups.is_all());
        assert!(change(&mut groups, true, GROUP) && groups.wants(GROUP));
        for always in [[0xff; 6], [2, 0, 0, 0, 0, 1]] {
            assert!(groups.wants(always));
            assert!(!change(&mut groups, true, always));
        }
        assert!(change(&mut groups, false, GROUP) && !groups.wants(GROUP));
        // One that it has not.
        assert!(change(&mut groups, false, GROUP));
        for number in 0..=u8::MAX {
            let joined = change(&mut groups, true, [1, 0, 0, 0, 0, number]);
            assert_eq!(joined, usize::from(number) < MOST);
        }
        assert!(change(&mut groups, true, [1, 0, 0, 0, 0, 5]));
    }
}
