//! A broker's side of SCRAM (RFC 5802), with SHA-256 (RFC 7677) or SHA-512.
#![allow(unreachable_pub, reason = "shared by test crates")]
#![allow(clippy::unwrap_used, reason = "what cannot go on fails its test")]

use std::num::NonZeroU32;
use std::sync::Arc;

use ring::{digest, hmac, pbkdf2};

use crate::broker::{Door, Login, USER};
use crate::tls::base64;

const ROUNDS: u32 = 4096;
const SALT: &[u8] = b"salt of the test";
/// What the broker adds to the client's nonce.
const NONCE: &str = "3rfcNHYJY1ZVvWVs7j";

/// One of its two forms.
pub struct Hash {
    pub mechanism: &'static str,
    derive: pbkdf2::Algorithm,
    hmac: hmac::Algorithm,
    digest: &'static digest::Algorithm,
}

pub static SHA_256: Hash = Hash {
    mechanism: "SCRAM-SHA-256",
    derive: pbkdf2::PBKDF2_HMAC_SHA256,
    hmac: hmac::HMAC_SHA256,
    digest: &digest::SHA256,
};
pub static SHA_512: Hash = Hash {
    mechanism: "SCRAM-SHA-512",
    derive: pbkdf2::PBKDF2_HMAC_SHA512,
    hmac: hmac::HMAC_SHA512,
    digest: &digest::SHA512,
};

/// Whether the broker knows the password that it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    Right,
    /// It lets in anybody, and proves nothing: who stands between client and broker would do so.
    Pretended,
}

struct Exchange {
    hash: &'static Hash,
    password: &'static str,
    proof: Proof,
    /// What both have said first, once they have.
    first: Option<Said>,
}

/// The client's message without its header, the broker's, and the nonce of both.
struct Said {
    client: String,
    broker: String,
    nonce: String,
}

/// Lets in who proves that it knows the password.
pub fn door(hash: &'static Hash, password: &'static str, proof: Proof) -> Door {
    Arc::new(move || Box::new(Exchange { hash, password, proof, first: None }))
}

impl Login for Exchange {
    fn answer(&mut self, said: &str) -> Option<String> {
        match self.first.take() {
            None => self.challenge(said),
            Some(first) => self.judge(&first, said),
        }
    }
}

impl Exchange {
    fn challenge(&mut self, said: &str) -> Option<String> {
        let client = said.strip_prefix("n,,")?;
        let nonce = format!("{}{NONCE}", client.strip_prefix(&format!("n={USER},r="))?);
        let broker = format!("r={nonce},s={},i={ROUNDS}", base64(SALT));
        self.first = Some(Said { client: client.to_owned(), broker: broker.clone(), nonce });
        Some(broker)
    }

    fn judge(&self, first: &Said, said: &str) -> Option<String> {
        // `biws` is the header `n,,` again: nothing on the way has changed it.
        let unproved = format!("c=biws,r={}", first.nonce);
        let Hash { derive, hmac, digest, .. } = *self.hash;
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac, key), text);
        let mut salted = vec![0; digest.output_len()];
        pbkdf2::derive(derive, NonZeroU32::new(ROUNDS).unwrap(), SALT, self.password.as_bytes(), &mut salted);
        let text = format!("{},{},{unproved}", first.client, first.broker);
        let key = sign(&salted, b"Client Key");
        let signature = sign(digest::digest(digest, key.as_ref()).as_ref(), text.as_bytes());
        let proof: Vec<u8> = key.as_ref().iter().zip(signature.as_ref()).map(|(key, signed)| key ^ signed).collect();
        if self.proof == Proof::Pretended {
            return Some(format!("v={}", base64(&proof)));
        }
        let verifier = sign(sign(&salted, b"Server Key").as_ref(), text.as_bytes());
        (said == format!("{unproved},p={}", base64(&proof))).then(|| format!("v={}", base64(verifier.as_ref())))
    }
}
