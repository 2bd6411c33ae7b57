//! Single values: read by their type, checked against their range.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use toml::de::{DeInteger, DeValue};

use super::{At, Problems, SecretPlace, Table, Taken, nearest, size};
use crate::secret::SecretFile;

impl<'t> Table<'t> {
    pub(crate) fn take_bool(&mut self, key: &'static str, problems: &mut Problems) -> Option<bool> {
        let taken = self.take(key)?;
        match taken.value {
            DeValue::Boolean(value) => Some(value),
            other => {
                let is_no = matches!(&other, DeValue::String(text) if ["false", "no", "off"].contains(&&**text));
                taken.at.wrong_type(&other, "true or false", &format!("{key} = {}", !is_no), problems)
            }
        }
    }

    /// Takes a text that is not empty.
    pub(crate) fn take_string(&mut self, key: &'static str, problems: &mut Problems) -> Option<String> {
        let taken = self.take(key)?;
        match taken.value {
            DeValue::String(text) if text.is_empty() => {
                taken.at.problem("is empty", "write a text, or remove the key", problems)
            }
            DeValue::String(text) => Some(text.into_owned()),
            other => taken.at.wrong_type(&other, "a text", &format!("{key} = \"…\""), problems),
        }
    }

    /// Takes a text that may be empty, and reads it.
    pub(crate) fn take_parsed<T, E: std::fmt::Display>(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let taken = self.take(key)?;
        let DeValue::String(text) = &taken.value else {
            return taken.at.wrong_type(&taken.value, "a text", example, problems);
        };
        match read(text) {
            Ok(value) => Some(value),
            Err(error) => taken.at.problem(&error.to_string(), &format!("such as {example}"), problems),
        }
    }

    pub(crate) fn take_path(&mut self, key: &'static str, problems: &mut Problems) -> Option<PathBuf> {
        self.take_string(key, problems).map(PathBuf::from)
    }

    /// Takes the path of a file that will be written: it must not be a folder, and its folder must be there. What the
    /// system refuses all the same is told when the file is opened.
    pub(crate) fn take_output_path(&mut self, key: &'static str, problems: &mut Problems) -> Option<PathBuf> {
        self.take_output_path_or(key, "", problems)
    }

    /// The same where a word may stand instead, as `-` for standard output.
    pub(crate) fn take_output_path_or(
        &mut self,
        key: &'static str,
        word: &str,
        problems: &mut Problems,
    ) -> Option<PathBuf> {
        let path = self.take_path(key, problems)?;
        if !word.is_empty() && path == Path::new(word) {
            return Some(path);
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let place = if path.exists() { path.as_path() } else { folder };
        let (what, help) = if path.is_dir() {
            ("is a folder", "name a file")
        } else if !folder.is_dir() {
            ("lies in a folder that is not there", "make the folder, or name another file")
        } else if rustix::fs::access(place, rustix::fs::Access::WRITE_OK).is_err() {
            ("cannot be written", "name a file that this user may write")
        } else {
            return Some(path);
        };
        self.blame(key, what, help, problems);
        None
    }

    pub(crate) fn take_integer(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        problems: &mut Problems,
    ) -> Option<u64> {
        let taken = self.take(key)?;
        let wanted = size::show_count_range(&range);
        match taken.value {
            DeValue::Integer(value) => match integer(&value).filter(|value| range.contains(value)) {
                Some(value) => Some(value),
                None => taken.at.problem("out of range", &format!("must be {wanted}"), problems),
            },
            other => {
                let wanted = format!("a whole number, {wanted}");
                let meant = meant(&other).filter(|meant: &u64| range.contains(meant)).unwrap_or(*range.start());
                taken.at.wrong_type(&other, &wanted, &format!("{key} = {meant}"), problems)
            }
        }
    }

    pub(crate) fn take_float(
        &mut self,
        key: &'static str,
        range: RangeInclusive<f64>,
        problems: &mut Problems,
    ) -> Option<f64> {
        self.take_number(key, &range, "", problems)
    }

    /// Takes seconds, which may have a fraction.
    pub(crate) fn take_seconds(
        &mut self,
        key: &'static str,
        range: RangeInclusive<f64>,
        problems: &mut Problems,
    ) -> Option<Duration> {
        let seconds = self.take_number(key, &range, " seconds", problems)?;
        let duration = Duration::try_from_secs_f64(seconds).ok();
        if duration.is_none() {
            self.blame(key, "out of range", "must be 0 or more seconds", problems);
        }
        duration
    }

    fn take_number(
        &mut self,
        key: &'static str,
        range: &RangeInclusive<f64>,
        unit: &str,
        problems: &mut Problems,
    ) -> Option<f64> {
        let taken = self.take(key)?;
        let wanted = size::show_float_range(range);
        let number = match &taken.value {
            // Beyond 2^53 an integer loses digits as a float, and is beyond every range of ours.
            #[expect(clippy::cast_precision_loss, reason = "no range reaches 2^53")]
            DeValue::Integer(value) => integer(value).map(|value| value as f64),
            DeValue::Float(value) => value.as_str().parse().ok(),
            other => {
                let wanted = format!("a number, {wanted}{unit}");
                let meant = meant(other).filter(|meant: &f64| range.contains(meant)).unwrap_or(*range.start());
                return taken.at.wrong_type(other, &wanted, &format!("{key} = {meant}"), problems);
            }
        };
        match number.filter(|number| range.contains(number)) {
            Some(number) => Some(number),
            None => taken.at.problem("out of range", &format!("must be {wanted}{unit}"), problems),
        }
    }

    /// Takes a size: a number of bytes, or a text with its unit.
    pub(crate) fn take_bytes(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        problems: &mut Problems,
    ) -> Option<u64> {
        let taken = self.take(key)?;
        let wanted = size::show_range(&range);
        let example = format!("{key} = \"{}\"", size::show(*range.start()));
        let bytes = match &taken.value {
            DeValue::Integer(value) => integer(value),
            DeValue::String(text) => {
                let Some(bytes) = size::read(text) else {
                    let help = "write a whole number and one of B, KB, MB, GB, TB, KiB, MiB, GiB, TiB";
                    return taken.at.problem("no size", help, problems);
                };
                Some(bytes)
            }
            other => return taken.at.wrong_type(other, &format!("a size, {wanted}"), &example, problems),
        };
        match bytes.filter(|bytes| range.contains(bytes)) {
            Some(bytes) => Some(bytes),
            None => taken.at.problem("out of range", &format!("must be {wanted}"), problems),
        }
    }

    pub(crate) fn take_list_of_integers(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        problems: &mut Problems,
    ) -> Option<Vec<u64>> {
        let wanted = size::show_count_range(&range);
        self.take_list(key, &format!("a list of whole numbers, {wanted}"), &format!("{key} = [1]"), problems, |item| {
            match item {
                DeValue::Integer(value) => integer(value).filter(|value| range.contains(value)),
                _ => None,
            }
        })
    }

    /// Takes a list of texts, each read by `read`, whose error is told. They are not shown: a secret may be among them.
    pub(crate) fn take_list_of_texts<T, E: std::fmt::Display>(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let texts =
            self.take_list(key, "a list of texts", &format!("{key} = {example}"), problems, |item| match item {
                DeValue::String(text) => Some(text.clone().into_owned()),
                _ => None,
            })?;
        match texts.iter().map(|text| read(text)).collect() {
            Ok(list) => Some(list),
            Err(error) => {
                self.blame_secret(key, &error.to_string(), &format!("such as {example}"), problems);
                None
            }
        }
    }

    fn take_list<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        example: &str,
        problems: &mut Problems,
        mut read: impl FnMut(&DeValue<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let taken = self.take(key)?;
        let DeValue::Array(array) = &taken.value else {
            return taken.at.wrong_type(&taken.value, wanted, example, problems);
        };
        let mut list = Vec::with_capacity(array.len());
        for item in array {
            let Some(value) = read(item.get_ref()) else {
                let at = At { path: taken.path, span: item.span() };
                return at.problem("out of place", &format!("must be {wanted}"), problems);
            };
            list.push(value);
        }
        Some(list)
    }

    /// Takes one of several words.
    pub(crate) fn take_choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        problems: &mut Problems,
    ) -> Option<T> {
        let taken = self.take(key)?;
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let wanted = one_of(&names);
        let DeValue::String(text) = &taken.value else {
            let example = format!("{key} = {}", names.first().map_or("", String::as_str));
            return taken.at.wrong_type(&taken.value, &wanted, &example, problems);
        };
        if let Some((_, choice)) = choices.iter().find(|(name, _)| name == text) {
            return Some(*choice);
        }
        let help = match nearest(text, choices.iter().map(|(name, _)| *name)) {
            Some(near) if choices.len() == 1 => format!("did you mean \"{near}\"?"),
            Some(near) => format!("did you mean \"{near}\"? It is {wanted}"),
            None => format!("must be {wanted}"),
        };
        taken.at.problem("unknown value", &help, problems)
    }

    /// Takes the place of a secret: `{ env = "…" }` or `{ file = "…" }`. A secret written straight into the file is a
    /// problem, and is not repeated.
    pub(crate) fn take_secret_place(&mut self, key: &'static str, problems: &mut Problems) -> Option<SecretPlace> {
        let Taken { value, key_span, path, at } = self.take(key)?;
        let help = format!("write {key} = {{ env = \"NAME\" }} or {key} = {{ file = \"PATH\" }}");
        let DeValue::Table(table) = value else {
            problems.push_secret(at.span, &path, "a secret is never written into this file", &help);
            return None;
        };
        let mut table = Table::of(path.clone(), key.to_owned(), key_span, table);
        let (env, file) = (table.take("env"), table.take("file"));
        table.finish(problems);
        let omits = problems.omits_secrets();
        let place = match (env, file) {
            (Some(env), None) => match env.value {
                DeValue::String(name) if is_env_name(&name) => Some(SecretPlace::Env(name.into_owned())),
                _ => {
                    let help = "the name of an environment variable: letters, digits and _";
                    problems.push_secret(env.at.span, &env.path, "names no environment variable", help);
                    None
                }
            },
            (None, Some(file)) => match file.value {
                DeValue::String(path) if looks_like_a_token(&path) => {
                    let help = "put the token into a file, and name that file here";
                    problems.push_secret(file.at.span, &file.path, "looks like a token, and not like a path", help);
                    None
                }
                DeValue::String(path) if !path.is_empty() => {
                    Some(SecretPlace::File(SecretFile::new(path.into_owned())))
                }
                other => file.at.wrong_type(
                    &other,
                    "the path of a file",
                    &format!("{key} = {{ file = \"PATH\" }}"),
                    problems,
                ),
            },
            (Some(_), Some(_)) => {
                problems.push_secret(at.span, &path, "has two places", &help);
                None
            }
            (None, None) => {
                problems.push_secret(at.span, &path, "has no place", &help);
                None
            }
        };
        place.map(|place| if omits { SecretPlace::Omitted } else { place })
    }
}

/// Whoever pastes the token itself here is told so without seeing it printed. A Splunk token is a UUID, others are long and
/// of letters and digits alone; a path that looks like that can be written with `./` before it.
fn looks_like_a_token(path: &str) -> bool {
    let is_long = path.len() >= 32 && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    is_long && path.bytes().any(|byte| byte.is_ascii_digit())
}

/// A name that is one everywhere; whoever pastes the secret itself here is told so without seeing it printed.
fn is_env_name(name: &str) -> bool {
    let valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    valid && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// `"a"`, `"b"` or `"c"`.
fn one_of(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [before @ .., last] => format!("{} or {last}", before.join(", ")),
    }
}

/// What a value is, in words.
pub(super) fn describe(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The number that something else may have been meant to be: the digits that a text or a fraction begins with.
fn meant<N: FromStr>(value: &DeValue<'_>) -> Option<N> {
    let text = match value {
        DeValue::String(text) => text.trim(),
        DeValue::Float(float) => float.as_str(),
        _ => return None,
    };
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

fn integer(value: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(value.as_str(), value.radix()).ok()
}
