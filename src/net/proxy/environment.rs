//! The proxy that the environment names, by the customs of curl and its kin.

use std::net::IpAddr;
use std::sync::Arc;

use super::Gateway;
use crate::net::BaseUrl;

/// What the variables say of the way to `url`; a lower-case name goes before its upper-case one.
pub(super) fn gateway(url: &BaseUrl, read: impl Fn(&str) -> Option<String>) -> Result<Option<Arc<Gateway>>, String> {
    let find = |name: &str| {
        let names = [name.to_ascii_lowercase(), name.to_ascii_uppercase()];
        names.into_iter().find_map(|name| Some((read(&name).filter(|value| !value.trim().is_empty())?, name)))
    };
    let of_scheme = if url.is_https() { "HTTPS_PROXY" } else { "HTTP_PROXY" };
    let Some((value, name)) = find(of_scheme).or_else(|| find("ALL_PROXY")) else { return Ok(None) };
    let excepted = find("NO_PROXY").map_or_else(String::new, |(value, _)| value);
    if is_excepted(url.place().host, url.place().port, &excepted) {
        return Ok(None);
    }
    let value = value.trim();
    let whole = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    match whole.parse() {
        Ok(gateway) => Ok(Some(Arc::new(gateway))),
        Err(error) => Err(format!("the environment's {name} (proxy = \"env\"): {error}")),
    }
}

/// Whether a list such as `localhost, .corp.example, 10.0.0.0/8` names the host.
fn is_excepted(host: &str, port: u16, list: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok();
    list.split([',', ' ', '\t']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let Some(address) = address {
            let bare = entry.trim_start_matches('[').trim_end_matches(']');
            return bare.parse() == Ok(address) || is_within(address, entry);
        }
        let (name, only) = match entry.rsplit_once(':') {
            Some((name, only)) => (name, only.parse::<u16>().ok()),
            None => (entry, None),
        };
        let name = name.trim_start_matches('*').trim_start_matches('.').to_ascii_lowercase();
        let is_below = host.strip_suffix(&name).is_some_and(|before| before.is_empty() || before.ends_with('.'));
        !name.is_empty() && is_below && only.is_none_or(|only| only == port)
    })
}

/// Whether an address lies in a network such as `10.0.0.0/8`.
fn is_within(address: IpAddr, network: &str) -> bool {
    let Some((base, bits)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let same = |left: u128, right: u128, width: u32| {
        bits <= width && (bits == 0 || (left ^ right).checked_shr(width - bits).unwrap_or(0) == 0)
    };
    match (address, base) {
        (IpAddr::V4(address), IpAddr::V4(base)) => same(u128::from(address.to_bits()), u128::from(base.to_bits()), 32),
        (IpAddr::V6(address), IpAddr::V6(base)) => same(address.to_bits(), base.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(url: &str, variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let read =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Ok(gateway(&url.parse().unwrap(), read)?.map(|gateway| gateway.to_string()))
    }

    #[test]
    fn each_scheme_has_its_variable_and_lower_case_goes_first() {
        let all = [
            ("HTTPS_PROXY", "http://upper:1"),
            ("https_proxy", "lower:2"),
            ("HTTP_PROXY", "http://plain:3"),
            ("X", "y"),
        ];
        assert_eq!(found("https://siem.example", &all), Ok(Some("http://lower:2".to_owned())));
        assert_eq!(found("http://siem.example", &all), Ok(Some("http://plain:3".to_owned())));
        assert_eq!(found("http://siem.example", &all[..2]), Ok(None));
        assert_eq!(found("http://siem.example", &[("ALL_PROXY", "any:4")]), Ok(Some("http://any:4".to_owned())));
        let error = found("https://siem.example", &[("HTTPS_PROXY", "socks5://me:hunter2@p:1")]).unwrap_err();
        assert!(error.contains("HTTPS_PROXY") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_host_that_is_excepted_is_reached_without_one() {
        for (host, list, is_excepted) in [
            ("siem.example", "siem.example", true),
            ("a.siem.example", "siem.example", true),
            ("a.siem.example", "x, .SIEM.example", true),
            ("a.siem.example", "*.siem.example", true),
            ("mysiem.example", "siem.example", false),
            ("siem.example", "siem.example:8088", true),
            ("siem.example", "siem.example:8089", false),
            ("siem.example", "*", true),
            ("siem.example", "", false),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("10.1.2.3", "0.0.0.0/0", true),
            ("10.1.2.3", "10.0.0.0/99", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "2.3", false),
            ("[::1]", "::1", true),
            ("[fd00::1]", "fd00::/8", true),
        ] {
            let found = found(&format!("https://{host}:8088"), &[("https_proxy", "p:1"), ("NO_PROXY", list)]);
            assert_eq!(found.unwrap().is_none(), is_excepted, "{host} and {list}");
        }
    }
}
