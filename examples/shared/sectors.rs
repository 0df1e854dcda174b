//! Disks whose content says where it is: what is read is checked while it is timed.
//!
//! Each sector of 512 bytes is filled with one word that its number makes. A check looks at
//! the first and the last word of each: a sector that was not read, or read from elsewhere,
//! does not have them, and the check takes next to nothing beside the read.

use std::io::{self, Write};

/// Bytes in a sector.
pub const SECTOR: usize = 512;
const WORD: usize = size_of::<u64>();

/// The word of a sector (an odd factor: no two sectors have the same).
fn word(sector: u64) -> [u8; WORD] {
    (sector + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .to_le_bytes()
}

/// Fills sectors from `offset` on, in bytes, of which there are as many as fit.
pub fn fill(offset: u64, data: &mut [u8]) {
    for (number, sector) in (offset / SECTOR as u64..).zip(data.chunks_mut(SECTOR)) {
        for (to, from) in sector.iter_mut().zip(word(number).iter().cycle()) {
            *to = *from;
        }
    }
}

/// Whether this is what sectors from `offset` on, in bytes, are filled with.
///
/// # Errors
/// The first sector that is not.
pub fn check(offset: u64, data: &[u8]) -> Result<(), String> {
    if data.is_empty()
        || !data.len().is_multiple_of(SECTOR)
        || !offset.is_multiple_of(SECTOR as u64)
    {
        return Err(format!(
            "{} bytes from {offset}: no whole sectors",
            data.len()
        ));
    }
    for (number, sector) in (offset / SECTOR as u64..).zip(data.chunks(SECTOR)) {
        let word = word(number);
        if sector[..WORD] != word || sector[SECTOR - WORD..] != word {
            return Err(format!("sector {number} has another's data, or none"));
        }
    }
    Ok(())
}

/// Writes a disk of this size, in bytes.
///
/// # Errors
/// Those of the writer; `InvalidInput` for a size that is no number of MiB.
pub fn write(mut disk: impl Write, size: u64) -> io::Result<()> {
    const CHUNK: usize = 1 << 20;
    if !size.is_multiple_of(CHUNK as u64) {
        let text = format!("{size} bytes are not a number of MiB");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut chunk = vec![0; CHUNK];
    for offset in (0..size).step_by(CHUNK) {
        fill(offset, &mut chunk);
        disk.write_all(&chunk)?;
    }
    disk.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_elsewhere_is_found() {
        let mut disk = Vec::new();
        write(&mut disk, 2 << 20).unwrap();
        assert_eq!(check(0, &disk), Ok(()));
        assert_eq!(check(4096, &disk[4096..8192]), Ok(()));
        assert!(check(512, &disk[..512]).is_err());
        assert!(check(0, &disk[..100]).is_err() && check(0, &[]).is_err());
        for at in [4096, 4096 + SECTOR - 1] {
            let mut wrong = disk.clone();
            wrong[at] ^= 1;
            assert!(check(0, &wrong).unwrap_err().contains("sector 8 "));
        }
        assert!(write(Vec::new(), 1000).is_err());
        assert!(check(0, &[0; 4096]).is_err());
    }
}
