//! Bridges between interfaces of the kernel: frames go to whom they are for, segments are cut up
//! and checksums made where they leave, and members come and go.

mod common;

#[cfg(not(feature = "bridge"))]
fn main() {
    let reason = "without the feature bridge";
    let trial = common::trial_if(false, "netbsd", reason, "netbsd::bridge", || Ok(()));
    common::run(vec![trial]);
}

#[cfg(feature = "bridge")]
fn main() {
    common::run_with_interfaces_of(
        [
            ("is_there_or_says_so", tests::is_there_or_says_so),
            ("netbsd::frames_pass", tests::frames_pass),
            ("netbsd::segments_are_cut_up", tests::segments_are_cut_up),
            ("netbsd::members_come_and_go", tests::members_come_and_go),
        ],
        |name| {
            name.starts_with("netbsd::")
                .then_some("rump-lite has no bridges")
        },
    );
}

#[cfg(feature = "bridge")]
mod tests {
    use super::common::{Outcome, boot};
    use rump::iface::link::{Batch, Offload, Piece, Pool, Transmit};
    use rump::iface::{Backend, Bridge, Link, Pair};
    use rump_sys::hyper::vif::abi::{GSO_TCPV4, NEEDS_CSUM};
    use rump_sys::kernel::{KIND, Kind};
    use std::time::{Duration, Instant};

    pub fn is_there_or_says_so() -> Outcome {
        let kernel = boot();
        let made = Bridge::create("bridge9");
        if KIND == Kind::Netbsd {
            made?.destroy()?;
        } else {
            assert!(made.is_err(), "{kernel:?}");
        }
        Ok(())
    }

    /// A bridge with two members, and the other ends of their cables.
    struct Patch {
        bridge: Bridge,
        members: [Link; 2],
        wires: [Pair; 2],
    }

    fn patch(name: &str) -> Result<Patch, Box<dyn std::error::Error>> {
        let kernel = boot();
        let (one, first) = Pair::new();
        let (two, second) = Pair::new();
        let members = [kernel.attach(one)?, kernel.attach(two)?];
        let bridge = Bridge::create(name)?;
        for member in &members {
            bridge.add(member)?;
        }
        let wires = [first, second];
        Ok(Patch {
            bridge,
            members,
            wires,
        })
    }

    fn send(to: &Pair, frame: &[u8], offload: Offload) {
        let pieces = [Piece::new(frame)];
        assert_eq!(to.send(0, &[Transmit::new(&pieces, offload)]), Ok(1));
    }

    /// The next frames of this kind, so many of them.
    fn receive(from: &Pair, kind: [u8; 2], count: usize) -> Vec<(Vec<u8>, Offload)> {
        let (mut batch, mut got) = (Batch::new(Pool::new(0)), Vec::new());
        let start = Instant::now();
        while got.len() < count {
            let passed = start.elapsed();
            assert!(passed < Duration::from_secs(10), "{} frames", got.len());
            from.receive(0, &mut batch).expect("frames");
            let all = batch.take_all();
            let ours = all
                .iter()
                .map(|frame| (frame.bytes().to_vec(), frame.offload));
            got.extend(ours.filter(|(bytes, _)| bytes[12..14] == kind));
        }
        got
    }

    pub fn frames_pass() -> Outcome {
        let patch = patch("bridge0")?;
        let mut members = patch.bridge.members()?;
        members.sort();
        let mut names: Vec<_> = patch.members.iter().map(|link| link.name()).collect();
        names.sort_unstable();
        assert_eq!(members, names);
        let mut frame = vec![2, 0, 0, 0, 0, 8, 2, 0, 0, 0, 0, 7, 0x88, 0xb5];
        for len in [60, 1000, 1514] {
            frame.resize(len, len as u8);
            for (from, to) in [(0, 1), (1, 0)] {
                send(&patch.wires[from], &frame, Offload::default());
                let got = receive(&patch.wires[to], [0x88, 0xb5], 1);
                assert_eq!(got, [(frame.clone(), Offload::default())]);
                // Who answers is where it was seen.
                frame.swap(5, 11);
            }
        }
        patch.bridge.destroy()?;
        Ok(())
    }

    /// A segment with an incomplete checksum over two links that take no such.
    pub fn segments_are_cut_up() -> Outcome {
        let patch = patch("bridge1")?;
        let (len, size) = (54 + 5000, 1448);
        let mut frame = vec![2, 0, 0, 0, 1, 8, 2, 0, 0, 0, 1, 7, 8, 0, 0x45];
        frame.resize(len, 3);
        let total = ((len - 14) as u16).to_be_bytes();
        frame[16..24].copy_from_slice(&[total[0], total[1], 0, 1, 0, 0, 64, 6]);
        frame[46] = 0x50;
        let offload = Offload {
            flags: NEEDS_CSUM,
            gso_type: GSO_TCPV4,
            hdr_len: 54,
            gso_size: size as u16,
            csum_start: 34,
            csum_offset: 16,
        };
        send(&patch.wires[0], &frame, offload);
        let pieces = 5000_usize.div_ceil(size);
        let got = receive(&patch.wires[1], [8, 0], pieces);
        let lengths: Vec<_> = got.iter().map(|(bytes, _)| bytes.len()).collect();
        assert_eq!(lengths, [54 + 1448, 54 + 1448, 54 + 1448, 54 + 656]);
        assert!(got.iter().all(|(_, left)| *left == Offload::default()));
        patch.bridge.destroy()?;
        Ok(())
    }

    pub fn members_come_and_go() -> Outcome {
        let Patch {
            bridge,
            members: [first, second],
            ..
        } = patch("bridge2")?;
        assert!(bridge.add(&first).is_err());
        bridge.remove(&first)?;
        assert_eq!(bridge.members()?, [second.name()]);
        assert!(bridge.remove(&first).is_err());
        bridge.add(&first)?;
        // One that is removed from the kernel.
        let name = first.name().to_string();
        drop(second);
        assert_eq!(bridge.members()?, [name]);
        bridge.destroy()?;
        assert!(first.is_up()?);
        Ok(())
    }
}
