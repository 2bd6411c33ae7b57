//! The program and Kafka: `check`, `run` and `replay` know it where it is built in, and say which build has it where not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use crate::program::{Scene, run};

fn scene(brokers: &str, keys: &str) -> Scene {
    let scene = Scene::new("http://unused", "");
    let dead = scene.path("dead.ndjson").display().to_string();
    let brokers: Vec<&str> = brokers.split(',').collect();
    let text = format!(
        "[siem.kafka]\ntype = \"kafka\"\nbrokers = {brokers:?}\nretry_backoff_max = 0.02\nbatch_timeout_seconds = 0.1\n\
         dead_letter = {{ path = {dead:?} }}\n{keys}\n",
    );
    scene.write("siem.toml", text);
    scene
}

#[cfg(not(feature = "kafka"))]
#[test]
fn a_build_without_kafka_says_which_build_has_it() {
    let scene = scene("127.0.0.1:9092", "topic = \"audit\"");
    let path = scene.path("siem.toml").display().to_string();
    for arguments in [&["run", "--config", &path][..], &["check", "--offline", "--config", &path]] {
        let ran = run(arguments);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, 2, "{said}");
        assert!(said.contains("siem.toml:2:8: siem.kafka.type: this build has no Kafka"), "{said}");
        assert!(said.contains("`cargo build --release --features kafka`"), "{said}");
    }
}

#[cfg(feature = "kafka")]
mod built {
    use rdkafka::types::RDKafkaRespErr as Response;

    use super::{run, scene};
    use crate::kafka::Brokers;
    use crate::program::{Ran, Running, Scene, command, id};

    /// One of each severity in turn.
    fn lines(numbers: std::ops::Range<u32>) -> String {
        let line = |number: u32| {
            let severity = ["low", "high"][number as usize % 2];
            format!(
                "{{\"id\":\"{}\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"event_type\":\"user_login\",\"severity\":\"{severity}\",\
                 \"details\":{{\"session_id\":\"s-{}\"}}}}\n",
                id(number),
                number % 5
            )
        };
        numbers.map(line).collect()
    }

    /// And take what the second worker on a machine has to say.
    #[test]
    fn the_examples_are_configurations() {
        let own = ["metrics.listen=\"127.0.0.1:9465\"", "siem.splunk.dead_letter.path=\"second.dead.ndjson\""];
        for (file, sets) in [("produce.toml", &[][..]), ("worker.toml", &[][..]), ("worker.toml", &own)] {
            let path = format!("{}/examples/kafka/{file}", env!("CARGO_MANIFEST_DIR"));
            let folder = tempfile::tempdir().unwrap();
            let mut command = command(&["check", "--offline", "--config", &path]);
            command.args(sets.iter().flat_map(|set| ["--set", set]));
            command.current_dir(folder.path()).env("SPLUNK_HEC_TOKEN", "t");
            let ran = Running::start(command).end();
            assert_eq!(ran.code, 0, "{file}: {ran:?}");
        }
    }

    fn with_config(scene: &Scene, arguments: &[&str]) -> Ran {
        let mut command = command(arguments);
        command.arg("--config").arg(scene.path("siem.toml"));
        Running::start(command).end()
    }

    #[test]
    fn what_is_run_arrives_and_what_was_refused_is_replayed_to_the_same_topic() {
        let brokers = Brokers::with(&["audit-low", "audit-high"]);
        brokers.0.topic_error("audit-high", Response::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
        let keys = "topic = \"audit-{severity}\"\nkey = \"details.session_id\"\nbatch_size = 50";
        let scene = scene(&brokers.addresses(), keys);
        let ran = scene.run(&["--json"], lines(0..200));
        let report = ran.json();
        assert_eq!(
            (ran.code, &report["delivered"], &report["dead_lettered"]),
            (1, &100.into(), &100.into()),
            "{ran:?}"
        );
        let low = brokers.read("audit-low");
        assert!(low.iter().all(|record| record.key.as_deref().is_some_and(|key| key.starts_with("s-"))), "{low:?}");
        assert_eq!(brokers.ids("audit-low").len(), 100);
        let dead = scene.dead_letter();
        assert_eq!(dead[&id(1).to_string()]["wire"]["topic"], "audit-high");

        brokers.0.topic_error("audit-high", Response::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
        let letter = scene.path("dead.ndjson");
        let ran = with_config(&scene, &["replay", letter.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let high = brokers.ids("audit-high");
        let odd = (0..100).map(|number| id(2 * number + 1));
        assert!(high.len() == 100 && odd.into_iter().all(|id| high.get(&id) == Some(&1)), "{high:?}");
    }

    #[test]
    fn check_asks_the_brokers_and_sends_an_event_where_that_is_wished() {
        let brokers = Brokers::with(&["audit"]);
        let scene = scene(&brokers.addresses(), "topic = \"audit\"");
        let ran = with_config(&scene, &["check", "--send"]);
        assert!(ran.code == 0 && ran.stdout.contains("kafka takes events\n"), "{ran:?}");
        assert!(ran.stdout.contains("kafka acknowledged the test event"), "{ran:?}");
        assert_eq!(brokers.read("audit")[0].headers["event_type"], "siem_forward_check");
        brokers.0.broker_down(-1).unwrap();
        let ran = with_config(&scene, &["check", "--set", "siem.kafka.timeout_seconds=1"]);
        assert!(ran.code == 1 && ran.stdout.contains("health failed"), "{ran:?}");
    }

    #[test]
    fn check_asks_the_brokers_of_an_input_for_its_topics() {
        let brokers = Brokers::with(&["audit"]);
        let scene = scene(&brokers.addresses(), "topic = \"audit\"");
        let list = brokers.addresses().replace(',', "\", \"");
        let input = format!("[input.kafka]\nbrokers = [\"{list}\"]\ntopics = [\"audit\", \"^more-.*\"]\n\n");
        scene.write("siem.toml", input + &scene.read("siem.toml"));
        let ran = with_config(&scene, &["check"]);
        assert!(ran.code == 0 && ran.stdout.contains("the brokers have audit; not looked for: ^more-.*\n"), "{ran:?}");
        let ran = with_config(&scene, &["check", "--json", "--set", "input.kafka.topics=[\"nobody-made-it\"]"]);
        let step = &ran.json()["input"]["steps"][0];
        assert_eq!((ran.code, step["step"].as_str(), step["status"].as_str()), (1, Some("topics"), Some("failed")));
        assert!(step["says"].as_str().unwrap().contains("the topic nobody-made-it is not there"), "{step}");
        brokers.0.broker_down(-1).unwrap();
        let ran = with_config(&scene, &["check", "--set", "siem.kafka.timeout_seconds=1"]);
        assert!(ran.code == 1 && ran.stdout.contains("no broker answers: 3/3 brokers are down: "), "{ran:?}");
    }

    #[cfg(not(feature = "kafka-tls"))]
    #[test]
    fn a_build_without_tls_says_which_build_has_it() {
        let scene = scene("kafka:9092", "");
        let keys = "brokers = [\"kafka:9092\"]\nencryption = \"tls\"\nsasl_mechanism = \"SCRAM-SHA-512\"\nusername = \"u\"\n\
                    password = { env = \"SIEM_FORWARD_TEST_TOKEN\" }\n";
        let siem = "type = \"kafka\"\ntopic = \"audit\"\ndead_letter = \"none\"\n";
        scene.write("siem.toml", format!("[input.kafka]\n{keys}topics = [\"audit\"]\n\n[siem.kafka]\n{keys}{siem}"));
        for arguments in [&["check", "--offline"][..], &["run"], &["worker"]] {
            let ran = with_config(&scene, arguments);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert_eq!(ran.code, 2, "{said}");
            for told in [
                ":3:14: input.kafka.encryption: this build speaks no TLS with Kafka",
                ":4:18: input.kafka.sasl_mechanism: this build has no SCRAM",
                ":11:14: siem.kafka.encryption: this build speaks no TLS with Kafka",
                ":12:18: siem.kafka.sasl_mechanism: this build has no SCRAM",
            ] {
                assert!(said.contains(told), "{told}: {said}");
            }
            assert_eq!(said.matches("`cargo build --release --features kafka-tls`").count(), 4, "{said}");
        }
    }

    #[test]
    fn each_mistake_is_told_at_its_place() {
        let scene = scene(
            "kafka",
            "topic = \"audit {day}\"\nkey = \"session\"\npassword = { env = \"NOBODY_SET_IT\" }\n\
                                    message_timeout_seconds = 300\ntls = { cert = \"c.pem\" }",
        );
        let path = scene.path("siem.toml").display().to_string();
        let ran = run(&["check", "--offline", "--config", &path]);
        assert_eq!(ran.code, 2);
        for told in [
            ":3:11: siem.kafka.brokers: a broker is written HOST:PORT",
            "siem.kafka.topic: is no topic",
            "siem.kafka.key: names no key",
            "siem.kafka.username: missing",
            "siem.kafka.tls: has no effect without encryption",
            "siem.kafka.tls.key: missing",
        ] {
            assert!(ran.stdout.contains(told), "{told}: {}", ran.stdout);
        }
        let scene = super::scene("kafka:9092", "topic = \"audit\"\nmessage_timeout_seconds = 300");
        let ran = run(&["check", "--offline", "--config", scene.path("siem.toml").to_str().unwrap()]);
        assert!(ran.stdout.contains("message_timeout_seconds: is not below ack_timeout_seconds = 300"), "{ran:?}");
    }
}
