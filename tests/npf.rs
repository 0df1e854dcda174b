//! The packet filter: what a ruleset says is what becomes of packets, from the kernel to
//! itself, and between the kernel and Linux over TAP.

mod common;
#[cfg(feature = "npf")]
#[path = "npf/itself.rs"]
mod itself;
#[cfg(feature = "npf")]
#[path = "npf/linux.rs"]
mod linux;
#[cfg(feature = "npf")]
#[path = "npf/setting.rs"]
mod setting;

#[cfg(not(feature = "npf"))]
fn main() {
    let reason = "without the feature npf";
    let trial = common::trial_if(false, "npf", reason, "npf", || Ok(()));
    common::run(vec![trial]);
}

#[cfg(feature = "npf")]
fn main() {
    common::run_with_interfaces_of(
        [
            ("is_there_or_says_so", itself::is_there_or_says_so),
            ("netbsd::opens_and_switches", itself::opens_and_switches),
            ("netbsd::blocks_ports", itself::blocks_ports),
            (
                "netbsd::what_cannot_be_leaves_the_ruleset",
                itself::what_cannot_be_leaves_the_ruleset,
            ),
            ("netbsd::tables", itself::tables),
            ("root::linux_is_blocked", linux::linux_is_blocked),
            ("root::linux_is_answered", linux::linux_is_answered),
            ("root::state_lets_replies_in", linux::state_lets_replies_in),
            (
                "root::tables_have_effect_at_once",
                linux::tables_have_effect_at_once,
            ),
            ("root::ipv6", linux::ipv6),
            (
                "root::rulesets_change_under_traffic",
                linux::rulesets_change_under_traffic,
            ),
            ("netbsd::leaves_no_memory", itself::leaves_no_memory),
        ],
        |name| {
            name.contains("::")
                .then_some("rump-lite has no packet filter")
        },
    );
}
