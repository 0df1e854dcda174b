//! What an interface has counted.

use rump_sys::abi::if_data;
use std::mem::offset_of;

macro_rules! counters {
    ($($doc:literal $name:ident = $field:ident;)*) => {
        /// What an interface has counted since it was made (`struct if_data` of
        /// `<net/if.h>`).
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Statistics {
            $(#[doc = $doc] pub $name: u64,)*
        }

        impl Statistics {
            /// Reads each counter at its offset.
            pub(super) fn read(at: impl Fn(usize) -> u64) -> Self {
                Self { $($name: at(offset_of!(if_data, $field)),)* }
            }

            /// The counters with their names.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }

            /// Name among the metrics, what it says, and value.
            pub(crate) fn metrics(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((
                    concat!("rump_interface_", stringify!($name), "_total"),
                    $doc,
                    self.$name,
                )),*]
            }
        }
    };
}

counters! {
    "Frames that came." received = ifi_ipackets;
    "Their bytes." received_bytes = ifi_ibytes;
    "Frames that came with an error." receive_errors = ifi_ierrors;
    "Frames that came to a group." received_multicast = ifi_imcasts;
    "Frames that were dropped on their way in." receive_drops = ifi_iqdrops;
    "Frames of a protocol that the kernel does not have." unknown_protocol = ifi_noproto;
    "Frames sent." sent = ifi_opackets;
    "Their bytes." sent_bytes = ifi_obytes;
    "Frames that could not be sent." send_errors = ifi_oerrors;
    "Frames sent to a group." sent_multicast = ifi_omcasts;
    "Collisions, where there are such things." collisions = ifi_collisions;
}
