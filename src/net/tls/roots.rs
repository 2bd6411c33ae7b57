//! The certificates that the system trusts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::RootCertStore;

/// How long a reading of the system's store serves every connection of the process: reading takes milliseconds.
const FRESH: Duration = Duration::from_secs(60);

static READ: Mutex<Option<(Instant, Arc<RootCertStore>)>> = Mutex::new(None);

/// The system's store, at most a minute old; an older one where it cannot be read any more.
pub(super) fn of_the_system() -> Result<Arc<RootCertStore>, String> {
    let mut read = READ.lock();
    if let Some((at, roots)) = &*read
        && at.elapsed() < FRESH
    {
        return Ok(Arc::clone(roots));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A store holds what others have put there: one entry that is none of ours spoils nothing.
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    let roots = match &*read {
        Some((_, roots)) if usable == 0 => Arc::clone(roots),
        None if usable == 0 => {
            let why = found.errors.first().map_or_else(|| "none is installed".to_owned(), ToString::to_string);
            return Err(format!(
                "no certificates to trust: {why}; install ca-certificates, set SSL_CERT_FILE, or name your CA's file \
                 in tls.ca"
            ));
        }
        _ => Arc::new(roots),
    };
    *read = Some((Instant::now(), Arc::clone(&roots)));
    Ok(roots)
}
