use super::*;
use crate::process::cpio::tests::put;
use std::collections::BTreeMap as Model;
use std::string::{String, ToString};

fn file(text: &'static str) -> Kind {
    Kind::File(Cow::Borrowed(text.as_bytes()))
}

fn text(tree: &Tree, path: &str) -> Result<std::string::String, Errno> {
    let id = tree.find(ROOT, path.as_bytes(), true)?;
    Ok(String::from_utf8_lossy(tree.data(id)?).to_string())
}

#[test]
fn paths_lead_where_they_say() {
    let mut tree = Tree::new();
    tree.place("/a/b/file", file("x"), 0o644);
    tree.place("/a/up", Kind::Link((*b"../a/b").into()), 0o777);
    tree.place("/a/loop", Kind::Link((*b"loop").into()), 0o777);
    tree.place("/a/gone", Kind::Link((*b"none").into()), 0o777);
    for path in [
        "/a/b/file",
        "//a/./b//file",
        "/a/b/../b/file",
        "/a/up/file",
        "/../a/up/../b/file",
    ] {
        assert_eq!(text(&tree, path).unwrap(), "x", "{path}");
    }
    for (path, errno) in [
        ("", Errno::ENOENT),
        ("/a/none", Errno::ENOENT),
        ("/a/none/x", Errno::ENOENT),
        ("/a/b/file/", Errno::ENOTDIR),
        ("/a/b/file/x", Errno::ENOTDIR),
        ("/a/loop", Errno::ELOOP),
        ("/a/gone", Errno::ENOENT),
        ("/a", Errno::EISDIR),
    ] {
        assert_eq!(text(&tree, path).unwrap_err(), errno, "{path}");
    }
    let link = tree.find(ROOT, b"/a/loop", false).unwrap();
    assert!(matches!(tree.get(link).kind, Kind::Link(_)));
    let b = tree.find(ROOT, b"/a/b", true).unwrap();
    assert_eq!(tree.path(b).unwrap(), b"/a/b");
    assert_eq!(tree.path(ROOT).unwrap(), b"/");
    // A file is made where a link leads.
    let (folder, name) = tree.place_of(ROOT, b"/a/gone").unwrap();
    assert_eq!(
        (tree.path(folder).unwrap(), name),
        (b"/a".to_vec(), Some(b"none".to_vec()))
    );
    assert_eq!(tree.parent(ROOT, b"/"), Err(Errno::EEXIST));
    let long = [b'x'; 256];
    assert_eq!(tree.find(ROOT, &long, true), Err(Errno::ENAMETOOLONG));
}

#[test]
fn archives_are_unpacked() {
    let mut data = Vec::new();
    put(&mut data, "bin", 0o040_755, 1, b"");
    put(&mut data, "./bin/sh", 0o100_755, 2, b"#!");
    put(&mut data, "etc/deep/file", 0o100_600, 3, b"text");
    put(&mut data, "etc/link", 0o120_777, 4, b"deep/file");
    put(&mut data, "dev/null", 0o100_666, 5, b"not a device");
    let mut tree = Tree::new();
    assert_eq!(tree.unpack(data.clone().leak()), Ok(5));
    assert_eq!(text(&tree, "/bin/sh").unwrap(), "#!");
    assert_eq!(text(&tree, "/etc/link").unwrap(), "text");
    let sh = tree.find(ROOT, b"/bin/sh", true).unwrap();
    assert_eq!(tree.get(sh).mode(), 0o100_755);
    let cut: &'static [u8] = data[..data.len() - 8].to_vec().leak();
    assert!(Tree::new().unpack(cut).unwrap_err().contains("byte"));
}

#[test]
fn what_is_open_stays_without_a_name() {
    let mut tree = Tree::new();
    let id = tree.create(ROOT, b"f", file("data"), 0o644).unwrap();
    tree.open(id).unwrap();
    tree.unlink(ROOT, b"f").unwrap();
    assert_eq!(&**tree.data(id).unwrap(), b"data");
    assert_eq!(tree.link(id, ROOT, b"g"), Err(Errno::ENOENT));
    tree.close(id);
    assert_eq!(tree.create(ROOT, b"h", file(""), 0o644), Ok(id));
}

#[test]
fn files_grow_and_shrink() {
    let mut tree = Tree::new();
    let id = tree.create(ROOT, b"f", file("0123456789"), 0o644).unwrap();
    tree.resize(id, 4).unwrap();
    assert_eq!(text(&tree, "/f").unwrap(), "0123");
    assert_eq!(tree.write(id, None, b"xy"), Ok(4));
    assert_eq!(tree.write(id, Some(8), b"z"), Ok(8));
    assert_eq!(text(&tree, "/f").unwrap(), "0123xy\0\0z");
    assert_eq!(tree.write(id, Some(u64::MAX), b"z"), Err(Errno::EFBIG));
    assert_eq!(tree.write(ROOT, None, b"z"), Err(Errno::EISDIR));
}

#[test]
fn renaming_keeps_the_tree_one() {
    let mut tree = Tree::new();
    let dir = |tree: &mut Tree, folder, name: &[u8]| {
        tree.create(folder, name, Tree::directory(folder), 0o755)
            .unwrap()
    };
    let a = dir(&mut tree, ROOT, b"a");
    let b = dir(&mut tree, a, b"b");
    let c = dir(&mut tree, ROOT, b"c");
    assert_eq!(
        tree.rename((ROOT, b"a"), (b, b"x"), true),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        tree.rename((ROOT, b"a"), (a, b"x"), true),
        Err(Errno::EINVAL)
    );
    tree.rename((a, b"b"), (ROOT, b"c"), true).unwrap();
    assert_eq!(tree.path(b).unwrap(), b"/c");
    assert_eq!(tree.find(b, b"..", true), Ok(ROOT));
    assert_eq!(tree.find(ROOT, b"/a/b", true), Err(Errno::ENOENT));
    let f = tree.create(ROOT, b"f", file("f"), 0o644).unwrap();
    assert_eq!(f, c, "c is gone, and its number is free");
    assert_eq!(
        tree.rename((ROOT, b"f"), (ROOT, b"c"), true),
        Err(Errno::EISDIR)
    );
    assert_eq!(
        tree.rename((ROOT, b"c"), (ROOT, b"f"), true),
        Err(Errno::ENOTDIR)
    );
    tree.create(b, b"g", file("g"), 0o644).unwrap();
    assert_eq!(
        tree.rename((ROOT, b"f"), (b, b"g"), false),
        Err(Errno::EEXIST)
    );
    tree.rename((ROOT, b"f"), (b, b"g"), true).unwrap();
    assert_eq!(text(&tree, "/c/g").unwrap(), "f");
    assert_eq!(tree.remove_directory(ROOT, b"c"), Err(Errno::ENOTEMPTY));
    assert_eq!(tree.unlink(ROOT, b"c"), Err(Errno::EISDIR));
}

proptest::proptest! {
    /// Against a table of paths, one folder deep.
    #[test]
    fn names_are_as_a_table_says(steps in proptest::collection::vec((0..4_u8, 0..6_u8, 0..6_u8), 0..60)) {
        let mut tree = Tree::new();
        let folder = tree.create(ROOT, b"t", Tree::directory(ROOT), 0o755).unwrap();
        let mut model = Model::<Vec<u8>, Id>::new();
        for (step, one, two) in steps {
            let (one, two) = (Vec::from([b'a' + one]), Vec::from([b'a' + two]));
            match step {
                0 => {
                    let made = tree.create(folder, &one, file("x"), 0o644);
                    match model.contains_key(&one) {
                        true => proptest::prop_assert_eq!(made, Err(Errno::EEXIST)),
                        false => drop(model.insert(one, made.unwrap())),
                    }
                }
                1 => {
                    let gone = tree.unlink(folder, &one);
                    proptest::prop_assert_eq!(gone.is_ok(), model.remove(&one).is_some());
                }
                2 => {
                    let moved = tree.rename((folder, &one), (folder, &two), true);
                    proptest::prop_assert_eq!(moved.is_ok(), model.contains_key(&one));
                    // Two names of one file stay both (rename(2)).
                    if model.get(&one) != model.get(&two) && let Some(id) = model.remove(&one) {
                        model.insert(two, id);
                    }
                }
                _ => {
                    let id = model.get(&one).copied();
                    let free = !model.contains_key(&two);
                    if let Some(id) = id {
                        let linked = tree.link(id, folder, &two);
                        proptest::prop_assert_eq!(linked.is_ok(), free);
                        if free {
                            model.insert(two, id);
                        }
                    }
                }
            }
            let names = tree.names(folder, 2).unwrap();
            let found: Model<_, _> = names.into_iter().map(|(_, name, id)| (name, id)).collect();
            proptest::prop_assert_eq!(&found, &model);
            for id in model.values() {
                let names = model.values().filter(|other| *other == id).count();
                proptest::prop_assert_eq!(tree.get(*id).links as usize, names);
            }
        }
    }
}
