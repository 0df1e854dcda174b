//! Writing the one static library, and reading the members of others.

use crate::error::{Error, IoContext, Result};
use ar_archive_writer::{ArchiveKind, DEFAULT_OBJECT_READER, NewArchiveMember};
use std::path::Path;

/// An archive member: its name and its bytes.
pub type Member = (String, Vec<u8>);

/// Writes `members` to `path` with a symbol index, without dates or owners, and only
/// if the bytes differ from what is there.
///
/// # Errors
/// [`Error::Io`].
pub fn write(path: &Path, members: &[Member]) -> Result<bool> {
    let members: Vec<_> = members
        .iter()
        .map(|(name, data)| NewArchiveMember {
            buf: Box::new(data.as_slice()),
            object_reader: &DEFAULT_OBJECT_READER,
            member_name: name.clone(),
            mtime: 0,
            uid: 0,
            gid: 0,
            perms: 0o644,
        })
        .collect();
    let mut bytes = std::io::Cursor::new(Vec::new());
    ar_archive_writer::write_archive_to_stream(&mut bytes, &members, ArchiveKind::Gnu, false, None)
        .context("writing", path)?;
    if std::fs::read(path).is_ok_and(|old| old == *bytes.get_ref()) {
        return Ok(false);
    }
    std::fs::write(path, bytes.get_ref()).context("writing", path)?;
    Ok(true)
}

/// Reads all members of the archive at `path`.
///
/// # Errors
/// [`Error::Io`], [`Error::Object`].
pub fn read(path: &Path) -> Result<Vec<Member>> {
    let data = std::fs::read(path).context("reading", path)?;
    let bad = |error: object::Error| Error::Object {
        path: path.into(),
        problem: error.to_string(),
    };
    let archive = object::read::archive::ArchiveFile::parse(&*data).map_err(bad)?;
    archive
        .members()
        .map(|member| {
            let member = member.map_err(bad)?;
            let name = String::from_utf8_lossy(member.name()).into_owned();
            Ok((name, member.data(&*data).map_err(bad)?.to_vec()))
        })
        .collect()
}
