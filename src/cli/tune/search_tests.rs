use super::super::ladder::Value;
use super::super::ladder::tests::{BOUNDS, base};
use super::super::measured::Latency;
use super::*;

/// A machine whose figures are known: a formula, noise, and a number of trials after which time is over.
struct Machine {
    speed: fn(&Setting) -> f64,
    /// As a part of the figure; the same sequence each time.
    noise: f64,
    taken: usize,
    trials_max: usize,
    senders_max: usize,
    /// The figure is one over the 99th percentile, at one speed.
    is_latency: bool,
}

impl Machine {
    fn new(speed: fn(&Setting) -> f64, noise: f64) -> Self {
        Self { speed, noise, taken: 0, trials_max: usize::MAX, senders_max: 64, is_latency: false }
    }

    fn find(&mut self, target: Target) -> Found {
        find(self, target, &Ladders::new(&base(), BOUNDS), &base(), &[]).unwrap()
    }
}

impl Measure for Machine {
    fn measure(&mut self, setting: &Setting, _stage: Stage) -> Result<Option<Figures>, Failure> {
        if self.taken == self.trials_max {
            return Ok(None);
        }
        self.taken += 1;
        let draw = [0.3, -1.0, 0.7, 1.0, -0.4, 0.0, -0.8][self.taken % 7];
        let events_per_second = (self.speed)(setting) * (1.0 + draw * self.noise);
        let latency = Latency { p99: 1.0 / events_per_second, ..Latency::default() };
        let events_per_second = if self.is_latency { 100_000.0 } else { events_per_second };
        Ok(Some(Figures { events_per_second, latency, seconds: 1.0, ..Figures::default() }))
    }

    fn allows(&self, setting: &Setting) -> bool {
        setting.count(Knob::Senders) <= self.senders_max
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn number(setting: &Setting, knob: Knob) -> f64 {
    setting.count(knob) as f64
}

/// A round trip for each batch, and a machine that carries 400,000 a second.
fn far_away(setting: &Setting) -> f64 {
    (number(setting, Knob::Senders) * number(setting, Knob::BatchSize) / 0.022).min(400_000.0)
}

fn changed(found: &Setting) -> Vec<(Knob, String)> {
    found.changes(&base()).iter().map(|change| (change.knob, change.now.to_string())).collect()
}

#[test]
fn a_known_landscape_is_climbed_and_only_what_brings_something_is_recommended() {
    let found = Machine::new(far_away, 0.01).find(Target::Throughput);
    assert_eq!(changed(&found.best), [(Knob::Senders, "32".to_owned())], "{found:?}");
    assert!(matches!(found.verdict, Verdict::Compared(Comparison::Better(gain)) if (7.0..8.5).contains(&gain)));
    // Each setting has one entry, however often it was measured.
    for tried in &found.tried {
        assert_eq!(found.tried.iter().filter(|other| other.setting == tried.setting).count(), 1);
    }
    assert_eq!(found.tried[0].setting, base());
}

#[test]
fn keys_that_matter_together_are_all_found_and_told_what_each_brings() {
    let hungry = |setting: &Setting| {
        let gzip = if setting.get(Knob::Compression) == Some(Value::Word("gzip")) { 0.5 } else { 1.0 };
        far_away(setting).min(200_000.0) * gzip
    };
    let found = Machine::new(hungry, 0.01).find(Target::Throughput);
    let expected = [(Knob::Senders, "16".to_owned()), (Knob::Compression, "\"none\"".to_owned())];
    assert_eq!(changed(&found.best), expected, "{found:?}");
    let without: Vec<_> = found.without.iter().map(|(change, figures)| (change.knob, figures.unwrap())).collect();
    assert!((40_000.0..50_000.0).contains(&without[0].1.events_per_second), "{without:?}");
    assert!((98_000.0..102_000.0).contains(&without[1].1.events_per_second), "{without:?}");
}

#[test]
fn a_key_that_the_others_make_needless_is_put_back() {
    // A larger batch is taken on the way, and does nothing once there are senders enough.
    let crossing = |setting: &Setting| {
        let senders = number(setting, Knob::Senders);
        let batch = if senders < 8.0 { (number(setting, Knob::BatchSize) / 500.0).min(4.0) } else { 1.0 };
        if senders < 3.0 { 1000.0 * batch } else { 1000.0 * senders }
    };
    let mut machine = Machine::new(crossing, 0.005);
    let ladders = Ladders::new(&base(), BOUNDS);
    let start = base().with(Knob::BatchSize, Value::Count(2000)).with(Knob::Senders, Value::Count(32));
    let kept: &[Knob] = &[];
    let base = base();
    let mut search = Search {
        measure: &mut machine,
        target: Target::Throughput,
        ladders: &ladders,
        base: &base,
        kept,
        tried: Vec::new(),
    };
    search.measure_base().unwrap();
    let (weeded, without) = search.weed(start).unwrap();
    assert_eq!(changed(&weeded), [(Knob::Senders, "32".to_owned())]);
    assert_eq!(without.len(), 1);
}

#[test]
fn of_two_that_are_alike_the_one_nearer_to_the_configuration_is_taken() {
    // The step from 8 to 16 is luck: the one trial of 16 on the way up saw a faster machine.
    let mut machine = Machine::new(|setting| (number(setting, Knob::Senders) * 100.0).min(800.0), 0.005);
    let (ladders, base, kept) = (Ladders::new(&base(), BOUNDS), base(), []);
    let target = Target::Throughput;
    let mut search =
        Search { measure: &mut machine, target, ladders: &ladders, base: &base, kept: &kept, tried: Vec::new() };
    search.measure_base().unwrap();
    let (weeded, without) = search.weed(base.with(Knob::Senders, Value::Count(32))).unwrap();
    assert_eq!(changed(&weeded), [(Knob::Senders, "8".to_owned())]);
    assert_eq!(without.len(), 1);
}

#[test]
fn noise_that_hides_a_difference_is_told_and_the_configuration_stays() {
    let hardly = |setting: &Setting| 100_000.0 + number(setting, Knob::Senders) * 300.0;
    let found = Machine::new(hardly, 0.2).find(Target::Throughput);
    assert_eq!(found.best, base());
    let is_hidden = matches!(found.verdict, Verdict::Compared(Comparison::Hidden { within, .. }) if within > 0.1);
    assert!(is_hidden || found.verdict == Verdict::Nothing, "{:?}", found.verdict);
    // Where nothing brings anything, nothing is compared.
    let found = Machine::new(|_| 100_000.0, 0.01).find(Target::Throughput);
    assert_eq!((found.best, found.verdict), (base(), Verdict::Nothing));
}

#[test]
fn what_is_not_allowed_or_kept_is_not_tried() {
    let mut machine = Machine { senders_max: 8, ..Machine::new(far_away, 0.01) };
    let ladders = Ladders::new(&base(), BOUNDS);
    let found = find(&mut machine, Target::Throughput, &ladders, &base(), &[Knob::BatchSize]).unwrap();
    assert_eq!(changed(&found.best), [(Knob::Senders, "8".to_owned())]);
    for tried in &found.tried {
        assert!(tried.setting.count(Knob::Senders) <= 8 && tried.setting.count(Knob::BatchSize) == 500);
    }
}

/// At this load a batch is full after 100 ms: only a shorter time is felt.
#[test]
fn a_step_that_brings_nothing_may_lie_before_one_that_does() {
    let waiting = |setting: &Setting| match setting.get(Knob::BatchTimeout) {
        Some(Value::Time(time)) => 1.0 / (0.02 + time.as_secs_f64().min(0.1)),
        _ => 0.0,
    };
    let mut machine = Machine::new(waiting, 0.005);
    machine.is_latency = true;
    let found = machine.find(Target::Latency);
    assert_eq!(changed(&found.best), [(Knob::BatchTimeout, "0.005".to_owned())], "{found:?}");
}

#[test]
fn a_curve_has_every_value_of_its_key_in_their_order() {
    let mut machine = Machine { senders_max: 8, ..Machine::new(far_away, 0.01) };
    let ladders = Ladders::new(&base(), BOUNDS);
    let found = curve(&mut machine, Target::Throughput, &ladders, &base(), Knob::Senders).unwrap();
    let senders: Vec<usize> = found.tried.iter().map(|tried| tried.setting.count(Knob::Senders)).collect();
    assert_eq!(senders, [1, 2, 4, 8]);
    assert!(found.tried.iter().all(|tried| tried.repeats.len() == ROUNDS_MAX));
    assert_eq!((found.best, found.verdict), (base(), Verdict::Curve(Knob::Senders)));
    // What there is no time for any more is left out.
    let mut machine = Machine { trials_max: 3, ..Machine::new(far_away, 0.01) };
    let found = curve(&mut machine, Target::Throughput, &ladders, &base(), Knob::Senders).unwrap();
    assert_eq!(found.tried.len(), 3);
}

#[test]
fn time_that_is_over_ends_the_search_wherever_it_is() {
    for trials_max in 0..40 {
        let mut machine = Machine { trials_max, ..Machine::new(far_away, 0.01) };
        let found = machine.find(Target::Throughput);
        assert!(machine.taken <= trials_max);
        if matches!(found.verdict, Verdict::Compared(Comparison::Unknown)) {
            assert_eq!(found.best, base());
        }
    }
}

#[test]
fn a_setting_that_carries_too_little_or_refuses_is_none() {
    let figures = |events_per_second, refused| Figures { events_per_second, refused, ..Figures::default() };
    let base = figures(100.0, 0);
    assert!(Target::admits(&figures(50.0, 0), &base) && !Target::admits(&figures(49.0, 0), &base));
    assert!(!Target::admits(&figures(100.0, 1), &base));
    assert!(!Target::admits(&Figures { failed_requests: 1, ..base }, &base));
}
