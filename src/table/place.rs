//! Where a secret is kept: an environment variable or a file, never the configuration itself.

use zeroize::Zeroizing;

use crate::secret::{InvalidSecret, Secret, SecretFile};

/// The place of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretPlace {
    /// In this environment variable, which stays what it was when the program was started.
    Env(String),
    /// In this file, which may be replaced while the program runs.
    File(SecretFile),
    /// It has a place, and nobody needs what is there.
    Omitted,
}

/// An environment variable that holds no secret. What it holds is not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretVariableError {
    #[error("the environment variable {name} is not set")]
    NotSet { name: String },
    #[error("the environment variable {name} {source}")]
    Invalid { name: String, source: InvalidSecret },
}

/// Fetches the secret out of an environment variable.
pub(crate) fn secret_of_variable(name: &str) -> Result<Secret, SecretVariableError> {
    let value = std::env::var_os(name).ok_or_else(|| SecretVariableError::NotSet { name: name.to_owned() })?;
    let value = Zeroizing::new(value.into_encoded_bytes());
    Secret::of_line(&value).map_err(|source| SecretVariableError::Invalid { name: name.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_is_named() {
        let error = secret_of_variable("SIEM_FORWARD_NEVER_SET").unwrap_err();
        assert_eq!(error.to_string(), "the environment variable SIEM_FORWARD_NEVER_SET is not set");
        // Every test run of cargo has this one.
        assert!(secret_of_variable("CARGO_MANIFEST_DIR").is_ok());
    }
}
