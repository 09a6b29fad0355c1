use super::{Origin, Places, download, fetch, keep, read};
use ringwall_model::Millis;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn places_are_looked_at_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let places = Places { own: at("own"), cache: Some(at("cache")), root: at("root") };
    assert_eq!(places.find(), None);
    let find = || places.find().map(|found| found.origin);
    write(&at("cache/crs-package/usr/share/modsecurity-crs/rules/a.conf"), "SecMarker A\n");
    assert_eq!(find(), Some(Origin::Package));
    write(&at("root/usr/share/modsecurity-crs/rules/a.conf"), "SecMarker A\n");
    assert_eq!(find(), Some(Origin::Installed));
    write(&at("own/rules/a.conf"), "SecMarker A\n");
    assert_eq!(find(), Some(Origin::Installed), "rules without a set-up are no rule set");
    write(&at("own/crs-setup.conf.example"), "# nothing\n");
    assert_eq!(find(), Some(Origin::Own));
}

#[test]
fn both_layouts_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["crs-setup.conf", "rules/b.conf", "rules/b.data", "rules/c.conf.example", "plugins/x-before.conf"] {
        write(&at("one").join(name), "# nothing\n");
    }
    let roots = read(&at("one")).unwrap().released().unwrap();
    assert_eq!(roots, ["crs-setup.conf", "plugins/x-before.conf", "rules/b.conf"]);
    for name in ["crs-setup.conf", "REQUEST-900-A.conf", "RESPONSE-999-B.conf"] {
        write(&at("two/etc/modsecurity/crs").join(name), "# nothing\n");
    }
    write(&at("two/usr/share/modsecurity-crs/rules/REQUEST-901-C.conf"), "# nothing\n");
    let roots = read(&at("two")).unwrap().released().unwrap();
    let want = ["crs-setup.conf", "rules/REQUEST-900-A.conf", "rules/REQUEST-901-C.conf", "rules/RESPONSE-999-B.conf"];
    assert_eq!(roots, want);
    assert!(read(&at("three")).is_err_and(|why| why.contains("crs-setup.conf")));
}

/// The real client, where there is one and it has a network.
#[test]
fn the_package_of_this_machine_is_unpacked_without_root() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    match download(&cache, Duration::from_secs(60)) {
        Ok(unpacked) => {
            let bundle = read(&unpacked).unwrap();
            let roots = bundle.released().unwrap();
            let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
            let waf = ringwall_waf::Waf::load(&bundle, &roots).unwrap();
            assert!(waf.counts().rules > 500 && waf.signatures().iter().any(|name| name.starts_with("OWASP_CRS")));
            let left: Vec<_> = fs::read_dir(&cache).unwrap().flatten().map(|entry| entry.file_name()).collect();
            assert_eq!(left, ["crs-package"]);
        }
        Err(why) if std::env::var("RINGWALL_REQUIRE").as_deref() == Ok("parts") => panic!("{why}"),
        Err(why) => println!("not run: Debian's package of the Core Rule Set: {why}"),
    }
}

/// Answers each connection with the next answer.
fn serve(answers: Vec<Vec<u8>>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            let _ = stream.write_all(&answer);
        }
    });
    port
}

fn ok(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().try_into().unwrap()
}

/// gzip of a tar of one rule file and an example of the set-up, stored without compression.
fn archive() -> Vec<u8> {
    let mut tar = Vec::new();
    for (path, content) in [("r/crs-setup.conf.example", "# set-up\n"), ("r/rules/a.conf", "SecMarker A\n")] {
        let mut header = vec![0; 512];
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend(header);
        tar.extend(content.as_bytes());
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    let length = u16::try_from(tar.len()).unwrap();
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1];
    gzip.extend(length.to_le_bytes());
    gzip.extend((!length).to_le_bytes());
    gzip.extend(tar);
    gzip.extend([0; 8]);
    gzip
}

#[tokio::test(flavor = "current_thread")]
async fn a_release_is_taken_only_with_its_hash() {
    let (archive, patience) = (archive(), Millis(5000));
    let good = sha256(&archive);
    let port = serve(vec![ok(&archive), ok(&archive)]);
    let address = format!("http://127.0.0.1:{port}/crs.tar.gz");
    let refused = fetch(&address, &[0; 32], patience).await.unwrap_err();
    let hash: String = good.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(refused.contains(&hash), "{refused}");
    let bundle = fetch(&address, &good, patience).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("crs");
    keep(&bundle, &own).unwrap();
    keep(&bundle, &own).unwrap();
    assert_eq!(read(&own).unwrap().released().unwrap(), ["crs-setup.conf.example", "rules/a.conf"]);
    let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    left.sort();
    assert_eq!(left, ["crs", "crs.old"]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_release_may_lie_elsewhere_but_not_in_the_open() {
    let (archive, patience) = (archive(), Millis(5000));
    let good = sha256(&archive);
    let elsewhere = serve(vec![ok(&archive)]);
    let moved = |to: &str| format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into_bytes();
    let port = serve(vec![moved(&format!("http://127.0.0.1:{elsewhere}/b")), moved("http://192.0.2.1/b")]);
    let address = format!("http://127.0.0.1:{port}/a");
    assert!(fetch(&address, &good, patience).await.is_ok());
    assert!(fetch(&address, &good, patience).await.is_err_and(|why| why.contains("not https")));
    for open in ["http://192.0.2.1/a", "http://localhost:x@192.0.2.1/a", "ftp://localhost.example/a"] {
        let refused = fetch(open, &good, patience).await;
        assert!(refused.as_ref().is_err_and(|why| why.contains("not https")), "{open} {refused:?}");
    }
}
