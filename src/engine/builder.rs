//! The builder: settings in, running threads out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use crossbeam_queue::ArrayQueue;
use parking_lot::Mutex;

use super::admission::Admission;
use super::batcher::{BatcherSeat, Limits, Open};
use super::cores;
use super::destination::Destination;
use super::emitter::{Gate, QueueBytes, mark_worker};
use super::forwarder::{Forwarder, Worker};
use super::gap::GapWatch;
use super::held::{Held, SenderSeat};
use super::monitor::MonitorSeat;
use super::parcel::Parcel;
use super::pipeline::{Pipeline, nanos};
#[cfg(feature = "cli")]
use super::resender::Resender;
use super::ring::Ring;
#[cfg(feature = "cli")]
use super::trial::Trial;
use super::witness::Witness;

use super::settings::{
    ConnectionConfig, DeadLetterConfig, HealthConfig, POOL_BUFFERS_MAX, Pin, SiemConfig, StartError,
};
use super::timing::Timings;
use crate::batch::{Mark, Shape};
use crate::dead_letter::{DeadLetter, OpenError, Origin};
use crate::event::{ForkGuard, Pool, monotonic};
use crate::policy::{BreakerConfig, Filter, Overflow, RetryConfig, RetryPolicy, Sampling, WaitStrategy};
use crate::siem::Siem;

/// A batcher's sleep for each slot of its ring: a burst at 5 million events a second fills no more than the ring.
const SLEEP_PER_SLOT: Duration = Duration::from_nanos(200);
const SLEEP_MAX: Duration = Duration::from_millis(10);
const SLEEP_MIN: Duration = Duration::from_micros(50);

/// Sets up a [`Forwarder`]. Every setter replaces a value of [`SiemConfig`], where defaults and ranges stand.
#[derive(Clone)]
#[must_use = "a forwarder runs only once it is started"]
pub struct Builder {
    destination: Arc<dyn Destination>,
    name: String,
    config: SiemConfig,
}

impl Builder {
    fn new(siem: impl Siem) -> Self {
        let name = Siem::siem_type(&siem).to_owned();
        Self { destination: Arc::new(siem), name, config: SiemConfig::default() }
    }

    /// The pipeline's name in logs, metrics and the dead letter. Default: the destination's type.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Replaces all settings at once.
    pub fn config(mut self, config: SiemConfig) -> Self {
        self.config = config;
        self
    }

    /// Whether it forwards at all.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.config.enabled = enabled;
        self
    }

    /// The most events in one request.
    pub fn batch_size(mut self, events: usize) -> Self {
        self.config.batch.batch_size = events;
        self
    }

    /// The most bytes of one body before compression.
    pub fn batch_bytes_max(mut self, bytes: usize) -> Self {
        self.config.batch.batch_bytes_max = bytes;
        self
    }

    /// How long the first event of a batch waits for others.
    pub fn batch_timeout(mut self, timeout: Duration) -> Self {
        self.config.batch.batch_timeout = timeout;
        self
    }

    /// How many events may wait in the rings.
    pub fn max_queue_size(mut self, events: usize) -> Self {
        self.config.batch.max_queue_size = events;
        self
    }

    /// How many bytes events above 1 KB may hold in the rings.
    pub fn queue_bytes_max(mut self, bytes: usize) -> Self {
        self.config.batch.queue_bytes_max = bytes;
        self
    }

    /// The most bytes of one event's text.
    pub fn event_bytes_max(mut self, bytes: usize) -> Self {
        self.config.batch.event_bytes_max = bytes;
        self
    }

    /// What happens to an event for which there is no room.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.config.overflow = overflow;
        self
    }

    /// Which part of the events is kept.
    pub fn sampling(mut self, sampling: Sampling) -> Self {
        self.config.sampling = sampling;
        self
    }

    /// Which events are meant for this destination.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.config.filter = filter;
        self
    }

    /// How failed batches are sent again.
    pub fn retry(mut self, retry: RetryConfig) -> Self {
        self.config.retry = retry;
        self
    }

    /// When nothing is sent any more for a while.
    pub fn breaker(mut self, breaker: BreakerConfig) -> Self {
        self.config.breaker = breaker;
        self
    }

    /// How often the destination is asked whether it is well.
    pub fn health(mut self, health: HealthConfig) -> Self {
        self.config.health = health;
        self
    }

    /// How long connections live, and how long acknowledgements are waited for.
    pub fn connection(mut self, connection: ConnectionConfig) -> Self {
        self.config.connection = connection;
        self
    }

    /// Threads that encode.
    pub fn batchers(mut self, threads: usize) -> Self {
        self.config.batchers = threads;
        self
    }

    /// Threads that send.
    pub fn senders(mut self, threads: usize) -> Self {
        self.config.senders = threads;
        self
    }

    /// What a batcher does while no event comes.
    pub fn wait_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.config.wait_strategy = strategy;
        self
    }

    /// Which cores the threads run on.
    pub fn pin(mut self, pin: Pin) -> Self {
        self.config.pin = pin;
        self
    }

    /// Where events go that were refused for good or left over.
    pub fn dead_letter(mut self, dead_letter: DeadLetterConfig) -> Self {
        self.config.dead_letter = Some(dead_letter);
        self
    }

    /// How long dropping the forwarder may take to deliver what is left.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.config.drain_timeout = timeout;
        self
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// When a setting is out of its range, the destination cannot be used as it is configured, the dead letter cannot be
    /// opened or is another forwarder's, or a thread cannot be started; then nothing runs.
    pub fn start(self) -> Result<Forwarder, StartError> {
        self.start_with(None)
    }

    /// The same, with somebody who wants to know of each event what became of it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn start_with(self, witness: Option<Arc<dyn Witness>>) -> Result<Forwarder, StartError> {
        let (mut forwarder, channels) = self.assemble(witness)?;
        if forwarder.config.enabled {
            if let Err(error) = forwarder.start_senders(&channels) {
                // Without this the senders that run would wait for batchers, and the drop below for the senders.
                drop(channels);
                return Err(error);
            }
            forwarder.start_batchers(channels)?;
            forwarder.start_monitor()?;
        }
        Ok(forwarder)
    }

    /// Whom its events are for: the destination's type and its address.
    #[cfg(feature = "cli")]
    pub(crate) fn fingerprint(&self) -> (&'static str, String) {
        (self.destination.siem_type(), self.destination.address())
    }

    /// The destination and the settings without a forwarder, to be looked at.
    #[cfg(feature = "cli")]
    pub(crate) fn trial(&self) -> Trial {
        Trial::new(Arc::clone(&self.destination), self.config.clone())
    }

    /// The longest that one request of the destination may take.
    #[cfg(feature = "cli")]
    pub(crate) fn request_timeout(&self) -> Duration {
        self.destination.request_timeout()
    }

    /// Starts senders only, for events that have a wire form already. The forwarder takes no others, keeps no dead letter,
    /// and is drained once the way to it is dropped.
    ///
    /// # Errors
    /// When a setting is out of its range, or a thread cannot be started.
    #[cfg(feature = "cli")]
    pub(crate) fn start_replay(mut self, witness: Arc<dyn Witness>) -> Result<(Forwarder, Resender), StartError> {
        self.config.enabled = false;
        let (mut forwarder, channels) = self.assemble(Some(witness))?;
        if let Err(error) = forwarder.start_senders(&channels) {
            drop(channels);
            return Err(error);
        }
        let limits = limits(&forwarder.config, forwarder.destination.shape());
        let pipeline = Arc::clone(&forwarder.pipeline);
        let resender = Resender::new(pipeline, Arc::clone(&forwarder.destination), channels.handover, limits);
        Ok((forwarder, resender))
    }

    /// Everything but the threads.
    fn assemble(self, witness: Option<Arc<dyn Witness>>) -> Result<(Forwarder, Channels), StartError> {
        self.config.in_range()?;
        // The first reading calibrates the clock, which takes milliseconds: not at the first caller's expense.
        let _now = monotonic();
        let Self { destination, name, config } = self;
        if config.enabled || witness.is_some() {
            destination.prepare().map_err(StartError::Destination)?;
        }
        let dead_letter = config.dead_letter.as_ref().filter(|_| config.enabled).map(open_dead_letter).transpose()?;
        let origin = Origin { pipeline: name, siem_type: destination.siem_type(), destination: destination.address() };
        let retry = RetryPolicy::new(config.retry);
        let mut pipeline = Pipeline::new(origin, dead_letter, retry, config.breaker, destination.request_timeout());
        pipeline.witness = witness;
        let pipeline = Arc::new(pipeline);
        let channels = Channels::new(&config);
        let rings = if config.enabled { config.batchers } else { 1 };
        let forwarder = Forwarder {
            gates: gates(&config, &pipeline, rings).into_iter().map(Arc::new).collect(),
            pipeline,
            next: AtomicUsize::new(0),
            batchers: Vec::new(),
            senders: Vec::new(),
            monitor: None,
            handover: channels.parcels.clone(),
            destination,
            config,
            started_in: ForkGuard::new(),
            report: Mutex::new(None),
        };
        Ok((forwarder, channels))
    }
}

/// The ways between batchers and senders.
struct Channels {
    handover: Sender<Parcel>,
    parcels: Receiver<Parcel>,
    spare: Sender<(Vec<u8>, Vec<Mark>)>,
    spares: Receiver<(Vec<u8>, Vec<Mark>)>,
}

impl Channels {
    fn new(config: &SiemConfig) -> Self {
        let (handover, parcels) = bounded(config.senders);
        // Bodies on their way back: as many as can be on their way there.
        let (spare, spares) = bounded(2 * config.senders + config.batchers);
        Self { handover, parcels, spare, spares }
    }
}

impl Forwarder {
    /// Begins a forwarder to this destination.
    pub fn builder(siem: impl Siem) -> Builder {
        Builder::new(siem)
    }

    fn start_senders(&mut self, channels: &Channels) -> Result<(), StartError> {
        for index in 0..self.config.senders {
            let seat = SenderSeat {
                pipeline: Arc::clone(&self.pipeline),
                handover: channels.parcels.clone(),
                spare: channels.spare.clone(),
                held: Mutex::new(Held::new(&self.pipeline)),
                senders: self.config.senders,
                connection: self.config.connection,
                ask_interval: nanos(self.destination.settle_interval()),
                latency: self.pipeline.books.sender_latency(),
                cpu: self.pipeline.books.worker_cpu(),
                busy: self.pipeline.books.sender_busy(),
            };
            let core = self.config.pin.senders.get(index).copied();
            let destination = Arc::clone(&self.destination);
            let worker = spawn(format!("siem-send-{index}"), core, seat, move |seat| destination.send(seat))?;
            self.senders.push(worker);
        }
        Ok(())
    }

    fn start_monitor(&mut self) -> Result<(), StartError> {
        let health = self.config.health;
        if health.interval.is_zero() {
            return Ok(());
        }
        let seat = MonitorSeat { pipeline: Arc::clone(&self.pipeline), health };
        let destination = Arc::clone(&self.destination);
        self.monitor = Some(spawn("siem-health".to_owned(), None, seat, move |seat| destination.monitor(seat))?);
        Ok(())
    }

    /// Takes the channels, so that no sender half of the hand-over outlives the batchers.
    fn start_batchers(&mut self, channels: Channels) -> Result<(), StartError> {
        let Channels { handover, spares, .. } = channels;
        let shape = self.destination.shape();
        let gaps = Arc::new(GapWatch::new());
        for (index, gate) in self.gates.clone().into_iter().enumerate() {
            let seat = BatcherSeat {
                gate,
                pipeline: Arc::clone(&self.pipeline),
                open: Mutex::new(Open::new(shape)),
                spare: spares.clone(),
                gaps: Arc::clone(&gaps),
                limits: limits(&self.config, shape),
                accepted: self.pipeline.books.batcher_accepted(),
                abandoned: Mutex::new(false),
                cpu: self.pipeline.books.worker_cpu(),
                intake: self.pipeline.books.intake(),
            };
            let core = self.config.pin.batchers.get(index).copied();
            let destination = Arc::clone(&self.destination);
            let handover = handover.clone();
            let run = move |seat: &BatcherSeat| destination.batch(seat, handover);
            self.batchers.push(spawn(format!("siem-batch-{index}"), core, seat, run)?);
        }
        Ok(())
    }
}

fn spawn<Seat: Send + Sync + 'static>(
    name: String,
    core: Option<usize>,
    seat: Seat,
    run: impl FnOnce(&Seat) + Send + 'static,
) -> Result<Worker<Seat>, StartError> {
    let seat = Arc::new(seat);
    let (alive, ended) = bounded(0);
    let theirs = Arc::clone(&seat);
    let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
        // Dropped at the thread's end, however it ends.
        let _alive = alive;
        mark_worker();
        cores::pin(core);
        run(&theirs);
    });
    thread.map_err(|source| StartError::Thread { name: name.clone(), source })?;
    Ok(Worker { name, seat, ended })
}

fn open_dead_letter(config: &DeadLetterConfig) -> Result<DeadLetter, StartError> {
    DeadLetter::open(&config.path, config.bytes_max).map_err(|error| match error {
        OpenError::Taken { holder } => StartError::DeadLetterInUse { path: config.path.clone(), holder },
        OpenError::Io(source) => StartError::DeadLetter { path: config.path.clone(), source },
    })
}

/// The rings, among which the queue's slots are divided; of a disabled forwarder, closed ones of one slot.
fn gates(config: &SiemConfig, pipeline: &Arc<Pipeline>, rings: usize) -> Vec<Gate> {
    let bytes = Arc::new(QueueBytes::new(config.batch.queue_bytes_max));
    let slots = if config.enabled { config.batch.max_queue_size.div_ceil(rings) } else { 1 };
    let gate = |_| {
        let ring = Ring::new(ArrayQueue::new(slots));
        if !config.enabled {
            ring.hint_closed();
        }
        Gate {
            ring,
            was_full: AtomicBool::new(false),
            timings: Timings::default(),
            pool: Pool::filled(slots.min(POOL_BUFFERS_MAX / rings)),
            pipeline: Arc::clone(pipeline),
            bytes: Arc::clone(&bytes),
            event_bytes_max: config.batch.event_bytes_max,
            admission: Admission::new(config, slots),
            block: if let Overflow::Block { timeout } = config.overflow { Some(timeout) } else { None },
            started_in: ForkGuard::new(),
            enabled: config.enabled,
        }
    };
    (0..rings).map(gate).collect()
}

fn limits(config: &SiemConfig, shape: Shape) -> Limits {
    let batch = config.batch;
    let slots = u32::try_from(batch.max_queue_size / config.batchers).unwrap_or(u32::MAX);
    let batch_bytes_max = batch.batch_bytes_max.min(shape.batch_bytes_max);
    let room_for_one = batch_bytes_max.saturating_sub(shape.prefix.len() + shape.suffix.len());
    Limits {
        shape,
        batch_size: batch.batch_size.min(shape.batch_size_max),
        batch_bytes_max,
        event_bytes_max: shape.event_bytes_max.min(room_for_one),
        batch_timeout_nanos: nanos(batch.batch_timeout),
        wait_strategy: config.wait_strategy,
        sleep_max: (SLEEP_PER_SLOT * slots).min(batch.batch_timeout / 4).min(SLEEP_MAX).max(SLEEP_MIN),
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("name", &self.name).field("config", &self.config).finish_non_exhaustive()
    }
}
