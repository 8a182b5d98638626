use super::*;
use proptest::prelude::*;

/// A tiny kernel: `struct file { int a; union { u64 b; struct path { int mnt; int dentry; } f_path; }; }`,
/// and an enumeration.
fn tiny() -> Vec<u8> {
    let names = b"\0file\0a\0b\0path\0mnt\0dentry\0f_path\0int\0color\0red\0green\0";
    let at = |name: &str| {
        let wanted = format!("\0{name}\0");
        names.windows(wanted.len()).position(|w| w == wanted.as_bytes()).expect(name) as u32 + 1
    };
    let info = |kind: u32, count: u32| kind << 24 | count;
    let types: Vec<u32> = [
        // 1: int
        vec![at("int"), info(1, 0), 4, 32],
        // 2: struct path
        vec![at("path"), info(4, 2), 8, at("mnt"), 1, 0, at("dentry"), 1, 32],
        // 3: the anonymous union
        vec![0, info(5, 2), 8, at("b"), 1, 0, at("f_path"), 4, 0],
        // 4: a typedef of the path
        vec![at("path"), info(8, 0), 2],
        // 5: struct file
        vec![at("file"), info(4, 2), 16, at("a"), 1, 0, 0, 3, 64],
        // 6: enum
        vec![at("color"), info(6, 2), 4, at("red"), 0, at("green"), 7],
    ]
    .concat();
    let types: Vec<u8> = types.into_iter().flat_map(u32::to_ne_bytes).collect();
    let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
    bytes.extend([1, 0]);
    for word in [24, 0, types.len() as u32, types.len() as u32, names.len() as u32] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(types);
    bytes.extend(names);
    bytes
}

#[test]
fn offsets_look_through_anonymous_members_and_typedefs() {
    let btf = Btf::parse(&tiny()).unwrap();
    assert_eq!(btf.offset("file.a"), Some(0));
    assert_eq!(btf.offset("file.b"), Some(8));
    assert_eq!(btf.offset("file.f_path.dentry"), Some(12));
    assert_eq!(btf.offset("path.$size"), Some(8));
    assert_eq!(btf.offset("file.gone"), None);
    assert_eq!(btf.enumerator("green"), Some(7));
}

#[test]
fn a_missing_field_is_named() {
    let error = Btf::parse(&tiny()).unwrap().offsets().expect_err("it has no tasks");
    assert_eq!(
        error.to_string(),
        "this kernel has no field `task_struct.pid`; its version is not supported by this build"
    );
}

#[test]
fn damage_is_told() {
    let refused = |bytes: &[u8]| Btf::parse(bytes).expect_err("damaged").to_string();
    assert!(refused(b"ELF").ends_with("wrong magic number"));
    assert!(refused(&tiny()[..9]).ends_with("its header is cut"));
    assert!(refused(&tiny()[..80]).ends_with("a section lies outside"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512), keep in 0_usize..400) {
        let mut spoiled = tiny();
        spoiled.truncate(keep);
        spoiled.extend(bytes);
        if let Ok(btf) = Btf::parse(&spoiled) {
            let _ = (btf.offsets(), btf.offset("file.f_path.dentry"));
        }
    }
}
