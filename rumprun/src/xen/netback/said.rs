//! What a front end says of itself in xenstore (io/netif.h), before it is connected to. Pure: it
//! is given a way to look numbers up.

use super::super::device::Problem;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use rump_hyper::vif::Offloads;

/// What a front end takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Takes {
    /// Frames in several pages.
    pub scattered: bool,
    /// Checksums that are to be completed.
    pub blank: bool,
    /// Segments that are to be cut up.
    pub tcp4: bool,
    pub tcp6: bool,
}

impl Takes {
    /// What may be left to it.
    pub(super) fn offloads(self) -> Offloads {
        let mut offloads = Offloads::NONE;
        if self.blank {
            offloads = offloads | Offloads::TX_CSUM;
            for (takes, offload) in [
                (self.tcp4, Offloads::TX_TSO4),
                (self.tcp6, Offloads::TX_TSO6),
            ] {
                // A segment is longer than a page.
                if takes && self.scattered {
                    offloads = offloads | offload;
                }
            }
        }
        offloads
    }
}

/// Where a queue is: grants of the pages of its rings, and the port of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub sends: u32,
    pub receives: u32,
    pub port: u32,
}

/// Where the ring is by which it controls the hashing of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ControlEnds {
    pub ring: u32,
    pub port: u32,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub queues: Vec<Ends>,
    pub control: Option<ControlEnds>,
    pub takes: Takes,
    /// It says which groups it wants to hear of.
    pub has_groups: bool,
}

impl Said {
    /// Reads what it says, of at most so many queues; `number` looks at a name below its folder.
    pub(super) fn read(
        most: u32,
        mut number: impl FnMut(&str) -> Result<u32, Problem>,
    ) -> Result<Self, Problem> {
        // What it does not say, or not as a number, it does not have.
        let mut has = |name: &str| number(name).is_ok_and(|value| value != 0);
        if !has("request-rx-copy") {
            return Err(Problem::Value("request-rx-copy", "0".into()));
        }
        let takes = Takes {
            scattered: has("feature-sg"),
            blank: !has("feature-no-csum-offload") && has("feature-ipv6-csum-offload"),
            tcp4: has("feature-gso-tcpv4"),
            tcp6: has("feature-gso-tcpv6"),
        };
        let has_groups = has("request-multicast-control");
        let count = number("multi-queue-num-queues").unwrap_or(1);
        if count == 0 || count > most {
            return Err(Problem::Value("multi-queue-num-queues", count.to_string()));
        }
        let mut queues = Vec::new();
        for queue in 0..count {
            // A queue alone is where it was before there were several.
            let mut says = |name: &str| match count {
                1 => number(name),
                _ => number(&format!("queue-{queue}/{name}")),
            };
            queues.push(Ends {
                sends: says("tx-ring-ref")?,
                receives: says("rx-ring-ref")?,
                port: says("event-channel")?,
            });
        }
        let control = match number("ctrl-ring-ref") {
            Ok(ring) => Some(ControlEnds {
                ring,
                port: number("event-channel-ctrl")?,
            }),
            Err(_) => None,
        };
        Ok(Self {
            queues,
            control,
            takes,
            has_groups,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::store::Error;
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn read(most: u32, keys: &[(&str, u32)]) -> Result<Said, Problem> {
        Said::read(most, |name| {
            let found = keys.iter().find(|(other, _)| *other == name);
            found
                .map(|(_, value)| *value)
                .ok_or(Problem::Store(Error::Denied("ENOENT".into())))
        })
    }

    #[test]
    fn one_queue_is_where_it_always_was() {
        let mut keys = std::vec![
            ("request-rx-copy", 1),
            ("tx-ring-ref", 8),
            ("rx-ring-ref", 9),
            ("event-channel", 10),
        ];
        let ends = Ends {
            sends: 8,
            receives: 9,
            port: 10,
        };
        assert_eq!(read(4, &keys).unwrap().queues, [ends]);
        keys.push(("multi-queue-num-queues", 1));
        let said = read(4, &keys).unwrap();
        assert_eq!((said.queues, said.control), (std::vec![ends], None));
        assert_eq!(said.takes, Takes::default());
        keys.remove(0);
        assert!(read(4, &keys).is_err());
    }

    #[test]
    fn several_queues_have_folders() {
        let keys = [
            ("request-rx-copy", 1),
            ("multi-queue-num-queues", 2),
            ("queue-0/tx-ring-ref", 1),
            ("queue-0/rx-ring-ref", 2),
            ("queue-0/event-channel", 3),
            ("queue-1/tx-ring-ref", 4),
            ("queue-1/rx-ring-ref", 5),
            ("queue-1/event-channel", 6),
            ("ctrl-ring-ref", 7),
            ("event-channel-ctrl", 8),
        ];
        let said = read(2, &keys).unwrap();
        assert_eq!(said.queues.len(), 2);
        assert_eq!(said.queues[1].port, 6);
        assert_eq!(said.control, Some(ControlEnds { ring: 7, port: 8 }));
        // More than are offered, and one that is not all there.
        assert!(read(1, &keys).is_err());
        assert!(read(2, &keys[..7]).is_err());
        assert!(read(2, &keys[..9]).is_err());
    }

    #[test]
    fn what_is_left_to_a_front_end_is_what_it_takes() {
        let all = Takes {
            scattered: true,
            blank: true,
            tcp4: true,
            tcp6: true,
        };
        assert_eq!(all.offloads(), Offloads::TX);
        assert_eq!(Takes::default().offloads(), Offloads::NONE);
        let one = Takes {
            scattered: false,
            ..all
        };
        assert_eq!(one.offloads(), Offloads::TX_CSUM);
        let none = Takes {
            blank: false,
            ..all
        };
        assert_eq!(none.offloads(), Offloads::NONE);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// Whatever it says, in whatever combination: no more queues than were offered, each
        /// with numbers that it said.
        #[test]
        fn no_more_queues_than_offered(
            values in prop::collection::vec(prop::option::weighted(0.9, 0_u32..12), 24),
            most in 1_u32..8,
        ) {
            let names = [
                "request-rx-copy", "feature-sg", "feature-no-csum-offload", "feature-ipv6-csum-offload",
                "feature-gso-tcpv4", "feature-gso-tcpv6", "multi-queue-num-queues", "tx-ring-ref",
                "rx-ring-ref", "event-channel", "ctrl-ring-ref", "event-channel-ctrl",
            ];
            let of_queues = (0..4).flat_map(|queue| {
                ["tx-ring-ref", "rx-ring-ref", "event-channel"].map(|name| format!("queue-{queue}/{name}"))
            });
            let names = names.map(String::from).into_iter().chain(of_queues);
            let keys: BTreeMap<String, Option<u32>> = names.zip(values).collect();
            let said = Said::read(most, |name| {
                keys.get(name).copied().flatten().ok_or(Problem::Memory)
            });
            if let Ok(said) = said {
                prop_assert!((1..=most as usize).contains(&said.queues.len()));
                let count = keys["multi-queue-num-queues"].unwrap_or(1) as usize;
                prop_assert_eq!(said.queues.len(), count);
                prop_assert_eq!(said.control.is_some(), keys["ctrl-ring-ref"].is_some());
            }
        }
    }
}
