//! What a Prometheus registry asks: reads the books when it is scraped, and costs nothing in between.

use std::collections::HashMap;

use prometheus::core::{Collector as PrometheusCollector, Desc};
use prometheus::proto::{LabelPair, MetricFamily};
use prometheus::{Error, Registry};

use super::Reading;
use super::family::{BUILD_INFO, FAMILIES, Family};
use super::measure::{Measure, gauge};

/// Who can be read.
pub(crate) trait Source: Send + Sync {
    fn reading(&self) -> Reading;
}

/// Shows one pipeline in a registry.
pub(crate) struct Collector<S> {
    pipeline: String,
    siem_type: &'static str,
    source: S,
    descriptions: Vec<Desc>,
}

/// Why a forwarder's metrics are not shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The registry shows another forwarder of this name, or this one already.
    #[error(
        "the registry shows a pipeline named {pipeline:?} already: give each forwarder a name of its own, with \
         Builder::name"
    )]
    NameTaken {
        /// The name.
        pipeline: String,
    },
    /// The registry has a metric of one of our names, with other labels or help, or another reason of its own.
    #[error("the registry does not take the metrics of {pipeline:?}: {source}")]
    Registry {
        /// The pipeline's name.
        pipeline: String,
        /// The registry's own reason.
        source: Error,
    },
}

impl<S: Source + 'static> Collector<S> {
    /// Shows `source` in this registry.
    ///
    /// # Errors
    /// When a pipeline of this name is shown there, or the registry has metrics of our names.
    pub(crate) fn register(
        pipeline: &str,
        siem_type: &'static str,
        source: S,
        registry: &Registry,
    ) -> Result<(), RegisterError> {
        let refused = |source| RegisterError::Registry { pipeline: pipeline.to_owned(), source };
        let descriptions = describe(pipeline, siem_type).map_err(refused)?;
        let collector = Self { pipeline: pipeline.to_owned(), siem_type, source, descriptions };
        registry.register(Box::new(collector)).map_err(|error| match error {
            Error::AlreadyReg => RegisterError::NameTaken { pipeline: pipeline.to_owned() },
            error => refused(error),
        })
    }

    fn show(&self, family: &Family, measures: Vec<Measure>) -> MetricFamily {
        let mut shown = MetricFamily::default();
        shown.set_name(family.name.to_owned());
        shown.set_help(family.help.to_owned());
        shown.set_field_type(family.kind);
        let metric = |measure: Measure| {
            let mut metric = measure.value.to_metric();
            let own = family.labels.iter().zip(&measure.labels).map(|(name, value)| label(name, value));
            let mut labels: Vec<LabelPair> = family.constant(&self.pipeline, self.siem_type).chain(own).collect();
            labels.sort_by(|one, other| one.name().cmp(other.name()));
            metric.set_label(labels);
            metric
        };
        shown.set_metric(measures.into_iter().map(metric).collect());
        shown
    }
}

/// One that a registry compares. The first has no label but the name of the pipeline: two of the same name clash by it,
/// whatever they lead to.
fn describe(pipeline: &str, siem_type: &str) -> Result<Vec<Desc>, Error> {
    let one = |family: &Family| {
        let constant = family.constant(pipeline, siem_type);
        let constant: HashMap<_, _> = constant.map(|pair| (pair.name().to_owned(), pair.value().to_owned())).collect();
        let variable = family.labels.iter().map(|label| (*label).to_owned()).collect();
        Desc::new(family.name.to_owned(), family.help.to_owned(), variable, constant)
    };
    std::iter::once(&BUILD_INFO).chain(FAMILIES).map(one).collect()
}

impl Family {
    /// The labels that every sample of the pipeline has.
    fn constant<'a>(&self, pipeline: &'a str, siem_type: &'a str) -> impl Iterator<Item = LabelPair> + use<'a> {
        let second = if self.name == BUILD_INFO.name {
            ("version", env!("CARGO_PKG_VERSION"))
        } else {
            ("siem_type", siem_type)
        };
        [("pipeline", pipeline), second].into_iter().map(|(name, value)| label(name, value))
    }
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}

impl<S: Source> PrometheusCollector for Collector<S>
where
    S: 'static,
{
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let reading = self.source.reading();
        let families = FAMILIES.iter().map(|family| self.show(family, (family.read)(&reading)));
        std::iter::once(self.show(&BUILD_INFO, gauge(1.0))).chain(families).collect()
    }
}
