//! Objects and archives that somebody damaged: an error or a result, never a panic.

use crate::support::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rumprun_build::kernel::from_prefix;
use rumprun_build::object_file::{self, Naming};
use std::cell::Cell;
use std::fs;
use std::path::Path;

/// One damage to a file.
#[derive(Debug, Clone)]
enum Damage {
    Cut(usize),
    Set(usize, u8),
    /// A whole word, as offsets, sizes and counts are.
    Word(usize, u64),
    /// In the first bytes, where the header is.
    Header(usize, u8),
    /// In the table of sections at the end, by section, field and value.
    Section(usize, usize, u64),
    Insert(usize, Vec<u8>),
    Copy(usize, usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = || 0..1usize << 20;
    let word = || {
        prop_oneof![
            0..256u64,
            Just(u64::MAX),
            Just(u64::from(u32::MAX)),
            Just(1 << 63),
            Just(u64::MAX - 7),
            any::<u64>(),
        ]
    };
    prop_oneof![
        1 => at().prop_map(Damage::Cut),
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        2 => (at(), word()).prop_map(|(at, word)| Damage::Word(at, word)),
        2 => (0..64usize, any::<u8>()).prop_map(|(at, byte)| Damage::Header(at, byte)),
        4 => (0..40usize, 0..8usize, word()).prop_map(|(s, f, word)| Damage::Section(s, f, word)),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (at(), at(), 1..200usize).prop_map(|(from, to, size)| Damage::Copy(from, to, size)),
    ]
}

fn put(data: &mut [u8], at: usize, bytes: &[u8]) {
    for (offset, byte) in bytes.iter().enumerate() {
        if let Some(place) = data.get_mut(at + offset) {
            *place = *byte;
        }
    }
}

fn apply(data: &mut Vec<u8>, damage: &Damage) {
    let size = data.len().max(1);
    match damage {
        Damage::Cut(at) => data.truncate(at % size),
        Damage::Set(at, byte) => put(data, at % size, &[*byte]),
        Damage::Word(at, word) => put(data, (at % size) & !7, &word.to_le_bytes()),
        Damage::Header(at, byte) => put(data, *at, &[*byte]),
        Damage::Section(section, field, word) => {
            let table = data.get(40..48).and_then(|bytes| bytes.try_into().ok());
            let table = table.map_or(0, u64::from_le_bytes) as usize % size;
            put(data, table + section * 64 + field * 8, &word.to_le_bytes());
        }
        Damage::Insert(at, bytes) => {
            let at = at % size;
            data.splice(
                at.min(data.len())..at.min(data.len()),
                bytes.iter().copied(),
            );
        }
        Damage::Copy(from, to, length) => {
            let from = from % size;
            let bytes = data[from.min(data.len())..(from + length).min(data.len())].to_vec();
            put(data, to % size, &bytes);
        }
    }
}

fn runner(cases: u32) -> TestRunner {
    let failure_persistence = None;
    TestRunner::new(Config {
        cases,
        failure_persistence,
        ..Config::default()
    })
}

/// Objects of all kinds: C, assembly, host-side, with and without link sets.
fn objects() -> Vec<Vec<u8>> {
    members(&full().0.library())
        .into_iter()
        .map(|member| member.1)
        .collect()
}

#[test]
fn any_object_is_renamed_or_refused() {
    let objects = objects();
    let naming = Naming {
        wrapped: ["rumpns_sum_words".to_string(), "sum_words".into()].into(),
        ..Naming::default()
    };
    let (seen, renamed, refused) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let input = (0..objects.len(), prop::collection::vec(damage(), 1..4));
    let path = Path::new("damaged.o");
    let result = runner(20_000).run(&input, |(which, damages)| {
        let mut data = objects[which].clone();
        damages.iter().for_each(|damage| apply(&mut data, damage));
        seen.set(seen.get() + 1);
        let _ = object_file::symbols(path, &data);
        match object_file::rename(path, &data, &naming) {
            Ok(out) => {
                renamed.set(renamed.get() + 1);
                // What was understood once is not damaged further.
                prop_assert!(out.len() >= data.len());
                let _ = object_file::symbols(path, &out);
                let _ = object_file::rename(path, &out, &naming);
            }
            Err(error) => {
                refused.set(refused.get() + 1);
                prop_assert!(error.to_string().starts_with("damaged.o: "));
            }
        }
        Ok(())
    });
    println!(
        "{} damaged objects seen, {} renamed, {} refused",
        seen.get(),
        renamed.get(),
        refused.get()
    );
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(renamed.get() > 1000 && refused.get() > 1000, "one-sided");
}

#[test]
fn every_beginning_of_an_object_is_refused() {
    let objects = objects();
    let object = objects
        .iter()
        .max_by_key(|object| object.len())
        .expect("objects");
    for length in 0..object.len() {
        let _ = object_file::symbols(Path::new("cut.o"), &object[..length]);
        let _ = object_file::rename(Path::new("cut.o"), &object[..length], &Naming::default());
    }
    println!("{} cut objects seen", object.len());
}

#[test]
fn any_archive_is_read_or_refused() {
    let whole = fs::read(full().0.library()).expect("the archive");
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir_all(dir.path().join("lib")).expect("a folder");
    let (seen, read) = (Cell::new(0), Cell::new(0));
    let input = prop::collection::vec(damage(), 1..4);
    let result = runner(400).run(&input, |damages| {
        let mut data = whole.clone();
        damages.iter().for_each(|damage| apply(&mut data, damage));
        seen.set(seen.get() + 1);
        fs::write(dir.path().join("lib/librump.a"), data).expect("a file");
        if from_prefix(dir.path(), &[], &dir.path().join("out")).is_ok() {
            read.set(read.get() + 1);
        }
        Ok(())
    });
    println!("{} damaged archives seen, {} read", seen.get(), read.get());
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(read.get() > 0 && read.get() < seen.get(), "one-sided");
}
