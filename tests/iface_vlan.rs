//! VLANs: an interface has the frames of another one with its tag, and no others.

mod common;

#[cfg(not(feature = "vlan"))]
fn main() {
    let reason = "without the feature vlan";
    let trial = common::trial_if(false, "netbsd", reason, "netbsd::vlan", || Ok(()));
    common::run(vec![trial]);
}

#[cfg(feature = "vlan")]
fn main() {
    common::run_with_interfaces_of(
        [
            ("is_there_or_says_so", tests::is_there_or_says_so),
            ("netbsd::frames_have_tags", tests::frames_have_tags),
            ("netbsd::bad_tags_are_refused", tests::bad_tags_are_refused),
        ],
        |name| {
            name.starts_with("netbsd::")
                .then_some("rump-lite has no VLANs")
        },
    );
}

#[cfg(feature = "vlan")]
mod tests {
    use super::common::{Outcome, boot};
    use rump::Errno;
    use rump::iface::link::{Batch, Offload, Piece, Pool, Transmit};
    use rump::iface::{Backend, Pair, Vlan};
    use rump_sys::kernel::{KIND, Kind};
    use std::time::{Duration, Instant};

    pub fn is_there_or_says_so() -> Outcome {
        let trunk = boot().attach(Pair::new().0)?;
        let made = Vlan::create("vlan9", &trunk, 9);
        if KIND == Kind::Netbsd {
            let vlan = made?;
            assert_eq!(vlan.over()?, Some((trunk.name().into(), 9)));
            // Its parent goes first.
            drop(trunk);
            assert_eq!(vlan.over()?, None);
            vlan.destroy()?;
        } else {
            assert!(made.is_err());
        }
        Ok(())
    }

    /// Who has 10.9.TAG.1? With a tag, or without.
    fn question(tag: Option<u8>, network: u8) -> Vec<u8> {
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 9, 8]);
        frame.extend(tag.iter().flat_map(|tag| [0x81, 0, 0, *tag]));
        frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend([2, 0, 0, 0, 9, 8, 10, 9, network, 2]);
        frame.extend([0, 0, 0, 0, 0, 0, 10, 9, network, 1]);
        frame.resize(64, 0);
        frame
    }

    /// The network of the answer and its tag, of frames that come within a while.
    fn answers(wire: &Pair, patience: Duration) -> Vec<(u8, Option<u8>)> {
        let (mut batch, mut got) = (Batch::new(Pool::new(0)), Vec::new());
        let end = Instant::now() + patience;
        while Instant::now() < end && got.is_empty() {
            wire.receive(0, &mut batch).expect("frames");
            for frame in batch.take_all() {
                let bytes = frame.bytes();
                let (tag, arp) = match bytes[12..14] {
                    [0x81, 0] => (Some(bytes[15]), &bytes[16..]),
                    _ => (None, &bytes[12..]),
                };
                // ARP, an answer, and whose.
                if arp[..2] == [8, 6] && arp[8..10] == [0, 2] {
                    got.push((arp[18], tag));
                }
            }
        }
        got
    }

    pub fn frames_have_tags() -> Outcome {
        let (end, wire) = Pair::new();
        let trunk = boot().attach(end)?;
        let seven = Vlan::create("vlan7", &trunk, 7)?;
        let eight = Vlan::create("vlan8", &trunk, 8)?;
        seven.interface().add_address("10.9.7.1/24".parse()?)?;
        eight.interface().add_address("10.9.8.1/24".parse()?)?;
        let ask = |tag, network, patience| {
            let frame = question(tag, network);
            let pieces = [Piece::new(&frame)];
            let sent = wire.send(0, &[Transmit::new(&pieces, Offload::default())]);
            assert_eq!(sent, Ok(1));
            answers(&wire, patience)
        };
        let long = Duration::from_secs(10);
        assert_eq!(ask(Some(7), 7, long), [(7, Some(7))]);
        assert_eq!(ask(Some(8), 8, long), [(8, Some(8))]);
        // Nobody has what is asked for there.
        let while_ = Duration::from_millis(200);
        for (tag, network) in [(Some(7), 8), (Some(9), 7), (None, 7)] {
            assert_eq!(ask(tag, network, while_), [], "{tag:?} {network}");
        }
        seven.destroy()?;
        assert_eq!(ask(Some(7), 7, while_), []);
        assert_eq!(ask(Some(8), 8, long), [(8, Some(8))]);
        eight.destroy()?;
        assert!(trunk.is_up()?);
        Ok(())
    }

    pub fn bad_tags_are_refused() -> Outcome {
        let trunk = boot().attach(Pair::new().0)?;
        for tag in [0, 4095, u16::MAX] {
            let error = Vlan::create("vlan6", &trunk, tag).unwrap_err();
            assert_eq!(error.errno(), Some(Errno::EINVAL), "{error}");
        }
        let vlan = Vlan::create("vlan6", &trunk, 4094)?;
        let same = Vlan::create("vlan5", &trunk, 4094).unwrap_err();
        assert_eq!(same.errno(), Some(Errno::EEXIST), "{same}");
        // What was refused is not there.
        let vlan5 = Vlan::create("vlan5", &trunk, 1)?;
        vlan5.destroy()?;
        vlan.destroy()?;
        Ok(())
    }
}
