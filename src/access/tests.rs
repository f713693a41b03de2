//! Who is let in; keys that are kept, found, changed from two sides, and never lost to a damaged file.

use std::os::unix::fs::PermissionsExt as _;

use crate::access::key::{KeyId, Refused, Wanted};
use crate::access::*;
use crate::domain::Timestamp;

const AT: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn wanted(role: Role) -> Wanted {
    Wanted { name: format!("a {role} key"), role, origins: Vec::new(), rate: None }
}

fn page(origin: &str) -> Sender<'_> {
    Sender { origin: Some(origin), ..Sender::default() }
}

#[test]
fn without_keys_only_names_of_this_machine_are_answered() {
    let named = |host| Sender { host: Some(host), ..Sender::default() };
    let here = Access::new(Keys::in_memory(), Open::Here, Rates::default());
    assert!(here.admit(None, named("localhost:8080")).is_ok() && here.admit(None, Sender::default()).is_ok());
    assert_eq!(here.admit(None, named("evil.example")).err(), Some(Denied::HostWithoutKeys));
    let everywhere = Access::new(Keys::in_memory(), Open::Everywhere, Rates::default());
    assert!(everywhere.admit(None, named("mabel.example")).is_ok());
    let (_, text) = here.keys().create(wanted(Role::Admin), AT).expect("made");
    assert!(here.admit(Some(&text), named("mabel.example")).is_ok(), "whoever has a key is no stranger's page");
}

#[test]
fn a_key_is_found_by_its_text_and_by_nothing_like_it() {
    let keys = Keys::in_memory();
    let (key, text) = keys.create(wanted(Role::Admin), AT).expect("made");
    let (_, other) = keys.create(wanted(Role::Decide), AT).expect("made");
    assert!(text.starts_with(&format!("mbl_admin_{}_", key.id)) && text.len() == 4 + 6 + 17 + 64, "{text}");
    assert_eq!(keys.find(&text), Some(key));
    let last = if text.ends_with('0') { "1" } else { "0" };
    let forged = [
        format!("{}{last}", &text[..text.len() - 1]),
        text.replace("admin", "write"),
        text.to_uppercase(),
        format!("{text} "),
        format!("{text}{}", "0".repeat(1_000)),
        text[..27].to_owned(),
        format!("{}{}", &text[..27], &other[other.len() - 64..]),
        "mbl__".to_owned(),
        String::new(),
        "ключ".to_owned(),
    ];
    for text in &forged {
        assert_eq!(keys.find(text), None, "{text}");
    }
}

#[test]
fn what_is_wanted_is_checked() {
    let keys = Keys::in_memory();
    let check = |wanted: Wanted, expected: &str| match keys.create(wanted, AT) {
        Err(KeyError::Refused(Refused { field, .. })) => assert_eq!(field, expected),
        other => panic!("{expected}: {other:?}"),
    };
    check(wanted(Role::Decide), "role");
    check(Wanted { name: String::new(), ..wanted(Role::Admin) }, "name");
    check(Wanted { name: "a\nb".into(), ..wanted(Role::Admin) }, "name");
    check(Wanted { origins: vec!["shop.example".into()], ..wanted(Role::Admin) }, "origins");
    check(Wanted { origins: vec!["https://a.example".into(); 65], ..wanted(Role::Admin) }, "origins");
    check(Wanted { rate: Some(0), ..wanted(Role::Admin) }, "rate");
    check(Wanted { rate: Some(1_000_001), ..wanted(Role::Admin) }, "rate");
    assert!(!keys.are_asked_for(), "what was refused changed nothing");
}

#[test]
fn open_until_the_first_key_and_never_again() {
    let access = Access::default();
    assert!(matches!(access.admit(None, Sender::default()), Ok(Caller::Anyone)));
    assert!(access.admit(None, page("http://localhost:3000")).is_ok());
    assert_eq!(access.admit(None, page("https://evil.example")).expect_err("refused"), Denied::OriginWithoutKeys);
    let (admin, text) = access.keys().create(wanted(Role::Admin), AT).expect("made");
    assert_eq!(access.admit(None, Sender::default()).expect_err("refused"), Denied::NoKey);
    assert_eq!(access.admit(Some("mbl_"), Sender::default()).expect_err("refused"), Denied::UnknownKey);
    assert_eq!(access.admit(Some(&text), page("https://any.example")).expect("let in").role(), Role::Admin);
    let origins = vec!["https://shop.example".to_owned()];
    let (page, page_text) = access.keys().create(Wanted { origins, ..wanted(Role::Decide) }, AT).expect("made");
    let role =
        |origin| access.admit(Some(&page_text), Sender { origin, ..Sender::default() }).map(|caller| caller.role());
    assert_eq!(role(Some("https://shop.example")), Ok(Role::Decide));
    assert_eq!(role(None), Ok(Role::Decide), "no browser's");
    assert_eq!(role(Some("https://shop.example.evil")), Err(Denied::Origin));
    assert_eq!(role(Some("null")), Err(Denied::Origin));
    access.keys().revoke(page.id).expect("revoked");
    assert_eq!(role(None), Err(Denied::UnknownKey));
    assert_eq!(access.keys().revoke(admin.id).expect_err("refused"), KeyError::LastAdmin(admin.id));
    assert_eq!(access.keys().revoke(page.id).expect_err("refused"), KeyError::Unknown(page.id));
    assert_eq!(
        Access::new(Keys::in_memory(), Open::Nobody, Rates::default())
            .admit(None, Sender::default())
            .expect_err("refused"),
        Denied::NoKey
    );
}

#[test]
fn a_file_is_changed_from_two_sides() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("new").join(file::NAME);
    let server = Keys::open(path.clone()).expect("nothing there yet");
    let command = Keys::open(path.clone()).expect("nothing there yet");
    assert_eq!(server.refresh(), Ok(None));
    let (admin, admin_text) = command.create(wanted(Role::Admin), AT).expect("made");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let stored = std::fs::read_to_string(&path).expect("text");
    assert!(!stored.contains(&admin_text[27..]), "the secret is not kept: {stored}");
    assert!(!server.are_asked_for());
    assert_eq!(server.refresh(), Ok(Some(Seen { created: vec![admin.id], revoked: vec![] })));
    assert_eq!(server.find(&admin_text), Some(admin.clone()));
    let (page, page_text) = server.create(Wanted { rate: Some(5), ..wanted(Role::Decide) }, AT).expect("made");
    assert_eq!(server.refresh(), Ok(None), "its own change is none");
    // Neither side has seen the other's last change, and neither undoes it.
    let (write, _) = command.create(wanted(Role::Write), AT).expect("made");
    assert_eq!(command.find(&page_text), Some(page.clone()));
    server.revoke(page.id).expect("revoked");
    let ids = |keys: &Keys| keys.list().iter().map(|key| key.id).collect::<std::collections::BTreeSet<KeyId>>();
    assert_eq!(ids(&server), [admin.id, write.id].into());
    assert_eq!(ids(&Keys::open(path).expect("whole")), [admin.id, write.id].into());
}

#[test]
fn a_file_that_is_damaged_or_gone_opens_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(file::NAME);
    let access = Access::new(Keys::open(path.clone()).expect("nothing there yet"), Open::Everywhere, Rates::default());
    let (_, text) = access.keys().create(wanted(Role::Admin), AT).expect("made");
    let whole = std::fs::read_to_string(&path).expect("text");
    for damaged in ["", "{}", &whole.replace("\"version\": 1", "\"version\": 2"), &whole.replace("admin", "king")] {
        std::fs::write(&path, damaged).expect("written");
        let error = access.keys().refresh().expect_err("damaged").to_string();
        assert!(error.contains(file::NAME) && error.contains("damaged"), "{error}");
        assert_eq!(access.keys().refresh(), Ok(None), "told once");
        assert!(access.admit(None, Sender::default()).is_err() && access.admit(Some(&text), Sender::default()).is_ok());
        assert!(Keys::open(path.clone()).is_err(), "a server does not start with it");
        assert!(access.keys().create(wanted(Role::Write), AT).is_err(), "and nothing is written over it");
        assert_eq!(std::fs::read_to_string(&path).expect("text"), damaged);
    }
    std::fs::remove_file(&path).expect("removed");
    assert!(access.keys().refresh().expect_err("gone").to_string().contains("gone"));
    assert_eq!(access.keys().refresh(), Ok(None), "told once");
    assert!(access.admit(None, Sender::default()).is_err() && access.admit(Some(&text), Sender::default()).is_ok());
}

#[test]
fn whose_request_it_is() {
    let trusted = vec!["10.0.0.0/8".parse().expect("a network"), "127.0.0.1/32".parse().expect("a network")];
    let addresses = Some(AddressLimit::new(std::num::NonZeroU32::MIN));
    let access = Access::new(Keys::in_memory(), Open::Here, Rates { addresses, trusted });
    let address = |peer: &str, forwarded: Option<&str>| {
        let from = Sender { peer: Some(peer.parse().expect("an address")), forwarded, ..Sender::default() };
        access.address(from).expect("an address").to_string()
    };
    assert_eq!(address("192.0.2.1", Some("192.0.2.9")), "192.0.2.1", "nobody to be believed");
    assert_eq!(address("10.1.1.1", Some("192.0.2.9")), "192.0.2.9");
    assert_eq!(address("::ffff:10.1.1.1", Some("192.0.2.9")), "192.0.2.9");
    assert_eq!(address("10.1.1.1", Some("198.51.100.7, 192.0.2.9, 10.2.2.2")), "192.0.2.9", "the first is made up");
    assert_eq!(address("10.1.1.1", Some("who, 10.2.2.2")), "10.2.2.2");
    assert_eq!(address("10.1.1.1", None), "10.1.1.1");
    let ask = |peer: &str, forwarded: Option<&str>| {
        let from = Sender { peer: Some(peer.parse().expect("an address")), forwarded, ..Sender::default() };
        (0..1_000).find_map(|_| access.admit(None, from).err())
    };
    assert_eq!(ask("192.0.2.1", None), Some(Denied::AddressTooOften(1)));
    assert_eq!(ask("127.0.0.1", None), None, "this machine");
    assert_eq!(ask("127.0.0.1", Some("192.0.2.8")), Some(Denied::AddressTooOften(1)));
}

#[test]
fn a_key_of_a_site_is_limited_by_itself_alone() {
    let addresses = Some(AddressLimit::new(std::num::NonZeroU32::MIN));
    let access = Access::new(Keys::in_memory(), Open::Here, Rates { addresses, trusted: vec![] });
    let from = Sender { peer: Some("192.0.2.1".parse().expect("an address")), ..Sender::default() };
    let key = |role, rate| access.keys().create(Wanted { rate, ..wanted(role) }, AT).expect("made").1;
    let (free, slow, page) = (key(Role::Admin, None), key(Role::Write, Some(1)), key(Role::Decide, None));
    let refusal = |key: &str| (0..1_000).find_map(|_| access.admit(Some(key), from).err());
    assert_eq!(refusal(&free), None);
    assert_eq!(refusal(&slow), Some(Denied::KeyTooOften(1)));
    assert_eq!(refusal(&page), Some(Denied::AddressTooOften(1)));
}
