//! What the packet filter counts.

use rump_sys::abi::npf as abi;

/// Packets and connections since boot (`npfctl(8)`, stats).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Packets that no rule was about, and that passed because no ruleset is loaded.
    pub passed_by_default: u64,
    /// Packets that a rule let through.
    pub passed_by_rule: u64,
    /// Packets that passed with the connection that they belong to.
    pub passed_with_connection: u64,
    /// Packets that no rule was about, and that were dropped.
    pub blocked_by_default: u64,
    /// Packets that a rule dropped.
    pub blocked_by_rule: u64,
    /// Connections that stateful rules began.
    pub connections: u64,
    /// Those of them that are no more.
    pub connections_ended: u64,
    /// Packets that do not fit to the state of their connection.
    pub invalid_state: u64,
    /// Fragments of packets.
    pub fragments: u64,
    /// Packets that were put together from fragments.
    pub reassembled: u64,
    /// Fragments that nothing could be made of.
    pub reassembly_failed: u64,
    /// Packets that could not be looked at, for instance for lack of memory.
    pub errors: u64,
}

impl Statistics {
    pub(super) fn new(counters: &[u64]) -> Self {
        let at = |index: usize| counters.get(index).copied().unwrap_or(0);
        Self {
            passed_by_default: at(abi::NPF_STAT_PASS_DEFAULT),
            passed_by_rule: at(abi::NPF_STAT_PASS_RULESET),
            passed_with_connection: at(abi::NPF_STAT_PASS_CONN),
            blocked_by_default: at(abi::NPF_STAT_BLOCK_DEFAULT),
            blocked_by_rule: at(abi::NPF_STAT_BLOCK_RULESET),
            connections: at(abi::NPF_STAT_CONN_CREATE),
            connections_ended: at(abi::NPF_STAT_CONN_DESTROY),
            invalid_state: at(abi::NPF_STAT_INVALID_STATE),
            fragments: at(abi::NPF_STAT_FRAGMENTS),
            reassembled: at(abi::NPF_STAT_REASSEMBLY),
            reassembly_failed: at(abi::NPF_STAT_REASSFAIL),
            errors: at(abi::NPF_STAT_ERROR),
        }
    }
}
