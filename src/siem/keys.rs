//! Keys of the configuration file that several destinations have.

use std::fmt;

use super::credential::{Credential, Scheme};
use crate::net::BaseUrl;
use crate::secret::Secret;
use crate::table::{Problems, SecretPlace, Table, secret_of_variable};

/// Takes `url`, read by `base`; it is not shown where it is wrong, since it may hold a password.
pub(super) fn url<E: fmt::Display>(
    table: &mut Table<'_>,
    example: &str,
    problems: &mut Problems,
    base: impl FnOnce(&str) -> Result<BaseUrl, E>,
) -> Option<BaseUrl> {
    let url = table.take_string("url", problems)?;
    let problem = match base(&url) {
        Ok(url) => return Some(url),
        Err(error) => error.to_string(),
    };
    table.blame_secret("url", &problem, &format!("such as \"{example}\""), problems);
    None
}

/// Takes the place of a secret, and fetches it from there.
pub(super) fn credential(
    table: &mut Table<'_>,
    key: &'static str,
    scheme: Scheme,
    problems: &mut Problems,
) -> Option<Credential> {
    let complaint = |problem| scheme.complaint(&problem);
    let credential = match table.take_secret_place(key, problems)? {
        // A header can hold it; it goes nowhere.
        SecretPlace::Omitted => Credential::fixed(scheme, Secret::new("omitted")).map_err(complaint),
        SecretPlace::File(file) => Credential::of_file(scheme, file).map_err(complaint),
        SecretPlace::Env(name) => secret_of_variable(&name)
            .map_err(|error| error.to_string())
            .and_then(|secret| Credential::fixed(scheme, secret).map_err(complaint)),
    };
    let what = match credential {
        Ok(credential) => return Some(credential),
        Err(what) => what,
    };
    let help = format!("put the bare {} there, or name another place", scheme.noun);
    table.blame(key, &what, &help, problems);
    None
}
