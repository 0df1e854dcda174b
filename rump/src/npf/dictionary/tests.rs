//! Both formats: the bytes that the kernel expects, and what it may answer.

use super::{DEPTH, Dictionary, Value, nvlist, plist};

/// What there is of everything.
fn sample() -> Dictionary {
    Dictionary::new()
        .with("version", 20_u32)
        .with("flush", false)
        .with("name", "a & <b>")
        .with("code", vec![1, 2, 3, 4])
        .with(
            "rules",
            vec![
                Dictionary::new().with("attr", 0x1000_0001_u32),
                Dictionary::new(),
                Dictionary::new().with("entries", vec![Dictionary::new().with("mask", 8_u32)]),
            ],
        )
        .with("active", true)
}

/// By hand, from the layout of the headers: 19 bytes for a list, 19 and the name for a pair.
#[test]
fn an_nvlist_is_laid_out_as_the_kernel_reads_it() {
    let list = Dictionary::new().with("n", 0x0102_u32);
    #[rustfmt::skip]
    let expected = [
        0x6c, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,  29, 0, 0, 0, 0, 0, 0, 0,
        3,  2, 0,  8, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,  b'n', 0,
        2, 1, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(nvlist::pack(&list), expected);

    let list = Dictionary::new().with("a", vec![Dictionary::new(), Dictionary::new()]);
    let bytes = nvlist::pack(&list);
    // A list, a pair; and for each element a list and the pair that ends it.
    assert_eq!(bytes.len(), 19 + 21 + 2 * (19 + 20));
    // The array says how many are in it.
    assert_eq!(bytes[19], 11);
    assert_eq!(bytes[19 + 11], 2);
    // Each list says what follows it in the whole.
    let after = |at: usize| u64::from_le_bytes(bytes[at + 11..at + 19].try_into().unwrap());
    assert_eq!(after(0) as usize, bytes.len() - 19);
    assert_eq!(after(40) as usize, bytes.len() - 40 - 19);
    assert_eq!(after(79) as usize, bytes.len() - 79 - 19);
    assert_eq!(bytes[59], 254);
    assert_eq!(bytes[60..62], [1, 0]);

    // There are no empty arrays or values.
    let list = Dictionary::new()
        .with("none", Vec::<Dictionary>::new())
        .with("nothing", Vec::<u8>::new());
    assert_eq!(nvlist::pack(&list).len(), 19);
}

#[test]
fn what_is_packed_can_be_unpacked() {
    assert_eq!(nvlist::unpack(&nvlist::pack(&sample())), Ok(sample()));
    let inner = Dictionary::new().with("inner", Value::Dictionary(sample()));
    assert_eq!(nvlist::unpack(&nvlist::pack(&inner)), Ok(inner));
}

#[test]
fn nvlists_that_are_wrong_are_refused() {
    let good = nvlist::pack(&Dictionary::new().with("flag", true));
    for (at, byte, what) in [
        (0, 0x6d, "no list"),
        (1, 1, "no list"),
        (2, 0x80, "big-endian"),
        (3, 1, "as long as"),
        (11, 0, "as long as"),
        (19, 200, "not known"),
        (20, 200, "cut off"),
        (20, 4, "end in 0"),
        (27, 0xff, "cut off"),
        (good.len() - 1, 2, "neither"),
    ] {
        let mut bad = good.clone();
        bad[at] = byte;
        let error = nvlist::unpack(&bad).unwrap_err();
        assert!(error.contains(what), "byte {at} is {byte}: {error}");
    }
    for length in 0..good.len() {
        assert!(nvlist::unpack(&good[..length]).is_err(), "{length} bytes");
    }
    let mut deep = Dictionary::new();
    for _ in 0..=DEPTH {
        deep = Dictionary::new().with("deeper", Value::Dictionary(deep));
    }
    let error = nvlist::unpack(&nvlist::pack(&deep)).unwrap_err();
    assert!(error.contains("deep"), "{error}");
}

#[test]
fn a_plist_is_as_the_kernel_reads_it() {
    let list = Dictionary::new()
        .with("version", 17_u32)
        .with("a<b", "x&y")
        .with("code", b"any carnal pleas".to_vec())
        .with("flush", true)
        .with("rules", Vec::<Dictionary>::new());
    let expected = "<plist version=\"1.0\">\n<dict>\n\
        <key>version</key>\n<integer>0x11</integer>\n\
        <key>a&lt;b</key>\n<string>x&amp;y</string>\n\
        <key>code</key>\n<data>YW55IGNhcm5hbCBwbGVhcw==</data>\n\
        <key>flush</key>\n<true/>\n\
        <key>rules</key>\n<array>\n</array>\n\
        </dict>\n</plist>\n";
    assert_eq!(plist::write(&list), expected);
    // RFC 4648, 10.
    for (bytes, text) in [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("", "")] {
        let list = Dictionary::new().with("d", bytes.as_bytes().to_vec());
        let text = format!("<data>{text}</data>");
        assert!(plist::write(&list).contains(&text), "{bytes}");
    }
}

#[test]
fn a_plist_of_the_kernel_can_be_read() {
    let answer = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <!DOCTYPE plist PUBLIC \"-//Apple Computer//DTD PLIST 1.0//EN\" \"http://x\">\n\
        <plist version=\"1.0\">\n<dict>\n\t<key>errno</key>\n\t<integer>17</integer>\n\
        \t<key>id</key>\n\t<integer>-1</integer>\n\
        \t<key>file</key>\n\t<string>a&amp;b</string>\n\
        \t<key>more</key>\n\t<array>\n\t\t<dict>\n\t\t</dict>\n\t</array>\n\
        </dict>\n</plist>\n\0";
    let read = plist::read(answer.as_bytes()).unwrap();
    assert_eq!(read.number("errno"), Some(17));
    assert_eq!(read.number("id"), Some(u64::MAX));
    assert_eq!(read.text("file"), Some("a&b"));
    assert_eq!(
        read.get("more"),
        Some(&Value::Array(vec![Dictionary::new()]))
    );
    for length in 0..answer.len() - "</plist>\n\0".len() - 1 {
        let cut = &answer.as_bytes()[..length];
        assert!(plist::read(cut).is_err(), "{length} bytes");
    }
    let deep = "<dict><key>k</key>".repeat(DEPTH + 2);
    assert!(plist::read(deep.as_bytes()).unwrap_err().contains("deep"));
}

/// Bytes changed, cut, moved and doubled at random never lead to more than an error, and
/// what can be read of an nvlist can be written again.
#[test]
fn whatever_comes_is_read_or_refused() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let nvlist_seed = nvlist::pack(&sample());
    let plist_seed = plist::write(&sample()).into_bytes();
    let (mut read, mut refused) = ([0_u32; 2], [0_u32; 2]);
    for round in 0..40_000 {
        let format = round % 2;
        let mut bytes = [&nvlist_seed, &plist_seed][format].clone();
        for _ in 0..random(4) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes[at] ^= 1 << random(8),
                2 if at > 0 => bytes.truncate(at),
                _ => {
                    let end = (at + random(32)).min(bytes.len());
                    let again = bytes[at..end].to_vec();
                    bytes.splice(at..at, again);
                }
            }
        }
        let result = if format == 0 {
            nvlist::unpack(&bytes)
        } else {
            plist::read(&bytes)
        };
        match result {
            Ok(dictionary) => {
                read[format] += 1;
                if format == 0 && !has_lost(&dictionary) {
                    assert_eq!(nvlist::unpack(&nvlist::pack(&dictionary)), Ok(dictionary));
                }
            }
            Err(_) => refused[format] += 1,
        }
    }
    for format in 0..2 {
        assert_eq!(read[format] + refused[format], 20_000);
        assert!(read[format] > 4_000, "{read:?} read");
        assert!(refused[format] > 4_000, "{refused:?} refused");
    }
}

/// Whether there is a value that is not written.
fn has_lost(dictionary: &Dictionary) -> bool {
    dictionary.0.iter().any(|(_, value)| match value {
        Value::Other => true,
        Value::Binary(bytes) => bytes.is_empty(),
        Value::Dictionary(inner) => has_lost(inner),
        Value::Array(array) => array.is_empty() || array.iter().any(has_lost),
        _ => false,
    })
}
