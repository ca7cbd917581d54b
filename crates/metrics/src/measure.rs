use std::borrow::Cow;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::OnceLock;

use metrics::{Counter, Gauge, Histogram, Label};

use crate::Labels;

/// How a number moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Up, until the process ends.
    Counter,
    /// Up and down.
    Gauge,
    /// Many numbers, counted by size.
    Histogram,
}

impl Kind {
    /// The name that Prometheus has for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What numbers are handed to.
pub trait Handle: Send + Sync + 'static {
    /// How it moves.
    const KIND: Kind;
    /// Asks the recorder for one.
    fn register(name: &'static str, labels: Vec<Label>) -> Self;
    /// Tells the recorder what it is.
    fn describe(name: &'static str, help: &'static str);
}

impl Handle for Counter {
    const KIND: Kind = Kind::Counter;
    fn register(name: &'static str, labels: Vec<Label>) -> Self {
        metrics::counter!(name, labels)
    }
    fn describe(name: &'static str, help: &'static str) {
        metrics::describe_counter!(name, help);
    }
}

impl Handle for Gauge {
    const KIND: Kind = Kind::Gauge;
    fn register(name: &'static str, labels: Vec<Label>) -> Self {
        metrics::gauge!(name, labels)
    }
    fn describe(name: &'static str, help: &'static str) {
        metrics::describe_gauge!(name, help);
    }
}

impl Handle for Histogram {
    const KIND: Kind = Kind::Histogram;
    fn register(name: &'static str, labels: Vec<Label>) -> Self {
        metrics::histogram!(name, labels)
    }
    fn describe(name: &'static str, help: &'static str) {
        metrics::describe_histogram!(name, help);
    }
}

/// One row of the table.
pub trait Measured: Sync {
    /// What Prometheus calls it.
    fn name(&self) -> &'static str;
    /// What it tells.
    fn help(&self) -> &'static str;
    /// How it moves.
    fn kind(&self) -> Kind;
    /// By what it is told apart.
    fn labels(&self) -> Vec<&'static str>;
    /// The sizes that a histogram counts by.
    fn buckets(&self) -> &'static [f64];
    /// Shows it from now on, as 0 until something is measured.
    fn begin(&self);
}

/// Metrics that belong together.
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// Those metrics.
    pub metrics: &'static [&'static dyn Measured],
}

impl Group {
    /// Shows them from now on.
    pub fn begin(&self) {
        self.metrics.iter().for_each(|metric| metric.begin());
    }
}

/// A metric with a handle for each of its labels, made once.
///
/// A recorder MUST be installed before any of them is used.
pub struct Measure<H, L = ()> {
    name: &'static str,
    help: &'static str,
    buckets: &'static [f64],
    handles: OnceLock<Box<[H]>>,
    labels: PhantomData<fn() -> L>,
}

impl<H, L> Measure<H, L> {
    pub(crate) const fn new(name: &'static str, help: &'static str, buckets: &'static [f64]) -> Self {
        Self { name, help, buckets, handles: OnceLock::new(), labels: PhantomData }
    }
}

impl<H: Handle, L: Labels> Measure<H, L> {
    /// That of these labels.
    pub fn of(&self, labels: L) -> &H {
        &self.handles()[labels.index()]
    }

    fn handles(&self) -> &[H] {
        self.handles.get_or_init(|| {
            let names = L::names();
            let labels = |index| {
                names.iter().zip(L::values(index)).map(|(name, value)| Label::new(*name, value)).collect()
            };
            (0..L::COUNT).map(|index| H::register(self.name, labels(index))).collect()
        })
    }
}

impl<H: Handle> Deref for Measure<H> {
    type Target = H;
    fn deref(&self) -> &H {
        self.of(())
    }
}

impl<H: Handle, L: Labels> Measured for Measure<H, L> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn help(&self) -> &'static str {
        self.help
    }
    fn kind(&self) -> Kind {
        H::KIND
    }
    fn labels(&self) -> Vec<&'static str> {
        L::names()
    }
    fn buckets(&self) -> &'static [f64] {
        self.buckets
    }
    fn begin(&self) {
        H::describe(self.name, self.help);
        self.handles();
    }
}

/// The names of labels whose values are not known beforehand.
pub trait Names: 'static {
    /// The names.
    const NAMES: &'static [&'static str];
}

/// A metric whose handle is looked up each time: not for what happens thousands of times a second. Whoever measures
/// MUST see that the values are few.
pub struct LookedUp<H, N> {
    name: &'static str,
    help: &'static str,
    buckets: &'static [f64],
    marker: PhantomData<fn() -> (H, N)>,
}

impl<H, N> LookedUp<H, N> {
    pub(crate) const fn new(name: &'static str, help: &'static str, buckets: &'static [f64]) -> Self {
        Self { name, help, buckets, marker: PhantomData }
    }
}

impl<H: Handle, N: Names> LookedUp<H, N> {
    /// That of these values, in the order of the names.
    pub fn of<const COUNT: usize>(&self, values: [Cow<'static, str>; COUNT]) -> H {
        const { assert!(COUNT == N::NAMES.len(), "as many values as names") };
        let labels = N::NAMES.iter().zip(values).map(|(name, value)| Label::new(*name, value));
        H::register(self.name, labels.collect())
    }
}

impl<H: Handle, N: Names> Measured for LookedUp<H, N> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn help(&self) -> &'static str {
        self.help
    }
    fn kind(&self) -> Kind {
        H::KIND
    }
    fn labels(&self) -> Vec<&'static str> {
        N::NAMES.to_vec()
    }
    fn buckets(&self) -> &'static [f64] {
        self.buckets
    }
    fn begin(&self) {
        H::describe(self.name, self.help);
    }
}
