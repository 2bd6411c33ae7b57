//! `[metrics]`: where Prometheus, probes and `status` may ask.

use std::net::SocketAddr;

use crate::table::{Key, Problems, Section, Table};

/// What `[metrics]` says.
#[derive(Debug, Default)]
pub(crate) struct MetricsConfig {
    /// Address and port that answer `/metrics`, `/healthz` and `/readyz`; none by default. Whoever reaches it may read
    /// it: a loopback address is for this machine alone.
    pub(crate) listen: Option<SocketAddr>,
}

impl MetricsConfig {
    pub(super) const KEYS: Section = Section {
        title: "Who may look at the figures",
        keys: &[Key::optional("listen", "nowhere", "\"127.0.0.1:9090\"").range("an IP address and a port").meaning(
            "answers /metrics, /healthz and /readyz; whoever reaches it may read it: a loopback address is for this \
             machine alone",
        )],
    };

    pub(super) fn read(root: &mut Table<'_>, problems: &mut Problems) -> Self {
        const EXAMPLE: &str = "listen = \"127.0.0.1:9090\"";
        let Some(mut metrics) = root.take_table("metrics", problems) else { return Self::default() };
        let listen = metrics.take_string("listen", problems);
        let listen = listen.and_then(|text| {
            let address = text.parse().ok();
            if address.is_none() {
                let help =
                    format!("write an IP address and a port, such as {EXAMPLE}; 0.0.0.0 is all of the machine's");
                metrics.blame("listen", "is no address to listen on", &help, problems);
            }
            address
        });
        metrics.finish(problems);
        Self { listen }
    }
}
