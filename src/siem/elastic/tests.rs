//! Answers, recorded and made up; health, and what is refused.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::batch::Batch;
use crate::event::{EventId, EventType, Severity, Timestamp};
use crate::net::script::{Script, reply, serve};
use crate::net::{InvalidUrl, Stop};
use crate::siem::{Cause, CauseKind, Health, Partial, Siem};

const KEY: &str = "VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw==";

fn elastic() -> Elastic {
    Elastic::new("http://127.0.0.1:1").unwrap().api_key(KEY).unwrap()
}

fn read_of(status: u16, body: &str, events: usize) -> Verdict {
    elastic().read(&Answer::new(status, body), events, KEY)
}

/// An answer with these items, each in its action.
fn items_of(items: &[&str]) -> String {
    let items: Vec<String> = items.iter().map(|item| format!("{{\"create\":{item}}}")).collect();
    format!("{{\"errors\":true,\"items\":[{}]}}", items.join(","))
}

fn item(status: u16) -> String {
    match status {
        201 => "{\"status\":201}".to_owned(),
        _ => format!("{{\"status\":{status},\"error\":{{\"type\":\"t\",\"reason\":\"r\"}}}}"),
    }
}

fn read_statuses(statuses: &[u16]) -> Verdict {
    let items: Vec<String> = statuses.iter().map(|status| item(*status)).collect();
    read_of(200, &items_of(&items.iter().map(String::as_str).collect::<Vec<_>>()), statuses.len())
}

fn cause(status: u16) -> Cause {
    Cause::http(status).words("t: r")
}

fn garbage(words: &str) -> Cause {
    Cause::new(CauseKind::Garbage).words(words)
}

/// What OpenSearch (osmem-server 0.1.6) and Elasticsearch (noida-db 0.2.3) answered to a document, the same once more, and
/// one that cannot be mapped; the first without a filter.
#[test]
fn recorded_answers_have_their_fates() {
    let opensearch = r#"{"errors":true,"items":[
        {"create":{"_id":"a1","_index":"logs-audit-default","_primary_term":1,"_seq_no":0,"_shards":{"failed":0,"successful":1,"total":2},"_version":1,"result":"created","status":201}},
        {"create":{"_id":"a1","_index":"logs-audit-default","error":{"index":"logs-audit-default","index_uuid":"_na_","reason":"[a1]: version conflict, document already exists (current version [1])","shard":"0","type":"version_conflict_engine_exception"},"status":409}},
        {"create":{"_id":"a3","_index":"logs-audit-default","error":{"caused_by":{"reason":"For input string: \"not a number\"","type":"illegal_argument_exception"},"reason":"failed to parse field [event.severity] of type [long] in document with id 'a3'. Preview of field's value: 'not a number'","type":"mapper_parsing_exception"},"status":400}}],"took":1}"#;
    let elasticsearch = r#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"error":{"type":"version_conflict_engine_exception","reason":"[a1]: version conflict, document already exists (current version [1])"},"status":409}},{"create":{"error":{"type":"document_parsing_exception","reason":"[1:15] failed to parse field [@timestamp] of type [date] in document with id 'a3'. Preview of field's value: 'yesterday'"},"status":400}}]}"#;
    for (body, words) in [
        (
            opensearch,
            "mapper_parsing_exception: failed to parse field [event.severity] of type [long] in document with id 'a3'. \
             Preview of field's value: 'not a number'",
        ),
        (
            elasticsearch,
            "document_parsing_exception: [1:15] failed to parse field [@timestamp] of type [date] in document with id \
             'a3'. Preview of field's value: 'yesterday'",
        ),
    ] {
        let expected = Partial::new().reject(2, Cause::http(400).words(words));
        assert_eq!(read_of(200, body, 3), Verdict::Partial(expected));
    }
    // The whole request, by noida-db: the index is closed, which is no document's fault.
    let closed = r#"{"error":{"root_cause":[{"type":"index_closed_exception","reason":"closed"}],"type":"index_closed_exception","reason":"closed","index":"a"},"status":400}"#;
    assert_eq!(read_of(400, closed, 3), Verdict::Halt(Cause::http(400).words("index_closed_exception: closed")));
    // By osmem-server.
    let unended = r#"{"error":{"reason":"The bulk request must be terminated by a newline [\\n]","type":"illegal_argument_exception"},"status":400}"#;
    assert!(matches!(read_of(400, unended, 3), Verdict::Reject(cause) if cause.label() == "http_400"));
}

#[test]
fn each_event_has_the_fate_of_its_own_item() {
    assert_eq!(read_statuses(&[201, 200, 201]), Verdict::Accept);
    assert_eq!(read_statuses(&[409, 201]), Verdict::Accept, "stored before is stored");
    // Delivered, sent again, refused: the order of the items is the order of the events.
    let mixed = Partial::new().reject(3, cause(400)).resend([1, 4]).retry(None, cause(429));
    assert_eq!(read_statuses(&[201, 429, 409, 400, 503]), Verdict::Partial(mixed));
    assert_eq!(read_statuses(&[429, 429]), Verdict::retry(cause(429)));
    assert_eq!(read_statuses(&[500, 429, 503]), Verdict::retry(cause(429)), "what charges nobody is said");
    let all = Partial::new().reject(0, cause(400)).reject(1, cause(400));
    assert_eq!(read_statuses(&[400, 400]), Verdict::Partial(all));
    let large = Partial::new().reject(0, Cause::new(CauseKind::TooLarge).words("t: r"));
    assert_eq!(read_statuses(&[413, 201]), Verdict::Partial(large));
    for status in [408, 425, 500, 502, 503, 504] {
        assert_eq!(read_statuses(&[status]), Verdict::retry(cause(status)));
    }
    for status in [0, 100, 202, 204, 302, 600] {
        let garbage = garbage(&format!("an item's status is {status}"));
        assert_eq!(read_statuses(&[status]), Verdict::retry(garbage), "{status}");
    }
    let patient = Answer { retry_after: Some(Duration::from_secs(7)), ..Answer::new(200, items_of(&[&item(429)])) };
    let Verdict::Retry { after, .. } = elastic().read(&patient, 1, KEY) else { panic!() };
    assert_eq!(after, Some(Duration::from_secs(7)));
}

#[test]
fn what_is_refused_whatever_it_is_halts_and_is_never_an_events_fault() {
    for status in [401, 403, 404] {
        assert_eq!(read_statuses(&[status, status]), Verdict::Halt(cause(status)));
        let some = Partial::new().resend([1]).retry(None, cause(status));
        assert_eq!(read_statuses(&[201, status]), Verdict::Partial(some), "{status}");
    }
    // Elasticsearch says 400 of these, as of a document that is wrong.
    for kind in ["index_closed_exception", "validation_exception", "invalid_index_name_exception"] {
        let item = format!("{{\"status\":400,\"error\":{{\"type\":\"{kind}\",\"reason\":\"r\"}}}}");
        let halted = Verdict::Halt(Cause::http(400).words(format!("{kind}: r")));
        assert_eq!(read_of(200, &items_of(&[&item, &item]), 2), halted);
    }
}

#[test]
fn a_failure_store_is_not_the_stream() {
    let items = items_of(&["{\"status\":201,\"failure_store\":\"used\"}", "{\"status\":201,\"failure_store\":\"no\"}"]);
    let words = "it was put into the failure store of its data stream, and not into the stream";
    let put_aside = Partial::new().reject(0, Cause::new(CauseKind::Custom("failure_store")).words(words));
    assert_eq!(read_of(200, &items, 2), Verdict::Partial(put_aside));
}

#[test]
fn took_and_errors_are_not_believed() {
    let lies = ["\"errors\":false,\"took\":-1", "\"errors\":true", "\"errors\":\"no\",\"took\":{}", "\"status\":503"];
    for lie in lies {
        let body = |statuses: [u16; 2]| {
            let items: Vec<String> =
                statuses.iter().map(|status| format!("{{\"create\":{}}}", item(*status))).collect();
            format!("{{{lie},\"items\":[{}],\"took\":0}}", items.join(","))
        };
        assert_eq!(read_of(200, &body([201, 201]), 2), Verdict::Accept, "{lie}");
        let refused = Partial::new().reject(1, cause(400));
        assert_eq!(read_of(200, &body([201, 400]), 2), Verdict::Partial(refused), "{lie}");
    }
}

#[test]
fn an_answer_with_more_or_fewer_items_delivers_nothing() {
    let body = |items| items_of(&vec!["{\"status\":201}"; items]);
    assert_eq!(read_of(200, &body(3), 3), Verdict::Accept);
    for items in [0, 1, 2, 4, 5, 100] {
        let verdict = read_of(200, &body(items), 3);
        assert!(
            matches!(&verdict, Verdict::Retry { cause, .. } if cause.kind() == CauseKind::Garbage),
            "{items}: {verdict:?}"
        );
    }
    // Only the errors were left, as `filter_path=items.*.error` does it: nobody knows which events they are of.
    let filtered = "{\"items\":[{\"create\":{\"error\":{\"type\":\"t\"}}}]}";
    assert!(matches!(read_of(200, filtered, 3), Verdict::Retry { .. }));
}

#[test]
fn garbage_delivers_nothing() {
    for body in [
        "",
        "null",
        "7",
        "[]",
        "{}",
        "<html>",
        "{\"text\":\"Success\",\"code\":0}",
        "{\"items\":{}}",
        "{\"items\":[201]}",
        "{\"items\":[{}]}",
        "{\"items\":[{\"create\":201}]}",
        "{\"items\":[{\"create\":{\"status\":201},\"index\":{\"status\":201}}]}",
        "{\"items\":[{\"create\":{\"status\":201,\"status\":201}}]}",
        "{\"items\":[{\"create\":{\"status\":\"201\"}}]}",
        "{\"items\":[{\"create\":{\"status\":201.0}}]}",
        "{\"items\":[{\"create\":{\"status\":65737}}]}",
        "{\"items\":[{\"create\":{\"status\":201}}],\"items\":[{\"create\":{\"status\":201}}]}",
        "{\"items\":[{\"create\":{\"status\":201}}]}{",
        "{\"items\":[{\"create\":{\"status\":201}}]} x",
        "{\"items\":[{\"create\":{\"status\":201}}#",
        "{\"error\":{\"type\":\"t\"},\"status\":503}",
    ] {
        let verdict = read_of(200, body, 1);
        assert!(
            matches!(&verdict, Verdict::Retry { cause, .. } if cause.kind() == CauseKind::Garbage),
            "{body}: {verdict:?}"
        );
    }
}

#[test]
fn an_answer_that_is_cut_off_says_what_became_of_the_first_events() {
    let whole = items_of(&[&item(201), &item(400), &item(409), &item(201)]);
    let before = |events: usize, cut: usize| read_of(200, &whole[..cut], events);
    let end_of = |number: usize| whole.match_indices("}}").nth(number).unwrap().0 + 2;
    // Behind the item of the event that is refused: the first two are told.
    let told =
        Partial::new().reject(1, cause(400)).resend([2, 3]).retry(None, garbage("the answer ends before this event"));
    let second = whole.find("},{\"create\":{\"status\":409").unwrap() + 1;
    assert_eq!(before(4, second), Verdict::Partial(told));
    assert!(matches!(before(4, end_of(0) - 1), Verdict::Retry { .. }), "an item that is not whole says nothing");
    assert_eq!(before(4, whole.len() - 1), before(4, whole.len()));
    for cut in 0..whole.len() {
        let verdict = before(4, cut);
        assert_ne!(verdict, Verdict::Accept, "{cut}");
        assert_eq!(
            delivered_of(&verdict, 4).contains(&2),
            cut > whole.find("},{\"create\":{\"status\":201}}]").unwrap()
        );
    }
}

/// Which of so many events a verdict calls delivered.
fn delivered_of(verdict: &Verdict, events: usize) -> Vec<usize> {
    match verdict {
        Verdict::Accept => (0..events).collect(),
        Verdict::Partial(partial) => {
            let is_told =
                |index: &usize| partial.resend.contains(index) || partial.rejected.iter().any(|(at, _)| at == index);
            (0..events).filter(|index| !is_told(index)).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn each_status_of_the_request_has_its_verdict() {
    let body = r#"{"error":{"root_cause":[],"type":"t","reason":"r"},"status":400}"#;
    assert_eq!(read_of(400, body, 2), Verdict::Reject(cause(400)));
    assert_eq!(read_of(413, body, 2), Verdict::Reject(Cause::new(CauseKind::TooLarge).words("t: r")));
    for status in [408, 429, 500, 502, 503, 504] {
        assert_eq!(read_of(status, body, 2), Verdict::retry(cause(status)), "{status}");
    }
    for status in [301, 401, 403, 404, 405, 406, 415, 501] {
        assert_eq!(read_of(status, body, 2), Verdict::Halt(cause(status)), "{status}");
    }
    let told = read_of(401, r#"{"error":"unable to authenticate","status":401}"#, 1);
    assert_eq!(told, Verdict::Halt(Cause::http(401).words("unable to authenticate")));
    assert_eq!(read_of(502, "<h1>Bad</h1>", 1), Verdict::retry(Cause::http(502).words("<h1>Bad</h1>")));
    // Whatever it says, these are not how a bulk request succeeds.
    for status in [201, 202, 204] {
        let verdict = read_of(status, &items_of(&["{\"status\":201}"]), 1);
        assert!(matches!(&verdict, Verdict::Retry { cause, .. } if cause.kind() == CauseKind::Garbage), "{status}");
    }
}

fn any_item() -> impl Strategy<Value = (u16, String)> {
    let status = prop_oneof![Just(201_u16), Just(409), Just(429), Just(400), Just(503), Just(403), 0_u16..700];
    (status, ".{0,20}", any::<bool>()).prop_map(|(status, words, echoes)| {
        let reason = if echoes { format!("{words}{KEY}") } else { words };
        (
            status,
            serde_json::json!({"create": {"status": status, "error": {"type": "t", "reason": reason}}}).to_string(),
        )
    })
}

proptest! {
    #[test]
    fn only_what_was_told_is_delivered(items in prop::collection::vec(any_item(), 1..20), cut: prop::sample::Index, cuts: bool) {
        let list: Vec<&str> = items.iter().map(|(_, item)| item.as_str()).collect();
        let whole = format!("{{\"took\":1,\"items\":[{}],\"errors\":false}}", list.join(","));
        let end = if cuts { cut.index(whole.len()) } else { whole.len() };
        let body = &whole.as_bytes()[..end];
        let verdict = elastic().read(&Answer::new(200, body), items.len(), KEY);
        let delivered = delivered_of(&verdict, items.len());
        // An item is told once all of it is there.
        let mut at = whole.find('[').unwrap() + 1;
        for (index, (status, item)) in items.iter().enumerate() {
            at += item.len();
            let is_held = at <= end && [200, 201, 409].contains(status);
            prop_assert_eq!(delivered.contains(&index), is_held, "{}: {:?}", index, verdict);
            at += 1;
        }
        let shown = format!("{verdict:?}");
        prop_assert!(!shown.contains(KEY));
    }

    #[test]
    fn any_answer_has_a_verdict_and_none_shows_the_key(
        status in prop_oneof![any::<u16>(), Just(200_u16), 190u16..=520],
        raw in prop::collection::vec(any::<u8>(), 0..200),
        soup in "(\\{|\\}|\\[|\\]|:|,|\"items\":|\"create\":|\"status\":|201|400|null|\"error\"|x){0,20}",
        is_soup: bool,
        events in 1_usize..9,
    ) {
        let body = if is_soup { soup.into_bytes() } else { [raw.as_slice(), KEY.as_bytes()].concat() };
        let verdict = elastic().read(&Answer::new(status, body), events, KEY);
        prop_assert!(status == 200 || delivered_of(&verdict, events).is_empty());
        if let Verdict::Partial(partial) = &verdict {
            let known = partial.resend.iter().chain(partial.rejected.iter().map(|(index, _)| index));
            prop_assert!(known.into_iter().all(|index| *index < events));
        }
        let shown = format!("{verdict:?}");
        prop_assert!(!shown.contains(KEY));
    }
}

#[test]
fn what_is_no_destination_is_refused_without_repeating_it() {
    let new = || Elastic::new("http://127.0.0.1:1").unwrap();
    assert_eq!(Elastic::new("proxy:1").unwrap_err(), IntakeError::Url(InvalidUrl::Scheme));
    assert!(matches!(Elastic::new("http://proxy/_bulk"), Err(IntakeError::Place(_))));
    assert_eq!(new().api_key("").unwrap_err().to_string(), "the API key is empty");
    let told = new().api_key("hunter 2").unwrap_err().to_string();
    assert!(told.starts_with("the API key holds a space") && !told.contains("hunter"), "{told}");
    for user in ["", "a:b", "a\n"] {
        assert!(new().basic(user, "hunter2").is_err(), "{user}");
    }
    assert!(new().basic("ada", "hunter\n2").is_err() && new().basic("ada", "open sesame").is_ok());
    let error = new().api_key_file("/nowhere/key").unwrap_err();
    assert!(error.to_string().starts_with("cannot read /nowhere/key"), "{error}");
    assert!(new().index("Audit").is_err());
}

#[test]
fn the_secret_is_never_shown() {
    for elastic in [elastic(), Elastic::new("http://127.0.0.1:1").unwrap().basic("ada", KEY).unwrap()] {
        let connection = elastic.connect(&Stop::new()).unwrap();
        let shown = format!("{elastic:?} {connection:?} {}", elastic.destination());
        assert!(!shown.contains(KEY) && shown.contains("http://127.0.0.1:1"), "{shown}");
    }
    // Written in base64, and repeated by who refuses it.
    let script = serve(|request, stream| {
        let said = format!("{{\"error\":\"who is {}?\"}}", request.header("authorization").unwrap());
        reply(stream, "401 No", said.as_bytes())
    });
    let elastic = Elastic::new(&script.url).unwrap().basic("ada", "hunter2").unwrap();
    let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
    let verdict = elastic.send_event(&mut elastic.connect(&Stop::new()).unwrap(), &event);
    assert_eq!(verdict, Verdict::Halt(Cause::http(401).words("who is Basic …?")));
}

#[test]
fn hostile_text_stays_text_and_no_line_is_broken() {
    let hostile = "\"}],\\ \u{0}\u{2028}é\r\n";
    let elastic = elastic().index("audit-%Y").unwrap();
    let event = AuditEvent::builder(EventType::custom(hostile).unwrap(), Severity::Medium)
        .id(EventId::parse("2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a").unwrap())
        .timestamp("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap())
        .user_id(hostile)
        .tool_name(hostile)
        .decision(hostile)
        .ip_address(hostile)
        .request_id(hostile)
        .detail(hostile, hostile)
        .build();
    let mut batch = Batch::open(elastic.shape(), Vec::new(), Vec::new());
    for _ in 0..2 {
        batch.append(&event, |body| elastic.format_event(&event, body)).unwrap();
    }
    batch.seal();
    assert_eq!(batch.body().last(), Some(&b'\n'));
    let body = std::str::from_utf8(batch.body()).unwrap();
    let lines: Vec<Value> = body.split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[2]["create"]["_index"], "audit-2026");
    let document = &lines[3];
    for found in [
        &document["event"]["action"],
        &document["user"]["id"],
        &document["related"]["user"][0],
        &document["gen_ai"]["tool"]["name"],
        &document["audit"]["decision"],
        &document["source"]["address"],
        &document["http"]["request"]["id"],
        &document["audit"]["details"][hostile],
    ] {
        assert_eq!(found, hostile);
    }
    assert_eq!((&document["source"]["ip"], &document["related"]["ip"]), (&Value::Null, &Value::Null));
}

fn health_of(script: &Script) -> Health {
    let http = HttpConfig { timeout: Duration::from_secs(20), ..HttpConfig::default() };
    let elastic = Elastic::new(&script.url).unwrap().api_key(KEY).unwrap().http(http);
    elastic.health_check(&mut elastic.connect(&Stop::new()).unwrap())
}

#[test]
fn a_cluster_that_is_red_is_ill_and_one_that_keeps_its_health_to_itself_is_well() {
    let answering =
        |status: &'static str, body: &'static str| serve(move |_, stream| reply(stream, status, body.as_bytes()));
    let green = answering("200 OK", r#"{"status":"green"}"#);
    let health = health_of(&green);
    assert!(health.healthy && health.latency_ms.unwrap() > 0.0, "{health:?}");
    let request = green.requests.try_iter().next().unwrap();
    assert_eq!(request.head[0], "GET /_cluster/health?filter_path=status HTTP/1.1");
    assert_eq!(request.header("authorization"), Some(format!("ApiKey {KEY}").as_str()));
    assert!(health_of(&answering("200 OK", r#"{"cluster_name":"a","status":"yellow"}"#)).healthy);

    let reserved = health_of(&answering("403 No", r#"{"error":{"type":"security_exception"},"status":403}"#));
    assert!(reserved.healthy && reserved.details["not told"].starts_with("it knows the credential"), "{reserved:?}");

    let complaint = |status, body| {
        let health = health_of(&answering(status, body));
        assert!(!health.healthy);
        health.error_message.unwrap()
    };
    assert_eq!(complaint("200 OK", r#"{"status":"red"}"#), "the cluster is red: not all of its shards can be reached");
    assert_eq!(complaint("401 No", "who?"), "Elasticsearch refuses the API key: who? (http 401)");
    assert_eq!(complaint("403 No", "a portal"), "Elasticsearch refuses the API key: a portal (http 403)");
    assert_eq!(complaint("503 Busy", "later"), "Elasticsearch takes no events now: later (http 503)");
    for (status, body) in [("200 OK", "{}"), ("200 OK", "<html>"), ("404 No", ""), ("302 Found", "")] {
        let told = complaint(status, body);
        assert!(told.starts_with("there is no Elasticsearch at http://127.0.0.1"), "{told}");
    }
}

/// There is a limit to how much of an answer is kept, and each request gets further than the one before.
#[test]
fn an_answer_of_any_size_is_read_as_far_as_it_is_kept() {
    let script = serve(|request, stream| {
        let events = request.inflated().split(|byte| *byte == b'\n').count() / 2;
        let reason = "x".repeat(3000);
        let item = format!("{{\"status\":400,\"error\":{{\"type\":\"t\",\"reason\":\"{reason}\"}}}}");
        reply(stream, "200 OK", items_of(&vec![item.as_str(); events]).as_bytes())
    });
    let elastic = Elastic::new(&script.url).unwrap();
    let mut batch = Batch::open(elastic.shape(), Vec::new(), Vec::new());
    for _ in 0..500 {
        let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
        batch.append(&event, |body| elastic.format_event(&event, body)).unwrap();
    }
    batch.seal();
    let verdict = elastic.send_batch(&mut elastic.connect(&Stop::new()).unwrap(), &batch);
    let Verdict::Partial(partial) = verdict else { panic!("{verdict:?}") };
    assert!((300..400).contains(&partial.rejected.len()), "{} of 1 MiB", partial.rejected.len());
    assert_eq!(partial.rejected.len() + partial.resend.len(), 500);
}
