use super::{CardPlan, Error, Kind, read};
use std::io::Write;

const GOOD: &str = r#"
socket = "/run/a.sock"
grace = 5

[[nic]]
name = "wan"
tap = "tap0"
queues = 2

[[host]]
name = "web"
mac = "02:00:00:00:00:01"
addresses = ["10.0.0.2/24", "fd00::2/64"]
gateway = "10.0.0.1"
users = [0, "root"]
huge-pages = true

[[host.ports]]
tcp = 80
udp = [5000, 5010]
users = ["root"]

[[host]]
name = "db"
addresses = ["10.0.0.3/24"]
bytes-per-second = 1000000
"#;

fn parse(text: &str) -> Result<super::Plan, Error> {
    let name = format!(
        "rump-server-{}-{:?}.toml",
        std::process::id(),
        std::thread::current().id()
    );
    let path = std::env::temp_dir().join(name);
    std::fs::File::create(&path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let plan = read(&path);
    std::fs::remove_file(&path).unwrap();
    plan
}

#[test]
fn what_is_written_is_what_is() {
    let plan = parse(GOOD).unwrap();
    assert_eq!(plan.nics[0].kind, Kind::Tap("tap0".into()));
    assert_eq!(
        (plan.grace, plan.nics[0].queues, plan.nics[0].mtu),
        (5, 2, 1500)
    );
    let [web, db] = &plan.hosts[..] else { panic!() };
    assert_eq!(web.users, Some(vec![0, 0]));
    assert_eq!(web.rights.len(), 2);
    assert_eq!(
        (web.rights[1].tcp, web.rights[1].ports),
        (false, (5000, 5010))
    );
    assert_eq!((web.huge_pages, db.huge_pages), (true, false));
    assert_eq!(db.users, None);
    assert_eq!(db.bytes_per_second, Some(1_000_000));
    // One that is made up is nobody's.
    assert_eq!(db.mac[0] & 3, 2);
    assert_ne!(db.mac, web.mac);
}

#[test]
fn a_card_is_an_address_and_perhaps_a_driver() {
    let card = |text: &str| {
        let text = GOOD.replace("tap = \"tap0\"\nqueues = 2", text);
        parse(&text).unwrap().nics.remove(0).kind
    };
    let plan = |address: &str, driver: Option<&str>| {
        Kind::Pci(CardPlan {
            address: address.into(),
            driver: driver.map(Into::into),
        })
    };
    assert_eq!(card("pci = \"0000:0A:1f.2\""), plan("0000:0a:1f.2", None));
    assert_eq!(
        card("pci = \"0000:00:03.0\"\ndriver = \"wm\""),
        plan("0000:00:03.0", Some("wm"))
    );
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let rows = [
        ("name = \"wan\"", "nam = \"wan\"", 6, "unknown field"),
        ("tap = \"tap0\"", "", 5, "one of tap"),
        (
            "tap = \"tap0\"",
            "tap = \"a\"\npci = \"0000:00:03.0\"",
            5,
            "one of tap",
        ),
        ("tap = \"tap0\"", "pci = \"00:03.0\"", 7, "lspci"),
        ("tap = \"tap0\"", "pci = \"0000:00.03:0\"", 7, "lspci"),
        ("tap = \"tap0\"", "pci = \"0000:00:03.0\"", 5, "queues"),
        (
            "tap = \"tap0\"",
            "tap = \"a\"\ndriver = \"wm\"",
            5,
            "driver",
        ),
        ("queues = 2", "queues = 99", 5, "1 to 16"),
        ("queues = 2", "mtu = 90", 5, "mtu"),
        ("gateway = \"10.0.0.1\"", "gateway = \"10.0.0\"", 14, "IPv4"),
        ("10.0.0.2/24", "10.0.0.2", 13, "with its prefix"),
        ("10.0.0.2/24", "224.0.0.2/24", 13, "with its prefix"),
        ("02:00:00:00:00:01", "03:00:00:00:00:01", 12, "group"),
        ("02:00:00:00:00:01", "02:00:00", 12, "six pairs"),
        (
            "users = [0, \"root\"]",
            "users = [\"nobody-here\"]",
            15,
            "no user",
        ),
        ("tcp = 80\nudp = [5000, 5010]", "", 18, "tcp = 80"),
        ("udp = [5000, 5010]", "udp = [5010, 5000]", 18, "tcp = 80"),
        ("name = \"db\"", "name = \"web\"", 23, "second host"),
        ("10.0.0.3/24", "10.0.0.2/24", 23, "twice"),
        (
            "name = \"db\"",
            "name = \"db\"\nnic = \"lan\"",
            23,
            "no NIC \"lan\"",
        ),
        (
            "name = \"db\"",
            "name = \"db\"\nring = 1000",
            23,
            "power of two",
        ),
        ("name = \"db\"", "name = \"db\"\nlease = 0", 23, "ephemeral"),
        (
            "name = \"db\"",
            "name = \"db\"\nhuge-pages = true",
            23,
            "who is trusted",
        ),
        ("grace = 5", "grace = \"5\"", 3, "invalid type"),
        ("grace = 5", "grace 5", 3, ""),
        (
            "socket = \"/run/a.sock\"",
            "user = \"nobody-here\"",
            2,
            "no user",
        ),
    ];
    for (good, bad, line, what) in rows {
        assert!(GOOD.contains(good), "{good}");
        match parse(&GOOD.replace(good, bad)) {
            Err(Error::Wrong {
                line: found,
                what: text,
                ..
            }) => {
                assert_eq!(found, line, "{bad}: {text}");
                assert!(text.contains(what), "{bad}: {text}");
            }
            other => panic!("{bad}: {other:?}"),
        }
    }
    assert!(matches!(read("/nowhere".as_ref()), Err(Error::Read { .. })));
}
