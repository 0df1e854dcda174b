//! Bridges between interfaces of the kernel: frames go to whom they are for, segments are cut up
//! and checksums made where they leave, as far as the other side does not, and members come and
//! go.

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
            ("netbsd::segments_pass_whole", tests::segments_pass_whole),
            ("netbsd::segments_are_cut_up", tests::segments_are_cut_up),
            ("netbsd::segments_for_all", tests::segments_for_all),
            ("netbsd::checksums_are_made", tests::checksums_are_made),
            (
                "netbsd::segments_for_the_kernel",
                tests::segments_for_the_kernel,
            ),
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
    use rump::iface::link::{Batch, HostErrno, Offload, Offloads, Piece, Pool, Transmit};
    use rump::iface::{Backend, Bridge, Link, Pair};
    use rump_sys::hyper::vif::abi::{DATA_VALID, GSO_TCPV4, NEEDS_CSUM};
    use rump_sys::kernel::{KIND, Kind};
    use std::net::Ipv4Addr;
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

    /// A bridge with members, and the other ends of their cables.
    struct Patch {
        bridge: Bridge,
        members: Vec<Link>,
        wires: Vec<Pair>,
    }

    /// An end of a cable that can do nothing for the kernel.
    #[derive(Debug)]
    struct Plain(Pair);

    impl Backend for Plain {
        fn offers(&self) -> Offloads {
            Offloads::NONE
        }

        fn link(&self) -> bool {
            self.0.link()
        }

        fn receive(&self, queue: usize, batch: &mut Batch) -> Result<(), HostErrno> {
            self.0.receive(queue, batch)
        }

        fn send(&self, queue: usize, frames: &[Transmit<'_>]) -> Result<usize, HostErrno> {
            self.0.send(queue, frames)
        }

        fn wake(&self) {
            self.0.wake();
        }
    }

    /// Members that can do all for the kernel, or nothing.
    fn patch_of(name: &str, able: &[bool]) -> Result<Patch, Box<dyn std::error::Error>> {
        let kernel = boot();
        let bridge = Bridge::create(name)?;
        let (mut members, mut wires) = (Vec::new(), Vec::new());
        for able in able {
            let (here, there) = Pair::new();
            let member = if *able {
                kernel.attach(here)?
            } else {
                kernel.attach(Plain(here))?
            };
            bridge.add(&member)?;
            members.push(member);
            wires.push(there);
        }
        Ok(Patch {
            bridge,
            members,
            wires,
        })
    }

    fn patch(name: &str) -> Result<Patch, Box<dyn std::error::Error>> {
        patch_of(name, &[true; 2])
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

    const SIZE: usize = 1448;

    /// A TCP segment with 5,000 bytes, whose checksum is that of the pseudo header, and what is to
    /// be done to it.
    fn segment(to: [u8; 6], from: u8) -> (Vec<u8>, Offload) {
        let len = 54 + 5000;
        let mut frame = to.to_vec();
        frame.extend([2, 0, 0, 0, 1, from, 8, 0, 0x45]);
        frame.resize(len, 3);
        frame[18..24].copy_from_slice(&[0, 1, 0, 0, 64, 6]);
        frame[46..48].copy_from_slice(&[0x50, 8]);
        seal(&mut frame);
        let offload = Offload {
            flags: NEEDS_CSUM,
            gso_type: GSO_TCPV4,
            hdr_len: 54,
            gso_size: SIZE as u16,
            csum_start: 34,
            csum_offset: 16,
        };
        (frame, offload)
    }

    /// RFC 1071.
    fn sum(bytes: &[u8], start: u16) -> u16 {
        let words = bytes.chunks(2);
        let words = words.map(|two| u32::from(two[0]) << 8 | u32::from(*two.get(1).unwrap_or(&0)));
        let sum: u32 = words.sum::<u32>() + u32::from(start);
        let sum = (sum >> 16) + (sum & 0xffff);
        ((sum >> 16) + sum) as u16
    }

    /// Makes the sums of its header, and of the pseudo header.
    fn seal(frame: &mut [u8]) {
        let total = (frame.len() - 14) as u16;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        frame[24..26].fill(0);
        let header = !sum(&frame[14..34], 0);
        frame[24..26].copy_from_slice(&header.to_be_bytes());
        let pseudo = pseudo(frame);
        frame[50..52].copy_from_slice(&pseudo.to_be_bytes());
    }

    fn pseudo(frame: &[u8]) -> u16 {
        sum(&frame[26..34], sum(&[0, 6], (frame.len() - 34) as u16))
    }

    /// Those that a segment is cut into: with all their checksums, and nothing left to be done.
    fn is_cut(got: &[(Vec<u8>, Offload)]) {
        let lengths: Vec<_> = got.iter().map(|(bytes, _)| bytes.len()).collect();
        assert_eq!(lengths, [54 + SIZE, 54 + SIZE, 54 + SIZE, 54 + 656]);
        for (bytes, left) in got {
            assert_eq!(*left, Offload::default());
            assert_eq!(sum(&bytes[14..34], 0), 0xffff);
            assert_eq!(sum(&bytes[34..], pseudo(bytes)), 0xffff);
        }
    }

    const NOBODY: [u8; 6] = [2, 0, 0, 0, 1, 8];

    /// From a member that has it whole to one that takes it so.
    pub fn segments_pass_whole() -> Outcome {
        let patch = patch("bridge1")?;
        let (frame, offload) = segment(NOBODY, 7);
        send(&patch.wires[0], &frame, offload);
        assert_eq!(receive(&patch.wires[1], [8, 0], 1), [(frame, offload)]);
        // And one without a length that is too large, or with a checksum that was verified.
        let (mut frame, offload) = segment(NOBODY, 7);
        frame.truncate(1000);
        seal(&mut frame);
        let single = Offload {
            gso_type: 0,
            gso_size: 0,
            hdr_len: 0,
            ..offload
        };
        let verified = Offload {
            flags: DATA_VALID,
            ..Offload::default()
        };
        for offload in [single, verified, Offload::default()] {
            send(&patch.wires[0], &frame, offload);
            let got = receive(&patch.wires[1], [8, 0], 1);
            assert_eq!(got, [(frame.clone(), offload)]);
        }
        patch.bridge.destroy()?;
        Ok(())
    }

    /// To one that takes no such.
    pub fn segments_are_cut_up() -> Outcome {
        let patch = patch_of("bridge2", &[true, false])?;
        let (frame, offload) = segment(NOBODY, 7);
        send(&patch.wires[0], &frame, offload);
        is_cut(&receive(&patch.wires[1], [8, 0], 4));
        patch.bridge.destroy()?;
        Ok(())
    }

    /// To all members, as nobody knows whose the address is: each has it as it takes it.
    pub fn segments_for_all() -> Outcome {
        let patch = patch_of("bridge3", &[true, false, true, false, true])?;
        let (frame, offload) = segment(NOBODY, 7);
        for _ in 0..3 {
            send(&patch.wires[0], &frame, offload);
            for whole in [2, 4] {
                let got = receive(&patch.wires[whole], [8, 0], 1);
                assert_eq!(got, [(frame.clone(), offload)]);
            }
            for cut in [1, 3] {
                is_cut(&receive(&patch.wires[cut], [8, 0], 4));
            }
        }
        patch.bridge.destroy()?;
        Ok(())
    }

    /// Of a frame for a group, or for one that takes none without.
    pub fn checksums_are_made() -> Outcome {
        let patch = patch_of("bridge4", &[true, false, true])?;
        for to in [NOBODY, [0xff; 6], [1, 0, 0x5e, 0, 0, 9]] {
            let (mut frame, offload) = segment(to, 7);
            frame.truncate(54 + 1000);
            seal(&mut frame);
            let offload = Offload {
                gso_type: 0,
                gso_size: 0,
                hdr_len: 0,
                ..offload
            };
            send(&patch.wires[0], &frame, offload);
            let wanted = if to == NOBODY { &[1][..] } else { &[1, 2] };
            for at in [1, 2] {
                let (got, left) = receive(&patch.wires[at], [8, 0], 1).remove(0);
                if wanted.contains(&at) {
                    assert_eq!(left.flags & NEEDS_CSUM, 0);
                    assert_eq!(sum(&got[34..], pseudo(&got)), 0xffff, "{to:?}");
                } else {
                    assert_eq!((got, left), (frame.clone(), offload));
                }
            }
        }
        patch.bridge.destroy()?;
        Ok(())
    }

    /// For an address of the kernel's own, from the member that has the address and from another:
    /// its TCP has all of it, and refuses what belongs to no connection by a reset that says so.
    pub fn segments_for_the_kernel() -> Outcome {
        let patch = patch("bridge5")?;
        let ours: Ipv4Addr = "10.77.0.1".parse()?;
        patch.members[0].add_address("10.77.0.1/24".parse()?)?;
        for (wire, number) in [(0, 7), (1, 8)] {
            let theirs = [10, 77, 0, number];
            let mut question = vec![0xff; 6];
            question.extend([2, 0, 0, 0, 1, number, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
            question.extend([2, 0, 0, 0, 1, number]);
            question.extend(theirs);
            question.extend([0; 6]);
            question.extend(ours.octets());
            send(&patch.wires[wire], &question, Offload::default());
            let (answer, _) = receive(&patch.wires[wire], [8, 6], 1).remove(0);
            let address = *answer[6..].first_chunk().expect("an Ethernet address");

            let (mut frame, offload) = segment(address, number);
            frame[26..30].copy_from_slice(&theirs);
            frame[30..34].copy_from_slice(&ours.octets());
            seal(&mut frame);
            send(&patch.wires[wire], &frame, offload);
            let (reset, _) = receive(&patch.wires[wire], [8, 0], 1).remove(0);
            let sequence = u32::from_be_bytes(*frame[38..].first_chunk().expect("a number"));
            let acknowledged = u32::from_be_bytes(*reset[42..].first_chunk().expect("a number"));
            assert_eq!(reset[47], 0x14, "{reset:?}");
            assert_eq!(acknowledged.wrapping_sub(sequence), 5000);
        }
        patch.bridge.destroy()?;
        Ok(())
    }

    pub fn members_come_and_go() -> Outcome {
        let Patch {
            bridge,
            members,
            wires: _wires,
        } = patch("bridge6")?;
        let [first, second] = <[Link; 2]>::try_from(members).expect("two members");
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
