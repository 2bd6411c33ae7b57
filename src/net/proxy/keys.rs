//! The key `proxy` of the configuration file.

use super::{InvalidProxy, Proxy};
use crate::secret::{SecretFile, exposure};
use crate::table::{Problems, SecretPlace, Table, secret_of_variable};

const FORMS: &str = "write proxy = \"http://host:port\", \"none\" or \"env\"; with a user and a password, the place of its \
                     URL: proxy = { env = \"NAME\" } or { file = \"PATH\" }";

impl Proxy {
    /// Takes `proxy` out of a pipeline's table; absent is [`Proxy::none`]. A password is a secret: it never stands in the
    /// file, so a URL that holds one has a place instead.
    pub(in crate::net) fn of_table(table: &mut Table<'_>, problems: &mut Problems) -> Self {
        let proxy = if table.holds_table("proxy") {
            let place = table.take_secret_place("proxy", problems);
            place.map(|place| {
                let text = match place {
                    // Nothing is sent, so it is not needed.
                    SecretPlace::Omitted => return Ok(Self::none()),
                    SecretPlace::File(file) => warned(&file).read().map_err(|error| error.to_string()),
                    SecretPlace::Env(name) => secret_of_variable(&name).map_err(|error| error.to_string()),
                };
                text.and_then(|text| text.expose().parse().map_err(|error: InvalidProxy| error.to_string()))
            })
        } else {
            let text = table.take_string("proxy", problems);
            text.map(|text| match text.parse() {
                Ok(Self(super::Choice::At(gateway))) if gateway.authorization().is_some() => {
                    Err("a password is never written into this file".to_owned())
                }
                Ok(proxy) => Ok(proxy),
                Err(error) => Err(error.to_string()),
            })
        };
        match proxy {
            Some(Ok(proxy)) => proxy,
            Some(Err(what)) => {
                table.blame_secret("proxy", &what, FORMS, problems);
                Self::none()
            }
            None => Self::none(),
        }
    }
}

/// Read once, at start: so it is told here.
fn warned(file: &SecretFile) -> &SecretFile {
    if let Some(doubt) = exposure(file.path()) {
        log::warn!("{doubt}");
    }
    file
}
