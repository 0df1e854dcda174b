//! `TCP_INFO`: NetBSD's `struct tcp_info` was modelled on Linux's of 2.6, and has the same
//! places for what both have.

use crate::raw::net::tcp_info;
use core::mem::offset_of;

/// NetBSD's structure; its extensions stand behind Linux's fields.
pub(crate) const NETBSD: usize = 236;
/// Linux's of 2.6: what is told.
pub(crate) const LINUX: usize = offset_of!(tcp_info, tcpi_pacing_rate);
/// NetBSD's `tcpi_snd_rexmitpack`.
const RETRANSMITTED: usize = 120;
/// Linux's states (tcp(7), `<netinet/tcp.h>`) by NetBSD's (`<netinet/tcp_fsm.h>`).
const STATES: [u8; 11] = [7, 10, 2, 3, 1, 8, 4, 11, 9, 5, 6];
/// Time stamps, selective acknowledgements, window scaling and congestion notification.
const OPTIONS: u8 = 0x0f;

const SAME: [usize; 8] = [
    offset_of!(tcp_info, tcpi_rto),
    offset_of!(tcp_info, tcpi_snd_mss),
    offset_of!(tcp_info, tcpi_rcv_mss),
    offset_of!(tcp_info, tcpi_rtt),
    offset_of!(tcp_info, tcpi_rttvar),
    offset_of!(tcp_info, tcpi_snd_ssthresh),
    offset_of!(tcp_info, tcpi_snd_cwnd),
    offset_of!(tcp_info, tcpi_rcv_space),
];

/// What NetBSD does not count is 0: segments on their way, and times since something was sent.
pub(crate) fn to_linux(netbsd: &[u8; NETBSD]) -> [u8; LINUX] {
    let word = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|byte| netbsd[at + byte]));
    let mut told = [0; LINUX];
    let mut tell = |at: usize, value: u32| {
        told[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    };
    for at in SAME {
        tell(at, word(at));
    }
    // Microseconds, and milliseconds.
    let received = offset_of!(tcp_info, tcpi_last_data_recv);
    tell(received, word(received) / 1000);
    let retransmitted = offset_of!(tcp_info, tcpi_total_retrans);
    tell(retransmitted, word(RETRANSMITTED));
    told[offset_of!(tcp_info, tcpi_state)] =
        STATES.get(usize::from(netbsd[0])).copied().unwrap_or(0);
    let options = offset_of!(tcp_info, tcpi_options);
    told[options] = netbsd[options] & OPTIONS;
    let scales = offset_of!(tcp_info, _bitfield_1);
    told[scales] = netbsd[scales];
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection() {
        let mut netbsd = [0; NETBSD];
        // Established, with SACK and TOE, scales of 3 and 6.
        netbsd[0] = 4;
        netbsd[5] = 0x12;
        netbsd[6] = 0x63;
        netbsd[8..12].copy_from_slice(&300_000u32.to_ne_bytes());
        netbsd[52..56].copy_from_slice(&20_000u32.to_ne_bytes());
        netbsd[120..124].copy_from_slice(&7u32.to_ne_bytes());
        let told = to_linux(&netbsd);
        assert_eq!(told.len(), 104);
        assert_eq!((told[0], told[5], told[6]), (1, 2, 0x63));
        assert_eq!(told[8..12], 300_000u32.to_ne_bytes());
        assert_eq!(told[52..56], 20u32.to_ne_bytes());
        assert_eq!(told[100..104], 7u32.to_ne_bytes());
        netbsd[0] = 99;
        assert_eq!(to_linux(&netbsd)[0], 0);
    }
}
