//! The files of TLS with Kafka's brokers: what cannot be used is told with its path, by each command, before anything starts.
#![allow(clippy::unwrap_used, reason = "what cannot go on fails its test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::broker::{self, Broker, MUTUAL, Side, keep};
use crate::program::{Running, Scene, command};
use crate::tls::{Authority, BOTH, Kind, pem, server};

/// Where all files are right.
struct World {
    broker: Broker,
    scene: Scene,
    side: Side,
    ours: Authority,
}

impl World {
    fn new(side: Side) -> Self {
        let ours = Authority::new("ours");
        let broker = Broker::with_tls(server(&ours.issue("kafka", &["127.0.0.1"], Kind::Good), Some(&ours), BOTH), "");
        let scene = broker::scene(&broker.address.to_string(), None, MUTUAL);
        keep(&scene, side);
        let client = ours.issue("client", &[], Kind::Good);
        for (name, text) in [("ca.pem", ours.pem()), ("client.pem", client.pem()), ("client.key", client.key_pem())] {
            let path = scene.write(name, text);
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self { broker, scene, side, ours }
    }

    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = command(arguments);
        command.arg("--config").arg(self.scene.path("siem.toml"));
        let ran = Running::start(command).end();
        (ran.code, ran.stdout + &ran.stderr)
    }

    /// Each command ends with 2 and says this, and no broker has heard of any.
    fn assert_told(&self, expected: &str) {
        for arguments in [&["check", "--offline"][..], &["check"], &[self.side.command()]] {
            let (code, said) = self.run(arguments);
            assert!(code == 2 && said.contains(expected), "{arguments:?}: {expected}: {code} {said}");
            assert!(!said.contains("ssl."), "{arguments:?}: what key is that? {said}");
            assert!(!self.broker.is_reached(), "{arguments:?}: {said}");
            assert!(!self.scene.path("events.ndjson").exists(), "{arguments:?}: it had started: {said}");
        }
    }
}

const SIDES: [Side; 2] = [Side::Input, Side::Siem];

#[test]
fn a_file_that_is_missing_is_told_with_its_path() {
    for side in SIDES {
        let world = World::new(side);
        for name in ["ca.pem", "client.pem", "client.key"] {
            let (path, away) = (world.scene.path(name), world.scene.path("away"));
            fs::rename(&path, &away).unwrap();
            world.assert_told(&format!("{} cannot be read: No such file", path.display()));
            fs::rename(away, path).unwrap();
        }
        let (code, said) = world.run(&["check"]);
        assert!(code == 0 && world.broker.is_reached(), "where nothing is missing: {said}");
    }
}

#[test]
fn a_file_that_holds_something_else_is_told_with_its_path() {
    let (right, wrong) = ("holds no certificate in PEM", "holds no private key in PEM, or an encrypted one");
    for side in SIDES {
        let world = World::new(side);
        for (name, key, why) in [("ca.pem", "ca", right), ("client.pem", "cert", right), ("client.key", "key", wrong)] {
            let text = world.scene.read(name);
            for garbage in
                ["", "no certificate, and no key", &pem("CERTIFICATE", &[7; 100]), &pem("PRIVATE KEY", &[7; 99])]
            {
                let path = world.scene.write(name, garbage);
                world.assert_told(&format!("tls.{key} ({}) cannot be used: it {why}", path.display()));
            }
            world.scene.write(name, text);
        }
        let another = world.ours.issue("another", &[], Kind::Good);
        let path = world.scene.write("client.key", another.key_pem());
        world.assert_told(&format!("tls.key ({}) cannot be used: it is not the key of tls.cert", path.display()));
        // Of another kind, of which OpenSSL says no more.
        let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        world.scene.write("client.key", pem("PRIVATE KEY", &ed25519.serialize_der()));
        world.assert_told(&format!("tls.key ({}) cannot be used: it {wrong}, or one of another kind", path.display()));
    }
}

/// `check` asks the destination first, and could send an event there.
#[test]
fn a_file_of_the_input_is_told_before_the_destination_is_asked() {
    let ours = Authority::new("ours");
    let broker = Broker::with_tls(server(&ours.issue("kafka", &["127.0.0.1"], Kind::Good), None, BOTH), "");
    let scene = broker::scene(&broker.address.to_string(), None, "encryption = \"tls\"\ntls.ca = \"FOLDER/ca.pem\"");
    scene.write("ca.pem", ours.pem());
    let text = scene.read("siem.toml");
    // The input stands above.
    scene.write("siem.toml", text.replacen("ca.pem", "absent.pem", 1));
    let ran = broker::check(&scene);
    assert!(ran.code == 2 && ran.stdout.contains("absent.pem cannot be read: "), "{ran:?}");
    assert!(!broker.is_reached(), "{ran:?}");
}

/// Shown in a terminal, it would lie in a log.
#[test]
fn a_key_in_the_place_of_its_path_is_not_shown() {
    for side in SIDES {
        let world = World::new(side);
        let key = world.scene.read("client.key");
        let middle = key.lines().nth(1).unwrap();
        let text = world.scene.read("siem.toml");
        let path = world.scene.path("client.key").display().to_string();
        world.scene.write("siem.toml", text.replace(&path, &key.replace('\n', "\\n")));
        world.assert_told("tls.key holds the PEM text itself");
        let said = world.run(&[side.command()]).1 + &world.run(&["check"]).1;
        assert!(!said.contains(middle), "{said}");
    }
}

#[test]
fn a_key_that_everybody_can_read_is_warned_of() {
    for side in SIDES {
        let world = World::new(side);
        let key = world.scene.path("client.key");
        let warning = format!("{} holds a secret and can be read by everybody", key.display());
        assert!(!world.run(&["check", "--offline"]).1.contains(&warning));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o604)).unwrap();
        let (code, said) = world.run(&["check", "--offline"]);
        assert!(code == 0 && said.contains(&warning), "{said}");
    }
}
