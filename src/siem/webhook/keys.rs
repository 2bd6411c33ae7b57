//! A webhook's keys of the configuration file.

use super::layout::FIELDS;
use super::{ACCEPTED, BASIC, BEARER, Webhook, WebhookBody, checkup, header_of, path_of};
use crate::net::{BaseUrl, HttpConfig};
use crate::siem::intake::{Headers, Method};
use crate::siem::keys;
use crate::table::{Key, Problems, Section, Table};

/// A field's path in the sent JSON.
const fn field(name: &'static str, example: &'static str) -> Key {
    Key::optional(name, "see `fields.id`", example).range("a text").meaning("the same for this field")
}

impl Webhook {
    pub(crate) const KEYS: Section = Section {
        title: "Webhook",
        keys: &[
            Key::required("url", "\"https://siem.example/api\"")
                .range("a text")
                .meaning("the base of its addresses; `path` is appended"),
            Key::default("path", "\"/\"").range("a text").meaning("where batches are sent"),
            Key::default("method", "\"POST\"").range("\"POST\" or \"PUT\"").meaning("how"),
            Key::optional("token", "no secret", "{ env = \"SIEM_TOKEN\" }")
                .range("`{ env = \"NAME\" }` or `{ file = \"PATH\" }`")
                .meaning("where the secret is; never the secret itself. A file is read again"),
            Key::default("auth", "\"bearer\"").range("\"bearer\" or \"basic\"").meaning(
                "how the secret is shown: `Bearer` with a token, or `Basic` with what is `USER:PASSWORD` there",
            ),
            Key::optional("headers", "none", "[\"X-Tenant: audit\"]")
                .range("a list of texts")
                .meaning("more headers; no place for a secret"),
            Key::default("body", "\"ndjson\"")
                .range("\"ndjson\" or \"array\"")
                .meaning("an event a line, or a JSON array; `body_key` makes it an array under a key"),
            Key::optional("body_key", "no object around it", "\"events\"")
                .range("a text")
                .meaning("the body is an object with the array of events under this key"),
            Key::default("accepted", "[200, 201, 202, 204]")
                .range("200 to 299")
                .meaning("the statuses that mean that all of a batch is taken"),
            Key::optional("health_path", "its health is not asked", "\"/health\"")
                .range("a text")
                .meaning("where its health is asked; any status from 200 to 299 is healthy"),
            Key::optional(
                "fields.id",
                "with none of these keys, our own layout; with some, a field without one is left out",
                "\"id\"",
            )
            .range("a text")
            .meaning("where the id stands in an event's JSON: names with dots between them, such as `user.id`"),
            field("fields.timestamp", "\"timestamp\""),
            field("fields.event_type", "\"event_type\""),
            field("fields.severity", "\"severity\""),
            field("fields.user_id", "\"user.id\""),
            field("fields.user_email", "\"user.email\""),
            field("fields.server_id", "\"resource.server_id\""),
            field("fields.tool_name", "\"resource.tool_name\""),
            field("fields.decision", "\"decision\""),
            field("fields.policy_id", "\"policy_id\""),
            field("fields.ip_address", "\"context.ip_address\""),
            field("fields.user_agent", "\"context.user_agent\""),
            field("fields.request_id", "\"context.request_id\""),
            field("fields.details", "\"details\""),
        ],
    };

    /// Takes a webhook's keys out of a pipeline's table, and fetches the secret from its place.
    pub(crate) fn read(table: &mut Table<'_>, problems: &mut Problems) -> Option<Self> {
        table.require("url", "url = \"https://siem.example/api\"", problems);
        let url = keys::url(table, "https://siem.example/api", problems, str::parse::<BaseUrl>);
        let path = table.take_parsed("path", "\"/events/batch\"", problems, path_of);
        let methods = [("POST", Method::Post), ("PUT", Method::Put)];
        let method = table.take_choice("method", &methods, problems).unwrap_or(Method::Post);
        let schemes = [("bearer", BEARER), ("basic", BASIC)];
        let scheme = table.take_choice("auth", &schemes, problems).unwrap_or(BEARER);
        let has_token = table.has("token");
        let credential = keys::credential(table, "token", scheme, problems);
        let headers = table.take_list_of_texts("headers", "[\"X-Tenant: audit\"]", problems, header_of);
        let body = body(table, problems);
        let accepted = table.take_list_of_integers("accepted", 200..=299, problems);
        let health_path = table.take_parsed("health_path", "\"/health\"", problems, path_of);
        let http = HttpConfig::read(table, problems);
        let fields = table.take_table("fields", problems);
        let mut webhook = Self::of(url?).http(http).body(body);
        webhook.endpoint.method = method;
        webhook.endpoint.path = path.map_or("/".into(), Into::into);
        webhook.endpoint.headers = Headers(headers.unwrap_or_default());
        webhook.endpoint.checkup = health_path.map(checkup);
        let is_status = |status| u16::try_from(status).ok();
        webhook.accepted =
            accepted.map_or(ACCEPTED.to_vec(), |statuses| statuses.into_iter().filter_map(is_status).collect());
        if let Some(mut fields) = fields {
            for (name, source) in FIELDS {
                fields.take_parsed(name, "\"user.id\"", problems, |path| webhook.layout.put(path, source));
            }
            fields.finish(problems);
        }
        if has_token {
            webhook.endpoint.credential = Some(credential?);
        }
        Some(webhook)
    }

    /// Where it is, and how requests to it are made.
    pub(crate) fn address(&self) -> (&BaseUrl, &HttpConfig) {
        (&self.endpoint.url, &self.endpoint.http)
    }
}

fn body(table: &mut Table<'_>, problems: &mut Problems) -> WebhookBody {
    let bodies = [("ndjson", true), ("array", false)];
    let is_ndjson = table.take_choice("body", &bodies, problems);
    let key = table.take_string("body_key", problems);
    if key.is_some() && is_ndjson == Some(true) {
        table.blame(
            "body_key",
            "stands beside body = \"ndjson\"",
            "a key holds an array: remove one of them",
            problems,
        );
    }
    match (key, is_ndjson) {
        (Some(key), _) => WebhookBody::Under(key),
        (None, Some(false)) => WebhookBody::Array,
        (None, _) => WebhookBody::Ndjson,
    }
}
