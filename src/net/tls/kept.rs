//! What the files held when they could last be used: clones of one configuration share it.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::material::Material;

/// The last material, and the last complaint about what followed it.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    material: Option<Arc<Material>>,
    complaint: Option<String>,
}

impl Kept {
    pub(super) fn material(&self) -> Option<Arc<Material>> {
        self.0.lock().material.clone()
    }

    /// Replaces it; what was wrong with the files is forgotten.
    pub(super) fn keep(&self, material: &Arc<Material>) {
        *self.0.lock() = Held { material: Some(Arc::clone(material)), complaint: None };
    }

    /// Whether this is another complaint than the last one: many connections fail by one file.
    pub(super) fn is_news(&self, complaint: &str) -> bool {
        let mut held = self.0.lock();
        let is_news = held.complaint.as_deref() != Some(complaint);
        held.complaint = Some(complaint.to_owned());
        is_news
    }
}

/// It is no setting: two configurations are equal whatever was read.
impl PartialEq for Kept {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Kept {}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
