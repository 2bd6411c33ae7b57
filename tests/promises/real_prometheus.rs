//! A real Prometheus, and its promtool, read what we show and what `examples/monitoring` holds: `tests/monitoring/run.sh` obtains
//! both and runs this.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and this one says what it compared"
)]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::Value;

use crate::cli_metrics::{address, scene};
use crate::hec::free_address;
use crate::program::{Running, command, lines, wait_until};

/// Where the two programs are.
fn programs() -> PathBuf {
    let folder = std::env::var_os("SIEM_FORWARD_PROMETHEUS");
    PathBuf::from(folder.expect("the folder with prometheus and promtool: run tests/monitoring/run.sh"))
}

fn monitoring(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/monitoring").join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(monitoring(file)).unwrap()
}

/// Runs promtool with this on its standard input.
fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(programs().join("promtool"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let feed = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    // One that reads nothing ends before it is fed.
    drop(feed.join().unwrap());
    output
}

/// Fails unless promtool is content, and gives what it says.
fn assert_passes(arguments: &[&str], input: &str) -> String {
    let output = promtool(arguments, input);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

/// An answer's body.
fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Prometheus with the example's configuration, but for the address and a scrape a second.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let example = read("prometheus.yml");
        let config = example.replace("15s", "1s").replace("[\"127.0.0.1:9090\"]", &format!("[\"{target}\"]"));
        assert!(config.contains(&target.to_string()) && config.matches("interval: 1s").count() == 2, "{config}");
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        std::fs::write(folder.path().join("alerts.yml"), read("alerts.yml")).unwrap();
        let (address, log) = (free_address(), std::fs::File::create(folder.path().join("log")).unwrap());
        let child = Command::new(programs().join("prometheus"))
            .arg(format!("--web.listen-address={address}"))
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let prometheus = Self { child, address, _folder: folder };
        wait_until(|| TcpStream::connect(address).is_ok());
        wait_until(|| ask(address, "GET /-/ready HTTP/1.0\r\nHost: prometheus\r\n\r\n").contains("is Ready"));
        prometheus
    }

    /// The data of an answer; fails where it is an error.
    fn api(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let form: Vec<_> = form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let request = if form.is_empty() {
            format!("GET /api/v1/{path} HTTP/1.0\r\nHost: prometheus\r\n\r\n")
        } else {
            let body = form.join("&");
            format!(
                "POST /api/v1/{path} HTTP/1.0\r\nHost: prometheus\r\nContent-Length: {}\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}",
                body.len()
            )
        };
        let answer = ask(self.address, &request);
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert_eq!(answer["status"], "success", "{path} {form:?}: {answer}");
        answer["data"].clone()
    }

    fn query(&self, query: &str) -> Vec<Value> {
        self.api("query", &[("query", query)])["result"].as_array().unwrap().clone()
    }

    /// The sum over all series of a query.
    fn sum(&self, query: &str) -> f64 {
        let series = self.query(query);
        series.iter().map(|one| one["value"][1].as_str().unwrap().parse::<f64>().unwrap()).sum()
    }

    fn count(&self, query: &str) -> u64 {
        let sum = self.sum(query);
        assert!(sum >= 0.0 && sum.fract() == 0.0, "{query}: {sum}");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number, as was asserted")]
        let count = sum as u64;
        count
    }

    /// The alerts that fire or are about to, by name.
    fn alerts(&self) -> Vec<String> {
        let alerts = self.api("alerts", &[]);
        for alert in alerts["alerts"].as_array().unwrap() {
            let words = alert["annotations"].to_string();
            assert!(!words.contains("<error") && !words.contains("<no value>"), "{alert}");
        }
        alerts["alerts"].as_array().unwrap().iter().map(|one| text(&one["labels"]["alertname"])).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
        encoded
    })
}

/// Two thousand events a second, until it is told to stop: how many they were, and the input, still open.
fn load(mut stdin: ChildStdin, stop: &AtomicBool) -> (u32, ChildStdin) {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        stdin.write_all(lines(sent..sent + 100).as_bytes()).unwrap();
        sent += 100;
        thread::sleep(Duration::from_millis(50));
    }
    (sent, stdin)
}

/// As Grafana asks each panel's queries. Everything is shown from the first scrape, so that none may come back empty.
fn assert_dashboard_shows(prometheus: &Prometheus) {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let (start, end) = ((now - 20).to_string(), now.to_string());
    let mut queries = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let query = text(&target["expr"]).replace("$pipeline", ".*").replace("$__rate_interval", "10s");
            assert!(!query.contains('$'), "{query}: who replaces it?");
            let form = [("query", query.as_str()), ("start", &start), ("end", &end), ("step", "1")];
            let data = prometheus.api("query_range", &form);
            let series = data["result"].as_array().unwrap();
            assert!(!series.is_empty(), "{}: {query} shows nothing", panel["title"]);
            for one in series {
                for label in text(&target["legendFormat"]).split("{{").skip(1) {
                    let label = label.split_once("}}").unwrap().0;
                    assert!(one["metric"][label].is_string(), "{query} has no {label}: {}", one["metric"]);
                }
            }
            queries += 1;
        }
    }
    assert!(queries > 25, "{queries}");
    let choice = &dashboard["templating"]["list"][1];
    assert_eq!(choice["query"], "label_values(siem_health_status, pipeline)");
    let pipelines = prometheus.api("label/pipeline/values?match%5B%5D=siem_health_status", &[]);
    assert_eq!(pipelines, serde_json::json!(["splunk"]));
    println!("dashboard: {queries} queries, each shows something");
}

/// Every expression is evaluated, and every series that one asks for is there, so that none is quiet for want of a sample.
fn assert_alerts_watch(prometheus: &Prometheus) {
    let rules = || prometheus.api("rules", &[])["groups"][0]["rules"].as_array().unwrap().clone();
    wait_until(|| rules().iter().all(|rule| rule["health"] != "unknown"));
    let rules = rules();
    assert_eq!(rules.len(), read("alerts.yml").matches("- alert: ").count());
    let mut selectors = 0;
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        let query = text(&rule["query"]);
        for selector in selectors_of(&query) {
            assert!(!prometheus.query(&selector).is_empty(), "{}: {selector} has no sample", rule["name"]);
            selectors += 1;
        }
    }
    assert!(selectors >= rules.len(), "{selectors}");
    println!("alerts: {} evaluated, {selectors} selectors, each has samples", rules.len());
}

/// The names with their braces.
fn selectors_of(query: &str) -> Vec<String> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let starts = query.match_indices("siem_").chain(query.match_indices("up{")).map(|(at, _)| at);
    let starts = starts.filter(|at| !query[..*at].ends_with(is_name));
    starts
        .map(|at| {
            let rest = &query[at..];
            let name = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
            let end = if rest[name..].starts_with('{') { rest.find('}').unwrap() + 1 } else { name };
            rest[..end].to_owned()
        })
        .collect()
}

#[test]
#[ignore = "needs promtool: tests/monitoring/run.sh"]
fn promtool_accepts_the_configuration_and_the_alerts_and_passes_their_tests() {
    let path = |file| monitoring(file).to_str().unwrap().to_owned();
    assert_passes(&["check", "config", &path("prometheus.yml")], "");
    assert!(assert_passes(&["check", "rules", &path("alerts.yml")], "").contains("rules found"));
    assert_passes(&["test", "rules", &path("alerts_test.yml")], "");
    let tested = read("alerts_test.yml");
    for alert in read("alerts.yml").lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let firing = format!("alertname: {alert}\n        exp_alerts:\n          - exp_labels");
        assert!(tested.contains(&firing), "no test shows {alert} firing");
        assert!(tested.contains(&format!("alertname: {alert}\n        exp_alerts: []")), "or {alert} keeping quiet");
    }
}

#[test]
#[ignore = "needs Prometheus: tests/monitoring/run.sh"]
fn what_prometheus_scrapes_under_load_is_what_the_report_and_the_receiver_say() {
    let receive =
        command(&["receive", "--port", "0", "--json", "--fault", "503:every=7", "--fault", "400:contains=u-1234"]);
    let receive = Running::start(receive);
    receive.wait_for("listening on ");
    let url = receive.stderr().split_once("listening on ").unwrap().1.split_once(' ').unwrap().0.to_owned();
    let scene = scene(&url, "batch_size = 100", "127.0.0.1:0");
    let mut running = scene.start(&["--json"]);
    let metrics = address(&running);
    let prometheus = Prometheus::start(metrics);
    wait_until(|| prometheus.sum("up{job=\"siem-forward\"}") > 0.0);

    let (stop, stdin) = (AtomicBool::new(false), running.stdin.take().unwrap());
    let (fed, stdin) = thread::scope(|scope| {
        let load = scope.spawn(|| load(stdin, &stop));
        // A guard: where an assertion fails, the load ends as well.
        let _stopping = Stopping(&stop);
        wait_until(|| prometheus.alerts().contains(&"SiemDeadLetters".to_owned()));
        wait_until(|| prometheus.sum("increase(siem_events_sent_total[10s])") > 1_000.0);
        // A rate needs two scrapes at each moment that is asked for.
        wait_until(|| prometheus.sum("count_over_time(up{job=\"siem-forward\"}[1m])") >= 5.0);
        let scraped = ask(metrics, "GET /metrics HTTP/1.1\r\nHost: run\r\n\r\n");
        assert_eq!(assert_passes(&["check", "metrics"], &scraped), "");
        assert_dashboard_shows(&prometheus);
        assert_alerts_watch(&prometheus);
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap()
    });

    // The last figures arrive with the next scrape.
    let settled = format!("siem_events_sent_total + siem_events_failed_total == {fed} and siem_events_in_flight == 0");
    wait_until(|| !prometheus.query(&settled).is_empty());
    let of = |query: &str| prometheus.count(query);
    let (sent, dead) = (of("siem_events_sent_total"), of("siem_events_dead_lettered_total"));
    let (accepted, lost) = (of("siem_events_accepted_total"), of("siem_events_lost_total"));
    let (bytes, inflated) = (of("siem_sent_bytes_total"), of("siem_body_bytes_total"));
    let failed = of("siem_batches_failed_total");
    drop(stdin);
    let report = running.end();
    assert_eq!(report.code, 1, "some are in the dead letter: {report:?}");
    let report = report.json();
    for (key, scraped) in [("accepted", accepted), ("delivered", sent), ("dead_lettered", dead), ("in_flight", 0)] {
        assert_eq!(report[key], scraped, "{key}: {report}");
    }
    assert_eq!((accepted, lost), (u64::from(fed), 0));
    assert!(dead > 0 && failed > 0, "{dead} dead, {failed} failed requests");
    receive.signal(Signal::INT);
    let receiver = receive.wait().json()["receiver"].clone();
    assert_eq!(receiver["unique"], sent, "{receiver}");
    assert_eq!((&receiver["bytes"], &receiver["bytes_inflated"]), (&Value::from(bytes), &Value::from(inflated)));
    assert_eq!(scene.dead_letter().len() as u64, dead);
    println!(
        "{fed} events: scraped {sent} delivered and {dead} dead, as the report, the receiver and the dead letter say"
    );

    wait_until(|| prometheus.alerts().contains(&"SiemForwardGone".to_owned()));
}

/// Ends the load, however its scope is left.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
